/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_KES_H
#define BULLA_SEAL_KES_H

/**
 * Forward-secure keys: every signature by an Ed25519 key of its own, which is erased by signing.
 *
 * A *key tree* of height h holds 2^h one-time keys under one public root (sum composition of Malkin, Micciancio and
 * Miner, EUROCRYPT 2002, serialised as Cardano's CompactSum).  A *kes* stacks up to four trees: key i of one level signs
 * the root of the i-th tree below it, once; the bottom level signs seals.  With 4 levels of height 8 one 32-byte public
 * key signs 2^32 times, and only the seeds of keys not yet used exist anywhere.
 *
 *	counter c = i0 * 2^(h*(levels-1)) + ... + i(levels-1)
 *
 * Child trees grow from fresh random seeds, never from their parent's.  When the bottom tree is used up, new trees are
 * made in two steps, so that a crash between them repeats the same bytes: kes_renew() draws their seeds (the caller makes
 * the state durable), kes_certify() signs their roots.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "seal/sha256.h"

enum {
	KES_LEVELS_MAX = 4,
	KES_HEIGHT_MAX = 8,
	KES_KEYS_MAX = 1 << KES_HEIGHT_MAX,
	KES_SEED_SIZE = 32,
	KES_PUBLIC_SIZE = 32,
	KES_SIGMA_SIZE = 64,
};

/** Shape of a key; the product's is 4 x 8, tests use tiny ones. */
struct kes_params {
	uint8_t levels; /* 1 to KES_LEVELS_MAX */
	uint8_t height; /* 1 to KES_HEIGHT_MAX */
};

bool kes_params_valid(const struct kes_params *p);
/** How many seals one key can make. */
uint64_t kes_capacity(const struct kes_params *p);
/** Index of seal `c` in the tree of `level`. */
uint32_t kes_index(const struct kes_params *p, uint64_t c, unsigned level);
/** Bytes of a whole signature: one CompactSum signature per level. */
size_t kes_signature_size(const struct kes_params *p);

/** The public half of one tree: BLAKE2b nodes in heap order, node[1] the root, node[2^h + i] public key i. */
struct kes_public_tree {
	struct hash node[2 * KES_KEYS_MAX];
};

/** Rebuild the inner nodes above 2^height public keys at node[2^height]. */
void kes_public_tree_fill(struct kes_public_tree *t, unsigned height);

/** The secret half: seeds of the subtrees not yet used, a stack with the next one on top. */
struct kes_secret_tree {
	uint16_t n;
	uint16_t at[KES_HEIGHT_MAX + 1]; /* heap index of the subtree that the seed grows */
	uint8_t seed[KES_HEIGHT_MAX + 1][KES_SEED_SIZE];
};

/** The public half of one level: a tree and the signature that the level above made of its root. */
struct kes_level {
	struct kes_public_tree public;
	uint8_t certificate[KES_SIGMA_SIZE]; /* by the key above; unused at level 0 */
};

/** A signing key.  Lives in memory of its own, one page of it: kes_new(). */
struct kes {
	struct kes_params params;
	uint64_t counter; /* of the next seal */
	uint8_t renewing; /* levels from this one down... */
	bool pending;	  /* ...have fresh seeds, not yet certified */
	uint8_t pending_seed[KES_LEVELS_MAX][KES_SEED_SIZE];
	struct kes_secret_tree secret[KES_LEVELS_MAX];
	struct kes_level *
		level; /* KES_LEVELS_MAX of them; owned, in ordinary memory: nothing there is secret */
};

/**
 * Allocate guarded, locked memory that no core dump shows.
 *
 * @return NULL with errno: out of memory, or more than RLIMIT_MEMLOCK lets be locked.
 */
struct kes *kes_new(void);
/** Wipe and free; NULL is fine. */
struct kes *kes_free(struct kes *k);
static inline void kes_freep(struct kes **k)
{
	kes_free(*k);
}

/** Make `to` the same key as `from`. */
void kes_copy(struct kes *to, const struct kes *from);
/** Draw a new key: seeds for every level are pending, its public key is known only after kes_certify(). */
void kes_generate(struct kes *k, const struct kes_params *p);
/** Whether trees must be renewed before the next kes_sign(). */
bool kes_needs_renewal(const struct kes *k);
/** Whether every key is used up: a new kes must take over. */
bool kes_exhausted(const struct kes *k);
/** Draw seeds for the trees that are used up.  Make the state durable before kes_certify(). */
void kes_renew(struct kes *k);
/** Grow the pending trees and sign their roots.  Deterministic: repeated after a crash it makes the same trees. */
void kes_certify(struct kes *k);
/** The topmost level that the last (or pending) renewal replaced. */
unsigned kes_renewed_from(const struct kes *k);

/** Sign with the next key and erase it.  Not while a renewal is due.  `sigma` is written to `ret`. */
void kes_sign(struct kes *k, const void *message, size_t n, uint8_t ret[KES_SIGMA_SIZE]);
/** Erase the next key unused: the ledger already holds its seal.  Not while a renewal is due. */
void kes_skip(struct kes *k);
/**
 * Compare the seeds that are left with the public trees that they should have grown.
 *
 * Costs an Ed25519 key pair per key left in the four trees at hand.  @return 0, BULLA_EORDER, -ENOMEM.
 */
_must_check_ int kes_check_seeds(const struct kes *k);

/** Write everything secret (and the counter) in a form that kes_load() reads; at most KES_STATE_SIZE_MAX bytes. */
void kes_save(const struct kes *k, struct wr *w);
enum { KES_STATE_SIZE_MAX = 1536 };
/**
 * Read a state: the seeds must be exactly those that a key with this counter has left.
 *
 * Public trees are the caller's to fill, from the ledger, into level[].public and certificate, unless they are pending.
 *
 * @return 0 or BULLA_ECORRUPT.
 */
_must_check_ int kes_load(struct kes *k, struct rd *r);

/** The root that a level has: the certified message is about it. */
struct hash kes_root(const struct kes *k, unsigned level);

/** The message that a key of level `level - 1` signs about the root of a tree at `level`. */
enum { KES_CERT_MESSAGE_SIZE = 64 };
void kes_certificate_message(unsigned level, const struct hash *root,
			     uint8_t ret[KES_CERT_MESSAGE_SIZE]);

/** Check one bare Ed25519 signature, strictly (libsodium: no small order, no non-canonical S). */
_must_check_ bool kes_check_sigma(const uint8_t sigma[KES_SIGMA_SIZE],
				  const uint8_t public_key[KES_PUBLIC_SIZE], const void *message,
				  size_t n);

/** Append the CompactSum signature of key `index`: sigma | public key | siblings, bottom up. */
void kes_compact_sum(const struct kes_public_tree *t, unsigned height, uint32_t index,
		     const uint8_t sigma[KES_SIGMA_SIZE], struct wr *w);
/** Check one CompactSum signature; the root it leads to is written to `ret_root` whether or not it is the right one. */
_must_check_ bool kes_check_compact_sum(struct rd *r, unsigned height, uint32_t index,
					const void *message, size_t n, struct hash *ret_root);
/**
 * Check a whole signature of kes_signature_size() bytes (levels top down) with nothing but the public key.
 */
_must_check_ bool kes_check(const struct kes_params *p, const uint8_t public_key[KES_PUBLIC_SIZE],
			    uint64_t counter, const uint8_t *signature, size_t signature_size,
			    const void *message, size_t n);

/** Grow the public half of a tree from its seed; for tests and for kes_certify(). */
void kes_tree_grow(struct kes_public_tree *t, unsigned height, const uint8_t seed[KES_SEED_SIZE]);
/** Begin a secret half: the whole tree's seed on the stack. */
void kes_secret_begin(struct kes_secret_tree *s, const uint8_t seed[KES_SEED_SIZE]);
/** Sign with the next key of one tree and erase it; the tree is not used up. */
void kes_secret_sign(struct kes_secret_tree *s, unsigned height, const void *message, size_t n,
		     uint8_t ret[KES_SIGMA_SIZE]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_HISTORY_H
#define BULLA_SEAL_HISTORY_H

/**
 * What an origin's ledger says, checked record by record.
 *
 * A history takes the ledger's records in order and knows, after each, the tree, the key, the boot, and every journal with
 * its counts.  It does no I/O and reads no clock.  The sealer, verify, the forwarder and the aggregator all use this one
 * piece of code, so that what one of them writes the others accept, and nothing else.
 *
 * Records (payloads of frames; docs/format.md, "Ledger"):
 *
 *	header   magic | u32 compatible flags | u32 incompatible flags | u64 first commit
 *	keys     u64 counter | u8 levels | u8 height | u8 from | per level from..: [sigma if level > 0] | 2^height public keys
 *	commit   varint number | u64 time | varint n, n * batch item | varint m, m * (u8 kind, varint len, body) | sigma
 *	item     varint handle | u8 flags | varint entries | varint bytes | zigzag time_min - commit time
 *	         | varint time_max - time_min | zigzag mono_offset - the journal's last one | root[32]
 *
 * A journal's handle is its place in the order of `open` events.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/kes.h"
#include "seal/note.h"
#include "seal/record.h"
#include "seal/statement.h"
#include "seal/tree.h"

enum ledger_record { LEDGER_HEADER = 1, LEDGER_KEYS = 2, LEDGER_COMMIT = 3, LEDGER_PACKED = 4 };

enum {
	LEDGER_HEADER_SIZE = 8 + 4 + 4 + 8,
	LEDGER_RECORD_MAX = 17 << 20, /* bytes of a payload */
	HOST_NAME_MAX_LEN = 255,
	JOURNALS_MAX = 1 << 26, /* of one origin */
};

/** What the ledger says of one journal. */
struct ledger_journal {
	struct id id;
	struct hash identity;
	struct id previous;
	struct hash seed_commitment;
	struct id boot;	      /* it was opened in; a journal never outlives its boot */
	uint64_t opened;      /* commit */
	uint64_t last_commit; /* that has a batch of it, or its open */
	uint64_t batches, entries, bytes;
	uint64_t time_min, time_max; /* over all batches; min > max: none */
	int64_t mono_offset;
	bool closed;
	bool pruned;		 /* its first batches were taken away on purpose: */
	uint64_t pruned_batches; /* so many */
};

/** One applied commit, valid until the history's next call. */
struct sealed_commit {
	struct commit commit;
	const struct batch *batches; /* commit.n_batches, sorted by journal */
	const uint32_t *handles;     /* of the batches */
	bool lacks_roots; /* those of some batches are zeroes: only all together are sealed here */
	uint64_t counter; /* of its seal, counted from the key's first commit */
	struct hash leaf;
	struct hash root; /* of the tree with this commit */
	const uint8_t *sigma;
};

struct history;

/** @return NULL without memory. */
_must_check_ struct history *history_new(void);
struct history *history_free(struct history *h);
static inline void history_freep(struct history **h)
{
	history_free(*h);
}

/**
 * Require this key: the genesis must lead to it.  To be called before the first record.
 */
void history_pin(struct history *h, const struct vkey *key);

/**
 * Take the header of the ledger, or of a file that goes on with it.
 *
 * @return 0, BULLA_EVERSION, BULLA_ECORRUPT, BULLA_EORDER for one that does not begin with the next commit.
 */
_must_check_ int history_header(struct history *h, const uint8_t *p, size_t n);
/**
 * Take a keys record: its certificates are checked.
 *
 * @return 0; BULLA_ESIG, BULLA_EORDER, BULLA_ECORRUPT, BULLA_EVERSION; the history is then as it was.
 */
_must_check_ int history_keys(struct history *h, const uint8_t *p, size_t n);

/** How much of a commit to check: all, or all but the signature (for records that this very process has signed). */
enum history_check { HISTORY_CHECK_ALL, HISTORY_SKIP_SIGNATURE };

/**
 * Take a commit.  `ret` may be NULL.
 *
 * @return 0; BULLA_ESIG; BULLA_EORDER (number, journal, boot or count is not the continuation); BULLA_ECORRUPT;
 *         BULLA_ENOTCANON; BULLA_ELIMIT; BULLA_ETAMPERED (not the pinned key); -ENOMEM.  On failure the history is as it was.
 */
_must_check_ int history_commit(struct history *h, const uint8_t *p, size_t n,
				enum history_check check, struct sealed_commit *ret);
/**
 * Check a commit without taking it: whoever must see more than the record (the content of its batches, say) looks first and
 * then calls history_commit_sealed().  Handles at or above history_n_journals() are of journals that this commit opens, in
 * the order of its `open` events.  Errors as history_commit().
 */
_must_check_ int history_preview(struct history *h, const uint8_t *p, size_t n,
				 enum history_check check, struct sealed_commit *ret);
/** The same of a record that was read elsewhere (seal/packed.h). */
_must_check_ int history_preview_record(struct history *h, const struct commit_record *record,
					enum history_check check, struct sealed_commit *ret);
/** Take a record of any type but the header. */
_must_check_ int history_record(struct history *h, uint32_t type, const uint8_t *p, size_t n,
				struct sealed_commit *ret);

/* Making records: the sealer's side. */

/**
 * A batch to be committed: `handle` says the journal; batch_no, first_seq and boot are the history's to know.
 *
 * A journal that was opened in an earlier boot takes nothing but recovered batches; they keep its boot.
 */
struct batch_item {
	uint32_t handle;
	uint32_t entries;
	uint64_t bytes;
	uint64_t time_min, time_max;
	int64_t mono_offset;
	struct hash root;
	bool recovered;
};

/** Append the header of a file of the ledger whose first commit is this. */
void history_write_header(uint64_t first, struct buf *to);
/** Append the keys record of the levels that `k` has just certified. */
void history_write_keys(const struct kes *k, struct buf *to);
/**
 * Append a commit record without its signature.  Items are sorted here.
 *
 * @return 0, or BULLA_ELIMIT, -ENOMEM.
 */
_must_check_ int history_write_commit(struct history *h, uint64_t time_ns, struct batch_item *items,
				      size_t n_items, const struct event *events, size_t n_events,
				      struct buf *to);
/**
 * The message that seals an unsigned commit record, which is checked on the way.
 *
 * @return its length, or an error of history_commit().
 */
_must_check_ ssize_t history_seal_message(struct history *h, const uint8_t *p, size_t n,
					  char ret[SEAL_MESSAGE_SIZE_MAX]);

/** The root over some batches, which are sorted by journal. */
struct hash batches_root(const struct batch *batches, size_t n);
/**
 * Append the record of the commit that was just previewed as it was sealed, with all roots: `batches` are its batches with
 * those that it lacks.
 *
 * @return 0; BULLA_ETAMPERED where they are not what was sealed; -ENOMEM.
 */
_must_check_ int history_rewrite_commit(const struct history *h, const struct batch *batches,
					struct buf *to);
/** Absorb the commit that history_seal_message() or history_preview() has just read.  Cannot fail, so it may come after the record is durable. */
void history_commit_sealed(struct history *h);

/* Asking. */

/** Number of the next commit: how many there are. */
uint64_t history_size(const struct history *h);
/**
 * Append the whole signature of a seal whose trees are the ones at hand, kes_signature_size() bytes: `sigma` is what the commit
 * has of it.  @return 0, or BULLA_EORDER where its trees are others.
 */
_must_check_ int history_signature(const struct history *h, uint64_t counter,
				   const uint8_t sigma[KES_SIGMA_SIZE], struct buf *to);
/** The tree over all commits so far. */
const struct frontier *history_tree(const struct history *h);
/** First commit that the present key seals. */
uint64_t history_key_first(const struct history *h);
/** The key that the origin began with: what to pin.  Only after commit 0. */
struct vkey history_vkey(const struct history *h);
/** The public key that the next seal belongs to; after a rekey event its new one. */
const uint8_t *history_public_key(const struct history *h);
const struct kes_params *history_params(const struct history *h);
/** Whether the trees at hand are this key's.  */
bool history_has_key(const struct history *h, const struct kes *k);
/**
 * Fill in the public half of a loaded key, and see that its seeds are those of these trees.
 *
 * @return 0; BULLA_EORDER when it is not this history's key; -ENOMEM.
 */
_must_check_ int history_fill_key(const struct history *h, struct kes *k);
/** Whether the trees for the next seal have been announced. */
bool history_keys_ready(const struct history *h);
struct id history_boot(const struct history *h);
/** Whether the last event of its kind was `up`. */
bool history_is_up(const struct history *h);
const char *history_host(const struct history *h);
struct id history_machine(const struct history *h);
uint64_t history_time(const struct history *h);
uint32_t history_n_journals(const struct history *h);
const struct ledger_journal *history_journal(const struct history *h, uint32_t handle);
/** @return the handle, or -ENOENT. */
int64_t history_find_journal(const struct history *h, const struct id *id);
/**
 * Whether the batches of a journal before `batches` can be pruned: it has them, and more of them than were before.  Of a
 * closed journal that never had any, none can be, once.
 */
bool history_can_prune(const struct ledger_journal *j, uint64_t batches);

#endif

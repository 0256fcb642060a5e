/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_TREE_H
#define BULLA_SEAL_TREE_H

/**
 * Merkle trees as RFC 6962, section 2.1, has them.
 *
 * A leaf is SHA-256(00 || datum), a node SHA-256(01 || left || right), the empty tree SHA-256 of nothing.  The same tree
 * is used over the entries of a batch, over the batches of a commit and over the commits of an origin.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "seal/sha256.h"

/** Hashes in the longest proof: one per level of a tree of 2^64 leaves. */
enum { PROOF_MAX = 64 };

struct hash tree_leaf(const void *datum, size_t n);
/** The same of `n` data of `size` bytes each, which lie one behind the other: many at once are hashed faster. */
void tree_leaves(const uint8_t *data, size_t size, size_t n, struct hash *ret);
struct hash tree_node(const struct hash *left, const struct hash *right);
/** The root over `n` leaf hashes. */
struct hash tree_root(const struct hash *leaves, uint64_t n);

/** Trees whose roots are made at once have so many leaves together, at most. */
enum { ROOTS_LEAVES_MAX = 64 };
/**
 * The roots of small trees, whose leaf hashes lie behind each other: `n[i]` of them, at least one, belong to the tree whose root
 * goes to `*ret[i]`.  Hashes all of them level by level; `leaves` is overwritten.
 */
void tree_roots(struct hash *leaves, const uint32_t *n, size_t trees, struct hash *const *ret);

/**
 * The roots of the perfect subtrees of a growing tree: all that is needed to append and to know the root.
 *
 * Invariant: for each set bit k of `size`, node[k] is the root of the perfect subtree of 2^k leaves that this bit stands
 * for, the highest bit being leftmost.
 */
struct frontier {
	uint64_t size;
	struct hash node[64];
};

void frontier_push(struct frontier *f, const struct hash *leaf);
/** Push many leaves; hashes whole levels at a time. */
void frontier_push_many(struct frontier *f, const struct hash *leaves, size_t n);
struct hash frontier_root(const struct frontier *f);

/** A proof as it travels: hashes from the leaf upwards. */
struct proof {
	size_t n;
	struct hash h[PROOF_MAX];
};

/** Make the proof that leaf `index` is in the tree of these `size` leaves; index < size. */
void tree_prove_inclusion(const struct hash *leaves, uint64_t size, uint64_t index,
			  struct proof *ret);
/** Make the proof that the tree of the first `old` leaves is a prefix of the tree of `size`; 0 < old <= size. */
void tree_prove_consistency(const struct hash *leaves, uint64_t size, uint64_t old,
			    struct proof *ret);

/** Check an inclusion proof against a root.  Exactly the right number of hashes, or it is refused. */
_must_check_ bool tree_check_inclusion(const struct hash *leaf, uint64_t index, uint64_t size,
				       const struct proof *proof, const struct hash *root);
/** Check a consistency proof between two roots; `old` is 0 never. */
_must_check_ bool tree_check_consistency(uint64_t old, uint64_t size, const struct proof *proof,
					 const struct hash *old_root, const struct hash *root);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_BATCHROOT_H
#define BULLA_STORE_BATCHROOT_H

/**
 * The root of a batch, kept while its entries arrive: salts, leaves, frontier and counts.
 *
 * Whoever needs a batch's root goes through here: the collector while it writes, recovery, verify, the aggregator.
 * Leaves are gathered and hashed dozens at a time, those of short batches together (batchroot_later()).
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/statement.h"
#include "seal/tree.h"

enum { LEAVES_AT_ONCE = 64, LEAVES_SIZE_MAX = 256 << 10 };

struct batchroot {
	struct salts salts;
	struct frontier tree;
	bool recovered; /* every entry is hashed with ENTRY_RECOVERED */
	uint64_t bytes, time_min, time_max;
	/* Leaves not yet hashed: those of batches that wait, then its own. */
	struct buf leaves;
	uint32_t leaf_end[LEAVES_AT_ONCE];
	uint32_t n_leaves;
	uint32_t n_of_others;
	struct hash *later[LEAVES_AT_ONCE]; /* borrowed: where the roots of those that wait go */
	uint32_t later_leaves[LEAVES_AT_ONCE];
	uint32_t n_later;
};

/** Begin batch `batch_no` of a journal whose seed for it is `seed`. */
void batchroot_begin(struct batchroot *b, const uint8_t seed[SEED_SIZE], uint64_t batch_no,
		     bool recovered);
/** Take the next entry, its context hash filled in.  @return 0 or -ENOMEM. */
_must_check_ int batchroot_add(struct batchroot *b, const struct entry *e);
/** Entries taken. */
uint64_t batchroot_count(const struct batchroot *b);
/** The root over all entries taken. */
struct hash batchroot_get(struct batchroot *b);
/**
 * Put the root over all entries taken where `ret` says, now or when other batches were begun: at the latest when
 * batchroot_give() is called.
 */
void batchroot_later(struct batchroot *b, struct hash *ret);
/** Give all roots that are still to come. */
void batchroot_give(struct batchroot *b);

/** A place in a batch to which it can go back. */
struct batchroot_mark {
	struct frontier tree;
	uint64_t bytes, time_min, time_max;
};

/** Remember where the batch is. */
void batchroot_mark(struct batchroot *b, struct batchroot_mark *ret);
/** Forget all entries that were taken since, in the same batch. */
void batchroot_rewind(struct batchroot *b, const struct batchroot_mark *mark);
/** Free the buffer; the memory itself is the caller's. */
void batchroot_done(struct batchroot *b);

#endif

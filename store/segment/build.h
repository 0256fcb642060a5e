/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_BUILD_H
#define BULLA_STORE_SEGMENT_BUILD_H

/**
 * Making segments out of what was sealed: a host's ledger, followed as it grows, and the tails that it speaks of.
 *
 * Only batches whose content has the root that was sealed are kept: what is damaged in a tail is not carried on as if it
 * were whole.  From such a batch on its journal is left out of the segment at hand, and stays in its tail; the next segment
 * goes on with it.  Content is hashed once, as the finished segment gives it back; if that is not what was sealed, the segment
 * is made again and each batch hashed before it is taken.
 *
 * Each tenant has its own segments, and a segment at hand while it has entries that are in none.  A segment ends with the day
 * of its commits, so that it is old as a whole.
 */

#include <stdint.h>

#include "base/attr.h"
#include "store/segment/set.h"
#include "store/state.h"

/** A segment that is there: its file and its name are durable. */
struct segment_made {
	struct tenant tenant;
	char name[SEGMENT_NAME_SIZE];
	uint64_t first, end; /* commits [first, end) */
	uint64_t size, batches, entries;
	uint64_t
		left_out; /* batches that no tail has as they were sealed, or that lie behind such a one */
	uint32_t journals;
};

/** @return 0, or an error that stops the building. */
typedef int (*segment_made_fn)(void *arg, const struct segment_made *m);

struct segment_builder_options {
	int dirfd; /* where segments go; borrowed */
	const struct segment_set *
		packed; /* what is in these segments is not packed again; NULL: nothing.  For segment_builder_new() alone */
	bool idle;	      /* only follow the ledger */
	uint64_t entries_max; /* a segment ends with the commit that brings it there; 0: never */
	int level;	      /* zstd's */
	segment_made_fn made; /* called with each; or NULL */
	void *arg;
};

struct segment_builder;

_must_check_ int segment_builder_new(struct segment_builder **ret, const struct state *s,
				     const struct segment_builder_options *o);
struct segment_builder *segment_builder_free(struct segment_builder *b);
static inline void segment_builder_freep(struct segment_builder **b)
{
	segment_builder_free(*b);
}
/**
 * Take what the ledger has got, making segments as they fill up.
 *
 * @return 0; an error of ledger_open(), of the disk, of `made`, -ENOMEM: the builder is of no more use then.
 */
_must_check_ int segment_builder_read(struct segment_builder *b);
/** End the segments at hand in which any entry has come.  Errors as segment_builder_read(). */
_must_check_ int segment_builder_finish(struct segment_builder *b);
/** Entries that are in no segment yet, and when the first of their commits was, by the ledger. */
uint64_t segment_builder_pending(const struct segment_builder *b, uint64_t *ret_since_ns);
/** Commits before this one are in segments, as far as they ever will be. */
uint64_t segment_builder_packed(const struct segment_builder *b);
/** What the ledger says, as far as it was read. */
const struct history *segment_builder_history(const struct segment_builder *b);

#endif

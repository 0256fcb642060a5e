/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_VERIFY_WINDOWS_H
#define BULLA_STORE_VERIFY_WINDOWS_H

/**
 * What verify reads of segments: commits come in order, and so do the windows of a segment.  Each is read once, its groups all
 * together, for a commit has batches in each of them.
 */

#include "store/verify-internal.h"

/** A row group of the window at hand. */
struct held_group {
	struct segment_group group;
	bool open;	/* it tells at least which batches it has */
	bool damaged;	/* of its rows some cannot be read, or none */
	uint64_t where; /* the block, if so */
	struct batch *
		batches; /* owned: what its batches are, in its order, as far as they were hashed */
	uint32_t n_batches;
	struct buf memory; /* for its messages */
	bool let_go; /* they are not what was hashed any more: who reads them reads the file again */
};

/** What groups have of a journal. */
struct counted {
	uint64_t batches, entries;
	bool elsewhere; /* some of it is not where the segment says that the journal's is */
	bool of_tenant; /* it was looked whose it is: the segment's */
};

/** Where the first batch of a journal is in the window at hand. */
struct first_batch {
	uint32_t group; /* 1 + its number there; 0: nowhere */
	uint32_t batch; /* of the group */
};

/** How far a segment has been read. */
struct segment_cursor {
	struct held_group *held; /* owned: room for all groups of a window */
	uint32_t n, cap;
	uint32_t next;		      /* window */
	uint64_t values;	      /* group_values() of those that are held */
	uint64_t kept;		      /* bytes of their messages */
	struct first_batch *first_of; /* owned, by journal */
	struct counted *counted;      /* owned, by journal */
	uint64_t seen;		      /* batches */
	bool late;   /* it came when earlier commits had been looked at elsewhere */
	bool broken; /* some group is damaged; that was said */
	/* What is of commits before this may lie in a group that says nothing at all: where that is. */
	uint64_t lost_end, lost_at;
};

void segment_cursor_done(struct segment_cursor *c);
/** A finding in a segment. */
void verify_found_in_segment(struct verifier *v, uint32_t file, enum verdict verdict,
			     const struct id *journal, const struct batch *b, uint64_t commit,
			     uint64_t offset, const char *what);
/**
 * Have the window at hand that has the batch.
 *
 * @return its number in `*ret`; -ENOENT; -ENODATA where only a group can have it that cannot be read; another error.
 */
_must_check_ int64_t verify_windows_find(struct verifier *v, const struct segment_span *span,
					 const struct batch *b, uint64_t commit,
					 struct held_group **ret);
/** A batch of a group at hand, hashed.  @return 0 or an error of group_batch(). */
_must_check_ int held_batch(struct held_group *h, uint32_t number, struct batch *ret);
/** Whether entries that are read now are those that were hashed.  @return 1, 0, -ENOMEM. */
_must_check_ int held_is_same(struct held_group *h, uint32_t number, const struct batch *b);

#endif

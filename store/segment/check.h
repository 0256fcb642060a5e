/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_CHECK_H
#define BULLA_STORE_SEGMENT_CHECK_H

/**
 * Reading a segment back before anything relies on it: tails go because a segment has what they had.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "seal/statement.h"

struct segment;
struct segment_group;
struct tokens;
struct window_ref;

/**
 * What tells a searcher where not to look must allow all that a group has, for no seal covers it: the lengths of variables in
 * its directory, and its tokens.  Needs all parts of the group, and makes its messages.
 *
 * @return 0, and whether an entry would not be found; an error of reading it.
 */
_must_check_ int group_check_index(struct segment_group *g, bool *ret_lies);

/** The counts of a window, made anew. */
struct window_counts {
	const struct window_ref *window; /* borrowed */
	uint32_t *counts;		 /* owned */
	bool lie;
};
/** Begin; where nobody counted, nothing is ever wrong.  @return 0 or -ENOMEM. */
_must_check_ int window_counts_begin(struct window_counts *c, const struct window_ref *w);
/** Add a group of the window; its times are there. */
void window_counts_add(struct window_counts *c, const struct segment_group *g);
/** Whether the file tells others than those that were added. */
bool window_counts_lie(const struct window_counts *c);
void window_counts_done(struct window_counts *c);

/** A batch as it was sealed. */
struct sealed_batch {
	uint32_t journal; /* of the segment */
	uint64_t batch_no;
	struct hash leaf;
};

/**
 * Read a segment file as any reader would and hash it anew: it must give back these batches, whose numbers follow each other
 * within each journal, and no others.
 *
 * @return 0; BULLA_ECORRUPT where it does not; an error of segment_open() or group_batch().
 */
_must_check_ int segment_check(int dirfd, const char *name, const struct sealed_batch *sealed,
			       size_t n);

/** Takes the tokens that a group of a segment has, as they were gathered from what it gives back.  @return 0, or an error, which ends it. */
typedef int (*segment_index_fn)(void *arg, const struct segment *s, uint32_t group,
				struct tokens *t);
/**
 * The same for a segment that is being made and has no tokens, and have them.  Where `sealed` is NULL batches are not hashed.
 */
_must_check_ int segment_check_index(int dirfd, const char *name, const struct sealed_batch *sealed,
				     size_t n, segment_index_fn index, void *arg);

/**
 * Read every block of a segment, and compare checksums: quick, and finds accidents.
 *
 * @return 0; an error of block_read() with the place of the block; -ENOMEM, a negated errno.
 */
_must_check_ int segment_check_blocks(const struct segment *s, uint64_t *ret_at);
/** Read all that a segment has and hash it: what it cannot give back is found.  Whether it is what was sealed is not asked. */
_must_check_ int segment_check_content(const struct segment *s, uint64_t *ret_at);

#endif

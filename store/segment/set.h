/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_SET_H
#define BULLA_STORE_SEGMENT_SET_H

/**
 * The segments of a state directory: `segments/<first commit>-<end>.<tenant>.segment`, commits as 20 digits.
 *
 * There is no list of them but their names.  One that is made out of others takes their place by being there: of two of one
 * tenant whose commits overlap the longer one counts, and what it contains is on its way out.
 */

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/attr.h"
#include "store/segment/segment.h"
#include "store/state.h"

/** Where they are, below the state directory, and files on their way to become one. */
#define SEGMENTS_DIR		 "segments"
#define SEGMENT_UNFINISHED	 "unfinished-" /* and a number */
#define SEGMENT_UNFINISHED_MERGE "unfinished-merge"
#define SEGMENT_DAMAGED		 ".damaged" /* behind a segment's name: it is marked, see damaged.h */

enum { SEGMENT_NAME_SIZE = 20 + 1 + 20 + 1 + TENANT_MAX + sizeof SEGMENT_SUFFIX };

void segment_name(const struct tenant *t, uint64_t first, uint64_t end,
		  char ret[SEGMENT_NAME_SIZE]);
/** Parse such a name.  @return 0 or -EINVAL. */
_must_check_ int segment_name_parse(const char *name, struct tenant *ret_tenant,
				    uint64_t *ret_first, uint64_t *ret_end);

struct segment_file {
	struct tenant tenant;
	uint64_t first, end; /* commits */
	char name[SEGMENT_NAME_SIZE];
	struct segment segment;
	int error;	     /* why it could not be opened; 0: it is open */
	uint64_t error_at;   /* where in the file that was found */
	bool marked;	     /* the keeper found that it is damaged */
	bool checked, whole; /* whether its blocks were read, and are what they were */
};

/** Whether a segment can be relied on, for all that is known. */
static inline bool segment_file_is_sound(const struct segment_file *f)
{
	return f->error == 0 && !f->marked;
}

/** What one segment has of a journal. */
struct segment_span {
	struct id journal;
	uint64_t first_seq, end_seq, first_batch, end_batch;
	uint32_t file, number; /* the journal's in it */
};

struct segment_set {
	struct segment_file *files; /* owned; by tenant, then commits */
	uint32_t n;
	uint32_t n_damaged; /* files that are no segments, or not those that their names say */
	struct segment_span *spans; /* owned; by journal, then seq */
	uint32_t n_spans;
	struct timespec
		changed; /* the directory, when it was read; zero: too shortly before to tell the next change */
};

/**
 * Open all segments that count.  One that cannot be opened keeps its place, with its error.
 *
 * @return 0, also where there are none; -ENOMEM; a negated errno of the directory, or where descriptors are short.
 */
_must_check_ int segment_set_open(struct segment_set *s, const struct state *state);
void segment_set_close(struct segment_set *s);
/** Make the spans of files that were opened elsewhere, of all origins or of one.  @return 0 or -ENOMEM. */
_must_check_ int segment_set_index(struct segment_set *s, const struct id *origin);
/**
 * Whether the directory has other segments by now.  Who reads tails after segments asks at the end, and starts over: a tail
 * may have gone because a new segment has what it had.
 */
bool segment_set_is_stale(const struct segment_set *s, const struct state *state);
/** The spans of a journal. */
const struct segment_span *segment_set_of(const struct segment_set *s, const struct id *journal,
					  uint32_t *ret_n);
/** Whether entries [first_seq, end_seq) of a journal are all in one segment. */
bool segment_set_has(const struct segment_set *s, const struct id *journal, uint64_t first_seq,
		     uint64_t end_seq);
/** Whether batches [first_batch, end_batch) are in segments, none of them marked. */
bool segment_set_has_all(const struct segment_set *s, const struct id *journal,
			 uint64_t first_batch, uint64_t end_batch);
/**
 * The same, of segments every block of which is whole: asked before anything goes that they stand for.  Each is read once for a
 * set.
 */
bool segment_set_has_whole(struct segment_set *s, const struct id *journal, uint64_t first_batch,
			   uint64_t end_batch);
/**
 * Remove what a kill left of a merge: what was not finished, and files that others contain.  Nothing goes that a damaged one
 * would stand for.
 *
 * @return 0 or a negated errno.
 */
_must_check_ int segment_set_sweep(struct segment_set *s, int dirfd);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_TAIL_INDEX_H
#define BULLA_STORE_TAIL_INDEX_H

/**
 * Where the rows of a tail lie, without reading them: a hop from frame head to frame head.
 *
 * The index believes heads; whoever reads rows checks their frame.  A tail may be written to while it is indexed: a frame
 * that cannot be read is damaged only if another one follows it, for frames are written one after another; otherwise it
 * is not there yet.  What is damaged is passed over and counted.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "store/tail_reader.h"

/** One rows frame. */
struct rows_ref {
	uint64_t offset; /* of the frame */
	uint32_t space;	 /* that it occupies */
	uint32_t file;	 /* which one, where there are several; 0 in a tail */
	uint32_t count;
	uint64_t first_seq;
	uint64_t time_min, time_max;
	int64_t mono_offset;
	bool has_mono; /* its batch has been cut */
	bool own_fields;
};

struct rows_index {
	struct rows_ref *at; /* owned */
	size_t n, cap;
	size_t n_uncut;	  /* trailing ones whose batch has not been cut */
	size_t n_damaged; /* places that could not be read */
	uint64_t met;	  /* what has smaller numbers counts no more; for who reads on, see below */
	/*
	 * A context may have been among the damage.  Contexts have their numbers by counting: none behind it was taken in,
	 * so that rows with such numbers are unreadable rather than somebody else's.
	 */
	bool contexts_lost;
};

void rows_index_done(struct rows_index *i);
/**
 * Index a tail that tail_reader_open() has just opened.  Contexts gather in `t`; its next read starts behind the last
 * whole frame.
 *
 * @return 0; BULLA_ECORRUPT or another error of the first context that cannot be used; a negated errno.
 */
_must_check_ int rows_index_build(struct rows_index *i, struct tail_reader *t);
/**
 * Whether a frame that comes behind those of the index counts.  Entries are numbered on and on: of two frames that have the same
 * numbers one is damaged, or was put there.  The later one counts only if what it repeats is damaged, which the index then has
 * no more.  The index does this itself; who reads on behind it asks, and puts into `met` the number behind the last that it took.
 */
bool rows_index_counts(struct rows_index *i, int fd, const struct rows_ref *ref);
/** Read and check one frame.  @return 0; BULLA_ECORRUPT, BULLA_ETRUNCATED; -ENOMEM; a negated errno. */
_must_check_ int rows_ref_read(int fd, const struct rows_ref *ref, struct buf *frame,
			       struct tail_rows *ret);

#endif

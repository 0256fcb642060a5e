/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_FORWARDER_RECEIVE_INTERNAL_H
#define BULLA_FORWARDER_RECEIVE_INTERNAL_H

/** Shared by receive.c, which stages what comes, and receive_commit.c, which holds it against what the commit says. */

#include "base/buf.h"
#include "forwarder/receive.h"
#include "forwarder/told.h"
#include "store/batchroot.h"

/* A batch of the commit that is coming in. */
struct staged {
	struct wire_batch wire;
	int64_t handle; /* or -ENOENT: opened by this very commit */
	struct told_draft draft;
	bool begun;
	uint64_t first_seq;
	uint32_t entries;
	uint64_t bytes, time_min, time_max;
	struct hash root;
	size_t rows_from, rows_to; /* in receiver.rows */
	bool packed;
};

struct receiver {
	struct history *history;
	struct told **told; /* by handle */
	uint32_t n_told, told_cap;
	struct buried *buried;
	struct hash *remembered; /* ring of record hashes, by commit number */
	/* The commit that is coming in. */
	struct staged *staged;
	size_t n_staged, staged_cap;
	struct rows_ref *rows;
	size_t n_rows, rows_cap;
	struct received_batch *batches;
	size_t batches_cap;
	struct batchroot root;
	struct buf raw;
	struct hash record;
	bool offered, has_header;
	uint64_t content; /* bytes of entries */
	/*
	 * Keys outlive the refusal of the commit that they came with.  They come again with it then, and must: what is kept of
	 * a commit has to make sense without what was refused before it.
	 */
	struct hash keys;
	bool keys_pending; /* came since the last commit that was kept */
	bool keys_here;	   /* came with the commit that is coming in */
};

/** Array growth by doubling. */
_must_check_ int receiver_grow(void *array, size_t *cap, size_t need, size_t size);
/** The batch at hand has come whole. */
void receiver_end_batch(struct receiver *r);
/** Which contexts the rows of a batch mean is not looked up: any.  @return 0; BULLA_ECORRUPT: there are none. */
_must_check_ int staged_use_all(struct staged *s);
/** Take a commit record.  As receiver_frame(). */
_must_check_ int receiver_commit(struct receiver *r, const struct frame *f, unsigned how,
				 struct received *ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_COMPACT_H
#define BULLA_AGGREGATOR_COMPACT_H

/**
 * A segment out of batches that lie in an object of a lane.
 *
 * What is in the object was verified when it came; it is hashed again here, and once more when the segment is read back.  A
 * batch that is not what was sealed is left out and told of, and the others go on.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "seal/statement.h"
#include "store/contexts.h"
#include "store/tail_reader.h"
#include "store/tenant.h"

/** What is sealed of a batch, and where its rows lie. */
struct compact_batch {
	uint32_t journal; /* of the task */
	uint32_t entries;
	uint64_t commit, commit_time_ns;
	uint64_t batch_no, first_seq;
	int64_t mono_offset;
	struct hash leaf;
	uint64_t offset; /* of the first rows frame; the others follow it */
	bool recovered;
	bool left_out; /* set where it is no part of the segment */
};

struct compact_journal {
	struct id id, boot;
	uint32_t origin;		 /* of the task */
	const struct contexts *contexts; /* borrowed */
	struct seeds seeds;		 /* owned */
	int64_t number;			 /* in the segment; the task's */
};

/** Batches in the order of their offsets; those of a journal are in its order. */
struct compact_task {
	int object;	      /* borrowed */
	struct tenant tenant; /* of all journals */
	const struct id *origins;
	uint32_t n_origins;
	struct compact_journal *journals;
	struct compact_batch *batches;
	size_t n_batches;
	int level;		 /* zstd's */
	const atomic_bool *stop; /* looked at now and then; NULL: never */
};

/** What was made. */
struct compacted {
	uint64_t size, batches, entries, left_out;
};

/**
 * Write a segment under a name that is free, read it back, and see that it has all that was not left out.
 *
 * @return 0; 1: all were left out, and there is no file; BULLA_ECORRUPT where it does not read back as it should; BULLA_ELIMIT;
 *         -EINTR: it was stopped; -ENOMEM; a negated errno.  After an error there is no file.
 */
_must_check_ int compact(struct compact_task *t, int dirfd, const char *name,
			 struct compacted *ret);

#endif

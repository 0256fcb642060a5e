/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_HAND_H
#define BULLA_STORE_SEGMENT_HAND_H

/**
 * The segment at hand of one tenant: a file that is written under a name that says so, read back, and only then given its own.
 */

#include <stdint.h>

#include "base/attr.h"
#include "store/segment/build.h"
#include "store/segment/check.h"
#include "store/segment/coverage.h"
#include "store/segment/writer.h"

enum { HANDS_MAX = 256, HAND_NAME_SIZE = sizeof SEGMENT_UNFINISHED + 12 };

/** A sealed batch that is still to be read from its tail. */
struct hand_batch {
	uint32_t handle, entries;
	uint64_t commit, time_ns; /* of the commit */
	uint64_t batch_no, first_seq, bytes;
	int64_t mono_offset;
	struct hash leaf;
	bool recovered;
	bool absent; /* its root is, and so nobody knows its leaf */
};

struct segment_hand {
	struct covered *of;
	int dirfd;		   /* borrowed */
	char name[HAND_NAME_SIZE]; /* of the file, until it is whole */
	struct segment_writer writer;
	struct segment_made made;
	struct sealed_batch *sealed; /* owned: its batches */
	size_t sealed_cap;
	struct hand_batch *awaited; /* owned */
	size_t n_awaited, awaited_cap;
	uint64_t awaited_entries, awaited_bytes;
	uint64_t since_ns; /* time of its first commit */
};

/**
 * Begin the segment of a tenant; `number` is no other's.  Its first commit that has a batch is at `time_ns`.
 *
 * @return 0, -ENOMEM, a negated errno.
 */
_must_check_ int hand_new(struct segment_hand **ret, struct covered *of, unsigned number, int dirfd,
			  int level, const struct id *origin, uint64_t time_ns);
/** What is not finished goes. */
struct segment_hand *hand_free(struct segment_hand *h);
/** A batch is to come, of a commit of which this is a batch.  @return 0 or -ENOMEM. */
_must_check_ int hand_await(struct segment_hand *h, const struct commit *c, uint32_t handle,
			    const struct batch *b);
/** Entries that it has or waits for. */
static inline uint64_t hand_entries(const struct segment_hand *h)
{
	return h->made.entries + h->awaited_entries;
}
/** A batch was written that has to come out again as it was sealed.  @return 0 or -ENOMEM. */
_must_check_ int hand_remember(struct segment_hand *h, uint32_t journal,
			       const struct hand_batch *b);
/** End it: commits before `end` are there, and so are its file and its name.  @return 0, or an error:
 * BULLA_ECORRUPT where it does not give back what was sealed. */
_must_check_ int hand_finish(struct segment_hand *h, uint64_t end);
/** Remove files that a kill left unfinished.  @return 0 or a negated errno. */
_must_check_ int hands_sweep(int dirfd);

#endif

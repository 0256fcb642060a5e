/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_LANE_H
#define BULLA_AGGREGATOR_LANE_H

/**
 * Lanes: the logs of what was received.
 *
 * Every origin belongs to one lane for ever.  A lane is a sequence of objects lanes/<lane>/<seq>; each is a sequence of
 * blocks, a block is one commit of one origin as it travelled:
 *
 *	block   frame { origin[16] | u64 commit | u32 size } | size bytes of frames (forwarder/wire.h)
 *
 * The object under way takes appends; lane_sync() makes all of them durable with one call, however many threads wait.
 */

#include <pthread.h>
#include <stdint.h>

#include "aggregator/objstore.h"
#include "base/attr.h"
#include "seal/statement.h"

enum {
	LANES = 16,
	LANE_OBJECT_SIZE = 64 << 20,
	LANE_BLOCK = 0x31,
	LANE_BLOCK_SIZE = ID_SIZE + 8 + 4
};

struct lane {
	unsigned number;
	int prefix;	  /* directory */
	int fd;		  /* object under way */
	uint64_t seq;	  /* its number */
	uint64_t end;	  /* its size so far */
	uint64_t written; /* bytes appended since start, over all objects */
	uint64_t synced;  /* of those, durable */
	bool syncing;
	pthread_mutex_t lock; /* guards all of the above */
	pthread_cond_t synced_more;
};

unsigned lane_of(const struct id *origin);

/** One block found while opening; `frames` are valid during the call.  A negative return ends the opening. */
typedef int (*lane_block_fn)(void *arg, const struct lane *l, uint64_t seq, const struct id *origin,
			     uint64_t commit, const uint8_t *frames, size_t size, uint64_t offset);

/** Open a lane, giving each of its blocks; a torn end of the object under way is cut off. */
_must_check_ int lane_open(struct lane *l, struct objstore *store, unsigned number,
			   lane_block_fn each, void *arg);
void lane_close(struct lane *l);
/** Append a block.  @return 0, and where its frames begin. */
_must_check_ int lane_append(struct lane *l, const struct id *origin, uint64_t commit,
			     const uint8_t *frames, size_t size, uint64_t *ret_seq,
			     uint64_t *ret_offset);
/** Return when all that was appended before the call is durable. */
_must_check_ int lane_sync(struct lane *l);
/** Open an object of the lane for reading. */
_must_check_ int lane_read(struct lane *l, uint64_t seq);

#endif

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
 * Once segments have an object's rows, its *rest* (rest.h) takes its place: lanes/<lane>/<seq>.rest, with blocks of a type of
 * their own.  Where both are there, the object counts.
 *
 * The object under way takes appends; lane_sync() makes all of them durable with one call, however many threads wait.
 */

#include <pthread.h>
#include <stdint.h>

#include "aggregator/objstore.h"
#include "base/attr.h"
#include "base/frame.h"
#include "seal/statement.h"

enum {
	LANES = 16,
	LANE_BLOCK = 0x31,
	LANE_REST = 0x32, /* the same, without what segments have */
	LANE_BLOCK_SIZE = ID_SIZE + 8 + 4,
	LANE_NAME_SIZE = 32,
};

/** What is before a block's frames. */
struct lane_head {
	struct id origin;
	uint64_t commit;
	uint32_t size;
};

enum {
	LANE_HEAD_SPACE =
		(FRAME_HEADER_SIZE + LANE_BLOCK_SIZE + FRAME_ALIGN - 1) / FRAME_ALIGN * FRAME_ALIGN
};

/** Write the whole frame. */
void lane_head_encode(const struct lane_head *h, uint32_t type, uint8_t to[LANE_HEAD_SPACE]);
/** @return whether a frame is one. */
bool lane_head_decode(const struct frame *f, struct lane_head *ret);

/** An object is full from this size on; tests make it small. */
extern uint64_t lane_object_size;

struct lane {
	unsigned number;
	int prefix;	  /* directory */
	int fd;		  /* object under way; -1 until there is room for it */
	uint64_t seq;	  /* its number */
	uint64_t end;	  /* its size so far */
	uint64_t since;	  /* monotonic: when its first block came, or it was opened with some */
	uint64_t written; /* bytes appended since start, over all objects */
	uint64_t synced;  /* of those, durable */
	bool syncing;
	bool torn;  /* behind `end` lies what a failed write left, and has still to be cut off */
	int failed; /* < 0 from the first sync on that failed: nothing is taken any more */
	pthread_mutex_t lock; /* guards all of the above */
	pthread_cond_t synced_more;
};

unsigned lane_of(const struct id *origin);

/** One block found while opening. */
struct lane_block {
	uint64_t seq; /* of its object */
	bool rest;    /* it lies in the object's rest */
	struct id origin;
	uint64_t commit;
	const uint8_t *frames; /* valid during the call */
	size_t size;
	uint64_t offset; /* of the frames */
	bool doubtful;	 /* found behind damage: it may be no block of ours */
	bool damaged;	 /* it is not whole, and no torn end: there are no frames */
	bool nobodys;	 /* of a damaged one: its head is damaged, too; there is but `offset` */
};

/** Takes a block, or learns that a damaged one is there.  A negative return ends the opening. */
typedef int (*lane_block_fn)(void *arg, const struct lane *l, const struct lane_block *b);

/**
 * Open a lane, giving each of its whole blocks; what is damaged is stepped over, and behind the last whole block the object
 * under way is cut off.
 */
_must_check_ int lane_open(struct lane *l, struct objstore *store, unsigned number,
			   lane_block_fn each, void *arg);
void lane_close(struct lane *l);
/**
 * Append a block.
 *
 * @return 0, and where its frames begin; a negated errno: nothing has happened, and unless it was a sync that failed the
 *         next call may succeed.
 */
_must_check_ int lane_append(struct lane *l, const struct id *origin, uint64_t commit,
			     const uint8_t *frames, size_t size, uint64_t *ret_seq,
			     uint64_t *ret_offset);
/** Return when all that was appended before the call is durable.  After one failure every call fails. */
_must_check_ int lane_sync(struct lane *l);
/** Number of the object under way: those before it are complete. */
uint64_t lane_next(struct lane *l);
/** Complete the object under way if its first block came so long ago.  @return 0 or an error of lane_append(). */
_must_check_ int lane_rotate(struct lane *l, uint64_t age_ns);
/**
 * Give the blocks of an object, or of its rest, as lane_open() does; but what is in a block is not looked at.  Of the object under
 * way those that are whole by now.
 *
 * @return 0; -ENOENT; an error of the callback; a negated errno.
 */
_must_check_ int lane_scan(struct lane *l, uint64_t seq, lane_block_fn each, void *arg);
/** Name of an object, or of its rest. */
void lane_name(uint64_t seq, bool rest, char ret[LANE_NAME_SIZE]);
/** Open an object of the lane, or its rest, for reading. */
_must_check_ int lane_read(struct lane *l, uint64_t seq, bool rest);

#endif

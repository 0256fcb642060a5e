/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_FRAMEFILE_H
#define BULLA_BASE_FRAMEFILE_H

/**
 * Reading a file of frames (base/frame.h) from the front, while another process may be appending to it.
 *
 * Memory is one buffer: small at first, up to 256 KiB while it is read on and on, and as large as the largest frame met.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/frame.h"

struct frame_reader {
	int fd;		   /* borrowed */
	uint32_t size_max; /* of a payload */
	uint64_t offset;   /* in the file, of the next frame */
	uint8_t *buf;	   /* owned */
	size_t cap;
	size_t ahead;	/* how much to read at once, the next time */
	size_t at, len; /* unread bytes are buf[at .. at+len) and lie at `offset` */
};

/** Start reading at `offset`. */
void frame_reader_init(struct frame_reader *r, int fd, uint64_t offset, uint32_t size_max);
void frame_reader_done(struct frame_reader *r);
/** Move to another frame. */
void frame_reader_seek(struct frame_reader *r, uint64_t offset);

/**
 * Read the next frame; its payload is valid until the next call.
 *
 * @return 1, and `*ret_offset` is where the frame begins; 0 at the end (end of file or zeroes), where the next call tries
 *         again; BULLA_ETRUNCATED, BULLA_ECORRUPT or BULLA_ELIMIT for a frame that is torn or damaged, where the reader
 *         stays; a negated errno.
 */
_must_check_ int frame_reader_next(struct frame_reader *r, struct frame *ret, uint64_t *ret_offset);

/**
 * Step over damage: move to the first whole frame at or behind `from` (a multiple of FRAME_ALIGN) whose type is one of
 * `type_min` to `type_max`.
 *
 * What looks like a frame must be checked to its end, and a hostile file may look like one everywhere: `*budget` is
 * lowered by the bytes so checked, and when it is used up the search ends.  A frame that is found may as well be content
 * of the damaged one, written there by whoever logs; it has to stand for itself.
 *
 * @return 1; 0 when there is none, BULLA_ELIMIT when the budget is used up, and a negated errno: the reader then stays.
 */
_must_check_ int frame_reader_search(struct frame_reader *r, uint64_t from, uint32_t type_min,
				     uint32_t type_max, uint64_t *budget);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_STAGE_H
#define BULLA_STORE_STAGE_H

/**
 * Rows being gathered for one rows frame.
 *
 *	stage_room -> stage_add ... -> stage_frame -> stage_clear
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "store/row.h"
#include "store/tail_reader.h"

struct stage {
	struct buf rows;
	struct row_state state;
	uint32_t n;
	bool own_fields;
	uint64_t time_min, time_max;
	void *lz4; /* owned: its state */
};

/** Make room for an entry that has a row.  @return 0; -ENOBUFS when it has to go into the next frame; -ENOMEM. */
_must_check_ int stage_room(struct stage *s, const struct entry *e);
/** Add the entry there is room for; `context` is the number of its context in the tail. */
void stage_add(struct stage *s, const struct entry *e, uint32_t context);
/**
 * Make the frame's payload in `frame`, behind FRAME_HEADER_SIZE bytes that frame_finish() fills in.  Of `head` first_seq and
 * channels are the caller's; the rest is filled in.
 *
 * @return its size; -ENOMEM.
 */
_must_check_ int64_t stage_frame(struct stage *s, struct tail_rows *head, struct buf *frame);
/** Forget the rows. */
void stage_clear(struct stage *s);
/** Give back memory that only a busy source needs; rows stay. */
void stage_relax(struct stage *s);
/** Take over another's compressor. */
void stage_take_scratch(struct stage *s, struct stage *from);
void stage_done(struct stage *s);

#endif

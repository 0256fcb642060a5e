/* SPDX-License-Identifier: Apache-2.0 */

#include "aggregator/rest.h"

#include <errno.h>

#include "aggregator/lane.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/framefile.h"
#include "base/io.h"
#include "bulla/error.h"
#include "forwarder/wire.h"

/* The batch at hand; its head begins at `at` of the block. */
struct batch_left {
	bool open, kept, has_rows, rows_stay;
	size_t at;
};

struct writing {
	const struct rest *rest;
	struct frame_reader from;
	int to;
	uint64_t written;
	struct buf block; /* what is left of the one at hand */
	struct batch_left batch;
};

/* A batch of which nothing is left but its head has not even that. */
static void end_batch(struct writing *w)
{
	if (w->batch.open && !w->batch.kept)
		w->block.len = w->batch.at;
	w->batch = (struct batch_left){ 0 };
}

static void put(struct writing *w, const struct frame *f)
{
	wire_frame(&w->block, f->type, f->payload, f->size);
}

static int on_batch(struct writing *w, const struct frame *f)
{
	struct wire_batch head;
	int r = wire_batch_decode(f->payload, f->size, &head);

	if (r < 0)
		return r;
	end_batch(w);
	w->batch = (struct batch_left){
		.open = true,
		.kept = head.absent != ABSENT_NOT || head.flags & WIRE_BATCH_ALL,
		.at = w->block.len,
	};
	put(w, f);
	return 0;
}

static int on_rows(struct writing *w, const struct frame *f, uint64_t offset)
{
	struct batch_left *b = &w->batch;
	int r;

	if (!b->has_rows) {
		b->has_rows = true;
		b->rows_stay = w->rest->stays(w->rest->arg, offset);
		b->kept |= b->rows_stay;
	}
	if (!b->rows_stay)
		return 0;
	r = w->rest->moved(w->rest->arg, offset, w->written + w->block.len);
	put(w, f);
	return r;
}

static int on_frame(struct writing *w, const struct frame *f, uint64_t offset)
{
	switch (f->type) {
	case WIRE_KEYS:
	case WIRE_COMMIT:
		end_batch(w);
		put(w, f);
		return 0;
	case WIRE_BATCH:
		return on_batch(w, f);
	case TAIL_CONTEXT:
	case TAIL_SEED:
		w->batch.kept = true;
		put(w, f);
		return w->batch.open ? 0 : BULLA_ECORRUPT;
	case TAIL_ROWS:
		return w->batch.open ? on_rows(w, f, offset) : BULLA_ECORRUPT;
	default:
		return BULLA_ECORRUPT;
	}
}

static int write_block(struct writing *w, const struct lane_head *head)
{
	struct lane_head left = *head;
	int r;

	if (w->block.bad)
		return -ENOMEM;
	left.size = (uint32_t) (w->block.len - LANE_HEAD_SPACE);
	lane_head_encode(&left, LANE_REST, w->block.data);
	r = io_pwrite(w->to, w->block.data, w->block.len, w->written);
	w->written += w->block.len;
	return r;
}

/* @return as frame_reader_next(), but that there must be one. */
static int next_frame(struct writing *w, struct frame *f, uint64_t *ret_offset)
{
	int r = frame_reader_next(&w->from, f, ret_offset);

	return r == 0 ? BULLA_ETRUNCATED : r;
}

static int take_block(struct writing *w)
{
	struct lane_head head;
	struct frame f;
	static const uint8_t room[LANE_HEAD_SPACE];
	uint64_t offset, end;
	int r = next_frame(w, &f, &offset);

	if (r < 0)
		return r;
	if (f.type != LANE_BLOCK || !lane_head_decode(&f, &head))
		return BULLA_ECORRUPT;
	end = w->from.offset + head.size;
	buf_clear(&w->block);
	buf_append(&w->block, room, sizeof room);
	while (w->from.offset < end) {
		r = next_frame(w, &f, &offset);
		if (r >= 0)
			r = on_frame(w, &f, offset);
		if (r < 0)
			return r;
	}
	end_batch(w);
	return w->from.offset == end ? write_block(w, &head) : BULLA_ECORRUPT;
}

int64_t rest_write(const struct rest *x, int object, uint64_t size, int to)
{
	struct writing w = { .rest = x, .to = to };
	int r = 0;

	frame_reader_init(&w.from, object, 0, WIRE_RECORD_MAX);
	while (r >= 0 && w.from.offset < size)
		r = take_block(&w);
	if (r >= 0 && w.from.offset != size)
		r = BULLA_ECORRUPT;
	frame_reader_done(&w.from);
	buf_done(&w.block);
	return r < 0 ? r : (int64_t) w.written;
}

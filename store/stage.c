/* SPDX-License-Identifier: Apache-2.0 */

#include "store/stage.h"

#include <assert.h>
#include <errno.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

int stage_room(struct stage *s, const struct entry *e)
{
	size_t size = row_size_max(e);

	if (s->rows.len + size > ROWS_RAW_MAX)
		return -ENOBUFS;
	return buf_room(&s->rows, size) ? 0 : -ENOMEM;
}

void stage_add(struct stage *s, const struct entry *e, uint32_t context)
{
	size_t size = row_size_max(e);
	uint8_t *room = buf_room(&s->rows, size);
	struct wr w = wr_of(room, size);

	assert(room);
	row_encode(&s->state, e, context, &w);
	assert(!w.bad);
	buf_add(&s->rows, w.len);
	if (s->n == 0) {
		s->time_min = UINT64_MAX;
		s->time_max = 0;
		s->own_fields = false;
	}
	s->own_fields |= e->n_fields > 0;
	s->time_min = MIN_OF(s->time_min, e->time_ns);
	s->time_max = MAX_OF(s->time_max, e->time_ns);
	s->n++;
}

/* Where compressing gains nothing rows go in as they are. */
static int compress(struct stage *s, uint8_t *to, size_t room, struct tail_rows *head)
{
	int n;

	if (!s->lz4) {
		s->lz4 = malloc((size_t) LZ4_sizeofState());
		if (!s->lz4)
			return -ENOMEM;
	}
	n = LZ4_compress_fast_extState(s->lz4, (const char *) s->rows.data, (char *) to,
				       (int) s->rows.len, (int) room, 1);
	if (n > 0 && (size_t) n < s->rows.len) {
		head->codec = ROWS_LZ4;
		head->data_size = (uint32_t) n;
		return 0;
	}
	assert(room >= s->rows.len);
	memcpy(to, s->rows.data, s->rows.len);
	head->codec = ROWS_RAW;
	head->data_size = (uint32_t) s->rows.len;
	return 0;
}

int64_t stage_frame(struct stage *s, struct tail_rows *head, struct buf *frame)
{
	size_t head_size = 8 + 4 + 4 + 8 + 8 + 1 + 1 + (size_t) head->n_channels * 9;
	size_t room = (size_t) LZ4_compressBound((int) s->rows.len);
	uint8_t *at;
	struct wr w;
	int r;

	head->count = s->n;
	head->raw_size = (uint32_t) s->rows.len;
	head->time_min = s->time_min;
	head->time_max = s->time_max;
	head->own_fields = s->own_fields;
	buf_clear(frame);
	at = buf_room(frame, frame_space(head_size + room));
	if (!at)
		return -ENOMEM;
	r = compress(s, at + FRAME_HEADER_SIZE + head_size, room, head);
	if (r < 0)
		return r;
	w = wr_of(at + FRAME_HEADER_SIZE, head_size);
	tail_rows_encode_head(head, &w);
	assert(!w.bad && w.len == head_size);
	return (int64_t) (head_size + head->data_size);
}

void stage_clear(struct stage *s)
{
	buf_clear(&s->rows);
	s->state = (struct row_state){ 0 };
	s->n = 0;
}

void stage_relax(struct stage *s)
{
	if (s->n == 0)
		buf_done(&s->rows);
	free(s->lz4);
	s->lz4 = NULL;
}

void stage_take_scratch(struct stage *s, struct stage *from)
{
	free(s->lz4);
	s->lz4 = TAKE_PTR(from->lz4);
}

void stage_done(struct stage *s)
{
	buf_done(&s->rows);
	free(s->lz4);
	*s = (struct stage){ 0 };
}

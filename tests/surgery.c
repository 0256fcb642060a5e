/* SPDX-License-Identifier: Apache-2.0 */

/** Behind surgery.h. */

#include "tests/surgery.h"

#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "store/format.h"
#include "tests/builder.h"

enum { FRAME_MAX = 32 << 20 };

static void set(struct piece *p, uint32_t type, const void *payload, size_t n)
{
	p->type = type;
	buf_clear(&p->payload);
	buf_append(&p->payload, payload, n);
	assert(!p->payload.bad);
}

void surgery_open(struct surgery *s, const char *dir, const char *name)
{
	_cleanup_buf_ struct buf bytes = { 0 };
	struct frame f;
	ssize_t space;

	memset(s, 0, sizeof *s);
	snprintf(s->dir, sizeof s->dir, "%s", dir);
	snprintf(s->name, sizeof s->name, "%s", name);
	builder_load(dir, name, &bytes);
	for (size_t at = 0;
	     (space = frame_parse(bytes.data + at, bytes.len - at, FRAME_MAX, &f)) > 0;
	     at += (size_t) space) {
		assert(s->n < SURGERY_PIECES_MAX);
		set(&s->piece[s->n++], f.type, f.payload, f.size);
	}
}

void surgery_done(struct surgery *s)
{
	while (s->n > 0)
		buf_done(&s->piece[--s->n].payload);
}

void surgery_close(struct surgery *s)
{
	_cleanup_buf_ struct buf bytes = { 0 };

	for (size_t i = 0; i < s->n; i++) {
		const struct piece *p = &s->piece[i];
		uint8_t *at = buf_room(&bytes, frame_space(p->payload.len));

		assert(at);
		if (p->payload.len > 0)
			memcpy(at + FRAME_HEADER_SIZE, p->payload.data, p->payload.len);
		buf_add(&bytes, frame_finish(at, p->type, (uint32_t) p->payload.len));
	}
	builder_store(s->dir, s->name, bytes.data, bytes.len);
	surgery_done(s);
}

size_t surgery_find(const struct surgery *s, uint32_t type, size_t nth)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->piece[i].type == type && nth-- == 0)
			return i;
	assert(!"no such piece");
	return 0;
}

void surgery_remove(struct surgery *s, size_t at)
{
	assert(at < s->n);
	buf_done(&s->piece[at].payload);
	s->n--;
	memmove(&s->piece[at], &s->piece[at + 1], (s->n - at) * sizeof *s->piece);
}

void surgery_insert(struct surgery *s, size_t at, uint32_t type, const void *payload, size_t n)
{
	struct piece p = { 0 };

	assert(at <= s->n && s->n < SURGERY_PIECES_MAX);
	set(&p, type, payload, n);
	memmove(&s->piece[at + 1], &s->piece[at], (s->n - at) * sizeof *s->piece);
	s->piece[at] = p;
	s->n++;
}

void surgery_swap(struct surgery *s, size_t a, size_t b)
{
	struct piece p = s->piece[a];

	s->piece[a] = s->piece[b];
	s->piece[b] = p;
}

void surgery_rows(const struct surgery *s, size_t at, struct tail_rows *head, struct buf *raw)
{
	const struct piece *p = &s->piece[at];
	int r;

	assert(p->type == TAIL_ROWS);
	r = tail_rows_decode(p->payload.data, p->payload.len, head);
	assert(r == 0);
	r = tail_rows_unpack(head, raw);
	assert(r == 0);
}

void surgery_set_rows(struct surgery *s, size_t at, const struct tail_rows *head,
		      const struct buf *raw)
{
	struct tail_rows plain = *head;
	uint8_t bytes[ROWS_HEADER_MAX];
	struct wr w = wr_of(bytes, sizeof bytes);

	plain.codec = ROWS_RAW;
	plain.raw_size = (uint32_t) raw->len;
	tail_rows_encode_head(&plain, &w);
	set(&s->piece[at], TAIL_ROWS, bytes, w.len);
	buf_append(&s->piece[at].payload, raw->data, raw->len);
	assert(!s->piece[at].payload.bad);
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->bad = false;
}

void buf_trim(struct buf *b)
{
	uint8_t *less = b->len > 0 && b->len < b->cap ? realloc(b->data, b->len) : NULL;

	if (!less)
		return;
	b->data = less;
	b->cap = b->len;
}

void buf_reserve(struct buf *b, size_t n)
{
	uint8_t *more = n > b->cap ? realloc(b->data, n) : b->data;

	if (n <= b->cap)
		return;
	b->bad |= !more;
	if (!more)
		return;
	b->data = more;
	b->cap = n;
}

uint8_t *buf_room(struct buf *b, size_t n)
{
	size_t need, cap;
	uint8_t *data;

	if (b->bad || __builtin_add_overflow(b->len, n, &need)) {
		b->bad = true;
		return NULL;
	}
	if (need > b->cap || !b->data) {
		cap = b->cap ? b->cap : 256;
		while (cap < need)
			cap = cap > SIZE_MAX / 2 ? need : cap * 2;
		data = realloc(b->data, cap);
		if (!data) {
			b->bad = true;
			return NULL;
		}
		b->data = data;
		b->cap = cap;
	}
	return b->data + b->len;
}

void buf_add(struct buf *b, size_t n)
{
	assert(b->bad || n <= b->cap - b->len);
	if (!b->bad)
		b->len += n;
}

void buf_append(struct buf *b, const void *data, size_t n)
{
	uint8_t *p = buf_room(b, n);

	if (!p)
		return;
	if (n > 0)
		memcpy(p, data, n);
	b->len += n;
}

void buf_str(struct buf *b, const char *s)
{
	buf_append(b, s, strlen(s));
}

void buf_char(struct buf *b, char c)
{
	buf_append(b, &c, 1);
}

void buf_varint(struct buf *b, uint64_t v)
{
	uint8_t *p = buf_room(b, VARINT_SIZE_MAX);

	if (p)
		buf_add(b, (size_t) (varint_put(p, v) - p));
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list ap;
	int n;

	for (size_t room = 128;; room = (size_t) n + 1) {
		char *p = (char *) buf_room(b, room);

		if (!p)
			return;
		va_start(ap, format);
		n = vsnprintf(p, room, format, ap);
		va_end(ap);
		assert(n >= 0);
		if ((size_t) n < room)
			break;
	}
	b->len += (size_t) n;
}

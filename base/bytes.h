/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_BYTES_H
#define BULLA_BASE_BYTES_H

/**
 * Bounded cursors over bytes: the only way in which this tree reads or writes a format.
 *
 * Both latch their first error: read or write at will, ask once at the end.  Integers are little endian.  A varint is
 * LEB128 of a u64 in its shortest form; a longer form is refused, so a number has one encoding.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"

/** A read cursor.  `bad` is set by the first read past the end or of a malformed number; reads then yield zero. */
struct rd {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static inline struct rd rd_of(const void *p, size_t n)
{
	return (struct rd){ .p = p, .left = n };
}

/** Borrow the next `n` bytes, or NULL (and `bad`) if there are fewer. */
static inline const uint8_t *rd_bytes(struct rd *r, size_t n)
{
	const uint8_t *p = r->p;

	if (_unlikely_(r->bad || n > r->left)) {
		r->bad = true;
		return NULL;
	}
	/* A cursor over no memory at all has nothing that an offset could be added to, not even 0. */
	if (n > 0) {
		r->p += n;
		r->left -= n;
	}
	return p;
}

/** Copy the next `n` bytes to `to`; zeroes there if there are fewer. */
static inline void rd_copy(struct rd *r, void *to, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);

	if (p)
		memcpy(to, p, n);
	else
		memset(to, 0, n);
}

#define RD_INT(name, type)                                \
	static inline type name(struct rd *r)             \
	{                                                 \
		type v = 0;                               \
		const uint8_t *p = rd_bytes(r, sizeof v); \
		if (p)                                    \
			memcpy(&v, p, sizeof v);          \
		return v;                                 \
	}

RD_INT(rd_u8, uint8_t)
RD_INT(rd_u16, uint16_t)
RD_INT(rd_u32, uint32_t)
RD_INT(rd_u64, uint64_t)
RD_INT(rd_i64, int64_t)

static inline uint64_t rd_varint(struct rd *r)
{
	uint64_t v = 0;

	if (_likely_(!r->bad && r->left > 0 && *r->p < 0x80)) {
		r->left--;
		return *r->p++;
	}
	for (unsigned shift = 0; shift < 70; shift += 7) {
		if (_unlikely_(r->bad || r->left == 0))
			break;
		uint8_t b = *r->p++;
		r->left--;
		if (shift == 63 && b > 1)
			break;
		v |= (uint64_t) (b & 0x7f) << shift;
		if (!(b & 0x80)) {
			if (b == 0 && shift > 0)
				break;
			return v;
		}
	}
	r->bad = true;
	return 0;
}

/** A signed difference as a number that is small where the difference is, and back. */
static inline uint64_t zigzag(uint64_t difference)
{
	return (difference << 1) ^ (0 - (difference >> 63));
}

static inline uint64_t unzigzag(uint64_t v)
{
	return (v >> 1) ^ (0 - (v & 1));
}

static inline int64_t rd_zigzag(struct rd *r)
{
	return (int64_t) unzigzag(rd_varint(r));
}

/** Numbers as the network writes them, where others have said so. */
static inline void put_be64(uint8_t *to, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		to[i] = (uint8_t) (v >> (56 - 8 * i));
}

static inline uint64_t get_be64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

/** A write cursor over a buffer of fixed size.  `bad` is set when something did not fit; `len` then stays put. */
struct wr {
	uint8_t *base;
	size_t len;
	size_t cap;
	bool bad;
};

static inline struct wr wr_of(void *p, size_t cap)
{
	return (struct wr){ .base = p, .cap = cap };
}

/** Reserve `n` bytes to be filled by the caller, or NULL (and `bad`). */
static inline uint8_t *wr_reserve(struct wr *w, size_t n)
{
	uint8_t *p;

	if (_unlikely_(w->bad || n > w->cap - w->len)) {
		w->bad = true;
		return NULL;
	}
	p = w->base ? w->base + w->len : NULL;
	w->len += n;
	return p;
}

static inline void wr_bytes(struct wr *w, const void *from, size_t n)
{
	uint8_t *p = wr_reserve(w, n);

	if (p && n > 0)
		memcpy(p, from, n);
}

#define WR_INT(name, type)                            \
	static inline void name(struct wr *w, type v) \
	{                                             \
		wr_bytes(w, &v, sizeof v);            \
	}

WR_INT(wr_u8, uint8_t)
WR_INT(wr_u16, uint16_t)
WR_INT(wr_u32, uint32_t)
WR_INT(wr_u64, uint64_t)
WR_INT(wr_i64, int64_t)

enum { VARINT_SIZE_MAX = 10 };

/** Write a varint where there is room for VARINT_SIZE_MAX bytes.  @return its end. */
static inline uint8_t *varint_put(uint8_t *to, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*to++ = (uint8_t) (v | 0x80);
	*to = (uint8_t) v;
	return to + 1;
}

static inline void wr_varint(struct wr *w, uint64_t v)
{
	uint8_t b[VARINT_SIZE_MAX];

	wr_bytes(w, b, (size_t) (varint_put(b, v) - b));
}

static inline void wr_zigzag(struct wr *w, int64_t v)
{
	wr_varint(w, zigzag((uint64_t) v));
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "the cursors copy integers as they lie in memory");

#endif

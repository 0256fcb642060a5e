/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_BUF_H
#define BULLA_BASE_BUF_H

/**
 * A growable byte buffer with a sticky error: append at will, ask `bad` once at the end.
 *
 * Memory grows by doubling and is kept by buf_clear(), so a buffer that is reused costs no allocation per use.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct buf {
	uint8_t *data; /* owned; NULL while `cap` is 0 */
	size_t len;    /* bytes in use */
	size_t cap;    /* bytes allocated */
	bool bad;      /* an allocation failed; the content is then not to be used */
};

/** Free the content and make the buffer empty. */
void buf_done(struct buf *b);
/** Forget the content, keep the memory. */
void buf_clear(struct buf *b);
/** The content, and who asks owns it now; the buffer is empty. */
static inline struct buf buf_take(struct buf *b)
{
	struct buf taken = *b;

	*b = (struct buf){ 0 };
	return taken;
}
/** Give back memory beyond the content. */
void buf_trim(struct buf *b);
/** Have memory for `n` bytes in all, and no more than these, unless there is more; `bad` where there is none. */
void buf_reserve(struct buf *b, size_t n);
/** Make room for `n` more bytes.  @return where they go, or NULL (and `bad`); they count only after buf_add(). */
uint8_t *buf_room(struct buf *b, size_t n);
/** Count `n` bytes that were written into the room. */
void buf_add(struct buf *b, size_t n);
void buf_append(struct buf *b, const void *data, size_t n);
void buf_str(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
/** Append a varint, as base/bytes.h has it. */
void buf_varint(struct buf *b, uint64_t v);
void buf_printf(struct buf *b, const char *format, ...) _printf_(2, 3);

#define _cleanup_buf_ _cleanup_(buf_done)

#endif

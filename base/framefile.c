/* SPDX-License-Identifier: Apache-2.0 */

#include "base/framefile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "bulla/error.h"

enum { READ_AHEAD = 256 << 10 };

void frame_reader_init(struct frame_reader *r, int fd, uint64_t offset, uint32_t size_max)
{
	*r = (struct frame_reader){ .fd = fd, .size_max = size_max, .offset = offset };
}

void frame_reader_done(struct frame_reader *r)
{
	free(r->buf);
	r->buf = NULL;
	r->cap = r->at = r->len = 0;
}

void frame_reader_seek(struct frame_reader *r, uint64_t offset)
{
	r->offset = offset;
	r->at = r->len = 0;
}

/* Have `want` bytes in the buffer, or as many as the file holds. */
static int fill(struct frame_reader *r, size_t want)
{
	size_t cap = MAX_OF(want, (size_t) READ_AHEAD);
	ssize_t n;

	if (r->cap < cap) {
		uint8_t *p = malloc(cap);

		if (!p)
			return -ENOMEM;
		if (r->len > 0)
			memcpy(p, r->buf + r->at, r->len);
		free(r->buf);
		r->buf = p;
		r->cap = cap;
	} else if (r->len > 0) {
		memmove(r->buf, r->buf + r->at, r->len);
	}
	r->at = 0;
	n = io_pread(r->fd, r->buf + r->len, r->cap - r->len, r->offset + r->len);
	if (n < 0)
		return (int) n;
	r->len += (size_t) n;
	return 0;
}

/* The space that the frame at hand says it needs; the header alone while not even that is there. */
static size_t space_wanted(const struct frame_reader *r)
{
	uint32_t size;

	if (r->len < FRAME_HEADER_SIZE)
		return FRAME_HEADER_SIZE;
	memcpy(&size, r->buf + r->at, sizeof size);
	return size > r->size_max ? FRAME_HEADER_SIZE : frame_space(size);
}

int frame_reader_next(struct frame_reader *r, struct frame *ret, uint64_t *ret_offset)
{
	size_t want;
	ssize_t n;

	/* At most three rounds: for a header, for the frame, and once more where another process wrote in between. */
	for (int round = 0; (want = space_wanted(r)) > r->len && round < 3; round++) {
		int k = fill(r, want);

		if (k < 0)
			return k;
	}
	n = frame_parse(r->buf + r->at, r->len, r->size_max, ret);
	if (n <= 0) {
		/* What lies ahead may be written meanwhile: look at the file again next time. */
		r->len = 0;
		return (int) n;
	}
	if (ret_offset)
		*ret_offset = r->offset;
	r->at += (size_t) n;
	r->len -= (size_t) n;
	r->offset += (uint64_t) n;
	return 1;
}

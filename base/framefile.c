/* SPDX-License-Identifier: Apache-2.0 */

#include "base/framefile.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"

enum { READ_AHEAD_MIN = 16 << 10, READ_AHEAD = 256 << 10 };

void frame_reader_init(struct frame_reader *r, int fd, uint64_t offset, uint32_t size_max)
{
	*r = (struct frame_reader){
		.fd = fd, .size_max = size_max, .offset = offset, .ahead = READ_AHEAD_MIN
	};
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
	r->ahead = READ_AHEAD_MIN;
}

/* Have `want` bytes in the buffer, or as many as the file holds. */
static int fill(struct frame_reader *r, size_t want)
{
	size_t cap = MAX_OF(want, r->ahead);
	ssize_t n;

	/* Who reads on and on is given more each time; who looks at a frame here and there pays for no more than that. */
	r->ahead = MIN_OF(2 * r->ahead, (size_t) READ_AHEAD);
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
	n = io_pread(r->fd, r->buf + r->len, cap - r->len, r->offset + r->len);
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

/* Parse the frame at hand, with as much of the file as it needs. */
static ssize_t parse_next(struct frame_reader *r, struct frame *ret)
{
	size_t want;

	/* At most three rounds: for a header, for the frame, and once more where another process wrote in between. */
	for (int round = 0; (want = space_wanted(r)) > r->len && round < 3; round++) {
		int k = fill(r, want);

		if (k < 0)
			return k;
	}
	return frame_parse(r->buf + r->at, r->len, r->size_max, ret);
}

int frame_reader_next(struct frame_reader *r, struct frame *ret, uint64_t *ret_offset)
{
	bool stale = r->len > 0;
	ssize_t n = parse_next(r, ret);

	if (n <= 0) {
		/* What lies ahead may have been written since it was read: look at the file itself. */
		r->len = 0;
		if (stale) {
			n = parse_next(r, ret);
			r->len = n > 0 ? r->len : 0;
		}
	}
	if (n <= 0)
		return (int) n;
	if (ret_offset)
		*ret_offset = r->offset;
	r->at += (size_t) n;
	r->len -= (size_t) n;
	r->offset += (uint64_t) n;
	return 1;
}

/* Looking for frames. */

struct search {
	struct frame_reader at; /* for the candidates */
	uint32_t type_min, type_max;
	uint64_t size; /* of the file */
	uint64_t *budget;
};

/* Whether a frame that is worth a look begins at this offset, to judge by its first bytes; `*ret_space` is its extent. */
static bool plausible(const struct search *s, const uint8_t *p, uint64_t offset, size_t *ret_space)
{
	uint32_t size, type;

	memcpy(&size, p, sizeof size);
	memcpy(&type, p + sizeof size, sizeof type);
	if (type < s->type_min || type > s->type_max || size > s->at.size_max)
		return false;
	*ret_space = frame_space(size);
	return *ret_space <= s->size - offset;
}

/* Whether a whole frame begins at p + i.  @return 1, 0, BULLA_ELIMIT, a negated errno. */
static int check_candidate(struct search *s, const uint8_t *p, size_t n, uint64_t offset,
			   size_t space)
{
	uint64_t cost = space <= n ? space : MAX_OF(space, (size_t) READ_AHEAD);
	struct frame f;
	int r;

	if (*s->budget < cost)
		return BULLA_ELIMIT;
	*s->budget -= cost;
	if (space <= n)
		return frame_parse(p, n, s->at.size_max, &f) > 0;
	frame_reader_seek(&s->at, offset);
	r = frame_reader_next(&s->at, &f, NULL);
	return r < 0 && r <= BULLA_ETRUNCATED ? 0 : r;
}

/* Look through one piece of the file.  @return as check_candidate(). */
static int search_piece(struct search *s, const uint8_t *p, size_t n, uint64_t offset,
			uint64_t *ret_offset)
{
	for (size_t i = 0; i + FRAME_HEADER_SIZE <= n; i += FRAME_ALIGN) {
		size_t space;
		int r;

		if (!plausible(s, p + i, offset + i, &space))
			continue;
		r = check_candidate(s, p + i, n - i, offset + i, space);
		if (r > 0)
			*ret_offset = offset + i;
		if (r != 0)
			return r;
	}
	return 0;
}

int frame_reader_search(struct frame_reader *r, uint64_t from, uint32_t type_min, uint32_t type_max,
			uint64_t *budget)
{
	_cleanup_free_ uint8_t *piece = malloc(READ_AHEAD);
	struct search s = { .type_min = type_min, .type_max = type_max, .budget = budget };
	uint64_t found;
	struct stat st;
	ssize_t n;
	int k = 0;

	if (!piece)
		return -ENOMEM;
	if (fstat(r->fd, &st) < 0)
		return -errno;
	s.size = (uint64_t) st.st_size;
	frame_reader_init(&s.at, r->fd, from, r->size_max);
	/* Pieces overlap by a frame's header, so that none is seen in halves only. */
	while (k == 0 && (n = io_pread(r->fd, piece, READ_AHEAD, from)) >= FRAME_HEADER_SIZE) {
		k = search_piece(&s, piece, (size_t) n, from, &found);
		from += ((uint64_t) n - FRAME_HEADER_SIZE) / FRAME_ALIGN * FRAME_ALIGN +
			FRAME_ALIGN;
	}
	frame_reader_done(&s.at);
	if (k == 0 && n < 0)
		return (int) n;
	if (k > 0)
		frame_reader_seek(r, found);
	return k;
}

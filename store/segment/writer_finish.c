/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Finishing a segment: with its footer it is one, whose groups tell searchers nothing yet.  As such it is read back.  What searchers
 * are told is gathered from what was read, and takes the place of that footer; another one comes behind it.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"
#include "store/segment/check.h"
#include "store/segment/tokens.h"
#include "store/segment/writer-internal.h"

struct indexing {
	struct segment_writer *writer;
	struct block_scratch scratch; /* owned */
};

/* Write the tokens of a group, and see that they are there. */
static int put_tokens(void *arg, const struct segment *s, uint32_t group, struct tokens *t)
{
	struct indexing *x = arg;
	struct segment_writer *w = x->writer;
	struct block_ref *ref = &w->groups[group].tokens;
	_cleanup_free_ uint8_t *back = NULL;
	int r;

	buf_clear(&w->raw);
	tokens_encode(t, &w->raw);
	r = w->raw.bad ? -ENOMEM : writer_block(w, w->raw.data, w->raw.len, ref);
	if (r >= 0)
		r = block_read(s->fd, ref, &x->scratch, &back);
	if (r < 0)
		return r;
	return memcmp(back, w->raw.data, w->raw.len) == 0 ? 0 : BULLA_ECORRUPT;
}

static int read_back(struct segment_writer *w, const struct sealed_batch *sealed, size_t n)
{
	struct indexing x = { .writer = w };
	int r = segment_check_index(w->dirfd, w->name, sealed, n, put_tokens, &x);

	block_scratch_done(&x.scratch);
	return r;
}

/* The footer that stays. */
static int read_footer(const struct segment_writer *w)
{
	_cleanup_(segment_close) struct segment s = { .fd = -1 };
	int fd = io_open_regular(w->dirfd, w->name, O_RDONLY);

	return fd < 0 ? fd : segment_open(&s, fd);
}

int64_t segment_writer_finish(struct segment_writer *w, const struct sealed_batch *sealed, size_t n)
{
	int r = writer_tables(w);
	int64_t size = r < 0 ? r : writer_footer(w);

	if (size < 0)
		return size;
	/* The reader takes as much again. */
	segment_writer_relax(w);
	staging_done(&w->rows);
	r = read_back(w, sealed, n);
	if (r < 0)
		return r;
	size = writer_footer(w);
	if (size < 0)
		return size;
	r = read_footer(w);
	if (r >= 0 && fdatasync(w->fd) < 0)
		r = -errno;
	return r < 0 ? r : size;
}

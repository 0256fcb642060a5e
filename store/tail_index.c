/* SPDX-License-Identifier: Apache-2.0 */

#include "store/tail_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"

enum { WINDOW = 16 << 10, SEARCH_MIN = 64 << 20 };

/* A piece of the file, moved along so that small frames cost no call each. */
struct window {
	int fd;
	uint64_t at;
	size_t len;
	uint8_t data[WINDOW];
};

/* `n` bytes at `offset`, or fewer at the end of the file. */
static int look(struct window *w, uint64_t offset, size_t n, struct rd *ret)
{
	if (offset < w->at || offset + n > w->at + w->len) {
		ssize_t got = io_pread(w->fd, w->data, sizeof w->data, offset);

		if (got < 0)
			return (int) got;
		w->at = offset;
		w->len = (size_t) got;
	}
	*ret = rd_of(w->data + (offset - w->at), MIN_OF(n, w->len - (size_t) (offset - w->at)));
	return 0;
}

void rows_index_done(struct rows_index *i)
{
	free(i->at);
	*i = (struct rows_index){ 0 };
}

static int add(struct rows_index *i, const struct rows_ref *ref)
{
	if (i->n == i->cap) {
		size_t cap = i->cap ? 2 * i->cap : 16;
		struct rows_ref *at = reallocarray(i->at, cap, sizeof *at);

		if (!at)
			return -ENOMEM;
		i->at = at;
		i->cap = cap;
	}
	i->at[i->n++] = *ref;
	i->n_uncut++;
	return 0;
}

static void on_batch(struct rows_index *i, int64_t mono_offset)
{
	for (; i->n_uncut > 0; i->n_uncut--) {
		i->at[i->n - i->n_uncut].mono_offset = mono_offset;
		i->at[i->n - i->n_uncut].has_mono = true;
	}
}

static bool is_whole(int fd, const struct rows_ref *ref, struct buf *frame)
{
	struct tail_rows rows;

	return rows_ref_read(fd, ref, frame, &rows) == 0;
}

/* Whether a frame has numbers that were met before it. */
static bool repeats(const struct rows_index *i, const struct rows_ref *ref)
{
	const struct rows_ref *last = i->n > 0 ? &i->at[i->n - 1] : NULL;

	return ref->first_seq < i->met || (last && ref->first_seq < last->first_seq + last->count);
}

bool rows_index_counts(struct rows_index *i, int fd, const struct rows_ref *ref)
{
	_cleanup_buf_ struct buf frame = { 0 };
	bool whole = false;

	while (repeats(i, ref) && ref->first_seq >= i->met) {
		if (!whole && !is_whole(fd, ref, &frame))
			break;
		whole = true;
		if (is_whole(fd, &i->at[i->n - 1], &frame))
			break;
		i->n--;
		i->n_uncut -= i->n_uncut > 0;
		i->n_damaged++;
	}
	if (!repeats(i, ref))
		return true;
	i->n_damaged++;
	return false;
}

/* @return 1, or 0 if it cannot be read. */
static int on_rows(struct rows_index *i, struct window *w, uint64_t offset, uint32_t size)
{
	struct tail_rows rows;
	struct rows_ref ref;
	struct rd head = { 0 };
	int r;

	r = look(w, offset + FRAME_HEADER_SIZE, MIN_OF((size_t) size, (size_t) TAIL_ROWS_HEAD_MAX),
		 &head);
	if (r >= 0)
		r = tail_rows_decode(head.p, head.left, &rows);
	if (r < 0)
		return r == BULLA_ECORRUPT || r == BULLA_ELIMIT ? 0 : r;
	ref = (struct rows_ref){
		.offset = offset,
		.space = (uint32_t) frame_space(size),
		.count = rows.count,
		.first_seq = rows.first_seq,
		.time_min = rows.time_min,
		.time_max = rows.time_max,
		.own_fields = rows.own_fields,
	};
	if (!rows_index_counts(i, w->fd, &ref))
		return 1;
	r = add(i, &ref);
	return r < 0 ? r : 1;
}

/* Frames that are not rows are small: read whole, checked, and taken in.  @return 1, or 0 if it cannot be read. */
static int on_other(struct rows_index *i, struct tail_reader *t, uint64_t offset)
{
	struct tail_batch batch;
	struct tail_seed seed;
	struct frame f;
	int64_t k;
	int r;

	frame_reader_seek(&t->frames, offset);
	r = frame_reader_next(&t->frames, &f, NULL);
	if (r <= 0)
		return 0;
	if (f.type == TAIL_BATCH && tail_batch_decode(f.payload, f.size, &batch) == 0)
		on_batch(i, batch.mono_offset);
	if (f.type == TAIL_SEED && tail_seed_decode(f.payload, f.size, &seed) == 0) {
		r = seeds_add(&t->seeds, &seed);
		return r < 0 ? r : 1;
	}
	if (f.type == TAIL_CONTEXT && !i->contexts_lost) {
		k = contexts_add(&t->contexts, f.payload, f.size);
		return k < 0 ? (int) k : 1;
	}
	return 1;
}

/* Whether there is a head at `offset`, whose frame lies before `end`.  @return 1, 0, or a negated errno. */
static int look_head(struct window *w, uint64_t offset, uint64_t end, uint32_t *ret_size,
		     uint32_t *ret_type)
{
	struct rd head = { 0 };
	int r = look(w, offset, FRAME_HEADER_SIZE, &head);

	if (r < 0)
		return r;
	*ret_size = rd_u32(&head);
	*ret_type = rd_u32(&head);
	return !head.bad && *ret_type >= TAIL_CONTEXT && *ret_type <= TAIL_HOLE &&
	       *ret_size <= TAIL_RECORD_MAX && offset + frame_space(*ret_size) <= end;
}

/* Where frames go on behind a hole.  @return 1, or 0 if it cannot be read, an error. */
static int hop_over(struct tail_reader *t, uint64_t *offset)
{
	struct tail_hole hole;
	struct frame f;
	int r;

	frame_reader_seek(&t->frames, *offset);
	r = frame_reader_next(&t->frames, &f, NULL);
	if (r <= 0 || f.type != TAIL_HOLE || tail_hole_decode(f.payload, f.size, &hole) < 0 ||
	    hole.end < t->frames.offset)
		return 0;
	*offset = hole.end;
	return 1;
}

static int take(struct rows_index *i, struct tail_reader *t, struct window *w, uint64_t offset,
		uint32_t size, uint32_t type)
{
	return type == TAIL_ROWS ? on_rows(i, w, offset, size) : on_other(i, t, offset);
}

/* A frame could not be read.  @return 1 to go on behind it; 0 if it is not there yet; an error. */
static int take_again(struct rows_index *i, struct tail_reader *t, struct window *w,
		      uint64_t offset, uint32_t size, uint32_t type)
{
	uint32_t next_size, next_type;
	int r;

	w->len = 0; /* what is there now */
	r = look_head(w, offset + frame_space(size), UINT64_MAX, &next_size, &next_type);
	if (r <= 0)
		return r;
	w->len = 0;
	r = take(i, t, w, offset, size, type);
	if (r == 0) {
		i->n_damaged++;
		i->contexts_lost |= type == TAIL_CONTEXT;
	}
	return r < 0 ? r : 1;
}

/* Hop from head to head until there is none, or an error. */
static int hop(struct rows_index *i, struct tail_reader *t, struct window *w, uint64_t end,
	       uint64_t *offset)
{
	uint32_t size, type;
	int r;

	while ((r = look_head(w, *offset, end, &size, &type)) > 0) {
		if (type == TAIL_HOLE) {
			r = hop_over(t, offset);
			if (r <= 0)
				return r;
			continue;
		}
		r = take(i, t, w, *offset, size, type);
		if (r == 0)
			r = take_again(i, t, w, *offset, size, type);
		if (r <= 0)
			return r;
		*offset += frame_space(size);
	}
	return r;
}

/* Whether anything was written at `offset`. */
static int is_blank(struct window *w, uint64_t offset)
{
	struct rd head = { 0 };
	int r = look(w, offset, 8, &head);

	return r < 0 ? r : rd_u64(&head) == 0;
}

/* Behind what cannot be read there may be more that can.  @return 1 if there is, 0, or a negated errno. */
static int step_over(struct rows_index *i, struct tail_reader *t, struct window *w,
		     uint64_t *budget, uint64_t *offset)
{
	uint32_t size, type;
	bool is_rows;
	int r = is_blank(w, *offset);

	if (r != 0)
		return MIN_OF(r, 0);
	is_rows = look_head(w, *offset, UINT64_MAX, &size, &type) > 0 && type == TAIL_ROWS;
	r = frame_reader_search(&t->frames, *offset + FRAME_ALIGN, TAIL_CONTEXT, TAIL_HOLE, budget);
	if (r <= 0)
		return r == BULLA_ELIMIT ? 0 : r;
	i->n_damaged++;
	/* A record behind it may be of other rows, and those before it keep no clock. */
	i->n_uncut = 0;
	i->contexts_lost |= !is_rows || t->frames.offset != *offset + frame_space(size);
	*offset = t->frames.offset;
	return 1;
}

/* The last frame may be half written while we look: then it is not there yet. */
static uint64_t check_last(struct rows_index *i, struct tail_reader *t, uint64_t end)
{
	_cleanup_buf_ struct buf frame = { 0 };
	struct tail_rows rows;

	if (i->n == 0 || i->at[i->n - 1].offset + i->at[i->n - 1].space != end)
		return end;
	if (rows_ref_read(t->fd, &i->at[i->n - 1], &frame, &rows) == 0)
		return end;
	i->n--;
	i->n_uncut -= i->n_uncut > 0;
	return i->at[i->n].offset;
}

int rows_index_build(struct rows_index *i, struct tail_reader *t)
{
	_cleanup_free_ struct window *w = malloc(sizeof *w);
	uint64_t offset = t->frames.offset, budget;
	struct stat st;
	int r;

	if (!w)
		return -ENOMEM;
	w->fd = t->fd;
	w->at = w->len = 0;
	if (fstat(t->fd, &st) < 0)
		return -errno;
	budget = (uint64_t) st.st_size + SEARCH_MIN;
	do {
		r = hop(i, t, w, (uint64_t) st.st_size, &offset);
		if (r >= 0) {
			offset = check_last(i, t, offset);
			r = step_over(i, t, w, &budget, &offset);
		}
	} while (r > 0);
	frame_reader_seek(&t->frames, offset);
	return r;
}

int rows_ref_read(int fd, const struct rows_ref *ref, struct buf *frame, struct tail_rows *ret)
{
	struct frame f;
	uint8_t *p;
	ssize_t n;

	buf_clear(frame);
	p = buf_room(frame, ref->space);
	if (!p)
		return -ENOMEM;
	n = io_pread(fd, p, ref->space, ref->offset);
	if (n < 0)
		return (int) n;
	buf_add(frame, (size_t) n);
	n = frame_parse(p, (size_t) n, TAIL_RECORD_MAX, &f);
	if (n <= 0)
		return n == 0 ? BULLA_ETRUNCATED : (int) n;
	if (f.type != TAIL_ROWS)
		return BULLA_ECORRUPT;
	return tail_rows_decode(f.payload, f.size, ret);
}

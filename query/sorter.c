/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Things gather in memory.  When there are too many of them they are sorted, and those are dropped that the limit cannot keep; if
 * it is still too much, all of it becomes a run in the file:
 *
 *	u64 time | u64 seq | journal[16] | u32 size | bytes
 *
 * In the end there is a heap of runs, each of which is read through a window of its own.
 */

#include "query/sorter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/room.h"
#include "bulla/error.h"

enum {
	RECORD_HEAD = 8 + 8 + ID_SIZE + 4,
	WINDOW_MIN = 64 << 10,
	WRITE_AT_ONCE = 1 << 20,
	LIMIT_SLACK = 1024, /* things beyond a limit that are not looked at yet */
};

struct item {
	struct place place;
	size_t at; /* in `bytes` */
	uint32_t n;
};

struct run {
	uint64_t at, end; /* in the file: what was not read yet */
	struct buf window;
	size_t pos; /* in the window: the thing on top */
	struct item top;
};

struct sorter {
	struct sorter_options options;
	struct buf bytes;
	struct item *items; /* owned */
	size_t n, cap;
	int fd;
	uint64_t file_end, filed; /* bytes; things */
	struct run *runs;	  /* owned */
	size_t n_runs, runs_cap;
};

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare(const struct sorter *s, const struct place *a, const struct place *b)
{
	int c = compare_u64(a->time_ns, b->time_ns);

	if (c == 0)
		c = id_compare(&a->journal, &b->journal);
	if (c == 0)
		c = compare_u64(a->seq, b->seq);
	return s->options.backward ? -c : c;
}

static int compare_items(const void *a, const void *b, void *arg)
{
	const struct item *x = a, *y = b;

	return compare(arg, &x->place, &y->place);
}

int sorter_new(struct sorter **ret, const struct sorter_options *o)
{
	struct sorter *s = calloc(1, sizeof *s);

	if (!s)
		return -ENOMEM;
	s->options = *o;
	s->fd = -1;
	*ret = s;
	return 0;
}

struct sorter *sorter_free(struct sorter *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n_runs; i++)
		buf_done(&s->runs[i].window);
	free(s->runs);
	free(s->items);
	buf_done(&s->bytes);
	close_fd(&s->fd);
	free(s);
	return NULL;
}

size_t sorter_runs(const struct sorter *s)
{
	return s->n_runs;
}

/* The file. */

/* Large and short-lived: not where memory is the disk, if it can be helped. */
static int open_file(void)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];
	int fd, n;

	dir = dir && *dir ? dir : "/var/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd < 0 ? -errno : fd;
	n = snprintf(path, sizeof path, "%s/bulla-XXXXXX", dir);
	if (n < 0 || (size_t) n >= sizeof path)
		return -ENAMETOOLONG;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

static int append(struct sorter *s, struct buf *text)
{
	int r = text->bad ? -ENOMEM : io_pwrite(s->fd, text->data, text->len, s->file_end);

	if (r >= 0)
		s->file_end += text->len;
	buf_clear(text);
	return r;
}

static int write_items(struct sorter *s)
{
	_cleanup_buf_ struct buf text = { 0 };
	int r = 0;

	for (size_t i = 0; r >= 0 && i < s->n; i++) {
		const struct item *item = &s->items[i];

		buf_append(&text, &item->place.time_ns, 8);
		buf_append(&text, &item->place.seq, 8);
		buf_append(&text, item->place.journal.b, ID_SIZE);
		buf_append(&text, &item->n, 4);
		buf_append(&text, s->bytes.data + item->at, item->n);
		if (text.len >= WRITE_AT_ONCE)
			r = append(s, &text);
	}
	return r < 0 ? r : append(s, &text);
}

static int write_run(struct sorter *s)
{
	uint64_t at = s->file_end;
	int r = 0;

	if (s->fd < 0)
		s->fd = r = open_file();
	if (r >= 0 && !room_for(&s->runs, s->n_runs, &s->runs_cap, sizeof *s->runs))
		r = -ENOMEM;
	if (r >= 0)
		r = write_items(s);
	if (r < 0)
		return r;
	s->runs[s->n_runs++] = (struct run){ .at = at, .end = s->file_end };
	s->filed += s->n;
	s->n = 0;
	buf_clear(&s->bytes);
	return 0;
}

/* Memory. */

/* Put those that are there in order, and drop what a limit cannot keep. */
static void settle(struct sorter *s)
{
	size_t drop;

	if (s->n > 1)
		qsort_r(s->items, s->n, sizeof *s->items, compare_items, s);
	if (s->n <= s->options.limit)
		return;
	drop = s->n - (size_t) s->options.limit;
	if (s->options.keep_last)
		memmove(s->items, s->items + drop, (s->n - drop) * sizeof *s->items);
	s->n -= drop;
}

/* Give back what dropped things had. */
static int compact(struct sorter *s)
{
	_cleanup_buf_ struct buf kept = { 0 };

	for (size_t i = 0; i < s->n; i++) {
		size_t at = kept.len;

		buf_append(&kept, s->bytes.data + s->items[i].at, s->items[i].n);
		s->items[i].at = at;
	}
	if (kept.bad)
		return -ENOMEM;
	buf_done(&s->bytes);
	s->bytes = kept;
	kept = (struct buf){ 0 };
	return 0;
}

static size_t size_of(const struct sorter *s)
{
	return s->bytes.len + s->n * sizeof *s->items;
}

static size_t size_of_things(const struct sorter *s)
{
	size_t size = s->n * sizeof *s->items;

	for (size_t i = 0; i < s->n; i++)
		size += s->items[i].n;
	return size;
}

static int make_room(struct sorter *s)
{
	settle(s);
	if (size_of_things(s) > s->options.size_max / 2)
		return write_run(s);
	return compact(s);
}

int sorter_add(struct sorter *s, const struct place *place, const void *data, uint32_t n)
{
	uint64_t limit = s->options.limit;
	bool many = limit < UINT64_MAX / 4 && s->n >= 2 * limit + LIMIT_SLACK;

	if (s->n > 0 && (many || size_of(s) + n > s->options.size_max)) {
		int r = make_room(s);

		if (r < 0)
			return r;
	}
	if (!room_for(&s->items, s->n, &s->cap, sizeof *s->items))
		return -ENOMEM;
	s->items[s->n] = (struct item){ .place = *place, .at = s->bytes.len, .n = n };
	buf_append(&s->bytes, data, n);
	if (s->bytes.bad)
		return -ENOMEM;
	s->n++;
	return 0;
}

/* Merging. */

/* Have `n` bytes from the top on in the window of a run. */
static int fill(struct sorter *s, struct run *run, size_t n)
{
	size_t want = MAX_OF(s->options.size_max / s->n_runs, (size_t) WINDOW_MIN), left;
	ssize_t got;
	uint8_t *at;

	left = run->window.len - run->pos;
	if (left >= n)
		return 0;
	if (left > 0)
		memmove(run->window.data, run->window.data + run->pos, left);
	run->window.len = left;
	run->pos = 0;
	want = (size_t) MIN_OF((uint64_t) MAX_OF(want, n - left), run->end - run->at);
	if (left + want < n)
		return BULLA_ECORRUPT;
	at = buf_room(&run->window, want);
	if (!at)
		return -ENOMEM;
	got = io_pread(s->fd, at, want, run->at);
	if (got < 0)
		return (int) got;
	if ((size_t) got < want)
		return -EIO;
	buf_add(&run->window, want);
	run->at += want;
	return 0;
}

/* Have the next thing of a run on top.  @return 1, 0 at its end, an error. */
static int next_of(struct sorter *s, struct run *run)
{
	struct rd r;
	int error;

	run->pos += run->top.n;
	if (run->at == run->end && run->pos == run->window.len)
		return 0;
	error = fill(s, run, RECORD_HEAD);
	if (error < 0)
		return error;
	r = rd_of(run->window.data + run->pos, RECORD_HEAD);
	run->top.place.time_ns = rd_u64(&r);
	run->top.place.seq = rd_u64(&r);
	rd_copy(&r, run->top.place.journal.b, ID_SIZE);
	run->top.n = rd_u32(&r);
	run->pos += RECORD_HEAD;
	error = fill(s, run, run->top.n);
	return error < 0 ? error : 1;
}

static void sift_down(const struct sorter *s, size_t *heap, size_t n, size_t i)
{
	for (;;) {
		size_t child = 2 * i + 1, swap = heap[i];

		if (child >= n)
			return;
		if (child + 1 < n && compare(s, &s->runs[heap[child + 1]].top.place,
					     &s->runs[heap[child]].top.place) < 0)
			child++;
		if (compare(s, &s->runs[heap[child]].top.place, &s->runs[swap].top.place) >= 0)
			return;
		heap[i] = heap[child];
		heap[child] = swap;
		i = child;
	}
}

static int open_runs(struct sorter *s, size_t *heap, size_t *n)
{
	for (size_t i = 0; i < s->n_runs; i++) {
		int r = next_of(s, &s->runs[i]);

		if (r < 0)
			return r;
		if (r > 0)
			heap[(*n)++] = i;
	}
	for (size_t i = *n / 2; i-- > 0;)
		sift_down(s, heap, *n, i);
	return 0;
}

/* Things [from, to) in order. */
static int merge(struct sorter *s, uint64_t from, uint64_t to, sorter_fn each, void *arg)
{
	_cleanup_free_ size_t *heap = reallocarray(NULL, s->n_runs, sizeof *heap);
	size_t n = 0;
	int r = heap ? open_runs(s, heap, &n) : -ENOMEM;

	for (uint64_t i = 0; r >= 0 && n > 0 && i < to; i++) {
		struct run *top = &s->runs[heap[0]];

		if (i >= from)
			r = each(arg, top->window.data + top->pos, top->top.n);
		if (r < 0)
			break;
		r = next_of(s, top);
		if (r == 0)
			heap[0] = heap[--n];
		if (n > 0)
			sift_down(s, heap, n, 0);
	}
	return MIN_OF(r, 0);
}

int sorter_each(struct sorter *s, sorter_fn each, void *arg)
{
	uint64_t limit = s->options.limit, from = 0;
	int r = 0;

	settle(s);
	if (s->n_runs == 0) {
		for (size_t i = 0; r >= 0 && i < s->n; i++)
			r = each(arg, s->bytes.data + s->items[i].at, s->items[i].n);
		return r;
	}
	r = write_run(s);
	if (r < 0)
		return r;
	buf_done(&s->bytes);
	if (s->options.keep_last && s->filed > limit)
		from = s->filed - limit;
	return merge(s, from, s->filed - from > limit ? from + limit : s->filed, each, arg);
}

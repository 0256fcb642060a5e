/* SPDX-License-Identifier: Apache-2.0 */

/** Few journals have many batches: these are compared by their numbers, and only their runs by key. */

#include "store/segment/staging.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/room.h"

void staging_done(struct staging *s)
{
	free(s->batches);
	free(s->rows);
	buf_done(&s->bytes);
	*s = (struct staging){ 0 };
}

void staging_clear(struct staging *s)
{
	s->n_batches = s->n_rows = 0;
	buf_clear(&s->bytes);
}

int staging_batch(struct staging *s, const struct staged_batch *b)
{
	struct staged_batch *to;

	if (!room_for(&s->batches, s->n_batches, &s->batches_cap, sizeof *s->batches))
		return -ENOMEM;
	to = &s->batches[s->n_batches++];
	*to = *b;
	to->first_row = (uint32_t) s->n_rows;
	to->n_rows = 0;
	return 0;
}

static uint8_t *put(uint8_t *at, const void *p, size_t n)
{
	if (n > 0)
		memcpy(at, p, n);
	return at + n;
}

int staging_add(struct staging *s, const struct entry *e, uint32_t context)
{
	size_t size = entry_bytes(e) + (size_t) e->n_fields * (1 + 4);
	uint8_t *at;

	if (!room_for(&s->rows, s->n_rows, &s->rows_cap, sizeof *s->rows))
		return -ENOMEM;
	at = buf_room(&s->bytes, size);
	if (!at)
		return -ENOMEM;
	s->rows[s->n_rows++] = (struct staged_row){
		.time_ns = e->time_ns,
		.received_ns = e->received_ns,
		.at = s->bytes.len,
		.message_len = e->message_len,
		.context = context,
		.n_fields = e->n_fields,
		.priority = e->priority,
		.flags = e->flags,
	};
	s->batches[s->n_batches - 1].n_rows++;
	at = put(at, e->message, e->message_len);
	for (uint16_t i = 0; i < e->n_fields; i++) {
		const struct field *f = &e->fields[i];

		at = put(at, &f->name_len, 1);
		at = put(at, f->name, f->name_len);
		at = put(at, &f->value_len, 4);
		at = put(at, f->value, f->value_len);
	}
	buf_add(&s->bytes, size);
	return 0;
}

void staging_drop(struct staging *s)
{
	struct staged_batch *b = &s->batches[--s->n_batches];

	if (b->n_rows > 0)
		s->bytes.len = s->rows[b->first_row].at;
	s->n_rows = b->first_row;
}

/* The newest. */

/* A batch, and the time of its newest row. */
struct dated {
	const struct staged_batch *batch;
	uint64_t time;
};

static int compare_dated(const void *a, const void *b)
{
	const struct dated *x = a, *y = b;

	return (x->time < y->time) - (x->time > y->time);
}

/* From which commit of each origin on batches are among the last; UINT64_MAX: none is. */
static void find_last(const struct staging *s, size_t rows, struct dated *dated, uint64_t *from)
{
	size_t have = 0;

	for (size_t i = 0; i < s->n_batches; i++) {
		const struct staged_batch *b = &s->batches[i];

		dated[i] = (struct dated){ .batch = b };
		for (uint32_t k = 0; k < b->n_rows; k++)
			dated[i].time = MAX_OF(dated[i].time, s->rows[b->first_row + k].time_ns);
	}
	qsort(dated, s->n_batches, sizeof *dated, compare_dated);
	for (size_t i = 0; i < s->n_batches && have < rows; i++) {
		uint64_t *at = &from[dated[i].batch->origin];

		have += dated[i].batch->n_rows;
		*at = MIN_OF(*at, dated[i].batch->commit);
	}
}

static int copy_batch(struct staging *to, const struct staging *s, const struct staged_batch *b)
{
	size_t at = s->rows[b->first_row].at, end;
	uint8_t *bytes;
	int r = staging_batch(to, b);

	end = b->first_row + b->n_rows < s->n_rows ? s->rows[b->first_row + b->n_rows].at
						   : s->bytes.len;
	bytes = buf_room(&to->bytes, MAX_OF(end - at, (size_t) 1));
	if (r < 0 || !bytes)
		return -ENOMEM;
	for (uint32_t k = 0; k < b->n_rows; k++) {
		if (!room_for(&to->rows, to->n_rows, &to->rows_cap, sizeof *to->rows))
			return -ENOMEM;
		to->rows[to->n_rows] = s->rows[b->first_row + k];
		to->rows[to->n_rows].at += to->bytes.len - at;
		to->n_rows++;
	}
	to->batches[to->n_batches - 1].n_rows = b->n_rows;
	put(bytes, s->bytes.data + at, end - at);
	buf_add(&to->bytes, end - at);
	return 0;
}

/* What was copied goes; its bytes stay where they are. */
static void close_up(struct staging *s, const uint64_t *from)
{
	size_t batches = 0, rows = 0;

	for (size_t i = 0; i < s->n_batches; i++) {
		struct staged_batch b = s->batches[i];

		if (b.commit >= from[b.origin])
			continue;
		memmove(s->rows + rows, s->rows + b.first_row, b.n_rows * sizeof *s->rows);
		b.first_row = (uint32_t) rows;
		rows += b.n_rows;
		s->batches[batches++] = b;
	}
	s->n_batches = batches;
	s->n_rows = rows;
}

static int move_last(struct staging *s, const uint64_t *from, struct staging *last)
{
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < s->n_batches; i++)
		n += s->batches[i].commit >= from[s->batches[i].origin] ? s->batches[i].n_rows : 0;
	if (n > s->n_rows / 2)
		return 0;
	for (size_t i = 0; r >= 0 && i < s->n_batches; i++)
		if (s->batches[i].commit >= from[s->batches[i].origin])
			r = copy_batch(last, s, &s->batches[i]);
	if (r >= 0)
		close_up(s, from);
	return r;
}

int staging_split(struct staging *s, size_t rows, struct staging *last)
{
	_cleanup_free_ struct dated *dated = reallocarray(NULL, s->n_batches + 1, sizeof *dated);
	_cleanup_free_ uint64_t *from = NULL;
	uint32_t origins = 1;

	for (size_t i = 0; i < s->n_batches; i++)
		origins = MAX_OF(origins, s->batches[i].origin + 1);
	from = reallocarray(NULL, origins, sizeof *from);
	if (!dated || !from)
		return -ENOMEM;
	memset(from, 0xff, origins * sizeof *from);
	find_last(s, rows, dated, from);
	return move_last(s, from, last);
}

/* Order. */

/* Batches of one journal. */
struct run {
	const struct staging_key *key;
	uint32_t journal;
	uint32_t first, n; /* of the batches */
};

static int compare_batches(const void *a, const void *b)
{
	const struct staged_batch *x = a, *y = b;

	if (x->journal != y->journal)
		return x->journal > y->journal ? 1 : -1;
	return (x->first_row > y->first_row) - (x->first_row < y->first_row);
}

static int compare_apps(const struct text *a, const struct text *b)
{
	uint32_t n = MIN_OF(a->len, b->len);
	int c = n > 0 ? memcmp(a->p, b->p, n) : 0;

	return c != 0 ? c : (a->len > b->len) - (a->len < b->len);
}

int staging_compare_keys(const struct staging_key *a, const struct staging_key *b)
{
	int c = compare_apps(&a->app, &b->app);

	return c != 0 ? c : id_compare(&a->id, &b->id);
}

static int compare_runs(const void *a, const void *b)
{
	const struct run *x = a, *y = b;
	int c = staging_compare_keys(x->key, y->key);

	return c != 0 ? c : (x->journal > y->journal) - (x->journal < y->journal);
}

static size_t find_runs(struct staging *s, staging_key_fn key_of, const void *arg, struct run *runs)
{
	size_t n = 0;

	if (s->n_batches > 1)
		qsort(s->batches, s->n_batches, sizeof *s->batches, compare_batches);
	for (size_t i = 0; i < s->n_batches; i++) {
		uint32_t journal = s->batches[i].journal;

		if (i == 0 || journal != s->batches[i - 1].journal)
			runs[n++] = (struct run){ key_of(arg, journal), journal, (uint32_t) i, 0 };
		runs[n - 1].n++;
	}
	qsort(runs, n, sizeof *runs, compare_runs);
	return n;
}

int staging_order(struct staging *s, staging_key_fn key_of, const void *arg)
{
	_cleanup_free_ struct run *runs =
		reallocarray(NULL, MAX_OF(s->n_batches, (size_t) 1), sizeof *runs);
	_cleanup_free_ struct staged_batch *batches =
		reallocarray(NULL, MAX_OF(s->batches_cap, (size_t) 1), sizeof *batches);
	_cleanup_free_ struct staged_row *rows =
		reallocarray(NULL, MAX_OF(s->rows_cap, (size_t) 1), sizeof *rows);
	struct staged_batch *to = batches;
	size_t n_runs, n = 0;

	if (!runs || !batches || !rows)
		return -ENOMEM;
	n_runs = find_runs(s, key_of, arg, runs);
	for (size_t i = 0; i < n_runs; i++) {
		for (uint32_t k = 0; k < runs[i].n; k++, to++) {
			*to = s->batches[runs[i].first + k];
			memcpy(rows + n, s->rows + to->first_row, to->n_rows * sizeof *rows);
			to->first_row = (uint32_t) n;
			n += to->n_rows;
		}
	}
	free(s->batches);
	free(s->rows);
	s->batches = TAKE_PTR(batches);
	s->rows = TAKE_PTR(rows);
	return 0;
}

/* Row groups. */

/* Whether a group of so many rows may end before another journal's. */
static bool may_end(const struct staging_key *last, const struct staging_key *next, size_t have,
		    size_t rows)
{
	if (compare_apps(&last->app, &next->app) != 0)
		return have >= rows;
	return last->app.len > 0 && have >= 2 * rows;
}

bool staging_next(const struct staging *s, staging_key_fn key_of, const void *arg, size_t rows,
		  struct staged_group *g)
{
	const struct staged_batch *end = s->batches + s->n_batches;

	g->batches = g->batches ? g->batches + g->n_batches : s->batches;
	g->rows = g->rows ? g->rows + g->n_rows : s->rows;
	g->n_batches = g->n_rows = 0;
	for (const struct staged_batch *b = g->batches; b < end; b++) {
		if (g->n_rows > 0 && b->journal != b[-1].journal &&
		    may_end(key_of(arg, b[-1].journal), key_of(arg, b->journal), g->n_rows, rows))
			break;
		g->n_batches++;
		g->n_rows += b->n_rows;
	}
	return g->n_rows > 0;
}

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

static int compare_runs(const void *a, const void *b)
{
	const struct run *x = a, *y = b;
	const struct text *s = &x->key->app, *t = &y->key->app;
	uint32_t n = MIN_OF(s->len, t->len);
	int c = n > 0 ? memcmp(s->p, t->p, n) : 0;

	if (c == 0)
		c = (s->len > t->len) - (s->len < t->len);
	if (c == 0)
		c = id_compare(&x->key->id, &y->key->id);
	return c != 0 ? c : (x->journal > y->journal) - (x->journal < y->journal);
}

static size_t find_runs(struct staging *s,
			const struct staging_key *(*key_of)(const void *, uint32_t),
			const void *arg, struct run *runs)
{
	size_t n = 0;

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

int staging_order(struct staging *s, const struct staging_key *(*key_of)(const void *, uint32_t),
		  const void *arg)
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

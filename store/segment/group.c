/* SPDX-License-Identifier: Apache-2.0 */

/** A row group without its messages: batches, contexts, times, fields. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "store/batchroot.h"
#include "store/row.h"
#include "store/segment/reader-internal.h"

/* Rows whose messages are fetched before they are hashed, and how much of each. */
enum { AHEAD = 4, AHEAD_BYTES = 512 };

uint64_t segment_window_values = WINDOW_VALUES_MAX;

int group_open(struct segment_group *g, const struct segment *s, uint32_t number)
{
	*g = (struct segment_group){ .segment = s };
	if (number >= s->n_groups)
		return -ENOENT;
	g->ref = &s->groups[number];
	g->scratch.at = g->ref->n_blocks > 0 ? g->ref->blocks[0].offset : 0;
	g->rows = g->ref->rows;
	return 0;
}

void group_close(struct segment_group *g)
{
	group_messages_close(g);
	block_scratch_done(&g->scratch);
	free(g->batches);
	free(g->time);
	free(g->received);
	free(g->times_data);
	free(g->context);
	free(g->priority);
	free(g->flags);
	free(g->n_fields);
	free(g->first_field);
	free(g->names);
	free(g->values);
	free(g->fields_data);
	*g = (struct segment_group){ 0 };
}

void group_drop_rows(struct segment_group *g)
{
	struct segment_group bare = {
		.segment = g->segment,
		.ref = g->ref,
		.rows = g->rows,
		.scratch.at = g->scratch.at,
		.batches = TAKE_PTR(g->batches),
	};

	group_close(g);
	*g = bare;
}

const struct block_ref *group_block(const struct segment_group *g, enum block_kind kind,
				    uint32_t *n)
{
	const struct block_ref *found = NULL;

	*n = 0;
	for (uint32_t i = 0; i < g->ref->n_blocks; i++) {
		if (g->ref->blocks[i].kind != kind)
			continue;
		found = &g->ref->blocks[i];
		(*n)++;
	}
	return *n == 1 ? found : NULL;
}

int group_read_block(struct segment_group *g, enum block_kind kind, uint8_t **raw, struct rd *ret)
{
	const struct block_ref *ref;
	uint32_t n;
	int r;

	ref = group_block(g, kind, &n);
	if (!ref)
		return BULLA_ECORRUPT;
	r = block_read(g->segment->fd, ref, &g->scratch, raw);
	if (r < 0)
		return r;
	*ret = rd_of(*raw, ref->raw);
	return 0;
}

/* Batches. */

enum { BATCH_COLUMNS = 5 };

static bool is_of_group(const struct segment_group *g, uint64_t journal)
{
	uint32_t rank;

	if (journal >= g->segment->n_journals)
		return false;
	rank = g->segment->journals[journal].rank;
	return g->ref->rank_first <= rank && rank <= g->ref->rank_last;
}

static int fill_batches(struct segment_group *g, const uint64_t *columns)
{
	uint32_t n = g->ref->batches;
	uint64_t row = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct group_batch *b = &g->batches[i];

		if (!is_of_group(g, columns[i]) || columns[2 * n + i] < 1 ||
		    columns[2 * n + i] > g->rows - row || columns[3 * n + i] > BATCH_FLAGS_ALL)
			return BULLA_ECORRUPT;
		b->journal = (uint32_t) columns[i];
		b->commit = columns[n + i];
		b->entries = (uint32_t) columns[2 * n + i];
		b->flags = (uint8_t) columns[3 * n + i];
		b->mono_offset = (int64_t) unzigzag(columns[4 * n + i]);
		b->first_row = (uint32_t) row;
		row += b->entries;
	}
	return row == g->rows ? 0 : BULLA_ECORRUPT;
}

/* Numbers of batches and entries: told at the first of each journal's, counted from there. */
static void count_batches(struct segment_group *g, const uint64_t *first_batch,
			  const uint64_t *first_seq)
{
	size_t run = 0;

	for (uint32_t i = 0; i < g->ref->batches; i++) {
		struct group_batch *b = &g->batches[i];

		if (i > 0 && b[-1].journal == b->journal) {
			b->batch_no = b[-1].batch_no + 1;
			b->first_seq = b[-1].first_seq + b[-1].entries;
			continue;
		}
		b->batch_no = first_batch[run];
		b->first_seq = first_seq[run++];
	}
}

static int decode_batches(struct segment_group *g, struct rd *r)
{
	uint32_t n = g->ref->batches, runs = 1;
	_cleanup_free_ uint64_t *columns = reallocarray(NULL, n, BATCH_COLUMNS * sizeof *columns);
	int error = 0;

	g->batches = calloc(n, sizeof *g->batches);
	if (!columns || !g->batches)
		return -ENOMEM;
	for (int k = 0; error >= 0 && k < BATCH_COLUMNS; k++)
		error = ints_decode(r, n, columns + (size_t) k * n);
	if (error >= 0)
		error = fill_batches(g, columns);
	for (uint32_t i = 1; i < n; i++)
		runs += g->batches[i].journal != g->batches[i - 1].journal;
	for (int k = 0; error >= 0 && k < 2; k++)
		error = ints_decode(r, runs, columns + (size_t) k * n);
	if (error >= 0 && r->left > 0)
		error = BULLA_ECORRUPT;
	if (error >= 0)
		count_batches(g, columns, columns + n);
	return error;
}

int group_need_batches(struct segment_group *g)
{
	_cleanup_free_ uint8_t *raw = NULL;
	struct rd r;
	int error;

	if (g->batches)
		return 0;
	error = group_read_block(g, BLOCK_BATCHES, &raw, &r);
	if (error >= 0)
		error = decode_batches(g, &r);
	if (error < 0) {
		free(g->batches);
		g->batches = NULL;
	}
	return error;
}

/* Rows. */

static int get_bytes(struct rd *r, uint32_t n, uint64_t max, uint64_t *scratch, uint8_t *to)
{
	int error = ints_decode(r, n, scratch);

	for (uint32_t i = 0; error >= 0 && i < n; i++) {
		if (scratch[i] > max)
			return BULLA_ECORRUPT;
		to[i] = (uint8_t) scratch[i];
	}
	return error;
}

int group_need_rows(struct segment_group *g)
{
	_cleanup_free_ uint64_t *context = NULL, *scratch = NULL;
	_cleanup_free_ uint8_t *raw = NULL, *priority = NULL, *flags = NULL;
	struct rd r;
	int error;

	if (g->context)
		return 0;
	context = reallocarray(NULL, g->rows, sizeof *context);
	scratch = reallocarray(NULL, g->rows, sizeof *scratch);
	priority = malloc(g->rows);
	flags = malloc(g->rows);
	if (!context || !scratch || !priority || !flags)
		return -ENOMEM;
	error = group_read_block(g, BLOCK_ROWS, &raw, &r);
	if (error >= 0)
		error = ints_decode(&r, g->rows, context);
	if (error >= 0)
		error = get_bytes(&r, g->rows, 7, scratch, priority);
	if (error >= 0)
		error = get_bytes(&r, g->rows, ENTRY_FLAGS_ALL & ~ENTRY_RECOVERED, scratch, flags);
	if (error < 0 || r.left > 0)
		return error < 0 ? error : BULLA_ECORRUPT;
	g->context = TAKE_PTR(context);
	g->priority = TAKE_PTR(priority);
	g->flags = TAKE_PTR(flags);
	return 0;
}

int group_need_times(struct segment_group *g)
{
	_cleanup_free_ uint64_t *time = NULL;
	_cleanup_free_ uint8_t *raw = NULL;
	bool outside = false;
	struct rd r;
	int error;

	if (g->time)
		return 0;
	time = reallocarray(NULL, g->rows, sizeof *time);
	if (!time)
		return -ENOMEM;
	error = group_read_block(g, BLOCK_TIMES, &raw, &r);
	if (error >= 0)
		error = ints_decode(&r, g->rows, time);
	if (error < 0)
		return error;
	for (uint32_t i = 0; i < g->rows; i++)
		outside |= time[i] < g->ref->time_min || time[i] > g->ref->time_max;
	if (outside)
		return BULLA_ECORRUPT;
	g->time = TAKE_PTR(time);
	g->times_data = TAKE_PTR(raw);
	g->times_rest = r;
	return 0;
}

int group_need_received(struct segment_group *g)
{
	_cleanup_free_ uint64_t *received = NULL;
	struct rd r;
	int error = group_need_times(g);

	if (error < 0 || g->received)
		return error;
	received = reallocarray(NULL, g->rows, sizeof *received);
	if (!received)
		return -ENOMEM;
	r = g->times_rest;
	error = ints_decode(&r, g->rows, received);
	if (error < 0 || r.left > 0)
		return error < 0 ? error : BULLA_ECORRUPT;
	for (uint32_t i = 0; i < g->rows; i++)
		received[i] = g->time[i] + unzigzag(received[i]);
	g->received = TAKE_PTR(received);
	free(g->times_data);
	g->times_data = NULL;
	return 0;
}

/* Fields. */

static int decode_fields(struct segment_group *g, struct rd *r)
{
	_cleanup_free_ uint64_t *count = reallocarray(NULL, g->rows, sizeof *count);
	uint64_t n = 0;
	int error;

	g->n_fields = reallocarray(NULL, g->rows, sizeof *g->n_fields);
	g->first_field = reallocarray(NULL, g->rows, sizeof *g->first_field);
	if (!count || !g->n_fields || !g->first_field)
		return -ENOMEM;
	error = ints_decode(r, g->rows, count);
	for (uint32_t i = 0; error >= 0 && i < g->rows; i++) {
		if (count[i] > FIELDS_MAX || n > GROUP_VARIABLES_MAX)
			return BULLA_ECORRUPT;
		g->n_fields[i] = (uint32_t) count[i];
		g->first_field[i] = (uint32_t) n;
		n += count[i];
	}
	if (error < 0 || n > GROUP_VARIABLES_MAX)
		return error < 0 ? error : BULLA_ECORRUPT;
	g->names = reallocarray(NULL, MAX_OF(n, 1ul), sizeof *g->names);
	g->values = reallocarray(NULL, MAX_OF(n, 1ul), sizeof *g->values);
	if (!g->names || !g->values)
		return -ENOMEM;
	error = strings_decode(r, n, g->names);
	if (error >= 0)
		error = strings_decode(r, n, g->values);
	g->all_fields = n;
	for (uint64_t i = 0; error >= 0 && i < n; i++)
		if (g->names[i].len < 1 || g->names[i].len > FIELD_NAME_MAX)
			return BULLA_ECORRUPT;
	return error >= 0 && r->left > 0 ? BULLA_ECORRUPT : error;
}

int group_need_fields(struct segment_group *g)
{
	struct rd r;
	uint32_t n;
	int error;

	if (g->fields_data || (!group_block(g, BLOCK_FIELDS, &n) && n == 0))
		return 0;
	error = group_read_block(g, BLOCK_FIELDS, &g->fields_data, &r);
	if (error >= 0)
		error = decode_fields(g, &r);
	if (error < 0) {
		free(g->n_fields);
		free(g->first_field);
		free(g->names);
		free(g->values);
		free(g->fields_data);
		g->n_fields = g->first_field = NULL;
		g->names = g->values = NULL;
		g->fields_data = NULL;
		g->all_fields = 0;
	}
	return error;
}

/* Entries. */

int group_need_all(struct segment_group *g)
{
	int r = group_need_batches(g);

	if (r >= 0)
		r = group_need_rows(g);
	if (r >= 0)
		r = group_need_received(g);
	if (r >= 0)
		r = group_need_fields(g);
	return r < 0 ? r : group_need_templates(g);
}

uint32_t group_fields(const struct segment_group *g, uint32_t row, struct field *ret)
{
	uint32_t n = g->n_fields ? g->n_fields[row] : 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct text *name = &g->names[g->first_field[row] + i];
		const struct text *value = &g->values[g->first_field[row] + i];

		ret[i] = (struct field){ name->p, value->p, value->len, (uint8_t) name->len };
	}
	return n;
}

int group_entry(struct segment_group *g, uint32_t row, const struct segment_journal *journal,
		struct buf *message, struct field *fields, struct entry *ret)
{
	struct text text;
	int r;

	if (g->context[row] >= journal->contexts.n)
		return BULLA_ECORRUPT;
	r = group_message(g, row, message, &text);
	if (r < 0)
		return r;
	*ret = (struct entry){
		.time_ns = g->time[row],
		.received_ns = g->received[row],
		.message = text.p,
		.message_len = text.len,
		.fields = fields,
		.n_fields = (uint16_t) group_fields(g, row, fields),
		.priority = g->priority[row],
		.flags = g->flags[row],
	};
	return text.len > ENTRY_SIZE_MAX ? BULLA_ECORRUPT : 0;
}

/* Rows of one batch after the other are hashed with the same memory. */
struct hasher {
	struct batchroot root;
	struct buf message;
	struct field *fields;
};

static void hasher_done(struct hasher *h)
{
	batchroot_done(&h->root);
	buf_done(&h->message);
	free(h->fields);
}

static int hash_rows(struct segment_group *g, const struct group_batch *b,
		     const struct segment_journal *journal, struct hasher *h)
{
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < b->entries; i++) {
		struct entry e;

		group_fetch_message(g, b->first_row + i + AHEAD, AHEAD_BYTES);
		r = group_entry(g, b->first_row + i, journal, &h->message, h->fields, &e);
		if (r < 0)
			break;
		e.context = journal->contexts.at[g->context[b->first_row + i]].hash;
		r = row_is_lawful(&e) ? batchroot_add(&h->root, &e) : BULLA_ECORRUPT;
	}
	return r;
}

/* All but the root, which comes later. */
static int hash_batch(struct segment_group *g, uint32_t number, struct hasher *h, struct batch *ret)
{
	const struct group_batch *b = &g->batches[number];
	struct segment_journal *j = &g->segment->journals[b->journal];
	const uint8_t *seed = seeds_of(&j->seeds, b->batch_no);
	int r;

	if (!h->fields)
		h->fields = reallocarray(NULL, FIELDS_MAX, sizeof *h->fields);
	if (!h->fields)
		return -ENOMEM;
	if (!seed)
		return BULLA_ECORRUPT;
	r = contexts_hash_all(&j->contexts);
	if (r < 0)
		return r;
	batchroot_begin(&h->root, seed, b->batch_no, b->flags & BATCH_RECOVERED);
	r = hash_rows(g, b, j, h);
	*ret = (struct batch){
		.journal = j->id,
		.batch_no = b->batch_no,
		.first_seq = b->first_seq,
		.entries = b->entries,
		.bytes = h->root.bytes,
		.time_min = h->root.time_min,
		.time_max = h->root.time_max,
		.boot = j->boot,
		.mono_offset = b->mono_offset,
		.recovered = b->flags & BATCH_RECOVERED,
	};
	return r;
}

int group_batch(struct segment_group *g, uint32_t number, struct batch *ret)
{
	_cleanup_(hasher_done) struct hasher h = { 0 };
	int r = hash_batch(g, number, &h, ret);

	if (r >= 0)
		ret->root = batchroot_get(&h.root);
	return r;
}

int group_all_batches(struct segment_group *g, struct batch *ret, uint32_t *ret_n)
{
	_cleanup_(hasher_done) struct hasher h = { 0 };
	uint32_t n = 0;
	int r = 0;

	while (r >= 0 && n < g->ref->batches) {
		r = hash_batch(g, n, &h, &ret[n]);
		if (r >= 0)
			batchroot_later(&h.root, &ret[n++].root);
	}
	batchroot_give(&h.root);
	*ret_n = n;
	return r;
}

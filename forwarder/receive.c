/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A commit's batches come before the commit itself, so they are *staged*: hashed as they come, with what the journal's
 * contexts and seeds will be if the commit holds.  The commit then names, in the same order, what every batch must have
 * come to; when all agree it is offered to the caller, and published on receiver_accept().
 */

#include "forwarder/receive-internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

uint64_t receiver_content_max = 256 << 20;

struct receiver *receiver_new(void)
{
	struct receiver *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->history = history_new();
	r->remembered = calloc(RECEIVER_REMEMBERS, sizeof *r->remembered);
	if (!r->history || !r->remembered)
		return receiver_free(r);
	return r;
}

struct receiver *receiver_free(struct receiver *r)
{
	if (!r)
		return NULL;
	receiver_reset(r);
	for (uint32_t i = 0; i < r->n_told; i++) {
		told_done(r->told[i]);
		free(r->told[i]);
	}
	buried_free(r->buried);
	history_free(r->history);
	free(r->told);
	free(r->remembered);
	free(r->staged);
	free(r->rows);
	free(r->batches);
	batchroot_done(&r->root);
	buf_done(&r->raw);
	free(r);
	return NULL;
}

const struct history *receiver_history(const struct receiver *r)
{
	return r->history;
}

void receiver_reset(struct receiver *r)
{
	for (size_t i = 0; i < r->n_staged; i++)
		draft_drop(&r->staged[i].draft);
	r->n_staged = r->n_rows = 0;
	r->content = 0;
	r->keys_here = false;
	r->offered = false;
}

int receiver_grow(void *array, size_t *cap, size_t need, size_t size)
{
	void **at = array;
	size_t more = *cap ? *cap : 16;
	void *p;

	if (need <= *cap)
		return 0;
	while (more < need)
		more *= 2;
	p = reallocarray(*at, more, size);
	if (!p)
		return -ENOMEM;
	*at = p;
	*cap = more;
	return 0;
}

/* Staging. */

void receiver_end_batch(struct receiver *r)
{
	struct staged *s = r->n_staged > 0 ? &r->staged[r->n_staged - 1] : NULL;

	if (!s)
		return;
	s->rows_to = r->n_rows;
	if (!s->begun)
		return;
	s->bytes = r->root.bytes;
	r->content += s->bytes;
	s->time_min = r->root.time_min;
	s->time_max = r->root.time_max;
	s->root = batchroot_get(&r->root);
	s->begun = false;
}

static int on_batch(struct receiver *r, const struct frame *f)
{
	struct staged *s;
	int k;

	receiver_end_batch(r);
	if (r->n_staged >= BATCHES_MAX || r->content > receiver_content_max)
		return BULLA_ELIMIT;
	k = receiver_grow(&r->staged, &r->staged_cap, r->n_staged + 1, sizeof *r->staged);
	if (k < 0)
		return k;
	s = &r->staged[r->n_staged];
	*s = (struct staged){ .rows_from = r->n_rows, .rows_to = r->n_rows };
	k = wire_batch_decode(f->payload, f->size, &s->wire);
	if (k < 0)
		return k;
	if (r->n_staged > 0 && id_compare(&s[-1].wire.journal, &s->wire.journal) >= 0)
		return BULLA_ENOTCANON;
	r->n_staged++;
	s->handle = history_find_journal(r->history, &s->wire.journal);
	draft_begin(&s->draft, s->handle >= 0 ? r->told[s->handle] : NULL,
		    s->wire.flags & WIRE_BATCH_ALL);
	if (s->wire.absent != ABSENT_NOT)
		return s->wire.flags & WIRE_BATCH_ALL ? BULLA_ECORRUPT : 0;
	if (s->draft.whole)
		return 0;
	return s->draft.n_contexts != s->wire.contexts || s->draft.n_seeds != s->wire.seeds
		       ? -ENOKEY
		       : 0;
}

/* What comes with an absent batch nothing would vouch for. */
static int on_context(struct receiver *r, struct staged *s, const struct frame *f)
{
	if (s->wire.absent != ABSENT_NOT)
		return BULLA_ECORRUPT;
	return draft_context(&s->draft, &r->buried, f->payload, f->size);
}

static int on_seed(struct staged *s, const struct frame *f)
{
	struct tail_seed seed;
	int k;

	if (s->wire.absent != ABSENT_NOT)
		return BULLA_ECORRUPT;
	k = tail_seed_decode(f->payload, f->size, &seed);
	return k < 0 ? k : draft_seed(&s->draft, &seed);
}

static int hash_rows(struct receiver *r, struct staged *s, const struct tail_rows *rows)
{
	const struct contexts *contexts = draft_contexts(&s->draft);
	uint64_t min = UINT64_MAX, max = 0;
	_uninitialized_ struct field fields[FIELDS_MAX];
	struct row_state state = { 0 };
	bool own_fields = false;
	struct entry e;
	uint32_t context, n = 0;
	struct rd rd;
	int k;

	k = tail_rows_unpack(rows, &r->raw);
	if (k < 0)
		return k;
	rd = rd_of(r->raw.data, r->raw.len);
	while ((k = row_decode(&state, &rd, fields, &e, &context)) > 0) {
		if (context >= contexts->n)
			return -ENOKEY;
		e.context = contexts->at[context].hash;
		draft_use(&s->draft, context);
		k = batchroot_add(&r->root, &e);
		if (k < 0)
			return k;
		min = MIN_OF(min, e.time_ns);
		max = MAX_OF(max, e.time_ns);
		own_fields |= e.n_fields > 0;
		n++;
	}
	if (k < 0)
		return k;
	if (r->root.bytes > RECOVERED_SIZE_MAX)
		return BULLA_ELIMIT;
	/* What queries will believe of this frame. */
	if (n != rows->count || min != rows->time_min || max != rows->time_max ||
	    own_fields != rows->own_fields)
		return BULLA_ETAMPERED;
	return 0;
}

int staged_use_all(struct staged *s)
{
	uint32_t n = draft_contexts(&s->draft)->n;

	if (n == 0)
		return BULLA_ECORRUPT;
	draft_use(&s->draft, n - 1);
	return 0;
}

static int begin_rows(struct receiver *r, struct staged *s, const struct tail_rows *rows,
		      unsigned how)
{
	const uint8_t *seed;

	if (s->entries > 0)
		return rows->first_seq == s->first_seq + s->entries ? 0 : BULLA_EORDER;
	s->first_seq = rows->first_seq;
	if (how & RECEIVE_OWN)
		return 0;
	seed = seeds_of(draft_seeds(&s->draft), s->wire.batch_no);
	if (!seed)
		return -ENOKEY;
	batchroot_begin(&r->root, seed, s->wire.batch_no, s->wire.flags & WIRE_BATCH_RECOVERED);
	s->begun = true;
	return 0;
}

static int on_rows(struct receiver *r, struct staged *s, const struct frame *f, uint64_t offset,
		   unsigned how)
{
	struct tail_rows rows;
	int k;

	if (s->wire.absent != ABSENT_NOT)
		return BULLA_ECORRUPT;
	k = tail_rows_decode(f->payload, f->size, &rows);
	if (k >= 0)
		k = begin_rows(r, s, &rows, how);
	if (k >= 0)
		k = how & RECEIVE_OWN ? staged_use_all(s) : hash_rows(r, s, &rows);
	if (k >= 0)
		k = receiver_grow(&r->rows, &r->rows_cap, r->n_rows + 1, sizeof *r->rows);
	if (k < 0)
		return k;
	s->entries += rows.count;
	r->rows[r->n_rows++] = (struct rows_ref){
		.offset = offset,
		.space = (uint32_t) frame_space(f->size),
		.count = rows.count,
		.first_seq = rows.first_seq,
		.time_min = rows.time_min,
		.time_max = rows.time_max,
		.own_fields = rows.own_fields,
	};
	return 0;
}

/* Keys that came before with a commit that was then refused are known already. */
static int on_keys(struct receiver *r, const struct frame *f)
{
	struct hash h = sha256(f->payload, f->size);
	int k;

	if (!r->keys_pending || !hash_same(&h, &r->keys)) {
		k = history_keys(r->history, f->payload, f->size);
		if (k < 0)
			return k;
	}
	r->keys = h;
	r->keys_pending = r->keys_here = true;
	return 0;
}

static int begin_history(struct receiver *r)
{
	_cleanup_buf_ struct buf header = { 0 };
	int k;

	if (r->has_header)
		return 0;
	history_write_header(0, &header);
	k = header.bad ? -ENOMEM : history_header(r->history, header.data, header.len);
	r->has_header = k >= 0;
	return k;
}

static int take(struct receiver *r, const struct frame *f, uint64_t offset, unsigned how,
		struct received *ret)
{
	struct staged *s = r->n_staged > 0 ? &r->staged[r->n_staged - 1] : NULL;
	int k;

	switch (f->type) {
	case WIRE_KEYS:
		k = begin_history(r);
		return k < 0 ? k : on_keys(r, f);
	case WIRE_BATCH:
		return on_batch(r, f);
	case WIRE_COMMIT:
		return receiver_commit(r, f, how, ret);
	case TAIL_CONTEXT:
		return s ? on_context(r, s, f) : BULLA_ECORRUPT;
	case TAIL_SEED:
		return s ? on_seed(s, f) : BULLA_ECORRUPT;
	case TAIL_ROWS:
		return s ? on_rows(r, s, f, offset, how) : BULLA_ECORRUPT;
	default:
		return BULLA_EVERSION;
	}
}

int receiver_frame(struct receiver *r, const struct frame *f, uint64_t offset, unsigned how,
		   struct received *ret)
{
	int k;

	assert(!r->offered);
	k = take(r, f, offset, how, ret);
	if (k < 0)
		receiver_reset(r);
	return k;
}

static int keep_journals(struct receiver *r)
{
	uint32_t n = history_n_journals(r->history);
	size_t cap = r->told_cap;
	int k;

	k = receiver_grow(&r->told, &cap, n, sizeof(struct told *));
	if (k < 0)
		return k;
	r->told_cap = (uint32_t) cap;
	for (; r->n_told < n; r->n_told++) {
		r->told[r->n_told] = calloc(1, sizeof(struct told));
		if (!r->told[r->n_told])
			return -ENOMEM;
	}
	return 0;
}

int receiver_accept(struct receiver *r)
{
	int k;

	assert(r->offered);
	r->remembered[history_size(r->history) % RECEIVER_REMEMBERS] = r->record;
	r->keys_pending = false;
	history_commit_sealed(r->history);
	k = keep_journals(r);
	for (size_t i = 0; i < r->n_staged && k >= 0; i++) {
		int64_t handle = history_find_journal(r->history, &r->staged[i].wire.journal);

		assert(handle >= 0 && handle < r->n_told);
		draft_keep(&r->staged[i].draft, r->told[handle], &r->buried);
	}
	receiver_reset(r);
	return k;
}

const struct seeds *receiver_seeds(const struct receiver *r, const struct id *journal)
{
	int64_t handle = history_find_journal(r->history, journal);

	return handle >= 0 && handle < r->n_told ? &r->told[handle]->seeds : NULL;
}

int receiver_compare(const struct receiver *r, const uint8_t *record, size_t n)
{
	struct rd rd = rd_of(record, n);
	uint64_t number = rd_varint(&rd), size = history_size(r->history);
	struct hash h;

	if (rd.bad)
		return BULLA_ECORRUPT;
	if (number >= size || size - number > RECEIVER_REMEMBERS)
		return -ESTALE;
	h = sha256(record, n);
	return hash_same(&h, &r->remembered[number % RECEIVER_REMEMBERS]);
}

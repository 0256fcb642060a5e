/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A commit's batches come before the commit itself, so they are *staged*: hashed as they come, with what the journal's
 * contexts and seeds will be if the commit holds.  The commit then names, in the same order, what every batch must have
 * come to; when all agree it is offered to the caller, and published on receiver_accept().
 */

#include "forwarder/receive.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "bulla/error.h"
#include "store/batchroot.h"

/* What is kept of a journal, by its handle. */
struct kept {
	struct contexts *contexts; /* published; never changed */
	struct seeds seeds;
};

/* A batch of the commit that is coming in. */
struct staged {
	struct wire_batch wire;
	int64_t handle;		/* or -ENOENT: opened by this very commit */
	struct contexts *draft; /* NULL: the published ones do */
	struct seeds seeds;	/* those of before and the new ones */
	bool begun;
	uint64_t first_seq;
	uint32_t entries;
	uint64_t bytes, time_min, time_max;
	struct hash root;
	size_t rows_from, rows_to; /* in receiver.rows */
};

struct receiver {
	struct history *history;
	struct kept *kept;
	uint32_t n_kept, kept_cap;
	/* Tables that readers may still use. */
	struct contexts **retired;
	size_t n_retired, retired_cap;
	struct hash *remembered; /* ring of record hashes, by commit number */
	/* The commit that is coming in. */
	struct staged *staged;
	size_t n_staged, staged_cap;
	struct received_rows *rows;
	size_t n_rows, rows_cap;
	struct batchroot root;
	struct buf raw;
	struct hash record;
	bool offered, has_header;
	/* The last keys record, for when its commit was refused and it comes again. */
	struct hash keys;
};

static struct contexts *contexts_free(struct contexts *c)
{
	if (c)
		contexts_done(c);
	free(c);
	return NULL;
}

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
	for (uint32_t i = 0; i < r->n_kept; i++) {
		contexts_free(r->kept[i].contexts);
		seeds_done(&r->kept[i].seeds);
	}
	for (size_t i = 0; i < r->n_retired; i++)
		contexts_free(r->retired[i]);
	history_free(r->history);
	free(r->kept);
	free(r->retired);
	free(r->remembered);
	free(r->staged);
	free(r->rows);
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
	for (size_t i = 0; i < r->n_staged; i++) {
		contexts_free(r->staged[i].draft);
		seeds_done(&r->staged[i].seeds);
	}
	r->n_staged = r->n_rows = 0;
	r->offered = false;
}

static int grow(void *array, size_t *cap, size_t need, size_t size)
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

static const struct contexts *contexts_of(const struct receiver *r, const struct staged *s)
{
	static const struct contexts none;

	if (s->draft)
		return s->draft;
	return s->handle >= 0 ? r->kept[s->handle].contexts : &none;
}

/* Work on a copy: the published table may be in a reader's hands. */
static int begin_draft(struct receiver *r, struct staged *s, bool from_nothing)
{
	const struct contexts *old = contexts_of(r, s);
	struct contexts *draft = calloc(1, sizeof *draft);

	if (!draft)
		return -ENOMEM;
	for (uint32_t i = 0; !from_nothing && i < old->n; i++) {
		int64_t k = contexts_add(draft, old->at[i].leaf, old->at[i].leaf_size);

		if (k < 0) {
			contexts_free(draft);
			return (int) k;
		}
	}
	contexts_free(s->draft);
	s->draft = draft;
	return 0;
}

static void end_batch(struct receiver *r)
{
	struct staged *s = r->n_staged > 0 ? &r->staged[r->n_staged - 1] : NULL;

	if (!s)
		return;
	s->rows_to = r->n_rows;
	if (!s->begun)
		return;
	s->bytes = r->root.bytes;
	s->time_min = r->root.time_min;
	s->time_max = r->root.time_max;
	s->root = batchroot_get(&r->root);
	s->begun = false;
}

static int on_batch(struct receiver *r, const struct frame *f)
{
	struct staged *s;
	int k;

	end_batch(r);
	if (r->n_staged >= BATCHES_MAX)
		return BULLA_ELIMIT;
	k = grow(&r->staged, &r->staged_cap, r->n_staged + 1, sizeof *r->staged);
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
	if (s->wire.flags & WIRE_BATCH_ALL)
		return begin_draft(r, s, true);
	if (s->wire.absent == ABSENT_NOT && contexts_of(r, s)->n != s->wire.contexts)
		return -ENOKEY;
	for (uint32_t i = 0; s->handle >= 0 && i < r->kept[s->handle].seeds.n; i++) {
		k = seeds_add(&s->seeds, &r->kept[s->handle].seeds.at[i]);
		if (k < 0)
			return k;
	}
	return s->wire.absent == ABSENT_NOT && s->seeds.n != s->wire.seeds ? -ENOKEY : 0;
}

static int on_context(struct receiver *r, struct staged *s, const struct frame *f)
{
	int64_t k;

	if (!s->draft) {
		k = begin_draft(r, s, false);
		if (k < 0)
			return (int) k;
	}
	k = contexts_add(s->draft, f->payload, f->size);
	return k < 0 ? (int) k : 0;
}

static int on_seed(struct staged *s, const struct frame *f)
{
	struct tail_seed seed;
	int k;

	k = tail_seed_decode(f->payload, f->size, &seed);
	return k < 0 ? k : seeds_add(&s->seeds, &seed);
}

static int hash_rows(struct receiver *r, const struct staged *s, const struct tail_rows *rows)
{
	const struct contexts *contexts = contexts_of(r, s);
	uint64_t min = UINT64_MAX, max = 0;
	struct field fields[FIELDS_MAX];
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
	/* What queries will believe of this frame. */
	if (n != rows->count || min != rows->time_min || max != rows->time_max ||
	    own_fields != rows->own_fields)
		return BULLA_ETAMPERED;
	return 0;
}

static int begin_rows(struct receiver *r, struct staged *s, const struct tail_rows *rows,
		      enum receive_trust trust)
{
	const uint8_t *seed;

	if (s->entries > 0)
		return rows->first_seq == s->first_seq + s->entries ? 0 : BULLA_EORDER;
	s->first_seq = rows->first_seq;
	if (trust == RECEIVE_OWN)
		return 0;
	seed = seeds_of(&s->seeds, s->wire.batch_no);
	if (!seed)
		return -ENOKEY;
	batchroot_begin(&r->root, seed, s->wire.batch_no, s->wire.flags & WIRE_BATCH_RECOVERED);
	s->begun = true;
	return 0;
}

static int on_rows(struct receiver *r, struct staged *s, const struct frame *f, uint64_t offset,
		   enum receive_trust trust)
{
	struct tail_rows rows;
	int k;

	if (s->wire.absent != ABSENT_NOT)
		return BULLA_ECORRUPT;
	k = tail_rows_decode(f->payload, f->size, &rows);
	if (k >= 0)
		k = begin_rows(r, s, &rows, trust);
	if (k >= 0 && trust == RECEIVE_VERIFY)
		k = hash_rows(r, s, &rows);
	if (k >= 0)
		k = grow(&r->rows, &r->rows_cap, r->n_rows + 1, sizeof *r->rows);
	if (k < 0)
		return k;
	s->entries += rows.count;
	r->rows[r->n_rows++] = (struct received_rows) {
		.journal = s->wire.journal,
		.ref = {
			.offset = offset,
			.space = (uint32_t) frame_space(f->size),
			.count = rows.count,
			.first_seq = rows.first_seq,
			.time_min = rows.time_min,
			.time_max = rows.time_max,
			.has_mono = true,
			.own_fields = rows.own_fields,
		},
	};
	return 0;
}

/* Commits. */

static const struct ledger_journal *opened_by(const struct sealed_commit *c,
					      const struct id *journal, struct ledger_journal *room)
{
	for (uint16_t i = 0; i < c->commit.n_events; i++) {
		struct event_open open;

		if (c->commit.events[i].kind == EVENT_OPEN &&
		    event_open_decode(&c->commit.events[i], &open) == 0 &&
		    id_equal(&open.journal, journal)) {
			*room = (struct ledger_journal){
				.identity = open.identity,
				.seed_commitment = open.seed_commitment,
			};
			return room;
		}
	}
	return NULL;
}

/* The identity and the first seed are those that `open` sealed. */
static int check_identity(const struct receiver *r, const struct sealed_commit *c,
			  const struct staged *s)
{
	const struct contexts *contexts = contexts_of(r, s);
	const struct ledger_journal *j;
	struct ledger_journal room;
	struct hash commitment;

	j = s->handle >= 0 ? history_journal(r->history, (uint32_t) s->handle)
			   : opened_by(c, &s->wire.journal, &room);
	if (!j)
		return BULLA_EORDER;
	if (contexts->n == 0 || s->seeds.n == 0)
		return -ENOKEY;
	commitment = seed_commitment(&s->wire.journal, s->seeds.at[0].seed);
	if (!hash_same(&contexts->at[0].hash, &j->identity) ||
	    !hash_same(&commitment, &j->seed_commitment))
		return BULLA_ETAMPERED;
	return 0;
}

/* A whole list sent again begins with what was published: rows already kept go on meaning the same contexts. */
static bool continues_published(const struct receiver *r, const struct staged *s)
{
	const struct contexts *old = s->handle >= 0 ? r->kept[s->handle].contexts : NULL;

	if (!s->draft || !old)
		return true;
	if (s->draft->n < old->n)
		return false;
	for (uint32_t i = 0; i < old->n; i++)
		if (!hash_same(&old->at[i].hash, &s->draft->at[i].hash))
			return false;
	return true;
}

static int check_batch(const struct receiver *r, const struct sealed_commit *c,
		       const struct staged *s, const struct batch *b, enum receive_trust trust)
{
	int k;

	if (!id_equal(&s->wire.journal, &b->journal) || s->wire.batch_no != b->batch_no)
		return BULLA_EORDER;
	if (s->wire.absent != ABSENT_NOT)
		return 0;
	if (s->first_seq != b->first_seq || s->entries != b->entries)
		return BULLA_ETAMPERED;
	if (trust == RECEIVE_OWN)
		return 0;
	k = check_identity(r, c, s);
	if (k < 0)
		return k;
	if (!continues_published(r, s))
		return BULLA_ECORRUPT;
	if (!hash_same(&s->root, &b->root) || s->bytes != b->bytes || s->time_min != b->time_min ||
	    s->time_max != b->time_max || b->recovered != !!(s->wire.flags & WIRE_BATCH_RECOVERED))
		return BULLA_ETAMPERED;
	return 0;
}

static int on_commit(struct receiver *r, const struct frame *f, enum receive_trust trust,
		     struct received *ret)
{
	struct sealed_commit c;
	int k;

	end_batch(r);
	k = history_preview(r->history, f->payload, f->size,
			    trust == RECEIVE_OWN ? HISTORY_SKIP_SIGNATURE : HISTORY_CHECK_ALL, &c);
	if (k < 0)
		return k;
	if (c.commit.n_batches != r->n_staged)
		return BULLA_EORDER;
	*ret = (struct received){ .number = c.commit.number, .leaf = c.leaf, .root = c.root };
	for (size_t i = 0; i < r->n_staged; i++) {
		const struct staged *s = &r->staged[i];

		k = check_batch(r, &c, s, &c.batches[i], trust);
		if (k < 0)
			return k;
		for (size_t n = s->rows_from; n < s->rows_to; n++) {
			r->rows[n].boot = c.batches[i].boot;
			r->rows[n].ref.mono_offset = c.batches[i].mono_offset;
			r->rows[n].contexts = contexts_of(r, s);
		}
		ret->entries += s->entries;
		ret->absent += s->wire.absent != ABSENT_NOT;
	}
	ret->rows = r->rows;
	ret->n_rows = r->n_rows;
	r->record = sha256(f->payload, f->size);
	r->offered = true;
	return 1;
}

/* Keys that came before with a commit that was then refused are known already. */
static int on_keys(struct receiver *r, const struct frame *f)
{
	struct hash h = sha256(f->payload, f->size);
	int k;

	if (history_keys_ready(r->history) && hash_same(&h, &r->keys))
		return 0;
	k = history_keys(r->history, f->payload, f->size);
	if (k >= 0)
		r->keys = h;
	return k;
}

static int begin_history(struct receiver *r)
{
	_cleanup_buf_ struct buf header = { 0 };
	int k;

	if (r->has_header)
		return 0;
	history_write_header(&header);
	k = header.bad ? -ENOMEM : history_header(r->history, header.data, header.len);
	r->has_header = k >= 0;
	return k;
}

static int take(struct receiver *r, const struct frame *f, uint64_t offset,
		enum receive_trust trust, struct received *ret)
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
		return on_commit(r, f, trust, ret);
	case TAIL_CONTEXT:
		return s ? on_context(r, s, f) : BULLA_ECORRUPT;
	case TAIL_SEED:
		return s ? on_seed(s, f) : BULLA_ECORRUPT;
	case TAIL_ROWS:
		return s ? on_rows(r, s, f, offset, trust) : BULLA_ECORRUPT;
	default:
		return BULLA_EVERSION;
	}
}

int receiver_frame(struct receiver *r, const struct frame *f, uint64_t offset,
		   enum receive_trust trust, struct received *ret)
{
	int k;

	assert(!r->offered);
	k = take(r, f, offset, trust, ret);
	if (k < 0)
		receiver_reset(r);
	return k;
}

/* Publish a draft; the table before it stays for whoever reads with it. */
static int publish(struct receiver *r, struct kept *kept, struct staged *s)
{
	if (s->draft) {
		if (kept->contexts) {
			int k = grow(&r->retired, &r->retired_cap, r->n_retired + 1,
				     sizeof *r->retired);

			if (k < 0)
				return k;
			r->retired[r->n_retired++] = kept->contexts;
		}
		kept->contexts = TAKE_PTR(s->draft);
	}
	if (s->seeds.n > 0) {
		seeds_done(&kept->seeds);
		kept->seeds = s->seeds;
		s->seeds = (struct seeds){ 0 };
	}
	return 0;
}

static int keep_journals(struct receiver *r)
{
	uint32_t n = history_n_journals(r->history);
	size_t cap = r->kept_cap;
	int k;

	k = grow(&r->kept, &cap, n, sizeof *r->kept);
	if (k < 0)
		return k;
	r->kept_cap = (uint32_t) cap;
	for (; r->n_kept < n; r->n_kept++) {
		r->kept[r->n_kept] =
			(struct kept){ .contexts = calloc(1, sizeof(struct contexts)) };
		if (!r->kept[r->n_kept].contexts)
			return -ENOMEM;
	}
	return 0;
}

int receiver_accept(struct receiver *r)
{
	int k;

	assert(r->offered);
	r->remembered[history_size(r->history) % RECEIVER_REMEMBERS] = r->record;
	history_commit_sealed(r->history);
	k = keep_journals(r);
	for (size_t i = 0; i < r->n_staged && k >= 0; i++) {
		int64_t handle = history_find_journal(r->history, &r->staged[i].wire.journal);

		assert(handle >= 0 && handle < r->n_kept);
		k = publish(r, &r->kept[handle], &r->staged[i]);
	}
	receiver_reset(r);
	return k;
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

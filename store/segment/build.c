/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The ledger is gone along once, and with it the tail of each journal that has batches to be packed.  Which those are is known by
 * tenant: a commit whose tenant has a segment for it is done with, and so is what was pruned before.
 *
 * A commit's batches are taken tenant by tenant.  So any segment at hand but the one that is written to may be ended in between,
 * where there are more tenants than one can have at hand.
 */

#include "store/segment/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/room.h"
#include "bulla/error.h"
#include "seal/history.h"
#include "seal/ledger.h"
#include "store/batchroot.h"
#include "store/segment/coverage.h"
#include "store/segment/hand.h"
#include "store/segment/tails.h"

enum { STAGED_MAX = 64 << 20 /* bytes of rows, in all segments at hand */ };

/* A batch to be packed. */
struct task {
	const struct covered *tenant;
	uint32_t batch;
};

struct segment_builder {
	const struct state *state;
	struct segment_builder_options options;
	struct history *history;
	struct ledger ledger;
	struct ledger_scan scan;
	struct packed_tails tails;
	struct field *fields; /* owned, FIELDS_MAX */
	struct buf raw;
	struct batchroot root;
	struct id origin;
	int error;
	struct coverage coverage;
	uint64_t end;	    /* commits before this are done with */
	uint64_t lost;	    /* batches of nobody knows whom, to be told with the next segment */
	struct task *tasks; /* owned: of the commit at hand */
	size_t n_tasks, tasks_cap;
	struct segment_hand *hands[HANDS_MAX]; /* owned; NULL: none */
	unsigned n_hands;
};

/* Journals. */

/* Whether an error is the tail's, and no reason to stop. */
static bool is_damage(int r)
{
	return (r <= BULLA_ETRUNCATED && r != BULLA_ELIMIT) || r == -EIO || r == -ENOENT ||
	       r == -ELOOP || r == -EISDIR || r == -ENXIO;
}

/* @return 0, also where nobody says whose it is. */
static int find_tenant(struct segment_builder *b, struct packed_journal *k,
		       const struct ledger_journal *j)
{
	struct tenant t;
	int r;

	if (k->tenant || k->gone)
		return 0;
	r = packed_tail_tenant(&b->tails, j, &t);
	k->gone = r < 0 && is_damage(r);
	if (r < 0)
		return k->gone ? 0 : r;
	k->tenant = coverage_of(&b->coverage, &t);
	return k->tenant ? 0 : -ENOMEM;
}

/* Segments at hand. */

/* What is known of tails goes on, but for those that are done, or whose damage stands in the way. */
static void let_go(struct segment_builder *b, unsigned i)
{
	struct covered *of = b->hands[i]->of;

	for (uint32_t k = 0; k < b->tails.n; k++) {
		struct packed_journal *known = &b->tails.at[k];

		known->gone = false;
		if (known->tenant != of || !known->tail)
			continue;
		if (known->tail->left_out || history_journal(b->history, k)->closed)
			packed_tail_close(&b->tails, known);
		else
			known->tail->number = -1;
	}
	of->hand = NULL;
	b->hands[i] = hand_free(b->hands[i]);
	b->n_hands--;
}

static int end_hand(struct segment_builder *b, unsigned i)
{
	struct segment_hand *h = b->hands[i];
	int r = 0;

	if (h->made.batches > 0) {
		h->made.left_out += b->lost;
		b->lost = 0;
		r = hand_finish(h, MAX_OF(b->end, h->made.end));
		if (r >= 0)
			h->of->from = h->made.end;
		if (r >= 0 && b->options.made)
			r = b->options.made(b->options.arg, &h->made);
	}
	let_go(b, i);
	return r;
}

int segment_builder_finish(struct segment_builder *b)
{
	int r = 0;

	for (unsigned i = 0; r >= 0 && i < HANDS_MAX; i++)
		if (b->hands[i] && b->hands[i]->made.batches > 0)
			r = end_hand(b, i);
	return r;
}

/* The one that is worth ending most. */
static unsigned largest_hand(const struct segment_builder *b)
{
	unsigned largest = 0;

	for (unsigned i = 1; i < HANDS_MAX; i++)
		if (b->hands[i] && (!b->hands[largest] ||
				    b->hands[i]->made.entries > b->hands[largest]->made.entries))
			largest = i;
	return largest;
}

static int begin_hand(struct segment_builder *b, struct covered *of, uint64_t time_ns)
{
	unsigned i = 0;
	int r = 0;

	if (of->hand)
		return 0;
	if (b->n_hands == HANDS_MAX)
		r = end_hand(b, largest_hand(b));
	while (i < HANDS_MAX && b->hands[i])
		i++;
	if (r >= 0)
		r = hand_new(&b->hands[i], of, i, b->options.dirfd, b->options.level, &b->origin,
			     time_ns);
	if (r < 0)
		return r;
	of->hand = b->hands[i];
	b->n_hands++;
	return 0;
}

/* Those of another day, and those that come to what segments have already. */
static int end_due(struct segment_builder *b, const struct commit *c)
{
	int r = 0;

	for (unsigned i = 0; r >= 0 && b->n_hands > 0 && i < HANDS_MAX; i++) {
		struct segment_hand *h = b->hands[i];

		if (h && (segment_day(h->since_ns) != segment_day(c->time_ns) ||
			  covered_has(h->of, c->number)))
			r = end_hand(b, i);
	}
	return r;
}

/* With many at hand each keeps less. */
static int bound_staged(struct segment_builder *b)
{
	int r = 0;

	while (r >= 0 && b->n_hands > 1) {
		struct segment_writer *largest = NULL;
		size_t all = 0;

		for (unsigned i = 0; i < HANDS_MAX; i++) {
			struct segment_writer *w = b->hands[i] ? &b->hands[i]->writer : NULL;

			all += w ? segment_writer_staged(w) : 0;
			if (w &&
			    (!largest || segment_writer_staged(w) > segment_writer_staged(largest)))
				largest = w;
		}
		if (all <= STAGED_MAX)
			return 0;
		r = segment_writer_flush(largest);
		segment_writer_relax(largest);
	}
	return r;
}

/* Batches. */

/* The segment is told of a journal when its first batch comes: by then its identity has been read. */
static int announce(struct segment_hand *h, struct packed_tail *r, const struct ledger_journal *j,
		    const struct batch *batch)
{
	struct segment_source source = {
		.id = j->id,
		.boot = j->boot,
		.first_batch = batch->batch_no,
		.first_seq = batch->first_seq,
		.contexts = &r->tail.contexts,
		.seeds = &r->tail.seeds,
	};

	if (r->number >= 0)
		return 0;
	if (!id_equal(&r->tail.header.journal, &j->id) || r->tail.contexts.n == 0 ||
	    !hash_same(&r->tail.contexts.at[0].hash, &j->identity))
		return BULLA_ETAMPERED;
	r->number = segment_writer_journal(&h->writer, &source);
	h->made.journals += r->number >= 0;
	return r->number < 0 ? (int) r->number : 0;
}

static int begin_batch(struct segment_builder *b, struct segment_hand *h, struct packed_tail *r,
		       const struct sealed_commit *c, uint32_t i)
{
	const struct batch *batch = &c->batches[i];
	const uint8_t *seed = seeds_of(&r->tail.seeds, batch->batch_no);
	int k;

	if (!seed)
		return BULLA_ETAMPERED;
	k = announce(h, r, history_journal(b->history, c->handles[i]), batch);
	if (k < 0)
		return k;
	batchroot_begin(&b->root, seed, batch->batch_no, batch->recovered);
	return segment_writer_batch(&h->writer, (uint32_t) r->number, c->commit.number,
				    batch->recovered ? BATCH_RECOVERED : 0, batch->mono_offset);
}

static int take_rows(struct segment_builder *b, struct segment_hand *h, struct packed_tail *r,
		     const struct tail_rows *rows)
{
	struct row_state state = { 0 };
	uint32_t context;
	struct entry e;
	struct rd rd;
	int k;

	k = tail_rows_unpack(rows, &b->raw);
	if (k < 0)
		return k;
	rd = rd_of(b->raw.data, b->raw.len);
	while ((k = row_decode(&state, &rd, b->fields, &e, &context)) > 0) {
		if (context >= r->tail.contexts.n)
			return BULLA_ECORRUPT;
		e.context = r->tail.contexts.at[context].hash;
		k = batchroot_add(&b->root, &e);
		if (k >= 0)
			k = segment_writer_add(&h->writer, &e, context);
		if (k < 0)
			return k;
	}
	return k;
}

/* `*ret_begun` tells whether the writer has a batch at hand. */
static int read_rows(struct segment_builder *b, struct segment_hand *h, struct packed_tail *r,
		     const struct sealed_commit *c, uint32_t i, bool *ret_begun)
{
	const struct batch *batch = &c->batches[i];
	uint64_t n = 0;

	while (n < batch->entries) {
		struct tail_rows rows;
		int k = packed_tail_next(r, batch->first_seq + n, &rows);

		if (k >= 0 && n == 0) {
			k = begin_batch(b, h, r, c, i);
			*ret_begun = k >= 0;
		}
		if (k >= 0 && rows.count > batch->entries - n)
			k = BULLA_ETAMPERED;
		if (k >= 0)
			k = take_rows(b, h, r, &rows);
		if (k < 0)
			return k;
		n += rows.count;
	}
	return 0;
}

static int check_root(struct segment_builder *b, const struct batch *batch)
{
	struct hash root = batchroot_get(&b->root);

	return batchroot_count(&b->root) == batch->entries && hash_same(&root, &batch->root)
		       ? 0
		       : BULLA_ETAMPERED;
}

static int take_batch(struct segment_builder *b, struct segment_hand *h,
		      const struct sealed_commit *c, uint32_t i)
{
	const struct ledger_journal *j = history_journal(b->history, c->handles[i]);
	struct packed_tail *r;
	bool begun = false;
	int k;

	k = packed_tail_open(&b->tails, &b->tails.at[c->handles[i]], j, &r);
	if (!r)
		return k;
	if (r->left_out) {
		h->made.left_out++;
		return 0;
	}
	/* A root that the ledger left to a segment went with it: what the tail has could be anything. */
	if (k >= 0)
		k = root_is_absent(&c->batches[i].root) ? -ENODATA
							: read_rows(b, h, r, c, i, &begun);
	if (k >= 0)
		k = check_root(b, &c->batches[i]);
	if (k >= 0)
		return hand_remember(h, (uint32_t) r->number, &c->batches[i], c->commit.time_ns);
	if (begun)
		segment_writer_drop_batch(&h->writer);
	/* What lies behind one that is not to be had can be the first of a journal. */
	r->left_out = k != -ENODATA || r->number >= 0;
	h->made.left_out++;
	return k == -ENODATA || is_damage(k) ? 0 : k;
}

/* Take what one tenant has of a commit. */
static int take_tenant(struct segment_builder *b, const struct sealed_commit *c,
		       const struct task *tasks, size_t n)
{
	struct covered *of = b->tails.at[c->handles[tasks->batch]].tenant;
	int r = begin_hand(b, of, c->commit.time_ns);
	struct segment_hand *h = of->hand;

	for (size_t i = 0; r >= 0 && i < n; i++)
		r = take_batch(b, h, c, tasks[i].batch);
	if (r >= 0)
		r = segment_writer_end_commit(&h->writer);
	if (r < 0)
		return r;
	h->made.end = c->commit.number + 1;
	if (b->n_hands > 1 && segment_writer_staged(&h->writer) == 0)
		segment_writer_relax(&h->writer);
	return 0;
}

/* A batch is to be packed, unless it is packed or pruned; or nobody says whose it is. */
static int add_task(struct segment_builder *b, const struct sealed_commit *c, uint32_t i)
{
	struct packed_journal *k = packed_journal_of(&b->tails, c->handles[i]);
	int r;

	if (!k)
		return -ENOMEM;
	if (c->batches[i].batch_no < k->pruned)
		return 0;
	r = find_tenant(b, k, history_journal(b->history, c->handles[i]));
	if (r < 0)
		return r;
	if (!k->tenant) {
		/* Once it was packed nobody needs its tail. */
		b->lost += c->commit.number >= b->coverage.end;
		return 0;
	}
	if (covered_has(k->tenant, c->commit.number))
		return 0;
	if (!room_for(&b->tasks, b->n_tasks, &b->tasks_cap, sizeof *b->tasks))
		return -ENOMEM;
	b->tasks[b->n_tasks++] = (struct task){ k->tenant, i };
	return 0;
}

static int compare_tasks(const void *a, const void *b)
{
	const struct task *x = a, *y = b;
	int c = tenant_compare(&x->tenant->tenant, &y->tenant->tenant);

	return c != 0 ? c : (x->batch > y->batch) - (x->batch < y->batch);
}

static int take_batches(struct segment_builder *b, const struct sealed_commit *c)
{
	size_t from = 0, end;
	int r = 0;

	b->n_tasks = 0;
	for (uint32_t i = 0; r >= 0 && i < c->commit.n_batches; i++)
		r = add_task(b, c, i);
	if (b->n_tasks > 1 && b->coverage.n > 1)
		qsort(b->tasks, b->n_tasks, sizeof *b->tasks, compare_tasks);
	for (; r >= 0 && from < b->n_tasks; from = end) {
		for (end = from + 1;
		     end < b->n_tasks && b->tasks[end].tenant == b->tasks[from].tenant;)
			end++;
		r = take_tenant(b, c, b->tasks + from, end - from);
	}
	return r;
}

static int end_full(struct segment_builder *b)
{
	uint64_t full = b->options.entries_max > 0 ? b->options.entries_max : UINT64_MAX;
	int r = 0;

	for (unsigned i = 0; r >= 0 && i < HANDS_MAX; i++)
		if (b->hands[i] && b->hands[i]->made.entries >= full)
			r = end_hand(b, i);
	return r;
}

static int take_commit(void *arg, const struct sealed_commit *c)
{
	struct segment_builder *b = arg;

	if (c->commit.number == 0)
		memcpy(b->origin.b, c->leaf.b, ID_SIZE);
	if (b->options.idle)
		return 0;
	b->error = end_due(b, &c->commit);
	if (b->error >= 0)
		b->error = take_batches(b, c);
	b->end = c->commit.number + 1;
	if (b->error >= 0)
		b->error = end_full(b);
	if (b->error >= 0)
		b->error = bound_staged(b);
	return b->error;
}

/* Building. */

int segment_builder_new(struct segment_builder **ret, const struct state *s,
			const struct segment_builder_options *o)
{
	_cleanup_(segment_builder_freep) struct segment_builder *b = calloc(1, sizeof *b);
	int r;

	if (!b)
		return -ENOMEM;
	b->state = s;
	b->tails.state = s;
	b->options = *o;
	b->options.packed = NULL;
	b->ledger.fd = -1;
	b->history = history_new();
	b->fields = reallocarray(NULL, FIELDS_MAX, sizeof *b->fields);
	if (!b->history || !b->fields)
		return -ENOMEM;
	r = o->packed ? coverage_take(&b->coverage, o->packed) : 0;
	if (r >= 0)
		r = hands_sweep(o->dirfd);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(b);
	return 0;
}

struct segment_builder *segment_builder_free(struct segment_builder *b)
{
	if (!b)
		return NULL;
	for (unsigned i = 0; i < HANDS_MAX; i++)
		hand_free(b->hands[i]);
	packed_tails_done(&b->tails);
	coverage_done(&b->coverage);
	free(b->tasks);
	free(b->fields);
	buf_done(&b->raw);
	batchroot_done(&b->root);
	ledger_close(&b->ledger);
	history_free(b->history);
	free(b);
	return NULL;
}

/* What the ledger will say that is gone.  Where it cannot be read that is said by who reads it to pack. */
static int note_pruned(struct segment_builder *b)
{
	_cleanup_(history_freep) struct history *h = history_new();
	struct ledger l = { .fd = -1 };
	struct ledger_scan scan = { 0 };
	int r = h ? ledger_open(&l, b->state->ledger, O_RDONLY, h, HISTORY_SKIP_SIGNATURE, NULL,
				NULL, &scan)
		  : -ENOMEM;

	ledger_close(&l);
	for (uint32_t i = 0; r != -ENOMEM && i < history_n_journals(h); i++) {
		struct packed_journal *k =
			history_journal(h, i)->pruned ? packed_journal_of(&b->tails, i) : NULL;

		if (k)
			k->pruned = history_journal(h, i)->pruned_batches;
		else if (history_journal(h, i)->pruned)
			r = -ENOMEM;
	}
	return r == -ENOMEM ? r : 0;
}

int segment_builder_read(struct segment_builder *b)
{
	int r;

	if (b->ledger.fd < 0) {
		r = ledger_begin(&b->ledger, b->state->ledger, O_RDONLY);
		if (r < 0)
			return r == -ENOENT ? 0 : r;
		r = note_pruned(b);
		if (r < 0)
			return r;
	}
	r = ledger_catch_up(&b->ledger, b->history, HISTORY_CHECK_ALL, take_commit, b, &b->scan);
	return b->error < 0 ? b->error : r;
}

uint64_t segment_builder_pending(const struct segment_builder *b, uint64_t *ret_since_ns)
{
	uint64_t entries = 0;

	*ret_since_ns = UINT64_MAX;
	for (unsigned i = 0; i < HANDS_MAX; i++)
		if (b->hands[i] && b->hands[i]->made.batches > 0) {
			entries += b->hands[i]->made.entries;
			*ret_since_ns = MIN_OF(*ret_since_ns, b->hands[i]->since_ns);
		}
	return entries;
}

uint64_t segment_builder_packed(const struct segment_builder *b)
{
	uint64_t end = b->options.idle ? 0 : b->end;

	for (unsigned i = 0; i < HANDS_MAX; i++)
		if (b->hands[i])
			end = MIN_OF(end, b->hands[i]->made.first);
	return end;
}

const struct history *segment_builder_history(const struct segment_builder *b)
{
	return b->history;
}

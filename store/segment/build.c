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
#include "store/segment/coverage.h"
#include "store/segment/hand.h"
#include "store/segment/take.h"

enum { AWAITED_MAX = 1 << 18 /* batches, by all segments at hand */ };

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
	struct batch_taker taker;
	struct id origin;
	int error;
	struct coverage coverage;
	struct covered *only; /* one who is careful makes a segment of this tenant alone, */
	uint64_t until;	      /* of commits from only->from to here */
	uint64_t end;	      /* commits before this are done with */
	uint64_t lost;	      /* batches of nobody knows whom, to be told with the next segment */
	struct task *tasks;   /* owned: of the commit at hand */
	size_t n_tasks, tasks_cap;
	struct segment_hand *hands[HANDS_MAX]; /* owned; NULL: none */
	unsigned n_hands;
};

static int new_builder(struct segment_builder **ret, const struct state *s,
		       const struct segment_builder_options *o)
{
	_cleanup_(segment_builder_freep) struct segment_builder *b = calloc(1, sizeof *b);

	if (!b)
		return -ENOMEM;
	b->state = s;
	b->options = *o;
	b->options.packed = NULL;
	b->until = UINT64_MAX;
	b->ledger.fd = -1;
	b->history = history_new();
	b->taker.history = b->history;
	b->taker.tails.state = s;
	b->taker.fields = reallocarray(NULL, FIELDS_MAX, sizeof *b->taker.fields);
	if (!b->history || !b->taker.fields)
		return -ENOMEM;
	*ret = TAKE_PTR(b);
	return 0;
}

/* Journals. */

/* @return 0, also where nobody says whose it is. */
static int find_tenant(struct segment_builder *b, struct packed_journal *k,
		       const struct ledger_journal *j)
{
	struct tenant t;
	int r;

	if (k->tenant || k->gone)
		return 0;
	r = packed_tail_tenant(&b->taker.tails, j, &t);
	k->gone = r < 0 && packed_tail_is_damage(r);
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

	for (uint32_t k = 0; k < b->taker.tails.n; k++) {
		struct packed_journal *known = &b->taker.tails.at[k];

		known->gone = false;
		if (known->tenant != of || !known->tail)
			continue;
		if (known->tail->left_out || history_journal(b->history, k)->closed)
			packed_tail_close(known);
		else
			known->tail->number = -1;
	}
	of->hand = NULL;
	b->hands[i] = hand_free(b->hands[i]);
	b->n_hands--;
}

static int note_made(void *arg, const struct segment_made *m)
{
	*(struct segment_made *) arg = *m;
	return 0;
}

/*
 * What was read back is not what was sealed: make the segment once more, hashing each batch before it is taken, so that
 * those that are not what was sealed stay out.  It may be that nothing is left.
 */
static int make_carefully(struct segment_builder *b, struct segment_hand *h)
{
	_cleanup_(segment_builder_freep) struct segment_builder *careful = NULL;
	struct segment_builder_options o = b->options;
	struct segment_made made = { .left_out = 0 };
	struct covered *only;
	int r;

	o.entries_max = 0;
	o.made = note_made;
	o.arg = &made;
	r = new_builder(&careful, b->state, &o);
	if (r < 0)
		return r;
	only = coverage_of(&careful->coverage, &h->made.tenant);
	if (!only)
		return -ENOMEM;
	only->from = h->made.first;
	careful->only = only;
	careful->until = h->made.end;
	careful->taker.careful = true;
	r = segment_builder_read(careful);
	if (r >= 0)
		r = segment_builder_finish(careful);
	if (r < 0)
		return r;
	made.left_out += made.batches > 0 ? 0 : careful->lost;
	h->made = made;
	return 0;
}

/* Read what it waits for, and give it its name if it has any entry. */
static int make(struct segment_builder *b, struct segment_hand *h)
{
	int r = batch_taker_take(&b->taker, h);

	if (r >= 0 && h->made.batches > 0)
		r = hand_finish(h, MAX_OF(b->end, h->made.end));
	/* Who is careful has no second try. */
	return r == BULLA_ECORRUPT && !b->only ? make_carefully(b, h) : r;
}

static int end_hand(struct segment_builder *b, unsigned i)
{
	struct segment_hand *h = b->hands[i];
	int r = make(b, h);

	if (r >= 0 && h->made.batches > 0) {
		h->made.left_out += b->lost;
		b->lost = 0;
		h->of->from = h->made.end;
		if (b->options.made)
			r = b->options.made(b->options.arg, &h->made);
	} else {
		b->lost += h->made.left_out;
	}
	let_go(b, i);
	return r;
}

int segment_builder_finish(struct segment_builder *b)
{
	int r = 0;

	for (unsigned i = 0; r >= 0 && i < HANDS_MAX; i++)
		if (b->hands[i])
			r = end_hand(b, i);
	return r;
}

/* The one that is worth ending most. */
static unsigned largest_hand(const struct segment_builder *b)
{
	unsigned largest = 0;

	for (unsigned i = 1; i < HANDS_MAX; i++)
		if (b->hands[i] && (!b->hands[largest] ||
				    hand_entries(b->hands[i]) > hand_entries(b->hands[largest])))
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
		r = hand_new(&b->hands[i], of, i + (b->only ? HANDS_MAX : 0), b->options.dirfd,
			     b->options.level, &b->origin, time_ns);
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

/* Read what a segment waits for; with many at hand each keeps no more memory than it needs. */
static int take_awaited(struct segment_builder *b, struct segment_hand *h)
{
	int r = batch_taker_take(&b->taker, h);

	if (r >= 0)
		r = segment_writer_flush(&h->writer);
	if (b->n_hands > 1)
		segment_writer_relax(&h->writer);
	return r;
}

/* With many at hand each waits for less. */
static int bound_awaited(struct segment_builder *b)
{
	int r = 0;

	while (r >= 0 && b->n_hands > 1) {
		struct segment_hand *most = NULL;
		size_t all = 0;

		for (unsigned i = 0; i < HANDS_MAX; i++) {
			struct segment_hand *h = b->hands[i];

			all += h ? h->n_awaited : 0;
			if (h && (!most || h->n_awaited > most->n_awaited))
				most = h;
		}
		if (all <= AWAITED_MAX)
			return 0;
		r = take_awaited(b, most);
	}
	return r;
}

/* Batches. */

/* What one tenant has of a commit. */
static int await_tenant(struct segment_builder *b, const struct sealed_commit *c,
			const struct task *tasks, size_t n)
{
	struct covered *of = b->taker.tails.at[c->handles[tasks->batch]].tenant;
	int r = begin_hand(b, of, c->commit.time_ns);
	struct segment_hand *h = of->hand;

	for (size_t i = 0; r >= 0 && i < n; i++)
		r = hand_await(h, &c->commit, c->handles[tasks[i].batch],
			       &c->batches[tasks[i].batch]);
	if (r < 0)
		return r;
	h->made.end = c->commit.number + 1;
	return h->awaited_entries >= WINDOW_ROWS || h->awaited_bytes >= segment_window_bytes
		       ? take_awaited(b, h)
		       : 0;
}

/* A batch is to be packed, unless it is packed or pruned; or nobody says whose it is. */
static int add_task(struct segment_builder *b, const struct sealed_commit *c, uint32_t i)
{
	struct packed_journal *k = packed_journal_of(&b->taker.tails, c->handles[i]);
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
		b->lost += !b->only && c->commit.number >= b->coverage.end;
		return 0;
	}
	if (covered_has(k->tenant, c->commit.number) || (b->only && b->only != k->tenant))
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

static int await_batches(struct segment_builder *b, const struct sealed_commit *c)
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
		r = await_tenant(b, c, b->tasks + from, end - from);
	}
	return r;
}

static int end_full(struct segment_builder *b)
{
	uint64_t full = b->options.entries_max > 0 ? b->options.entries_max : UINT64_MAX;
	int r = 0;

	for (unsigned i = 0; r >= 0 && i < HANDS_MAX; i++) {
		if (!b->hands[i] || hand_entries(b->hands[i]) < full)
			continue;
		r = take_awaited(b, b->hands[i]);
		/* Some may have been left out. */
		if (r >= 0 && b->hands[i]->made.entries >= full)
			r = end_hand(b, i);
	}
	return r;
}

static int take_commit(void *arg, const struct sealed_commit *c)
{
	struct segment_builder *b = arg;

	if (c->commit.number == 0)
		memcpy(b->origin.b, c->leaf.b, ID_SIZE);
	if (b->options.idle || c->commit.number >= b->until ||
	    (b->only && c->commit.number < b->only->from))
		return 0;
	b->error = end_due(b, &c->commit);
	if (b->error >= 0)
		b->error = await_batches(b, c);
	b->end = c->commit.number + 1;
	if (b->error >= 0)
		b->error = end_full(b);
	if (b->error >= 0)
		b->error = bound_awaited(b);
	return b->error;
}

/* Building. */

int segment_builder_new(struct segment_builder **ret, const struct state *s,
			const struct segment_builder_options *o)
{
	_cleanup_(segment_builder_freep) struct segment_builder *b = NULL;
	int r = new_builder(&b, s, o);

	if (r >= 0 && o->packed)
		r = coverage_take(&b->coverage, o->packed);
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
	batch_taker_done(&b->taker);
	coverage_done(&b->coverage);
	free(b->tasks);
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
		struct packed_journal *k = history_journal(h, i)->pruned
						   ? packed_journal_of(&b->taker.tails, i)
						   : NULL;

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
		if (b->hands[i] && hand_entries(b->hands[i]) > 0) {
			entries += hand_entries(b->hands[i]);
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

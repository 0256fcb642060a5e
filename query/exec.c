/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Two heaps would do the same as this array and a heap: parts of what there is, sorted by the time at which they may first
 * matter (their oldest entry, or going backwards their newest), and a heap of opened ones by the entry that each would give
 * next.
 */

#include "query/exec.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "query/ahead.h"
#include "query/newest.h"

/*
 * Rows of groups that are read before other threads are called in, by who wants all entries, or some: calling them takes as long
 * as asking the tokens of a hundred groups.
 */
enum { ALONE_ALL = WINDOW_ROWS / 4, ALONE_SOME = 2 * WINDOW_ROWS };

struct run {
	const struct query *query;
	struct opener opener;
	struct ahead *ahead; /* NULL: no other threads */
	struct candidate *candidates;
	size_t n, next;
	struct source **heap;
	size_t n_open, heap_cap;
};

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

void query_note_damage(struct query_stats *s, const struct damage *d)
{
	for (uint32_t i = 0; i < s->n_damage; i++)
		if (s->damage[i].segment == d->segment && s->damage[i].offset == d->offset)
			return;
	s->frames_damaged++;
	if (s->n_damage < DAMAGES_TOLD)
		s->damage[s->n_damage++] = *d;
}

/* The heap of sources. */

static bool comes_before(const struct run *run, const struct source *a, const struct source *b)
{
	int c = compare_u64(a->time_ns, b->time_ns);

	if (c == 0)
		c = id_compare(a->journal, b->journal);
	if (c == 0)
		c = compare_u64(a->seq, b->seq);
	return run->opener.backward ? c > 0 : c < 0;
}

static void sift_down(struct run *run, size_t i)
{
	for (;;) {
		size_t child = 2 * i + 1;
		struct source *swap;

		if (child >= run->n_open)
			return;
		if (child + 1 < run->n_open &&
		    comes_before(run, run->heap[child + 1], run->heap[child]))
			child++;
		if (!comes_before(run, run->heap[child], run->heap[i]))
			return;
		swap = run->heap[i];
		run->heap[i] = run->heap[child];
		run->heap[child] = swap;
		i = child;
	}
}

static int push(void *arg, struct source *o)
{
	struct run *run = arg;
	size_t i = run->n_open;

	o->stats = run->opener.stats;

	if (run->n_open == run->heap_cap) {
		size_t cap = run->heap_cap ? 2 * run->heap_cap : 16;
		struct source **more = reallocarray(run->heap, cap, sizeof(struct source *));

		if (!more) {
			o->free(o);
			return -ENOMEM;
		}
		run->heap = more;
		run->heap_cap = cap;
	}
	run->heap[run->n_open++] = o;
	for (; i > 0 && comes_before(run, o, run->heap[(i - 1) / 2]); i = (i - 1) / 2) {
		run->heap[i] = run->heap[(i - 1) / 2];
		run->heap[(i - 1) / 2] = o;
	}
	return 0;
}

/* What cannot be read is passed over, if that is its own trouble. */
static bool is_damage(int r)
{
	return r == BULLA_ECORRUPT || r == BULLA_ETRUNCATED || r == BULLA_EVERSION || r == -EIO ||
	       r == -ENOENT;
}

/* Step past the entry on top. */
static int advance(struct run *run)
{
	struct source *top = run->heap[0];
	int r = top->next(top);

	if (r <= 0) {
		top->free(top);
		run->heap[0] = run->heap[--run->n_open];
	}
	sift_down(run, 0);
	return is_damage(r) ? 0 : MIN_OF(r, 0);
}

/* Candidates. */

static uint64_t first_time(const struct run *run, const struct candidate *c)
{
	return run->opener.backward ? c->time_max : c->time_min;
}

static int compare_candidates(const void *a, const void *b, void *arg)
{
	const struct candidate *x = a, *y = b;
	const struct run *run = arg;
	int c = compare_u64(first_time(run, x), first_time(run, y));

	return run->opener.backward ? -c : c;
}

static bool is_in_time(const struct run *run, uint64_t time_min, uint64_t time_max)
{
	return time_max >= run->query->since_ns && time_min <= run->query->until_ns;
}

static void find_in_journal(struct run *run, uint32_t number)
{
	const struct catalog_journal *j = &run->opener.catalog->journals[number];
	struct judgement *jd = &run->opener.judgements[number];
	bool plain = judge_journal(jd, run->query, j->contexts, false) != WHOLE_NO,
	     own = judge_journal(jd, run->query, j->contexts, true) != WHOLE_NO;

	for (size_t k = 0; k < j->rows->n && (plain || own); k++) {
		const struct rows_ref *ref = &j->rows->at[k];

		if (!(ref->own_fields ? own : plain) ||
		    !is_in_time(run, ref->time_min, ref->time_max))
			continue;
		/* What segments have is not looked at twice. */
		if (run->opener.catalog->segments &&
		    segment_set_has(run->opener.catalog->segments, &j->id, ref->first_seq,
				    ref->first_seq + ref->count))
			continue;
		run->candidates[run->n++] = (struct candidate){
			.of = number,
			.time_min = ref->time_min,
			.time_max = ref->time_max,
			.ref = *ref,
		};
	}
}

static int find_in_segment(struct run *run, uint32_t number)
{
	const struct segment *s = run->opener.searched[number].segment;
	int r = searched_ask_journals(&run->opener.searched[number], run->query);

	for (uint32_t i = 0; r >= 0 && i < s->n_groups; i++)
		if (searched_may_have(&run->opener.searched[number], i) &&
		    is_in_time(run, s->groups[i].time_min, s->groups[i].time_max))
			run->candidates[run->n++] = (struct candidate){
				.is_group = true,
				.of = number,
				.group = i,
				.time_min = s->groups[i].time_min,
				.time_max = s->groups[i].time_max,
			};
	return r;
}

static uint32_t n_segments(const struct catalog *c)
{
	return c->segments ? c->segments->n : 0;
}

static int find_candidates(struct run *run)
{
	const struct catalog *c = run->opener.catalog;
	size_t cap = 0;
	int r = 0;

	for (uint32_t i = 0; i < c->n; i++)
		cap += c->journals[i].rows->n;
	for (uint32_t i = 0; i < n_segments(c); i++)
		cap += c->segments->files[i].segment.n_groups;
	run->candidates = reallocarray(NULL, cap + 1, sizeof *run->candidates);
	run->opener.judgements = calloc((size_t) c->n + 1, sizeof *run->opener.judgements);
	run->opener.searched = calloc((size_t) n_segments(c) + 1, sizeof *run->opener.searched);
	if (!run->candidates || !run->opener.judgements || !run->opener.searched)
		r = -ENOMEM;
	for (uint32_t i = 0; r >= 0 && i < c->n; i++) {
		r = judgement_init(&run->opener.judgements[i], c->journals[i].contexts->n);
		if (r >= 0)
			find_in_journal(run, i);
	}
	if (c->copied)
		c->copied(c->arg);
	for (uint32_t i = 0; r >= 0 && i < n_segments(c); i++) {
		r = searched_init(&run->opener.searched[i], &c->segments->files[i].segment,
				  run->query);
		if (r >= 0 && run->opener.tally)
			r = searched_tally(&run->opener.searched[i], run->query, run->opener.tally,
					   run->opener.stats);
		if (r >= 0)
			r = find_in_segment(run, i);
	}
	return r;
}

static void close_all(struct run *run)
{
	if (run->ahead)
		ahead_stop(run->ahead);
	run->ahead = NULL;
	while (run->n_open > 0) {
		run->n_open--;
		run->heap[run->n_open]->free(run->heap[run->n_open]);
	}
}

static void run_done(struct run *run)
{
	close_all(run);
	opener_done(&run->opener);
	free(run->heap);
	free(run->candidates);
}

/* Call in other threads for a query that goes on and on. */
static void call_others(struct run *run)
{
	unsigned threads = run->query->threads;
	uint64_t alone = run->opener.all ? ALONE_ALL : ALONE_SOME;

	if (run->opener.stats->rows_read < alone || threads < 2 || run->ahead ||
	    run->n - run->next < threads)
		return;
	/* Without them it only takes longer. */
	if (ahead_start(&run->opener, run->candidates, run->n, run->next - 1, threads - 1,
			&run->ahead) < 0)
		run->ahead = NULL;
}

/* Open the next candidate. */
static int open_next(struct run *run, source_fn each, void *arg)
{
	size_t i = run->next++;
	int r;

	if (run->candidates[i].is_group)
		call_others(run);
	r = run->ahead ? ahead_open(run->ahead, i, &run->opener, each, arg)
		       : opener_open(&run->opener, &run->candidates[i], each, arg);
	if (!is_damage(r))
		return r;
	run->opener.stats->frames_damaged++;
	return 0;
}

/* Open every part that may hold an entry before the one on top. */
static int open_due(struct run *run)
{
	while (run->next < run->n) {
		const struct candidate *c = &run->candidates[run->next];
		uint64_t first = first_time(run, c);
		int r;

		if (run->n_open > 0) {
			uint64_t time = run->heap[0]->time_ns;

			if (run->opener.backward ? first < time : first > time)
				return 0;
		}
		r = open_next(run, push, run);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Give out the entries in one direction, from the first again if need be. */
static int merge(struct run *run, bool backward, query_row_fn row, void *arg)
{
	close_all(run);
	run->opener.backward = backward;
	run->next = 0;
	if (run->n > 1)
		qsort_r(run->candidates, run->n, sizeof *run->candidates, compare_candidates, run);
	for (uint64_t given = 0; given < run->query->limit;) {
		struct shown s;
		int r;

		r = open_due(run);
		if (r < 0)
			return r;
		if (run->n_open == 0)
			return 0;
		r = run->heap[0]->shown(run->heap[0], &s);
		if (r < 0 && !is_damage(r))
			return r;
		if (r >= 0) {
			r = row(arg, &s);
			if (r != 0)
				return MIN_OF(r, 0);
			given++;
		}
		r = advance(run);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * The newest N in order of time: found backwards, copied, and given out in reverse.  Where they are too many to be copied,
 * going backwards only finds the place of the first, and they are read again from there.
 */

/* Passes on the entries from a place on. */
struct skipper {
	const struct newest *from;
	query_row_fn row;
	void *arg;
};

static int skip(void *arg, const struct shown *s)
{
	const struct skipper *k = arg;
	int c = compare_u64(s->entry->time_ns, k->from->first.time_ns);

	if (c == 0)
		c = id_compare(&s->journal, &k->from->first.journal);
	if (c == 0)
		c = compare_u64(s->seq, k->from->first.seq);
	return c < 0 ? 0 : k->row(k->arg, s);
}

static int give_newest(struct run *run, const struct newest *v, query_row_fn row, void *arg)
{
	struct query from_there = *run->query;
	struct skipper k = { v, row, arg };

	if (!v->too_large)
		return newest_give(v, row, arg);
	from_there.since_ns = v->first.time_ns;
	from_there.limit = UINT64_MAX;
	run->query = &from_there;
	run->opener.query = &from_there;
	return merge(run, false, skip, &k);
}

struct counter {
	query_row_fn row;
	void *arg;
	struct query_stats *stats;
};

static int count(void *arg, const struct shown *s)
{
	struct counter *k = arg;

	k->stats->rows_matched++;
	return k->row(k->arg, s);
}

/* Counting. */

/* Look at all entries of a source, and be done with it. */
static int drain(void *arg, struct source *s)
{
	struct run *run = arg;
	int r = 1;

	s->stats = run->opener.stats;
	while (r > 0) {
		struct glimpse g;

		r = s->glimpse(s, &g);
		if (r < 0)
			break;
		run->opener.stats->rows_matched += g.n;
		r = run->opener.tally->entries(run->opener.tally->arg, &g);
		if (r >= 0)
			r = s->next(s);
	}
	s->free(s);
	return is_damage(r) ? 0 : r;
}

int query_tally(const struct catalog *c, const struct query *q, const struct tally *t,
		struct query_stats *ret_stats)
{
	struct run run = { .query = q, .opener = { c, q, t, ret_stats, .all = true } };
	int r;

	*ret_stats = (struct query_stats){ 0 };
	r = find_candidates(&run);
	while (r >= 0 && run.next < run.n)
		r = open_next(&run, drain, &run);
	run_done(&run);
	return r;
}

int query_run(const struct catalog *c, const struct query *q, query_row_fn row, void *arg,
	      struct query_stats *ret_stats)
{
	struct run run = { .query = q,
			   .opener = { c, q, NULL, ret_stats, .all = q->limit == UINT64_MAX } };
	struct counter k = { row, arg, ret_stats };
	struct newest v = { 0 };
	int r;

	*ret_stats = (struct query_stats){ 0 };
	r = find_candidates(&run);
	if (r >= 0 && (!q->newest || q->reverse))
		r = merge(&run, q->reverse, count, &k);
	else if (r >= 0) {
		r = merge(&run, true, newest_add, &v);
		if (r >= 0)
			r = give_newest(&run, &v, count, &k);
	}
	newest_done(&v);
	run_done(&run);
	return r;
}

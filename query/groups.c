/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Row groups of segments as sources: one for each journal that has rows in the group and may match.
 *
 * Within a group the rows of a journal lie together, by sequence number, nearly always also by time.  What contexts say is
 * worked out for all rows when the group is opened (judged.h); what only an entry itself can tell is asked row by row when the
 * merge comes there, and no row is made whole before.
 */

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "bulla/error.h"
#include "query/judged.h"

/* Rows [from, to) of a group are a journal's. */
struct group_run {
	struct source source;
	struct judged_group *in_use;
	const struct segment_journal *journal;
	uint32_t first_batch, end_batch; /* of the group */
	uint32_t from, to, at;		 /* `at` counts in the query's order */
	uint32_t *order;		 /* owned: rows by time; NULL where they are */
	const struct tally *tally;
	bool backward;
};

static uint32_t row_at(const struct group_run *run, uint32_t i)
{
	uint32_t k = run->backward ? run->to - run->from - 1 - i : i;

	return run->order ? run->order[k] : run->from + k;
}

static const struct group_batch *batch_of(const struct group_run *run, uint32_t row)
{
	uint32_t from = run->first_batch, to = run->end_batch;

	while (to - from > 1) {
		uint32_t middle = from + (to - from) / 2;

		if (run->in_use->group.batches[middle].first_row <= row)
			from = middle;
		else
			to = middle;
	}
	return &run->in_use->group.batches[from];
}

/* A damage, noted, is BULLA_ECORRUPT: no other code is mistaken for a pattern's. */
static int noted(const struct group_run *run, int r)
{
	int other = judged_pass_over(run->source.stats, &run->in_use->group, r);

	return other < 0 ? other : BULLA_ECORRUPT;
}

static int show_run(struct source *s, struct shown *ret)
{
	struct group_run *run = (struct group_run *) s;
	struct judged_group *u = run->in_use;
	uint32_t row = row_at(run, run->at);
	const struct group_batch *b = batch_of(run, row);
	int r = group_need_all(&u->group);

	u->lost = segment_is_damage(r);
	if (r >= 0)
		r = group_entry(&u->group, row, run->journal, &u->message, u->fields, &u->entry);
	if (r < 0)
		return noted(run, r);
	*ret = (struct shown){
		.entry = &u->entry,
		.contexts = &run->journal->contexts,
		.context = (uint32_t) u->group.context[row],
		.journal = run->journal->id,
		.seq = b->first_seq + (row - b->first_row),
		.boot = run->journal->boot,
		.mono_offset = b->mono_offset,
		/* Nobody read the clock when a crash ended it. */
		.has_mono = !(b->flags & BATCH_RECOVERED),
		.sealed = true,
	};
	return 0;
}

/* What a tally needs of a row and of those behind it. */
static int need_glimpse(const struct group_run *run)
{
	struct segment_group *g = &run->in_use->group;
	bool contexts = run->tally->contexts && run->journal->contexts.n > 1;
	int r = group_need_fields(g);

	if (r >= 0 && (contexts || run->tally->priorities))
		r = group_need_rows(g);
	if (r >= 0 && run->tally->span_ns > 0)
		r = group_need_times(g);
	return r;
}

/* The end of the rows that match and are known by the same as this one. */
static uint32_t end_of_same(const struct group_run *run, uint32_t row)
{
	const struct judged_group *u = run->in_use;
	const struct segment_group *g = &u->group;
	bool contexts = g->context && run->tally->contexts;
	uint32_t end = row + 1, to;

	if (!bit_get(u->yes, row) || (g->n_fields && g->n_fields[row] > 0))
		return end;
	to = (uint32_t) bits_first_not(u->yes, row, run->to);
	if (!contexts && !g->n_fields)
		return to;
	while (end < to && (!contexts || g->context[end] == g->context[row]) &&
	       (!g->n_fields || g->n_fields[end] == 0))
		end++;
	return end;
}

static int glimpse_run(struct source *s, struct glimpse *ret)
{
	struct group_run *run = (struct group_run *) s;
	const struct segment_group *g = &run->in_use->group;
	uint32_t row = run->from + run->at, n, end;
	int r = need_glimpse(run);

	if (r < 0)
		return noted(run, r);
	n = g->n_fields ? g->n_fields[row] : 0;
	if (n > 0)
		group_fields(g, row, run->in_use->fields);
	end = end_of_same(run, row);
	*ret = (struct glimpse){
		.contexts = &run->journal->contexts,
		.context = g->context ? (uint32_t) g->context[row] : 0,
		.n = end - row,
		.time_ns = g->time ? g->time + row : NULL,
		.priority = g->priority ? g->priority + row : NULL,
		.n_fields = (uint16_t) n,
		.fields = run->in_use->fields,
	};
	run->at += end - row - 1;
	return ret->context < run->journal->contexts.n ? 0 : noted(run, BULLA_ECORRUPT);
}

/* The first row from this one on, in the query's order, that may match. */
static uint32_t skip_others(const struct group_run *run, uint32_t at)
{
	const struct judged_group *u = run->in_use;
	uint32_t n = run->to - run->from;

	if (!run->order && !run->backward)
		return (uint32_t) bits_first(u->yes, u->maybe, run->from + at, run->to) - run->from;
	if (!run->order)
		return run->to - (uint32_t) bits_last(u->yes, u->maybe, run->from, run->to - at);
	while (at < n && !bit_get(u->yes, row_at(run, at)) && !bit_get(u->maybe, row_at(run, at)))
		at++;
	return at;
}

static int ask_message(struct group_run *run, const struct query *q)
{
	struct judged_group *u = run->in_use;
	struct text message;
	int r = group_need_templates(&u->group);

	u->lost = segment_is_damage(r);
	if (r >= 0)
		r = group_message(&u->group, row_at(run, run->at), &u->message, &message);
	return r < 0 ? noted(run, r) : match_message(q->match, message.p, message.len);
}

static int ask_whole(struct group_run *run, const struct query *q)
{
	struct shown shown;
	int r = show_run(&run->source, &shown);

	return r < 0 ? r : match_entry(q->match, &shown);
}

/* Whether a row matches of which only the entry itself can tell.  One that cannot be read does not. */
static int ask_entry(struct group_run *run, const struct query *q)
{
	int r;

	if (run->in_use->lost)
		return 0;
	r = run->in_use->by_pattern ? ask_message(run, q) : ask_whole(run, q);
	/* A damage, noted; a pattern's limit is another. */
	return r == BULLA_ECORRUPT ? 0 : r;
}

/* Go on to the first row, from the one at hand on, that matches. */
static int settle(struct group_run *run)
{
	struct judged_group *u = run->in_use;

	for (;; run->at++) {
		const struct group_batch *b;
		uint32_t row;
		int r = 1;

		run->at = skip_others(run, run->at);
		if (run->at >= run->to - run->from || (u->lost && !run->tally))
			return 0;
		row = row_at(run, run->at);
		if (!bit_get(u->yes, row))
			r = ask_entry(run, u->query);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		if (run->tally)
			return 1;
		b = batch_of(run, row);
		run->source.time_ns = u->group.time[row];
		run->source.seq = b->first_seq + (row - b->first_row);
		return 1;
	}
}

/* Find out about all rows now. */
static int settle_all(struct group_run *run)
{
	struct judged_group *u = run->in_use;

	for (run->at = skip_others(run, 0); run->at < run->to - run->from;
	     run->at = skip_others(run, run->at + 1)) {
		uint32_t row = row_at(run, run->at);
		int r;

		if (bit_get(u->yes, row))
			continue;
		r = ask_entry(run, u->query);
		if (r < 0)
			return r;
		judged_settle(u, row, r > 0);
	}
	run->at = 0;
	return 0;
}

static int next_in_run(struct source *s)
{
	struct group_run *run = (struct group_run *) s;

	run->at++;
	return settle(run);
}

static void free_run(struct source *s)
{
	struct group_run *run = (struct group_run *) s;

	judged_let_go(run->in_use);
	free(run->order);
	free(run);
}

static int compare_rows(const void *a, const void *b, void *arg)
{
	const uint64_t *time = arg;
	uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

	if (time[x] != time[y])
		return time[x] > time[y] ? 1 : -1;
	return (x > y) - (x < y);
}

/* Only a clock that stepped makes work here. */
static int order_run(struct group_run *run)
{
	uint64_t *time = run->in_use->group.time;
	uint32_t n = run->to - run->from, sorted = 1;

	while (sorted < n && time[run->from + sorted - 1] <= time[run->from + sorted])
		sorted++;
	if (sorted == n)
		return 0;
	run->order = reallocarray(NULL, n, sizeof *run->order);
	if (!run->order)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		run->order[i] = run->from + i;
	qsort_r(run->order, n, sizeof *run->order, compare_rows, time);
	return 0;
}

static int add_run(const struct opening *o, struct judged_group *u, uint32_t first, uint32_t end)
{
	const struct group_batch *last = &u->group.batches[end - 1];
	uint32_t from = u->group.batches[first].first_row, to = last->first_row + last->entries;
	struct group_run *run;
	int r = 0;

	if (!judged_any(u, from, to))
		return 0;
	run = calloc(1, sizeof *run);
	if (!run)
		return -ENOMEM;
	u->users++;
	*run = (struct group_run){
		.source = { .shown = show_run,
			    .glimpse = glimpse_run,
			    .next = next_in_run,
			    .free = free_run,
			    .stats = o->stats },
		.in_use = u,
		.journal = &u->group.segment->journals[last->journal],
		.first_batch = first,
		.end_batch = end,
		.from = from,
		.to = to,
		.tally = o->tally,
		.backward = o->backward,
	};
	run->source.journal = &run->journal->id;
	if (!run->tally && skip_others(run, 0) < run->to - run->from)
		r = order_run(run);
	if (r >= 0 && o->thorough)
		r = settle_all(run);
	if (r >= 0)
		r = settle(run);
	if (r > 0)
		return o->each(o->arg, &run->source);
	free_run(&run->source);
	return r;
}

/* Where nobody asks whose the entries are, those of a group are counted as they are read, by whichever thread does. */
struct whole_group {
	struct source source;
	uint32_t rows;
	struct histogram histogram;
};

static int glimpse_whole(struct source *s, struct glimpse *ret)
{
	struct whole_group *w = (struct whole_group *) s;

	*ret = (struct glimpse){ .n = w->rows, .histogram = &w->histogram };
	return 0;
}

static int end_whole(struct source *s)
{
	(void) s;
	return 0;
}

static void free_whole(struct source *s)
{
	struct whole_group *w = (struct whole_group *) s;

	histogram_done(&w->histogram);
	free(w);
}

static int count_whole(struct whole_group *w, struct segment_group *g, uint64_t span_ns)
{
	int r = span_ns > 0 ? group_need_times(g) : 0;

	w->rows = g->rows;
	histogram_begin(&w->histogram, span_ns);
	return r >= 0 && span_ns > 0 ? histogram_add(&w->histogram, g->time, g->rows) : r;
}

static int open_whole(const struct opening *o, struct searched *s, uint32_t number)
{
	_cleanup_(group_close) struct segment_group g = { 0 };
	struct whole_group *w = calloc(1, sizeof *w);
	int r;

	if (!w)
		return -ENOMEM;
	w->source =
		(struct source){ .glimpse = glimpse_whole, .next = end_whole, .free = free_whole };
	r = group_open(&g, s->segment, number);
	if (r >= 0)
		r = count_whole(w, &g, o->tally->span_ns);
	o->stats->frames_read++;
	o->stats->rows_seen += g.rows;
	o->stats->rows_read += g.time ? g.rows : 0;
	if (r >= 0)
		return o->each(o->arg, &w->source);
	r = judged_pass_over(o->stats, &g, r);
	free_whole(&w->source);
	return r;
}

int group_source_open(const struct opening *o, struct searched *s, uint32_t number)
{
	_cleanup_(judged_let_gop) struct judged_group *u = NULL;
	uint32_t end;
	int r;

	if (o->tally && !o->tally->contexts && !o->tally->priorities &&
	    judged_is_whole(s, o->query, number))
		return open_whole(o, s, number);
	r = judged_open(o, s, number, &u);

	if (r <= 0)
		return r;
	if (o->all || o->thorough)
		r = judged_prepare(u, !o->tally);
	for (uint32_t i = 0; r >= 0 && i < u->group.ref->batches; i = end) {
		end = judged_end_of_run(&u->group, i);
		r = add_run(o, u, i, end);
	}
	return r;
}

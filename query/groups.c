/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Row groups of segments as sources: one for each journal that has rows in the group and may match.
 *
 * Within a group the rows of a journal lie together, by sequence number, nearly always also by time.  What contexts say is
 * worked out for all rows when the group is opened; messages are searched in their columns; what only an entry itself can
 * tell is asked row by row when the merge comes there, and no row is made whole before.
 */

#include "query/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

enum { MAYBE_FEW = 256 }; /* so many rows are asked one by one rather than searched all at once */

/* A group in use; it goes with the last of its sources. */
struct group_in_use {
	struct segment_group group;
	const struct query *query;
	uint64_t *yes, *maybe, *hits; /* owned: a bit a row; `hits` where messages were searched */
	struct buf message;
	struct field *fields; /* owned, FIELDS_MAX */
	struct entry entry;
	uint32_t users;
};

/* Rows [from, to) of a group are a journal's. */
struct group_run {
	struct source source;
	struct group_in_use *in_use;
	const struct segment_journal *journal;
	uint32_t first_batch, end_batch; /* of the group */
	uint32_t from, to, at;		 /* `at` counts in the query's order */
	uint32_t *order;		 /* owned: rows by time; NULL where they are */
	bool backward;
};

/* Segments. */

static int plan(struct searched *s, const struct query *q)
{
	struct needle needles[LITERALS_MAX];
	size_t n;
	int r = 0;

	s->scope = match_needles(q->match, needles, &n);
	s->plans = calloc(n + 1, sizeof *s->plans);
	if (!s->plans)
		return -ENOMEM;
	for (; r >= 0 && s->n_plans < n; s->n_plans += r >= 0)
		r = needle_plan_make(&s->plans[s->n_plans], s->segment, &needles[s->n_plans]);
	return r;
}

int searched_init(struct searched *s, const struct segment *segment, const struct query *q)
{
	int r = 0;

	*s = (struct searched){ .segment = segment };
	s->judgements = calloc(segment->n_journals + 1u, sizeof *s->judgements);
	if (!s->judgements)
		return -ENOMEM;
	for (uint32_t i = 0; r >= 0 && i < segment->n_journals; i++)
		r = judgement_init(&s->judgements[i], segment->journals[i].contexts.n);
	return r < 0 ? r : plan(s, q);
}

void searched_done(struct searched *s)
{
	for (uint32_t i = 0; s->judgements && i < s->segment->n_journals; i++)
		free(s->judgements[i].of);
	free(s->judgements);
	for (size_t i = 0; i < s->n_plans; i++)
		needle_plan_done(&s->plans[i]);
	free(s->plans);
}

/* Whether any row of a group has fields of its own. */
static bool has_fields(const struct group_ref *g)
{
	for (uint32_t i = 0; i < g->n_blocks; i++)
		if (g->blocks[i].kind == BLOCK_FIELDS)
			return true;
	return false;
}

static bool may_match(struct searched *s, const struct query *q, uint32_t journal, bool own_fields)
{
	const struct contexts *c = &s->segment->journals[journal].contexts;

	return judge_journal(&s->judgements[journal], q, c, false) ||
	       (own_fields && judge_journal(&s->judgements[journal], q, c, true));
}

void searched_may_match(struct searched *s, const struct query *q, bool ret[2])
{
	ret[0] = ret[1] = false;
	for (uint32_t i = 0; i < s->segment->n_journals && !ret[0]; i++) {
		ret[0] = may_match(s, q, i, false);
		ret[1] |= ret[0] || may_match(s, q, i, true);
	}
}

bool searched_may_have(const struct searched *s, const bool may_match[2], uint32_t group)
{
	return may_match[has_fields(&s->segment->groups[group])];
}

/* Bits. */

static bool get_bit(const uint64_t *bits, uint32_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static void set_bit(uint64_t *bits, uint32_t i)
{
	bits[i / 64] |= UINT64_C(1) << (i % 64);
}

/* Groups. */

static void let_go(struct group_in_use *u)
{
	if (--u->users > 0)
		return;
	group_close(&u->group);
	buf_done(&u->message);
	free(u->fields);
	free(u->yes);
	free(u->maybe);
	free(u->hits);
	free(u);
}

static void let_gop(struct group_in_use **u)
{
	if (*u)
		let_go(*u);
}

/* What contexts and times say of a journal's rows.  @return how many may match. */
static uint32_t judge_run(struct group_in_use *u, struct searched *s, const struct group_batch *b,
			  uint32_t from, uint32_t to)
{
	const struct segment_group *g = &u->group;
	const struct contexts *c = &g->segment->journals[b->journal].contexts;
	uint32_t n = 0;

	for (uint32_t i = from; i < to; i++) {
		bool own = g->n_fields && g->n_fields[i] > 0;
		enum tri tri = TRI_NO;

		if (g->time[i] >= u->query->since_ns && g->time[i] <= u->query->until_ns &&
		    g->context[i] < c->n)
			tri = judge_context(&s->judgements[b->journal], u->query, c,
					    (uint32_t) g->context[i], own);
		if (tri == TRI_NO || !match_priority(u->query->match, g->priority[i]))
			continue;
		set_bit(tri == TRI_YES ? u->yes : u->maybe, i);
		n++;
	}
	return n;
}

/* Which rows have a needle.  @return whether any, or an error. */
static int search_messages(struct group_in_use *u, struct searched *s)
{
	size_t words = (u->group.rows + 63) / 64;
	_cleanup_free_ uint64_t *one = calloc(words, sizeof *one);
	int64_t r = 0, n = 0;

	u->hits = calloc(words, sizeof *u->hits);
	if (!u->hits || !one)
		return -ENOMEM;
	for (size_t i = 0; r >= 0 && i < s->n_plans; i++) {
		r = group_search(&u->group, &s->plans[i], one);
		n += MAX_OF(r, (int64_t) 0);
		for (size_t k = 0; r > 0 && k < words; k++)
			u->hits[k] |= one[k];
	}
	return r < 0 ? (int) r : n > 0;
}

static uint32_t count_maybe(const struct group_in_use *u)
{
	uint32_t n = 0;

	for (size_t i = 0; i < (u->group.rows + 63) / 64; i++)
		n += (uint32_t) __builtin_popcountll(u->maybe[i]);
	return n;
}

/* Leave those that have the needle. */
static int leave_hits(struct group_in_use *u, struct searched *s)
{
	int r = 0;

	if (s->scope == NEEDLE_NONE || (!u->hits && count_maybe(u) <= MAYBE_FEW))
		return 0;
	if (!u->hits)
		r = search_messages(u, s);
	/* A field of an entry's own may be another MESSAGE. */
	for (uint32_t i = 0;
	     r >= 0 && s->scope == NEEDLE_PLAIN && u->group.n_fields && i < u->group.rows; i++)
		if (u->group.n_fields[i] > 0)
			set_bit(u->hits, i);
	for (size_t i = 0; r >= 0 && i < (u->group.rows + 63) / 64; i++)
		u->maybe[i] &= u->hits[i];
	return MIN_OF(r, 0);
}

static int use_group(const struct opening *o, struct searched *s, uint32_t number,
		     struct group_in_use **ret)
{
	_cleanup_(let_gop) struct group_in_use *u = calloc(1, sizeof *u);
	int r;

	if (!u)
		return -ENOMEM;
	u->users = 1;
	u->query = o->query;
	r = group_open(&u->group, s->segment, number);
	*ret = TAKE_PTR(u);
	return r;
}

static int read_group(const struct opening *o, struct group_in_use *u)
{
	size_t words = (u->group.rows + 63) / 64;
	int r;

	u->yes = calloc(words, sizeof *u->yes);
	u->maybe = calloc(words, sizeof *u->maybe);
	u->fields = reallocarray(NULL, FIELDS_MAX, sizeof *u->fields);
	if (!u->yes || !u->maybe || !u->fields)
		return -ENOMEM;
	r = group_need_rows(&u->group);
	if (r >= 0)
		r = group_need_times(&u->group);
	if (r >= 0)
		r = group_need_fields(&u->group);
	o->stats->frames_read++;
	o->stats->rows_seen += u->group.rows;
	return r;
}

/* Runs. */

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

static int show_run(struct source *s, struct shown *ret)
{
	struct group_run *run = (struct group_run *) s;
	struct group_in_use *u = run->in_use;
	uint32_t row = row_at(run, run->at);
	const struct group_batch *b = batch_of(run, row);
	int r = group_need_templates(&u->group);

	if (r >= 0)
		r = group_entry(&u->group, row, run->journal, &u->message, u->fields, &u->entry);
	if (r < 0)
		return r;
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

static void glimpse_run(struct source *s, struct glimpse *ret)
{
	struct group_run *run = (struct group_run *) s;
	const struct segment_group *g = &run->in_use->group;
	uint32_t row = row_at(run, run->at);
	uint32_t n = g->n_fields ? g->n_fields[row] : 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct text *name = &g->names[g->first_field[row] + i];
		const struct text *value = &g->values[g->first_field[row] + i];

		run->in_use->fields[i] =
			(struct field){ name->p, value->p, value->len, (uint8_t) name->len };
	}
	*ret = (struct glimpse){
		.time_ns = g->time[row],
		.contexts = &run->journal->contexts,
		.context = (uint32_t) g->context[row],
		.priority = g->priority[row],
		.n_fields = (uint16_t) n,
		.fields = run->in_use->fields,
	};
}

/* Go on to the first row, from the one at hand on, that matches. */
static int settle(struct group_run *run)
{
	struct group_in_use *u = run->in_use;

	for (; run->at < run->to - run->from; run->at++) {
		uint32_t row = row_at(run, run->at);
		const struct group_batch *b;
		int r = get_bit(u->yes, row);

		if (get_bit(u->maybe, row)) {
			struct shown shown;

			r = show_run(&run->source, &shown);
			if (r >= 0)
				r = match_entry(u->query->match, &shown);
			if (r < 0)
				return r;
		}
		if (r == 0)
			continue;
		b = batch_of(run, row);
		run->source.time_ns = u->group.time[row];
		run->source.seq = b->first_seq + (row - b->first_row);
		return 1;
	}
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

	let_go(run->in_use);
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

static int add_run(const struct opening *o, struct group_in_use *u, uint32_t first, uint32_t end)
{
	const struct group_batch *last = &u->group.batches[end - 1];
	struct group_run *run = calloc(1, sizeof *run);
	int r;

	if (!run)
		return -ENOMEM;
	u->users++;
	*run = (struct group_run){
		.source = { .shown = show_run,
			    .glimpse = glimpse_run,
			    .next = next_in_run,
			    .free = free_run },
		.in_use = u,
		.journal = &u->group.segment->journals[last->journal],
		.first_batch = first,
		.end_batch = end,
		.from = u->group.batches[first].first_row,
		.to = last->first_row + last->entries,
		.backward = o->backward,
	};
	run->source.journal = &run->journal->id;
	r = order_run(run);
	if (r >= 0)
		r = settle(run);
	if (r > 0)
		return o->each(o->arg, &run->source);
	free_run(&run->source);
	return r;
}

/* The end of the run of batches of one journal that begins at `first`. */
static uint32_t end_of_run(const struct segment_group *g, uint32_t first)
{
	uint32_t end = first + 1;

	while (end < g->ref->batches && g->batches[end].journal == g->batches[first].journal)
		end++;
	return end;
}

static bool all_may_match(struct searched *s, const struct query *q, bool own)
{
	if (!s->all_known[own]) {
		s->all[own] = true;
		for (uint32_t i = 0; i < s->segment->n_journals && s->all[own]; i++)
			s->all[own] = may_match(s, q, i, own);
	}
	s->all_known[own] = true;
	return s->all[own];
}

/*
 * Whether messages are better searched before anything else is read: all matches must have the needle, and most rows may
 * match otherwise.  @return 1, 0, an error.
 */
static int is_wide(struct searched *s, const struct query *q, struct group_in_use *u, bool own)
{
	uint32_t rows = 0;
	int r;

	if (s->scope != NEEDLE_ALL)
		return 0;
	if (all_may_match(s, q, own))
		return 1;
	r = group_need_batches(&u->group);
	for (uint32_t i = 0; r >= 0 && i < u->group.ref->batches; i++)
		if (may_match(s, q, u->group.batches[i].journal, own))
			rows += u->group.batches[i].entries;
	return r < 0 ? r : rows > u->group.rows / 2;
}

int group_source_open(const struct opening *o, struct searched *s, uint32_t number)
{
	_cleanup_(let_gop) struct group_in_use *u = NULL;
	bool own = has_fields(&s->segment->groups[number]);
	uint32_t n = 0, end, any = 0;
	int found;
	int r;

	r = use_group(o, s, number, &u);
	if (r >= 0)
		r = is_wide(s, o->query, u, own);
	if (r > 0) {
		found = search_messages(u, s);
		if (found <= 0)
			return found;
	}
	if (r >= 0)
		r = group_need_batches(&u->group);
	if (r < 0)
		return r;
	n = u->group.ref->batches;
	for (uint32_t i = 0; r >= 0 && i < n; i = end) {
		const struct group_batch *b = &u->group.batches[i];

		end = end_of_run(&u->group, i);
		if (!may_match(s, o->query, b->journal, own))
			continue;
		if (!u->yes)
			r = read_group(o, u);
		if (r >= 0)
			any += judge_run(u, s, b, b->first_row,
					 b[end - 1 - i].first_row + b[end - 1 - i].entries);
	}
	if (r >= 0 && any > 0)
		r = leave_hits(u, s);
	for (uint32_t i = 0; r >= 0 && any > 0 && i < n; i = end) {
		end = end_of_run(&u->group, i);
		if (may_match(s, o->query, u->group.batches[i].journal, own))
			r = add_run(o, u, i, end);
	}
	return r;
}

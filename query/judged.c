/* SPDX-License-Identifier: Apache-2.0 */

#include "query/judged.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/clock.h"

enum {
	MAYBE_FEW = 256, /* so many rows are asked one by one rather than searched all at once */
	MANY = 256,	 /* the messages of so many are made together */
};

/* Segments. */

static int plan(struct searched *s, const struct query *q)
{
	struct needle needles[NEEDLES_MAX];
	size_t n;
	int r = 0;

	s->scope = match_needles(q->match, needles, s->n_plans);
	n = s->n_plans[0] + s->n_plans[1];
	s->plans = calloc(n + 1, sizeof *s->plans);
	if (!s->plans)
		return -ENOMEM;
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = needle_plan_make(&s->plans[i], &needles[i]);
	return r;
}

int searched_init(struct searched *s, const struct segment *segment, const struct query *q)
{
	int r = 0;

	*s = (struct searched){ .segment = segment };
	s->judgements = calloc(segment->n_journals + 1u, sizeof *s->judgements);
	s->counted = calloc(segment->n_journals + 1u, sizeof *s->counted);
	if (!s->judgements || !s->counted)
		return -ENOMEM;
	r = plan(s, q);
	for (uint32_t i = 0; r >= 0 && i < segment->n_journals; i++) {
		r = judgement_init(&s->judgements[i], segment->journals[i].contexts.n);
		s->judgements[i].but_grep = s->scope == NEEDLE_EXACT;
	}
	return r;
}

void searched_done(struct searched *s)
{
	for (uint32_t i = 0; s->judgements && i < s->segment->n_journals; i++)
		free(s->judgements[i].of);
	free(s->judgements);
	free(s->counted);
	free(s->windows_counted);
	free(s->below[0]);
	free(s->below[1]);
	for (size_t i = 0; s->plans && i < s->n_plans[0] + s->n_plans[1]; i++)
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

	if (s->counted[journal])
		return false;
	return judge_journal(&s->judgements[journal], q, c, false) != WHOLE_NO ||
	       (own_fields && judge_journal(&s->judgements[journal], q, c, true) != WHOLE_NO);
}

static int rank_matches(struct searched *s, const struct query *q, bool own)
{
	uint32_t *below = calloc(s->segment->n_journals + 1u, sizeof *below);

	if (!below)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->segment->n_journals; i++)
		below[s->segment->journals[i].rank + 1] += may_match(s, q, i, own);
	for (uint32_t i = 0; i < s->segment->n_journals; i++)
		below[i + 1] += below[i];
	s->below[own] = below;
	return 0;
}

int searched_ask_journals(struct searched *s, const struct query *q)
{
	bool own = false;
	int r = rank_matches(s, q, false);

	for (uint32_t i = 0; i < s->segment->n_groups; i++)
		own |= has_fields(&s->segment->groups[i]);
	return r < 0 || !own ? r : rank_matches(s, q, true);
}

bool searched_may_have(const struct searched *s, uint32_t group)
{
	const struct group_ref *g = &s->segment->groups[group];
	const uint32_t *below = s->below[has_fields(g)];

	if (s->windows_counted && s->windows_counted[g->window])
		return false;
	return below[g->rank_last + 1] > below[g->rank_first];
}

static bool is_within(const struct group_ref *g, const struct query *q)
{
	return g->time_min >= q->since_ns && g->time_max <= q->until_ns;
}

static int tally_journals(struct searched *s, const struct query *q, const struct tally *tally,
			  struct query_stats *stats)
{
	int r = 0;

	if (!tally->journal || s->scope == NEEDLE_EXACT)
		return 0;
	for (uint32_t i = 0; i < s->segment->n_groups; i++)
		if (!is_within(&s->segment->groups[i], q) || has_fields(&s->segment->groups[i]))
			return 0;
	for (uint32_t i = 0; r >= 0 && i < s->segment->n_journals; i++) {
		const struct segment_journal *j = &s->segment->journals[i];

		if (judge_journal(&s->judgements[i], q, &j->contexts, false) != WHOLE_YES)
			continue;
		r = tally->journal(tally->arg, &j->contexts, j->entries);
		s->counted[i] = r > 0;
		stats->rows_matched += r > 0 ? j->entries : 0;
	}
	return MIN_OF(r, 0);
}

/* Judging. */

void judged_let_go(struct judged_group *u)
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

bool judged_any(const struct judged_group *u, uint32_t from, uint32_t to)
{
	return bits_first(u->yes, u->maybe, from, to) < to;
}

void judged_settle(struct judged_group *u, uint32_t row, bool matches)
{
	bit_clear(u->maybe, row);
	if (matches)
		bit_set(u->yes, row);
}

int judged_pass_over(struct query_stats *s, const struct segment_group *g, int r)
{
	if (!segment_is_damage(r))
		return r;
	query_note_damage(s, &(struct damage){ g->segment, group_where(g), r });
	return 0;
}

int judged_prepare(struct judged_group *u, bool shown)
{
	struct segment_group *g = &u->group;
	size_t words = bits_words(g->rows), n;
	_cleanup_free_ uint64_t *rows = reallocarray(NULL, words, sizeof *rows);
	int r;

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < words; i++)
		rows[i] = u->maybe[i] | (shown ? u->yes[i] : 0);
	n = bits_count(rows, g->rows);
	if (n < MANY)
		return 0;
	r = shown || !u->by_pattern ? group_need_all(g) : 0;
	if (r >= 0)
		r = group_need_messages(g, n < g->rows ? rows : NULL);
	return segment_is_damage(r) ? 0 : r;
}

/* Row by row: contexts, times and priorities differ, or some have fields of their own. */
static int judge_rows(struct judged_group *u, struct searched *s, uint32_t journal, uint32_t from,
		      uint32_t to)
{
	struct segment_group *g = &u->group;
	const struct contexts *c = &g->segment->journals[journal].contexts;
	int r = group_need_rows(g);

	if (r >= 0)
		r = group_need_times(g);
	if (r >= 0)
		r = group_need_fields(g);
	for (uint32_t i = from; r >= 0 && i < to; i++) {
		bool own = g->n_fields && g->n_fields[i] > 0;
		enum tri tri = TRI_NO;

		if (g->time[i] >= u->query->since_ns && g->time[i] <= u->query->until_ns &&
		    g->context[i] < c->n)
			tri = judge_context(&s->judgements[journal], u->query, c,
					    (uint32_t) g->context[i], own);
		if (tri != TRI_NO && match_priority(u->query->match, g->priority[i]))
			bit_set(tri == TRI_YES ? u->yes : u->maybe, i);
	}
	return r;
}

/* What can be said without messages of the rows that a journal has here. */
static int judge_run(struct judged_group *u, struct searched *s, uint32_t journal, uint32_t from,
		     uint32_t to)
{
	const struct contexts *c = &u->group.segment->journals[journal].contexts;
	enum whole all = judge_journal(&s->judgements[journal], u->query, c, false);

	if (all == WHOLE_MIXED || has_fields(u->group.ref) || !is_within(u->group.ref, u->query) ||
	    !match_any_priority(u->query->match))
		return judge_rows(u, s, journal, from, to);
	if (all != WHOLE_NO)
		bits_set(all == WHOLE_YES ? u->yes : u->maybe, from, to);
	return 0;
}

uint32_t judged_end_of_run(const struct segment_group *g, uint32_t first)
{
	uint32_t end = first + 1;

	while (end < g->ref->batches && g->batches[end].journal == g->batches[first].journal)
		end++;
	return end;
}

static int judge_runs(struct judged_group *u, struct searched *s)
{
	const struct segment_group *g = &u->group;
	bool own = has_fields(g->ref);
	uint32_t end;
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < g->ref->batches; i = end) {
		const struct group_batch *first = &g->batches[i], *last;

		end = judged_end_of_run(g, i);
		last = &g->batches[end - 1];
		if (may_match(s, u->query, first->journal, own))
			r = judge_run(u, s, first->journal, first->first_row,
				      last->first_row + last->entries);
	}
	return r;
}

/* Which rows have one of some needles. */
static int search_any(struct judged_group *u, struct needle_plan *plans, size_t n, uint64_t *any)
{
	size_t words = bits_words(u->group.rows);
	_cleanup_free_ uint64_t *one = calloc(words, sizeof *one);
	int64_t r = one ? 0 : -ENOMEM;

	for (size_t i = 0; r >= 0 && i < n; i++) {
		r = group_search(&u->group, &plans[i], one);
		for (size_t k = 0; r > 0 && k < words; k++)
			any[k] |= one[k];
	}
	return (int) MIN_OF(r, (int64_t) 0);
}

/* Which rows have the needles.  @return whether any, or an error. */
static int search(struct judged_group *u, struct searched *s)
{
	size_t words = bits_words(u->group.rows);
	_cleanup_free_ uint64_t *also = NULL;
	int r;

	u->hits = calloc(words, sizeof *u->hits);
	if (!u->hits)
		return -ENOMEM;
	r = search_any(u, s->plans, s->n_plans[0], u->hits);
	if (r >= 0 && s->n_plans[1] > 0 && bits_count(u->hits, u->group.rows) > MAYBE_FEW) {
		also = calloc(words, sizeof *also);
		r = also ? search_any(u, s->plans + s->n_plans[0], s->n_plans[1], also) : -ENOMEM;
		for (size_t k = 0; r >= 0 && k < words; k++)
			u->hits[k] &= also[k];
	}
	return r < 0 ? r : bits_any(u->hits, u->group.rows);
}

/* The same; where that cannot be found out, any may. */
static int search_messages(struct judged_group *u, struct searched *s, struct query_stats *stats)
{
	int r = search(u, s);

	if (!segment_is_damage(r))
		return r;
	free(u->hits);
	u->hits = NULL;
	u->unsearched = true;
	r = judged_pass_over(stats, &u->group, r);
	return r < 0 ? r : 1;
}

/* Those that match but for their messages, which nobody has searched, may match. */
static void doubt(struct judged_group *u)
{
	for (size_t i = 0; i < bits_words(u->group.rows); i++) {
		u->maybe[i] |= u->yes[i];
		u->yes[i] = 0;
	}
}

/* Leave those that have the needle; a few are asked one by one. */
static int leave_hits(struct judged_group *u, struct searched *s, struct query_stats *stats)
{
	bool exact = s->scope == NEEDLE_EXACT;
	size_t asked = bits_count(u->maybe, u->group.rows);
	int r = 0;

	if (s->scope == NEEDLE_NONE)
		return 0;
	if (exact)
		asked += bits_count(u->yes, u->group.rows);
	if (!u->hits && !u->unsearched && asked > MAYBE_FEW)
		r = search_messages(u, s, stats);
	if (!u->hits) {
		if (exact)
			doubt(u);
		return MIN_OF(r, 0);
	}
	/* A field of an entry's own may be another MESSAGE. */
	for (uint32_t i = 0;
	     r >= 0 && s->scope == NEEDLE_PLAIN && u->group.n_fields && i < u->group.rows; i++)
		if (u->group.n_fields[i] > 0)
			bit_set(u->hits, i);
	for (size_t i = 0; r >= 0 && i < bits_words(u->group.rows); i++) {
		u->maybe[i] &= u->hits[i];
		u->yes[i] &= exact ? u->hits[i] : UINT64_MAX;
	}
	return MIN_OF(r, 0);
}

/* The least that holds for all journals: WHOLE_YES, WHOLE_MAYBE if each may match, else WHOLE_NO. */
static enum whole least(struct searched *s, const struct query *q, bool own)
{
	enum whole all = WHOLE_YES;

	for (uint32_t i = 0;
	     s->least[own] == WHOLE_UNKNOWN && i < s->segment->n_journals && all != WHOLE_NO; i++) {
		const struct contexts *c = &s->segment->journals[i].contexts;

		if (!may_match(s, q, i, own))
			all = WHOLE_NO;
		else if (judge_journal(&s->judgements[i], q, c, own) != WHOLE_YES)
			all = WHOLE_MAYBE;
	}
	if (s->scope == NEEDLE_EXACT && all == WHOLE_YES)
		all = WHOLE_MAYBE;
	if (s->least[own] == WHOLE_UNKNOWN)
		s->least[own] = (uint8_t) all;
	return (enum whole) s->least[own];
}

bool judged_is_whole(struct searched *s, const struct query *q, uint32_t group)
{
	const struct group_ref *g = &s->segment->groups[group];

	return is_within(g, q) && least(s, q, false) == WHOLE_YES &&
	       (!has_fields(g) || least(s, q, true) == WHOLE_YES);
}

/* Whether what a window was counted for tells how many match in each span. */
static bool was_counted(struct searched *s, const struct query *q, const struct tally *tally,
			const struct window_ref *w)
{
	if (w->span_s == 0 || w->span_s > UINT64_MAX / NS_PER_S ||
	    tally->span_ns % (w->span_s * NS_PER_S) != 0)
		return false;
	for (uint32_t i = w->first; i < w->end; i++)
		if (!judged_is_whole(s, q, i))
			return false;
	return true;
}

static int tally_window(const struct tally *tally, const struct window_ref *w,
			struct query_stats *stats)
{
	struct histogram h;
	struct glimpse g = { .histogram = &h };
	int r;

	histogram_begin(&h, tally->span_ns);
	r = histogram_add_counts(&h, w->span_s * NS_PER_S, w->span_first, w->counts, w->n_counts);
	for (uint32_t i = 0; i < w->n_counts; i++)
		g.n += w->counts[i];
	stats->rows_matched += g.n;
	if (r >= 0)
		r = tally->entries(tally->arg, &g);
	histogram_done(&h);
	return r;
}

static int tally_windows(struct searched *s, const struct query *q, const struct tally *tally,
			 struct query_stats *stats)
{
	const struct segment *segment = s->segment;
	int r = 0;

	if (tally->span_ns == 0 || tally->contexts || tally->priorities)
		return 0;
	s->windows_counted = calloc(segment->n_windows + 1u, sizeof *s->windows_counted);
	if (!s->windows_counted)
		return -ENOMEM;
	for (uint32_t i = 0; r >= 0 && i < segment->n_windows; i++) {
		s->windows_counted[i] = was_counted(s, q, tally, &segment->windows[i]);
		if (s->windows_counted[i])
			r = tally_window(tally, &segment->windows[i], stats);
	}
	return r;
}

int searched_tally(struct searched *s, const struct query *q, const struct tally *tally,
		   struct query_stats *stats)
{
	int r = tally_journals(s, q, tally, stats);

	return r < 0 ? r : tally_windows(s, q, tally, stats);
}

/*
 * Whether messages are better searched before anything else is read: all matches must have the needle, and most rows may
 * match otherwise.  @return 1, 0, an error.
 */
static int is_wide(struct searched *s, const struct query *q, struct judged_group *u, bool own)
{
	uint32_t rows = 0;
	int r;

	if (s->scope < NEEDLE_ALL)
		return 0;
	if (least(s, q, own) != WHOLE_NO)
		return 1;
	r = group_need_batches(&u->group);
	for (uint32_t i = 0; r >= 0 && i < u->group.ref->batches; i++)
		if (may_match(s, q, u->group.batches[i].journal, own))
			rows += u->group.batches[i].entries;
	return r < 0 ? r : rows > u->group.rows / 2;
}

static int begin(const struct opening *o, struct searched *s, uint32_t number,
		 struct judged_group *u)
{
	size_t words;
	int r;

	u->users = 1;
	u->query = o->query;
	r = group_open(&u->group, s->segment, number);
	if (r < 0)
		return r;
	u->by_pattern = !has_fields(u->group.ref) && match_leaves_pattern(o->query->match);
	words = bits_words(u->group.rows);
	u->yes = calloc(words, sizeof *u->yes);
	u->maybe = calloc(words, sizeof *u->maybe);
	u->fields = reallocarray(NULL, FIELDS_MAX, sizeof *u->fields);
	return u->yes && u->maybe && u->fields ? 0 : -ENOMEM;
}

/* Find out which rows may match.  @return 1, 0 where none does, an error. */
static int judge(const struct opening *o, struct searched *s, struct judged_group *u)
{
	bool any;
	int r = is_wide(s, o->query, u, has_fields(u->group.ref));

	if (r > 0) {
		r = search_messages(u, s, o->stats);
		if (r == 0)
			return 0;
	}
	if (r >= 0)
		r = group_need_batches(&u->group);
	if (r >= 0)
		r = judge_runs(u, s);
	if (r >= 0)
		r = leave_hits(u, s, o->stats);
	any = r >= 0 && (bits_any(u->yes, u->group.rows) || bits_any(u->maybe, u->group.rows));
	if (any && !o->tally)
		r = group_need_times(&u->group);
	return r < 0 ? r : any;
}

int judged_open(const struct opening *o, struct searched *s, uint32_t number,
		struct judged_group **ret)
{
	_cleanup_(judged_let_gop) struct judged_group *u = calloc(1, sizeof *u);
	int r;

	if (!u)
		return -ENOMEM;
	r = begin(o, s, number, u);
	if (r >= 0)
		r = judge(o, s, u);
	if (r < 0)
		return judged_pass_over(o->stats, &u->group, r);
	o->stats->frames_read++;
	o->stats->rows_seen += u->group.rows;
	if (u->group.templates || u->group.batches)
		o->stats->rows_read += u->group.rows;
	if (r > 0)
		*ret = TAKE_PTR(u);
	return r;
}

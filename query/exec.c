/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Two heaps would do the same as this array and a heap: frames sorted by the time at which they may first matter (their
 * oldest entry, or going backwards their newest), and a heap of opened ones by the entry that each would give next.
 */

#include "query/exec.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "query/newest.h"

enum { JUDGED_MAX = 64 };

/* A frame that may hold entries of the answer. */
struct candidate {
	struct rows_ref ref; /* a copy: the index may grow meanwhile */
	uint32_t journal;
};

/* An entry of an opened frame. */
struct row {
	struct entry entry; /* fields in `field` of the frame */
	uint64_t seq;
	uint32_t context;
};

/* An opened frame: its matching rows, in the query's order. */
struct opened {
	const struct candidate *candidate;
	struct buf raw;
	struct field *fields;
	struct row *rows;
	size_t n, at;
};

/* What contexts alone say, worked out when first asked: of[2 * context + own_fields] is tri + 1, or 0 for not yet. */
struct judgement {
	uint8_t *of;
	uint32_t n; /* contexts that there is room for */
};

struct run {
	const struct catalog *catalog;
	const struct query *query;
	struct query_stats *stats;
	bool backward;
	struct judgement *judgements; /* one a journal */
	struct candidate *candidates;
	size_t n, next;
	struct opened **heap;
	size_t n_open, heap_cap;
	struct buf frame;
};

/* Judging rows. */

static enum tri judge_context(struct judgement *jd, const struct query *q, const struct contexts *c,
			      uint32_t context, bool own_fields)
{
	uint8_t *of = context < jd->n ? &jd->of[2 * context + own_fields] : NULL;

	if (!of)
		return match_context(q->match, c, context, own_fields);
	if (*of == 0)
		*of = (uint8_t) (match_context(q->match, c, context, own_fields) + 1);
	return (enum tri)(*of - 1);
}

static struct shown shown_of(const struct catalog_journal *j, const struct rows_ref *ref,
			     const struct entry *e, uint32_t context, uint64_t seq)
{
	return (struct shown){
		.entry = e,
		.contexts = j->contexts,
		.context = context,
		.journal = j->id,
		.seq = seq,
		.boot = j->boot,
		.mono_offset = ref->mono_offset,
		.has_mono = ref->has_mono,
		.sealed = seq < j->sealed,
	};
}

static int judge(struct judgement *jd, const struct query *q, const struct catalog_journal *j,
		 const struct rows_ref *ref, const struct shown *s)
{
	enum tri tri;

	if (s->entry->time_ns < q->since_ns || s->entry->time_ns > q->until_ns)
		return 0;
	tri = judge_context(jd, q, j->contexts, s->context, ref->own_fields);
	return tri == TRI_MAYBE ? match_entry(q->match, s) : tri == TRI_YES;
}

static int judge_rows(struct judgement *jd, const struct query *q, const struct catalog_journal *j,
		      const struct rows_ref *ref, const struct tail_rows *rows, struct buf *raw,
		      query_row_fn row, void *arg)
{
	struct field fields[FIELDS_MAX];
	struct row_state state = { 0 };
	uint64_t seq = rows->first_seq;
	struct entry e;
	uint32_t context;
	struct rd rd;
	int r;

	r = tail_rows_unpack(rows, raw);
	if (r < 0)
		return r;
	rd = rd_of(raw->data, raw->len);
	while ((r = row_decode(&state, &rd, fields, &e, &context)) > 0) {
		struct shown s = shown_of(j, ref, &e, context, seq++);

		if (context >= j->contexts->n)
			return BULLA_ECORRUPT;
		r = judge(jd, q, j, ref, &s);
		if (r > 0)
			r = row(arg, &s);
		if (r != 0)
			return r;
	}
	return r;
}

int query_rows(const struct query *q, const struct catalog_journal *j, const struct rows_ref *ref,
	       const struct tail_rows *rows, struct buf *raw, query_row_fn row, void *arg)
{
	uint8_t of[2 * JUDGED_MAX] = { 0 };
	struct judgement jd = { of, JUDGED_MAX };

	return judge_rows(&jd, q, j, ref, rows, raw, row, arg);
}

/* Opening frames. */

static struct opened *opened_free(struct opened *o)
{
	if (o) {
		buf_done(&o->raw);
		free(o->fields);
		free(o->rows);
		free(o);
	}
	return NULL;
}

static void opened_freep(struct opened **o)
{
	opened_free(*o);
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int c = compare_u64(x->entry.time_ns, y->entry.time_ns);

	return c != 0 ? c : compare_u64(x->seq, y->seq);
}

/* Rows arrive in order of time nearly always; only a clock that stepped makes work here. */
static void order_rows(struct opened *o, bool backward)
{
	bool sorted = true;

	for (size_t i = 1; i < o->n && sorted; i++)
		sorted = compare_rows(&o->rows[i - 1], &o->rows[i]) < 0;
	if (!sorted)
		qsort(o->rows, o->n, sizeof *o->rows, compare_rows);
	for (size_t i = 0; backward && i < o->n / 2; i++) {
		struct row swap = o->rows[i];

		o->rows[i] = o->rows[o->n - 1 - i];
		o->rows[o->n - 1 - i] = swap;
	}
}

/* Collects the rows of a frame that match; entries keep pointing into its raw bytes. */
struct keeper {
	struct opened *opened;
	size_t n_fields, fields_cap, cap;
};

static int keep(void *arg, const struct shown *s)
{
	struct keeper *k = arg;
	struct opened *o = k->opened;
	struct row *row;

	if (o->n == k->cap) {
		size_t cap = k->cap ? 2 * k->cap : 64;
		struct row *more = reallocarray(o->rows, cap, sizeof *more);

		if (!more)
			return -ENOMEM;
		o->rows = more;
		k->cap = cap;
	}
	while (k->n_fields + s->entry->n_fields > k->fields_cap) {
		size_t cap = k->fields_cap ? 2 * k->fields_cap : 64;
		struct field *more = reallocarray(o->fields, cap, sizeof *more);

		if (!more)
			return -ENOMEM;
		o->fields = more;
		k->fields_cap = cap;
	}
	row = &o->rows[o->n++];
	*row = (struct row){ .entry = *s->entry, .seq = s->seq, .context = s->context };
	/* An offset for now: the array may still move. */
	row->entry.fields = (const struct field *) (uintptr_t) k->n_fields;
	if (s->entry->n_fields > 0)
		memcpy(o->fields + k->n_fields, s->entry->fields,
		       s->entry->n_fields * sizeof *o->fields);
	k->n_fields += s->entry->n_fields;
	return 0;
}

static int open_frame(struct run *run, const struct candidate *c, struct opened **ret)
{
	const struct catalog_journal *j = &run->catalog->journals[c->journal];
	_cleanup_(opened_freep) struct opened *o = calloc(1, sizeof *o);
	struct keeper k = { .opened = o };
	struct tail_rows rows;
	int r;

	if (!o)
		return -ENOMEM;
	o->candidate = c;
	r = run->catalog->read(run->catalog->arg, j, &c->ref, &run->frame, &rows);
	if (r < 0)
		return r == BULLA_ELIMIT ? BULLA_ECORRUPT
					 : r; /* the frame's limit, not the pattern's */
	run->stats->frames_read++;
	run->stats->rows_seen += rows.count;
	r = judge_rows(&run->judgements[c->journal], run->query, j, &c->ref, &rows, &o->raw, keep,
		       &k);
	if (r < 0)
		return r;
	for (size_t i = 0; i < o->n && o->fields; i++)
		o->rows[i].entry.fields = o->fields + (uintptr_t) o->rows[i].entry.fields;
	order_rows(o, run->backward);
	*ret = TAKE_PTR(o);
	return 0;
}

/* The heap of opened frames. */

static bool comes_before(const struct run *run, const struct opened *a, const struct opened *b)
{
	const struct row *x = &a->rows[a->at], *y = &b->rows[b->at];
	int c = compare_u64(x->entry.time_ns, y->entry.time_ns);

	if (c == 0)
		c = id_compare(&run->catalog->journals[a->candidate->journal].id,
			       &run->catalog->journals[b->candidate->journal].id);
	if (c == 0)
		c = compare_u64(x->seq, y->seq);
	return run->backward ? c > 0 : c < 0;
}

static void sift_down(struct run *run, size_t i)
{
	for (;;) {
		size_t child = 2 * i + 1;
		struct opened *swap;

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

static int push(struct run *run, struct opened *o)
{
	size_t i = run->n_open;

	if (run->n_open == run->heap_cap) {
		size_t cap = run->heap_cap ? 2 * run->heap_cap : 16;
		struct opened **more = reallocarray(run->heap, cap, sizeof(struct opened *));

		if (!more)
			return -ENOMEM;
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

/* Step past the entry on top. */
static void advance(struct run *run)
{
	struct opened *top = run->heap[0];

	if (++top->at == top->n) {
		opened_free(top);
		run->heap[0] = run->heap[--run->n_open];
	}
	sift_down(run, 0);
}

/* Candidates. */

static uint64_t first_time(const struct run *run, const struct rows_ref *ref)
{
	return run->backward ? ref->time_max : ref->time_min;
}

static int compare_candidates(const void *a, const void *b, void *arg)
{
	const struct candidate *x = a, *y = b;
	const struct run *run = arg;
	int c = compare_u64(first_time(run, &x->ref), first_time(run, &y->ref));

	return run->backward ? -c : c;
}

/* Whether any context of a journal can match; where all rows are told by contexts this spares its frames. */
static bool journal_may_match(struct judgement *jd, const struct query *q,
			      const struct catalog_journal *j, bool own_fields)
{
	for (uint32_t i = 0; i < j->contexts->n; i++)
		if (judge_context(jd, q, j->contexts, i, own_fields) != TRI_NO)
			return true;
	return false;
}

static void find_in_journal(struct run *run, uint32_t number)
{
	const struct catalog_journal *j = &run->catalog->journals[number];
	struct judgement *jd = &run->judgements[number];
	bool plain = journal_may_match(jd, run->query, j, false),
	     own = journal_may_match(jd, run->query, j, true);

	for (size_t k = 0; k < j->rows->n; k++) {
		const struct rows_ref *ref = &j->rows->at[k];

		if (ref->time_max < run->query->since_ns || ref->time_min > run->query->until_ns)
			continue;
		if (ref->own_fields ? own : plain)
			run->candidates[run->n++] = (struct candidate){ *ref, number };
	}
}

static int find_candidates(struct run *run)
{
	const struct catalog *c = run->catalog;
	size_t cap = 0;

	for (uint32_t i = 0; i < c->n; i++)
		cap += c->journals[i].rows->n;
	run->candidates = reallocarray(NULL, cap + 1, sizeof *run->candidates);
	run->judgements = calloc((size_t) c->n + 1, sizeof *run->judgements);
	if (!run->candidates || !run->judgements)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->n; i++) {
		uint32_t n = c->journals[i].contexts->n;

		run->judgements[i].of = calloc((size_t) n + 1, 2);
		if (!run->judgements[i].of)
			return -ENOMEM;
		run->judgements[i].n = n;
		find_in_journal(run, i);
	}
	return 0;
}

static void run_done(struct run *run)
{
	for (size_t i = 0; i < run->n_open; i++)
		opened_free(run->heap[i]);
	for (uint32_t i = 0; run->judgements && i < run->catalog->n; i++)
		free(run->judgements[i].of);
	free(run->judgements);
	free(run->heap);
	free(run->candidates);
	buf_done(&run->frame);
}

/* What cannot be read is passed over, if that is this frame's own trouble. */
static bool is_damage(int r)
{
	return r == BULLA_ECORRUPT || r == BULLA_ETRUNCATED || r == -EIO || r == -ENOENT;
}

/* Open every frame that may hold an entry before the one on top. */
static int open_due(struct run *run)
{
	while (run->next < run->n) {
		const struct candidate *c = &run->candidates[run->next];
		uint64_t first = first_time(run, &c->ref);
		struct opened *o;
		int r;

		if (run->n_open > 0) {
			const struct opened *top = run->heap[0];
			uint64_t time = top->rows[top->at].entry.time_ns;

			if (run->backward ? first < time : first > time)
				return 0;
		}
		run->next++;
		r = open_frame(run, c, &o);
		if (is_damage(r)) {
			run->stats->frames_damaged++;
			continue;
		}
		if (r < 0)
			return r;
		if (o->n == 0) {
			opened_free(o);
			continue;
		}
		r = push(run, o);
		if (r < 0) {
			opened_free(o);
			return r;
		}
	}
	return 0;
}

static struct shown shown_on_top(const struct run *run)
{
	const struct opened *top = run->heap[0];
	const struct row *row = &top->rows[top->at];

	return shown_of(&run->catalog->journals[top->candidate->journal], &top->candidate->ref,
			&row->entry, row->context, row->seq);
}

/* Give out the entries in one direction, from the first again if need be. */
static int merge(struct run *run, bool backward, query_row_fn row, void *arg)
{
	run->backward = backward;
	run->next = 0;
	while (run->n_open > 0)
		opened_free(run->heap[--run->n_open]);
	if (run->n > 1)
		qsort_r(run->candidates, run->n, sizeof *run->candidates, compare_candidates, run);
	for (uint64_t given = 0; given < run->query->limit; given++) {
		struct shown s;
		int r;

		r = open_due(run);
		if (r < 0)
			return r;
		if (run->n_open == 0)
			return 0;
		s = shown_on_top(run);
		r = row(arg, &s);
		if (r != 0)
			return MIN_OF(r, 0);
		advance(run);
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

int query_run(const struct catalog *c, const struct query *q, query_row_fn row, void *arg,
	      struct query_stats *ret_stats)
{
	struct run run = { .catalog = c, .query = q, .stats = ret_stats };
	struct counter k = { row, arg, ret_stats };
	struct newest v = { 0 };
	int r;

	*ret_stats = (struct query_stats){ 0 };
	r = find_candidates(&run);
	if (c->copied)
		c->copied(c->arg);
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

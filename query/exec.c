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

enum { JUDGED_MAX = 64 };

/* A frame that may hold entries of the answer. */
struct candidate {
	const struct rows_ref *ref;
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

struct run {
	const struct catalog *catalog;
	const struct query *query;
	struct query_stats *stats;
	bool backward;
	struct candidate *candidates;
	size_t n, next;
	struct opened **heap;
	size_t n_open, heap_cap;
	struct buf frame;
};

/* Judging rows. */

/* What the context alone says, worked out once per context of a frame. */
struct judgement {
	uint8_t of[JUDGED_MAX]; /* tri + 1; 0: not yet */
};

static enum tri judge_context(struct judgement *jd, const struct query *q, const struct contexts *c,
			      uint32_t context, bool own_fields)
{
	if (context >= JUDGED_MAX)
		return match_context(q->match, c, context, own_fields);
	if (jd->of[context] == 0)
		jd->of[context] = (uint8_t) (match_context(q->match, c, context, own_fields) + 1);
	return (enum tri)(jd->of[context] - 1);
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

int query_rows(const struct query *q, const struct catalog_journal *j, const struct rows_ref *ref,
	       const struct tail_rows *rows, struct buf *raw, query_row_fn row, void *arg)
{
	struct field fields[FIELDS_MAX];
	struct judgement jd = { 0 };
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
		r = judge(&jd, q, j, ref, &s);
		if (r > 0)
			r = row(arg, &s);
		if (r != 0)
			return r;
	}
	return r;
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
	struct query_stats *stats;
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
	struct keeper k = { .opened = o, .stats = run->stats };
	struct tail_rows rows;
	int r;

	if (!o)
		return -ENOMEM;
	o->candidate = c;
	r = run->catalog->read(run->catalog->arg, j, c->ref, &run->frame, &rows);
	if (r < 0)
		return r == BULLA_ELIMIT ? BULLA_ECORRUPT
					 : r; /* the frame's limit, not the pattern's */
	run->stats->frames_read++;
	run->stats->rows_seen += rows.count;
	r = query_rows(run->query, j, c->ref, &rows, &o->raw, keep, &k);
	if (r < 0)
		return r;
	for (size_t i = 0; i < o->n; i++)
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
	int c = compare_u64(first_time(run, x->ref), first_time(run, y->ref));

	return run->backward ? -c : c;
}

/* Whether any context of a journal can match; where all rows are told by contexts this spares its frames. */
static bool journal_may_match(const struct query *q, const struct catalog_journal *j,
			      bool own_fields)
{
	for (uint32_t i = 0; i < j->contexts->n; i++)
		if (match_context(q->match, j->contexts, i, own_fields) != TRI_NO)
			return true;
	return false;
}

static int find_candidates(struct run *run)
{
	size_t cap = 0;

	for (uint32_t i = 0; i < run->catalog->n; i++)
		cap += run->catalog->journals[i].rows->n;
	run->candidates = reallocarray(NULL, cap + 1, sizeof *run->candidates);
	if (!run->candidates)
		return -ENOMEM;
	for (uint32_t i = 0; i < run->catalog->n; i++) {
		const struct catalog_journal *j = &run->catalog->journals[i];
		bool plain = journal_may_match(run->query, j, false),
		     own = journal_may_match(run->query, j, true);

		for (size_t k = 0; k < j->rows->n; k++) {
			const struct rows_ref *ref = &j->rows->at[k];

			if (ref->time_max < run->query->since_ns ||
			    ref->time_min > run->query->until_ns)
				continue;
			if (ref->own_fields ? own : plain)
				run->candidates[run->n++] = (struct candidate){ ref, i };
		}
	}
	if (run->n > 1)
		qsort_r(run->candidates, run->n, sizeof *run->candidates, compare_candidates, run);
	return 0;
}

/* Open every frame that may hold an entry before the one on top. */
static int open_due(struct run *run)
{
	while (run->next < run->n) {
		const struct candidate *c = &run->candidates[run->next];
		uint64_t first = first_time(run, c->ref);
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
		if (r == BULLA_ECORRUPT || r == BULLA_ETRUNCATED) {
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

static int merge(struct run *run, query_row_fn row, void *arg)
{
	for (uint64_t given = 0; given < run->query->limit; given++) {
		struct opened *top;
		struct shown s;
		int r;

		r = open_due(run);
		if (r < 0)
			return r;
		if (run->n_open == 0)
			return 0;
		top = run->heap[0];
		s = shown_of(&run->catalog->journals[top->candidate->journal], top->candidate->ref,
			     &top->rows[top->at].entry, top->rows[top->at].context,
			     top->rows[top->at].seq);
		run->stats->rows_matched++;
		r = row(arg, &s);
		if (r != 0)
			return MIN_OF(r, 0);
		advance(run);
	}
	return 0;
}

static int merge_in(const struct catalog *c, const struct query *q, bool backward, query_row_fn row,
		    void *arg, struct query_stats *stats)
{
	struct run run = { .catalog = c, .query = q, .stats = stats, .backward = backward };
	int r;

	r = find_candidates(&run);
	if (r >= 0)
		r = merge(&run, row, arg);
	for (size_t i = 0; i < run.n_open; i++)
		opened_free(run.heap[i]);
	free(run.heap);
	free(run.candidates);
	buf_done(&run.frame);
	return r;
}

/* The newest N in order of time: found backwards, copied, and given out in reverse. */

struct saved {
	struct shown shown;
	struct entry entry;
	void *memory;
};

struct saver {
	struct saved *at;
	size_t n, cap;
};

static int save(void *arg, const struct shown *s)
{
	struct saver *v = arg;
	const struct entry *e = s->entry;
	size_t fields = e->n_fields * sizeof *e->fields;
	struct saved *saved;
	uint8_t *p;

	if (v->n == v->cap) {
		size_t cap = v->cap ? 2 * v->cap : 64;
		struct saved *more = reallocarray(v->at, cap, sizeof *more);

		if (!more)
			return -ENOMEM;
		v->at = more;
		v->cap = cap;
	}
	saved = &v->at[v->n];
	*saved = (struct saved){ .shown = *s,
				 .entry = *e,
				 .memory = malloc(fields + entry_bytes(e) + 1) };
	if (!saved->memory)
		return -ENOMEM;
	v->n++;
	saved->entry.fields = saved->memory;
	p = (uint8_t *) saved->memory + fields;
	if (e->message_len > 0)
		memcpy(p, e->message, e->message_len);
	saved->entry.message = p;
	p += e->message_len;
	for (size_t i = 0; i < e->n_fields; i++) {
		struct field *f = (struct field *) saved->memory + i;

		*f = e->fields[i];
		memcpy(p, f->name, f->name_len);
		f->name = p;
		p += f->name_len;
		memcpy(p, f->value, f->value_len);
		f->value = p;
		p += f->value_len;
	}
	return 0;
}

int query_run(const struct catalog *c, const struct query *q, query_row_fn row, void *arg,
	      struct query_stats *ret_stats)
{
	struct saver v = { 0 };
	int r;

	*ret_stats = (struct query_stats){ 0 };
	if (!q->newest || q->reverse)
		return merge_in(c, q, q->reverse, row, arg, ret_stats);
	r = merge_in(c, q, true, save, &v, ret_stats);
	for (size_t i = v.n; i > 0; i--) {
		v.at[i - 1].shown.entry = &v.at[i - 1].entry;
		if (r == 0)
			r = row(arg, &v.at[i - 1].shown);
		free(v.at[i - 1].memory);
	}
	free(v.at);
	return MIN_OF(r, 0);
}

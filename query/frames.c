/* SPDX-License-Identifier: Apache-2.0 */

/** Rows frames of tails as sources: a frame is small, so its matching rows are all taken out at once. */

#include "query/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

enum { JUDGED_MAX = 64 };

/* An entry of an opened frame. */
struct row {
	struct entry entry; /* fields in `fields` of the frame */
	uint64_t seq;
	uint32_t context;
};

/* An opened frame: its matching rows, in the query's order. */
struct opened {
	struct source source;
	const struct catalog_journal *journal;
	struct rows_ref ref;
	struct buf raw;
	struct field *fields;
	struct row *rows;
	size_t n, at;
};

/* Judging rows. */

int judgement_init(struct judgement *jd, uint32_t n_contexts)
{
	*jd = (struct judgement){ .of = calloc((size_t) n_contexts + 1, 2), .n = n_contexts };
	return jd->of ? 0 : -ENOMEM;
}

enum tri judge_context(struct judgement *jd, const struct query *q, const struct contexts *c,
		       uint32_t context, bool own_fields)
{
	uint8_t *of = context < jd->n ? &jd->of[2 * context + own_fields] : NULL;

	if (!of)
		return match_context(q->match, c, context, own_fields, jd->but_grep);
	if (*of == 0)
		*of = (uint8_t) (match_context(q->match, c, context, own_fields, jd->but_grep) + 1);
	return (enum tri)(*of - 1);
}

static enum whole whole_of(enum tri tri)
{
	return tri == TRI_NO ? WHOLE_NO : tri == TRI_YES ? WHOLE_YES : WHOLE_MAYBE;
}

enum whole judge_journal(struct judgement *jd, const struct query *q, const struct contexts *c,
			 bool own_fields)
{
	enum whole all = c->n == 0 ? WHOLE_NO : (enum whole) jd->all[own_fields];

	for (uint32_t i = 0; jd->all[own_fields] == WHOLE_UNKNOWN && i < c->n && all != WHOLE_MIXED;
	     i++) {
		enum whole one = whole_of(judge_context(jd, q, c, i, own_fields));

		all = i == 0 || one == all ? one : WHOLE_MIXED;
	}
	jd->all[own_fields] = (uint8_t) all;
	return all;
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
	_uninitialized_ struct field fields[FIELDS_MAX];
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
	struct judgement jd = { .of = of, .n = JUDGED_MAX };

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

static void close_source(struct source *s)
{
	opened_free((struct opened *) s);
}

/* The row at hand is on top. */
static void put_on_top(struct opened *o)
{
	o->source.time_ns = o->rows[o->at].entry.time_ns;
	o->source.seq = o->rows[o->at].seq;
}

static int next_row(struct source *s)
{
	struct opened *o = (struct opened *) s;

	if (++o->at == o->n)
		return 0;
	put_on_top(o);
	return 1;
}

static int show_row(struct source *s, struct shown *ret)
{
	struct opened *o = (struct opened *) s;
	const struct row *row = &o->rows[o->at];

	*ret = shown_of(o->journal, &o->ref, &row->entry, row->context, row->seq);
	return 0;
}

static int glimpse_row(struct source *s, struct glimpse *ret)
{
	struct opened *o = (struct opened *) s;
	const struct row *row = &o->rows[o->at];

	*ret = (struct glimpse){
		.contexts = o->journal->contexts,
		.context = row->context,
		.n = 1,
		.time_ns = &row->entry.time_ns,
		.priority = &row->entry.priority,
		.n_fields = row->entry.n_fields,
		.fields = row->entry.fields,
	};
	return 0;
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
	/* An offset until the last row is in: the array may still move. */
	row->entry.fields = (const struct field *) (uintptr_t) k->n_fields;
	if (s->entry->n_fields > 0)
		memcpy(o->fields + k->n_fields, s->entry->fields,
		       s->entry->n_fields * sizeof *o->fields);
	k->n_fields += s->entry->n_fields;
	return 0;
}

static int read_frame(const struct opening *opening, struct judgement *jd, struct opened *o)
{
	const struct catalog *c = opening->catalog;
	struct keeper k = { .opened = o };
	struct tail_rows rows;
	int r;

	r = c->read(c->arg, o->journal, &o->ref, opening->frame, &rows);
	if (r < 0)
		return r == BULLA_ELIMIT ? BULLA_ECORRUPT
					 : r; /* the frame's limit, not the pattern's */
	opening->stats->frames_read++;
	opening->stats->rows_seen += rows.count;
	r = judge_rows(jd, opening->query, o->journal, &o->ref, &rows, &o->raw, keep, &k);
	if (r < 0)
		return r;
	for (size_t i = 0; i < o->n && o->fields; i++)
		o->rows[i].entry.fields = o->fields + (uintptr_t) o->rows[i].entry.fields;
	if (!opening->tally)
		order_rows(o, opening->backward);
	return 0;
}

int frame_source_open(const struct opening *opening, const struct catalog_journal *j,
		      struct judgement *jd, const struct rows_ref *ref)
{
	_cleanup_(opened_freep) struct opened *o = calloc(1, sizeof *o);
	int r;

	if (!o)
		return -ENOMEM;
	o->source = (struct source){ .journal = &j->id,
				     .shown = show_row,
				     .glimpse = glimpse_row,
				     .next = next_row,
				     .free = close_source };
	o->journal = j;
	o->ref = *ref;
	r = read_frame(opening, jd, o);
	if (r < 0 || o->n == 0)
		return r;
	put_on_top(o);
	return opening->each(opening->arg, &TAKE_PTR(o)->source);
}

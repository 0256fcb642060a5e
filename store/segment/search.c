/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Columns are searched as they lie: all distinct values of a column of words in one go over their bytes, and several
 * columns that lie one behind the other in one go to see which has the needle at all.  Others are written out as text
 * first.  What is found is a bit for each row of a template, in the order in which a column has them; which row of the
 * group that is, is told by the templates column, which is read when there is anything to be told.
 */

#include "store/segment/search.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "bulla/error.h"
#include "store/segment/reader-internal.h"

/* What is to be done for the rows of a template. */
enum look { LOOK_NONE, LOOK_ALL, LOOK_FOUND, LOOK_TIMES, LOOK_MESSAGES };

/* What one group's search goes with.  Numbers of templates are as in template_of: 0 stands for messages kept whole. */
struct search {
	struct segment_group *group;
	struct needle_plan *plan;
	uint8_t *look;	 /* owned */
	uint64_t *times; /* owned: variables that are looked at row by row */
	uint32_t *first; /* owned: where the bits of a template's rows begin */
	uint64_t *found; /* owned: a bit for each row, by template */
	uint64_t *
		marks; /* owned: a bit for each distinct value of a column; scratch, as the following */
	size_t marks_cap;
	struct buf text;
	struct buf end;
	int places; /* that may have the needle: what the group's tokens say, less what was looked at */
	/* A stretch of the words, and the first place in it that has the needle, or its end. */
	uint32_t words_from, words_to, words_hit;
};

/* Columns. */

/* Whether a column of words has the needle in its bytes.  Columns come in the order in which they lie. */
static int words_have(struct search *s, const struct variable_column *c)
{
	const struct finder *f = &s->plan->finder;
	struct rd part;
	int r;

	if (c->offset < s->words_from || c->offset >= s->words_to || s->words_hit < c->offset) {
		const uint8_t *at;

		r = group_column_part(s->group, STREAM_WORDS, c, &part);
		if (r < 0)
			return r;
		at = finder_find(f, part.p, part.left);
		s->words_from = c->offset;
		s->words_to = c->offset + (uint32_t) part.left;
		s->words_hit = at ? c->offset + (uint32_t) (at - part.p) : s->words_to;
	}
	return (uint64_t) s->words_hit + f->n <= (uint64_t) c->offset + c->size;
}

/* Values written out, to be searched as one. */
static int end_value(struct search *s)
{
	uint32_t end = (uint32_t) s->text.len;

	buf_append(&s->end, &end, sizeof end);
	return s->text.bad || s->end.bad ? -ENOMEM : 0;
}

static struct find_walk walk_text(struct search *s)
{
	return (struct find_walk){ .finder = &s->plan->finder,
				   .p = s->text.data,
				   .end = (const uint32_t *) (const void *) s->end.data,
				   .n = s->end.len / sizeof(uint32_t) };
}

static struct text value_at(const uint8_t *p, const uint32_t *end, size_t i)
{
	uint32_t from = i > 0 ? end[i - 1] : 0;

	return (struct text){ p + from, end[i] - from };
}

/* Go on to the next value that has the needle, of a variable of template `t`, or of messages kept whole. */
static bool next_value(const struct search *s, struct find_walk *w, uint32_t t, unsigned slot,
		       size_t *ret)
{
	const struct template *of = t > 0 ? s->group->templates[t - 1].template : NULL;

	while (find_walk_next(w, ret)) {
		/* Most have no sequel, and were searched already. */
		if (s->plan->needle.sequel->n == 0 ||
		    needle_in_value(s->plan, value_at(w->p, w->end, *ret), of, slot))
			return true;
	}
	return false;
}

static int search_digits(struct search *s, uint32_t t, unsigned slot)
{
	struct group_template *of = &s->group->templates[t - 1];
	struct find_walk w;
	size_t i;
	int r;

	r = group_need_column(s->group, of, slot);
	buf_clear(&s->text);
	buf_clear(&s->end);
	for (i = 0; r >= 0 && i < of->rows; i++) {
		group_put_digits(&of->columns[slot], of->columns[slot].numbers[i], &s->text);
		r = end_value(s);
	}
	if (r < 0)
		return r;
	for (w = walk_text(s); next_value(s, &w, t, slot, &i);) {
		bit_set(s->found, s->first[t] + i);
		s->look[t] = MAX_OF(s->look[t], LOOK_FOUND);
	}
	return 0;
}

static void mark_value(struct search *s, uint32_t t, size_t value)
{
	bit_set(s->marks, value);
	s->look[t] = MAX_OF(s->look[t], LOOK_FOUND);
}

/* Mark those of some digits that have the needle: what is written out is only what has its bytes. */
static int mark_halves(struct search *s, uint32_t t, unsigned slot, const struct strings_view *v,
		       uint8_t kind)
{
	const struct template *of = s->group->templates[t - 1].template;
	int r = 0;

	for (int half = 0; half < 2; half++) {
		struct find_walk w = {
			.finder = &s->plan->halves.finder[half], .p = v->p, .end = v->end, .n = v->n
		};
		size_t i;

		while (r >= 0 && find_walk_next(&w, &i)) {
			struct text packed = value_at(v->p, v->end, i), value;

			buf_clear(&s->text);
			r = group_put_packed(kind, &packed, &s->text);
			if (r >= 0 && s->text.bad)
				r = -ENOMEM;
			value = (struct text){ s->text.data, (uint32_t) s->text.len };
			if (r >= 0 && needle_in_value(s->plan, value, of, slot))
				mark_value(s, t, i);
		}
	}
	return r;
}

/* The distinct values of a column as texts.  `kind` is 0 where they are that already. */
static int walk_values(struct search *s, const struct strings_view *v, uint8_t kind,
		       struct find_walk *ret)
{
	int r = 0;

	*ret = (struct find_walk){
		.finder = &s->plan->finder, .p = v->p, .end = v->end, .n = v->n
	};
	if (kind == 0)
		return 0;
	buf_clear(&s->text);
	buf_clear(&s->end);
	for (size_t i = 0; r >= 0 && i < v->n; i++) {
		struct text value = value_at(v->p, v->end, i);

		r = group_put_packed(kind, &value, &s->text);
		if (r >= 0)
			r = end_value(s);
	}
	*ret = walk_text(s);
	return r;
}

static int clear_marks(struct search *s, size_t n)
{
	size_t words = bits_words(n);

	if (words > s->marks_cap) {
		uint64_t *more = reallocarray(s->marks, words, sizeof *more);

		if (!more)
			return -ENOMEM;
		s->marks = more;
		s->marks_cap = words;
	}
	memset(s->marks, 0, words * sizeof *s->marks);
	return 0;
}

static int mark_values(struct search *s, uint32_t t, unsigned slot, const struct strings_view *v,
		       uint8_t kind)
{
	struct find_walk w;
	size_t i;
	int r = clear_marks(s, v->n);

	if (r >= 0 && s->plan->halves.usable && kind != 0 && kind != VARIABLE_IPV4)
		return mark_halves(s, t, slot, v, kind);
	if (r >= 0)
		r = walk_values(s, v, kind, &w);
	while (r >= 0 && next_value(s, &w, t, slot, &i))
		mark_value(s, t, i);
	return r;
}

/* Search a column of `n` strings, the rows of template `t`. */
static int search_strings(struct search *s, uint32_t t, unsigned slot, struct rd *bytes, size_t n,
			  uint8_t kind)
{
	struct strings_view v;
	bool any;
	int r;

	r = strings_view_read(&v, bytes, n);
	if (r < 0)
		return r;
	r = mark_values(s, t, slot, &v, kind);
	any = r >= 0 && bits_any(s->marks, v.n);
	if (any)
		r = strings_view_places(&v, bytes, n);
	for (size_t i = 0; r >= 0 && any && i < n; i++)
		if (bit_get(s->marks, v.shared ? v.place[i] : i))
			bit_set(s->found, s->first[t] + i);
	strings_view_done(&v);
	return r;
}

static int search_texts(struct search *s, uint32_t t, unsigned slot)
{
	struct group_template *of = &s->group->templates[t - 1];
	uint8_t kind = of->kinds[slot], form;
	struct rd bytes;
	int r;

	r = group_column_bytes(s->group, stream_of(kind), &of->columns[slot], &bytes);
	if (r < 0)
		return r;
	form = kind == VARIABLE_HEX || kind == VARIABLE_HEX_UPPER ? rd_u8(&bytes) : PACKED_HALVES;
	if (bytes.bad || form > PACKED_TEXT)
		return BULLA_ECORRUPT;
	return search_strings(s, t, slot, &bytes, of->rows,
			      stream_of(kind) == STREAM_WORDS || form == PACKED_TEXT ? 0 : kind);
}

static int search_column(struct search *s, uint32_t t, unsigned slot)
{
	struct group_template *of = &s->group->templates[t - 1];
	struct variable_column *c = &of->columns[slot];
	uint8_t kind = of->kinds[slot];
	int r;

	if (has_stamp(kind) && c->len_max < s->plan->needle.n)
		return 0;
	switch (stream_of(kind)) {
	case STREAM_WORDS:
		r = words_have(s, c);
		return r <= 0 ? r : search_texts(s, t, slot);
	case STREAM_NUMBERS:
		if (kind == VARIABLE_DIGITS)
			return search_digits(s, t, slot);
		/* Its rows' own times are in them. */
		s->times[t] |= UINT64_C(1) << slot;
		s->look[t] = LOOK_TIMES;
		return group_need_column(s->group, of, slot);
	default:
		return search_texts(s, t, slot);
	}
}

/* Templates. */

static bool may_be(const struct search *s, int places)
{
	return s->places & places;
}

static int search_template(struct search *s, uint32_t t)
{
	struct group_template *of = &s->group->templates[t - 1];
	const struct needle_verdict *v;
	int r = group_need_text(s->group, of);

	if (r < 0)
		return r;
	if (needle_plan_all(s->plan, of)) {
		s->look[t] = LOOK_ALL;
		return 0;
	}
	if (!may_be(s, TOKENS_ACROSS | 1 << TOKENS_VALUES))
		return 0;
	v = needle_plan_of(s->plan, of);
	if (v->across) {
		s->look[t] = LOOK_MESSAGES;
		return 0;
	}
	if (!may_be(s, 1 << TOKENS_VALUES))
		return 0;
	for (uint64_t left = v->inside; r >= 0 && left != 0; left &= left - 1)
		r = search_column(s, t, (unsigned) __builtin_ctzll(left));
	return r;
}

/* Look at all messages kept whole at once: values lie in their block as they are. */
static int glance_at_whole(struct search *s)
{
	struct rd bytes;
	int r;

	if (!may_be(s, 1 << TOKENS_WHOLE))
		return 0;
	r = group_whole_bytes(s->group, &bytes);
	if (r >= 0 && !finder_find(&s->plan->finder, bytes.p, bytes.left))
		s->places &= ~(1 << TOKENS_WHOLE);
	return r;
}

static int search_whole(struct search *s, size_t n)
{
	struct rd bytes;
	int r;

	if (n == 0 || !may_be(s, 1 << TOKENS_WHOLE))
		return 0;
	r = group_whole_bytes(s->group, &bytes);
	return r < 0 ? r : search_strings(s, 0, 0, &bytes, n, 0);
}

/* @return whether any row has to be looked at, or an error. */
static int search_templates(struct search *s)
{
	const struct segment_group *g = s->group;
	uint64_t rows = 0;
	bool any = false;
	int r;

	for (uint32_t t = 1; t <= g->n_templates; t++)
		rows += g->templates[t - 1].rows;
	if (rows > g->rows)
		return BULLA_ECORRUPT;
	rows = g->rows - rows;
	r = search_whole(s, rows);
	for (uint32_t t = 1; r >= 0 && t <= g->n_templates; t++) {
		s->first[t] = (uint32_t) rows;
		rows += g->templates[t - 1].rows;
		if (may_be(s, ~(1 << TOKENS_WHOLE)))
			r = search_template(s, t);
	}
	for (uint32_t t = 0; t <= g->n_templates; t++)
		any |= s->look[t] != LOOK_NONE;
	return r < 0 ? r : any;
}

/* Rows. */

/* @return whether the message has the needle, or an error. */
static int look_at_message(struct search *s, uint32_t row)
{
	struct text message;
	int r = group_message(s->group, row, &s->text, &message);

	return r < 0 ? r : needle_in_value(s->plan, message, NULL, 0);
}

static int look_at_times(struct search *s, uint32_t row)
{
	uint32_t t = s->group->template_of[row];

	for (uint64_t left = s->times[t]; left != 0; left &= left - 1) {
		int r;

		buf_clear(&s->text);
		r = group_variable(s->group, &s->group->templates[t - 1],
				   (unsigned) __builtin_ctzll(left), row, &s->text);
		if (r >= 0 && s->text.bad)
			r = -ENOMEM;
		if (r < 0)
			return r;
		if (finder_find(&s->plan->finder, s->text.data, s->text.len))
			return 1;
	}
	return 0;
}

static int look(struct search *s, uint32_t row)
{
	uint32_t t = s->group->template_of[row];

	if (s->look[t] <= LOOK_ALL)
		return s->look[t] == LOOK_ALL;
	if (s->look[t] == LOOK_MESSAGES)
		return look_at_message(s, row);
	if (bit_get(s->found, s->first[t] + s->group->ordinal[row]))
		return 1;
	return s->look[t] == LOOK_TIMES ? look_at_times(s, row) : 0;
}

static int64_t look_at_rows(struct search *s, uint64_t *hits)
{
	struct segment_group *g = s->group;
	int64_t n = 0;
	int r;

	r = group_need_templates(g);
	for (uint32_t row = 0; r >= 0 && row < g->rows; row++) {
		if (s->look[g->template_of[row]] == LOOK_NONE)
			continue;
		r = look(s, row);
		if (r > 0) {
			bit_set(hits, row);
			n++;
		}
	}
	return r < 0 ? r : n;
}

static int64_t search(struct search *s, uint64_t *hits)
{
	size_t n = (size_t) s->group->n_templates + 1;
	int r;

	s->look = calloc(n, sizeof *s->look);
	s->times = calloc(n, sizeof *s->times);
	s->first = calloc(n, sizeof *s->first);
	s->found = calloc(bits_words(s->group->rows), sizeof *s->found);
	if (!s->look || !s->times || !s->first || !s->found)
		return -ENOMEM;
	r = search_templates(s);
	return r <= 0 ? r : look_at_rows(s, hits);
}

/* What the group's tokens say.  @return as tokens_answer(), or an error. */
static int ask_tokens(struct segment_group *g, const struct needle_plan *p)
{
	_cleanup_free_ uint8_t *raw = NULL;
	struct rd bytes;
	int r;

	if (p->tokens.n == 0)
		return TOKENS_ANYWHERE;
	r = group_tokens(g, &raw, &bytes);
	if (r <= 0)
		return r < 0 ? r : TOKENS_ANYWHERE;
	return tokens_answer(&p->tokens, bytes.p, bytes.left);
}

int64_t group_search(struct segment_group *g, struct needle_plan *p, uint64_t *hits)
{
	struct search s = { .group = g, .plan = p };
	int64_t r;

	memset(hits, 0, bits_words(g->rows) * sizeof *hits);
	s.places = ask_tokens(g, p);
	if (s.places <= 0)
		return s.places;
	r = glance_at_whole(&s);
	if (r < 0 || s.places == 0)
		return r;
	r = group_need_directory(g);
	if (r >= 0)
		r = needle_plan_room(p, template_table_size(g->segment->templates));
	if (r >= 0)
		r = search(&s, hits);
	free(s.look);
	free(s.times);
	free(s.first);
	free(s.found);
	free(s.marks);
	buf_done(&s.text);
	buf_done(&s.end);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * All messages of a group, for who needs all: template by template, so that each column is read from its beginning to its end and
 * then let go.  Made row by row, every piece of a message would be somewhere else in memory.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "bulla/error.h"
#include "store/segment/gather.h"
#include "store/segment/reader-internal.h"

enum {
	MADE_BYTES_USUAL = WINDOW_BYTES + (1 << 20), /* of a writer's window */
	MADE_BYTES_MAX = 64 << 20,		     /* with more they are not kept */
	ROW_BYTES_USUAL = 512,
	TEXT_BEHIND = 4096, /* room that is asked for with the last value */
	AHEAD = 8,	    /* rows that are fetched before they are made */
};

struct maker {
	struct segment_group *g;
	struct gathering gathering;
	struct tokens *tokens;	   /* NULL where nobody wants to know them */
	bool lies;		   /* searchers are told of other lengths */
	const uint64_t *rows;	   /* borrowed: a bit for each that is wanted; NULL for all */
	uint32_t *sorted;	   /* owned: rows with a template, by template */
	struct made_message *made; /* owned, by row; NULL where they are not kept */
	struct buf text;
	/* Of each slot: the column as it is stored, and a bit for each place in it at which a value was seen (owned). */
	const uint8_t *column[VARIABLES_MAX];
	uint64_t *seen[VARIABLES_MAX];
	size_t seen_cap[VARIABLES_MAX];
};

static void maker_done(struct maker *m)
{
	free(m->sorted);
	free(m->made);
	buf_done(&m->text);
	for (unsigned i = 0; i < VARIABLES_MAX; i++)
		free(m->seen[i]);
}

/* The rows of template t are at sorted[start[t]] and those behind it. */
static uint32_t *sort_rows(struct maker *m)
{
	const struct segment_group *g = m->g;
	uint32_t *start = calloc((size_t) g->n_templates + 1, sizeof *start);

	m->sorted = reallocarray(NULL, MAX_OF(g->rows, 1u), sizeof *m->sorted);
	if (!start || !m->sorted) {
		free(start);
		return NULL;
	}
	for (uint32_t t = 0; t < g->n_templates; t++)
		start[t + 1] = start[t] + g->templates[t].rows;
	for (uint32_t i = 0; i < g->rows; i++)
		if (g->template_of[i] > 0)
			m->sorted[start[g->template_of[i] - 1] + g->ordinal[i]] = i;
	return start;
}

/* Values of the same place in a column are the same; where none may be passed over, no column is known. */
static int begin_seen(struct maker *m, const struct group_template *t, unsigned slot)
{
	const struct variable_column *c = &t->columns[slot];
	size_t words = bits_words(c->size + 1u);
	struct rd bytes;
	int r;

	m->column[slot] = NULL;
	if (!c->texts || !(m->gathering.apart >> slot & 1))
		return 0;
	r = group_column_bytes(m->g, stream_of(t->kinds[slot]), c, &bytes);
	if (r < 0)
		return r;
	if (words > m->seen_cap[slot]) {
		free(m->seen[slot]);
		m->seen[slot] = reallocarray(NULL, words, sizeof *m->seen[slot]);
		m->seen_cap[slot] = m->seen[slot] ? words : 0;
	}
	if (!m->seen[slot])
		return -ENOMEM;
	memset(m->seen[slot], 0, words * sizeof *m->seen[slot]);
	m->column[slot] = bytes.p;
	return 0;
}

static bool was_seen(struct maker *m, const struct group_template *t, unsigned slot,
		     uint32_t ordinal)
{
	size_t at;
	bool seen;

	if (!m->column[slot])
		return false;
	at = (size_t) (t->columns[slot].texts[ordinal].p - m->column[slot]);
	seen = bit_get(m->seen[slot], at);
	bit_set(m->seen[slot], at);
	return seen;
}

/* None is empty: no writer makes such, and a run of letters that goes through one would be among nobody's tokens. */
static bool has_told_length(const struct variable_column *c, const struct stretch *at)
{
	uint32_t n = at->to - at->from;

	return n > 0 && n >= c->len_min && n <= c->len_max;
}

static void gather(struct maker *m, const struct group_template *t, uint32_t ordinal, size_t from,
		   const struct stretch *at)
{
	const uint8_t *message = m->text.data + from;

	for (unsigned i = 0; i < t->n; i++) {
		m->lies |= !has_told_length(&t->columns[i], &at[i]);
		if (m->gathering.asked >> i & 1 && at[i].from < at[i].to &&
		    !was_seen(m, t, i, ordinal))
			gathering_value(&m->gathering, i, message + at[i].from, message + at[i].to,
					message + at[m->gathering.last[i]].to);
	}
}

static void stop_keeping(struct maker *m)
{
	free(m->made);
	m->made = NULL;
}

static bool is_wanted(const struct maker *m, uint32_t row)
{
	return !m->rows || bit_get(m->rows, row);
}

static bool is_any_wanted(const struct maker *m, const struct group_template *t,
			  const uint32_t *rows)
{
	for (uint32_t i = 0; i < t->rows; i++)
		if (is_wanted(m, rows[i]))
			return true;
	return false;
}

/* Rows of a template are anywhere in the group. */
static void fetch_row(const struct maker *m, uint32_t row)
{
	if (m->g->time)
		__builtin_prefetch(&m->g->time[row]);
	if (m->made)
		__builtin_prefetch(&m->made[row], 1);
}

static int make_rows(struct maker *m, struct group_template *t, const uint32_t *rows)
{
	_uninitialized_ struct stretch at[VARIABLES_MAX];
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < t->rows && (m->made || m->tokens); i++) {
		size_t from;

		if (!is_wanted(m, rows[i]))
			continue;
		if (!m->made)
			buf_clear(&m->text);
		from = m->text.len;
		fetch_row(m, rows[MIN_OF(i + AHEAD, t->rows - 1)]);
		r = group_put_message(m->g, t, i, rows[i], &m->text, at);
		if (r < 0 || m->text.bad)
			return r < 0 ? r : -ENOMEM;
		if (m->tokens)
			gather(m, t, i, from, at);
		if (m->made)
			m->made[rows[i]] = (struct made_message){ (uint32_t) from,
								  (uint32_t) (m->text.len - from) };
		if (m->text.len > MADE_BYTES_MAX)
			stop_keeping(m);
	}
	return r;
}

static int make_template(struct maker *m, struct group_template *t, const uint32_t *rows)
{
	uint32_t longest[VARIABLES_MAX] = { 0 };
	int r = 0;

	if (!is_any_wanted(m, t, rows))
		return 0;
	r = group_need_text(m->g, t);
	for (unsigned i = 0; i < t->n; i++)
		longest[i] = t->columns[i].len_max;
	for (unsigned i = 0; r >= 0 && i < t->n; i++)
		r = group_need_column(m->g, t, i);
	if (r >= 0 && m->tokens)
		gathering_begin(&m->gathering, m->tokens, t->template, longest);
	for (unsigned i = 0; r >= 0 && m->tokens && i < t->n; i++)
		r = begin_seen(m, t, i);
	if (r >= 0)
		r = make_rows(m, t, rows);
	t->ready = false;
	for (unsigned i = 0; i < t->n; i++)
		group_drop_column(&t->columns[i]);
	return r;
}

/* Those that have no template are there already. */
static int gather_whole(struct maker *m)
{
	int r = group_need_whole(m->g);

	for (uint32_t i = 0; r >= 0 && m->tokens && i < m->g->n_whole; i++)
		tokens_add_text(m->tokens, TOKENS_WHOLE, m->g->whole[i].p, m->g->whole[i].len);
	return r;
}

static int make_all(struct maker *m)
{
	_cleanup_free_ uint32_t *start = sort_rows(m);
	struct segment_group *g = m->g;
	int r = start ? gather_whole(m) : -ENOMEM;

	if (!g->made) {
		m->made = reallocarray(NULL, MAX_OF(g->rows, 1u), sizeof *m->made);
		if (m->made)
			memset(m->made, 0xff, g->rows * sizeof *m->made);
		else if (r >= 0)
			r = -ENOMEM;
	}
	for (uint32_t t = 0; r >= 0 && t < g->n_templates && (m->made || m->tokens); t++)
		r = make_template(m, &g->templates[t], m->sorted + start[t]);
	if (r >= 0 && m->tokens && m->tokens->bad)
		r = -ENOMEM;
	return r;
}

/* How long a value is, as it is told. */
static uint64_t longest_value(const struct variable_column *c, uint8_t kind)
{
	if (has_stamp(kind))
		return c->len_max;
	return kind == VARIABLE_TIME ? TIMETEXT_SIZE_MAX : 2 * ID_SIZE + 4;
}

/* What all messages of a group, whose templates' texts are there, take, unless that would be very much; and what is written behind the last. */
static size_t bytes_at_most(const struct segment_group *g)
{
	uint64_t all = 0, most = MIN_OF((uint64_t) g->rows * ROW_BYTES_USUAL, MADE_BYTES_USUAL);

	for (uint32_t t = 0; t < g->n_templates && all < most; t++) {
		const struct group_template *of = &g->templates[t];
		uint64_t one = of->template->rest.len;

		for (unsigned i = 0; i < of->n; i++)
			one += of->template->slots[i].before.len +
			       longest_value(&of->columns[i], of->kinds[i]);
		all += one * of->rows;
	}
	return (size_t) MIN_OF(all, most) + TEXT_BEHIND;
}

int group_make_messages(struct segment_group *g, const uint64_t *rows, struct tokens *t,
			bool *ret_lies)
{
	_cleanup_(maker_done) struct maker m = { .g = g, .rows = rows, .tokens = t };
	int r;

	*ret_lies = false;
	if (g->made && !t)
		return 0;
	r = group_need_templates(g);
	for (uint32_t i = 0; r >= 0 && !rows && i < g->n_templates; i++)
		r = group_need_text(g, &g->templates[i]);
	if (r < 0)
		return r;
	/* Those that are there already are gone over once more. */
	if (!g->made)
		m.text = buf_take(&g->made_text);
	buf_clear(&m.text);
	/* Growing would leave holes. */
	buf_reserve(&m.text, rows ? ROW_BYTES_USUAL : bytes_at_most(g));
	if (m.text.bad)
		return -ENOMEM;
	r = make_all(&m);
	*ret_lies = m.lies;
	if (g->made)
		return r;
	g->made_text = buf_take(&m.text);
	if (!g->lent)
		buf_trim(&g->made_text);
	if (r < 0 || !m.made)
		return r;
	g->made = TAKE_PTR(m.made);
	group_drop_parts(g);
	return 0;
}

void group_lend(struct segment_group *g, struct buf *memory)
{
	g->lent = memory;
	g->made_text = buf_take(memory);
}

void group_drop_messages(struct segment_group *g)
{
	free(g->made);
	g->made = NULL;
	if (g->lent)
		*g->lent = g->made_text;
	else
		buf_done(&g->made_text);
	g->lent = NULL;
	g->made_text = (struct buf){ 0 };
}

int group_need_messages(struct segment_group *g, const uint64_t *rows)
{
	bool lies;

	return group_make_messages(g, rows, NULL, &lies);
}

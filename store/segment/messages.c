/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/messages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/segment/message_column.h"

/* Gathering. */

void messages_done(struct messages *m)
{
	templates_done(&m->seen);
	strings_scratch_done(&m->scratch);
	free(m->template_of);
	free(m->first);
	free(m->whole);
	free(m->variables);
	*m = (struct messages){ 0 };
}

void messages_clear(struct messages *m)
{
	templates_clear(&m->seen);
	m->rows = m->n_variables = 0;
}

static int make_room(struct messages *m, unsigned n_variables)
{
	if (m->rows == m->rows_cap) {
		size_t cap = m->rows_cap ? 2 * m->rows_cap : 4096;
		uint32_t *of = reallocarray(m->template_of, cap, sizeof *of);
		uint32_t *first = reallocarray(m->first, cap, sizeof *first);
		struct text *whole = reallocarray(m->whole, cap, sizeof *whole);

		m->template_of = of ? of : m->template_of;
		m->first = first ? first : m->first;
		m->whole = whole ? whole : m->whole;
		if (!of || !first || !whole)
			return -ENOMEM;
		m->rows_cap = cap;
	}
	if (m->n_variables + n_variables > m->variables_cap) {
		size_t cap = MAX_OF(2 * m->variables_cap, m->n_variables + 8192);
		struct variable *more = reallocarray(m->variables, cap, sizeof *more);

		if (!more)
			return -ENOMEM;
		m->variables = more;
		m->variables_cap = cap;
	}
	return 0;
}

int messages_add(struct messages *m, const uint8_t *p, size_t n, uint64_t time_ns)
{
	struct taken *t = &m->taken;
	int64_t number = -1;

	timetext_base_set(&m->base, time_ns);
	if (template_take(t, p, n, &m->base)) {
		number = templates_number(&m->seen, t->key, t->key_len);
		if (number < 0)
			return (int) number;
	} else {
		t->n = 0;
	}
	if (make_room(m, t->n) < 0)
		return -ENOMEM;
	m->template_of[m->rows] = (uint32_t) (number + 1);
	m->first[m->rows] = (uint32_t) m->n_variables;
	m->whole[m->rows++] = (struct text){ p, (uint32_t) n };
	if (t->n > 0)
		memcpy(m->variables + m->n_variables, t->variables, t->n * sizeof *t->variables);
	m->n_variables += t->n;
	return 0;
}

/* Groups. */

void message_blocks_done(struct message_blocks *b)
{
	buf_done(&b->templates);
	buf_done(&b->variables);
	buf_done(&b->whole);
	for (int i = 0; i < STREAMS; i++) {
		buf_done(&b->stream[i]);
		free(b->cut[i]);
	}
	*b = (struct message_blocks){ 0 };
}

static void blocks_clear(struct message_blocks *b)
{
	buf_clear(&b->templates);
	buf_clear(&b->variables);
	buf_clear(&b->whole);
	for (int i = 0; i < STREAMS; i++) {
		buf_clear(&b->stream[i]);
		b->n_cuts[i] = 0;
	}
}

/* End a part of a stream here, if there is anything in it. */
static int cut(struct message_blocks *b, enum stream s)
{
	uint32_t from = b->n_cuts[s] > 0 ? b->cut[s][b->n_cuts[s] - 1] : 0;

	if (b->stream[s].len == from)
		return 0;
	if (b->n_cuts[s] == b->cuts_cap[s]) {
		size_t cap = b->cuts_cap[s] ? 2 * b->cuts_cap[s] : 16;
		uint32_t *more = reallocarray(b->cut[s], cap, sizeof *more);

		if (!more)
			return -ENOMEM;
		b->cut[s] = more;
		b->cuts_cap[s] = cap;
	}
	b->cut[s][b->n_cuts[s]++] = (uint32_t) b->stream[s].len;
	return 0;
}

/* All columns of one template, and what the directory says of them. */
static int put_template(struct messages *m, struct message_column *c, struct text key,
			uint32_t number, struct message_blocks *b)
{
	_cleanup_free_ struct template *t = NULL;
	int r = template_parse(key.p, key.len, &t);

	buf_varint(&b->variables, number);
	buf_varint(&b->variables, c->n);
	if (r >= 0)
		r = message_column_begin(c, m, t);
	for (unsigned slot = 0; r >= 0 && slot < t->n; slot++) {
		uint8_t kind = t->slots[slot].kind;
		enum stream s = stream_of(kind);
		size_t from = b->stream[s].len;

		message_column_put(c, m, slot, kind, &b->stream[s]);
		buf_varint(&b->variables, b->stream[s].len - from);
		if (has_stamp(kind)) {
			buf_varint(&b->variables, c->len_min[slot]);
			buf_varint(&b->variables, c->len_max[slot]);
		}
		if (b->stream[s].len - (b->n_cuts[s] > 0 ? b->cut[s][b->n_cuts[s] - 1] : 0) >=
		    PART_SIZE)
			r = cut(b, s);
	}
	return r;
}

/* Rows by template, in their order: `start[t]` is where those of seen template t begin. */
static void sort_rows(const struct messages *m, uint32_t *start, struct message_row *sorted)
{
	for (size_t i = 0; i < m->rows; i++)
		if (m->template_of[i] > 0)
			start[m->template_of[i]]++;
	for (uint32_t t = 1; t <= m->seen.n; t++)
		start[t] += start[t - 1];
	start[m->seen.n + 1] = start[m->seen.n];
	for (size_t i = m->rows; i-- > 0;)
		if (m->template_of[i] > 0)
			sorted[--start[m->template_of[i]]] =
				(struct message_row){ m->whole[i].p, m->first[i], (uint32_t) i };
}

static void put_whole(struct messages *m, struct message_column *c, const uint32_t *place,
		      struct message_blocks *b)
{
	size_t n = 0;

	for (size_t i = 0; i < m->rows; i++) {
		uint32_t t = m->template_of[i];

		c->numbers[i] = t > 0 ? place[t] : 0;
		if (c->numbers[i] == 0)
			c->texts[n++] = m->whole[i];
	}
	ints_encode(&m->scratch.ints, c->numbers, m->rows, &b->templates);
	strings_encode(&m->scratch, c->texts, n, &b->whole);
}

static int put_templates(struct messages *m, struct templates *of_segment, struct message_column *c,
			 const uint32_t *start, const struct message_row *sorted, uint32_t *place,
			 struct message_blocks *b)
{
	uint32_t used = 0;
	int r = 0;

	for (uint32_t t = 1; t <= m->seen.n; t++)
		used += start[t + 1] - start[t] >= ROWS_MIN;
	buf_varint(&b->variables, used);
	used = 0;
	for (uint32_t t = 1; r >= 0 && t <= m->seen.n; t++) {
		struct text key = templates_get(&m->seen, t - 1);
		int64_t number;

		c->n = start[t + 1] - start[t];
		c->rows = sorted + start[t];
		if (c->n < ROWS_MIN)
			continue;
		place[t] = ++used;
		number = templates_number(of_segment, key.p, key.len);
		r = number < 0 ? (int) number : put_template(m, c, key, (uint32_t) number, b);
	}
	for (int s = 0; r >= 0 && s < STREAMS; s++)
		r = cut(b, (enum stream) s);
	return r;
}

int messages_encode(struct messages *m, struct templates *of_segment, const uint64_t *times,
		    struct message_blocks *ret)
{
	size_t n_seen = (size_t) m->seen.n + 2, rows = MAX_OF(m->rows, (size_t) 1);
	/* start[n_seen ..] is `place`. */
	_cleanup_free_ uint32_t *start = calloc(2 * n_seen, sizeof *start);
	_cleanup_free_ struct message_row *sorted = reallocarray(NULL, rows, sizeof *sorted);
	_cleanup_(message_column_done) struct message_column c = { .times = times };
	bool bad = false;
	int r;

	blocks_clear(ret);
	if (!start || !sorted || message_column_room(&c, rows) < 0)
		return -ENOMEM;
	sort_rows(m, start, sorted);
	r = put_templates(m, of_segment, &c, start, sorted, start + n_seen, ret);
	if (r < 0)
		return r;
	put_whole(m, &c, start + n_seen, ret);
	for (int s = 0; s < STREAMS; s++)
		bad |= ret->stream[s].bad;
	return bad || ret->templates.bad || ret->variables.bad || ret->whole.bad ? -ENOMEM : 0;
}

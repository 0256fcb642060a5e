/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/messages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

/* Templates. */

void templates_done(struct templates *t)
{
	buf_done(&t->keys);
	free(t->end);
	free(t->hash);
	free(t->slot);
	*t = (struct templates){ 0 };
}

static void templates_clear(struct templates *t)
{
	buf_clear(&t->keys);
	t->n = 0;
	if (t->n_slots > 0)
		memset(t->slot, 0, t->n_slots * sizeof *t->slot);
}

struct text templates_get(const struct templates *t, uint32_t number)
{
	uint32_t from = number > 0 ? t->end[number - 1] : 0;

	return (struct text){ t->keys.data + from, t->end[number] - from };
}

static int grow_slots(struct templates *t)
{
	uint32_t n = t->n_slots ? 2 * t->n_slots : 1024;
	uint32_t *slot = calloc(n, sizeof *slot);

	if (!slot)
		return -ENOMEM;
	free(t->slot);
	t->slot = slot;
	t->n_slots = n;
	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t at = t->hash[i] & (n - 1);

		while (slot[at] != 0)
			at = (at + 1) & (n - 1);
		slot[at] = i + 1;
	}
	return 0;
}

static int grow(struct templates *t)
{
	uint32_t cap = t->cap ? 2 * t->cap : 256, *end, *hash;

	if (2 * (t->n + 1) > t->n_slots && grow_slots(t) < 0)
		return -ENOMEM;
	if (t->n < t->cap)
		return 0;
	end = reallocarray(t->end, cap, sizeof *end);
	if (end)
		t->end = end;
	hash = reallocarray(t->hash, cap, sizeof *hash);
	if (hash)
		t->hash = hash;
	if (!end || !hash)
		return -ENOMEM;
	t->cap = cap;
	return 0;
}

int64_t templates_number(struct templates *t, const uint8_t *key, size_t n)
{
	struct text wanted = { key, (uint32_t) n };
	uint32_t hash = (uint32_t) text_hash(wanted), at;

	if (grow(t) < 0)
		return -ENOMEM;
	for (at = hash & (t->n_slots - 1); t->slot[at] != 0; at = (at + 1) & (t->n_slots - 1)) {
		uint32_t i = t->slot[at] - 1;

		if (t->hash[i] == hash && text_equal(templates_get(t, i), wanted))
			return i;
	}
	buf_append(&t->keys, key, n);
	if (t->keys.bad || t->keys.len > UINT32_MAX)
		return -ENOMEM;
	t->end[t->n] = (uint32_t) t->keys.len;
	t->hash[t->n] = hash;
	t->slot[at] = ++t->n;
	return t->n - 1;
}

/* Gathering. */

void messages_done(struct messages *m)
{
	templates_done(&m->seen);
	ints_scratch_done(&m->scratch);
	tokens_done(&m->tokens);
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

/* Columns. */

/* One slot of one template: its variables by row. */
struct column {
	struct messages *m;
	const uint32_t *rows;
	size_t n;
	unsigned slot;
	const uint64_t *times;
	/* Scratch of n each. */
	uint64_t *numbers, *others;
	struct text *texts;
	struct buf *packed;
};

static const struct variable *variable_at(const struct column *c, size_t i)
{
	return &c->m->variables[c->m->first[c->rows[i]] + c->slot];
}

static uint64_t digits_value(const struct variable *v, uint64_t prefix)
{
	uint64_t n = prefix;

	for (uint32_t i = 0; i < v->len; i++)
		n = 10 * n + (uint64_t) (v->p[i] - '0');
	return n;
}

static void put_digits(const struct column *c, struct buf *to)
{
	uint32_t width = variable_at(c, 0)->len;
	bool plain = true, fixed = true;

	for (size_t i = 0; i < c->n; i++) {
		const struct variable *v = variable_at(c, i);

		plain &= v->len == 1 || v->p[0] != '0';
		fixed &= v->len == width;
	}
	for (size_t i = 0; i < c->n; i++)
		c->numbers[i] = digits_value(variable_at(c, i), plain || fixed ? 0 : 1);
	buf_char(to, plain ? DIGITS_PLAIN : fixed ? DIGITS_WIDTH : DIGITS_PREFIXED);
	if (!plain && fixed)
		buf_char(to, (char) width);
	ints_encode(&c->m->scratch, c->numbers, c->n, to);
}

static void put_times(const struct column *c, struct buf *to)
{
	uint64_t unit = NS_PER_S / timetext_per_second(&variable_at(c, 0)->form);
	bool alone;

	for (size_t i = 0; i < c->n; i++) {
		c->others[i] = variable_at(c, i)->units;
		c->numbers[i] = zigzag(c->times[c->rows[i]] / unit - c->others[i]);
	}
	alone = ints_weigh(&c->m->scratch, c->others, c->n) <
		ints_weigh(&c->m->scratch, c->numbers, c->n);
	buf_char(to, alone ? TIME_ALONE : TIME_TO_ENTRY);
	ints_encode(&c->m->scratch, alone ? c->others : c->numbers, c->n, to);
}

static uint8_t nibble(uint8_t c)
{
	return (uint8_t) (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* Bytes of a variable, packed; dashes of a uuid go without saying. */
static uint32_t pack(const struct variable *v, uint8_t *to)
{
	uint32_t n = 0, half = 0;

	if (v->kind == VARIABLE_IPV4) {
		const uint8_t *p = v->p;

		for (; n < 4; n++, p++)
			for (to[n] = 0; p < v->p + v->len && *p != '.'; p++)
				to[n] = (uint8_t) (10 * to[n] + (*p - '0'));
		return n;
	}
	for (uint32_t i = 0; i < v->len; i++) {
		if (v->p[i] == '-')
			continue;
		if (half++ % 2 == 0)
			to[n] = (uint8_t) (nibble(v->p[i]) << 4);
		else
			to[n++] |= nibble(v->p[i]);
	}
	return n;
}

static void put_texts(const struct column *c, bool packed, struct buf *to)
{
	size_t total = 0;
	uint8_t *at;

	for (size_t i = 0; i < c->n; i++)
		total += variable_at(c, i)->len;
	buf_clear(c->packed);
	at = packed ? buf_room(c->packed, total) : NULL;
	if (packed && !at) {
		to->bad = true;
		return;
	}
	for (size_t i = 0; i < c->n; i++) {
		const struct variable *v = variable_at(c, i);

		c->texts[i] = (struct text){ v->p, v->len };
		if (packed) {
			c->texts[i] = (struct text){ at, pack(v, at) };
			at += c->texts[i].len;
		}
	}
	strings_encode(&c->m->scratch, c->texts, c->n, to);
}

static void put_hex(const struct column *c, struct buf *to)
{
	bool even = true;

	for (size_t i = 0; i < c->n; i++)
		even &= variable_at(c, i)->len % 2 == 0;
	buf_char(to, even ? PACKED_HALVES : PACKED_TEXT);
	put_texts(c, even, to);
}

static void put_column(const struct column *c, uint8_t kind, struct buf *to)
{
	switch (kind) {
	case VARIABLE_DIGITS:
		put_digits(c, to);
		break;
	case VARIABLE_TIME:
		put_times(c, to);
		break;
	case VARIABLE_HEX:
	case VARIABLE_HEX_UPPER:
		put_hex(c, to);
		break;
	default:
		put_texts(c, stream_of(kind) != STREAM_WORDS, to);
	}
}

/* Groups. */

void message_blocks_done(struct message_blocks *b)
{
	buf_done(&b->templates);
	buf_done(&b->variables);
	buf_done(&b->whole);
	buf_done(&b->tokens);
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
	buf_clear(&b->tokens);
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

static void put_stamp(const struct column *c, struct buf *to)
{
	uint32_t least = UINT32_MAX, greatest = 0;

	for (size_t i = 0; i < c->n; i++) {
		least = MIN_OF(least, variable_at(c, i)->len);
		greatest = MAX_OF(greatest, variable_at(c, i)->len);
	}
	buf_varint(to, least);
	buf_varint(to, greatest);
}

/* What a searcher is told of a column.  No run of letters goes into digits or addresses, nor into most times. */
static void add_tokens(const struct column *c, uint8_t kind)
{
	if (kind == VARIABLE_DIGITS || kind == VARIABLE_IPV4)
		return;
	for (size_t i = 0; i < c->n; i++) {
		const struct text *message = &c->m->whole[c->rows[i]];
		const struct variable *v = variable_at(c, i);
		size_t from = (size_t) (v->p - message->p);

		if (kind != VARIABLE_TIME || v->p[0] > '9')
			tokens_add_value(&c->m->tokens, message->p, message->len, from,
					 from + v->len);
	}
}

/* All columns of one template, and what the directory says of them. */
static int put_template(struct column *c, struct text key, uint32_t number,
			struct message_blocks *b)
{
	_cleanup_free_ struct template *t = NULL;
	int r = template_parse(key.p, key.len, &t);

	buf_varint(&b->variables, number);
	buf_varint(&b->variables, c->n);
	for (c->slot = 0; r >= 0 && c->slot < t->n; c->slot++) {
		uint8_t kind = t->slots[c->slot].kind;
		enum stream s = stream_of(kind);
		size_t from = b->stream[s].len;

		tokens_add(&c->m->tokens, TOKENS_TEXTS, t->slots[c->slot].before.p,
			   t->slots[c->slot].before.len);
		add_tokens(c, kind);
		put_column(c, kind, &b->stream[s]);
		buf_varint(&b->variables, b->stream[s].len - from);
		if (has_stamp(kind))
			put_stamp(c, &b->variables);
		if (b->stream[s].len - (b->n_cuts[s] > 0 ? b->cut[s][b->n_cuts[s] - 1] : 0) >=
		    PART_SIZE)
			r = cut(b, s);
	}
	if (r >= 0)
		tokens_add(&c->m->tokens, TOKENS_TEXTS, t->rest.p, t->rest.len);
	return r;
}

/* Rows by template, in their order: `start[t]` is where those of seen template t begin. */
static void sort_rows(const struct messages *m, uint32_t *start, uint32_t *sorted)
{
	for (size_t i = 0; i < m->rows; i++)
		if (m->template_of[i] > 0)
			start[m->template_of[i]]++;
	for (uint32_t t = 1; t <= m->seen.n; t++)
		start[t] += start[t - 1];
	start[m->seen.n + 1] = start[m->seen.n];
	for (size_t i = m->rows; i-- > 0;)
		if (m->template_of[i] > 0)
			sorted[--start[m->template_of[i]]] = (uint32_t) i;
}

static void put_whole(struct messages *m, struct column *c, const uint32_t *place,
		      struct message_blocks *b)
{
	size_t n = 0;

	for (size_t i = 0; i < m->rows; i++) {
		uint32_t t = m->template_of[i];

		c->numbers[i] = t > 0 ? place[t] : 0;
		tokens_add_ids(&m->tokens, m->whole[i].p, m->whole[i].len);
		if (c->numbers[i] > 0)
			continue;
		c->texts[n++] = m->whole[i];
		tokens_add(&m->tokens, TOKENS_WHOLE, m->whole[i].p, m->whole[i].len);
	}
	ints_encode(&m->scratch, c->numbers, m->rows, &b->templates);
	strings_encode(&m->scratch, c->texts, n, &b->whole);
}

static int put_templates(struct messages *m, struct templates *of_segment, struct column *c,
			 const uint32_t *start, const uint32_t *sorted, uint32_t *place,
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
		r = number < 0 ? (int) number : put_template(c, key, (uint32_t) number, b);
	}
	for (int s = 0; r >= 0 && s < STREAMS; s++)
		r = cut(b, (enum stream) s);
	return r;
}

int messages_encode(struct messages *m, struct templates *of_segment, const uint64_t *times,
		    struct message_blocks *ret)
{
	size_t n_seen = (size_t) m->seen.n + 2, rows = MAX_OF(m->rows, (size_t) 1);
	_cleanup_free_ uint32_t *start = calloc(2 * n_seen + rows, sizeof *start);
	_cleanup_free_ uint64_t *numbers = reallocarray(NULL, rows, 2 * sizeof *numbers);
	_cleanup_free_ struct text *texts = reallocarray(NULL, rows, sizeof *texts);
	_cleanup_buf_ struct buf packed = { 0 };
	struct column c = { .m = m, .times = times, .texts = texts, .packed = &packed };
	bool bad = false;
	int r;

	blocks_clear(ret);
	if (!start || !numbers || !texts)
		return -ENOMEM;
	if (tokens_begin(&m->tokens) < 0)
		return -ENOMEM;
	c.numbers = numbers;
	c.others = numbers + rows;
	/* start[n_seen ..] is `place`, and the sorted rows lie behind that. */
	sort_rows(m, start, start + 2 * n_seen);
	r = put_templates(m, of_segment, &c, start, start + 2 * n_seen, start + n_seen, ret);
	if (r < 0)
		return r;
	put_whole(m, &c, start + n_seen, ret);
	tokens_encode(&m->tokens, &ret->tokens);
	for (int s = 0; s < STREAMS; s++)
		bad |= ret->stream[s].bad;
	return bad || ret->templates.bad || ret->variables.bad || ret->whole.bad || ret->tokens.bad
		       ? -ENOMEM
		       : 0;
}

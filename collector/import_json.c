/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The line is gone over once, and its members noted, with their values where they stand in it; then they are written in order.
 *
 *	line      {"B":"x","__REALTIME_TIMESTAMP":"1","A":["y",[104,105]]}
 *	members   B: text x   __REA..: text 1   A: list of 2   text y   bytes hi
 *	known     A -> 2, B -> 0, ...           a member of each name, by the number of the name
 *
 * Names that are too many or too long to be known come behind the others, in the order of the line.
 */

#include "collector/import_json-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "bulla/error.h"

enum {
	ERROR_SIZE = 160,
	DIGITS_MAX = 20,
	RECORD_SEPARATOR = 0x1e,
	MEMBERS_KEPT = 4096, /* the room for more is given back */
	SCRATCH_KEPT = 1 << 20,
};

struct import_json *import_json_new(bool framed)
{
	struct import_json *j = calloc(1, sizeof *j);

	if (!j)
		return NULL;
	j->framed = framed;
	json_names_init(&j->names);
	return j;
}

struct import_json *import_json_free(struct import_json *j)
{
	if (!j)
		return NULL;
	free(j->members);
	buf_done(&j->decoded);
	buf_done(&j->special);
	free(j);
	return NULL;
}

/* Reading. */

static int refuse(struct import_json *j, const char *why)
{
	j->wrong = why;
	return BULLA_EPARSE;
}

static int refuse_value(struct import_json *j)
{
	return refuse(j, "a value that no journal has");
}

static bool grow(struct import_json *j)
{
	uint32_t cap = j->cap ? 2 * j->cap : 64;
	struct json_member *more = reallocarray(j->members, cap, sizeof *more);

	if (!more)
		return false;
	j->members = more;
	j->cap = cap;
	return true;
}

/* A new member at the end, or NULL; others move. */
static struct json_member *add_member(struct import_json *j)
{
	if (_unlikely_(j->n == j->cap) && !grow(j))
		return NULL;
	j->members[j->n] = (struct json_member){ 0 };
	return &j->members[j->n++];
}

/* Bytes as a list of numbers, whose bracket was taken. */
static int take_bytes(struct import_json *j, struct json_text *t, struct json_slice *ret)
{
	uint8_t *begin = t->decoded;

	if (json_take(t, ']')) {
		*ret = (struct json_slice){ begin, 0 };
		return 0;
	}
	do {
		int v;

		json_peek(t);
		v = json_byte(t);
		if (v < 0)
			return refuse_value(j);
		*t->decoded++ = (uint8_t) v;
	} while (json_take(t, ','));
	*ret = (struct json_slice){ begin, (uint32_t) (t->decoded - begin) };
	return json_take(t, ']') ? 0 : BULLA_EPARSE;
}

/* A value that is no list. */
static int take_scalar(struct import_json *j, struct json_text *t, uint8_t first,
		       struct json_member *m)
{
	int r;

	switch (first) {
	case '"':
		m->kind = TEXT;
		return json_string(t, &m->value);
	case 'n':
		m->kind = OMITTED;
		j->never_told = true;
		return json_word(t, "null", &m->value);
	case 't':
		m->kind = WORD;
		return json_word(t, "true", &m->value);
	case 'f':
		m->kind = WORD;
		return json_word(t, "false", &m->value);
	case '-':
	case '0' ... '9':
		m->kind = WORD;
		r = json_integer(t, &m->value);
		return r < 0 ? refuse_value(j) : 0;
	case '{':
		return refuse_value(j);
	default:
		return BULLA_EPARSE;
	}
}

/* One of several values: text, bytes, or null. */
static int take_item(struct import_json *j, struct json_text *t, struct json_slice name)
{
	struct json_member *m = add_member(j);
	int r;

	if (!m)
		return -ENOMEM;
	m->name = name;
	if (json_take(t, '[')) {
		m->kind = BYTES;
		return take_bytes(j, t, &m->value);
	}
	r = take_scalar(j, t, json_peek(t), m);
	return r >= 0 && m->kind == WORD ? refuse_value(j) : r;
}

/* A list, whose bracket was taken: bytes, or several values, which become members behind this one. */
static int take_list(struct import_json *j, struct json_text *t, uint32_t head)
{
	struct json_member *m = &j->members[head];
	uint8_t first = json_peek(t);
	int r;

	if (first != '"' && first != '[' && first != 'n') {
		m->kind = BYTES;
		return take_bytes(j, t, &m->value);
	}
	m->kind = LIST;
	j->never_told = true;
	do {
		r = take_item(j, t, j->members[head].name);
		if (r < 0)
			return r;
	} while (json_take(t, ','));
	j->members[head].items = j->n - head - 1;
	return json_take(t, ']') ? 0 : BULLA_EPARSE;
}

/* Have a member found by its name.  @return 0; BULLA_EPARSE where one of this name was found before. */
static inline int know(struct import_json *j, struct json_slice s, size_t readable, uint32_t number)
{
	struct json_member *m = &j->members[number];
	int name = json_name_number(&j->names, &s, readable);
	uint64_t bit = UINT64_C(1) << (name & (JSON_BITS - 1));

	m->number = name;
	if (_unlikely_(name < 0)) {
		m->nature = (uint8_t) json_name_nature(&s);
		j->never_told = true;
		j->strangers++;
		return 0;
	}
	m->nature = j->names.at[name].nature;
	j->untold |= j->told_as[name] == JSON_UNTOLD;
	j->never_told |= j->told_as[name] == JSON_NEVER_TOLD;
	if (_unlikely_(j->here[name / JSON_BITS] & bit))
		return refuse(j, "a key that comes twice");
	j->here[name / JSON_BITS] |= bit;
	j->known[name] = number;
	return 0;
}

/* One that is not plain. */
static int take_special(struct import_json *j, struct json_text *t)
{
	const uint8_t *decoded = t->decoded;
	uint32_t number = j->n;
	struct json_member *m = add_member(j);
	struct json_slice name;
	uint8_t first;
	int r;

	if (!m)
		return -ENOMEM;
	if (json_peek(t) != '"')
		return BULLA_EPARSE;
	r = json_string(t, &name);
	/* Only an escape can have made it. */
	if (r >= 0 && t->decoded != decoded && memchr(name.p, '\0', name.n))
		r = refuse(j, "a key with a NUL");
	if (r >= 0 && !json_take(t, ':'))
		r = BULLA_EPARSE;
	if (r < 0)
		return r;
	m->name = name;
	first = json_peek(t);
	if (first != '[') {
		r = take_scalar(j, t, first, m);
	} else {
		t->p++;
		r = take_list(j, t, number);
	}
	return r < 0 ? r
		     : know(j, name, is_decoded(j, name.p) ? JSON_COPY : (size_t) (t->end - name.p),
			    number);
}

static inline int take_member(struct import_json *j, struct json_text *t)
{
	struct json_slice name, value;
	struct json_member *m;

	if (!json_plain_pair(t, &name, &value))
		return take_special(j, t);
	if (_unlikely_(j->n == j->cap) && !grow(j))
		return -ENOMEM;
	m = &j->members[j->n];
	m->name = name;
	m->value = value;
	m->kind = TEXT;
	m->items = 0;
	return know(j, name, (size_t) (t->end - name.p), j->n++);
}

static int compare_names(const void *a, const void *b)
{
	const struct json_slice *x = a, *y = b;
	int r = memcmp(x->p, y->p, MIN_OF(x->n, y->n));

	return r != 0 ? r : (x->n > y->n) - (x->n < y->n);
}

/* Those that are not known by number are few or long, or the line is strange. */
static int check_strangers(struct import_json *j)
{
	struct json_slice *names;
	uint32_t n = 0;
	int r = 0;

	names = reallocarray(NULL, j->strangers, sizeof *names);
	if (!names)
		return -ENOMEM;
	for (uint32_t i = 0; i < j->n; i = next_member(j, i))
		if (j->members[i].number < 0)
			names[n++] = j->members[i].name;
	qsort(names, n, sizeof *names, compare_names);
	for (uint32_t i = 1; i < n && r >= 0; i++)
		if (compare_names(&names[i - 1], &names[i]) == 0)
			r = refuse(j, "a key that comes twice");
	free(names);
	return r;
}

static int read_object(struct import_json *j, struct json_text *t)
{
	int r = 0;

	if (!json_take(t, '{'))
		return json_peek(t) == '[' || json_peek(t) == '"' ? refuse(j, "no object")
								  : BULLA_EPARSE;
	if (!json_take(t, '}')) {
		do {
			r = take_member(j, t);
			if (r < 0)
				return r;
		} while (json_take(t, ','));
		if (!json_take(t, '}'))
			return BULLA_EPARSE;
	}
	json_peek(t);
	if (t->p != t->end)
		return BULLA_EPARSE;
	return j->strangers > 0 ? check_strangers(j) : 0;
}

/* Times are what the parser behind this would stop at, and it does not know the line. */
static bool is_time(const struct json_member *m, uint64_t max, uint64_t *ret)
{
	const uint8_t *p = m->value.p;
	uint64_t v = 0;

	if ((m->kind != TEXT && m->kind != WORD) || m->value.n == 0 || m->value.n > DIGITS_MAX)
		return false;
	for (uint32_t i = 0; i < m->value.n; i++) {
		uint8_t digit = (uint8_t) (p[i] - '0');

		if (digit > 9 || __builtin_mul_overflow(v, (uint64_t) 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t) digit, &v))
			return false;
	}
	*ret = v;
	return v <= max;
}

static const char *check_times(struct import_json *j)
{
	const struct json_member *realtime = import_json_known(j, JSON_NAME_REALTIME),
				 *monotonic = import_json_known(j, JSON_NAME_MONOTONIC);

	if (!realtime || !is_time(realtime, UINT64_MAX / 1000, &j->realtime_us))
		return "no __REALTIME_TIMESTAMP, or none that is a time";
	if (monotonic && !is_time(monotonic, UINT64_MAX, &j->monotonic_us))
		return "a __MONOTONIC_TIMESTAMP that is no time";
	return NULL;
}

/* Lines. */

/* json-seq begins each text with a separator, json-sse with a word. */
static void skip_framing(const uint8_t **line, size_t *n)
{
	while (*n > 0 &&
	       (**line == RECORD_SEPARATOR || **line == ' ' || **line == '\t' || **line == '\r')) {
		(*line)++;
		(*n)--;
	}
	if (*n >= 5 && memcmp(*line, "data:", 5) == 0) {
		*line += 5;
		*n -= 5;
	}
}

static bool is_blank(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!json_is_space(p[i]))
			return false;
	return true;
}

static int begin(struct import_json *j, size_t n)
{
	if (j->cap > MEMBERS_KEPT) {
		free(j->members);
		j->members = NULL;
		j->cap = 0;
	}
	if (j->decoded.cap > SCRATCH_KEPT) {
		buf_done(&j->decoded);
		buf_done(&j->special);
	}
	j->n = j->strangers = 0;
	memset(j->here, 0, sizeof j->here);
	j->untold = j->never_told = false;
	j->wrong = NULL;
	return n > UINT32_MAX / 2 || !buf_room(&j->decoded, n + JSON_COPY) ||
			       !buf_room(&j->special, (n + JSON_SPECIALS_MORE) * sizeof(uint32_t))
		       ? -ENOMEM
		       : 0;
}

int import_json_line(struct import_json *j, const uint8_t *line, size_t n, struct buf *to,
		     char error[ERROR_SIZE])
{
	struct json_text t;
	int r;

	skip_framing(&line, &n);
	if (is_blank(line, n))
		return 0;
	r = begin(j, n);
	if (r < 0)
		return r;
	r = json_begin(&t, line, n, (uint32_t *) (void *) j->special.data, j->decoded.data);
	r = r < 0 ? refuse(j, "a line that is not UTF-8") : read_object(j, &t);
	if (r == BULLA_EPARSE && j->wrong)
		snprintf(error, ERROR_SIZE, "%s", j->wrong);
	else if (r == BULLA_EPARSE)
		snprintf(error, ERROR_SIZE, "no JSON at byte %zu of the line",
			 (size_t) (t.p - line) + 1);
	if (r < 0)
		return r;
	j->wrong = check_times(j);
	if (j->wrong) {
		snprintf(error, ERROR_SIZE, "%s", j->wrong);
		return BULLA_EPARSE;
	}
	return j->framed ? import_json_write_frame(j, line, line + n, to)
			 : import_json_write_entry(j, line + n, to);
}

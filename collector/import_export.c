/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The bytes of an entry stay where they were read; fields are known by their places until it is whole, for the buffer moves
 * when it grows.
 *
 *	text   |------|NAME=value.NAME..........value.|__CURSOR=...|............|
 *	      parsed  start        kept                  junk      at    to be parsed
 *
 * Junk, which is what is not kept of an entry, is squeezed out when there is much of it, so that it cannot fill memory.
 */

#include "collector/import_export.h"

#include <string.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "bulla/error.h"
#include "collector/import_words.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
	JUNK_MAX = 256 << 10,
	DIGITS_MAX = 20,
	ADDRESS_MAX = 1024, /* longer than any that is taken */
	SIZE_SIZE = 8,	    /* of the length of a value */
	END = 2,	    /* of an entry */
};

void export_done(struct export_parser *p)
{
	buf_done(&p->text);
}

uint8_t *export_room(struct export_parser *p, size_t *ret_n)
{
	uint8_t *room;

	if (p->start > 0) {
		memmove(p->text.data, p->text.data + p->start, p->text.len - p->start);
		p->text.len -= p->start;
		p->at -= p->start;
		p->start = 0;
	}
	room = buf_room(&p->text, EXPORT_ROOM);
	*ret_n = room ? EXPORT_ROOM : 0;
	return room;
}

void export_fed(struct export_parser *p, size_t n)
{
	buf_add(&p->text, n);
}

static int fail(struct export_parser *p, const char *error)
{
	if (!p->error) {
		p->error = error;
		p->error_at = p->state == EXPORT_FIELD ? p->offset : p->field_at;
	}
	return BULLA_EPARSE;
}

static void advance(struct export_parser *p, size_t n)
{
	p->at += n;
	p->offset += n;
	p->scanned = 0;
}

/* Squeeze out what is not kept of the entry. */
static void squeeze(struct export_parser *p)
{
	uint8_t *base = p->text.data + p->start;
	uint32_t to = 0;

	for (uint32_t i = 0; i < p->entry.n_fields; i++) {
		struct export_place *f = &p->place[i];

		memmove(base + to, base + f->name, f->name_len);
		f->name = to;
		to += f->name_len;
		memmove(base + to, base + f->value, f->value_len);
		f->value = to;
		to += f->value_len;
	}
	memmove(base + to, p->text.data + p->at, p->text.len - p->at);
	p->text.len -= p->at - p->start - to;
	p->at = p->start + to;
	p->junk = 0;
}

static void drop(struct export_parser *p, size_t n)
{
	advance(p, n);
	p->junk += n;
	if (p->junk > JUNK_MAX)
		squeeze(p);
}

/* Fields. */

static void omit(struct export_parser *p, const uint8_t *name, size_t n)
{
	struct import_entry *e = &p->entry;

	if (e->n_omitted < IMPORT_OMITTED_MAX) {
		n = MIN_OF(n, (size_t) FIELD_NAME_MAX);
		memcpy(p->omitted[e->n_omitted], name, n);
		e->omitted[e->n_omitted] = (struct field){
			.name = (const uint8_t *) p->omitted[e->n_omitted],
			.name_len = (uint8_t) n,
		};
	}
	e->n_omitted++;
	p->any = true;
}

static bool is_address(const uint8_t *name, size_t n)
{
	return n >= 2 && name[0] == '_' && name[1] == '_';
}

/* What tells where the entry stood is no loss. */
static void leave_out(struct export_parser *p, const uint8_t *name, size_t n)
{
	if (!is_address(name, n))
		omit(p, name, n);
	p->any = true;
}

static bool is_named(const uint8_t *name, size_t n, const char *what)
{
	return n == strlen(what) && memcmp(name, what, n) == 0;
}

static bool parse_number(const uint8_t *p, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		if (p[i] < '0' || p[i] > '9' || __builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t) (p[i] - '0'), &v))
			return false;
	*ret = v;
	return n > 0 && n <= DIGITS_MAX;
}

/* Where the entry stood: of that only the times are taken. */
static int take_address(struct export_parser *p, const uint8_t *name, size_t name_len,
			const uint8_t *value, size_t n)
{
	struct import_entry *e = &p->entry;

	p->any = true;
	if (is_named(name, name_len, IMPORT_OMITTED)) {
		omit(p, value, n);
	} else if (is_named(name, name_len, "__REALTIME_TIMESTAMP")) {
		if (!parse_number(value, n, &e->realtime_us) || e->realtime_us > UINT64_MAX / 1000)
			return fail(p, "a time that is none");
		p->has_realtime = true;
	} else if (is_named(name, name_len, "__MONOTONIC_TIMESTAMP")) {
		if (!parse_number(value, n, &e->monotonic_us))
			return fail(p, "a time that is none");
		e->has_monotonic = true;
	}
	return 0;
}

static bool fits(const struct export_parser *p, size_t name_len, uint64_t value_len)
{
	return name_len <= FIELD_NAME_MAX && p->entry.n_fields < IMPORT_FIELDS_MAX &&
	       value_len <= IMPORT_SIZE_MAX && p->kept + name_len + value_len <= IMPORT_SIZE_MAX;
}

static int check_name(struct export_parser *p, const uint8_t *name, size_t n)
{
	if (n == 0)
		return fail(p, "a field without a name");
	/* Of longer ones the rest is never looked at. */
	if (memchr(name, '\0', MIN_OF(n, (size_t) FIELD_NAME_MAX + 1)))
		return fail(p, "a name with a NUL");
	return 0;
}

/* Keep a field that is lawful and fits: `total` bytes from `at`. */
static void keep(struct export_parser *p, size_t name_len, size_t value_at, size_t value_len,
		 size_t total)
{
	p->any = true;
	p->place[p->entry.n_fields++] = (struct export_place){
		.name = (uint32_t) (p->at - p->start),
		.value = (uint32_t) (p->at - p->start + value_at),
		.value_len = (uint32_t) value_len,
		.name_len = (uint8_t) name_len,
	};
	p->kept += name_len + value_len;
	advance(p, total);
}

/* Take a field that is whole, with a lawful name: `total` bytes from `at`. */
static int take(struct export_parser *p, size_t name_len, size_t value_at, size_t value_len,
		size_t total)
{
	const uint8_t *field = p->text.data + p->at;
	int r;

	if (is_address(field, name_len)) {
		r = take_address(p, field, name_len, field + value_at, value_len);
		if (r < 0)
			return r;
		drop(p, total);
		return 1;
	}
	if (!fits(p, name_len, value_len)) {
		omit(p, field, name_len);
		drop(p, total);
		return 1;
	}
	keep(p, name_len, value_at, value_len, total);
	return 1;
}

/* memchr() for a newline that is near, as it mostly is. */
static const uint8_t *near_newline(const uint8_t *p, size_t n)
{
#ifdef __SSE2__
	const __m128i newline = _mm_set1_epi8('\n');

	for (unsigned i = 0; i < 4 && n >= 16; i++, p += 16, n -= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *) (const void *) p);
		unsigned found = (unsigned) _mm_movemask_epi8(_mm_cmpeq_epi8(v, newline));

		if (found != 0)
			return p + __builtin_ctz(found);
	}
#endif
	return n > 0 ? memchr(p, '\n', n) : NULL;
}

/* The line's end, or -1. */
static ssize_t find_newline(struct export_parser *p)
{
	size_t left = p->text.len - p->at;
	const uint8_t *line = p->text.data + p->at, *end;

	end = left > p->scanned ? near_newline(line + p->scanned, left - p->scanned) : NULL;
	p->scanned = end ? 0 : left;
	return end ? end - line : -1;
}

/* A name was a line of its own, `name_len` bytes long; so its value has a length. */
static int take_binary(struct export_parser *p, size_t name_len)
{
	size_t left = p->text.len - p->at, head = name_len + 1 + SIZE_SIZE;
	const uint8_t *field = p->text.data + p->at;
	struct rd length;
	uint64_t size;

	if (check_name(p, field, name_len) < 0)
		return BULLA_EPARSE;
	if (left < head)
		return 0;
	length = rd_of(field + name_len + 1, SIZE_SIZE);
	size = rd_u64(&length);
	if (size > EXPORT_VALUE_MAX)
		return fail(p, "a value of more than 1 GiB, or no length where one is due");
	if (!fits(p, name_len, size)) {
		leave_out(p, field, name_len);
		drop(p, head);
		p->skip = size;
		p->state = EXPORT_SKIP_VALUE;
		return 1;
	}
	if (left <= head + size)
		return 0;
	if (field[head + size] != '\n')
		return fail(p, "a value that does not end where its length says");
	return take(p, name_len, head, (size_t) size, head + (size_t) size + 1);
}

/* A line that goes on and on: pass over it, or over the value that comes behind a name like that. */
static int skip_long_line(struct export_parser *p)
{
	const uint8_t *line = p->text.data + p->at;
	size_t left = p->text.len - p->at;
	const uint8_t *equals = memchr(line, '=', left);
	size_t name_len = equals ? (size_t) (equals - line) : left;
	size_t value_len = equals ? left - name_len - 1 : 0;
	bool address = is_address(line, name_len);

	/* One byte does not tell yet what it is. */
	if (left < 2 || (address ? left <= ADDRESS_MAX : fits(p, name_len, value_len)))
		return 0;
	if (check_name(p, line, name_len) < 0)
		return BULLA_EPARSE;
	if (!address || !equals)
		leave_out(p, line, name_len);
	else if (take_address(p, line, name_len, equals + 1, value_len) < 0)
		return BULLA_EPARSE;
	p->state = equals ? EXPORT_SKIP_LINE : EXPORT_SKIP_NAME;
	drop(p, left);
	return 1;
}

/* Names come in the order of the entry before, mostly.  @return the one that stood at this place, if it stands here again. */
static const struct export_expected *as_expected(const struct export_parser *p)
{
	const struct export_expected *x = &p->expected[p->line & (EXPORT_EXPECTED - 1)];
	const uint8_t *line = p->text.data + p->at;

	if (x->len == 0 || p->text.len - p->at <= x->len || line[x->len] != '=' ||
	    !import_same(line, x->name, x->len))
		return NULL;
	return x;
}

static void expect(struct export_parser *p, const uint8_t *name, size_t n)
{
	struct export_expected *x = &p->expected[p->line & (EXPORT_EXPECTED - 1)];

	x->len = 0;
	if (n > EXPORT_EXPECTED_NAME || is_address(name, n))
		return;
	x->len = (uint8_t) n;
	memcpy(x->name, name, n);
}

static int next_field(struct export_parser *p)
{
	const struct export_expected *x = as_expected(p);
	const uint8_t *line, *equals;
	ssize_t n = find_newline(p);
	size_t name_len, value_len;

	p->field_at = p->offset;
	if (n < 0)
		return skip_long_line(p);
	if (n == 0) {
		advance(p, 1);
		return END;
	}
	line = p->text.data + p->at;
	if (x && fits(p, x->len, (size_t) n - x->len - 1)) {
		p->line++;
		keep(p, x->len, x->len + 1u, (size_t) n - x->len - 1, (size_t) n + 1);
		return 1;
	}
	equals = memchr(line, '=', (size_t) n);
	if (!equals)
		return take_binary(p, (size_t) n);
	name_len = (size_t) (equals - line);
	value_len = (size_t) n - name_len - 1;
	if (check_name(p, line, name_len) < 0)
		return BULLA_EPARSE;
	expect(p, line, name_len);
	p->line++;
	return take(p, name_len, name_len + 1, value_len, (size_t) n + 1);
}

/* Passing over. */

static int skip_value(struct export_parser *p)
{
	size_t left = p->text.len - p->at, n = (size_t) MIN_OF((uint64_t) left, p->skip);

	p->skip -= n;
	drop(p, n);
	if (p->skip > 0 || p->text.len == p->at)
		return 0;
	if (p->text.data[p->at] != '\n')
		return fail(p, "a value that does not end where its length says");
	drop(p, 1);
	p->state = EXPORT_FIELD;
	return 1;
}

static int skip_line(struct export_parser *p)
{
	ssize_t n = find_newline(p);
	bool name = p->state == EXPORT_SKIP_NAME;
	const uint8_t *line = p->text.data + p->at;
	size_t left = p->text.len - p->at;
	struct rd length;
	uint64_t size;

	if (name && memchr(line, '=', n < 0 ? left : (size_t) n)) {
		p->state = EXPORT_SKIP_LINE;
		name = false;
	}
	if (n < 0) {
		drop(p, left);
		return 0;
	}
	if (!name) {
		drop(p, (size_t) n + 1);
		p->state = EXPORT_FIELD;
		return 1;
	}
	if (left < (size_t) n + 1 + SIZE_SIZE)
		return 0;
	length = rd_of(line + n + 1, SIZE_SIZE);
	size = rd_u64(&length);
	if (size > EXPORT_VALUE_MAX)
		return fail(p, "a value of more than 1 GiB, or no length where one is due");
	drop(p, (size_t) n + 1 + SIZE_SIZE);
	p->skip = size;
	p->state = EXPORT_SKIP_VALUE;
	return 1;
}

/* Entries. */

static void begin(struct export_parser *p)
{
	p->start = p->at;
	p->kept = p->junk = 0;
	p->line = 0;
	p->any = p->has_realtime = false;
	p->entry.n_fields = p->entry.n_omitted = 0;
	p->entry.has_monotonic = false;
	p->entry.monotonic_us = 0;
}

static int finish(struct export_parser *p, struct import_entry *ret)
{
	const uint8_t *base = p->text.data + p->start;

	if (!p->has_realtime)
		return fail(p, "an entry without __REALTIME_TIMESTAMP");
	for (uint32_t i = 0; i < p->entry.n_fields; i++)
		p->field[i] = (struct field){
			.name = base + p->place[i].name,
			.name_len = p->place[i].name_len,
			.value = base + p->place[i].value,
			.value_len = p->place[i].value_len,
		};
	*ret = p->entry;
	ret->fields = p->field;
	begin(p);
	return 1;
}

int export_next(struct export_parser *p, struct import_entry *ret)
{
	if (p->error)
		return BULLA_EPARSE;
	while (p->at < p->text.len) {
		int r = p->state == EXPORT_FIELD	? next_field(p)
			: p->state == EXPORT_SKIP_VALUE ? skip_value(p)
							: skip_line(p);

		if (r <= 0)
			return r;
		if (r != END)
			continue;
		if (p->any)
			return finish(p, ret);
		/* Several empty lines are as good as one. */
		begin(p);
	}
	return 0;
}

int export_end(struct export_parser *p)
{
	if (p->error)
		return BULLA_EPARSE;
	if (p->any || p->at < p->text.len || p->state != EXPORT_FIELD)
		return fail(p, "the end within an entry");
	return 0;
}

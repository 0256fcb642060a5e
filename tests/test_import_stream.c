/* SPDX-License-Identifier: Apache-2.0 */

/**
 * In frames lines become the entries that they are in an export stream, in whatever pieces they arrive; what our reader never says is
 * refused.
 */

#include "collector/import_stream.h"

#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "collector/import_json.h"

Suite(import_stream);

static void note(struct buf *to, const struct import_entry *e)
{
	buf_printf(to, "%llu %d %llu", (unsigned long long) e->realtime_us, e->has_monotonic,
		   (unsigned long long) e->monotonic_us);
	for (uint32_t i = 0; i < e->n_fields; i++) {
		buf_char(to, ' ');
		buf_append(to, e->fields[i].name, e->fields[i].name_len);
		buf_char(to, '=');
		buf_append(to, e->fields[i].value, e->fields[i].value_len);
	}
	buf_printf(to, " -%u\n", e->n_omitted);
}

/* Read a stream that arrives in pieces of `step` bytes.  @return as import_stream_end(). */
static int parse(bool framed, const void *data, size_t n, size_t step, struct buf *ret)
{
	struct import_stream *s = calloc(1, sizeof *s);
	struct import_entry e;
	size_t room;
	int r = 0;

	cr_assert(s != NULL);
	s->framed = framed;
	cr_assert(eq(int, import_stream_next(s, &e), 0));
	for (size_t at = 0; at < n && r >= 0; at += room) {
		uint8_t *to = import_stream_room(s, &room);

		room = MIN_OF(MIN_OF(room, step), n - at);
		memcpy(to, (const uint8_t *) data + at, room);
		import_stream_fed(s, room);
		while ((r = import_stream_next(s, &e)) > 0)
			note(ret, &e);
	}
	if (r >= 0)
		r = import_stream_end(s);
	cr_assert(eq(int, r < 0, s->error != NULL));
	import_stream_done(s);
	free(s);
	return r;
}

static void turn(struct import_json *j, const struct buf *line, struct buf *to)
{
	char error[160];

	cr_assert(eq(int, import_json_line(j, line->data, line->len, to, error), 0), "%s: %.*s",
		  error, (int) line->len, line->data);
}

/* Lines as both streams have them. */
struct both {
	struct import_json *plain, *framed;
	struct buf text, frames;
};

static struct both both_new(void)
{
	return (struct both){ .plain = import_json_new(false), .framed = import_json_new(true) };
}

static void add(struct both *b, const struct buf *line)
{
	turn(b->plain, line, &b->text);
	turn(b->framed, line, &b->frames);
}

static void add_line(struct both *b, const char *fields)
{
	_cleanup_buf_ struct buf line = { 0 };

	buf_printf(&line, "{\"__REALTIME_TIMESTAMP\":\"5\"%s}", fields);
	add(b, &line);
}

static void check_same(struct both *b, const size_t *steps, size_t n)
{
	_cleanup_buf_ struct buf want = { 0 };

	cr_assert(eq(int, parse(false, b->text.data, b->text.len, SIZE_MAX, &want), 0));
	for (size_t i = 0; i < n; i++) {
		_cleanup_buf_ struct buf have = { 0 };

		cr_assert(eq(int, parse(true, b->frames.data, b->frames.len, steps[i], &have), 0),
			  "%zu", steps[i]);
		cr_assert(eq(sz, have.len, want.len), "%zu", steps[i]);
		cr_assert(memcmp(have.data, want.data, want.len) == 0, "%zu", steps[i]);
	}
	import_json_free(b->plain);
	import_json_free(b->framed);
	buf_done(&b->text);
	buf_done(&b->frames);
}

Test(import_stream, lines_become_the_same_entries_in_any_pieces)
{
	static const char *const lines[] = {
		"",
		",\"MESSAGE\":\"a\",\"_PID\":\"1\"",
		",\"_PID\":\"1\",\"MESSAGE\":\"b\"",
		",\"_PID\":1,\"MESSAGE\":[97,10,0]",
		",\"MESSAGE\":\"\",\"X\":true",
		",\"MESSAGE\":\"\",\"X\":null",
		",\"MESSAGE\":[\"a\",\"b\",[99]]",
		",\"MESSAGE\":\"b\",\"_PID\":\"1\"",
		",\"__MONOTONIC_TIMESTAMP\":\"0\",\"__CURSOR\":\"x\"",
		",\"__MONOTONIC_TIMESTAMP\":\"18446744073709551614\"",
		",\"__MONOTONIC_TIMESTAMP\":\"18446744073709551615\",\"_PID\":\"1\"",
		",\"__OMITTED\":\"A\",\"_PID\":\"1\"",
		",\"a=b\":\"1\",\"_PID\":\"1\"",
		",\"_\":\"1\",\"_PID\":\"2\"",
	};
	static const size_t steps[] = { 1, 2, 3, 7, 64, SIZE_MAX };
	struct both b = both_new();

	for (size_t i = 0; i < 2 * ELEMENTS(lines); i++)
		add_line(&b, lines[i % ELEMENTS(lines)]);
	check_same(&b, steps, ELEMENTS(steps));
}

Test(import_stream, long_names_and_values_and_many_names_are_no_loss)
{
	static const size_t sizes[] = { STREAM_VALUE_KEPT,    STREAM_VALUE_KEPT + 1,
					STREAM_BRIEF_MAX / 2, STREAM_BRIEF_MAX - 200,
					STREAM_BRIEF_MAX,     STREAM_BRIEF_MAX + 1,
					3 * STREAM_BRIEF_MAX },
			    names[] = { STREAM_NAME_SIZE_MAX, STREAM_NAME_SIZE_MAX + 1,
					FIELD_NAME_MAX, FIELD_NAME_MAX + 1 };
	struct both b = both_new();
	char fields[512], name[FIELD_NAME_MAX + 2];

	for (size_t i = 0; i < 2 * ELEMENTS(sizes); i++) {
		_cleanup_buf_ struct buf line = { 0 };

		buf_str(&line, "{\"__REALTIME_TIMESTAMP\":\"5\",\"A\":\"");
		for (size_t k = 0; k < sizes[i / 2]; k++)
			buf_char(&line, 'v');
		buf_str(&line, "\"}");
		add(&b, &line);
	}
	for (size_t i = 0; i < 2 * ELEMENTS(names); i++) {
		memset(name, 'n', names[i / 2]);
		name[names[i / 2]] = '\0';
		snprintf(fields, sizeof fields, ",\"%s\":\"v\"", name);
		add_line(&b, fields);
	}
	for (unsigned i = 0; i < 2 * STREAM_NAMES_MAX; i++) {
		snprintf(fields, sizeof fields, ",\"A\":\"x\",\"N%u\":\"v\",\"M%u\":\"v\"", i / 2,
			 i);
		add_line(&b, fields);
	}
	check_same(&b, (const size_t[]){ 1000, SIZE_MAX }, 2);
}

static const struct {
	const char *what, *bytes;
	size_t n;
} bad[] = {
	{ "a cut head", "\x09\0\0", 3 },
	{ "a cut entry", "\x0a\0\0\x80\1\0\0\0\0\0\0\0\0", 13 },
	{ "a cut time", "\x07\0\0\x80\1\0\0\0\0\0\0", 11 },
	{ "a late time", "\x09\0\0\x80\xff\xff\xff\xff\xff\xff\xff\xff\0", 13 },
	{ "a long entry", "\1\0\1\x80", 4 },
	{ "no such name", "\x0b\0\0\x80\1\0\0\0\0\0\0\0\0\0\0", 15 },
	{ "never told", "\x0d\0\0\x80\1\0\0\0\0\0\0\0\0\xff\1A\1", 17 },
	{ "twice", "\x0f\0\0\x80\1\0\0\0\0\0\0\0\0\xff\1A\0\0\1", 19 },
	{ "no name", "\x0b\0\0\x80\1\0\0\0\0\0\0\0\0\xff\0", 15 },
	{ "an address", "\x0e\0\0\x80\1\0\0\0\0\0\0\0\0\xff\3__A", 18 },
	{ "a name twice", "\x0f\0\0\x80\1\0\0\0\0\0\0\0\0\xff\1A\xff\1A", 19 },
	{ "an equals sign", "\x0c\0\0\x80\1\0\0\0\0\0\0\0\0\xff\1=", 16 },
	{ "a cut value", "\x0e\0\0\x80\1\0\0\0\0\0\0\0\0\xff\1A\0\1", 18 },
	{ "an entry within text", "\2\0\0\0A=\x09\0\0\x80\1\0\0\0\0\0\0\0\0", 19 },
	{ "cut text", "\2\0\0\0A", 5 },
	{ "text without a time", "\5\0\0\0A=b\n\n", 9 },
};

Test(import_stream, what_no_reader_of_ours_says_is_refused)
{
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		for (size_t step = 1; step <= bad[i].n; step++) {
			_cleanup_buf_ struct buf have = { 0 };

			cr_assert(eq(int, parse(true, bad[i].bytes, bad[i].n, step, &have),
				     BULLA_EPARSE),
				  "%s by %zu", bad[i].what, step);
			cr_assert(eq(sz, have.len, 0), "%s by %zu", bad[i].what, step);
		}
}

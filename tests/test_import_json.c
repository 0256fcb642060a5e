/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A line of journalctl's JSON becomes the entry that it was; what is none is refused, and nothing is appended.
 */

#include "collector/import_json.h"

#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"
#include "collector/import_json_text.h"

Suite(import_json);

#define TIME	 "\"__REALTIME_TIMESTAMP\":\"1\""
#define TIME_OUT "__REALTIME_TIMESTAMP=1\n"

static const struct {
	const char *line, *want;
	size_t n; /* of `want`; 0: a string */
} good[] = {
	{ "{" TIME ",\"MESSAGE\":\"a\"}", TIME_OUT "MESSAGE=a\n\n" },
	{ "{" TIME ",\"M\":\"a=b \\u00e9 \\ud83d\\ude00 \\\"\"}",
	  TIME_OUT "M=a=b \xc3\xa9 \xf0\x9f\x98\x80 \"\n\n" },
	{ "{" TIME ",\"M\":\"\"}", TIME_OUT "M=\n\n" },
	{ "{" TIME ",\"M\":\"a\\nb\"}", TIME_OUT "M\n\3\0\0\0\0\0\0\0a\nb\n\n", 38 },
	{ "{" TIME ",\"M\":\"a\\u0000b\"}", TIME_OUT "M=a\0b\n\n", 30 },
	{ "{" TIME ",\"M\":[0,255,10]}", TIME_OUT "M\n\3\0\0\0\0\0\0\0\0\xff\n\n\n", 38 },
	{ "{" TIME ",\"M\":[\"a\",[98,99],\"d\"]}", TIME_OUT "M=a\nM\n\2\0\0\0\0\0\0\0bc\nM=d\n\n",
	  45 },
	{ "{" TIME ",\"M\":[[1],[2]]}", TIME_OUT "M\n\1\0\0\0\0\0\0\0\1\nM\n\1\0\0\0\0\0\0\0\2\n\n",
	  48 },
	{ "{" TIME ",\"M\":[\"a\",null]}", TIME_OUT "M=a\n__OMITTED=M\n\n" },
	{ "{" TIME ",\"M\":null}", TIME_OUT "__OMITTED=M\n\n" },
	{ "{" TIME ",\"P\":6,\"T\":true,\"F\":false,\"N\":-1}",
	  TIME_OUT "P=6\nT=true\nF=false\nN=-1\n\n" },
	{ "{" TIME ",\"A\":-9223372036854775808,\"B\":9223372036854775807,\"C\":-0}",
	  TIME_OUT "A=-9223372036854775808\nB=9223372036854775807\nC=-0\n\n" },
	{ "{" TIME ",\"M\":[]}", TIME_OUT "M\n\0\0\0\0\0\0\0\0\n\n", 35 },
	{ " { \"A\" : \"b\" ,\t\"B\" : [ 1 , 2 ] , " TIME "\r} ",
	  TIME_OUT "A=b\nB\n\2\0\0\0\0\0\0\0\1\2\n\n", 41 },
	{ "{" TIME ",\"M\":\"\\\"\\\\\\/\\b\\f\\r\\t\"}", TIME_OUT "M=\"\\/\b\f\r\t\n\n" },
	{ "{" TIME ",\"\\u004d\":\"\\u00E9\\u20ac\\uD83D\\uDE00\"}",
	  TIME_OUT "M=\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n\n" },
	{ "{\"__CURSOR\":\"s=1\",\"__SEQNUM\":\"1\",\"__MONOTONIC_TIMESTAMP\":\"2\"," TIME
	  ",\"__OMITTED\":\"A\"}",
	  TIME_OUT "__MONOTONIC_TIMESTAMP=2\n__OMITTED=A\n\n" },
	{ "{" TIME ",\"\":\"x\",\"a=b\":\"x\"}", TIME_OUT "__OMITTED=\n__OMITTED=a=b\n\n" },
	{ "{\"__REALTIME_TIMESTAMP\":18446744073709551}",
	  "__REALTIME_TIMESTAMP=18446744073709551\n\n" },
	{ "\x1e{" TIME "}\r", TIME_OUT "\n" },
	{ "data: {" TIME "}", TIME_OUT "\n" },
	{ "", "" },
	{ " \t\r", "" },
	{ "\x1e", "" },
	{ "data:", "" },
};

/* By a reader that has not seen a line before. */
static int turn(const uint8_t *line, size_t n, struct buf *to, char error[160])
{
	struct import_json *j = import_json_new(false);
	int r;

	cr_assert(j != NULL);
	r = import_json_line(j, line, n, to, error);
	import_json_free(j);
	return r;
}

Test(import_json, a_line_becomes_its_entry)
{
	char error[160] = "";

	for (size_t i = 0; i < ELEMENTS(good); i++) {
		struct buf to = { 0 };
		size_t n = good[i].n > 0 ? good[i].n : strlen(good[i].want),
		       len = strlen(good[i].line);
		uint8_t *line = exact_copy(good[i].line, len);

		cr_assert(eq(int, turn(line, len, &to, error), 0), "%zu: %s", i, error);
		cr_assert(eq(sz, to.len, n), "%zu: %.*s", i, (int) to.len, to.data);
		cr_assert(n == 0 || memcmp(to.data, good[i].want, n) == 0, "%zu: %.*s", i,
			  (int) to.len, to.data);
		buf_done(&to);
		free(line);
	}
}

static const char *const bad[] = {
	"{",
	"[]",
	"[1,2]",
	"1",
	"null",
	"\"a\"",
	"{}",
	"{\"A\":\"b\"}",
	"{\"__REALTIME_TIMESTAMP\":\"\"}",
	"{\"__REALTIME_TIMESTAMP\":null}",
	"{\"__REALTIME_TIMESTAMP\":\"1\\u0000\"}",
	"{\"__REALTIME_TIMESTAMP\":\"-1\"}",
	"{\"__REALTIME_TIMESTAMP\":18446744073709552}",
	"{\"__REALTIME_TIMESTAMP\":\"18446744073709552\"}",
	"{\"__REALTIME_TIMESTAMP\":99999999999999999999999999999}",
	"{" TIME ",\"__MONOTONIC_TIMESTAMP\":\"x\"}",
	"{" TIME "," TIME "}",
	"{" TIME ",\"A\":1,\"A\":2}",
	"{" TIME ",\"A\":1,\"\\u0041\":2}",
	"{" TIME ",\"__CURSOR\":1,\"__CURSOR\":2}",
	"{" TIME ",\"A\":9223372036854775808}",
	"{" TIME ",\"A\":-9223372036854775809}",
	"{" TIME ",\"A\":01}",
	"{" TIME ",\"A\":-}",
	"{" TIME ",\"A\":+1}",
	"{" TIME ",\"A\":1e2}",
	"{" TIME ",\"A\":nul}",
	"{" TIME ",\"A\":truex}",
	"{" TIME ",\"A\":[1,]}",
	"{" TIME ",\"A\":[01]}",
	"{" TIME ",\"A\":[1,\"a\"]}",
	"{" TIME ",\"A\":[\"a\",1]}",
	"{" TIME ",\"A\":[\"a\",true]}",
	"{" TIME ",\"A\":[\"a\"}",
	"{" TIME ",}",
	"{" TIME " \"A\":1}",
	"{" TIME ",\"A\" 1}",
	"{" TIME ",A:1}",
	"{" TIME ",\"A\";\"b\"}",
	"{" TIME ",\"A\":\"b\"\"B\":\"c\"}",
	"{" TIME ",\"A\":\"b\",\"B\":\"",
	"{" TIME ",\"A\":\"",
	"{" TIME ",\"A\\\":\"b\"}",
	"{" TIME ",\"A\":\"b\\",
	"{" TIME ",\"A\\u0000\":1}",
	"{" TIME ",\"A\":\"\\x\"}",
	"{" TIME ",\"A\":\"\\u12g4\"}",
	"{" TIME ",\"A\":\"\\ud83d\\u0041\"}",
	"{" TIME ",\"A\":\"\\ude00\"}",
	"{" TIME ",\"A\":\"b\\\"}",
	"{" TIME ",\"A\":\"b",
	"{" TIME ",\"A\":{}}",
	"{" TIME ",\"A\":1.5}",
	"{" TIME ",\"A\":[256]}",
	"{" TIME ",\"A\":[-1,0]}",
	"{" TIME ",\"A\":[[[1]],2,\"\"]}",
	"{" TIME ",\"A\":[1,{}]}",
	"{" TIME ",\"A\":\"\xff\"}",
	"{" TIME ",\"A\":\"\xed\xa0\x80\"}",
	"{" TIME ",\"A\":\"\\ud800\"}",
	"{" TIME ",\"A\":\"b\"} x",
	"{" TIME ",\"A\":\"b\"}{}",
	"{" TIME ",\"A\":\"a\tb\"}",
	"{'A':'b'}",
	"__REALTIME_TIMESTAMP=1",
};

Test(import_json, what_is_none_is_refused)
{
	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		struct buf to = { 0 };
		char error[160] = "";

		buf_str(&to, "before");
		cr_expect(eq(int, turn((const uint8_t *) bad[i], strlen(bad[i]), &to, error),
			     BULLA_EPARSE),
			  "%s", bad[i]);
		cr_expect(eq(sz, to.len, 6), "%s", bad[i]);
		cr_expect(ne(str, error, (char *) ""), "%s", bad[i]);
		buf_done(&to);
	}
}

/* Strings of every length end where they end, wherever in the line they begin, and whatever ends them. */
Test(import_json, a_string_ends_where_it_ends)
{
	static const char *const ends[] = { "", "\\n", "\\\\", "\\\"", "\\u0000", "\xc3\xa9" },
				 *const out[] = { "", "\n", "\\", "\"", "\0", "\xc3\xa9" };
	char error[160] = "";

	for (size_t n = 0; n < 200; n++)
		for (size_t k = 0; k < ELEMENTS(ends); k++) {
			struct buf line = { 0 }, to = { 0 };
			size_t more = k == 4 ? 1 : strlen(out[k]);
			uint8_t *copy;

			buf_str(&line, "{" TIME ",\"A\":\"");
			for (size_t i = 0; i < n; i++)
				buf_char(&line, (char) ('a' + i % 26));
			buf_str(&line, ends[k]);
			buf_str(&line, "\",\"B\":\"c\"}");
			copy = exact_copy(line.data, line.len);
			cr_assert(eq(int, turn(copy, line.len, &to, error), 0), "%zu %zu: %s", n, k,
				  error);
			cr_assert(memcmp(to.data + to.len - 6, "\nB=c\n\n", 6) == 0, "%zu %zu", n,
				  k);
			cr_assert(memcmp(to.data + to.len - 6 - more, out[k], more) == 0, "%zu %zu",
				  n, k);
			cr_assert(eq(sz, to.len,
				     STRLEN(TIME_OUT "A=\nB=c\n\n") + n + more + 8 * (k == 1)),
				  "%zu %zu", n, k);
			buf_done(&line);
			buf_done(&to);
			free(copy);
		}
}

/* Whatever order a line has them in. */
Test(import_json, names_come_in_the_order_in_which_they_were_seen)
{
	static const char *const lines[] = {
		"{\"A\":\"1\",\"CONTAINER_NAME_LONG\":\"2\"," TIME "}",
		"{\"B\":\"3\"," TIME ",\"CONTAINER_NAME_LONG\":\"2\",\"A\":\"1\"}",
		"{\"CONTAINER_NAME_LONX\":\"4\"," TIME ",\"B\":\"3\",\"A\":\"1\"}",
	};
	static const char want[] = TIME_OUT "A=1\nCONTAINER_NAME_LONG=2\n\n" TIME_OUT
					    "A=1\nCONTAINER_NAME_LONG=2\nB=3\n\n" TIME_OUT
					    "A=1\nB=3\nCONTAINER_NAME_LONX=4\n\n";
	struct import_json *j = import_json_new(false);
	struct buf to = { 0 };
	char error[160] = "";

	for (size_t i = 0; i < ELEMENTS(lines); i++)
		cr_assert(eq(int,
			     import_json_line(j, (const uint8_t *) lines[i], strlen(lines[i]), &to,
					      error),
			     0));
	buf_char(&to, '\0');
	cr_assert(eq(str, (char *) to.data, (char *) want));
	buf_done(&to);
	import_json_free(j);
}

/* Vectors and a plain loop note the same places. */
Test(import_json, places_are_those_of_each_byte)
{
	static const char some[] = "\"\\\n\x1f abc\x7f";
	uint32_t fast[400 + JSON_SPECIALS_MORE], plain[400 + JSON_SPECIALS_MORE];
	uint64_t seed = 3;

	for (unsigned round = 0; round < 4000; round++) {
		size_t n = round % 400;
		uint8_t line[400], *copy;
		bool fast_high, plain_high;
		size_t n_fast, n_plain;

		for (size_t i = 0; i < n; i++) {
			uint64_t r = random_u64(&seed);

			line[i] = (uint8_t) (r % 997 == 0 ? r >> 32
					     : r % (1 + round % 50) == 0
						     ? (uint8_t) some[(r >> 32) % STRLEN(some)]
						     : 'x');
		}
		copy = exact_copy(line, n);
		n_fast = (size_t) (json_scan(copy, (uint32_t) n, fast, &fast_high) - fast);
		n_plain = (size_t) (json_scan_portable(copy, (uint32_t) n, plain, &plain_high) -
				    plain);
		free(copy);
		cr_assert(eq(sz, n_fast, n_plain));
		cr_assert(zero(int, memcmp(fast, plain, n_fast * sizeof *fast)));
		cr_assert(eq(int, fast_high, plain_high));
	}
}

/* Whatever their length, and wherever in the line they are, for one that differs in a byte is another. */
Test(import_json, names_of_every_length_are_told_apart)
{
	struct import_json *j = import_json_new(false);
	struct buf line = { 0 }, to = { 0 };
	char error[160] = "", name[80];

	memset(name, 'N', sizeof name);
	for (int n = 1; n < (int) sizeof name; n++)
		for (int at = 0; at < n; at++) {
			uint8_t *copy;

			buf_clear(&line);
			buf_clear(&to);
			buf_printf(&line, "{\"%.*s\":\"1\"," TIME ",\"%.*sX%.*s\":2}", n, name, at,
				   name, n - at - 1, name);
			copy = exact_copy(line.data, line.len);
			cr_assert(eq(int, import_json_line(j, copy, line.len, &to, error), 0),
				  "%d %d: %s", n, at, error);
			free(copy);
			/* The last thing of a line is read like all others. */
			line.len -= STRLEN("2}");
			buf_str(&line, "\"2\"");
			copy = exact_copy(line.data, line.len);
			cr_assert(eq(int, import_json_line(j, copy, line.len, &to, error),
				     BULLA_EPARSE),
				  "%d %d", n, at);
			free(copy);
			buf_clear(&line);
			buf_printf(&line, "\n%.*sX%.*s=2\n", at, name, n - at - 1, name);
			cr_assert(memmem(to.data, to.len, line.data, line.len) != NULL, "%d %d", n,
				  at);
			buf_clear(&line);
			buf_printf(&line, "\n%.*s=1\n", n, name);
			cr_assert(memmem(to.data, to.len, line.data, line.len) != NULL, "%d %d", n,
				  at);
		}
	buf_done(&line);
	buf_done(&to);
	import_json_free(j);
}

/* More names than are known by number, and longer ones, are fields like others, and found when they come twice. */
Test(import_json, many_and_long_names)
{
	struct import_json *j = import_json_new(false);
	struct buf line = { 0 }, to = { 0 };
	char error[160] = "", name[400];

	buf_str(&line, "{" TIME);
	for (int i = 0; i < 2000; i++)
		buf_printf(&line, ",\"NAME_THAT_IS_NOT_SHORT_%d\":\"%d\"", i, i);
	memset(name, 'A', sizeof name);
	buf_printf(&line, ",\"%.255s\":\"at\",\"%.256s\":\"above\"", name, name);
	for (int i = 0; i < 2; i++) {
		buf_char(&line, '}');
		cr_assert(eq(int, import_json_line(j, line.data, line.len, &to, error), 0), "%s",
			  error);
		line.len--;
	}
	cr_assert(memmem(to.data, to.len, "\nNAME_THAT_IS_NOT_SHORT_0=0\n", 28) != NULL);
	cr_assert(memmem(to.data, to.len, "\nNAME_THAT_IS_NOT_SHORT_1999=1999\n", 34) != NULL);
	cr_assert(memmem(to.data, to.len, "A=above\n\n", 9) != NULL);
	to.len = 0;
	for (int i = 0; i < 3; i++) {
		size_t before = line.len;

		if (i < 2)
			buf_printf(&line, ",\"NAME_THAT_IS_NOT_SHORT_%d\":1}", i * 1999);
		else
			buf_printf(&line, ",\"%.256s\":1}", name);
		cr_assert(eq(int, import_json_line(j, line.data, line.len, &to, error),
			     BULLA_EPARSE));
		cr_assert(eq(str, error, (char *) "a key that comes twice"));
		cr_assert(eq(sz, to.len, 0));
		line.len = before;
	}
	buf_done(&line);
	buf_done(&to);
	import_json_free(j);
}

Test(import_json, lists_within_lists_have_a_bottom)
{
	struct buf line = { 0 }, to = { 0 };
	char error[160] = "";

	buf_str(&line, "{" TIME ",\"A\":");
	for (int i = 0; i < 1 << 20; i++)
		buf_char(&line, '[');
	cr_expect(eq(int, turn(line.data, line.len, &to, error), BULLA_EPARSE));
	buf_done(&line);
	buf_done(&to);
}

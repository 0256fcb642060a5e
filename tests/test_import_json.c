/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A line of journalctl's JSON becomes the entry that it was; what is none is refused, and nothing is appended.
 */

#include "collector/import_json.h"

#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"

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

Test(import_json, a_line_becomes_its_entry)
{
	char error[160] = "";

	for (size_t i = 0; i < ELEMENTS(good); i++) {
		struct buf to = { 0 };
		size_t n = good[i].n > 0 ? good[i].n : strlen(good[i].want),
		       len = strlen(good[i].line);
		uint8_t *line = exact_copy(good[i].line, len);

		cr_assert(eq(int, import_json_line(line, len, &to, error), 0), "%zu: %s", i, error);
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
		cr_expect(eq(int,
			     import_json_line((const uint8_t *) bad[i], strlen(bad[i]), &to, error),
			     BULLA_EPARSE),
			  "%s", bad[i]);
		cr_expect(eq(sz, to.len, 6), "%s", bad[i]);
		cr_expect(ne(str, error, (char *) ""), "%s", bad[i]);
		buf_done(&to);
	}
}

Test(import_json, lists_within_lists_have_a_bottom)
{
	struct buf line = { 0 }, to = { 0 };
	char error[160] = "";

	buf_str(&line, "{" TIME ",\"A\":");
	for (int i = 0; i < 1 << 20; i++)
		buf_char(&line, '[');
	cr_expect(eq(int, import_json_line(line.data, line.len, &to, error), BULLA_EPARSE));
	buf_done(&line);
	buf_done(&to);
}

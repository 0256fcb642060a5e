/* SPDX-License-Identifier: Apache-2.0 */

/** Nothing that somebody sends acts on a terminal but colours, wherever the network cuts it; what can be read stays as it is. */

#include "base/plain.h"

#include <string.h>

#include "base/cleanup.h"
#include "tests/harness.h"

Suite(plain);

static void expect(const char *text, size_t n, size_t cut, const char *want)
{
	_cleanup_buf_ struct buf got = { 0 };
	struct plain p = { 0 };

	plain_take(&p, text, cut, &got);
	plain_take(&p, text + cut, n - cut, &got);
	plain_end(&p, &got);
	cr_expect(eq(sz, got.len, strlen(want)), "%s cut at %zu", want, cut);
	if (got.len > 0 && got.len == strlen(want))
		cr_expect(eq(int, memcmp(got.data, want, got.len), 0), "%s cut at %zu", want, cut);
}

Test(plain, only_colours_act_on_a_terminal)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "GET /item/4 200\n\tand on", "GET /item/4 200\n\tand on" },
		{ "\x1b[0;1;31mred\x1b[0m", "\x1b[0;1;31mred\x1b[0m" },
		{ "\x1b[2Jcleared", "?[2Jcleared" },
		{ "\x1b]0;title\x07", "?]0;title?" },
		{ "\x1b\x1b[1mbold\x1b", "?\x1b[1mbold?\x1b[0m" },
		{ "\x1b[1;2;3;4;5;6;7;8;9;10;11;12;13m", "?[1;2;3;4;5;6;7;8;9;10;11;12;13m" },
		{ "\x1b[?25l", "?[?25l" },
		{ "\x1bP+q\x1b\\", "?P+q?\\" },
		{ "over\rwritten\b\b", "over?written??" },
		{ "\x7f\x01", "??" },
		{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\xa6\x86",
		  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\xa6\x86" },
		{ "\xc2\x9b"
		  "2J",
		  "??2J" },
		{ "\x9b"
		  "2J",
		  "?2J" },
		{ "\xe2\x82", "??" },
		{ "\xe2\x1b[1mx", "?\x1b[1mx\x1b[0m" },
		{ "\xc0\x9b\xed\xa0\x80", "?????" },
		{ "", "" },
	};

	for (size_t i = 0; i < ELEMENTS(cases); i++)
		for (size_t cut = 0; cut <= strlen(cases[i].text); cut++)
			expect(cases[i].text, strlen(cases[i].text), cut, cases[i].want);
	expect("a\0b", 3, 2, "a?b");
}

/* Whoever waits for more, or has it end, has no text that cannot be seen, nor a prompt. */
Test(plain, no_colour_stays_on_a_terminal)
{
	static const char *const parts[][2] = {
		{ "\x1b[8mhid", "\x1b[8mhid\x1b[0m" },
		{ "den", "\x1b[8mden\x1b[0m" },
		{ "\x1b[", "\x1b[8m\x1b[0m" },
		{ "0m", "\x1b[8m\x1b[0m" },
		{ "plain", "plain" },
		{ "\x1b[0;1;31m\x1b[0m", "\x1b[0;1;31m\x1b[0m" },
		{ "\x1b[7", "" },
		{ "", "" },
	};
	_cleanup_buf_ struct buf got = { 0 };
	struct plain p = { 0 };

	for (size_t i = 0; i < ELEMENTS(parts); i++) {
		const char *want = parts[i][1];

		buf_clear(&got);
		plain_take(&p, parts[i][0], strlen(parts[i][0]), &got);
		plain_rest(&p, &got);
		cr_expect(eq(sz, got.len, strlen(want)), "part %zu", i);
		cr_expect(got.len == 0 || memcmp(got.data, want, got.len) == 0, "part %zu", i);
	}
	buf_clear(&got);
	plain_end(&p, &got);
	cr_expect(eq(sz, got.len, 3));
}

/* Whatever comes: nothing below a blank but newline, tab and colours, no broken character. */
Test(plain, any_bytes)
{
	uint64_t seed = 7;

	for (unsigned round = 0; round < 2000; round++) {
		_cleanup_buf_ struct buf got = { 0 };
		struct plain p = { 0 };
		uint8_t text[64];

		for (size_t i = 0; i < sizeof text; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			text[i] = (seed >> 60) < 6 ? (uint8_t) "\x1b[;m\xc2\x9b"[seed >> 60]
						   : (uint8_t) (seed >> 40);
		}
		plain_take(&p, text, sizeof text, &got);
		plain_end(&p, &got);
		for (size_t i = 0; i < got.len; i++) {
			uint8_t c = got.data[i];

			if (c == 0x1b) {
				size_t k = i + 1;

				cr_assert(k < got.len && got.data[k++] == '[');
				while (k < got.len && (got.data[k] == ';' ||
						       (got.data[k] >= '0' && got.data[k] <= '9')))
					k++;
				cr_assert(k < got.len && got.data[k] == 'm');
				continue;
			}
			cr_assert(c == '\n' || c == '\t' || (c >= ' ' && c != 0x7f));
			cr_assert(c != 0xc2 || (i + 1 < got.len && got.data[i + 1] >= 0xa0));
		}
	}
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * However a stream arrives, the same lines come out; and put together again they are the stream.
 */

#include "collector/split.h"

#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

Suite(split);

enum { SMALL = 16 };

/* The lines on which others fail, and lines around the limit. */
static const uint8_t hard[] = "plain\n"
			      "\xff\xfe\xc3\x28\n"
			      "a\0b\n"
			      "\n"
			      "cr\r\n"
			      "\ttab\x1b[31m\n"
			      "\xe2\x82\xac\xf0\x9f\x90\xbf\n"
			      "%s \\ \"\n"
			      "  spaces  \n"
			      "exactly sixteen!\n"
			      "exactly seventeen\n"
			      "two times sixteen is thirty-two!\n"
			      "a line that is longer than three times the limit of sixteen bytes\n"
			      "\n"
			      "no newline at the end";

/* Lines as text: what it is, then its bytes, each line with its flags. */
static void note(struct buf *to, const struct line *l)
{
	buf_printf(to, "%zu%s%s ", l->n, l->continued ? "c" : "", l->no_newline ? "n" : "");
	buf_append(to, l->p, l->n);
}

static void join(struct buf *to, const struct line *l)
{
	buf_append(to, l->p, l->n);
	if (!l->continued && !l->no_newline)
		buf_char(to, '\n');
}

/* Feed a stream as a collector does: what is not taken stays, and more comes behind it, up to `upto[k]` at step k. */
static void feed(const uint8_t *p, size_t n, const size_t *upto, size_t steps, size_t size_max,
		 struct buf *noted, struct buf *joined)
{
	size_t taken = 0;

	for (size_t k = 0; k < steps; k++) {
		uint8_t *alone = exact_copy(p + taken, upto[k] - taken);
		struct splitter s = { alone, upto[k] - taken, size_max, upto[k] == n };
		struct line l;

		while (split_next(&s, &l)) {
			note(noted, &l);
			join(joined, &l);
		}
		taken = upto[k] - s.left;
		free(alone);
	}
	cr_expect(eq(sz, taken, n));
}

static void expect_same(const uint8_t *p, size_t n, const size_t *upto, size_t steps,
			const struct buf *want)
{
	_cleanup_buf_ struct buf noted = { 0 }, joined = { 0 };

	feed(p, n, upto, steps, SMALL, &noted, &joined);
	cr_assert(eq(sz, joined.len, n));
	cr_assert(n == 0 || memcmp(joined.data, p, n) == 0);
	cr_assert(eq(sz, noted.len, want->len));
	cr_assert(want->len == 0 || memcmp(noted.data, want->data, want->len) == 0);
}

Test(split, every_cut_gives_the_same_lines)
{
	size_t n = sizeof hard - 1;
	_cleanup_buf_ struct buf want = { 0 }, joined = { 0 };

	feed(hard, n, &n, 1, SMALL, &want, &joined);
	for (size_t a = 0; a <= n; a++)
		for (size_t b = a; b <= n; b++)
			expect_same(hard, n, (size_t[]){ a, b, n }, 3, &want);
}

Test(split, byte_by_byte_gives_the_same_lines)
{
	size_t n = sizeof hard - 1, upto[sizeof hard];
	_cleanup_buf_ struct buf want = { 0 }, joined = { 0 };

	feed(hard, n, &n, 1, SMALL, &want, &joined);
	for (size_t k = 0; k < n; k++)
		upto[k] = k + 1;
	expect_same(hard, n, upto, n, &want);
}

Test(split, the_limit_is_inclusive)
{
	static const struct {
		const char *stream, *want;
	} cases[] = {
		{ "", "" },
		{ "\n", "0 " },
		{ "x", "1n x" },
		{ "123\n", "3 123" },
		{ "1234\n", "4 1234" },
		{ "12345\n", "4c 12341 5" },
		{ "12345678\n", "4c 12344 5678" },
		{ "123456789\n", "4c 12344c 56781 9" },
		{ "1234", "4n 1234" },
		{ "12345", "4c 12341n 5" },
		{ "1234\n\n", "4 12340 " },
	};

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		_cleanup_buf_ struct buf noted = { 0 }, joined = { 0 };
		size_t n = strlen(cases[i].stream);

		feed((const uint8_t *) cases[i].stream, n, &n, 1, 4, &noted, &joined);
		buf_char(&noted, '\0');
		cr_expect(eq(str, (char *) noted.data, (char *) cases[i].want), "%s",
			  cases[i].stream);
	}
}

Test(split, what_is_not_complete_stays)
{
	struct splitter s = { (const uint8_t *) "done\nnot", 8, SMALL, false };
	struct line l;

	cr_assert(split_next(&s, &l));
	cr_expect(not(split_next(&s, &l)));
	cr_expect(eq(sz, s.left, 3));
	cr_expect(eq(int, memcmp(s.p, "not", 3), 0));
}

Test(split, random_streams_come_back)
{
	uint64_t seed = 17;

	for (int round = 0; round < 3000; round++) {
		_cleanup_buf_ struct buf want = { 0 }, joined = { 0 };
		size_t n = random_u64(&seed) % 200, upto[8];
		uint8_t stream[200];

		random_fill(&seed, stream, n);
		for (size_t i = 0; i < n; i++)
			if (random_u64(&seed) % 12 == 0)
				stream[i] = '\n';
		feed(stream, n, &n, 1, SMALL, &want, &joined);
		upto[0] = 0;
		for (size_t k = 1; k < 7; k++)
			upto[k] = upto[k - 1] + random_u64(&seed) % (n - upto[k - 1] + 1);
		upto[7] = n;
		expect_same(stream, n, upto, 8, &want);
	}
}

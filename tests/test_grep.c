/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A pattern finds in segments what it finds in tails, where every message is given to PCRE2.
 *
 * Patterns are made of what is there: a piece of a line, part of which is said otherwise.
 */

#include "tests/asking.h"
#include "tests/builder.h"
#include "tests/harness.h"
#include "tests/packing.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/letters.h"

Suite(grep);

enum { LINES = 2000, LINE_SIZE = 200, PATTERN_SIZE = 600 };

static char line[LINES][LINE_SIZE];
static struct builder host;
static char path[600], copy[600];

static void make_line(char *to, uint64_t *seed)
{
	static const char *const words[] = { "timeout", "Timeout",     "kernel",
					     "task",	"m\xc3\xa4rz", "\xff" };
	uint64_t r = random_u64(seed);
	unsigned a = (unsigned) (r >> 8) % 200, b = (unsigned) (r >> 20) % 90 + 10;
	const char *word = words[(r >> 40) % ELEMENTS(words)];

	switch (r % 8) {
	case 0:
		snprintf(to, LINE_SIZE, "GET /api/v1/%s/%u took %u ms", word, a, b);
		break;
	case 1:
		snprintf(to, LINE_SIZE, "%s after %ums, attempt=%u", word, a, b);
		break;
	case 2:
		snprintf(to, LINE_SIZE, "2026-01-05T09:%02u:%02u.123Z %s of 10.%u.0.7", b % 60,
			 a % 60, word, b);
		break;
	case 3:
		snprintf(to, LINE_SIZE, "trace=%08x%08x%04x %s", (unsigned) r, (unsigned) (r >> 32),
			 a, word);
		break;
	case 4:
		snprintf(to, LINE_SIZE, "\tat com.example.%s.run(Shop.java:%u)", word, a);
		break;
	case 5:
		snprintf(to, LINE_SIZE, "job-%u-%s is %s, %s", a, word, b % 2 ? "up" : "DOWN",
			 word);
		break;
	case 6:
		/* Seldom the same, so kept whole. */
		snprintf(to, LINE_SIZE, "%.*s %s", (int) (b % 20), "abcdefghijklmnopqrstuvwxyz",
			 word);
		break;
	default:
		snprintf(to, LINE_SIZE, "%s", word);
	}
}

static void make_both(uint64_t *seed)
{
	size_t journal;

	snprintf(path, sizeof path, "%s/host", tempdir());
	snprintf(copy, sizeof copy, "%s/copy", tempdir());
	builder_init(&host, path, (struct kes_params){ 4, 4 });
	journal = builder_open(&host, "web");
	for (size_t i = 0; i < LINES; i++) {
		make_line(line[i], seed);
		builder_log(&host, journal, line[i]);
		if (i % 100 == 99)
			builder_commit(&host);
	}
	builder_end(&host);
	builder_copy(path, copy);
	pack_segments(&host, 0, true);
	cr_assert(gt(u32, count_segments(&host), 0));
}

static size_t put_character(char *to, char c)
{
	size_t n = 0;

	if (ispunct((unsigned char) c))
		to[n++] = '\\';
	to[n++] = c;
	return n;
}

/* Something that the character is, and others too. */
static size_t put_otherwise(char *to, char c, uint64_t r)
{
	static const char *const quantifiers[] = { "", "", "+", "*", "?", "{1,3}", "+?" };
	const char *quantifier = quantifiers[(r >> 8) % ELEMENTS(quantifiers)];
	const char *what = ".";

	if (c >= '0' && c <= '9')
		what = r % 3 == 0 ? "\\d" : r % 3 == 1 ? "[0-9]" : "[^ ]";
	else if (letter_of((uint8_t) c))
		what = r % 3 == 0 ? "\\w" : r % 3 == 1 ? "[A-Za-z]" : "[^0-9]";
	else if (c == ' ')
		what = r % 2 ? "\\s" : "[ ,]";
	return (size_t) sprintf(to, "%s%s", what, quantifier);
}

static void make_pattern(char *to, uint64_t *seed)
{
	const char *from = line[random_u64(seed) % LINES];
	size_t len = strlen(from), at = random_u64(seed) % (len + 1), n = 0;

	while (at > 0 && (from[at] & 0xc0) == 0x80)
		at--;
	for (size_t i = at; i < len && i < at + 30; i++) {
		uint64_t r = random_u64(seed);
		bool more = from[i] & 0x80;

		if (from[i] == '\xff')
			n += (size_t) sprintf(to + n, ".*");
		else if (more || r % 4)
			n += put_character(to + n, from[i]);
		else
			n += put_otherwise(to + n, from[i], r >> 8);
		if (r % 64 == 1 && !more)
			n += (size_t) sprintf(to + n, "(x|y)?");
	}
	to[n] = '\0';
}

/* @return how many lines have it. */
static size_t compare(const char *pattern)
{
	const char *const words[] = { "grep", pattern, "output", "cat", NULL };
	struct buf before = { 0 }, now = { 0 };
	size_t n = 0;

	cr_assert(zero(u32, ask_plain(copy, words, &before)));
	cr_assert(zero(u32, ask_plain(path, words, &now)));
	cr_assert(eq(sz, now.len, before.len), "%s", pattern);
	cr_assert(now.len == 0 || memcmp(now.data, before.data, now.len) == 0, "%s", pattern);
	for (size_t i = 0; i < now.len; i++)
		n += now.data[i] == '\n';
	buf_done(&before);
	buf_done(&now);
	return n;
}

Test(grep, finds_in_segments_what_it_finds_in_tails)
{
	static const char *const patterns[] = {
		/* What goes on behind a variable, and ends in it, before it, or in the next. */
		"timeout after \\w+, attempt",
		"after [^,]+, attempt=[0-9]+",
		"timeout/.+ took",
		"took \\S+ ms",
		"timeout.*attempt=\\d{2}",
		"kernel after .*s, a",
		"trace=.{4}",
		"trace=[0-9a-f]+ task",
		"job-\\d+-[^ ]* is",
		"job-[^u]*up",
		"at com[.a-z]+run.Shop",
		"GET /\\D+1/m.rz",
		"m.rz/[0-9]",
		"timeout of 10[.]\\d+[.]0",
		"Timeout/",
	};
	uint64_t seed = 47;
	size_t found = 0;

	make_both(&seed);
	for (size_t i = 0; i < ELEMENTS(patterns); i++)
		cr_expect(gt(sz, compare(patterns[i]), 0), "%s", patterns[i]);
	for (int i = 0; i < 1000; i++) {
		char pattern[PATTERN_SIZE];
		size_t n;

		make_pattern(pattern, &seed);
		n = compare(pattern);
		found += n > 0 && n < LINES;
	}
	cr_expect(gt(sz, found, 500), "%zu", found);
	builder_done(&host);
}

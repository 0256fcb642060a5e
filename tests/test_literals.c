/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A pattern that matches a text has one of its literals in it.
 */

#define PCRE2_CODE_UNIT_WIDTH 8

#include "query/literals.h"

#include "tests/harness.h"

#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#include "tests/literal.h"

Suite(literals);

static size_t put_set(const struct literals *l, const struct literal_set *s, char *got)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (i > 0)
			got[n++] = '|';
		memcpy(got + n, l->bytes.data + s->of[i].at, s->of[i].len);
		n += s->of[i].len;
	}
	got[n] = '\0';
	return n;
}

/* The literals, with a bar between them; those of the second set behind an ampersand, if they are asked for. */
static void expect_sets(const char *pattern, bool caseless, bool both, const char *want)
{
	struct literals l;
	char got[400] = "";
	size_t n;

	cr_assert(eq(int, literals_make(&l, pattern, caseless), 0));
	n = put_set(&l, &l.first, got);
	if (both && l.second.n > 0) {
		got[n++] = '&';
		put_set(&l, &l.second, got + n);
	}
	cr_expect(eq(str, got, (char *) want), "%s", pattern);
	cr_expect(eq(int, l.any_case, caseless));
	literals_done(&l);
}

static void expect(const char *pattern, bool caseless, const char *want)
{
	expect_sets(pattern, caseless, false, want);
}

Test(literals, are_two_sets_if_a_match_must_have_both)
{
	expect_sets("word", false, true, "word");
	expect_sets("took [0-9]{4} ms.*timeout", false, true, "timeout&took ");
	expect_sets("a.longer.longest.b", false, true, "longest&longer");
	expect_sets("(error|failed) to open", false, true, " to open&error|failed");
	expect_sets("(abc.*defg)+hij", false, true, "defg&hij");
	expect_sets("(abc)?def.ghi", false, true, "def&ghi");
	expect_sets("abcd.efg|h.ijk", false, true, "abcd|ijk");
	expect_sets("abcd.efgh?", false, true, "abcd&efg");
	expect_sets("abc.(d|)", false, true, "abc");
	expect_sets("abc.de", false, true, "abc");
}

static bool is_all(const char *pattern, bool caseless)
{
	struct literals l;
	bool all;

	cr_assert(eq(int, literals_make(&l, pattern, caseless), 0));
	all = l.all;
	literals_done(&l);
	return all;
}

Test(literals, may_be_all_that_a_pattern_asks_for)
{
	cr_expect(is_all("word", false));
	cr_expect(is_all("item/1 = <x>", false));
	cr_expect(is_all("error", true));
	cr_expect(not(is_all("", false)));
	cr_expect(not(is_all("w.rd", false)));
	cr_expect(not(is_all("^word", false)));
	cr_expect(not(is_all("wor\\d", false)));
	cr_expect(not(is_all("stack", true)), "k and s have a third case");
	cr_expect(not(is_all("\xc3\xa4", false)));
}

Test(literals, are_what_a_match_must_have)
{
	expect("word", false, "word");
	expect("two words", false, "two words");
	expect("1\\.2\\.3 \\[x\\]", false, "1.2.3 [x]");
	expect("^GET /item/\\d+ 50[0-4]$", false, "GET /item/");
	expect("a.longer.b", false, "longer");
	expect("colou?r", false, "colo");
	expect("ab*cd+ef", false, "cd");
	expect("x{0}abc{2,3}d", false, "abc");
	expect("error|failed", false, "error|failed");
	expect("(error|failed) to open", false, " to open");
	expect("(?:connection|socket) (?<what>reset|lost)", false, "connection|socket");
	expect("(abc)?de", false, "de");
	expect("(abc)+de", false, "abc");
	expect("((a|bc)|d)", false, "a|bc|d");
	expect("[]x]yz[^]a]", false, "yz");
	expect("\xc3\xa4"
	       "b\xc3\xb6?c",
	       false,
	       "\xc3\xa4"
	       "b");
	expect("tab\\there", false, "tab\there");
}

Test(literals, without_case_end_at_letters_with_more_cases_than_two)
{
	expect("timeout", true, "timeout");
	expect("connections", true, "connection");
	expect("kernel panic", true, "ernel panic");
	expect("stra\xc3\x9f"
	       "e",
	       true, "tra");
	expect("k", true, "");
}

Test(literals, are_none_where_a_match_may_have_any_text)
{
	static const char *const patterns[] = {
		"",	    ".*",	   "a*",       "[abc]",	     "a|",	   "a|.",
		"(|a)",	    "(?i)abc",	   "(?=abc)",  "\\Qa.b\\E",  "a(?#b)c",	   "a{,2}bc",
		"a{x}",	    "\\x41bc",	   "(a)\\1b",  "(*UTF)abc",  "abc)",	   "(abc",
		"abc\\",    "abc[",	   "(?|abc)",  "a\\Kbc",     "[[:alpha:]", "ab[\\Qx]",
		"(?'n'ab)", "(?(1)ab|cd)", "\\p{L}ab", "\\N{U+41}b", "a(?",	   "a(?<b",
		"\\",
	};

	for (size_t i = 0; i < ELEMENTS(patterns); i++)
		expect(patterns[i], false, "");
}

static void expect_sequel(const char *pattern, const char *text, bool follows)
{
	struct literals l;

	cr_assert(eq(int, literals_make(&l, pattern, false), 0));
	cr_assert(gt(sz, l.first.n, 0), "%s", pattern);
	cr_expect(eq(int,
		     literal_is_in(&l, &l.first, &l.behind_first, (const uint8_t *) text,
				   strlen(text)),
		     follows),
		  "%s in %s", pattern, text);
	literals_done(&l);
}

Test(literals, know_what_must_follow_them)
{
	static const char *const took[] = { "took [0-9]+ ?ms", "took \\d+ ?ms",
					    "took \\d{1,9}+ ?m[s]" };

	for (size_t i = 0; i < ELEMENTS(took); i++) {
		expect_sequel(took[i], "took 12 ms", true);
		expect_sequel(took[i], "took 12ms.", true);
		expect_sequel(took[i], "took ms", false);
		expect_sequel(took[i], "took 12 s", false);
		expect_sequel(took[i], "it took 1x2 ms", false);
		expect_sequel(took[i], "took 3 s, then took 4 ms", true);
	}
	expect_sequel("word.*end", "word, and then the end", true);
	expect_sequel("word.*end", "at the end a word", false);
	expect_sequel("words?:", "word:", true);
	expect_sequel("words?:", "words:", true);
	expect_sequel("words?:", "wordy:", false);
	expect_sequel("word+:", "wordd:", true);
	expect_sequel("word(x|y)+ 1", "wordz 1", true);
	expect_sequel("word(x|y)+ 1", "wordx 2", false);
	expect_sequel("word\\b", "words", true);
	expect_sequel("word: .!", "word: \xc3\xa4!", true);
	expect_sequel("word: .!", "word: ab!", false);
	expect_sequel("word: \xc3\xa4+!", "word: \xc3\xa4\xc3\xa4!", true);
	expect_sequel("word|other1", "wor", false);
}

Test(literals, of_a_long_pattern_are_followed_by_its_beginning)
{
	char pattern[2000] = "literal";

	for (int i = 0; i < 150; i++)
		strcat(pattern, ".[ab]");
	expect_sequel(pattern, "literal!a", false);
	strcat(pattern, "another literal, and a longer one[x]y");
	expect_sequel(pattern, "another literal, and a longer one", true);
	memset(pattern + 7, 'l', 300);
	strcpy(pattern + 307, "[x]");
	expect_sequel(pattern, pattern, true);
}

Test(literals, have_limits)
{
	char pattern[400];
	size_t n = 0;

	for (int i = 0; i < LITERALS_MAX; i++)
		n += (size_t) snprintf(pattern + n, sizeof pattern - n, "%sa%c", i ? "|" : "",
				       'a' + i);
	expect(pattern, false, "aa|ab|ac|ad|ae|af|ag|ah|ai|aj|ak|al|am|an|ao|ap");
	strcat(pattern, "|zz");
	expect(pattern, false, "");
	for (int deep = LITERALS_DEPTH_MAX; deep < LITERALS_DEPTH_MAX + 2; deep++) {
		memset(pattern, '(', (size_t) deep);
		strcpy(pattern + deep, "ab");
		memset(pattern + deep + 2, ')', (size_t) deep);
		pattern[2 * deep + 2] = '\0';
		expect(pattern, false, deep == LITERALS_DEPTH_MAX ? "ab" : "");
	}
}

/* What PCRE2 says, with the options of match.c. */

static pcre2_code *compile(const char *pattern, bool caseless)
{
	uint32_t flags = PCRE2_MATCH_INVALID_UTF | PCRE2_UTF | (caseless ? PCRE2_CASELESS : 0);
	PCRE2_SIZE at;
	int error;

	return pcre2_compile((PCRE2_SPTR) pattern, PCRE2_ZERO_TERMINATED, flags, &error, &at, NULL);
}

static bool matches(const pcre2_code *code, const uint8_t *p, size_t n)
{
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	int r = pcre2_match(code, p, n, 0, 0, data, NULL);

	pcre2_match_data_free(data);
	return r >= 0;
}

Test(literals, only_k_and_s_have_a_third_case)
{
	uint8_t all[8192];

	for (int c = 'A'; c <= 'z'; c++) {
		char pattern[] = { (char) c, '\0' };
		uint32_t code_point = 128;
		pcre2_code *code;
		bool any = false;

		if ((c | 0x20) < 'a' || (c | 0x20) > 'z')
			continue;
		code = compile(pattern, true);
		cr_assert(code != NULL, "%s", pattern);
		/* No letter beyond U+1FFFF has cases. */
		while (code_point < 0x20000) {
			size_t n = 0;

			for (; n + 4 < sizeof all && code_point < 0x20000; code_point++) {
				uint32_t u = code_point;

				if (u >= 0xd800 && u < 0xe000)
					continue;
				if (u < 0x800) {
					all[n++] = (uint8_t) (0xc0 | u >> 6);
				} else if (u < 0x10000) {
					all[n++] = (uint8_t) (0xe0 | u >> 12);
					all[n++] = (uint8_t) (0x80 | (u >> 6 & 0x3f));
				} else {
					all[n++] = (uint8_t) (0xf0 | u >> 18);
					all[n++] = (uint8_t) (0x80 | (u >> 12 & 0x3f));
					all[n++] = (uint8_t) (0x80 | (u >> 6 & 0x3f));
				}
				all[n++] = (uint8_t) (0x80 | (u & 0x3f));
			}
			any |= matches(code, all, n);
		}
		pcre2_code_free(code);
		cr_expect(eq(int, any, strchr("ksKS", c) != NULL), "%c", c);
	}
}

static void random_part(uint64_t *seed, char *to, unsigned depth)
{
	static const char *const parts[] = {
		"a",	 "b",	   "ab",	  "A",
		"k",	 "s",	   "\xc3\xa4",	  "\xe2\x84\xaa",
		".",	 "\\.",	   "\\d",	  "\\w",
		"\\b",	 "[ab]",   "[^a]",	  "[]b]",
		"^",	 "$",	   "1",		  "\\-",
		"\\t",	 "_",	   "\\_",	  "-",
		"]",	 "}",	   ",",		  "bab",
		"\\x61", "(?i)",   "{",		  "\\Qa\\E",
		"(?=a)", "(a)\\1", "[[:alpha:]]", "\\R",
	};
	static const char *const quantifiers[] = { "?",	  "*",	  "+",	  "{0}", "{1}", "{0,2}",
						   "{2}", "{1,}", "{,2}", "??",	 "*+",	"{0,}?" };
	static const char *const opens[] = { "(", "(?:", "(?<n>", "(?P<m>", "(?>" };
	int n = 1 + (int) (random_u64(seed) % 4);

	for (int i = 0; i < n && strlen(to) < 200; i++) {
		uint64_t r = random_u64(seed);

		if (depth < 3 && r % 8 == 0) {
			strcat(to, opens[(r >> 8) % ELEMENTS(opens)]);
			random_part(seed, to, depth + 1);
			strcat(to, ")");
		} else {
			/* The strange ones at the end seldom, for they end it all. */
			strcat(to, parts[(r >> 8) % (r >> 40 & 15 ? 28 : ELEMENTS(parts))]);
		}
		if (r >> 50 & 3)
			continue;
		strcat(to, r >> 52 & 1 ? "|" : quantifiers[(r >> 53) % ELEMENTS(quantifiers)]);
	}
}

Test(literals, are_in_every_text_that_matches)
{
	static const char *const letters[] = {
		"a",	    "b",	"A",	    "B",    "k", "K", "s", "\xe2\x84\xaa",
		"\xc5\xbf", "\xc3\xa4", "\xc3\x84", "1",    "-", "_", ".", "\t",
		",",	    "]",	"}",	    "\xff", "{"
	};
	const struct sequel any = { 0 };
	uint64_t seed = 41;
	int patterns = 0, known = 0, matched = 0, refused = 0;

	for (int i = 0; i < 30000; i++) {
		char pattern[600] = "";
		bool caseless = random_u64(&seed) % 2;
		struct literals l;
		pcre2_code *code;

		random_part(&seed, pattern, 0);
		code = compile(pattern, caseless);
		if (!code)
			continue;
		patterns++;
		cr_assert(eq(int, literals_make(&l, pattern, caseless), 0));
		known += l.first.n > 0;
		for (int k = 0; l.first.n > 0 && k < 40; k++) {
			uint8_t text[100];
			size_t n = 0;

			for (uint64_t m = random_u64(&seed) % 16; m > 0; m--) {
				uint64_t r = random_u64(&seed);
				const char *c = letters[r % (r >> 32 & 1 ? 4 : ELEMENTS(letters))];

				memcpy(text + n, c, strlen(c));
				n += strlen(c);
			}
			if (!matches(code, text, n)) {
				bool has = literal_is_in(&l, &l.first, &any, text, n);

				cr_assert(not(l.all && has), "%s", pattern);
				refused += has &&
					   !literal_is_in(&l, &l.first, &l.behind_first, text, n);
				continue;
			}
			matched++;
			cr_assert(literal_is_in(&l, &l.first, &l.behind_first, text, n) &&
					  literal_is_in(&l, &l.second, &l.behind_second, text, n),
				  "%s%s matches \"%.*s\"", pattern, caseless ? " without case" : "",
				  (int) n, text);
		}
		literals_done(&l);
		pcre2_code_free(code);
	}
	cr_expect(gt(int, patterns, 10000));
	cr_expect(gt(int, known, patterns / 4));
	cr_expect(gt(int, matched, 20000));
	cr_expect(gt(int, refused, 10000));
}

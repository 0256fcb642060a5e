/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Whatever a pattern matches has the pattern's literal.
 */

#include "query/literals.h"

#include "tests/harness.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <ctype.h>
#include <pcre2.h>
#include <string.h>

Suite(literals);

struct literal_case {
	char pattern[40], want[40];
	bool any_case;
};

ParameterizedTestParameters(literals, known)
{
	static struct literal_case cases[] = {
		{ "error", "error", false },
		{ "error", "error", true },
		{ "took [0-9]+ ms", "took ", false },
		{ "took .* ms", "took ", false },
		{ "a.bcd.ef", "bcd", false },
		{ "colou?r", "colo", false },
		{ "abc*", "ab", false },
		{ "abc{0,2}de", "ab", false },
		{ "abcd+ef", "abcd", false },
		{ "x+?yz", "yz", false },
		{ "a|b", "", false },
		{ "(abc)", "", false },
		{ "10\\.0\\.0\\.1", "10.0.0.1", false },
		{ "\\berror\\b", "error", false },
		{ "\\x41bc", "", false },
		{ "\\Qabc\\E", "", false },
		{ "disk full", " full", true },
		{ "ask", "a", true },
		{ "^start", "start", false },
		{ "end$", "end", false },
		{ "\xc3\xa4+b", "", false },
		{ "a\xc3\xa4", "a\xc3\xa4", false },
		{ "a\xc3\xa4", "a", true },
		{ "", "", false },
		{ "\\", "", false },
		{ "a{", "", false },
		{ "abc{|}", "", false },
	};

	return cr_make_param_array(struct literal_case, cases, ELEMENTS(cases));
}

ParameterizedTest(struct literal_case *c, literals, known)
{
	uint8_t literal[LITERAL_MAX + 1];
	size_t n = pattern_literal(c->pattern, c->any_case, literal);

	literal[n] = '\0';
	cr_expect(eq(str, (char *) literal, c->want), "%s", c->pattern);
}

static bool has(const char *text, const uint8_t *literal, size_t n, bool any_case)
{
	size_t len = strlen(text);

	for (size_t i = 0; i + n <= len; i++) {
		size_t k = 0;

		while (k < n && (any_case ? tolower((uint8_t) text[i + k]) == tolower(literal[k])
					  : (uint8_t) text[i + k] == literal[k]))
			k++;
		if (k == n)
			return true;
	}
	return false;
}

/* Pieces that patterns and texts are made of, so that many match. */
static void make(char *to, size_t max, const char *const *pieces, size_t n, uint64_t *dice)
{
	size_t len = 0;

	for (size_t i = random_u64(dice) % 9; i > 0; i--) {
		const char *p = pieces[random_u64(dice) % n];

		if (len + strlen(p) < max - 1) {
			strcpy(to + len, p);
			len += strlen(p);
		}
	}
	to[len] = '\0';
}

Test(literals, whatever_matches_has_it)
{
	static const char *const of_patterns[] = {
		"a",	 "b",	 "k", "S", "ab",  "?",	 "*",	     "+",    "{0}",
		"{0,1}", "{2}",	 ".", "^", "$",	  "\\.", "\\b",	     "\\d",  "[ab]",
		"[^a]",	 "[]b]", "[", "]", "(a)", "|",	 "\xc3\xa4", "(?i)", "\\Q",
		"\\E",	 "}",	 "{", "-", " ",	  "\\w"
	};
	static const char *const of_texts[] = { "a",	    "b",  "ab",	      "A",
						"B",	    "K",  "s",	      ".",
						"1",	    "-",  "\xc3\xa4", " ",
						"{",	    "}",  "{0}",      "\xe2\x84\xaa",
						"\xc5\xbf", "aab" };
	uint64_t dice = 7, matched = 0, said = 0;

	for (size_t i = 0; i < 60000; i++) {
		bool any_case = random_u64(&dice) % 2;
		uint8_t literal[LITERAL_MAX];
		char pattern[64], text[64] = "";
		pcre2_match_data *data;
		pcre2_code *code;
		PCRE2_SIZE at;
		size_t n;
		int error;

		make(pattern, sizeof pattern, of_patterns, ELEMENTS(of_patterns), &dice);
		code = pcre2_compile((PCRE2_SPTR) pattern, PCRE2_ZERO_TERMINATED,
				     PCRE2_UTF | PCRE2_MATCH_INVALID_UTF |
					     (any_case ? PCRE2_CASELESS : 0),
				     &error, &at, NULL);
		if (!code)
			continue;
		n = pattern_literal(pattern, any_case, literal);
		said += n > 0;
		data = pcre2_match_data_create_from_pattern(code, NULL);
		for (size_t k = 0; n > 0 && k < 20; k++) {
			make(text, sizeof text, of_texts, ELEMENTS(of_texts), &dice);
			if (pcre2_match(code, (PCRE2_SPTR) text, strlen(text), 0, 0, data, NULL) <
			    0)
				continue;
			matched++;
			cr_assert(has(text, literal, n, any_case),
				  "\"%s\" has no \"%.*s\" of \"%s\"", text, (int) n, literal,
				  pattern);
		}
		pcre2_match_data_free(data);
		pcre2_code_free(code);
	}
	cr_expect(gt(u64, matched, 1000));
	cr_expect(gt(u64, said, 5000));
}

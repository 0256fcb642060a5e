/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What PCRE2 takes for a part of a pattern is in that part's set.
 */

#define PCRE2_CODE_UNIT_WIDTH 8

#include "query/charset.h"

#include "tests/harness.h"

#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/bits.h"

Suite(charset);

static pcre2_code *compile(const char *pattern, bool caseless)
{
	uint32_t flags = PCRE2_MATCH_INVALID_UTF | PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED |
			 PCRE2_DOTALL | (caseless ? PCRE2_CASELESS : 0);
	PCRE2_SIZE at;
	int error;

	return pcre2_compile((PCRE2_SPTR) pattern, PCRE2_ZERO_TERMINATED, flags, &error, &at, NULL);
}

static bool matches(const pcre2_code *code, const char *p, size_t n)
{
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	int r = pcre2_match(code, (PCRE2_SPTR) p, n, 0, 0, data, NULL);

	pcre2_match_data_free(data);
	return r >= 0;
}

/* @return how many characters are in the set and do not match, or -1 if the pattern is none. */
static int expect_set(const char *pattern, bool caseless, struct charset set)
{
	static const char *const others[] = { "\xc3\xa4", "\xc3\x84", "\xe2\x84\xaa", "\xc5\xbf",
					      "\xf0\x9f\x98\x80" };
	pcre2_code *code = compile(pattern, caseless);
	int more = 0;

	if (!code)
		return -1;
	for (int c = 0; c < 0x80; c++) {
		char text = (char) c;
		bool is = matches(code, &text, 1), has = bit_get(set.bytes, (size_t) c);

		cr_assert(ge(int, has, is), "%s%s: %#x", pattern, caseless ? " without case" : "",
			  c);
		more += has && !is;
	}
	for (size_t i = 0; i < ELEMENTS(others); i++)
		for (const char *c = others[i]; matches(code, others[i], strlen(others[i])) && *c;
		     c++)
			cr_assert(bit_get(set.bytes, (uint8_t) *c), "%s%s: %s", pattern,
				  caseless ? " without case" : "", others[i]);
	pcre2_code_free(code);
	return more;
}

static int expect_class(const char *class, bool caseless)
{
	char pattern[200];

	snprintf(pattern, sizeof pattern, "[%s]", class);
	return expect_set(pattern, caseless, charset_class(class, strlen(class), caseless));
}

Test(charset, of_classes_have_what_matches)
{
	static const char *const classes[] = {
		"abc",	     "^abc",	   "a-f",	"^a-f", "0-9a-f_", "]a",    "^]",
		"-a",	     "a-",	   "a-c-e",	"+--",	"\\d",	   "^\\d.", "\\w-",
		"\\s\\]",    "^\\W_",	   "\\t\\n\\e", "k",	"^k",	   "j-l",   "\xc3\xa4",
		"^\xc3\xa4", "x\xc3\xa4y", "^^",	"[",	"\\\\",	   "\\D5",
	};

	for (size_t i = 0; i < ELEMENTS(classes); i++)
		for (int caseless = 0; caseless < 2; caseless++) {
			int more = expect_class(classes[i], caseless);

			cr_expect(ge(int, more, 0), "%s", classes[i]);
			/* k and s are the Kelvin sign and long s in another case. */
			if (strchr(classes[i], '\xc3') == NULL && strcmp(classes[i], "\\w-") != 0)
				cr_expect(eq(int, more, 0), "%s", classes[i]);
		}
}

Test(charset, of_any_class_have_what_matches)
{
	static const char *const pieces[] = { "a",   "f",	 "k",	  "S",	 "-",	"^",
					      "]",   "[",	 "\\d",	  "\\W", "\\s", "\\-",
					      "\\n", "\xc3\xa4", "0",	  "9",	 "a-f", "!-~",
					      "\\b", "\\h",	 "\\x41", "\\]", "\\a", "Z" };
	uint64_t seed = 43;
	int known = 0;

	for (int i = 0; i < 20000; i++) {
		char class[100] = "";

		for (uint64_t n = 1 + random_u64(&seed) % 5; n > 0; n--)
			strcat(class, pieces[random_u64(&seed) % ELEMENTS(pieces)]);
		/* A bracket that ends the class leaves another pattern. */
		if (strstr(class + 1, "]") && !strstr(class, "\\]"))
			continue;
		known += expect_class(class, i % 2) >= 0;
	}
	cr_expect(gt(int, known, 5000));
}

Test(charset, of_characters_and_names_have_what_matches)
{
	static const char *const letters[] = { "a", "k", "K",	     "s",
					       "1", "=", "\xc3\xa4", "\xe2\x84\xaa" };
	static const char names[] = "dDwWsShHvVN";

	for (size_t i = 0; i < ELEMENTS(letters); i++)
		for (int caseless = 0; caseless < 2; caseless++)
			cr_expect(
				ge(int,
				   expect_set(letters[i], caseless,
					      charset_of(letters[i], strlen(letters[i]), caseless)),
				   0));
	for (const char *c = names; *c; c++) {
		char pattern[] = { '\\', *c, '\0' };

		cr_expect(ge(int, expect_set(pattern, false, charset_named(*c)), 0), "%s", pattern);
	}
	for (const char *c = "dDwWsS"; *c; c++) {
		char pattern[] = { '\\', *c, '\0' };

		cr_expect(eq(int, expect_set(pattern, false, charset_named(*c)), 0), "%s", pattern);
	}
	cr_expect(eq(int, expect_set("(.)", false, charset_all()), 0));
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Matches mean what journalctl's mean: by table, and random ones against an evaluation that is too simple to be wrong.
 */

#include "query/match.h"

#include "tests/harness.h"
#include "tests/tails.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bulla/error.h"

Suite(match);

/* An entry of some fields, every one of its own or of its context. */

enum { FIELDS = 8 };

struct sample {
	struct entry entry;
	struct field own[FIELDS], shared[FIELDS];
	struct context_entry chain[1];
	struct contexts contexts;
	struct shown shown;
};

/* MESSAGE and PRIORITY go where they belong; with `own` the others are the entry's. */
static void fill(struct sample *s, const char *const *fields, size_t n, bool own)
{
	*s = (struct sample){ .entry = { .priority = 6, .fields = s->own } };
	s->chain[0] = (struct context_entry){ .parent = -1, .fields = s->shared };
	s->contexts = (struct contexts){ .at = s->chain, .n = 1 };
	s->shown = (struct shown){ .entry = &s->entry, .contexts = &s->contexts };
	for (size_t i = 0; i < n; i++) {
		struct field f = tails_field(fields[i]);

		if (strncmp(fields[i], "MESSAGE=", 8) == 0) {
			s->entry.message = f.value;
			s->entry.message_len = f.value_len;
		} else if (strncmp(fields[i], "PRIORITY=", 9) == 0)
			s->entry.priority = (uint8_t) (f.value[0] - '0');
		else if (own)
			s->own[s->entry.n_fields++] = f;
		else
			s->shared[s->chain[0].n_fields++] = f;
	}
}

/* Split at spaces into words; those behind "|" are required. */
static struct match *parse(const char *text, int *ret)
{
	struct match *m = NULL;
	bool required = false;
	char copy[512];

	cr_assert(eq(int, match_new(&m), 0));
	strcpy(copy, text);
	*ret = 0;
	for (char *save, *w = strtok_r(copy, " ", &save); w && *ret == 0;
	     w = strtok_r(NULL, " ", &save)) {
		if (strcmp(w, "|") == 0)
			required = true;
		else
			*ret = required ? match_require(m, w, strlen(w))
					: match_add(m, w, strlen(w));
	}
	return m;
}

/* Judged by the entry, and by the context as far as that goes; both ways of having the fields. */
static int judge(const char *words, const char *const *fields, size_t n)
{
	int r, said[2];

	for (int own = 0; own < 2; own++) {
		struct match *m = parse(words, &r);
		struct sample s;
		enum tri tri;

		cr_assert(eq(int, r, 0), "%s", words);
		fill(&s, fields, n, own);
		said[own] = match_entry(m, &s.shown);
		tri = match_context(m, &s.contexts, 0, own, false);
		cr_expect(tri == TRI_MAYBE || (tri == TRI_YES) == said[own], "%s: tri %d, entry %d",
			  words, tri, said[own]);
		match_free(m);
	}
	cr_expect(eq(int, said[0], said[1]), "%s", words);
	return said[0];
}

static const char *const web[] = { "MESSAGE=hello world",
				   "PRIORITY=3",
				   "A=1",
				   "A=2",
				   "B=x y",
				   "_CONTAINER_ID=0123456789abcdef0123456789abcdef",
				   "_CONTAINER_NAME=web-1",
				   "_SYSTEMD_UNIT=nginx.service" };

Test(match, means_what_journalctl_means)
{
	static const struct {
		const char *words;
		int holds;
	} table[] = {
		{ "", 1 },
		{ "A=1", 1 },
		{ "A=3", 0 },
		{ "A=3 A=2", 1 },   /* one field: any */
		{ "A=1 B=z", 0 },   /* several fields: all */
		{ "A=3 + A=1", 1 }, /* groups: any */
		{ "A=1 B=z + A=4", 0 },
		{ "+ A=3", 0 }, /* a plus with nothing before or behind it */
		{ "A=3 +", 0 },
		{ "A=1 + + A=3", 1 },
		{ "+", 1 },
		{ "A!=3", 1 },
		{ "A!=1", 0 },
		{ "A!=3 A!=1", 0 },
		{ "C!=1", 1 }, /* no such field at all */
		{ "A=1 A!=2", 0 },
		{ "A=3 + A!=3", 1 },
		{ "| A=1", 1 }, /* what is required holds for all groups */
		{ "A=1 + A=2 | C=1", 0 },
		{ "A=3 + A=2 | A=1", 1 },
		{ "| A=3 A=1", 1 },
		{ "MESSAGE=hello", 0 },
		{ "PRIORITY=3", 1 },
		{ "PRIORITY!=3", 0 },
		{ "level=err", 1 },
		{ "level=error", 1 },
		{ "level=3", 1 },
		{ "level=warning", 0 },
		{ "unit=nginx", 1 }, /* a service, if nothing else is said */
		{ "unit=nginx.service", 1 },
		{ "unit=nginx.socket", 0 },
		{ "unit=ngin?", 0 }, /* a pattern says all */
		{ "unit=ngin?.service", 1 },
		{ "unit=n*", 1 },
		{ "unit=[mn]ginx.*", 1 },
		{ "unit!=n*", 0 },
		{ "_SYSTEMD_UNIT=nginx", 0 },
		{ "_SYSTEMD_UNIT=n*", 0 }, /* full names compare bytes */
		{ "web-1", 1 },
		{ "web-2", 0 },
		{ "web*", 1 },
		{ "container=web-1", 1 },
		{ "0123456789ab", 1 }, /* as runtimes show it */
		{ "0123456789a", 0 },
		{ "0123456789abcdef0123456789abcdef", 1 },
		{ "0123456789ac", 0 },
		{ "_CONTAINER_ID=0123456789ab", 0 },
		{ "web-2 web-1", 1 },
		{ "A", 0 },
		{ "A= A=1", 1 },
		{ "B=x", 0 },
	};

	for (size_t i = 0; i < ELEMENTS(table); i++)
		cr_expect(eq(int, judge(table[i].words, web, ELEMENTS(web)), table[i].holds), "%s",
			  table[i].words);
}

Test(match, values_are_bytes)
{
	static const uint8_t value[] = "x\0y\nz=+";
	struct field f = { (const uint8_t *) "A", value, sizeof value - 1, 1 };
	struct entry e = { .fields = &f, .n_fields = 1 };
	struct shown s = { .entry = &e, .contexts = &(struct contexts){ 0 } };
	struct match *m;

	s.contexts = &(struct contexts){ .at = &(struct context_entry){ .parent = -1 }, .n = 1 };
	cr_assert(eq(int, match_new(&m), 0));
	cr_assert(eq(int, match_require_field(m, "A", value, sizeof value - 1), 0));
	cr_expect(eq(int, match_entry(m, &s), 1));
	f.value_len--;
	cr_expect(eq(int, match_entry(m, &s), 0));
	match_free(m);
}

Test(match, refuses_what_is_no_match)
{
	static const char *const bad[] = { "=x", "!=x", "level=loud", "level=8", "level=" };
	char longest[FIELD_NAME_MAX + 8];
	struct match *m;

	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		int r;

		match_free(parse(bad[i], &r));
		cr_expect(eq(int, r, -EINVAL), "%s", bad[i]);
	}
	memset(longest, 'n', sizeof longest);
	memcpy(longest + FIELD_NAME_MAX + 1, "=v", 3);
	cr_assert(eq(int, match_new(&m), 0));
	cr_expect(eq(int, match_add(m, longest, strlen(longest)), -EINVAL));
	cr_expect(eq(int, match_add(m, longest + 1, strlen(longest + 1)), 0));
	cr_expect(eq(int, match_add(m, "", 0), -EINVAL));
	cr_expect(eq(int, match_add(m, "a\0b=c", 5), -EINVAL));
	match_free(m);
}

Test(match, has_limits)
{
	struct match *m;
	int r = 0;

	cr_assert(eq(int, match_new(&m), 0));
	for (int i = 0; i < 5000 && r == 0; i++) {
		char word[32];
		int n = snprintf(word, sizeof word, "F%d=1", i);

		r = match_add(m, word, (size_t) n);
	}
	cr_expect(eq(int, r, BULLA_ELIMIT));
	match_free(m);
}

Test(match, priorities_are_a_range)
{
	for (int from = 0; from < 8; from++)
		for (int to = from; to < 8; to++)
			for (uint8_t p = 0; p < 8; p++) {
				struct match *m;
				struct sample s;

				cr_assert(eq(int, match_new(&m), 0));
				match_set_priority(m, from, to);
				fill(&s, NULL, 0, true);
				s.entry.priority = p;
				cr_expect(eq(int, match_entry(m, &s.shown), p >= from && p <= to));
				match_free(m);
			}
}

/* @return as match_entry(). */
static int grep(const char *pattern, const char *text, size_t n)
{
	char message[256] = "";
	struct match *m;
	struct sample s;
	int r;

	cr_assert(eq(int, match_new(&m), 0));
	r = match_set_grep(m, pattern, message);
	fill(&s, NULL, 0, true);
	s.entry.message = (const uint8_t *) text;
	s.entry.message_len = (uint32_t) n;
	if (r == 0)
		r = match_entry(m, &s.shown);
	match_free(m);
	return r;
}

Test(match, patterns_without_capitals_take_any_case)
{
	cr_expect(eq(int, grep("error", "An ERROR", 8), 1));
	cr_expect(eq(int, grep("Error", "An ERROR", 8), 0));
	cr_expect(eq(int, grep("Error", "An Error", 8), 1));
	cr_expect(eq(int, grep("^a.*r$", "An ERROR", 8), 1));
	cr_expect(eq(int, grep("(?i)Error", "An ERROR", 8), 1));
	cr_expect(eq(int, grep("(?i)Error", "An EROR", 7), 0));
	cr_expect(eq(int, grep("(?i)", "a", 1), 1));
	cr_expect(eq(int, grep("(?i)a(", "a", 1), -EINVAL));
	cr_expect(eq(int, grep("\xc3\xa4", "\xc3\x84", 2), 1), "not only in ASCII");
	cr_expect(eq(int, grep("b", "\xff\xfe\0b", 4), 1), "behind what is not UTF-8");
	cr_expect(eq(int, grep("^$", "", 0), 1));
	cr_expect(eq(int, grep("a(", "a", 1), -EINVAL));
	cr_expect(eq(int, grep("\xff", "a", 1), -EINVAL));
}

Test(match, a_limit_that_is_hit_is_no_answer)
{
	char text[64];

	memset(text, 'a', sizeof text);
	text[sizeof text - 1] = '!';
	cr_expect(eq(int, grep("^(a+)+$", text, sizeof text), BULLA_ELIMIT));
}

/* Contexts and priorities are known for many entries at once; terms that an entry alone can fulfil are not. */
Test(match, a_pattern_is_all_that_is_left_where_no_term_is_of_the_entry)
{
	static const struct {
		const char *words[3];
		bool grep, leaves;
	} cases[] = {
		{ { NULL }, false, false },
		{ { NULL }, true, true },
		{ { "host=a", "_PID!=1" }, true, true },
		{ { "host=a", "+", "unit=b" }, true, true },
		{ { "MESSAGE=a" }, true, false },
		{ { "host=a", "+", "level=err" }, true, false },
		{ { "_LINE_BREAK!=eof" }, true, false },
	};

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		_cleanup_(match_freep) struct match *m = NULL;
		char message[256];

		cr_assert(eq(int, match_new(&m), 0));
		for (size_t k = 0; k < ELEMENTS(cases[i].words) && cases[i].words[k]; k++)
			cr_assert(eq(int,
				     match_add(m, cases[i].words[k], strlen(cases[i].words[k])),
				     0));
		if (cases[i].grep)
			cr_assert(eq(int, match_set_grep(m, "[ab]c", message), 0));
		cr_expect(eq(int, match_leaves_pattern(m), cases[i].leaves), "%zu", i);
		if (!cases[i].grep)
			continue;
		cr_expect(eq(int, match_message(m, "xBc", 3), 1));
		cr_expect(eq(int, match_message(m, "xBc", 2), 0));
		cr_expect(eq(int, match_message(m, NULL, 0), 0));
	}
}

Test(match, long_lines_do_not_exhaust_a_small_stack)
{
	enum { SIZE = 1 << 20 };
	char *text = malloc(SIZE);

	cr_assert(text != NULL);
	for (size_t i = 0; i < SIZE; i++)
		text[i] = i & 1 ? 'a' : 'b';
	text[SIZE - 1] = 'c';
	cr_expect(eq(int, grep("^(a|b)*c", text, SIZE), 1));
	free(text);
}

/* Random matches of random entries. */

static const char *const vocabulary[] = {
	"A=1",	"A=2",	  "B=1",       "B=2",	     "C=1",	   "A!=1",	  "A!=2",
	"B!=1", "C!=1",	  "+",	       "+",	     "stream=out", "stream!=err", "_STREAM=err",
	"web",	"web!=x", "msg=hello", "PRIORITY=6", "MESSAGE=no", "pid=7",	  "container!=web",
};
static const char *const traits[] = { "A=1",
				      "A=2",
				      "B=1",
				      "B=2",
				      "C=1",
				      "_STREAM=out",
				      "_STREAM=err",
				      "_PID=7",
				      "_CONTAINER_NAME=web",
				      "web=x",
				      "_CONTAINER_ID=web" };

static size_t draw(uint64_t *dice, const char *const *from, size_t n_from, size_t max,
		   const char **to)
{
	size_t n = random_u64(dice) % (max + 1);

	for (size_t i = 0; i < n; i++)
		to[i] = from[random_u64(dice) % n_from];
	return n;
}

Test(match, random_ones_agree_with_the_slow_way)
{
	uint64_t seed = 20261123;

	for (int round = 0; round < 20000; round++) {
		const char *words[8], *required[3],
			*fields[2 + FIELDS] = { "MESSAGE=hello", "PRIORITY=6" };
		size_t n = draw(&seed, vocabulary, ELEMENTS(vocabulary), 8, words);
		size_t k = draw(&seed, vocabulary, 9, 2, required);
		size_t f = 2 + draw(&seed, traits, ELEMENTS(traits), FIELDS, fields + 2);
		char text[512] = "";

		for (size_t i = 0; i < n; i++)
			strcat(strcat(text, words[i]), " ");
		strcat(text, "| ");
		for (size_t i = 0; i < k; i++)
			strcat(strcat(text, required[i]), " ");
		cr_assert(eq(int, judge(text, fields, f),
			     naive_match(words, n, required, k, fields, f)),
			  "round %d: %s", round, text);
	}
}

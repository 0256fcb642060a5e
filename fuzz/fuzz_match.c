/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: match_add(), match_require(), match_context(), match_entry(), match_each_word().
 *
 * The input is lines: words, "|" before a word that is required, and behind an empty line the fields "NAME=value" of an
 * entry.  What the context says agrees with what the entry says; what match_each_word() gives makes the same match again;
 * and where no short name has habits of its own, the answer is that of the slow way.
 */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "query/match.h"
#include "tests/tails.h"

enum { LINES = 24 };

struct sample {
	struct field fields[LINES];
	struct context_entry chain[1];
	struct contexts contexts;
	struct entry entry;
	struct shown shown;
};

static void fill(struct sample *s, const char *const *fields, size_t n, bool own)
{
	*s = (struct sample){ .entry = { .priority = 6, .fields = s->fields } };
	for (size_t i = 0; i < n; i++)
		s->fields[i] = tails_field(fields[i]);
	s->chain[0] = (struct context_entry){ .parent = -1, .fields = s->fields };
	s->chain[0].n_fields = own ? 0 : (uint16_t) n;
	s->entry.n_fields = own ? (uint16_t) n : 0;
	s->contexts = (struct contexts){ .at = s->chain, .n = 1 };
	s->shown = (struct shown){ .entry = &s->entry, .contexts = &s->contexts };
}

static int judge(struct match *m, const char *const *fields, size_t n, bool own)
{
	struct sample s;
	enum tri tri;
	int r;

	fill(&s, fields, n, own);
	r = match_entry(m, &s.shown);
	tri = match_context(m, &s.contexts, 0, own, false);
	assert(r == 0 || r == 1);
	assert(tri == TRI_MAYBE || (tri == TRI_YES) == r);
	return r;
}

static void add_again(void *arg, bool required, const void *word, size_t n)
{
	int r = required ? match_require(arg, word, n) : match_add(arg, word, n);

	assert(r == 0);
}

/* Whether the slow way knows what this word means. */
static bool is_simple(const char *word)
{
	static const char *const habits[] = { "unit", "host",	   "container", "image",
					      "pod",  "namespace", "level" };
	size_t n = strcspn(word, "=");

	if (word[n] == '\0')
		return strcmp(word, "+") == 0;
	n -= n > 0 && word[n - 1] == '!';
	for (size_t i = 0; i < ELEMENTS(habits); i++)
		if (strlen(habits[i]) == n && memcmp(word, habits[i], n) == 0)
			return false;
	return true;
}

struct input {
	const char *words[LINES], *required[LINES], *fields[LINES + 2];
	size_t n_words, n_required, n_fields;
};

/* Cut `text` into lines, in place. */
static void cut(char *text, struct input *in)
{
	bool entry = false;

	in->fields[in->n_fields++] = "MESSAGE=";
	in->fields[in->n_fields++] = "PRIORITY=6";
	for (char *line; (line = strsep(&text, "\n"));) {
		size_t name = strcspn(line, "=");

		if (*line == '\0')
			entry = true;
		else if (entry && name > 0 && name < 256 && line[name] && in->n_fields < LINES)
			in->fields[in->n_fields++] = line;
		else if (!entry && *line == '|' && in->n_required < LINES)
			in->required[in->n_required++] = line + 1;
		else if (!entry && in->n_words < LINES)
			in->words[in->n_words++] = line;
	}
}

static void check(const struct input *in)
{
	const char *const *own = in->fields + 2;
	size_t n = in->n_fields - 2;
	struct match *m = NULL, *again = NULL;
	bool simple = true;
	int r = match_new(&m), said;

	assert(r == 0);
	for (size_t i = 0; i < in->n_words && r == 0; i++) {
		r = match_add(m, in->words[i], strlen(in->words[i]));
		simple &= is_simple(in->words[i]);
	}
	for (size_t i = 0; i < in->n_required && r == 0; i++) {
		r = match_require(m, in->required[i], strlen(in->required[i]));
		simple &= strcmp(in->required[i], "+") != 0 && is_simple(in->required[i]);
	}
	if (r == 0) {
		said = judge(m, own, n, true);
		assert(judge(m, own, n, false) == said);
		if (simple)
			assert(said == naive_match(in->words, in->n_words, in->required,
						   in->n_required, in->fields, in->n_fields));
		r = match_new(&again);
		assert(r == 0 && match_each_word(m, add_again, again) == 0);
		assert(judge(again, own, n, true) == said);
		match_free(again);
	}
	match_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct input in = { 0 };

	assert(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	cut(text, &in);
	check(&in);
	free(text);
	return 0;
}

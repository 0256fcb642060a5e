/* SPDX-License-Identifier: Apache-2.0 */

/**
 * An entry's fields are walked in one order, all of them and each once; a look-up finds the nearest.
 */

#include "query/shown.h"

#include "tests/harness.h"

#include <stdio.h>
#include <string.h>

Suite(shown);

/* Criterion takes its texts without const. */
#define expect_text(got, want, ...) \
	cr_expect(eq(str, (char *) (got), (char *) (want)), ##__VA_ARGS__)

#define F(n, v) \
	((struct field){ (const uint8_t *) (n), (const uint8_t *) (v), STRLEN(v), STRLEN(n) })

static struct field identity_fields[] = { F("HOST", "h"), F("SHARED", "far") };
static struct field stream_fields[] = { F("SHARED", "near"), F("_STREAM", "stdout") };
static struct context_entry chain[] = {
	{ .parent = -1, .fields = identity_fields, .n_fields = 2 },
	{ .parent = 0, .fields = stream_fields, .n_fields = 2 },
	/* No parent of number 1's entries. */
	{ .parent = 0 },
};
static const struct contexts contexts = { .at = chain, .n = 3 };
static const struct field own[] = { F("A", "1"), F("A", "2"), F("SHARED", "own") };

static struct entry entry = {
	.message = (const uint8_t *) "hello",
	.message_len = 5,
	.fields = own,
	.n_fields = 3,
	.priority = 4,
};

static struct shown sample(void)
{
	struct shown s = { .entry = &entry, .contexts = &contexts, .context = 1, .seq = 7 };

	for (size_t i = 0; i < ID_SIZE; i++)
		s.journal.b[i] = (uint8_t) (i * 17);
	return s;
}

/* Writes the walk down as "NAME=value " and stops after `left` fields. */
struct walk {
	char text[512];
	size_t len, left;
};

static bool write_down(void *arg, const struct field *f)
{
	struct walk *w = arg;

	w->len += (size_t) snprintf(w->text + w->len, sizeof w->text - w->len, "%.*s=%.*s ",
				    f->name_len, f->name, (int) f->value_len, f->value);
	return --w->left == 0;
}

Test(shown, fields_come_nearest_first)
{
	struct walk w = { .left = 100 };
	struct shown s = sample();

	cr_expect(not(shown_each_field(&s, write_down, &w)));
	expect_text(w.text,
		    "MESSAGE=hello PRIORITY=4 A=1 A=2 SHARED=own SHARED=near _STREAM=stdout HOST=h "
		    "SHARED=far ");
}

Test(shown, a_chain_skips_what_is_not_in_it)
{
	struct walk w = { .left = 100 };
	struct shown s = sample();

	s.context = 2;
	cr_expect(not(shown_each_field(&s, write_down, &w)));
	expect_text(w.text, "MESSAGE=hello PRIORITY=4 A=1 A=2 SHARED=own HOST=h SHARED=far ");
}

Test(shown, the_callback_can_stop_at_every_field)
{
	struct shown s = sample();

	for (size_t stop = 1; stop <= 9; stop++) {
		struct walk w = { .left = stop };
		size_t n = 0;

		cr_expect(shown_each_field(&s, write_down, &w), "stop at %zu", stop);
		for (const char *p = w.text; *p; p++)
			n += *p == ' ';
		cr_expect(eq(sz, n, stop));
	}
}

Test(shown, line_breaks_have_journalds_words)
{
	struct shown s = sample();
	struct entry e = entry;
	struct field f;

	s.entry = &e;
	cr_expect(not(shown_lookup(&s, "_LINE_BREAK", &f)));
	e.flags = ENTRY_NO_NEWLINE;
	cr_assert(shown_lookup(&s, "_LINE_BREAK", &f));
	cr_expect(eq(int, f.value_len, 3));
	cr_expect(eq(int, memcmp(f.value, "eof", 3), 0));
	e.flags = ENTRY_CONTINUED;
	cr_assert(shown_lookup(&s, "_LINE_BREAK", &f));
	cr_expect(eq(int, f.value_len, 8));
	cr_expect(eq(int, memcmp(f.value, "line-max", 8), 0));
}

struct look_up {
	char name[16];
	char value[16]; /* empty: not found */
};

ParameterizedTestParameters(shown, the_nearest_is_found)
{
	static struct look_up cases[] = {
		{ "MESSAGE", "hello" },	 { "A", "1" },	  { "SHARED", "own" },
		{ "_STREAM", "stdout" }, { "HOST", "h" }, { "HOS", "" },
		{ "HOSTS", "" },	 { "host", "" },  { "", "" },
	};

	return cr_make_param_array(struct look_up, cases, ELEMENTS(cases));
}

ParameterizedTest(struct look_up *c, shown, the_nearest_is_found)
{
	struct field f = F("untouched", "");
	struct shown s = sample();
	bool found = shown_lookup(&s, c->name, &f);

	cr_assert(eq(int, found, c->value[0] != '\0'), "%s", c->name);
	if (found) {
		cr_expect(eq(sz, f.value_len, strlen(c->value)), "%s", c->name);
		cr_expect(eq(int, memcmp(f.value, c->value, f.value_len), 0), "%s", c->name);
	} else {
		cr_expect(eq(int, f.name_len, 9), "untouched when nothing is found");
	}
}

Test(shown, a_message_may_be_empty_or_any_bytes)
{
	struct entry e = { .message = (const uint8_t *) "\0\xff=\n", .message_len = 4 };
	struct shown s = sample();
	struct field f;

	s.entry = &e;
	cr_assert(shown_lookup(&s, "MESSAGE", &f));
	cr_expect(eq(int, f.value_len, 4));
	cr_expect(f.value == e.message);
	e.message_len = 0;
	cr_assert(shown_lookup(&s, "MESSAGE", &f));
	cr_expect(eq(int, f.value_len, 0));
}

Test(shown, the_longest_cursor_fits)
{
	struct shown s = sample();
	char cursor[CURSOR_SIZE + 1];

	cursor[CURSOR_SIZE] = '#';
	shown_cursor(&s, cursor);
	expect_text(cursor, "00112233445566778899aabbccddeeff:7");
	s.seq = UINT64_MAX;
	shown_cursor(&s, cursor);
	expect_text(cursor, "00112233445566778899aabbccddeeff:18446744073709551615");
	cr_expect(eq(sz, strlen(cursor), CURSOR_SIZE - 1));
	cr_expect(eq(chr, cursor[CURSOR_SIZE], '#'));
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Entries look as journalctl would show them, whatever bytes they hold: no entry passes for another, and no control character
 * reaches a terminal unasked.
 */

#include "query/output.h"

#include "tests/sample.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

Suite(output);

/* Names of formats. */

Test(output, formats_have_journalctls_names)
{
	cr_expect(eq(int, output_format_parse("short"), OUTPUT_SHORT));
	cr_expect(eq(int, output_format_parse("short-iso"), OUTPUT_SHORT_ISO));
	cr_expect(eq(int, output_format_parse("json"), OUTPUT_JSON));
	cr_expect(eq(int, output_format_parse("export"), OUTPUT_EXPORT));
	cr_expect(eq(int, output_format_parse("cat"), OUTPUT_CAT));
	cr_expect(eq(int, output_format_parse("verbose"), OUTPUT_VERBOSE));
	cr_expect(eq(int, output_format_parse(""), -EINVAL));
	cr_expect(eq(int, output_format_parse("JSON"), -EINVAL));
	cr_expect(eq(int, output_format_parse("json "), -EINVAL));
	expect_text(output_content_type(OUTPUT_JSON), "application/json");
	expect_text(output_content_type(OUTPUT_EXPORT), "application/vnd.fdo.journal");
	expect_text(output_content_type(OUTPUT_SHORT), "text/plain; charset=utf-8");
}

/* short. */

#define HEAD   "Nov 23 19:34:01 host nginx[42]: "
#define INDENT "                                "

struct short_case {
	char message[48];
	char want[160];
};

ParameterizedTestParameters(output, short_messages)
{
	static struct short_case cases[] = {
		{ "hello", HEAD "hello\n" },
		{ "", HEAD "\n" },
		{ "two\nlines", HEAD "two\n" INDENT "lines\n" },
		{ "two\nlines\n", HEAD "two\n" INDENT "lines\n" },
		{ "end\n\n", HEAD "end\n" INDENT "\n" },
		{ "\n\nlead", HEAD "\n" INDENT "\n" INDENT "lead\n" },
		{ "a\nNov 23 19:34:01 host su[1]: forged",
		  HEAD "a\n" INDENT "Nov 23 19:34:01 host su[1]: forged\n" },
		{ "tab\there", HEAD "tab        here\n" },
		{ "cr\r", HEAD "cr\n" },
		{ "cr\r\r\nend\r\n", HEAD "cr\n" INDENT "end\n" },
		{ "cr\rmid", HEAD "[6B blob data]\n" },
		{ "esc \x1b[31mred\x1b[0m end", HEAD "esc red end\n" },
		{ "esc \x1b[2J\x1b[1;1Hx", HEAD "esc x\n" },
		{ "title \x1b]0;root\x07x", HEAD "title x\n" },
		{ "link \x1b]8;;http://a\x1b\\b\x1b]8;;\x1b\\", HEAD "link b\n" },
		{ "open \x1b]0;root", HEAD "[13B blob data]\n" },
		{ "cut \x1b[31", HEAD "[8B blob data]\n" },
		{ "cut \x1b[", HEAD "[6B blob data]\n" },
		{ "cut \x1b", HEAD "[5B blob data]\n" },
		{ "a line in a title \x1b]0;\nx\x07", HEAD "[25B blob data]\n" },
		/* What is left after a sequence is taken out is looked at again. */
		{ "\x1b\x1b[0m[31mred", HEAD "[12B blob data]\n" },
		{ "bell\x07", HEAD "[5B blob data]\n" },
		{ "del\x7f", HEAD "[4B blob data]\n" },
		{ "c1 \xc2\x9b"
		  "31m",
		  HEAD "[8B blob data]\n" },
		{ "bin \xff", HEAD "[5B blob data]\n" },
		{ "surrogate \xed\xa0\x80", HEAD "[13B blob data]\n" },
		{ "cut \xe2\x82", HEAD "[6B blob data]\n" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xc2\xa0",
		  HEAD "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xc2\xa0\n" },
	};

	return cr_make_param_array(struct short_case, cases, ELEMENTS(cases));
}

ParameterizedTest(struct short_case *c, output, short_messages)
{
	begin(OUTPUT_SHORT);
	expect_text(show_message(c->message), c->want);
	end();
}

Test(output, every_byte_is_judged_at_every_place)
{
	char text[32];

	begin(OUTPUT_SHORT);
	for (int c = 0; c < 256; c++) {
		bool shown_as_is = c >= ' ' && c < 0x7f;

		for (size_t at = 0; at < 20; at++) {
			memset(text, 'x', 20);
			text[at] = (char) c;
			message(text, 20);
			if (c == '\t' || c == '\n' || (c == '\r' && at == 19))
				continue;
			cr_expect(eq(int, strstr(show(), "blob data") == NULL, shown_as_is),
				  "byte %d at %zu", c, at);
		}
	}
	end();
}

Test(output, all_shows_what_is_there)
{
	static const char raw[] = "\x1b[31m\t\0\xff\rx\ny\r";

	begin(OUTPUT_SHORT);
	output.all = true;
	message(raw, STRLEN(raw));
	show();
	cr_assert(eq(sz, out.len, STRLEN(HEAD "\x1b[31m\t\0\xff\rx\n" INDENT "y\r\n")));
	cr_expect(
		eq(int, memcmp(out.data, HEAD "\x1b[31m\t\0\xff\rx\n" INDENT "y\r\n", out.len), 0));
	end();
}

/* Who wrote it. */

static const char *show_fields(const struct field *fields, size_t n)
{
	static struct context_entry nothing = { .parent = -1 };
	static const struct contexts none = { .at = &nothing, .n = 1 };

	shown.contexts = &none;
	shown.context = 0;
	entry.fields = fields;
	entry.n_fields = (uint16_t) n;
	return show();
}

#define HEAD_OF(...)                                                \
	(char *) show_fields((const struct field[]){ __VA_ARGS__ }, \
			     sizeof((struct field[]){ __VA_ARGS__ }) / sizeof(struct field))

Test(output, heads_are_made_of_what_there_is)
{
	begin(OUTPUT_SHORT);
	expect_text(show_fields(NULL, 0), "Nov 23 19:34:01 unknown: hello\n");
	expect_text(HEAD_OF(F("_HOSTNAME", "h")), "Nov 23 19:34:01 h unknown: hello\n");
	expect_text(HEAD_OF(F("SYSLOG_PID", "77"), F("_COMM", "c")),
		    "Nov 23 19:34:01 c[77]: hello\n");
	expect_text(HEAD_OF(F("SYSLOG_IDENTIFIER", "id"), F("SYSLOG_PID", "77"), F("_COMM", "c"),
			    F("_PID", "5")),
		    "Nov 23 19:34:01 id[5]: hello\n");
	expect_text(HEAD_OF(F("SYSLOG_IDENTIFIER", ""), F("_HOSTNAME", ""), F("_PID", "")),
		    "Nov 23 19:34:01 unknown: hello\n");
	expect_text(HEAD_OF(F("_PID", "1"), F("_PID", "2")), "Nov 23 19:34:01 unknown[1]: hello\n");
	end();
}

Test(output, heads_hold_no_forged_line)
{
	char *line, name[400];

	begin(OUTPUT_SHORT);
	line = HEAD_OF(F("SYSLOG_IDENTIFIER", "x\nNov 23 19:34:01 host su"), F("_COMM", "c"));
	expect_text(line, "Nov 23 19:34:01 c: hello\n");
	line = HEAD_OF(F("_COMM", "\x1b[2J"), F("_HOSTNAME", "h\n"), F("_PID", "\xff"));
	expect_text(line, "Nov 23 19:34:01 unknown: hello\n");
	memset(name, 'n', sizeof name);
	for (uint32_t n = 299; n <= 300; n++) {
		struct field f = F("SYSLOG_IDENTIFIER", "");

		f.value = (const uint8_t *) name;
		f.value_len = n;
		line = (char *) show_fields(&f, 1);
		cr_expect(eq(int, strstr(line, "unknown") == NULL, n == 299));
	}
	end();
}

Test(output, an_entrys_own_fields_are_nearer_than_its_contexts)
{
	static const struct field own[] = { F("_COMM", "own"), F("_PID", "7") };

	begin(OUTPUT_SHORT);
	entry.fields = own;
	entry.n_fields = 2;
	expect_text(show(), "Nov 23 19:34:01 host own[7]: hello\n");
	entry.n_fields = 0;
	expect_text(show(), HEAD "hello\n");
	end();
}

/* Time. */

Test(output, the_time_text_follows_the_second)
{
	begin(OUTPUT_SHORT);
	for (int i = 0; i < 3; i++) {
		entry.time_ns = SAMPLE_TIME + UINT64_C(749999999);
		cr_expect(eq(int, strncmp(show(), "Nov 23 19:34:01 ", 16), 0));
		entry.time_ns++;
		cr_expect(eq(int, strncmp(show(), "Nov 23 19:34:02 ", 16), 0));
		entry.time_ns = 0;
		cr_expect(eq(int, strncmp(show(), "Jan 01 00:00:00 ", 16), 0));
		entry.time_ns = UINT64_MAX;
		cr_expect(eq(int, strncmp(show(), "Jul 21 23:34:33 ", 16), 0));
	}
	end();
}

Test(output, the_local_zone_is_the_default)
{
	setenv("TZ", "IST-5:30", 1);
	tzset();
	begin(OUTPUT_SHORT_ISO);
	expect_text(show(), "2026-11-23T19:34:01+0000 host nginx[42]: hello\n");
	end();
	begin(OUTPUT_SHORT_ISO);
	output.utc = false;
	expect_text(show(), "2026-11-24T01:04:01+0530 host nginx[42]: hello\n");
	end();
	begin(OUTPUT_VERBOSE);
	output.utc = false;
	cr_expect(eq(int, strncmp(show(), "Tue 2026-11-24 01:04:01.250000 IST [", 36), 0));
	end();
}

/* Colours. */

Test(output, colours_say_the_priority)
{
	static const char *const on[] = { "\x1b[0;1;31m",
					  "\x1b[0;1;31m",
					  "\x1b[0;1;31m",
					  "\x1b[0;1;31m",
					  "\x1b[0;1;38;5;185m",
					  "\x1b[0;1;39m",
					  "",
					  "\x1b[0;38;5;245m" };
	char want[128];

	for (int p = 0; p < 8; p++) {
		const char *off = on[p][0] ? "\x1b[0m" : "";

		begin(OUTPUT_SHORT);
		output.colour = true;
		entry.priority = (uint8_t) p;
		snprintf(want, sizeof want, HEAD "%sa%s\n" INDENT "%sb%s\n", on[p], off, on[p],
			 off);
		expect_text(show_message("a\nb"), want, "priority %d", p);
		end();
		begin(OUTPUT_CAT);
		output.colour = true;
		entry.priority = (uint8_t) p;
		snprintf(want, sizeof want, "%sa%s\n", on[p], off);
		expect_text(show_message("a"), want, "priority %d", p);
		end();
	}
}

/* cat. */

static void piece(const char *text, uint64_t seq, uint8_t flags)
{
	message(text, strlen(text));
	entry.flags = flags;
	shown.seq = seq;
	output_entry(&output, &shown, &out);
}

static void expect_out(const char *want)
{
	buf_char(&out, '\0');
	expect_text(out.data, (char *) want);
}

Test(output, cat_joins_the_pieces_of_a_line)
{
	begin(OUTPUT_CAT);
	piece("one ", 1, ENTRY_CONTINUED);
	piece("line", 2, ENTRY_CONTINUED);
	piece("", 3, ENTRY_NO_NEWLINE);
	piece("next", 4, 0);
	output_end(&output, &out);
	expect_out("one line\nnext\n");
	end();
}

Test(output, cat_joins_nothing_that_does_not_belong_together)
{
	begin(OUTPUT_CAT);
	piece("gap", 1, ENTRY_CONTINUED);
	piece("after", 3, ENTRY_CONTINUED);
	shown.journal.b[0] ^= 1;
	piece("other journal", 4, ENTRY_CONTINUED);
	shown.context = 0;
	piece("other stream", 5, ENTRY_CONTINUED);
	output_forget_contexts(&output);
	piece("other table", 6, ENTRY_CONTINUED);
	/* Backwards. */
	piece("before", 5, 0);
	piece("last", 6, ENTRY_CONTINUED);
	output_end(&output, &out);
	output_end(&output, &out);
	expect_out("gap\nafter\nother journal\nother stream\nother table\nbefore\nlast\n");
	end();
}

Test(output, cat_is_the_message_byte_by_byte)
{
	static const char raw[] = "\x1b[31m\t\0\xff\r\n";

	begin(OUTPUT_CAT);
	message(raw, STRLEN(raw));
	show();
	cr_assert(eq(sz, out.len, STRLEN(raw) + 1));
	cr_expect(eq(int, memcmp(out.data, raw, STRLEN(raw)), 0));
	end();
}

/* verbose. */

Test(output, verbose_shows_all_fields_by_name)
{
	static const struct field own[] = { F("A", "1"), F("A", "2"), F("BIN", "\xff"),
					    F("NAME\n\xff", "x"), F("__CURSOR", "forged") };

	begin(OUTPUT_VERBOSE);
	entry.fields = own;
	entry.n_fields = ELEMENTS(own);
	entry.flags = ENTRY_TIME_BY_SENDER;
	expect_text(show_message("a\nb"), "Mon 2026-11-23 19:34:01.250000 UTC "
					  "[abababababababababababababababab:7]\n"
					  "    A=1\n"
					  "    A=2\n"
					  "    BIN=[1B blob data]\n"
					  "    CONTAINER_NAME=web\n"
					  "    MESSAGE=a\n"
					  "            b\n"
					  "    NAME\xef\xbf\xbd\xef\xbf\xbd=x\n"
					  "    PRIORITY=6\n"
					  "    _BOOT_ID=cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\n"
					  "    _COMM=nginx\n"
					  "    _HOSTNAME=host\n"
					  "    _PID=42\n"
					  "    _SOURCE_REALTIME_TIMESTAMP=1795462441250000\n"
					  "    _STREAM=stdout\n"
					  "    __SEALED=no\n");
	end();
}

Test(output, verbose_highlights_the_message)
{
	begin(OUTPUT_VERBOSE);
	output.colour = true;
	cr_expect(strstr(show_message("a\nb"),
			 "    \x1b[0;1;39mMESSAGE=a\n            b\n\x1b[0m    PRIORITY=6\n") !=
		  NULL);
	end();
}

/* Contexts that are kept. */

/* Many contexts under one identity, each with one field N=<number>. */
static struct contexts many_contexts(size_t n)
{
	struct contexts c = { .n = (uint32_t) n };

	c.at = calloc(n, sizeof *c.at);
	cr_assert(c.at != NULL);
	c.at[0] = sample_chain[0];
	for (size_t i = 1; i < n; i++) {
		struct field *f = calloc(1, sizeof *f + 8);

		cr_assert(f != NULL);
		*f = F("N", "");
		f->value = (const uint8_t *) (f + 1);
		f->value_len = (uint32_t) snprintf((char *) (f + 1), 8, "%zu", i);
		c.at[i] = (struct context_entry){ .fields = f, .n_fields = 1, .memory = f };
	}
	return c;
}

static void free_many(struct contexts *c)
{
	for (size_t i = 1; i < c->n; i++)
		free(c->at[i].memory);
	free(c->at);
}

Test(output, kept_contexts_are_never_mistaken)
{
	struct contexts c = many_contexts(5000);
	static const enum output_format formats[] = { OUTPUT_JSON, OUTPUT_EXPORT };
	uint64_t state = 1;
	char want[32];

	for (size_t k = 0; k < 2; k++) {
		begin(formats[k]);
		for (size_t i = 0; i < 30000; i++) {
			shown.contexts = i % 3 ? &c : &sample_contexts;
			shown.context = (uint32_t) (i % 3 ? random_u64(&state) % 5000 : i & 1);
			snprintf(want, sizeof want, k ? "\nN=%u\n" : "\"N\":\"%u\"", shown.context);
			cr_assert(eq(int, strstr(show(), want) != NULL,
				     i % 3 != 0 && shown.context > 0),
				  "%zu: %s in %s", i, want, (char *) out.data);
		}
		end();
	}
	free_many(&c);
}

Test(output, a_table_at_the_address_of_a_forgotten_one_is_its_own)
{
	static struct field other[] = { F("_COMM", "other") };
	struct context_entry at[] = { sample_chain[0] };
	struct contexts c = { .at = at, .n = 1 };
	static const enum output_format formats[] = { OUTPUT_JSON, OUTPUT_EXPORT, OUTPUT_SHORT };

	shown.contexts = &c;
	for (size_t k = 0; k < ELEMENTS(formats); k++) {
		begin(formats[k]);
		shown.contexts = &c;
		shown.context = 0;
		at[0] = sample_chain[0];
		cr_expect(strstr(show(), "host") != NULL);
		output_forget_contexts(&output);
		at[0].fields = other;
		at[0].n_fields = 1;
		cr_expect(strstr(show(), "host") == NULL);
		cr_expect(strstr((char *) out.data, "other") != NULL);
		end();
	}
	/* Before the first entry, and after the end, there is nothing to forget. */
	output_forget_contexts(&output);
	output_done(&output);
}

Test(output, a_chain_too_long_to_be_kept_is_shown_all_the_same)
{
	enum { LONG = 60000 };
	char *value = malloc(LONG);
	struct field f[] = { F("_COMM", "long"), F("_LONG", "") };
	struct context_entry at[] = { { .parent = -1, .fields = f, .n_fields = 2 } };
	struct contexts c = { .at = at, .n = 1 };

	cr_assert(value != NULL);
	memset(value, 'v', LONG);
	f[1].value = (const uint8_t *) value;
	f[1].value_len = LONG;
	for (int format = OUTPUT_SHORT; format <= OUTPUT_VERBOSE; format++) {
		begin((enum output_format) format);
		shown.contexts = &c;
		shown.context = 0;
		for (int i = 0; i < 3; i++) {
			bool all = format == OUTPUT_JSON || format == OUTPUT_EXPORT ||
				   format == OUTPUT_VERBOSE;

			cr_expect(eq(int, strlen(show()) > LONG, all), "format %d", format);
		}
		end();
	}
	free(value);
}

/* Limits. */

Test(output, a_buffer_without_memory_stays_as_it_is)
{
	struct buf bad = { .bad = true };

	for (int format = OUTPUT_SHORT; format <= OUTPUT_VERBOSE; format++) {
		begin((enum output_format) format);
		output.colour = true;
		message("\xff\n\x1b", 3);
		output_entry(&output, &shown, &bad);
		message("text", 4);
		output_entry(&output, &shown, &bad);
		output_end(&output, &bad);
		cr_expect(eq(sz, bad.len, 0), "format %d", format);
		end();
	}
	buf_done(&bad);
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Every field of an imported entry goes to one place and none is lost; entries of one source are known by the same fields.
 */

#include "collector/import_split.h"

#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

Suite(import_split);

enum { FIELDS = 32 };

static struct import_split *new_split(void)
{
	struct import_split *p = calloc(1, sizeof *p);

	cr_assert(ne(ptr, p, NULL));
	import_split_init(p);
	return p;
}

/* An entry out of words NAME=value. */
static struct import_entry entry_of(const char *const *words, struct field fields[FIELDS])
{
	struct import_entry e = { .fields = fields, .realtime_us = 7 };

	for (; *words; words++) {
		const char *equals = strchr(*words, '=');

		fields[e.n_fields++] = (struct field){
			.name = (const uint8_t *) *words,
			.name_len = (uint8_t) (equals - *words),
			.value = (const uint8_t *) equals + 1,
			.value_len = (uint32_t) strlen(equals + 1),
		};
	}
	return e;
}

static void note(struct buf *to, const struct field *f, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		buf_printf(to, "%s%.*s=%.*s", to->len > 0 ? " " : "", (int) f[i].name_len,
			   f[i].name, (int) f[i].value_len, f[i].value);
}

static const struct {
	const char *words[FIELDS], *source;
} sources[] = {
	{ { "MESSAGE=a", NULL }, "" },
	{ { "_COMM=c", "MESSAGE=a", NULL }, "_COMM=c" },
	{ { "_COMM=c", "SYSLOG_IDENTIFIER=i", NULL }, "SYSLOG_IDENTIFIER=i" },
	{ { "SYSLOG_IDENTIFIER=systemd", "UNIT=u", NULL }, "UNIT=u" },
	{ { "UNIT=u", "_SYSTEMD_UNIT=init.scope", "_HOSTNAME=h", NULL },
	  "_HOSTNAME=h _SYSTEMD_UNIT=init.scope" },
	{ { "_SYSTEMD_UNIT=user@1.service", "_SYSTEMD_USER_UNIT=u", "_MACHINE_ID=m", "_HOSTNAME=h",
	    NULL },
	  "_MACHINE_ID=m _HOSTNAME=h _SYSTEMD_USER_UNIT=u _SYSTEMD_UNIT=user@1.service" },
	{ { "CONTAINER_NAME=n", "CONTAINER_ID=1", "CONTAINER_ID_FULL=123", "_SYSTEMD_UNIT=d",
	    NULL },
	  "CONTAINER_ID_FULL=123" },
	{ { "_CONTAINER_NAME=n", "_CONTAINER_ID=1", "_SYSTEMD_UNIT=d", NULL }, "_CONTAINER_ID=1" },
	{ { "CONTAINER_NAME=n", "_SYSTEMD_UNIT=d", NULL }, "CONTAINER_NAME=n" },
	{ { "_SYSTEMD_UNIT=", "_COMM=a", "_COMM=b", NULL }, "_COMM=a" },
};

Test(import_split, a_source_is_named_by_the_best_that_is_there)
{
	struct import_split *p = new_split();

	for (size_t i = 0; i < ELEMENTS(sources); i++) {
		struct field fields[FIELDS];
		struct import_entry e = entry_of(sources[i].words, fields);
		struct import_source s;
		struct buf text = { 0 };

		import_source_of(p, &e, &s);
		note(&text, s.fields, s.n);
		buf_char(&text, '\0');
		cr_expect(eq(str, (char *) text.data, (char *) sources[i].source), "%zu", i);
		buf_done(&text);
	}
	free(p);
}

/* What an entry is split into, once its names are known for slow. */
static char *split_text(const char *const *words, struct import_split *p)
{
	struct field fields[FIELDS];
	struct import_entry e = entry_of(words, fields);
	struct import_names names = { 0 };
	struct import_source s;
	struct buf text = { 0 };

	import_source_of(p, &e, &s);
	import_split(p, &e, &s, &names);
	import_sort_slow(p);
	buf_printf(&text, "%.*s|%u|%u|", (int) p->entry.message_len,
		   p->entry.message ? (const char *) p->entry.message : "", p->entry.priority,
		   p->entry.flags);
	for (uint16_t i = 0; i < p->n_slow; i++)
		note(&text, &p->slow[i], 1);
	buf_char(&text, '\0');
	return (char *) text.data;
}

static const struct {
	const char *words[FIELDS], *want;
	bool no_message, no_priority;
} fixed[] = {
	{ { "MESSAGE=a", "PRIORITY=3", NULL }, "a|3|0|", false, false },
	{ { "A=1", NULL }, "|6|0| A=1", true, true },
	{ { "MESSAGE=", NULL }, "|6|0|", false, true },
	{ { "MESSAGE=a", "MESSAGE=b", "PRIORITY=1", "PRIORITY=2", NULL },
	  "a|1|0| MESSAGE=b PRIORITY=2",
	  false,
	  false },
	{ { "PRIORITY=8", NULL }, "|6|0| PRIORITY=8", true, true },
	{ { "PRIORITY=err", "PRIORITY=3", NULL }, "|3|0| PRIORITY=err", true, false },
	{ { "PRIORITY=06", NULL }, "|6|0| PRIORITY=06", true, true },
	{ { "_LINE_BREAK=eof", NULL }, "|6|2|", true, true },
	{ { "_LINE_BREAK=line-max", NULL }, "|6|1|", true, true },
	{ { "_LINE_BREAK=nul", NULL }, "|6|0| _LINE_BREAK=nul", true, true },
	{ { "_LINE_BREAK=eof", "_LINE_BREAK=line-max", NULL },
	  "|6|2| _LINE_BREAK=line-max",
	  true,
	  true },
	{ { "_ATTRIBUTION=channel", "_TENANT=t", "_IMPORT_UID=0", "_IMPORT=x", NULL },
	  "|6|0| _IMPORT=x _IMPORT_ATTRIBUTION=channel _IMPORT_IMPORT_UID=0 _IMPORT_TENANT=t",
	  true,
	  true },
	{ { "_COMM=c", "_COMM=d", NULL }, "|6|0| _COMM=d", true, true },
};

Test(import_split, each_field_goes_to_one_place)
{
	struct import_split *p = new_split();

	for (size_t i = 0; i < ELEMENTS(fixed); i++) {
		char *text = split_text(fixed[i].words, p);

		cr_expect(eq(str, text, (char *) fixed[i].want), "%zu", i);
		cr_expect(eq(int, p->no_message, fixed[i].no_message), "%zu", i);
		cr_expect(eq(int, p->no_priority, fixed[i].no_priority), "%zu", i);
		cr_expect(eq(u64, p->entry.time_ns, 7000));
		cr_expect(eq(u64, p->entry.received_ns, 7000));
		free(text);
	}
	free(p);
}

Test(import_split, what_changes_is_the_entrys_own)
{
	struct import_split *p = new_split();
	struct import_names names = { 0 };
	struct field fields[FIELDS];
	struct import_source s;
	char number[32];

	for (int i = 0; i < 100; i++) {
		struct import_entry e;

		snprintf(number, sizeof number, "N=%d", i);
		e = entry_of((const char *const[]){ "S=same", number, NULL }, fields);
		e.has_monotonic = true;
		e.n_omitted = 1;
		e.omitted[0] = (struct field){ .name = (const uint8_t *) "BIG", .name_len = 3 };
		import_source_of(p, &e, &s);
		import_split(p, &e, &s, &names);
		cr_assert(eq(int, p->n_slow + p->n_own, 5));
		if (i == 0)
			cr_assert(eq(int, p->n_slow, 2));
	}
	cr_expect(eq(int, p->n_slow, 1));
	cr_expect(eq(chr, (char) p->slow[0].name[0], 'S'));
	for (int i = 1; i < p->n_own; i++)
		cr_expect(lt(int, field_compare(&p->own[i - 1], &p->own[i]), 0));
	import_make_own(p);
	cr_expect(eq(int, p->n_slow, 0));
	cr_expect(eq(int, p->entry.n_fields, 5));
	for (int i = 1; i < p->n_own; i++)
		cr_expect(lt(int, field_compare(&p->own[i - 1], &p->own[i]), 0));
	free(p);
}

/* As many fields as there may be, in any order: all are there, sorted, and there is room for what is told. */
Test(import_split, the_largest_entry_fits)
{
	struct import_split *p = new_split();
	struct field *fields = calloc(IMPORT_FIELDS_MAX, sizeof *fields);
	struct import_entry e = { .fields = fields,
				  .n_fields = IMPORT_FIELDS_MAX,
				  .has_monotonic = true,
				  .n_omitted = 1000 };
	struct import_names names = { 0 };
	static char text[IMPORT_FIELDS_MAX][16];
	struct import_source s;
	uint64_t seed = 1;

	for (uint32_t i = 0; i < IMPORT_FIELDS_MAX; i++) {
		snprintf(text[i], sizeof text[i], "_IMPORT_%05u",
			 (unsigned) (random_u64(&seed) % 100000));
		fields[i] = (struct field){ .name = (uint8_t *) text[i],
					    .name_len = 13,
					    .value = (uint8_t *) text[i],
					    .value_len = 13 };
	}
	for (uint32_t i = 0; i < IMPORT_OMITTED_MAX; i++)
		e.omitted[i] = fields[i];
	import_source_of(p, &e, &s);
	import_split(p, &e, &s, &names);
	cr_expect(eq(int, p->n_slow + p->n_own, IMPORT_FIELDS_MAX + 2 + IMPORT_OMITTED_MAX));
	import_sort_slow(p);
	for (int i = 1; i < p->n_slow; i++)
		cr_assert(le(int, field_compare(&p->slow[i - 1], &p->slow[i]), 0));
	import_make_own(p);
	for (int i = 1; i < p->n_own; i++)
		cr_assert(le(int, field_compare(&p->own[i - 1], &p->own[i]), 0));
	free(fields);
	free(p);
}

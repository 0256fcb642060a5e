/* SPDX-License-Identifier: Apache-2.0 */

/**
 * However an export stream arrives, the same entries come out of it; what does not fit is told of; what is none is refused
 * where it is wrong, and never takes more memory than an entry.
 */

#include "collector/import_export.h"

#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

Suite(import_export);

#define TIME "__REALTIME_TIMESTAMP=1\n"

/* Entries as text: the times, then each field. */
static void note(struct buf *to, const struct import_entry *e)
{
	buf_printf(to, "%llu", (unsigned long long) e->realtime_us);
	if (e->has_monotonic)
		buf_printf(to, " %llu", (unsigned long long) e->monotonic_us);
	for (uint32_t i = 0; i < e->n_fields; i++) {
		buf_char(to, ' ');
		buf_append(to, e->fields[i].name, e->fields[i].name_len);
		buf_char(to, '=');
		buf_append(to, e->fields[i].value, e->fields[i].value_len);
	}
	for (uint32_t i = 0; i < MIN_OF(e->n_omitted, (uint32_t) IMPORT_OMITTED_MAX); i++) {
		buf_str(to, " -");
		buf_append(to, e->omitted[i].name, e->omitted[i].name_len);
	}
	if (e->n_omitted > 0)
		buf_printf(to, " -%u", e->n_omitted);
	buf_char(to, '\n');
}

struct parsed {
	struct buf text;
	int result;
	const char *error;
	uint64_t offset;
	size_t memory;
};

/* Parse a stream that arrives in pieces of `step` bytes. */
static struct parsed parse(const void *data, size_t n, size_t step)
{
	struct export_parser *p = calloc(1, sizeof *p);
	struct parsed ret = { 0 };
	struct import_entry e;
	size_t room;

	for (size_t at = 0; at < n && ret.result >= 0;) {
		uint8_t *to = export_room(p, &room);

		room = MIN_OF(MIN_OF(room, step - at % step), n - at);
		memcpy(to, (const uint8_t *) data + at, room);
		export_fed(p, room);
		at += room;
		while ((ret.result = export_next(p, &e)) > 0)
			note(&ret.text, &e);
		ret.memory = MAX_OF(ret.memory, p->text.cap);
	}
	if (ret.result >= 0)
		ret.result = export_end(p);
	ret.error = p->error;
	ret.offset = p->error_at;
	buf_char(&ret.text, '\0');
	export_done(p);
	free(p);
	return ret;
}

static const char good[] = "\n\n__CURSOR=x\n__REALTIME_TIMESTAMP=1700000000000001\n"
			   "__MONOTONIC_TIMESTAMP=5\n_BOOT_ID=b\nMESSAGE=a=b\nEMPTY=\n"
			   "BINARY\n\x05\0\0\0\0\0\0\0"
			   "\n=\0\n\n\nA=1\nA=2\nA=1\n"
			   "NOTHING\n\0\0\0\0\0\0\0\0\n"
			   "\n\n\n" TIME "lower.case-name=v\n\xff\xfe=\xff\n\n"
			   "__REALTIME_TIMESTAMP=18446744073709551\n__OMITTED=BIG\n\n";
static const char wanted[] =
	"1700000000000001 5 _BOOT_ID=b MESSAGE=a=b EMPTY= BINARY=\n=.\n\n A=1 A=2 A=1 NOTHING=\n"
	"1 lower.case-name=v \xff\xfe=\xff\n18446744073709551 -BIG -1\n";

Test(import_export, a_stream_comes_out_the_same_in_any_pieces)
{
	for (size_t step = 1; step <= sizeof good; step++) {
		struct parsed p = parse(good, sizeof good - 1, step);

		/* The one NUL of a value, for the text to be comparable. */
		for (size_t i = 0; i + 1 < p.text.len; i++)
			if (p.text.data[i] == '\0')
				p.text.data[i] = '.';
		cr_assert(eq(int, p.result, 0), "step %zu: %s", step, p.error);
		cr_assert(eq(str, (char *) p.text.data, (char *) wanted), "step %zu", step);
		buf_done(&p.text);
	}
}

/* Names that are looked for at their places, and others that begin like them stand there. */
Test(import_export, the_names_of_one_entry_say_nothing_of_the_next)
{
	static const char text[] =
		TIME "ABCDEFGHIJ=1\nK=2\nL=3\n\n" TIME "ABCDEFGHIJ=1\nK=2\nL=3\n\n" TIME
		     "ABCDEFGHIX=1\nKK=2\nL\n\x01\0\0\0\0\0\0\0=\n\n" TIME
		     "ABCDEFGHIJK=1\n__K=2\nL=\n\n" TIME "K=2\nABCDEFGHIJ=1\nL=3\n\n"
		     "L=3\nK==\nABCDEFGHI=1\n" TIME "\n";
	static const char want[] = "1 ABCDEFGHIJ=1 K=2 L=3\n1 ABCDEFGHIJ=1 K=2 L=3\n"
				   "1 ABCDEFGHIX=1 KK=2 L==\n1 ABCDEFGHIJK=1 L=\n"
				   "1 K=2 ABCDEFGHIJ=1 L=3\n1 L=3 K== ABCDEFGHI=1\n";

	for (size_t step = 1; step <= sizeof text; step++) {
		struct parsed p = parse(text, sizeof text - 1, step);

		cr_assert(eq(int, p.result, 0), "step %zu: %s", step, p.error);
		cr_assert(eq(str, (char *) p.text.data, (char *) want), "step %zu", step);
		buf_done(&p.text);
	}
}

/* More fields than places that are remembered, and names too long to be. */
Test(import_export, long_entries_and_long_names_come_out_the_same_again)
{
	struct buf text = { 0 }, want = { 0 };
	struct parsed p;

	for (unsigned entry = 0; entry < 3; entry++) {
		buf_str(&text, TIME);
		buf_char(&want, '1');
		for (unsigned i = 0; i < 200; i++) {
			buf_printf(&text, "N%0*u=%u\n", (int) (i % 70) + 1, i, i + entry);
			buf_printf(&want, " N%0*u=%u", (int) (i % 70) + 1, i, i + entry);
		}
		buf_char(&text, '\n');
		buf_char(&want, '\n');
	}
	buf_char(&want, '\0');
	p = parse(text.data, text.len, 1000);
	cr_expect(eq(int, p.result, 0), "%s", p.error);
	cr_expect(eq(str, (char *) p.text.data, (char *) want.data));
	buf_done(&p.text);
	buf_done(&text);
	buf_done(&want);
}

Test(import_export, every_truncation_is_noticed)
{
	static const char one[] = TIME "A=1\nB\n\x03\0\0\0\0\0\0\0a\nb\n\n";

	for (size_t n = 1; n < sizeof one - 1; n++) {
		uint8_t *copy = exact_copy(one, n);
		struct parsed p = parse(copy, n, n);

		cr_expect(eq(int, p.result, BULLA_EPARSE), "%zu", n);
		cr_expect(eq(str, (char *) p.error, (char *) "the end within an entry"), "%zu", n);
		buf_done(&p.text);
		free(copy);
	}
}

static const struct {
	const char *text;
	size_t n, offset;
	const char *error;
} bad[] = {
#define BAD(text, offset, error)                     \
	{                                            \
		text, sizeof text - 1, offset, error \
	}
	BAD("A=1\n\n", 5, "an entry without __REALTIME_TIMESTAMP"),
	BAD("__CURSOR=1\n\n", 12, "an entry without __REALTIME_TIMESTAMP"),
	BAD(TIME "=1\n\n", 23, "a field without a name"),
	BAD(TIME "A\0B=1\n\n", 23, "a name with a NUL"),
	BAD(TIME "A\0B\n\1\0\0\0\0\0\0\0x\n\n", 23, "a name with a NUL"),
	BAD(TIME "A\n\1\0\0\0\0\0\0\0xx\n\n", 23,
	    "a value that does not end where its length says"),
	BAD(TIME "A\n\1\0\0\0\1\0\0\0x\n\n", 23,
	    "a value of more than 1 GiB, or no length where one is due"),
	BAD(TIME "some text\nof another kind\n", 23,
	    "a value of more than 1 GiB, or no length where one is due"),
	BAD("__REALTIME_TIMESTAMP=\n\n", 0, "a time that is none"),
	BAD("__REALTIME_TIMESTAMP=-1\n\n", 0, "a time that is none"),
	BAD("__REALTIME_TIMESTAMP=1x\n\n", 0, "a time that is none"),
	BAD("__REALTIME_TIMESTAMP=18446744073709552\n\n", 0, "a time that is none"),
	BAD("__REALTIME_TIMESTAMP=18446744073709551617\n\n", 0, "a time that is none"),
	BAD(TIME "__MONOTONIC_TIMESTAMP=18446744073709551616\n\n", 23, "a time that is none"),
	BAD(TIME "\n" TIME "=\n", 47, "a field without a name"),
#undef BAD
};

Test(import_export, what_is_no_such_stream_is_refused_where_it_is_wrong)
{
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		for (size_t step = 1; step <= bad[i].n; step += bad[i].n - 1) {
			struct parsed p = parse(bad[i].text, bad[i].n, step);

			cr_expect(eq(int, p.result, BULLA_EPARSE), "%zu", i);
			cr_expect(eq(str, (char *) (p.error ? p.error : ""), (char *) bad[i].error),
				  "%zu", i);
			cr_expect(eq(u64, p.offset, bad[i].offset), "%zu", i);
			buf_done(&p.text);
		}
}

Test(import_export, what_came_before_an_error_comes_out)
{
	struct parsed p = parse(TIME "A=1\n\n" TIME "=\n\n", 2 * 23 + 8, 7);

	cr_expect(eq(int, p.result, BULLA_EPARSE));
	cr_expect(eq(str, (char *) p.text.data, (char *) "1 A=1\n"));
	buf_done(&p.text);
}

/* Limits. */

enum { WINDOW_MAX = 32 << 20 };

/* An entry with one field of so many bytes, between two small ones; as a line or with its length. */
static struct buf one_large(size_t name_len, size_t value_len, bool binary)
{
	struct buf b = { 0 };
	uint64_t size = value_len;

	buf_str(&b, TIME "A=1\n");
	memset(buf_room(&b, name_len), 'N', name_len);
	buf_add(&b, name_len);
	if (binary) {
		buf_char(&b, '\n');
		buf_append(&b, &size, sizeof size);
	} else {
		buf_char(&b, '=');
	}
	memset(buf_room(&b, value_len), 'v', value_len);
	buf_add(&b, value_len);
	buf_str(&b, "\nZ=2\n\n" TIME "MESSAGE=next\n\n");
	return b;
}

static bool ends_as(const struct parsed *p, const char *end)
{
	size_t n = strlen(end);

	return p->text.len > n && memcmp(p->text.data + p->text.len - 1 - n, end, n) == 0;
}

static void try_size(size_t name_len, size_t value_len, bool fits)
{
	for (unsigned i = 0; i < 4; i++) {
		struct buf b = one_large(name_len, value_len, i & 1);
		struct parsed p = parse(b.data, b.len, i & 2 ? 4097 : 256 << 10);
		bool there = strstr((char *) p.text.data, " N") != NULL;

		cr_expect(eq(int, p.result, 0), "%zu %zu %u: %s", name_len, value_len, i, p.error);
		cr_expect(eq(int, there, fits), "%zu %zu %u", name_len, value_len, i);
		cr_expect(ends_as(&p, "\n1 MESSAGE=next\n"), "%zu %zu %u", name_len, value_len, i);
		cr_expect(eq(int, strstr((char *) p.text.data, "1 A=1") != NULL, 1));
		cr_expect(eq(int, strstr((char *) p.text.data, " Z=2") != NULL, 1));
		cr_expect(eq(int, strstr((char *) p.text.data, " -1\n") != NULL, !fits),
			  "%zu %zu %u", name_len, value_len, i);
		cr_expect(lt(sz, p.memory, (size_t) WINDOW_MAX));
		buf_done(&p.text);
		buf_done(&b);
	}
}

Test(import_export, a_value_that_does_not_fit_is_told_of)
{
	enum { SMALL = 2 };

	/* A=1 before it is two bytes; and Z=2 behind it two more, which then do not fit. */
	try_size(4, IMPORT_SIZE_MAX - 4 - 2 * SMALL, true);
	try_size(4, IMPORT_SIZE_MAX - 4 - SMALL + 1, false);
	/* Cut within its last bytes. */
	for (size_t cut = 1; cut < 12; cut++) {
		struct buf b = one_large(4, IMPORT_SIZE_MAX - 8, false);
		struct parsed p =
			parse(b.data, b.len, STRLEN(TIME) + 4 + IMPORT_SIZE_MAX - 3 + cut);

		cr_expect(eq(int, p.result, 0));
		cr_expect(eq(int, strstr((char *) p.text.data, " -") == NULL, 1), "%zu", cut);
		buf_done(&p.text);
		buf_done(&b);
	}
	try_size(4, 3 * IMPORT_SIZE_MAX, false);
	try_size(4, 40 << 20, false);
}

Test(import_export, a_name_that_does_not_fit_is_told_of)
{
	try_size(FIELD_NAME_MAX, 10, true);
	try_size(FIELD_NAME_MAX + 1, 10, false);
	try_size(5 << 20, 10, false);
	try_size(5 << 20, 5 << 20, false);
}

Test(import_export, an_address_is_taken_whatever_the_entry_has)
{
	struct buf b = { 0 };
	uint64_t size = IMPORT_SIZE_MAX - 1;

	buf_str(&b, "A\n");
	buf_append(&b, &size, sizeof size);
	memset(buf_room(&b, size), 'v', size);
	buf_add(&b, size);
	buf_str(&b, "\n__CURSOR=0123456789\n" TIME "\n");
	for (size_t cut = 1; cut < 50; cut++) {
		struct parsed p = parse(b.data, b.len, b.len - cut);

		cr_expect(eq(int, p.result, 0), "%zu: %s", cut, p.error);
		cr_expect(eq(int, strncmp((char *) p.text.data, "1 A=v", 5), 0));
		buf_done(&p.text);
	}
	buf_done(&b);
}

Test(import_export, fields_beyond_the_limit_are_counted)
{
	for (int n = IMPORT_FIELDS_MAX; n <= IMPORT_FIELDS_MAX + 40; n += 20) {
		struct buf b = { 0 };
		struct parsed p;
		char want[32];

		buf_str(&b, TIME);
		for (int i = 0; i < n; i++)
			buf_printf(&b, "F%d=%d\n", i, i);
		buf_char(&b, '\n');
		p = parse(b.data, b.len, b.len);
		snprintf(want, sizeof want, " -%d\n", n - IMPORT_FIELDS_MAX);
		cr_expect(eq(int, p.result, 0));
		cr_expect(eq(int, ends_as(&p, want), n > IMPORT_FIELDS_MAX), "%d", n);
		cr_expect(eq(int, strstr((char *) p.text.data, " F999=999") != NULL, 1));
		buf_done(&p.text);
		buf_done(&b);
	}
}

Test(import_export, what_is_not_kept_takes_no_memory)
{
	static char cursor[100 << 10];
	struct buf b = { 0 };
	struct parsed p;

	memset(cursor, 'c', sizeof cursor - 1);
	buf_str(&b, TIME);
	for (int i = 0; i < 400; i++)
		buf_printf(&b, "__CURSOR=%s\nA%d=%d\n", cursor, i, i);
	buf_str(&b, "\n");
	p = parse(b.data, b.len, 10000);
	cr_expect(eq(int, p.result, 0));
	cr_expect(lt(sz, p.memory, (size_t) 2 << 20));
	cr_expect(ends_as(&p, " A398=398 A399=399\n"));
	cr_expect(eq(int, strncmp((char *) p.text.data, "1 A0=0 A1=1 A2=2 ", 17), 0));
	buf_done(&p.text);
	buf_done(&b);
}

/* SPDX-License-Identifier: Apache-2.0 */

/** Fields are written once, read back as they were, and nothing is read that no writer would have written. */

#include "store/segment/field_table.h"

#include "tests/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "bulla/error.h"
#include "store/format.h"
#include "store/segment/segment.h"
#include "store/segment/writer.h"

Suite(field_table);

static struct field field(const char *name, const char *value)
{
	return (struct field){ (const uint8_t *) name, (const uint8_t *) value,
			       (uint32_t) strlen(value), (uint8_t) strlen(name) };
}

Test(field_table, fields_are_written_once_and_come_back)
{
	struct field fields[] = { field("B", "2"), field("A", "x"),  field("B", "10"),
				  field("A", "x"), field("A", "xy"), field("AB", "") };
	static const uint32_t numbers[] = { 4, 0, 3, 0, 1, 2 };
	const struct field *given[ELEMENTS(fields)];
	uint32_t number[ELEMENTS(fields)];
	struct field_table t;
	struct buf b = { 0 };
	struct rd r;

	for (size_t i = 0; i < ELEMENTS(fields); i++)
		given[i] = &fields[i];
	cr_assert(eq(int, field_table_put(given, ELEMENTS(given), number, &b), 0));
	r = rd_of(b.data, b.len);
	cr_assert(eq(int, field_table_read(&r, &t), 0));
	cr_expect(eq(sz, r.left, 0));
	cr_expect(eq(u32, t.n, 5));
	for (size_t i = 0; i < ELEMENTS(fields); i++) {
		cr_expect(eq(u32, number[i], numbers[i]), "%zu", i);
		cr_expect(eq(int, field_compare(&t.at[number[i]], &fields[i]), 0), "%zu", i);
	}
	field_table_done(&t);
	buf_done(&b);
}

Test(field_table, of_nothing_there_is_an_empty_table)
{
	struct field_table t;
	struct buf b = { 0 };
	struct rd r;

	cr_assert(eq(int, field_table_put(NULL, 0, NULL, &b), 0));
	r = rd_of(b.data, b.len);
	cr_assert(eq(int, field_table_read(&r, &t), 0));
	cr_expect(eq(u32, t.n, 0));
	cr_expect(eq(int, field_table_take(&t, &r, 0, NULL), 0));
	field_table_done(&t);
	buf_done(&b);
}

static int read_bytes(const void *bytes, size_t n)
{
	uint8_t *alone = malloc(n);
	struct rd r = rd_of(alone, n);
	struct field_table t;
	int error;

	/* In memory of its own, for a sanitizer to see its end. */
	cr_assert(alone != NULL);
	memcpy(alone, bytes, n);
	error = field_table_read(&r, &t);
	if (error >= 0)
		field_table_done(&t);
	free(alone);
	return error;
}

#define READ(bytes) read_bytes(bytes, sizeof(bytes) - 1)

Test(field_table, what_no_writer_writes_is_refused)
{
	cr_expect(eq(int, READ("\2\1A\1x\1A\1y"), 0));
	cr_expect(eq(int, READ("\2\1A\1y\1A\1x"), BULLA_ECORRUPT), "not in order");
	cr_expect(eq(int, READ("\2\1A\1x\1A\1x"), BULLA_ECORRUPT), "twice");
	cr_expect(eq(int, READ("\1\1=\1x"), BULLA_ECORRUPT), "a name with =");
	cr_expect(eq(int, READ("\1\0\2xy"), BULLA_ECORRUPT), "no name");
	cr_expect(eq(int, READ("\1\1A\3xy"), BULLA_ECORRUPT), "a value that ends too early");
	cr_expect(eq(int, READ("\3\1A\1x\1A\1y"), BULLA_ECORRUPT), "more than there are");
	cr_expect(eq(int, READ("\1\1A\377\377\377\377\377\1x"), BULLA_ECORRUPT), "no length");
	cr_expect(eq(int, READ("\201\200\200\2"), BULLA_ECORRUPT), "more than there may be");
}

Test(field_table, every_truncation_is_refused)
{
	static const char whole[] = "\2\1A\1x\2AB\3abc";

	cr_assert(eq(int, READ(whole), 0));
	for (size_t n = 0; n < sizeof whole - 1; n++)
		cr_expect(eq(int, read_bytes(whole, n), BULLA_ECORRUPT), "%zu", n);
}

Test(field_table, numbers_are_of_fields_that_there_are)
{
	static const uint8_t table[] = "\2\1A\1x\1B\1y";
	static const struct {
		const char *bytes;
		size_t n;
		int r;
	} cases[] = {
		{ "\0\1", 2, 0 },
		{ "\1\0", 2, 0 },
		{ "\2", 1, BULLA_ECORRUPT },
		{ "\1\1", 2, BULLA_ECORRUPT },
		{ "\0\377\377\377\377\377\377\377\377\377\1", 2, BULLA_ECORRUPT },
		{ "\0", 2, BULLA_ECORRUPT },
	};
	struct rd r = rd_of(table, sizeof table - 1);
	struct field_table t;
	struct field got[2];

	cr_assert(eq(int, field_table_read(&r, &t), 0));
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		size_t size = MAX_OF(strlen(cases[i].bytes), cases[i].n);

		r = rd_of(cases[i].bytes, i == 5 ? 1 : size);
		cr_expect(eq(int, field_table_take(&t, &r, cases[i].n, got), cases[i].r), "%zu", i);
	}
	field_table_done(&t);
}

Test(field_table, more_than_there_may_be_is_no_table)
{
	struct field f = field("A", "x");
	const struct field **given = calloc(SEGMENT_FIELDS_MAX + 1, sizeof *given);
	uint32_t *number = calloc(SEGMENT_FIELDS_MAX + 1, sizeof *number);
	struct buf b = { 0 };

	cr_assert(given != NULL && number != NULL);
	for (size_t i = 0; i <= SEGMENT_FIELDS_MAX; i++)
		given[i] = &f;
	cr_expect(
		eq(int, field_table_put(given, SEGMENT_FIELDS_MAX + 1, number, &b), BULLA_ELIMIT));
	cr_expect(eq(int, field_table_put(given, SEGMENT_FIELDS_MAX, number, &b), 0));
	free(given);
	free(number);
	buf_done(&b);
}

/* Journals, each with as many contexts of the largest size as it may have. */
static int write_contexts(const char *path, uint32_t journals)
{
	static const uint8_t bytes[CONTEXT_SIZE_MAX];
	struct field f = { (const uint8_t *) "A", bytes, CONTEXT_SIZE_MAX - 43, 1 };
	struct contexts c[4] = { 0 };
	static struct seeds seeds;
	struct segment_writer w;
	int64_t r = 0;

	cr_assert(eq(int, segment_writer_open(&w, AT_FDCWD, path, 1), 0));
	cr_assert(eq(i64, segment_writer_origin(&w, &(struct id){ "an origin" }, 0), 0));
	for (uint32_t j = 0; j < journals; j++) {
		struct segment_source source = { .id = { { (uint8_t) j } },
						 .contexts = &c[j],
						 .seeds = &seeds };

		/* The last one has but one. */
		do
			r = contexts_add_child(&c[j], c[j].n > 0 ? 0 : -1, &f, 1);
		while (j < 2 && r >= 0 && c[j].n < CONTEXTS_SIZE_MAX / CONTEXT_SIZE_MAX);
		cr_assert(ge(i64, r, 0));
		cr_assert(eq(i64, segment_writer_journal(&w, &source), j));
	}
	r = segment_writer_finish(&w, NULL, 0);
	segment_writer_close(&w);
	for (uint32_t j = 0; j < journals; j++)
		contexts_done(&c[j]);
	return (int) MIN_OF(r, (int64_t) 0);
}

Test(field_table, contexts_of_a_segment_have_so_many_bytes_and_no_more)
{
	char path[4096];
	struct segment s;

	snprintf(path, sizeof path, "%s/too-large.segment", tempdir());
	cr_expect(eq(int, write_contexts(path, 3), BULLA_ELIMIT));
	snprintf(path, sizeof path, "%s/large.segment", tempdir());
	cr_assert(eq(int, write_contexts(path, 2), 0));
	cr_assert(eq(int, segment_open(&s, open(path, O_RDONLY | O_CLOEXEC)), 0));
	cr_expect(eq(u32, s.journals[1].contexts.n, CONTEXTS_SIZE_MAX / CONTEXT_SIZE_MAX));
	segment_close(&s);
}

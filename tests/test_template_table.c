/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The table of a segment's templates has each of them twice: its key, and the kinds of its variables.
 */

#include "store/segment/template_table.h"

#include "tests/harness.h"

#include <fcntl.h>

#include "bulla/error.h"
#include "store/segment/segment.h"

Suite(template_table);

/* So many parts, of which some follow, each of one template in so many bytes. */
static void put_parts(struct buf *footer, uint64_t parts, uint64_t follow, uint64_t raw)
{
	buf_varint(footer, parts);
	for (uint64_t i = 0; i < follow; i++) {
		buf_varint(footer, 1);
		buf_varint(footer, SEGMENT_HEADER_SIZE);
		buf_varint(footer, 1);
		buf_varint(footer, raw);
		buf_append(footer, "\0\0\0", 4);
	}
}

/* What a footer says of a table, and of the kinds in it. */
static int read_tables(uint64_t parts, uint64_t follow, uint64_t raw, uint64_t kinds,
		       uint64_t raw_kinds)
{
	struct template_table *t = NULL;
	struct buf footer = { 0 };
	struct rd r;
	int error;

	put_parts(&footer, parts, follow, raw);
	put_parts(&footer, kinds, kinds, raw_kinds);
	r = rd_of(footer.data, footer.len);
	error = template_table_read(&r, &t);
	template_table_free(t);
	buf_done(&footer);
	return error;
}

static int read_table(uint64_t parts, uint64_t follow, uint64_t raw)
{
	return read_tables(parts, follow, raw, parts, 1);
}

/* All parts may be of the same few bytes of the file: together they take no more memory than one block. */
Test(template_table, templates_have_their_limit_in_all_parts_together)
{
	cr_expect(eq(int, read_table(0, 0, 0), 0));
	cr_expect(eq(int, read_table(1, 1, BLOCK_SIZE_MAX), 0));
	cr_expect(eq(int, read_table(2, 2, BLOCK_SIZE_MAX / 2), 0));
	cr_expect(eq(int, read_table(2, 2, BLOCK_SIZE_MAX / 2 + 1), BULLA_ECORRUPT));
	cr_expect(eq(int, read_table(1000, 1000, BLOCK_SIZE_MAX), BULLA_ECORRUPT));
	cr_expect(eq(int, read_tables(2, 2, 1, 2, BLOCK_SIZE_MAX / 2 + 1), BULLA_ECORRUPT));
	/* Parts that the footer has no room for get no memory, either. */
	cr_expect(eq(int, read_table(1000, 999, 1), BULLA_ECORRUPT));
	cr_expect(eq(int, read_table(TEMPLATES_MAX + 1, TEMPLATES_MAX + 1, 1), BULLA_ECORRUPT));
}

Test(template_table, each_template_has_its_kinds)
{
	cr_expect(eq(int, read_tables(2, 2, 1, 2, 1), 0));
	cr_expect(eq(int, read_tables(2, 2, 1, 1, 1), BULLA_ECORRUPT));
	cr_expect(eq(int, read_tables(2, 2, 1, 3, 1), BULLA_ECORRUPT));
}

Test(template_table, has_the_kinds_that_keys_have)
{
	struct block_scratch scratch = { 0 };
	const struct template *t;
	struct segment s;
	struct text kinds;
	uint32_t slots = 0;

	cr_assert(eq(int, segment_open(&s, open(GOLDEN_DIR "/lines.segment", O_RDONLY | O_CLOEXEC)),
		     0));
	for (uint32_t i = 0; i < template_table_size(s.templates); i++) {
		cr_assert(eq(int, template_table_kinds(s.templates, s.fd, i, &scratch, &kinds), 0));
		cr_assert(eq(int, template_table_get(s.templates, s.fd, i, &scratch, &t), 0));
		cr_assert(eq(u32, kinds.len, t->n));
		for (unsigned k = 0; k < t->n; k++)
			cr_expect(eq(int, kinds.p[k], t->slots[k].kind));
		slots += t->n;
	}
	cr_expect(gt(u32, slots, 10));
	cr_expect(eq(int,
		     template_table_kinds(s.templates, s.fd, template_table_size(s.templates),
					  &scratch, &kinds),
		     BULLA_ECORRUPT));
	block_scratch_done(&scratch);
	segment_close(&s);
}

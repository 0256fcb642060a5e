/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What there is to read, in directories that are empty, damaged, or being written.
 */

#include "query/catalog.h"

#include "tests/harness.h"
#include "tests/tails.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

Suite(catalog);

static struct tails t;
static struct local_catalog c;

static size_t rows(void)
{
	size_t n = 0;

	for (uint32_t i = 0; i < c.n; i++)
		for (size_t k = 0; k < c.journals[i]->rows.n; k++)
			n += c.journals[i]->rows.at[k].count;
	return n;
}

static void build(void)
{
	cr_assert(eq(int, local_catalog_build(&c, &t.state), 0));
}

static void end(void)
{
	local_catalog_done(&c);
	tails_done(&t);
}

/* A journal of `n` frames of one entry, every one in the same context, the last three not cut. */
static void make(int n)
{
	tails_init(&t, tempdir());
	tails_open(&t, "web");
	for (int i = 0; i < n; i++) {
		tails_say(&t, 0, 1000 + (uint64_t) i, "hello");
		if (i == n - 4)
			tails_cut(&t, 0);
		tails_flush(&t, 0);
	}
}

Test(catalog, an_empty_directory_has_no_journals)
{
	tails_init(&t, tempdir());
	build();
	cr_expect(zero(u32, c.n));
	cr_expect(zero(u32, c.n_unusable));
	end();
}

Test(catalog, tells_what_has_been_cut)
{
	make(10);
	build();
	cr_assert(eq(u32, c.n, 1));
	cr_expect(eq(sz, c.journals[0]->rows.n, 10));
	cr_expect(eq(sz, c.journals[0]->rows.n_uncut, 3));
	cr_expect(c.journals[0]->rows.at[6].has_mono);
	cr_expect(not(c.journals[0]->rows.at[7].has_mono));
	end();
}

Test(catalog, other_files_are_no_journals)
{
	static const char *const names[] = { "x", "README.tail",
					     "0123456789ABCDEF0123456789ABCDEF.tail" };

	make(3);
	for (size_t i = 0; i < ELEMENTS(names); i++)
		close(openat(t.state.journals, names[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	build();
	cr_expect(eq(u32, c.n, 1));
	cr_expect(zero(u32, c.n_unusable));
	end();
}

Test(catalog, a_tail_that_is_just_made_or_no_tail_spares_the_others)
{
	static const char junk[200] = "this is no tail";
	int fd;

	make(3);
	close(openat(t.state.journals, "0123456789abcdef0123456789abcdef.tail",
		     O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	fd = openat(t.state.journals, "1123456789abcdef0123456789abcdef.tail",
		    O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert(eq(long, write(fd, junk, sizeof junk), (long) sizeof junk));
	close(fd);
	build();
	cr_expect(eq(u32, c.n, 1));
	cr_expect(eq(u32, c.n_unusable, 1));
	cr_expect(eq(sz, rows(), 3));
	end();
}

Test(catalog, a_broken_head_costs_one_frame)
{
	uint64_t at;

	for (int byte = 0; byte < 12; byte++) {
		make(20);
		build();
		at = c.journals[0]->rows.at[9].offset;
		local_catalog_done(&c);
		tails_flip(&t, 0, at + (uint64_t) byte);
		build();
		/* A checksum is looked at only by whoever reads the rows. */
		cr_expect(eq(sz, rows(), byte < 8 ? 19 : 20), "byte %d", byte);
		cr_expect(eq(u64, c.n_damaged, byte < 8), "byte %d", byte);
		end();
		harness_teardown();
	}
}

Test(catalog, behind_a_lost_context_nobody_gets_anothers_fields)
{
	struct entry e = { .time_ns = 1, .received_ns = 1 };
	uint32_t first, second, third;
	uint64_t at;

	tails_init(&t, tempdir());
	tails_open(&t, "web");
	first = tails_context(&t, 0, 0, "T=1");
	tails_add(&t, 0, &e, first);
	tails_flush(&t, 0);
	at = tails_end(&t, 0);
	second = tails_context(&t, 0, 0, "T=2");
	third = tails_context(&t, 0, 0, "T=3");
	tails_add(&t, 0, &e, second);
	tails_add(&t, 0, &e, third);
	tails_flush(&t, 0);
	tails_flip(&t, 0, at + 30);
	build();
	cr_expect(eq(u32, c.journals[0]->tail.contexts.n, first + 1));
	cr_expect(c.journals[0]->rows.contexts_lost);
	cr_expect(eq(u64, c.n_damaged, 1));
	cr_expect(eq(sz, rows(), 3));
	end();
}

Test(catalog, a_torn_end_is_not_there_yet)
{
	uint64_t end_at;

	make(5);
	end_at = tails_end(&t, 0);
	for (uint64_t cut = 1; cut < 200; cut += 7) {
		char name[TAIL_NAME_SIZE];
		int fd;

		tail_name(&t.at[0].header.journal, name);
		fd = openat(t.state.journals, name, O_WRONLY | O_CLOEXEC);
		cr_assert(zero(int, ftruncate(fd, (off_t) (end_at - cut))));
		close(fd);
		build();
		cr_expect(lt(sz, rows(), 5), "cut %llu", (unsigned long long) cut);
		cr_expect(zero(u64, c.n_damaged), "cut %llu", (unsigned long long) cut);
		cr_expect(le(u64, c.journals[0]->tail.frames.offset, end_at - cut));
		local_catalog_done(&c);
	}
	tails_done(&t);
}

/* SPDX-License-Identifier: Apache-2.0 */

/** The ledger's files: a row of them is read like one, and none can be missing. */

#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "bulla/error.h"
#include "seal/ledger.h"
#include "seal/packed.h"
#include "tests/maker.h"

TestSuite(ledger, .fini = harness_teardown);

static int dir;

/* The story of a maker, a file for each commit but the first, with its keys. */
static void write_story(struct maker *m)
{
	struct ledger l;
	uint64_t next = 0;

	dir = open(tempdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert(ge(int, dir, 0));
	maker_init(m, "story", (struct kes_params){ 2, 2 });
	maker_story(m);
	ledger_file_size = 1;
	cr_assert(eq(int, ledger_create(&l, dir), 0));
	for (size_t i = 0; i < m->n; i++) {
		if (m->record[i].type == LEDGER_HEADER)
			continue;
		ledger_rotate(&l, next);
		next += m->record[i].type == LEDGER_COMMIT;
		cr_assert(eq(
			int,
			ledger_append(&l, m->record[i].type, maker_bytes(m, i), m->record[i].len),
			0));
	}
	ledger_close(&l);
}

static int read_all(struct history *h, struct ledger_scan *scan)
{
	struct ledger l;
	int r = ledger_open(&l, dir, O_RDONLY, h, HISTORY_CHECK_ALL, NULL, NULL, scan);
	int beyond = r < 0 ? 0 : ledger_has_beyond(&l, history_size(h));

	if (r >= 0)
		ledger_close(&l);
	return r < 0 ? r : beyond;
}

static void done(struct maker *m)
{
	maker_done(m);
	close(dir);
}

static void remove_file(uint64_t first)
{
	char name[LEDGER_NAME_SIZE];

	ledger_name(first, name);
	cr_assert(eq(int, unlinkat(dir, name, 0), 0), "%s", name);
}

Test(ledger, a_row_of_files_is_read_like_one)
{
	struct history *h = history_new();
	struct ledger_scan scan;
	uint64_t *firsts;
	struct maker m;

	write_story(&m);
	cr_assert(eq(i64, ledger_files(dir, &firsts), (int64_t) history_size(m.h)));
	free(firsts);
	cr_expect(eq(int, read_all(h, &scan), 0));
	cr_expect(eq(u64, history_size(h), history_size(m.h)));
	cr_expect(zero(u64, scan.damaged_at));
	history_free(h);
	done(&m);
}

Test(ledger, a_file_that_is_missing_in_the_row_is_noticed)
{
	struct ledger_scan scan;
	struct maker m;

	write_story(&m);
	for (uint64_t first = history_size(m.h) - 2; first > 0; first--) {
		struct history *h = history_new();

		remove_file(first);
		cr_expect(eq(int, read_all(h, &scan), 1), "%llu", (unsigned long long) first);
		cr_expect(eq(u64, history_size(h), first));
		history_free(h);
	}
	done(&m);
}

Test(ledger, who_follows_goes_on_in_the_next_file)
{
	struct history *h = history_new();
	struct ledger_scan scan;
	struct ledger l;
	struct maker m;
	char name[LEDGER_NAME_SIZE];
	int fd;

	write_story(&m);
	ledger_name(3, name);
	/* As if the file were on its way. */
	cr_assert(eq(int, renameat(dir, name, dir, "x"), 0));
	cr_assert(eq(int, ledger_open(&l, dir, O_RDONLY, h, HISTORY_CHECK_ALL, NULL, NULL, &scan),
		     0));
	cr_expect(eq(u64, history_size(h), 3));
	cr_expect(eq(int, ledger_catch_up(&l, h, HISTORY_CHECK_ALL, NULL, NULL, &scan), 0));
	cr_expect(eq(u64, history_size(h), 3));
	cr_assert(eq(int, renameat(dir, "x", dir, name), 0));
	cr_expect(eq(int, ledger_catch_up(&l, h, HISTORY_CHECK_ALL, NULL, NULL, &scan), 0));
	cr_expect(eq(u64, history_size(h), history_size(m.h)));
	ledger_close(&l);
	/* One that begins elsewhere than its name says. */
	ledger_name(2, name);
	cr_assert(eq(int, renameat(dir, "00000000000000000003.ledger", dir, name), 0));
	h = history_free(h);
	h = history_new();
	cr_expect(eq(int, read_all(h, &scan), BULLA_EORDER));
	cr_expect(eq(int, scan.error, BULLA_EORDER));
	/* One that is none. */
	cr_assert(eq(int, unlinkat(dir, name, 0), 0));
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(eq(int, io_write(fd, "nothing of the kind", 19), 0));
	close(fd);
	h = history_free(h);
	h = history_new();
	cr_expect(eq(int, read_all(h, &scan), 1), "what is behind it is not reached");
	cr_expect(eq(u64, history_size(h), 2));
	history_free(h);
	done(&m);
}

Test(ledger, names_have_one_spelling)
{
	static const char *const wrong[] = { "1.ledger",
					     "0000000000000000001.ledger",
					     "00000000000000000001.ledger~",
					     "-0000000000000000001.ledger",
					     "+0000000000000000001.ledger",
					     " 0000000000000000001.ledger",
					     "99999999999999999999.ledger",
					     "next" };
	uint64_t first;

	cr_expect(ledger_name_parse("00000000000000000001.ledger", &first));
	cr_expect(eq(u64, first, 1));
	for (size_t i = 0; i < ELEMENTS(wrong); i++)
		cr_expect(not(ledger_name_parse(wrong[i], &first)), "%s", wrong[i]);
}

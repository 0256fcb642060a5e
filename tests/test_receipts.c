/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Receipts are kept whole, one for each destination, however many forwarders keep one at once.
 */

#include "store/receipts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tests/harness.h"

Suite(receipts);

static void begin(struct state *s)
{
	cr_assert(eq(int, state_open(s, tempdir(), true), 0));
}

/* A receipt for `size` commits, that nobody has signed. */
static int keep(const struct state *s, const char *destination, uint64_t size)
{
	_cleanup_buf_ struct buf note = { 0 };
	struct receipt r = { .size = size, .time_ns = size };
	struct id origin = { { 1 } };
	char text[CHECKPOINT_SIZE_MAX];

	memset(r.root.b, (int) size, sizeof r.root.b);
	strcpy(r.destination, destination);
	buf_append(&note, text, checkpoint_write(&origin, size, &r.root, text));
	/* Long, so that it takes a while. */
	for (uint64_t i = 0; i < size % 40; i++)
		buf_str(&note, "\nsomebody's line\n");
	return receipts_keep(s, &r, (const char *) note.data, note.len);
}

struct found {
	unsigned n;
	uint64_t size;
	bool torn;
};

static int look(void *arg, const struct receipt *r)
{
	struct found *f = arg;

	f->n++;
	f->size = MAX_OF(f->size, r->size);
	f->torn |= r->root.b[0] != (uint8_t) r->size || r->time_ns != r->size;
	return 0;
}

Test(receipts, each_destination_has_its_last)
{
	struct found found = { 0 };
	struct state s;

	begin(&s);
	cr_assert(eq(int, keep(&s, "http://a", 3), 0));
	cr_assert(eq(int, keep(&s, "http://b", 9), 0));
	/* Also one for less: what an aggregator says that has lost its store. */
	cr_assert(eq(int, keep(&s, "http://b", 2), 0));
	cr_assert(eq(int, receipts_each(&s, look, &found), 0));
	cr_expect(eq(u32, found.n, 2));
	cr_expect(eq(u64, found.size, 3));
	state_close(&s);
}

Test(receipts, several_may_keep_one_at_once)
{
	enum { KEEPERS = 4, TIMES = 60 };
	struct found found = { 0 };
	struct state s;
	pid_t pid[KEEPERS];

	begin(&s);
	for (int k = 0; k < KEEPERS; k++) {
		pid[k] = fork();
		cr_assert(ge(int, pid[k], 0));
		for (uint64_t i = 1; pid[k] == 0 && i <= TIMES; i++)
			if (keep(&s, "http://a", i) < 0)
				_exit(1);
		if (pid[k] == 0)
			_exit(0);
	}
	for (int k = 0; k < KEEPERS; k++) {
		int status;

		cr_assert(eq(int, waitpid(pid[k], &status, 0), pid[k]));
		cr_expect(eq(int, status, 0), "keeper %d", k);
	}
	cr_assert(eq(int, receipts_each(&s, look, &found), 0));
	cr_expect(eq(u32, found.n, 1));
	cr_expect(eq(u64, found.size, TIMES));
	cr_expect(not(found.torn));
	state_close(&s);
}

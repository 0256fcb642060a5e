/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Between an answer and what follows it nothing is missed and nothing comes twice, however fast others write.
 */

#include "query/follow.h"

#include "tests/harness.h"
#include "tests/tails.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

Suite(follow);

/*
 * A reader: what it was told, as the messages "WRITER JOURNAL NUMBER" in their order.  One that began before anything was
 * written sees all numbers of a writer.  Another one's beginning is that of each journal, as it was indexed: it sees all
 * numbers of a journal from then on.
 */

/* A reader that has no processor must not find ever more to read: writers rest at LINES_MAX. */
enum { WRITERS = 2, JOURNALS = 1024, BURST = 100, LINES_MAX = 20000 };

struct reader {
	struct request request;
	struct local_catalog catalog;
	struct follower follower;
	struct answer answer;
	struct buf line;
	int64_t last[WRITERS];		    /* number seen last, or -1 */
	int64_t last_in[WRITERS][JOURNALS]; /* in each journal, plus 1; or 0 */
	bool from_start;
	size_t n_seen;
	char trouble[128];
};

static void see(struct reader *r, const char *line)
{
	unsigned writer, journal;
	long long number;
	int64_t *last_in;

	if (sscanf(line, "%u %u %lld", &writer, &journal, &number) != 3 || writer >= WRITERS ||
	    journal >= JOURNALS) {
		snprintf(r->trouble, sizeof r->trouble, "what is \"%.50s\"?", line);
		return;
	}
	last_in = &r->last_in[writer][journal];
	if (r->from_start && number != r->last[writer] + 1)
		snprintf(r->trouble, sizeof r->trouble, "writer %u: %lld behind %lld", writer,
			 number, (long long) r->last[writer]);
	if (*last_in != 0 && number != *last_in)
		snprintf(r->trouble, sizeof r->trouble, "writer %u, journal %u: %lld behind %lld",
			 writer, journal, number, (long long) *last_in - 1);
	r->last[writer] = number;
	*last_in = number + 1;
	r->n_seen++;
}

static int read_lines(void *arg, const void *data, size_t n)
{
	struct reader *r = arg;

	for (const char *p = data; n > 0; p++, n--) {
		if (*p != '\n') {
			buf_char(&r->line, *p);
			continue;
		}
		buf_char(&r->line, '\0');
		see(r, (const char *) r->line.data);
		buf_clear(&r->line);
	}
	return 0;
}

static void reader_open(struct reader *r, const struct tails *t, uint64_t newest)
{
	char why[256], number[24];

	memset(r, 0, sizeof *r);
	memset(r->last, 0xff, sizeof r->last);
	r->from_start = newest == UINT64_MAX;
	cr_assert(zero(int, request_init(&r->request)));
	snprintf(number, sizeof number, "%llu", (unsigned long long) newest);
	cr_assert(zero(int, request_set(&r->request, "limit", number, why)));
	cr_assert(zero(int, request_set(&r->request, "newest", "1", why)));
	cr_assert(zero(int, request_set(&r->request, "output", "cat", why)));
	r->request.follow = true;
	answer_init(&r->answer, &r->request, read_lines, r);
	cr_assert(zero(int, follower_open(&r->follower, &r->catalog, &t->state)));
	cr_assert(zero(int, local_catalog_build(&r->catalog, &t->state)));
	cr_assert(zero(int, answer_query(&r->answer, &r->catalog.catalog)));
}

static void reader_step(struct reader *r)
{
	cr_assert(zero(int, follower_step(&r->follower, &r->answer)));
	cr_assert(r->trouble[0] == '\0', "%s", r->trouble);
}

static void reader_close(struct reader *r)
{
	follower_close(&r->follower);
	local_catalog_done(&r->catalog);
	answer_done(&r->answer);
	request_done(&r->request);
	buf_done(&r->line);
}

/* Writers: bursts at full speed, a few entries a frame, now and then a batch, a context or another journal. */

struct writer {
	struct tails tails;
	unsigned number;
	uint64_t seed;
	atomic_bool stop;
	int64_t last;
};

static void *write_on(void *arg)
{
	struct writer *w = arg;
	struct tails *t = &w->tails;
	size_t journal = tails_open(t, "w");
	uint32_t context = 0, ordinal = 0;

	for (int64_t i = 0; !atomic_load(&w->stop) && i < LINES_MAX; i++) {
		char text[200];
		int n = snprintf(text, sizeof text, "%u %u %lld %0*d", w->number, ordinal,
				 (long long) i, (int) (random_u64(&w->seed) % 100), 0);
		uint64_t now = clock_realtime_ns();
		struct entry e = { .time_ns = now,
				   .received_ns = now,
				   .message = (const uint8_t *) text,
				   .message_len = (uint32_t) n };
		uint64_t roll = random_u64(&w->seed) % 400;

		tails_add(t, journal, &e, context);
		w->last = i;
		if (roll % 8 == 0)
			tails_flush(t, journal);
		if (i % BURST == BURST - 1)
			usleep(1000);
		if (roll == 1)
			tails_cut(t, journal);
		if (roll == 2) {
			snprintf(text, sizeof text, "T=%lld", (long long) i);
			context = tails_context(t, journal, 0, text);
		}
		if (roll == 3) {
			tails_flush(t, journal);
			tails_close(t, journal);
			journal = tails_open(t, "w");
			context = 0;
			ordinal++;
		}
	}
	tails_flush(t, journal);
	return NULL;
}

static void rounds(uint64_t seed, int n)
{
	static struct writer writers[WRITERS];
	pthread_t thread[WRITERS];
	const char *path = tempdir();
	static struct reader all, r;
	static struct tails t;

	tails_init(&t, path);
	reader_open(&all, &t, UINT64_MAX);
	for (unsigned i = 0; i < WRITERS; i++) {
		/* No literal: that would be another one on the stack. */
		memset(&writers[i], 0, sizeof writers[i]);
		writers[i].number = i;
		writers[i].seed = seed + i;
		writers[i].last = -1;
		tails_init(&writers[i].tails, path);
		cr_assert(zero(int, pthread_create(&thread[i], NULL, write_on, &writers[i])));
	}
	for (int round = 0; round < n; round++) {
		usleep((useconds_t) (random_u64(&seed) % 20000));
		reader_open(&r, &t, random_u64(&seed) % 20);
		for (int step = 0; step < 100 && r.n_seen < 200; step++)
			reader_step(&r);
		reader_close(&r);
		reader_step(&all);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		atomic_store(&writers[i].stop, true);
		pthread_join(thread[i], NULL);
	}
	reader_step(&all);
	for (unsigned i = 0; i < WRITERS; i++) {
		cr_expect(eq(i64, all.last[i], writers[i].last), "writer %u", i);
		tails_done(&writers[i].tails);
	}
	reader_close(&all);
	tails_done(&t);
}

Test(follow, misses_nothing_and_doubles_nothing)
{
	for (uint64_t seed = 1; seed <= 50; seed++) {
		rounds(seed * 77, 4);
		harness_teardown();
	}
}

/* Say a line of writer 0. */
static void say(struct tails *t, size_t journal, int number)
{
	char text[32];

	snprintf(text, sizeof text, "0 %zu %d", journal, number);
	tails_say(t, journal, clock_realtime_ns(), text);
}

Test(follow, an_overflow_of_the_kernels_queue_loses_nothing)
{
	static struct reader r;
	static struct tails t;
	int i;

	tails_init(&t, tempdir());
	tails_open(&t, "a");
	tails_open(&t, "b");
	reader_open(&r, &t, UINT64_MAX);
	/* The queue is full of other files' news before anything is said. */
	for (i = 0; i < 40000; i++) {
		char name[16];
		int fd;

		snprintf(name, sizeof name, "other%d", i % 2);
		fd = openat(t.state.journals, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		cr_assert(ge(int, fd, 0));
		cr_assert(zero(int, io_write(fd, "x", 1)));
		close(fd);
	}
	for (i = 0; i < 100; i++) {
		say(&t, i & 1, i / 2);
		tails_flush(&t, i & 1);
	}
	r.from_start = false; /* journals have no order among each other */
	reader_step(&r);
	cr_expect(eq(sz, r.n_seen, 100));
	tails_open(&t, "new");
	say(&t, 2, 0);
	tails_flush(&t, 2);
	reader_step(&r);
	cr_expect(eq(sz, r.n_seen, 101));
	reader_close(&r);
	tails_done(&t);
}

Test(follow, journals_born_in_an_overflow_are_found)
{
	static struct reader r;
	static struct tails t;

	tails_init(&t, tempdir());
	reader_open(&r, &t, UINT64_MAX);
	for (int i = 0; i < 40000; i++) {
		char name[16];
		int fd;

		snprintf(name, sizeof name, "other%d", i % 2);
		fd = openat(t.state.journals, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		cr_assert(zero(int, io_write(fd, "x", 1)));
		close(fd);
	}
	tails_open(&t, "new");
	say(&t, 0, 0);
	tails_flush(&t, 0);
	reader_step(&r);
	cr_expect(eq(sz, r.n_seen, 1));
	reader_close(&r);
	tails_done(&t);
}

Test(follow, a_torn_end_is_waited_for)
{
	struct id id;
	static struct reader r;
	static struct tails t;
	uint8_t torn[24] = { 100, 0, 0, 0, TAIL_ROWS, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	char name[TAIL_NAME_SIZE];
	uint64_t end;
	int fd;

	tails_init(&t, tempdir());
	tails_open(&t, "a");
	say(&t, 0, 0);
	tails_cut(&t, 0);
	say(&t, 0, 1);
	tails_flush(&t, 0);
	reader_open(&r, &t, UINT64_MAX);
	id = t.at[0].header.journal;
	end = tails_end(&t, 0);
	tails_close(&t, 0);
	tail_name(&id, name);
	fd = openat(t.state.journals, name, O_WRONLY | O_CLOEXEC);
	cr_assert(eq(long, pwrite(fd, torn, sizeof torn, (off_t) end), (long) sizeof torn));
	close(fd);
	reader_step(&r);
	cr_expect(eq(sz, r.n_seen, 2));
	/* A collector comes back: the torn frame goes, others are written in its place. */
	cr_assert(zero(int, tail_writer_open(&t.at[0], t.state.journals, &id, 1, 1)));
	t.n = 1;
	cr_expect(eq(u64, t.at[0].end, end));
	reader_step(&r);
	say(&t, 0, 2);
	tails_flush(&t, 0);
	reader_step(&r);
	cr_expect(eq(sz, r.n_seen, 3));
	reader_close(&r);
	tails_done(&t);
}

/* As in a query, or an attacker could have sealed entries shown again, or others by their numbers. */
Test(follow, what_is_repeated_is_not_shown)
{
	enum { N = 4, SPACE_MAX = 256 };
	/* Behind the torn one, before and after the reader came: the last is the one that was torn. */
	static const struct step {
		int frame;
		size_t n_seen, n_damaged;
	} steps[] = { { 0, 3, 1 }, { 2, 3, 2 }, { 3, 4, 2 }, { 3, 4, 3 }, { 1, 4, 4 } };
	uint8_t frame[N][SPACE_MAX];
	char name[TAIL_NAME_SIZE];
	static struct reader r;
	static struct tails t;
	uint64_t at[N + 1];
	long space;
	int fd;

	tails_init(&t, tempdir());
	tails_open(&t, "a");
	for (int i = 0; i < N; i++) {
		at[i] = tails_end(&t, 0);
		say(&t, 0, i);
		tails_flush(&t, 0);
	}
	at[N] = tails_end(&t, 0);
	tail_name(&t.at[0].header.journal, name);
	tails_close(&t, 0);
	fd = openat(t.state.journals, name, O_RDWR | O_CLOEXEC);
	space = (long) (at[1] - at[0]);
	for (int i = 0; i < N; i++) {
		cr_assert(eq(u64, at[i + 1] - at[i], (uint64_t) space));
		cr_assert(le(i64, space, SPACE_MAX));
		cr_assert(eq(long, pread(fd, frame[i], (size_t) space, (off_t) at[i]), space));
	}
	cr_assert(eq(long, pwrite(fd, "torntorn", 8, (off_t) at[N - 1]), 8));
	cr_assert(eq(long, pwrite(fd, frame[2], (size_t) space, (off_t) at[N]), space));
	reader_open(&r, &t, UINT64_MAX);
	cr_expect(eq(sz, r.n_seen, 3));
	for (size_t i = 0; i < ELEMENTS(steps); i++) {
		at[N] += (uint64_t) space;
		cr_assert(eq(long, pwrite(fd, frame[steps[i].frame], (size_t) space, (off_t) at[N]),
			     space));
		reader_step(&r);
		cr_expect(eq(sz, r.n_seen, steps[i].n_seen), "step %zu", i);
		cr_expect(eq(u64, r.answer.stats.frames_damaged, steps[i].n_damaged), "step %zu",
			  i);
	}
	close(fd);
	reader_close(&r);
	tails_done(&t);
}

Test(follow, two_thousand_journals_need_few_files)
{
	enum { N = 2000 };
	struct rlimit few = { 64, 64 };
	static struct reader r;
	static struct tails t;

	tails_init(&t, tempdir());
	for (int i = 0; i < N; i++) {
		tails_open(&t, "j");
		say(&t, 0, i);
		tails_flush(&t, 0);
		tails_close(&t, 0);
	}
	cr_assert(zero(int, setrlimit(RLIMIT_NOFILE, &few)));
	reader_open(&r, &t, UINT64_MAX);
	cr_expect(eq(sz, r.n_seen, N));
	cr_expect(r.trouble[0] == '\0', "%s", r.trouble);
	for (int i = 0; i < 100; i++) {
		tails_open(&t, "j");
		say(&t, 0, N + i);
		tails_flush(&t, 0);
		tails_close(&t, 0);
	}
	reader_step(&r);
	cr_expect(eq(sz, r.n_seen, N + 100));
	reader_close(&r);
	tails_done(&t);
}

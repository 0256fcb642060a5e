/* SPDX-License-Identifier: Apache-2.0 */

/**
 * However a collector is killed, it is known to the byte what it has taken out of a pipe.
 */

#include "collector/progress.h"

#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attr.h"

Suite(progress);

struct fixture {
	struct progress progress;
	int source[SOURCES_MAX][2];
	int null;
};

static void make(struct fixture *f)
{
	cr_assert(eq(int, progress_create(&f->progress), 0));
	for (size_t i = 0; i < SOURCES_MAX; i++)
		cr_assert(eq(int, pipe2(f->source[i], O_CLOEXEC), 0));
	f->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	progress_resize(&f->progress, (int[]){ f->source[0][0], f->source[1][0] });
}

static void done(struct fixture *f)
{
	progress_close(&f->progress);
	for (size_t i = 0; i < SOURCES_MAX; i++) {
		close(f->source[i][0]);
		close(f->source[i][1]);
	}
	close(f->null);
}

static int holds(int fd)
{
	int n = -1;

	ioctl(fd, FIONREAD, &n);
	return n;
}

Test(progress, what_is_consumed_is_gone_and_counted)
{
	struct fixture f;
	uint64_t total;

	make(&f);
	cr_assert(eq(int, progress_map(&f.progress), 0));
	cr_assert(eq(i64, write(f.source[1][1], "0123456789", 10), 10));
	cr_expect(eq(int, progress_consume(&f.progress, 1, f.source[1][0], f.null, 4), 0));
	cr_expect(eq(u64, progress_consumed(&f.progress, 1), 4));
	cr_expect(eq(u64, progress_consumed(&f.progress, 0), 0));
	cr_expect(eq(int, holds(f.source[1][0]), 6));
	cr_expect(eq(int, holds(f.progress.scratch[0]), 0));
	cr_expect(eq(int, progress_settle(&f.progress, f.null, &total), 0));
	cr_expect(eq(u64, total, 4));
	done(&f);
}

Test(progress, what_somebody_else_took_counts_as_consumed)
{
	struct fixture f;

	make(&f);
	cr_assert(eq(int, progress_map(&f.progress), 0));
	cr_assert(eq(i64, write(f.source[0][1], "0123", 4), 4));
	cr_expect(eq(int, progress_consume(&f.progress, 0, f.source[0][0], f.null, 5), 1));
	cr_expect(eq(u64, progress_consumed(&f.progress, 0), 5));
	close(f.source[0][1]);
	f.source[0][1] = dup(f.null);
	cr_expect(eq(int, progress_consume(&f.progress, 0, f.source[0][0], f.null, 1), 1));
	cr_expect(eq(u64, progress_consumed(&f.progress, 0), 6));
	done(&f);
}

Test(progress, a_scratch_that_holds_less_takes_more_moves)
{
	struct fixture f;
	static char data[60000];

	make(&f);
	cr_assert(ge(int, fcntl(f.progress.scratch[1], F_SETPIPE_SZ, 4096), 4096));
	cr_assert(eq(int, progress_map(&f.progress), 0));
	cr_assert(eq(i64, write(f.source[0][1], data, sizeof data), (int64_t) sizeof data));
	cr_expect(eq(int, progress_consume(&f.progress, 0, f.source[0][0], f.null, 59999), 0));
	cr_expect(eq(u64, progress_consumed(&f.progress, 0), 59999));
	cr_expect(eq(int, holds(f.source[0][0]), 1));
	done(&f);
}

Test(progress, what_is_dropped_is_noted_as_a_whole_and_outlives_the_collector)
{
	const struct progress_drops d = {
		.covered = { 4, 2 }, .entries = 3, .bytes = 6, .is_on = 1
	};
	struct progress_drops got;
	struct fixture f;
	uint64_t total;

	make(&f);
	cr_assert(eq(int, progress_map(&f.progress), 0));
	got = progress_drops(&f.progress);
	cr_expect(zero(u64, got.is_on));
	for (unsigned i = 0; i < 3; i++) {
		progress_note_drops(&f.progress, &(struct progress_drops){ .entries = i });
		/* One that is half written is not the one that counts. */
		memset(&f.progress.page->drops[(f.progress.page->current & 1) ^ 1], 0xee, 10);
		cr_expect(eq(u64, progress_drops(&f.progress).entries, i));
	}
	progress_note_drops(&f.progress, &d);
	cr_assert(eq(int, progress_settle(&f.progress, f.null, &total), 0));
	cr_expect(eq(u64, total, 0), "noted is not yet taken");
	got = progress_drops(&f.progress);
	cr_expect(eq(int, memcmp(&got, &d, sizeof d), 0));
	done(&f);
}

/* Each instant at which a collector can die, made by hand. */
Test(progress, every_instant_of_a_move_is_told_apart)
{
	static const struct {
		const char *what;
		uint32_t moving;
		uint64_t consumed, base, in_scratch, want;
	} instants[] = {
		{ "before", 0, 100, 0, 0, 100 },	   { "after a look", 0, 100, 0, 7, 100 },
		{ "announced", 1, 100, 100, 0, 100 },	   { "moved", 1, 100, 100, 7, 107 },
		{ "counted", 1, 107, 100, 7, 107 },	   { "closed", 0, 107, 100, 7, 107 },
		{ "partly dropped", 0, 107, 100, 3, 107 }, { "dropped", 0, 107, 100, 0, 107 },
	};

	for (size_t i = 0; i < ELEMENTS(instants); i++) {
		struct fixture f;
		uint64_t total;

		make(&f);
		cr_assert(eq(int, progress_map(&f.progress), 0));
		atomic_store(&f.progress.page->consumed[0], instants[i].consumed);
		atomic_store(&f.progress.page->base, instants[i].base);
		atomic_store(&f.progress.page->moving, instants[i].moving);
		cr_assert(eq(i64, write(f.progress.scratch[1], "1234567", instants[i].in_scratch),
			     (int64_t) instants[i].in_scratch));
		cr_expect(eq(int, progress_settle(&f.progress, f.null, &total), 0));
		cr_expect(eq(u64, total, instants[i].want), "%s", instants[i].what);
		cr_expect(eq(u64, progress_consumed(&f.progress, 0), instants[i].want), "%s",
			  instants[i].what);
		cr_expect(eq(int, holds(f.progress.scratch[0]), 0), "%s", instants[i].what);
		done(&f);
	}
}

Test(progress, a_hostile_page_hurts_nobody)
{
	struct fixture f;
	uint64_t total;

	make(&f);
	cr_assert(eq(int, progress_map(&f.progress), 0));
	memset(f.progress.page, 0xff, sizeof *f.progress.page);
	cr_expect(eq(int, progress_settle(&f.progress, f.null, &total), 0));
	cr_expect(lt(int, ftruncate(f.progress.file, 0), 0), "the page cannot be taken away");
	done(&f);
}

_noreturn_ static void consume_for_ever(struct fixture *f)
{
	uint64_t seed = (uint64_t) getpid();

	if (progress_map(&f->progress) < 0)
		_exit(1);
	for (;;) {
		unsigned s = random_u64(&seed) % SOURCES_MAX;
		int n = holds(f->source[s][0]);

		if (n > 0 && progress_consume(&f->progress, s, f->source[s][0], f->null,
					      1 + random_u64(&seed) % (unsigned) n) < 0)
			_exit(2);
	}
}

_noreturn_ static void write_for_ever(struct fixture *f)
{
	static uint32_t numbers[512];

	for (uint32_t next = 0;; next += ELEMENTS(numbers)) {
		for (uint32_t k = 0; k < ELEMENTS(numbers); k++)
			numbers[k] = next + k;
		for (size_t i = 0; i < SOURCES_MAX; i++)
			if (write(f->source[i][1], numbers, sizeof numbers) != sizeof numbers)
				_exit(1);
	}
}

/* The stream is its own offset: numbers of four bytes, counted from 0. */
static uint8_t byte_at(uint64_t offset)
{
	uint32_t number = (uint32_t) (offset / 4);

	return ((const uint8_t *) &number)[offset % 4];
}

static void expect_the_pipe_begins_at(struct fixture *f, const uint64_t consumed[SOURCES_MAX],
				      int round)
{
	for (unsigned i = 0; i < SOURCES_MAX; i++) {
		uint8_t bytes[64];
		ssize_t n = tee(f->source[i][0], f->progress.scratch[1], sizeof bytes,
				SPLICE_F_NONBLOCK);

		if (n <= 0)
			continue;
		cr_assert(eq(i64, read(f->progress.scratch[0], bytes, sizeof bytes), n));
		for (ssize_t k = 0; k < n; k++)
			cr_assert(eq(u8, bytes[k], byte_at(consumed[i] + (uint64_t) k)),
				  "round %d, source %u", round, i);
	}
}

Test(progress, killed_at_any_moment_the_count_is_exact)
{
	struct fixture f;
	uint64_t seed = 99, total, before = 0;
	pid_t writer;

	make(&f);
	writer = fork();
	if (writer == 0)
		write_for_ever(&f);
	cr_assert(eq(int, progress_map(&f.progress), 0));
	for (int round = 0; round < 400; round++) {
		uint64_t consumed[SOURCES_MAX];
		pid_t pid = fork();
		int status;

		if (pid == 0)
			consume_for_ever(&f);
		usleep((useconds_t) (random_u64(&seed) % 2000));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		cr_assert(eq(int, !WIFSIGNALED(status), 0), "round %d: it ended by itself", round);
		cr_assert(eq(int, progress_settle(&f.progress, f.null, &total), 0));
		cr_assert(ge(u64, total, before), "round %d", round);
		before = total;
		for (unsigned i = 0; i < SOURCES_MAX; i++)
			consumed[i] = progress_consumed(&f.progress, i);
		expect_the_pipe_begins_at(&f, consumed, round);
	}
	cr_expect(gt(u64, total, 1 << 20), "it did something");
	kill(writer, SIGKILL);
	waitpid(writer, NULL, 0);
	done(&f);
}

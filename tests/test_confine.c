/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Behind the filters what is allowed works, and anything else ends the process.
 */

#include "collector/confine.h"

#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

Suite(confine);

static int pipe_fds[2];

/* What a confined process tries. */

static void try_nothing(void)
{
}

static void try_memory(void)
{
	char *p = malloc(64 << 20);

	if (!p)
		_exit(1);
	memset(p, 1, 64 << 20);
	free(p);
}

static void try_write(void)
{
	if (write(pipe_fds[1], "x", 1) != 1)
		_exit(1);
}

static void try_open(void)
{
	open("/etc/hostname", O_RDONLY);
}

static void try_creating(void)
{
	open("/tmp/bulla-test-confine", O_CREAT | O_WRONLY, 0600);
}

static void try_socket(void)
{
	socket(AF_INET, SOCK_STREAM, 0);
}

static void try_fork(void)
{
	fork();
}

static void try_exec(void)
{
	execl("/bin/true", "true", (char *) NULL);
}

static void try_kill(void)
{
	kill(getppid(), 0);
}

static void try_unlink(void)
{
	unlink("/tmp/bulla-test-confine");
}

static void try_executable_memory(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void try_making_memory_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static void try_typing(void)
{
	ioctl(2, TIOCSTI, "x");
}

static void try_counting(void)
{
	int n;

	if (ioctl(pipe_fds[0], FIONREAD, &n) < 0 || fcntl(pipe_fds[0], F_GETPIPE_SZ) < 0)
		_exit(1);
}

static void try_reading_at(void)
{
	char c;

	/* A pipe has no places; but one may ask. */
	if (pread(pipe_fds[0], &c, 1, 0) != -1)
		_exit(1);
}

static void try_duplicating(void)
{
	fcntl(pipe_fds[0], F_DUPFD, 100);
}

static void try_ptrace(void)
{
	prctl(PR_SET_DUMPABLE, 1);
}

static const struct {
	const char *what;
	void (*try_it)(void);
	bool parser, reader, collector, keeper; /* may do it */
} tries[] = {
	{ "nothing", try_nothing, true, true, true, true },
	{ "memory", try_memory, true, true, true, true },
	{ "write", try_write, true, true, true, true },
	{ "open", try_open, false, false, false, true },
	{ "create", try_creating, false, false, false, true },
	{ "socket", try_socket, false, false, false, false },
	{ "fork", try_fork, false, false, false, false },
	{ "exec", try_exec, false, false, false, false },
	{ "kill", try_kill, false, false, false, false },
	{ "unlink", try_unlink, false, false, false, false },
	{ "executable memory", try_executable_memory, false, false, false, false },
	{ "memory made executable", try_making_memory_executable, false, false, false, false },
	{ "typing into a terminal", try_typing, false, false, false, false },
	{ "counting what a pipe holds", try_counting, false, false, true, false },
	{ "reading at a place", try_reading_at, false, true, true, true },
	{ "duplicating a descriptor", try_duplicating, false, false, false, false },
	{ "prctl", try_ptrace, false, false, false, false },
};

enum role { PARSER, READER, COLLECTOR, KEEPER };

static int status_of(int (*confine)(void), void (*try_it)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (confine() < 0)
			_exit(2);
		try_it();
		_exit(0);
	}
	cr_assert(eq(int, waitpid(pid, &status, 0), pid));
	return status;
}

static void expect_tries(int (*confine)(void), enum role role)
{
	if (!confine_is_on())
		cr_skip_test("a sanitizer's build does not confine");
	cr_assert(eq(int, pipe(pipe_fds), 0));
	for (size_t i = 0; i < ELEMENTS(tries); i++) {
		bool may = role == KEEPER      ? tries[i].keeper
			   : role == COLLECTOR ? tries[i].collector
			   : role == READER    ? tries[i].reader
					       : tries[i].parser;
		int status = status_of(confine, tries[i].try_it);
		bool done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
		bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;

		cr_expect(may ? done : killed, "%s: status %x", tries[i].what, (unsigned) status);
	}
}

Test(confine, a_parser_reads_its_memory_and_answers)
{
	expect_tries(confine_parser, PARSER);
}

Test(confine, a_collector_has_what_it_has)
{
	expect_tries(confine_collector, COLLECTOR);
}

Test(confine, a_reader_has_its_file)
{
	expect_tries(confine_reader, READER);
}

/* A state directory: one part to work in, one to read, and one that is none of a keeper's business. */
static char state[512];
static int work_fd, read_fd, secret_fd;

static int open_part(const char *name)
{
	char path[600];
	int fd, file;

	snprintf(path, sizeof path, "%s/%s", state, name);
	cr_assert(eq(int, mkdir(path, 0755), 0));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert(ge(int, fd, 0));
	file = openat(fd, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	cr_assert(eq(i64, write(file, "text", 4), 4));
	close(file);
	return fd;
}

static void make_state(void)
{
	snprintf(state, sizeof state, "%s", tempdir());
	work_fd = open_part("work");
	read_fd = open_part("read");
	secret_fd = open_part("secret");
	cr_assert(eq(int, symlinkat("/etc/hostname", work_fd, "link"), 0));
}

static int keeper(void)
{
	const struct confine_dir dirs[] = { { work_fd, true }, { read_fd, false }, { -1, true } };
	int r = confine_keeper(dirs, ELEMENTS(dirs));

	return MIN_OF(r, 0);
}

Test(confine, a_keeper_starts_and_reaches_nothing)
{
	make_state();
	expect_tries(keeper, KEEPER);
}

static bool is_refused(int dirfd, const char *name, int flags)
{
	return openat(dirfd, name, flags | O_CLOEXEC, 0600) < 0 && errno == EACCES;
}

static void work_within(void)
{
	int fd = openat(work_fd, "new", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	bool good = fd >= 0 && write(fd, "text", 4) == 4 && ftruncate(fd, 2) == 0 &&
		    fallocate(fd, 0, 0, 4096) == 0 && fdatasync(fd) == 0 &&
		    renameat(work_fd, "new", work_fd, "file") == 0 &&
		    unlinkat(work_fd, "file", 0) == 0 &&
		    openat(read_fd, "file", O_RDONLY | O_CLOEXEC) >= 0;

	if (!good)
		_exit(1);
}

static void reach_beyond(void)
{
	const struct {
		int dirfd;
		const char *name;
		int flags;
	} beyond[] = {
		{ AT_FDCWD, "/etc/hostname", O_RDONLY },
		{ AT_FDCWD, "/", O_RDONLY | O_DIRECTORY },
		{ work_fd, "..", O_RDONLY | O_DIRECTORY },
		{ work_fd, "link", O_RDONLY },
		{ work_fd, "../secret/file", O_RDONLY },
		{ secret_fd, "file", O_RDONLY },
		{ secret_fd, "new", O_CREAT | O_WRONLY },
		{ read_fd, "new", O_CREAT | O_WRONLY },
		{ read_fd, "file", O_WRONLY },
		{ read_fd, "file", O_RDONLY | O_TRUNC },
	};

	for (size_t i = 0; i < ELEMENTS(beyond); i++)
		if (!is_refused(beyond[i].dirfd, beyond[i].name, beyond[i].flags))
			_exit(10 + (int) i);
	if (unlinkat(read_fd, "file", 0) == 0 || unlinkat(secret_fd, "file", 0) == 0 ||
	    renameat(work_fd, "file", secret_fd, "file") == 0)
		_exit(2);
}

Test(confine, a_keeper_works_where_it_is_to_work_and_nowhere_else)
{
	int status;

	if (!confine_is_on())
		cr_skip_test("a sanitizer's build does not confine");
	make_state();
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 3)
		cr_skip_test("this kernel has no Landlock that knows truncation");
	status = status_of(keeper, reach_beyond);
	cr_expect(zero(int, status), "status %x", (unsigned) status);
	status = status_of(keeper, work_within);
	cr_expect(zero(int, status), "status %x", (unsigned) status);
}

/* A kernel that has none, as far as this process can see. */
static int keeper_without_landlock(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	const struct confine_dir dirs[] = { { work_fd, true } };
	int r = filter ? 0 : -ENOMEM;

	if (r >= 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS),
				     SCMP_SYS(landlock_create_ruleset), 0);
	if (r >= 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	if (r >= 0)
		r = confine_keeper(dirs, ELEMENTS(dirs));
	return r == 0 ? 0 : -EINVAL;
}

static void open_outside(void)
{
	if (open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0)
		_exit(1);
}

Test(confine, without_landlock_that_is_told_and_calls_are_refused)
{
	bool killed;
	int status;

	if (!confine_is_on())
		cr_skip_test("a sanitizer's build does not confine");
	make_state();
	status = status_of(keeper_without_landlock, open_outside);
	cr_expect(zero(int, status), "status %x", (unsigned) status);
	status = status_of(keeper_without_landlock, try_socket);
	killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
	cr_expect(killed, "status %x", (unsigned) status);
}

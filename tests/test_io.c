/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Short counts and interrupts are never seen above base/io; a replaced file is the old one or the
 * new one.
 */

#include "base/io.h"

#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

Suite(io);

static int open_tempdir(void)
{
	int fd = open(tempdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	cr_assert(ge(int, fd, 0));
	return fd;
}

static int new_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	cr_assert(ge(int, fd, 0));
	return fd;
}

static void put(int dir, const char *name, const char *text)
{
	_cleanup_close_ int fd = new_file(dir, name);

	cr_assert(eq(int, io_write(fd, text, strlen(text)), 0));
}

static void expect_content(int dir, const char *name, const char *text)
{
	_cleanup_buf_ struct buf b = { 0 };

	cr_assert(eq(int, io_read_file(dir, name, 1 << 20, &b), 0), "%s", name);
	buf_char(&b, '\0');
	cr_expect(eq(str, (char *) b.data, (char *) text), "%s", name);
}

/* Writing and reading. */

static void on_alarm(int signal)
{
	(void) signal;
}

/* A child that reads a pipe slowly and exits 0 if all bytes came, in order. */
static pid_t slow_reader(const int ends[2], size_t n)
{
	pid_t child = fork();
	uint8_t chunk[3001];
	size_t got = 0;

	cr_assert(ge(int, child, 0));
	if (child > 0)
		return child;
	close(ends[1]);
	for (ssize_t r; (r = read(ends[0], chunk, sizeof chunk)) > 0; usleep(200))
		for (ssize_t i = 0; i < r; i++, got++)
			if (chunk[i] != (uint8_t) (got * 7 >> 8))
				_exit(1);
	_exit(got == n ? 0 : 2);
}

Test(io, interrupted_writes_are_finished)
{
	enum { SIZE = 1 << 20 };
	struct sigaction alarm_once = { .sa_handler =
						on_alarm }; /* no SA_RESTART: EINTR is wanted */
	struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };
	uint8_t *data = malloc(SIZE);
	int ends[2], status;
	pid_t child;

	cr_assert(data != NULL);
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (uint8_t) (i * 7 >> 8);
	cr_assert(eq(int, pipe2(ends, O_CLOEXEC), 0));
	child = slow_reader(ends, SIZE);
	close(ends[0]);
	cr_assert(eq(int, sigaction(SIGALRM, &alarm_once, NULL), 0));
	cr_assert(eq(int, setitimer(ITIMER_REAL, &often, NULL), 0));
	cr_expect(eq(int, io_write(ends[1], data, SIZE), 0));
	setitimer(ITIMER_REAL, &never, NULL);
	close(ends[1]);
	cr_assert(eq(int, waitpid(child, &status, 0), child));
	cr_expect(eq(int, status, 0), "the reader saw other bytes");
	free(data);
}

Test(io, write_errors_are_told)
{
	_cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	int ends[2];

	cr_expect(eq(int, io_write(-1, "x", 1), -EBADF));
	cr_expect(eq(int, io_pwrite(-1, "x", 1, 0), -EBADF));
	cr_expect(eq(int, io_write(full, "x", 1), -ENOSPC));
	cr_assert(eq(int, pipe2(ends, O_CLOEXEC), 0));
	close(ends[0]);
	signal(SIGPIPE, SIG_IGN);
	cr_expect(eq(int, io_write(ends[1], "x", 1), -EPIPE));
	cr_expect(eq(int, io_pwrite(ends[1], "x", 1, 0), -ESPIPE));
	close(ends[1]);
}

Test(io, nothing_can_be_written_and_read)
{
	_cleanup_close_ int dir = open_tempdir(), fd = new_file(dir, "f");
	char c;

	cr_expect(eq(int, io_write(fd, NULL, 0), 0));
	cr_expect(eq(int, io_pwrite(fd, NULL, 0, 1 << 20), 0));
	cr_expect(eq(i64, io_pread(fd, &c, 0, 0), 0));
	cr_expect(eq(i64, io_pread(fd, &c, 1, 0), 0), "the file grew");
}

Test(io, reads_stop_only_at_the_end)
{
	_cleanup_close_ int dir = open_tempdir(), fd = new_file(dir, "f");
	char got[16];

	cr_assert(eq(int, io_pwrite(fd, "0123456789", 10, 0), 0));
	for (uint64_t from = 0; from <= 12; from++) {
		ssize_t want = from < 10 ? (ssize_t) (10 - from) : 0;

		cr_expect(eq(i64, io_pread(fd, got, sizeof got, from), want), "from %llu",
			  (unsigned long long) from);
		cr_expect(eq(int, memcmp(got, &"0123456789"[10 - want], (size_t) want), 0));
	}
	cr_expect(eq(i64, io_pread(fd, got, 4, 3), 4));
	cr_expect(eq(i64, io_pread(-1, got, 4, 3), -EBADF));
	cr_expect(eq(i64, io_pread(fd, got, 4, UINT64_MAX), -EINVAL));
}

Test(io, writes_at_an_offset_leave_the_rest)
{
	_cleanup_close_ int dir = open_tempdir(), fd = new_file(dir, "f");

	cr_assert(eq(int, io_write(fd, "0123456789", 10), 0));
	cr_assert(eq(int, io_pwrite(fd, "abc", 3, 4), 0));
	cr_assert(eq(int, io_write(fd, "!", 1), 0));
	cr_expect(eq(int, io_sync(fd), 0));
	expect_content(dir, "f", "0123abc789!");
}

Test(io, preallocated_space_is_zero_and_never_shrinks)
{
	static const uint64_t sizes[] = { 0, 3, 4096, 1, 4096, 4097 };
	_cleanup_close_ int dir = open_tempdir(), fd = new_file(dir, "f");
	uint64_t largest = 3;
	struct stat st;
	char got[4097];

	cr_assert(eq(int, io_write(fd, "abc", 3), 0));
	for (size_t i = 0; i < ELEMENTS(sizes); i++) {
		cr_assert(eq(int, io_preallocate(fd, sizes[i]), 0), "row %zu", i);
		largest = MAX_OF(largest, sizes[i]);
		cr_assert(eq(int, fstat(fd, &st), 0));
		cr_expect(eq(u64, (uint64_t) st.st_size, largest), "row %zu", i);
	}
	cr_assert(eq(i64, io_pread(fd, got, sizeof got, 0), 4097));
	cr_expect(eq(int, memcmp(got, "abc", 3), 0));
	for (size_t i = 3; i < sizeof got; i++)
		cr_assert(eq(chr, got[i], '\0'), "byte %zu", i);
	cr_expect(eq(int, io_preallocate(-1, 1), -EBADF));
}

/* Whole files. */

Test(io, the_size_limit_of_a_file_is_inclusive)
{
	static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 100000 };
	_cleanup_close_ int dir = open_tempdir();
	_cleanup_buf_ struct buf content = { 0 }, b = { 0 };
	char name[16];

	for (size_t i = 0; i < ELEMENTS(sizes); i++) {
		size_t n = sizes[i];

		buf_clear(&content);
		cr_assert(buf_room(&content, n) != NULL);
		memset(content.data, 'b', n);
		snprintf(name, sizeof name, "f%zu", i);
		cr_assert(eq(int, io_replace_file(dir, name, content.data, n, 0600), 0));
		buf_clear(&b);
		cr_expect(eq(int, io_read_file(dir, name, n, &b), 0), "size %zu", n);
		cr_expect(eq(sz, b.len, n));
		buf_clear(&b);
		cr_expect(eq(int, io_read_file(dir, name, n + 1, &b), 0), "size %zu", n);
		if (n > 0)
			cr_expect(eq(int, io_read_file(dir, name, n - 1, &b), -EFBIG), "size %zu",
				  n);
	}
}

Test(io, a_file_is_appended_to_what_is_there)
{
	_cleanup_close_ int dir = open_tempdir();
	_cleanup_buf_ struct buf b = { 0 };

	put(dir, "f", "world");
	buf_str(&b, "hello ");
	cr_assert(eq(int, io_read_file(dir, "f", 5, &b), 0), "the limit is the file's own");
	cr_assert(eq(sz, b.len, 11));
	cr_expect(eq(int, memcmp(b.data, "hello world", 11), 0));
}

Test(io, what_is_no_readable_file_is_told)
{
	_cleanup_close_ int dir = open_tempdir();
	_cleanup_buf_ struct buf b = { 0 };

	cr_assert(eq(int, mkdirat(dir, "d", 0700), 0));
	cr_expect(eq(int, io_read_file(dir, "none", 10, &b), -ENOENT));
	cr_expect(eq(int, io_read_file(dir, "d", 10, &b), -EISDIR));
	cr_expect(eq(int, io_read_file(-1, "none", 10, &b), -EBADF));
	cr_expect(eq(sz, b.len, 0));
}

Test(io, a_replaced_file_has_content_and_mode_and_no_twin)
{
	_cleanup_close_ int dir = open_tempdir();
	struct stat st;

	umask(022);
	cr_assert(eq(int, io_replace_file(dir, "f", "one", 3, 0600), 0));
	expect_content(dir, "f", "one");
	cr_assert(eq(int, io_replace_file(dir, "f", "second", 6, 0640), 0));
	expect_content(dir, "f", "second");
	cr_assert(eq(int, fstatat(dir, "f", &st, 0), 0));
	cr_expect(eq(u32, st.st_mode & 07777, 0640));
	cr_expect(eq(int, faccessat(dir, ".f.new", F_OK, 0), -1));
	cr_assert(eq(int, io_replace_file(dir, "f", NULL, 0, 0600), 0));
	expect_content(dir, "f", "");
}

Test(io, a_reader_keeps_the_file_it_opened)
{
	_cleanup_close_ int dir = open_tempdir(), fd = -1;
	char got[4] = "";

	put(dir, "f", "old");
	fd = openat(dir, "f", O_RDONLY | O_CLOEXEC);
	cr_assert(eq(int, io_replace_file(dir, "f", "new", 3, 0600), 0));
	cr_assert(eq(i64, io_pread(fd, got, 3, 0), 3));
	cr_expect(eq(str, got, (char *) "old"));
}

Test(io, a_replacement_that_fails_leaves_no_trace)
{
	_cleanup_close_ int dir = open_tempdir();
	char name[300];

	cr_assert(eq(int, mkdirat(dir, "d", 0700), 0));
	cr_expect(eq(int, io_replace_file(dir, "d", "x", 1, 0600), -EISDIR));
	cr_expect(eq(int, faccessat(dir, ".d.new", F_OK, 0), -1), "the twin was left");
	memset(name, 'n', sizeof name);
	for (size_t n = 251; n < sizeof name - 1; n++) {
		char c = name[n];

		name[n] = '\0';
		cr_expect(eq(int, io_replace_file(dir, name, "x", 1, 0600), -ENAMETOOLONG),
			  "%zu letters", n);
		name[n] = c;
	}
	name[250] = '\0';
	cr_expect(eq(int, io_replace_file(dir, name, "x", 1, 0600), 0));
	cr_expect(eq(int, io_replace_file(dir, "none/f", "x", 1, 0600), -ENOENT));
}

Test(io, a_torn_twin_of_an_earlier_crash_does_no_harm)
{
	_cleanup_close_ int dir = open_tempdir();
	struct stat st;

	put(dir, ".f.new", "a longer half-written content");
	cr_assert(eq(int, fchmodat(dir, ".f.new", 0666, 0), 0));
	cr_assert(eq(int, io_replace_file(dir, "f", "whole", 5, 0600), 0));
	expect_content(dir, "f", "whole");
	cr_assert(eq(int, fstatat(dir, "f", &st, 0), 0));
	cr_expect(eq(u32, st.st_mode & 07777, 0600), "the mode is not the twin's");
}

Test(io, a_link_in_the_twins_place_is_not_followed)
{
	_cleanup_close_ int dir = open_tempdir();
	struct stat st;

	put(dir, "victim", "precious");
	cr_assert(eq(int, symlinkat("victim", dir, ".f.new"), 0));
	cr_expect(eq(int, io_replace_file(dir, "f", "x", 1, 0600), 0));
	expect_content(dir, "victim", "precious");
	expect_content(dir, "f", "x");
	cr_assert(eq(int, fstatat(dir, "f", &st, AT_SYMLINK_NOFOLLOW), 0));
	cr_expect(eq(u32, st.st_mode & S_IFMT, S_IFREG));
}

Test(io, only_regular_files_are_opened_as_such)
{
	_cleanup_close_ int dir = open_tempdir(), fd = -1;

	put(dir, "f", "x");
	cr_assert(eq(int, symlinkat("f", dir, "link"), 0));
	cr_assert(eq(int, mkfifoat(dir, "fifo", 0600), 0));
	cr_assert(eq(int, mkdirat(dir, "d", 0700), 0));
	fd = io_open_regular(dir, "f", O_RDONLY);
	cr_expect(ge(int, fd, 0));
	cr_expect(eq(int, io_open_regular(dir, "link", O_RDONLY), -ELOOP));
	cr_expect(eq(int, io_open_regular(dir, "fifo", O_RDONLY), -ENXIO), "and does not hang");
	cr_expect(eq(int, io_open_regular(dir, "d", O_RDONLY), -EISDIR));
	cr_expect(eq(int, io_open_regular(dir, "none", O_RDONLY), -ENOENT));
}

/* Directories. */

Test(io, directories_are_made_with_their_parents)
{
	static const char *const tails[] = { "/a/b/c", "/a/b/c", "/a", "/x//y/", "/x/./y/../z" };
	char path[600];
	const char *dir = tempdir();
	struct stat st;

	for (size_t i = 0; i < ELEMENTS(tails); i++) {
		snprintf(path, sizeof path, "%s%s", dir, tails[i]);
		cr_expect(eq(int, io_make_dirs(path, 0700), 0), "%s", tails[i]);
		cr_assert(eq(int, stat(path, &st), 0), "%s", tails[i]);
		cr_expect(eq(u32, st.st_mode & S_IFMT, S_IFDIR), "%s", tails[i]);
	}
	cr_expect(eq(int, io_make_dirs("/", 0700), 0));
}

Test(io, a_file_in_the_way_of_a_parent_is_told)
{
	const char *path = tempdir();
	char below[600];

	snprintf(below, sizeof below, "%s/f", path);
	cr_assert(eq(int, mknod(below, S_IFREG | 0600, 0), 0));
	snprintf(below, sizeof below, "%s/f/sub", path);
	cr_expect(eq(int, io_make_dirs(below, 0700), -ENOTDIR));
}

Test(io, a_file_in_the_place_of_the_directory_is_told)
{
	char path[600];

	snprintf(path, sizeof path, "%s/f", tempdir());
	cr_assert(eq(int, mknod(path, S_IFREG | 0600, 0), 0));
	cr_expect(eq(int, io_make_dirs(path, 0700), -ENOTDIR));
}

Test(io, paths_that_cannot_be_are_told)
{
	char path[5000];

	memset(path, '/', sizeof path);
	path[4096] = '\0';
	cr_expect(eq(int, io_make_dirs(path, 0700), -ENAMETOOLONG));
	path[4095] = '\0';
	cr_expect(eq(int, io_make_dirs(path, 0700), 0), "4095 times the root");
	cr_expect(lt(int, io_make_dirs("", 0700), 0));
}

Test(io, a_directory_is_opened_whether_or_not_it_was_there)
{
	_cleanup_close_ int dir = open_tempdir(), first = -1, again = -1;

	first = io_open_dir(dir, "d", 0700);
	again = io_open_dir(dir, "d", 0700);
	cr_assert(ge(int, first, 0));
	cr_assert(ge(int, again, 0));
	put(first, "f", "seen by both");
	expect_content(again, "f", "seen by both");
	cr_expect(eq(int, io_open_dir(first, "f", 0700), -ENOTDIR));
	cr_expect(eq(int, io_open_dir(first, "none/d", 0700), -ENOENT));
	cr_expect(eq(int, io_sync_dir(first), 0));
}

static size_t count_names(int dirfd, const char *name)
{
	_cleanup_closedir_ DIR *dir = NULL;
	size_t n = 0;

	cr_assert(eq(int, io_list_dir(dirfd, name, &dir), 0));
	while (readdir(dir))
		n++;
	return n;
}

Test(io, a_directory_is_read_from_its_beginning_each_time)
{
	_cleanup_close_ int dir = open_tempdir(), inner = -1;
	DIR *none = NULL;

	inner = io_open_dir(dir, "d", 0700);
	put(inner, "f", "x");
	for (int i = 0; i < 3; i++) {
		cr_expect(eq(sz, count_names(inner, "."), 3));
		cr_expect(eq(sz, count_names(dir, "d"), 3));
	}
	cr_expect(eq(int, io_list_dir(dir, "none", &none), -ENOENT));
	cr_expect(eq(int, io_list_dir(inner, "f", &none), -ENOTDIR));
	cr_expect(eq(int, io_list_dir(-1, ".", &none), -EBADF));
	cr_expect(eq(ptr, none, NULL));
}

Test(io, what_is_not_blank_is_seen_wherever_it_is)
{
	_cleanup_close_ int dir = open_tempdir(), fd = -1;

	fd = openat(dir, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_expect(eq(int, io_is_blank(fd, 0), 1), "nothing");
	cr_assert(eq(int, io_preallocate(fd, 100000), 0));
	cr_expect(eq(int, io_is_blank(fd, 0), 1));
	for (uint64_t at = 0; at < 100000; at += 9999) {
		cr_assert(eq(int, io_pwrite(fd, "x", 1, at), 0));
		cr_expect(eq(int, io_is_blank(fd, 0), 0), "%llu", (unsigned long long) at);
		cr_expect(eq(int, io_is_blank(fd, at), 0), "%llu", (unsigned long long) at);
		cr_expect(eq(int, io_is_blank(fd, at + 1), 1), "%llu", (unsigned long long) at);
		cr_assert(eq(int, io_pwrite(fd, "", 1, at), 0));
	}
	cr_expect(eq(int, io_is_blank(fd, 200000), 1), "behind its end");
	cr_expect(lt(int, io_is_blank(-1, 0), 0));
}

Test(io, a_nonblocking_pipe_does_not_block)
{
	int ends[2];
	char c;

	cr_assert(eq(int, pipe2(ends, O_CLOEXEC), 0));
	cr_assert(eq(int, io_set_nonblocking(ends[0]), 0));
	cr_expect(eq(i64, read(ends[0], &c, 1), -1));
	cr_expect(eq(int, errno, EAGAIN));
	close(ends[0]);
	close(ends[1]);
	cr_expect(eq(int, io_set_nonblocking(-1), -EBADF));
}

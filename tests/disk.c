/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum change_kind { CHANGE_BYTES, CHANGE_SIZE, CHANGE_CREATED, CHANGE_RENAMED, CHANGE_REMOVED };

/* One unsynced change, and what it takes to undo it. */
struct change {
	enum change_kind kind;
	char path[PATH_MAX], to[PATH_MAX];
	uint8_t *old; /* bytes that were there; owned */
	size_t n;     /* bytes of `old` */
	size_t n_new; /* bytes written */
	off_t offset, old_size;
	bool cut_off;  /* it is undone with the size, which no failed sync gives up */
	bool given_up; /* a sync has failed: the bytes are held for clean and are on no disk */
};

static bool armed, full, other_bytes;
static size_t step, stop_step, fail_step, fail_n;
static int fail_error;
static struct change *changes;
static size_t n_changes;
static struct change failed; /* the write that failed last: its bytes are in `old` */

static void path_of(int fd, char ret[PATH_MAX])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, ret, PATH_MAX - 1);
	assert(n > 0);
	ret[n] = '\0';
}

static void path_at(int dirfd, const char *name, char ret[PATH_MAX])
{
	size_t n;

	path_of(dirfd, ret);
	n = strlen(ret);
	snprintf(ret + n, PATH_MAX - n, "/%s", name);
}

static off_t size_of(int fd)
{
	struct stat st;
	int r = fstat(fd, &st);

	assert(r == 0);
	return st.st_size;
}

/* @return 1: do it; 0: do it and fail, with half of a write; -1: do not. */
static int next_step(void)
{
	size_t now = step;

	if (!armed)
		return 1;
	step++;
	if (now >= stop_step) {
		errno = EIO;
		return -1;
	}
	if (now >= fail_step && now - fail_step < fail_n) {
		errno = fail_error;
		return 0;
	}
	return 1;
}

static struct change *remember(enum change_kind kind)
{
	changes = reallocarray(changes, n_changes + 1, sizeof *changes);
	assert(changes);
	changes[n_changes] = (struct change){ .kind = kind };
	return &changes[n_changes++];
}

static void forget(size_t i)
{
	free(changes[i].old);
	memmove(&changes[i], &changes[i + 1], (n_changes - i - 1) * sizeof *changes);
	n_changes--;
}

/* The calls. */

static void remember_bytes(int fd, size_t n, off_t offset)
{
	struct change *c = remember(CHANGE_BYTES);
	ssize_t got;
	int reader;

	path_of(fd, c->path);
	c->old = calloc(1, n);
	assert(c->old);
	/* Whoever writes it may not be able to read it. */
	reader = (int) syscall(SYS_openat, AT_FDCWD, c->path, O_RDONLY | O_CLOEXEC);
	assert(reader >= 0);
	got = pread(reader, c->old, n, offset);
	assert(got >= 0);
	close(reader);
	c->n = (size_t) got;
	c->n_new = n;
	c->offset = offset;
	c->old_size = size_of(fd);
}

/* A repeated write is to be the same write. */
static void compare_with_failed(int fd, const void *data, size_t n, off_t offset)
{
	char path[PATH_MAX];

	if (!failed.old)
		return;
	path_of(fd, path);
	if (strcmp(path, failed.path) != 0 || offset != failed.offset)
		return;
	other_bytes |= n != failed.n || memcmp(data, failed.old, n) != 0;
	free(failed.old);
	failed.old = NULL;
}

/* What is written again is to be written. */
static void make_dirty(int fd, size_t n, off_t offset)
{
	char path[PATH_MAX];

	path_of(fd, path);
	for (size_t i = 0; i < n_changes; i++) {
		struct change *c = &changes[i];

		if (c->kind == CHANGE_BYTES && c->offset >= offset &&
		    c->offset + (off_t) c->n_new <= offset + (off_t) n &&
		    strcmp(c->path, path) == 0)
			c->given_up = false;
	}
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
	int how = next_step();

	if (how < 0)
		return -1;
	if (armed && how > 0)
		compare_with_failed(fd, data, n, offset);
	if (how == 0) {
		int error = errno;

		free(failed.old);
		failed = (struct change){ .old = malloc(n), .n = n, .offset = offset };
		assert(failed.old);
		memcpy(failed.old, data, n);
		path_of(fd, failed.path);
		remember_bytes(fd, n / 2, offset);
		syscall(SYS_pwrite64, fd, data, n / 2, offset);
		errno = error;
		return -1;
	}
	if (armed) {
		make_dirty(fd, n, offset);
		remember_bytes(fd, n, offset);
	}
	return syscall(SYS_pwrite64, fd, data, n, offset);
}

static void remember_size(int fd)
{
	struct change *c = remember(CHANGE_SIZE);

	path_of(fd, c->path);
	c->old_size = size_of(fd);
}

int ftruncate(int fd, off_t size)
{
	if (next_step() <= 0)
		return -1;
	if (armed) {
		/* What is cut off comes back with the size. */
		off_t old = size_of(fd);

		if (old > size) {
			remember_bytes(fd, (size_t) (old - size), size);
			changes[n_changes - 1].cut_off = true;
		}
		remember_size(fd);
	}
	return (int) syscall(SYS_ftruncate, fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	if (next_step() <= 0)
		return -1;
	if (full) {
		errno = ENOSPC;
		return -1;
	}
	if (armed)
		remember_size(fd);
	return (int) syscall(SYS_fallocate, fd, mode, offset, len);
}

int openat(int dirfd, const char *name, int flags, ...)
{
	mode_t mode = 0;
	bool creates = false;
	va_list ap;
	int fd;

	if (flags & O_CREAT) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
		creates = faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
	}
	if (creates && next_step() <= 0)
		return -1;
	fd = (int) syscall(SYS_openat, dirfd, name, flags, mode);
	if (armed && creates && fd >= 0)
		path_at(dirfd, name, remember(CHANGE_CREATED)->path);
	return fd;
}

int linkat(int old_dirfd, const char *old, int new_dirfd, const char *new, int flags)
{
	int r;

	if (next_step() <= 0)
		return -1;
	r = (int) syscall(SYS_linkat, old_dirfd, old, new_dirfd, new, flags);
	if (armed && r == 0)
		path_at(new_dirfd, new, remember(CHANGE_CREATED)->path);
	return r;
}

/* Keep what is about to lose its name.  @return whether there is such a file. */
static bool remember_removed(int dirfd, const char *name)
{
	int fd = (int) syscall(SYS_openat, dirfd, name, O_RDONLY | O_CLOEXEC);
	struct change *c;
	ssize_t got;

	if (fd < 0)
		return false;
	c = remember(CHANGE_REMOVED);
	path_at(dirfd, name, c->path);
	c->n = (size_t) size_of(fd);
	c->old = malloc(c->n + 1);
	assert(c->old);
	got = pread(fd, c->old, c->n, 0);
	assert(got == (ssize_t) c->n);
	close(fd);
	return true;
}

int unlinkat(int dirfd, const char *name, int flags)
{
	if (next_step() <= 0)
		return -1;
	if (armed)
		remember_removed(dirfd, name);
	return (int) syscall(SYS_unlinkat, dirfd, name, flags);
}

int renameat2(int old_dirfd, const char *old, int new_dirfd, const char *new, unsigned flags)
{
	bool replaces;
	int r;

	if (next_step() <= 0)
		return -1;
	replaces = armed && remember_removed(new_dirfd, new);
	r = (int) syscall(SYS_renameat2, old_dirfd, old, new_dirfd, new, flags);
	if (r < 0 && replaces)
		forget(n_changes - 1);
	if (armed && r == 0) {
		struct change *c = remember(CHANGE_RENAMED);

		path_at(old_dirfd, old, c->path);
		path_at(new_dirfd, new, c->to);
	}
	return r;
}

int renameat(int old_dirfd, const char *old, int new_dirfd, const char *new)
{
	return renameat2(old_dirfd, old, new_dirfd, new, 0);
}

static bool is_of_name(const struct change *c)
{
	return c->kind != CHANGE_BYTES && c->kind != CHANGE_SIZE;
}

/* A sync that fails gives up what it should have written; the next one will not try. */
static void give_up(int fd)
{
	char path[PATH_MAX];

	path_of(fd, path);
	for (size_t i = 0; i < n_changes; i++)
		if (changes[i].kind == CHANGE_BYTES && !changes[i].cut_off &&
		    strcmp(changes[i].path, path) == 0)
			changes[i].given_up = true;
}

/* The file that had this name is gone for good, and its content with it.  @return how many changes that were. */
static size_t forget_content(size_t removed)
{
	char path[PATH_MAX];
	size_t n = 0;

	strcpy(path, changes[removed].path);
	for (size_t i = removed; i-- > 0;)
		if (!is_of_name(&changes[i]) && strcmp(changes[i].path, path) == 0) {
			forget(i);
			n++;
		}
	return n;
}

/* A name that is durable is the one under which content is still to become so. */
static void follow_rename(size_t renamed)
{
	const struct change *c = &changes[renamed];

	for (size_t i = 0; i < renamed; i++)
		if (!is_of_name(&changes[i]) && strcmp(changes[i].path, c->path) == 0)
			strcpy(changes[i].path, c->to);
}

static bool is_name_in(const struct change *c, const char *dir)
{
	size_t n = (size_t) (strrchr(c->path, '/') - c->path);

	return is_of_name(c) && (!dir || (strlen(dir) == n && strncmp(dir, c->path, n) == 0));
}

/* Names in a durable directory cannot be undone any more; NULL: in any. */
static void settle_names(const char *dir)
{
	for (size_t i = n_changes; i-- > 0;)
		if (changes[i].kind == CHANGE_REMOVED && is_name_in(&changes[i], dir)) {
			size_t n = forget_content(i);

			forget(i -= n);
		}
	for (size_t i = n_changes; i-- > 0;)
		if (is_name_in(&changes[i], dir)) {
			if (changes[i].kind == CHANGE_RENAMED)
				follow_rename(i);
			forget(i);
		}
}

/* Neither can content that is durable. */
static void settle(int fd)
{
	char path[PATH_MAX];
	struct stat st;
	int r = fstat(fd, &st);

	assert(r == 0);
	path_of(fd, path);
	if (S_ISDIR(st.st_mode)) {
		settle_names(path);
		return;
	}
	for (size_t i = n_changes; i-- > 0;)
		if (!is_of_name(&changes[i]) && !changes[i].given_up &&
		    strcmp(changes[i].path, path) == 0)
			forget(i);
}

int fdatasync(int fd)
{
	int how = next_step();

	if (how == 0) {
		int error = errno;

		give_up(fd);
		errno = error;
	}
	if (how <= 0)
		return -1;
	if (armed)
		settle(fd);
	return 0;
}

int fsync(int fd)
{
	return fdatasync(fd);
}

/* The power. */

static void write_back(const struct change *c, size_t from, size_t n)
{
	int fd = (int) syscall(SYS_openat, AT_FDCWD, c->path, O_WRONLY | O_CLOEXEC);
	ssize_t r;

	/* What was removed for good has no content. */
	if (fd < 0 && errno == ENOENT)
		return;
	assert(fd >= 0);
	if (from < c->n) {
		if (n > c->n - from)
			n = c->n - from;
		r = syscall(SYS_pwrite64, fd, c->old + from, n, c->offset + (off_t) from);
		assert(r == (ssize_t) n);
	}
	close(fd);
}

static void set_size(const struct change *c)
{
	int r = truncate(c->path, c->old_size);

	assert(r == 0 || errno == ENOENT);
}

static void undo(const struct change *c)
{
	int fd;

	switch (c->kind) {
	case CHANGE_BYTES:
		write_back(c, 0, c->n);
		set_size(c);
		break;
	case CHANGE_SIZE:
		set_size(c);
		break;
	case CHANGE_CREATED:
		unlink(c->path);
		break;
	case CHANGE_RENAMED:
		rename(c->to, c->path);
		break;
	case CHANGE_REMOVED:
		fd = (int) syscall(SYS_openat, AT_FDCWD, c->path, O_WRONLY | O_CREAT | O_CLOEXEC,
				   0600);
		assert(fd >= 0);
		ssize_t n = write(fd, c->old, c->n);
		assert(n == (ssize_t) c->n);
		close(fd);
		break;
	}
}

static void tear(const struct change *c, bool keep_first)
{
	size_t half = c->n_new / 2;

	if (keep_first) {
		write_back(c, half, c->n_new - half);
		if ((off_t) (c->offset + (off_t) c->n_new) > c->old_size &&
		    c->offset + (off_t) half >= c->old_size)
			(void) !truncate(c->path, c->offset + (off_t) half);
	} else {
		struct change zero = *c;

		/* Where the file did not reach, a hole stays. */
		if (c->n < half) {
			zero.old = calloc(1, half);
			assert(zero.old);
			memcpy(zero.old, c->old, c->n);
			zero.n = half;
			write_back(&zero, 0, half);
			free(zero.old);
		} else {
			write_back(c, 0, half);
		}
	}
}

void disk_cut(enum disk_cut how)
{
	armed = false;
	if (how == CUT_LOSES_ALL)
		for (size_t i = n_changes; i-- > 0;)
			undo(&changes[i]);
	else
		settle_names(NULL);
	for (size_t i = n_changes; how != CUT_KEEPS_ALL && how != CUT_LOSES_ALL && i-- > 0;) {
		if (changes[i].kind != CHANGE_BYTES)
			continue;
		tear(&changes[i], how != CUT_TEARS_LAST_FIRST);
		if (how != CUT_TEARS_ALL)
			break;
	}
	disk_end();
}

/* Control. */

void disk_begin(void)
{
	disk_end();
	armed = true;
}

void disk_end(void)
{
	armed = full = other_bytes = false;
	step = fail_step = fail_n = 0;
	stop_step = SIZE_MAX;
	while (n_changes > 0)
		forget(n_changes - 1);
	free(changes);
	changes = NULL;
	free(failed.old);
	failed.old = NULL;
}

void disk_stop_at(size_t at)
{
	stop_step = at;
}

void disk_fail_at(size_t at, size_t n, int error)
{
	fail_step = at;
	fail_n = n;
	fail_error = error;
}

void disk_is_full(bool is_full)
{
	full = is_full;
}

size_t disk_steps(void)
{
	return step;
}

bool disk_saw_other_bytes(void)
{
	return other_bytes;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { PIECE = 64 << 10 };

int io_write(int fd, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= (size_t) w;
	}
	return 0;
}

int io_pwrite(int fd, const void *data, size_t n, uint64_t offset)
{
	const uint8_t *p = data;

	while (n > 0) {
		ssize_t w = pwrite(fd, p, n, (off_t) offset);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= (size_t) w;
		offset += (uint64_t) w;
	}
	return 0;
}

ssize_t io_pread(int fd, void *to, size_t n, uint64_t offset)
{
	uint8_t *p = to;
	size_t got = 0;

	while (got < n) {
		ssize_t r = pread(fd, p + got, n - got, (off_t) (offset + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		got += (size_t) r;
	}
	return (ssize_t) got;
}

int io_is_blank(int fd, uint64_t offset)
{
	static const uint8_t zero[4096];
	uint8_t piece[4096];

	for (;;) {
		ssize_t n = io_pread(fd, piece, sizeof piece, offset);

		if (n <= 0)
			return n < 0 ? (int) n : 1;
		if (memcmp(piece, zero, (size_t) n) != 0)
			return 0;
		offset += (uint64_t) n;
	}
}

int io_write_again(int fd, uint64_t from, uint64_t to)
{
	_cleanup_free_ uint8_t *p = malloc(PIECE);

	if (!p)
		return -ENOMEM;
	while (from < to) {
		size_t n = (size_t) MIN_OF(to - from, (uint64_t) PIECE);
		ssize_t got = io_pread(fd, p, n, from);
		int r = got < 0 ? (int) got : (size_t) got < n ? -EIO : 0;

		if (r >= 0)
			r = io_pwrite(fd, p, n, from);
		if (r < 0)
			return r;
		from += n;
	}
	return 0;
}

int io_sync(int fd)
{
	while (fdatasync(fd) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int io_sync_dir(int dirfd)
{
	while (fsync(dirfd) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int io_preallocate(int fd, uint64_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t) st.st_size >= size)
		return 0;
	do
		if (fallocate(fd, 0, st.st_size, (off_t) size - st.st_size) == 0)
			return 0;
	while (errno == EINTR);
	if (errno != EOPNOTSUPP)
		return -errno;
	while (ftruncate(fd, (off_t) size) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int io_open_regular(int dirfd, const char *name, int flags)
{
	/* Without O_NONBLOCK a FIFO of that name would hold its reader for ever. */
	_cleanup_close_ int fd =
		openat(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -ENXIO;
	return TAKE_FD(fd);
}

int io_read_file(int dirfd, const char *name, size_t size_max, struct buf *to)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	size_t total = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		uint8_t *p = buf_room(to, 4096);
		ssize_t n;

		if (!p)
			return -ENOMEM;
		n = read(fd, p, to->cap - to->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		total += (size_t) n;
		if (total > size_max)
			return -EFBIG;
		buf_add(to, (size_t) n);
	}
}

int io_replace_file(int dirfd, const char *name, const void *data, size_t n, mode_t mode)
{
	_cleanup_close_ int fd = -1;
	char temporary[256];
	int r;

	r = snprintf(temporary, sizeof temporary, ".%s.new", name);
	if (r < 0 || (size_t) r >= sizeof temporary)
		return -ENAMETOOLONG;
	/* What a crash left there has its own mode, and perhaps readers: never written again. */
	if (unlinkat(dirfd, temporary, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	r = io_write(fd, data, n);
	if (r >= 0)
		r = io_sync(fd);
	if (r >= 0 && renameat(dirfd, temporary, dirfd, name) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dirfd, temporary, 0);
		return r;
	}
	return io_sync_dir(dirfd);
}

/* Make the name of a new directory durable in the one above it. */
static int sync_parent(char *path)
{
	_cleanup_close_ int fd = -1;
	char *slash = strrchr(path, '/');

	if (slash && slash != path)
		*slash = '\0';
	fd = open(!slash ? "." : slash == path ? "/" : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (slash && slash != path)
		*slash = '/';
	return fd < 0 ? -errno : io_sync_dir(fd);
}

static int make_dir(char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return sync_parent(path);
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int io_make_dirs(const char *path, mode_t mode)
{
	char part[4096];
	size_t n = strlen(path);

	if (n == 0 || n >= sizeof part)
		return n == 0 ? -ENOENT : -ENAMETOOLONG;
	memcpy(part, path, n + 1);
	for (size_t i = 1; i <= n; i++) {
		char c = part[i];
		int r;

		/* A slash at the end, or one of several, names nothing new. */
		if ((c != '/' && c != '\0') || (c == '\0' && n > 1 && part[i - 1] == '/'))
			continue;
		part[i] = '\0';
		r = make_dir(part, mode);
		if (r < 0)
			return r;
		part[i] = c;
	}
	return 0;
}

int io_open_dir(int dirfd, const char *name, mode_t mode)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* One that is there already may have been made a moment ago, by a process that did not live to sync it. */
	r = io_sync_dir(dirfd);
	return r < 0 ? r : TAKE_FD(fd);
}

int io_list_dir(int dirfd, const char *name, DIR **ret)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		return -errno;
	TAKE_FD(fd);
	*ret = dir;
	return 0;
}

int io_set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

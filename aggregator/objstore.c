/* SPDX-License-Identifier: Apache-2.0 */

#include "aggregator/objstore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

enum { COMPARED = 16 << 10 };

int objstore_open(struct objstore *s, const char *path)
{
	int r = io_make_dirs(path, 0750);

	if (r < 0)
		return r;
	s->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0)
		return -errno;
	/* Two that append to the same objects would overwrite each other. */
	if (flock(s->root, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
		close_fd(&s->root);
	}
	return r;
}

void objstore_close(struct objstore *s)
{
	close_fd(&s->root);
}

int objstore_prefix(struct objstore *s, const char *prefix)
{
	return io_open_dir(s->root, prefix, 0750);
}

static int open_name(const char *name, char ret[128])
{
	return snprintf(ret, 128, "%s.open", name) < 128 ? 0 : -ENAMETOOLONG;
}

int objstore_open_next(int prefix_fd, const char *name)
{
	_cleanup_close_ int fd = -1;
	char under_way[128];
	int r;

	r = open_name(name, under_way);
	if (r < 0)
		return r;
	fd = openat(prefix_fd, under_way, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return -errno;
	r = io_sync_dir(prefix_fd);
	return r < 0 ? r : TAKE_FD(fd);
}

int objstore_begin(int prefix_fd, const char *name)
{
	objstore_give_up(prefix_fd, name);
	return objstore_open_next(prefix_fd, name);
}

void objstore_give_up(int prefix_fd, const char *name)
{
	char under_way[128];

	/* What stays is removed by the next attempt. */
	if (open_name(name, under_way) >= 0)
		unlinkat(prefix_fd, under_way, 0);
}

bool objstore_has(int prefix_fd, const char *name)
{
	return faccessat(prefix_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool same_file(int prefix_fd, const char *name, const char *other)
{
	struct stat a, b;

	return fstatat(prefix_fd, name, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstatat(prefix_fd, other, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* The old name goes last: until then a call that failed can be repeated. */
int objstore_publish(int prefix_fd, const char *name)
{
	char under_way[128];
	int r;

	r = open_name(name, under_way);
	if (r < 0)
		return r;
	if (linkat(prefix_fd, under_way, prefix_fd, name, 0) < 0) {
		r = -errno;
		if (r != -EEXIST || !same_file(prefix_fd, name, under_way))
			return r;
	}
	r = io_sync_dir(prefix_fd);
	if (r < 0)
		return r;
	return unlinkat(prefix_fd, under_way, 0) < 0 ? -errno : 0;
}

static int compare(int a, int b)
{
	uint8_t x[COMPARED], y[COMPARED];
	uint64_t at = 0;
	ssize_t n, m;

	do {
		n = io_pread(a, x, sizeof x, at);
		m = io_pread(b, y, sizeof y, at);
		if (n < 0 || m < 0)
			return (int) MIN_OF(n, m);
		if (n != m || memcmp(x, y, (size_t) n) != 0)
			return 0;
		at += (uint64_t) n;
	} while (n > 0);
	return 1;
}

int objstore_compare(int prefix_fd, const char *name)
{
	_cleanup_close_ int there = -1, ours = -1;
	char under_way[128];
	int r = open_name(name, under_way);

	if (r < 0)
		return r;
	there = io_open_regular(prefix_fd, name, O_RDONLY);
	ours = io_open_regular(prefix_fd, under_way, O_RDONLY);
	if (there < 0 || ours < 0)
		return MIN_OF(there, ours);
	return compare(there, ours);
}

int objstore_remove(int prefix_fd, const char *name)
{
	if (unlinkat(prefix_fd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return io_sync_dir(prefix_fd);
}

int objstore_read(int prefix_fd, const char *name)
{
	char under_way[128];
	int r = open_name(name, under_way);

	if (r < 0)
		return r;
	/* It may be published between two looks, but only once: the third is at the name it then has. */
	for (int look = 0; look < 3; look++) {
		const char *at = look == 1 ? under_way : name;
		int fd = openat(prefix_fd, at, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

		if (fd >= 0)
			return fd;
		if (errno != ENOENT)
			return -errno;
	}
	return -ENOENT;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "aggregator/objstore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

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

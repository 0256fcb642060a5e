/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A disk that fails when it is told to: preloaded into the real programs.
 *
 * $BULLA_FAULTS names a file of at least 64 bytes, which is mapped: whoever writes to it switches faults on and off while
 * the programs run, the confined ones too.  It holds words, each followed by a space:
 *
 *	NAME CALL ERROR      e.g. ".tail sync 5 ", ".ledger write 28 ", "key write 5 ", "none none 0 "
 *
 * NAME is the end of a file's name.  `write` fails pwrite after half of the bytes, and fallocate; `sync` fails fdatasync,
 * which then does nothing.
 */

/* Each call under its own name: neither checked nor renamed by the headers. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PUBLIC __attribute__((__visibility__("default")))

enum { FDS_MAX = 4096, NAME_SIZE = 64, ORDER_SIZE = 64 };

static const char *order; /* ORDER_SIZE bytes, shared */
static char name_of[FDS_MAX][NAME_SIZE];

__attribute__((__constructor__)) static void start(void)
{
	const char *path = getenv("BULLA_FAULTS");
	int fd = path ? (int) syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
	void *page = mmap(NULL, ORDER_SIZE, PROT_READ, MAP_SHARED, fd, 0);

	if (page != MAP_FAILED)
		order = page;
	if (fd >= 0)
		syscall(SYS_close, fd);
}

/* Whether this call on this file is to fail, and errno then. */
static bool fails(int fd, const char *call)
{
	char text[ORDER_SIZE + 1], name[ORDER_SIZE], what[ORDER_SIZE];
	int error;
	size_t have, want;

	if (!order || fd < 0 || fd >= FDS_MAX)
		return false;
	memcpy(text, order, ORDER_SIZE);
	text[ORDER_SIZE] = '\0';
	if (sscanf(text, "%63s %63s %d ", name, what, &error) != 3 || strcmp(what, call) != 0)
		return false;
	have = strlen(name_of[fd]);
	want = strlen(name);
	if (have < want || strcmp(name_of[fd] + have - want, name) != 0)
		return false;
	errno = error;
	return true;
}

static int do_open(int dirfd, const char *path, int flags, mode_t mode)
{
	int fd = (int) syscall(SYS_openat, dirfd, path, flags, mode);
	const char *slash = strrchr(path, '/');

	if (fd >= 0 && fd < FDS_MAX)
		snprintf(name_of[fd], NAME_SIZE, "%s", slash ? slash + 1 : path);
	return fd;
}

#undef openat
#undef openat64

PUBLIC int openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return do_open(dirfd, path, flags, mode);
}

PUBLIC int openat64(int dirfd, const char *path, int flags, ...)
	__attribute__((__alias__("openat")));

int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);

PUBLIC int __openat_2(int dirfd, const char *path, int flags)
{
	return do_open(dirfd, path, flags, 0);
}

PUBLIC int __openat64_2(int dirfd, const char *path, int flags)
{
	return do_open(dirfd, path, flags, 0);
}

PUBLIC ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
	if (!fails(fd, "write"))
		return syscall(SYS_pwrite64, fd, data, n, offset);
	int error = errno;

	syscall(SYS_pwrite64, fd, data, n / 2, offset);
	errno = error;
	return -1;
}

PUBLIC ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset)
	__attribute__((__alias__("pwrite")));

PUBLIC int fallocate(int fd, int mode, off_t offset, off_t len)
{
	return fails(fd, "write") ? -1 : (int) syscall(SYS_fallocate, fd, mode, offset, len);
}

PUBLIC int fallocate64(int fd, int mode, off64_t offset, off64_t len)
	__attribute__((__alias__("fallocate")));

PUBLIC int fdatasync(int fd)
{
	return fails(fd, "sync") ? -1 : (int) syscall(SYS_fdatasync, fd);
}

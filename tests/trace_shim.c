/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Records what a process does to the files below a directory (trace.h).  Preloaded into the real programs, or linked into
 * one that plays them.
 *
 * The calls themselves go straight to the kernel.  A confined process may look up nothing later, so descriptors are known
 * from the moment they are opened, or from the start of the program.  A record is appended by one write(2), which other
 * processes' cannot split, after the call has succeeded and before anybody can be told of it: so the order of the records
 * is one in which it may have happened.
 */

/* Each call under its own name: neither checked nor renamed by the headers. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include "tests/trace.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static_assert(sizeof(off_t) == 8, "offsets are wide without being told");

#define PUBLIC __attribute__((__visibility__("default")))

enum { FDS_MAX = 4096, TRACE_FD = 900, PATH_SIZE = 4200 };

static char root[PATH_SIZE];
static int trace_fd = -1;
static bool started;
static uint64_t ino_of[FDS_MAX]; /* 0: not below the directory */

/* Where a path leads, as far as that can be told without following its last part. */
static bool resolve(int dirfd, const char *path, char ret[PATH_SIZE])
{
	char link[64], base[PATH_SIZE] = "";
	ssize_t n;

	if (path[0] != '/') {
		snprintf(link, sizeof link,
			 dirfd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dirfd);
		n = syscall(SYS_readlink, link, base, sizeof base - 1);
		if (n < 0)
			return false;
		base[n] = '\0';
	}
	snprintf(ret, PATH_SIZE, "%s%s%s", base, path[0] == '/' ? "" : "/", path);
	return true;
}

static bool is_below(const char *path)
{
	size_t n = strlen(root);

	return n > 0 && strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* One write(2), which is all that a confined process may do. */
static void record(struct trace_record *r, const char *name, const void *data, size_t n)
{
	static uint8_t *room;
	static size_t cap;
	size_t name_len = name ? strlen(name) : 0, size = sizeof *r + name_len + n;
	int saved = errno;

	if (cap < size) {
		cap = 2 * size;
		room = realloc(room, cap);
		if (!room)
			abort();
	}
	r->name_len = (uint32_t) name_len;
	r->data_len = (uint32_t) n;
	r->size = (uint32_t) size;
	memcpy(room, r, sizeof *r);
	if (name_len > 0)
		memcpy(room + sizeof *r, name, name_len);
	if (n > 0)
		memcpy(room + sizeof *r + name_len, data, n);
	if (syscall(SYS_write, trace_fd, room, size) != (ssize_t) size)
		abort();
	errno = saved;
}

static void watch(int fd, uint64_t ino)
{
	if (fd >= 0 && fd < FDS_MAX)
		ino_of[fd] = ino;
}

static uint64_t known(int fd)
{
	return started && fd >= 0 && fd < FDS_MAX ? ino_of[fd] : 0;
}

/* Descriptors that were inherited. */
static void look_around(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL) {
		char path[PATH_SIZE];
		int fd = atoi(e->d_name);
		struct stat st;
		char link[64];
		ssize_t n;

		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		n = syscall(SYS_readlink, link, path, sizeof path - 1);
		if (n <= 0)
			continue;
		path[n] = '\0';
		if (is_below(path) && fstat(fd, &st) == 0)
			watch(fd, st.st_ino);
	}
	if (dir)
		closedir(dir);
}

__attribute__((__constructor__)) static void start(void)
{
	const char *dir = getenv(TRACE_DIR), *file = getenv(TRACE_FILE);
	struct stat st;
	int fd;

	if (!dir || !file || started)
		return;
	snprintf(root, sizeof root, "%s", dir);
	fd = (int) syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
			   0600);
	trace_fd = (int) syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, TRACE_FD);
	syscall(SYS_close, fd);
	if (trace_fd < 0 || stat(root, &st) < 0)
		abort();
	if (fstat(trace_fd, &st) == 0 && st.st_size == 0 && stat(root, &st) == 0)
		record(&(struct trace_record){ .op = TRACE_ROOT, .ino = st.st_ino }, NULL, NULL, 0);
	look_around();
	started = true;
}

/* Directory of a path and its last part. */
static uint64_t parent_of(const char *path, const char **ret_name)
{
	char dir[PATH_SIZE];
	char *slash;
	struct stat st;

	snprintf(dir, sizeof dir, "%s", path);
	slash = strrchr(dir, '/');
	if (!slash)
		return 0;
	*slash = '\0';
	*ret_name = path + (slash - dir) + 1;
	return stat(dir, &st) == 0 ? st.st_ino : 0;
}

/* Opening. */

static int do_open(int dirfd, const char *path, int flags, mode_t mode)
{
	char full[PATH_SIZE];
	struct stat st;
	bool mine = started && resolve(dirfd, path, full) && is_below(full);
	bool fresh = mine && (flags & O_CREAT) && syscall(SYS_faccessat, dirfd, path, F_OK) != 0;
	int fd = (int) syscall(SYS_openat, dirfd, path, flags, mode);

	if (fd < 0 || !mine) {
		watch(fd, 0);
		return fd;
	}
	if (fstat(fd, &st) < 0)
		abort();
	watch(fd, st.st_ino);
	if (fresh) {
		const char *name = "";
		uint64_t dir = parent_of(full, &name);

		record(&(struct trace_record){ .op = TRACE_CREATE, .dir = dir, .ino = st.st_ino },
		       name, NULL, 0);
	} else if (flags & O_TRUNC) {
		record(&(struct trace_record){ .op = TRACE_TRUNCATE, .ino = st.st_ino }, NULL, NULL,
		       0);
	}
	return fd;
}

#define MODE_OF(flags, last)                             \
	({                                               \
		mode_t _mode = 0;                        \
		if ((flags) & (O_CREAT | __O_TMPFILE)) { \
			va_list _ap;                     \
			va_start(_ap, last);             \
			_mode = va_arg(_ap, mode_t);     \
			va_end(_ap);                     \
		}                                        \
		_mode;                                   \
	})

#undef open
#undef open64
#undef openat
#undef openat64

PUBLIC int open(const char *path, int flags, ...)
{
	return do_open(AT_FDCWD, path, flags, MODE_OF(flags, flags));
}

PUBLIC int openat(int dirfd, const char *path, int flags, ...)
{
	return do_open(dirfd, path, flags, MODE_OF(flags, flags));
}

PUBLIC int open64(const char *path, int flags, ...) __attribute__((__alias__("open")));
PUBLIC int openat64(int dirfd, const char *path, int flags, ...)
	__attribute__((__alias__("openat")));

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);

PUBLIC int __open_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}

PUBLIC int __open64_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}

PUBLIC int __openat_2(int dirfd, const char *path, int flags)
{
	return do_open(dirfd, path, flags, 0);
}

PUBLIC int __openat64_2(int dirfd, const char *path, int flags)
{
	return do_open(dirfd, path, flags, 0);
}

PUBLIC int close(int fd)
{
	watch(fd, 0);
	return (int) syscall(SYS_close, fd);
}

/* Content. */

static void wrote(int fd, const void *data, ssize_t n, off_t offset)
{
	uint64_t ino = known(fd);

	if (ino != 0 && n > 0)
		record(&(struct trace_record){ .op = TRACE_WRITE,
					       .ino = ino,
					       .offset = (uint64_t) offset },
		       NULL, data, (size_t) n);
}

PUBLIC ssize_t write(int fd, const void *data, size_t n)
{
	ssize_t done = syscall(SYS_write, fd, data, n);

	if (done > 0 && known(fd) != 0)
		wrote(fd, data, done, (off_t) syscall(SYS_lseek, fd, 0, SEEK_CUR) - done);
	return done;
}

PUBLIC ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
	ssize_t done = syscall(SYS_pwrite64, fd, data, n, offset);

	wrote(fd, data, done, offset);
	return done;
}

PUBLIC ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset)
	__attribute__((__alias__("pwrite")));

static int sized(int fd, enum trace_op op, off_t size, int r)
{
	if (r == 0 && known(fd) != 0)
		record(&(struct trace_record){ .op = op,
					       .ino = known(fd),
					       .offset = (uint64_t) size },
		       NULL, NULL, 0);
	return r;
}

PUBLIC int ftruncate(int fd, off_t size)
{
	return sized(fd, TRACE_TRUNCATE, size, (int) syscall(SYS_ftruncate, fd, size));
}

PUBLIC int ftruncate64(int fd, off64_t size) __attribute__((__alias__("ftruncate")));

PUBLIC int fallocate(int fd, int mode, off_t offset, off_t len)
{
	int r = (int) syscall(SYS_fallocate, fd, mode, offset, len);

	/* Nothing that a reader could see. */
	if (mode == FALLOC_FL_KEEP_SIZE)
		return r;
	if (known(fd) != 0 && mode != 0)
		abort(); /* the simulator knows only the plain one */
	return sized(fd, TRACE_ALLOCATE, offset + len, r);
}

PUBLIC int fallocate64(int fd, int mode, off64_t offset, off64_t len)
	__attribute__((__alias__("fallocate")));

PUBLIC int fsync(int fd)
{
	return sized(fd, TRACE_SYNC, 0, (int) syscall(SYS_fsync, fd));
}

PUBLIC int fdatasync(int fd)
{
	return sized(fd, TRACE_SYNC, 0, (int) syscall(SYS_fdatasync, fd));
}

/* Names. */

static bool below(int dirfd, const char *path, uint64_t *ret_dir, char full[PATH_SIZE],
		  const char **ret_name)
{
	if (!started || !resolve(dirfd, path, full) || !is_below(full))
		return false;
	*ret_dir = parent_of(full, ret_name);
	return true;
}

PUBLIC int mkdirat(int dirfd, const char *path, mode_t mode)
{
	char full[PATH_SIZE];
	const char *name;
	struct stat st;
	uint64_t dir;
	int r = (int) syscall(SYS_mkdirat, dirfd, path, mode);

	if (r == 0 && below(dirfd, path, &dir, full, &name) && stat(full, &st) == 0)
		record(&(struct trace_record){ .op = TRACE_MKDIR, .dir = dir, .ino = st.st_ino },
		       name, NULL, 0);
	return r;
}

PUBLIC int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

PUBLIC int unlinkat(int dirfd, const char *path, int flags)
{
	char full[PATH_SIZE];
	const char *name;
	uint64_t dir;
	bool mine = below(dirfd, path, &dir, full, &name);
	int r = (int) syscall(SYS_unlinkat, dirfd, path, flags);

	if (r == 0 && mine)
		record(&(struct trace_record){ .op = TRACE_UNLINK, .dir = dir }, name, NULL, 0);
	return r;
}

PUBLIC int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

PUBLIC int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	char from_full[PATH_SIZE], to_full[PATH_SIZE];
	const char *from_name, *to_name;
	uint64_t from_dir, to_dir;
	bool mine = below(from_fd, from, &from_dir, from_full, &from_name) &&
		    below(to_fd, to, &to_dir, to_full, &to_name);
	int r = (int) syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);

	if (r == 0 && mine)
		record(&(struct trace_record){ .op = TRACE_RENAME, .dir = from_dir, .ino = to_dir },
		       from_name, to_name, strlen(to_name));
	return r;
}

PUBLIC int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return renameat2(from_fd, from, to_fd, to, 0);
}

PUBLIC int rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

PUBLIC int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	char full[PATH_SIZE];
	const char *name;
	struct stat st;
	uint64_t dir;
	int r = (int) syscall(SYS_linkat, from_fd, from, to_fd, to, flags);

	if (r == 0 && below(to_fd, to, &dir, full, &name) && stat(full, &st) == 0)
		record(&(struct trace_record){ .op = TRACE_LINK, .dir = dir, .ino = st.st_ino },
		       name, NULL, 0);
	return r;
}

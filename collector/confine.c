/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || \
	__has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED
static const int parser_calls[] = {
	SCMP_SYS(brk),
	SCMP_SYS(close),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(fstat),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	SCMP_SYS(madvise),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	SCMP_SYS(newfstatat),
	SCMP_SYS(read),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(write),
};

/* Of a file that is mapped, or a stream that is waited for. */
static const int reader_calls[] = {
	SCMP_SYS(clock_gettime), SCMP_SYS(fstatfs), SCMP_SYS(getpid),  SCMP_SYS(gettid),
	SCMP_SYS(lseek),	 SCMP_SYS(poll),    SCMP_SYS(pread64),
};

static const int collector_calls[] = {
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(epoll_ctl),	 SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_wait),	 SCMP_SYS(fallocate),
	SCMP_SYS(fdatasync),	 SCMP_SYS(ftruncate),
	SCMP_SYS(getpid),	 SCMP_SYS(gettid),
	SCMP_SYS(lseek),	 SCMP_SYS(nanosleep),
	SCMP_SYS(poll),		 SCMP_SYS(ppoll),
	SCMP_SYS(pread64),	 SCMP_SYS(pwrite64),
	SCMP_SYS(recvmsg),	 SCMP_SYS(sendmsg),
	SCMP_SYS(splice),	 SCMP_SYS(tee),
};

/* Which files it opens is another matter.  Sorting asks how much memory there is. */
static const int keeper_calls[] = {
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(faccessat),	 SCMP_SYS(faccessat2),
	SCMP_SYS(fallocate),	 SCMP_SYS(fchmod),
	SCMP_SYS(fchown),	 SCMP_SYS(fdatasync),
	SCMP_SYS(fstatfs),	 SCMP_SYS(fsync),
	SCMP_SYS(ftruncate),	 SCMP_SYS(getdents64),
	SCMP_SYS(getpid),	 SCMP_SYS(gettid),
	SCMP_SYS(lseek),	 SCMP_SYS(openat),
	SCMP_SYS(poll),		 SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),	 SCMP_SYS(recvmsg),
	SCMP_SYS(renameat),	 SCMP_SYS(renameat2),
	SCMP_SYS(sendmsg),	 SCMP_SYS(sysinfo),
	SCMP_SYS(unlinkat),
};

/* A call of which only some values of one argument are allowed: those where `argument & mask == value`. */
struct narrow {
	int call;
	unsigned argument;
	uint64_t mask, value;
};

/* No memory is ever executable but the programs that were mapped before. */
static const struct narrow parser_narrow[] = {
	{ SCMP_SYS(mmap), 2, PROT_EXEC, 0 },
	{ SCMP_SYS(mprotect), 2, PROT_EXEC, 0 },
};

/* Standard error may be somebody's terminal, into which other requests could type. */
static const struct narrow collector_narrow[] = {
	{ SCMP_SYS(ioctl), 1, UINT32_MAX, FIONREAD },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETPIPE_SZ },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_SETPIPE_SZ },
};

/* What directories are read with, and tails locked. */
static const struct narrow keeper_narrow[] = {
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETFL },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_SETFD },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_OFD_SETLK },
};

static int allow(scmp_filter_ctx filter, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);

		if (r < 0)
			return r;
	}
	return 0;
}

static int allow_narrow(scmp_filter_ctx filter, const struct narrow *rules, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct narrow *k = &rules[i];
		int r = seccomp_rule_add(
			filter, SCMP_ACT_ALLOW, k->call, 1,
			SCMP_CMP(k->argument, SCMP_CMP_MASKED_EQ, k->mask, k->value));

		if (r < 0)
			return r;
	}
	return 0;
}

enum role { PARSER, READER, COLLECTOR, KEEPER };

static int build(scmp_filter_ctx filter, enum role role)
{
	int r = allow(filter, parser_calls, ELEMENTS(parser_calls));

	if (r >= 0)
		r = allow_narrow(filter, parser_narrow, ELEMENTS(parser_narrow));
	if (r >= 0 && role == READER)
		r = allow(filter, reader_calls, ELEMENTS(reader_calls));
	if (r >= 0 && role == COLLECTOR)
		r = allow(filter, collector_calls, ELEMENTS(collector_calls));
	if (r >= 0 && role == COLLECTOR)
		r = allow_narrow(filter, collector_narrow, ELEMENTS(collector_narrow));
	if (r >= 0 && role == KEEPER)
		r = allow(filter, keeper_calls, ELEMENTS(keeper_calls));
	if (r >= 0 && role == KEEPER)
		r = allow_narrow(filter, keeper_narrow, ELEMENTS(keeper_narrow));
	return r;
}

static int confine(enum role role)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!filter)
		return -ENOMEM;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0) {
		r = -errno;
	} else {
		r = build(filter, role);
		if (r >= 0)
			r = seccomp_load(filter);
	}
	seccomp_release(filter);
	return r;
}

/* Files.  Headers may be older than the kernel. */

enum {
	FENCE_TRUNCATE_VERSION = 3,
	FENCE_IOCTL_VERSION = 5,
};

#define FENCE_TRUNCATE (UINT64_C(1) << 14)
#define FENCE_IOCTL    (UINT64_C(1) << 15)
#define FENCE_READ     (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FENCE_WRITE                                                       \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
	 LANDLOCK_ACCESS_FS_MAKE_REG | FENCE_TRUNCATE)

/* All that a version can refuse. */
static uint64_t fence_handles(long version)
{
	uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

	if (version > 1)
		all |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= FENCE_TRUNCATE_VERSION)
		all |= FENCE_TRUNCATE;
	if (version >= FENCE_IOCTL_VERSION)
		all |= FENCE_IOCTL;
	return all;
}

static int allow_dirs(int ruleset, const struct confine_dir *dirs, size_t n, uint64_t handles)
{
	for (size_t i = 0; i < n; i++) {
		struct landlock_path_beneath_attr rule = {
			.allowed_access =
				(FENCE_READ | (dirs[i].write ? FENCE_WRITE : 0)) & handles,
			.parent_fd = dirs[i].fd,
		};

		if (dirs[i].fd >= 0 && syscall(SYS_landlock_add_rule, ruleset,
					       LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
			return -errno;
	}
	return 0;
}

/* @return 1; 0 where the kernel knows nothing of it, or was told to; an error. */
static int fence(const struct confine_dir *dirs, size_t n)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr = { 0 };
	_cleanup_close_ int ruleset = -1;
	int r;

	if (version < 1)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	attr.handled_access_fs = fence_handles(version);
	ruleset =
		(int) syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
	if (ruleset < 0)
		return -errno;
	r = allow_dirs(ruleset, dirs, n, attr.handled_access_fs);
	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return -errno;
	return 1;
}

bool confine_is_on(void)
{
	return true;
}

int confine_keeper(const struct confine_dir *dirs, size_t n)
{
	int fenced = fence(dirs, n), r = fenced < 0 ? fenced : confine(KEEPER);

	return r < 0 ? r : fenced;
}

int confine_collector(void)
{
	return confine(COLLECTOR);
}

int confine_parser(void)
{
	return confine(PARSER);
}

int confine_reader(void)
{
	return confine(READER);
}
#else
bool confine_is_on(void)
{
	return false;
}

int confine_keeper(const struct confine_dir *dirs, size_t n)
{
	(void) dirs;
	(void) n;
	return 1;
}

int confine_collector(void)
{
	return 0;
}

int confine_parser(void)
{
	return 0;
}

int confine_reader(void)
{
	return 0;
}
#endif

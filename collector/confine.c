/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

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

enum role { PARSER, READER, COLLECTOR };

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

bool confine_is_on(void)
{
	return true;
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

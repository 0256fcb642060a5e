/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/confine.h"

#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
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
	SCMP_SYS(brk),		SCMP_SYS(close),	  SCMP_SYS(exit),
	SCMP_SYS(exit_group),	SCMP_SYS(fstat),	  SCMP_SYS(futex),
	SCMP_SYS(getrandom),	SCMP_SYS(madvise),	  SCMP_SYS(mmap),
	SCMP_SYS(mprotect),	SCMP_SYS(mremap),	  SCMP_SYS(munmap),
	SCMP_SYS(newfstatat),	SCMP_SYS(read),		  SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(write),
};

static const int collector_calls[] = {
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(epoll_ctl),	 SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_wait),	 SCMP_SYS(fallocate),
	SCMP_SYS(fcntl),	 SCMP_SYS(fdatasync),
	SCMP_SYS(ftruncate),	 SCMP_SYS(gettid),
	SCMP_SYS(getpid),	 SCMP_SYS(ioctl),
	SCMP_SYS(lseek),	 SCMP_SYS(nanosleep),
	SCMP_SYS(poll),		 SCMP_SYS(ppoll),
	SCMP_SYS(pread64),	 SCMP_SYS(pwrite64),
	SCMP_SYS(recvmsg),	 SCMP_SYS(sendmsg),
	SCMP_SYS(shutdown),	 SCMP_SYS(splice),
	SCMP_SYS(tee),
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

static int confine(const int *more, size_t n_more)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!filter)
		return -ENOMEM;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0) {
		r = -errno;
	} else {
		r = allow(filter, parser_calls, ELEMENTS(parser_calls));
		if (r >= 0)
			r = allow(filter, more, n_more);
		if (r >= 0)
			r = seccomp_load(filter);
	}
	seccomp_release(filter);
	return r;
}

int confine_collector(void)
{
	return confine(collector_calls, ELEMENTS(collector_calls));
}

int confine_parser(void)
{
	return confine(NULL, 0);
}
#else
int confine_collector(void)
{
	return 0;
}

int confine_parser(void)
{
	return 0;
}
#endif

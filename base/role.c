/* SPDX-License-Identifier: Apache-2.0 */

#include "base/role.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef BULLA_LIBEXEC
#define BULLA_LIBEXEC "/usr/libexec/bulla"
#endif

enum { ARGUMENTS_MAX = 32 };

int role_path(const char *name, char ret[4096])
{
	ssize_t n = readlink("/proc/self/exe", ret, 4096 - 1);
	char *slash;

	if (n > 0) {
		ret[n] = '\0';
		slash = strrchr(ret, '/');
		if (slash && (size_t) (slash + 1 - ret) + strlen(name) < 4096) {
			strcpy(slash + 1, name);
			if (access(ret, X_OK) == 0)
				return 0;
		}
	}
	if (snprintf(ret, 4096, "%s/%s", BULLA_LIBEXEC, name) < 4096 && access(ret, X_OK) == 0)
		return 0;
	return -ENOENT;
}

/* Descriptors that whoever started us has left open are nobody's here: a sealer outlives its holder. */
static void keep_only(const int *keep, size_t n_keep)
{
	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		for (int fd = 3; fd < 1024; fd++)
			fcntl(fd, F_SETFD, FD_CLOEXEC);
	for (size_t i = 0; i < n_keep; i++)
		fcntl(keep[i], F_SETFD, 0);
}

/* Only async-signal-safe calls between fork and exec. */
_noreturn_ static void run_role(const char *path, char *const *argv, const int *keep, size_t n_keep)
{
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	/* What a terminal sends to its foreground group is not for a role. */
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (null >= 0) {
		dup2(null, 0);
		dup2(null, 1);
	}
	keep_only(keep, n_keep);
	execv(path, argv);
	_exit(127);
}

int role_spawn(const char *name, const char *const *arguments, const int *keep, size_t n_keep,
	       pid_t *ret_pid)
{
	char path[4096], *argv[ARGUMENTS_MAX + 2];
	size_t n = 0;
	pid_t pid;
	int r;

	r = role_path(name, path);
	if (r < 0)
		return r;
	argv[n++] = path;
	for (; *arguments; arguments++) {
		if (n > ARGUMENTS_MAX)
			return -E2BIG;
		argv[n++] = (char *) (size_t) *arguments;
	}
	argv[n] = NULL;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_role(path, argv, keep, n_keep);
	if (ret_pid)
		*ret_pid = pid;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "query/remote.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/role.h"

_noreturn_ static void become(const char *program, pid_t parent, char *const *argv)
{
	/* It ends with us. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == parent)
		execv(program, argv);
	_exit(127);
}

int remote_get(const char *name, const char *at, const char *path, unsigned how)
{
	char program[4096];
	char *argv[] = { program,
			 (char *) (size_t) name,
			 (char *) (size_t) at,
			 (char *) (size_t) path,
			 NULL,
			 NULL,
			 NULL };
	pid_t parent = getpid(), pid;
	int status, n = 4, r = role_path("bulla-ask", program);

	if (r < 0)
		return log_error_code(r, "bulla-ask");
	if (how & REMOTE_FOLLOW)
		argv[n++] = (char *) (size_t) "follow";
	if (how & REMOTE_QUIET)
		argv[n++] = (char *) (size_t) "quiet";
	pid = fork();
	if (pid < 0)
		return log_error_code(-errno, "bulla-ask");
	if (pid == 0)
		become(program, parent, argv);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return log_error_code(-errno, "bulla-ask");
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

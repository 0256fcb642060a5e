/* SPDX-License-Identifier: Apache-2.0 */

#include "query/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/role.h"
#include "bulla/error.h"

_noreturn_ static void become(const char *program, pid_t parent, char *const *argv, int out)
{
	/* It ends with us. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (out >= 0 && dup2(out, STDOUT_FILENO) < 0)
		_exit(127);
	if (getppid() == parent)
		execv(program, argv);
	_exit(127);
}

/* Start bulla-ask, with `out` (-1: ours) as its standard output.  @return its id, or an error that was said. */
static pid_t start(const char *name, const char *at, const char *path, const char *const how[3],
		   int out)
{
	char program[4096];
	char *argv[] = { program,
			 (char *) (size_t) name,
			 (char *) (size_t) at,
			 (char *) (size_t) path,
			 (char *) (size_t) how[0],
			 (char *) (size_t) how[1],
			 (char *) (size_t) how[2],
			 NULL };
	pid_t parent = getpid(), pid;
	int r = role_path("bulla-ask", program);

	if (r < 0)
		return log_error_code(r, "bulla-ask");
	pid = fork();
	if (pid < 0)
		return log_error_code(-errno, "bulla-ask");
	if (pid == 0)
		become(program, parent, argv, out);
	return pid;
}

/* @return 0, or an error that was said, here or there. */
static int end(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return log_error_code(-errno, "bulla-ask");
	if (!WIFEXITED(status))
		return -EIO;
	return WEXITSTATUS(status) == 0 ? 0 : WEXITSTATUS(status) == 1 ? BULLA_ETAMPERED : -EIO;
}

int remote_get(const char *name, const char *at, const char *path, unsigned how)
{
	const char *words[3] = { NULL };
	int n = 0;
	pid_t pid;

	if (how & REMOTE_FOLLOW)
		words[n++] = "follow";
	if (how & REMOTE_QUIET)
		words[n++] = "quiet";
	if (how & REMOTE_PLAIN)
		words[n++] = "plain";
	pid = start(name, at, path, words, -1);
	return pid < 0 ? (int) pid : end(pid);
}

/* @return 0 at the end; the error of `take`; a negated errno. */
static int read_all(int fd, remote_take_fn take, void *arg)
{
	char data[32 << 10];
	ssize_t n;
	int r = 0;

	while (r >= 0) {
		n = read(fd, data, sizeof data);
		if (n == 0)
			break;
		if (n > 0)
			r = take(arg, data, (size_t) n);
		else if (errno != EINTR)
			r = -errno;
	}
	return r;
}

int remote_read(const char *name, const char *at, const char *path, remote_take_fn take, void *arg,
		bool *ret_said)
{
	static const char *const raw[3] = { "raw" };
	int pair[2], r, ended;
	pid_t pid;

	*ret_said = true;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return log_error_code(-errno, "bulla-ask");
	pid = start(name, at, path, raw, pair[1]);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return (int) pid;
	}
	r = read_all(pair[0], take, arg);
	/* What we want no more of it need not say that it could not give. */
	if (r < 0)
		kill(pid, SIGTERM);
	close(pair[0]);
	ended = end(pid);
	*ret_said = r >= 0;
	return r < 0 ? r : ended;
}

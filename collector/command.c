/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { PIPE_SIZE = 1 << 20, STATUS_NOT_RUN = 126, STATUS_NOT_FOUND = 127, STATUS_NO_JOURNAL = 125 };

int command_prepare(struct command *c)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN },
			       normal = { .sa_handler = SIG_DFL };
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd < 0)
		return -errno;
	close(fd);
	/* A user's own logs are nobody else's; the system's may be read by its group. */
	c->umask = umask(geteuid() == 0 ? 0027 : 0077);
	if (sigprocmask(SIG_SETMASK, NULL, &c->mask) < 0 ||
	    sigaction(SIGPIPE, &ignore, &c->on_pipe) < 0 ||
	    sigaction(SIGCHLD, &normal, &c->on_child) < 0)
		return -errno;
	return 0;
}

_noreturn_ static void become(struct command *c, int out, int err, int go)
{
	int said = fcntl(2, F_DUPFD_CLOEXEC, 3), code;
	char byte;

	if (read(go, &byte, 1) != 1)
		_exit(STATUS_NO_JOURNAL); /* the holder gave up */
	umask(c->umask);
	if (dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(STATUS_NOT_RUN);
	sigaction(SIGPIPE, &c->on_pipe, NULL);
	sigaction(SIGCHLD, &c->on_child, NULL);
	sigprocmask(SIG_SETMASK, &c->mask, NULL);
	execvp(c->argv[0], c->argv);
	code = errno;
	/* For whoever reads the journal, and for whoever has typed it. */
	dprintf(2, "bulla run: cannot run %s: %s\n", c->argv[0], strerror(code));
	dprintf(said, "bulla run: cannot run %s: %s\n", c->argv[0], strerror(code));
	_exit(code == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_RUN);
}

int command_fork(struct command *c)
{
	int out[2] = { -1, -1 }, err[2] = { -1, -1 }, go[2] = { -1, -1 }, r = 0;

	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0) {
		r = -errno;
	} else {
		/* Larger where the user's allowance lets us; the log is as lossless with small ones, only slower. */
		fcntl(out[1], F_SETPIPE_SZ, PIPE_SIZE);
		fcntl(err[1], F_SETPIPE_SZ, PIPE_SIZE);
		c->pid = fork();
		if (c->pid < 0)
			r = -errno;
		if (c->pid == 0) {
			close(go[1]);
			become(c, out[1], err[1], go[0]);
		}
	}
	close_fd(&out[1]);
	close_fd(&err[1]);
	close_fd(&go[0]);
	c->source[0] = out[0];
	c->source[1] = err[0];
	c->go = go[1];
	return r;
}

int command_go(struct command *c)
{
	ssize_t n = write(c->go, "", 1);

	close_fd(&c->go);
	return n == 1 ? 0 : -errno;
}

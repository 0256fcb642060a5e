/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/sealer_link.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/role.h"
#include "bulla/error.h"

enum { SPAWN_PAUSE_MS = 20 };

void sealer_link_reaped(struct sealer_link *l, pid_t pid, int status)
{
	if (pid != l->child)
		return;
	l->child = 0;
	/* 0: another one is at work, or was just leaving.  A signal: somebody's doing, not its own. */
	l->child_failed = WIFEXITED(status) && WEXITSTATUS(status) != 0;
}

static int spawn(struct sealer_link *l, const struct state *s)
{
	const char *const arguments[] = { "--state", s->path, NULL };
	uint64_t now = clock_monotonic_ns();
	int r;

	if (now < l->spawn_at)
		return 0;
	r = role_spawn("bulla-sealer", arguments, NULL, 0, &l->child);
	if (r < 0)
		return r;
	l->spawn_at = now + SPAWN_PAUSE_MS * NS_PER_MS;
	return 0;
}

int sealer_link_try(struct sealer_link *l, const struct state *s)
{
	int fd = sealer_connect(s->seal), status;

	if (fd >= 0) {
		l->fd = fd;
		return 1;
	}
	if (fd != -ENOENT && fd != -ECONNREFUSED)
		return fd;
	if (l->child > 0 && waitpid(l->child, &status, WNOHANG) > 0)
		sealer_link_reaped(l, l->child, status);
	if (l->child_failed) {
		l->child_failed = false;
		return -ENOEXEC;
	}
	return l->child > 0 ? 0 : spawn(l, s);
}

int sealer_link_request(const struct sealer_link *l, const struct message *m, uint32_t want,
			sealer_link_wait_fn wait, void *arg)
{
	_cleanup_close_ int ours = -1;
	struct message reply;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	r = message_send(l->fd, m, pair[1]);
	close(pair[1]);
	if (r < 0)
		return r;
	while ((r = message_receive(l->fd, MSG_DONTWAIT, &reply, NULL)) == -EAGAIN) {
		r = wait(arg, l->fd);
		if (r < 0)
			return r;
	}
	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	if (reply.type != want)
		return BULLA_EPEER;
	return reply.status < 0 ? reply.status : TAKE_FD(ours);
}

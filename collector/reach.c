/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/reach.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "collector/message.h"
#include "collector/sealer_link.h"

enum { POLL_MS = 50 };

/* Whoever asks is gone, and nobody waits for an answer. */
static bool is_alone(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

static int answer(int fd, struct sealer_link *l, const struct state *s)
{
	struct message m = { .type = MESSAGE_REACHED };
	int r;

	while ((r = sealer_link_try(l, s)) == 0 && !is_alone(fd))
		poll(NULL, 0, POLL_MS);
	m.status = r > 0 ? 0 : r < 0 ? r : -EPIPE;
	r = message_send(fd, &m, l->fd);
	close_fd(&l->fd);
	return r;
}

_noreturn_ static void serve(int fd, const struct state *s)
{
	struct sealer_link link = SEALER_LINK_NONE;
	struct message m;
	int r;

	/* What ends the other ends this one. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	do {
		r = message_receive(fd, 0, &m, NULL);
		if (r > 0)
			r = m.type == MESSAGE_REACH ? answer(fd, &link, s) : BULLA_EPEER;
		else
			r = -EPIPE;
	} while (r >= 0);
	_exit(0);
}

int reach_start(const struct state *s, int *ret_fd)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		serve(pair[1], s);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return -errno;
	}
	*ret_fd = pair[0];
	return 0;
}

int reach_sealer(int fd, const volatile int *stop)
{
	struct message m = { .type = MESSAGE_REACH };
	_cleanup_close_ int sealer = -1;
	int r = message_send(fd, &m, -1);

	while (r >= 0 && (r = message_receive(fd, MSG_DONTWAIT, &m, &sealer)) == -EAGAIN) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		poll(&p, 1, POLL_MS);
		r = *stop ? -EINTR : 0;
	}
	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	if (m.type != MESSAGE_REACHED)
		return BULLA_EPEER;
	if (m.status < 0)
		return m.status;
	return sealer < 0 ? BULLA_EPEER : TAKE_FD(sealer);
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/prune.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "collector/message.h"
#include "collector/reach.h"

enum {
	POLL_MS = 50,
	WINDOW = 32, /* requests that wait for an answer: fewer than a socket's queue takes */
};

static int send_one(int fd, const struct event_prune *prune)
{
	struct message m = { .type = MESSAGE_PRUNE };

	m.journal.journal = prune->journal;
	m.journal.batches = prune->batches;
	return message_send(fd, &m, -1);
}

static int receive_one(int fd, const volatile int *stop)
{
	struct message m;
	int r;

	while ((r = message_receive(fd, MSG_DONTWAIT, &m, NULL)) == -EAGAIN) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		poll(&p, 1, POLL_MS);
		if (*stop)
			return -EINTR;
	}
	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	return m.type == MESSAGE_PRUNED ? m.status : BULLA_EPEER;
}

int prune_seal(int reach, const struct event_prune *prunes, size_t n, const volatile int *stop)
{
	_cleanup_close_ int fd = n > 0 ? reach_sealer(reach, stop) : -1;
	size_t sent = 0, done = 0;
	int r = n > 0 ? MIN_OF(fd, 0) : 0;

	while (r >= 0 && done < n) {
		while (r >= 0 && sent < n && sent - done < WINDOW)
			r = send_one(fd, &prunes[sent++]);
		if (r >= 0) {
			r = receive_one(fd, stop);
			done++;
		}
	}
	return r;
}

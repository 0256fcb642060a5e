/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: message_receive().
 *
 * A datagram is a message if and only if it is as long as one and brings no more than one descriptor; then it is what was sent.
 * Whatever came, no descriptor stays open that the caller does not hold.  The first byte says how many are sent.
 */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bulla/error.h"
#include "collector/message.h"
#include "fuzz/fuzz.h"

enum { FDS_MAX = 7 };

static void send_raw(int to, const uint8_t *p, size_t n, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *) (uintptr_t) p, n };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > 0) {
		struct cmsghdr *c;

		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		for (size_t i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &to, sizeof(int));
	}
	assert(sendmsg(to, &h, MSG_NOSIGNAL) == (ssize_t) n);
}

/* The lowest descriptor that is free. */
static int lowest_free(void)
{
	int fd = dup(0);

	assert(fd >= 0);
	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message m;
	int pair[2], fd = -1, before, r;
	size_t n_fds;

	if (size < 2 || size > 4096)
		return 0;
	n_fds = data[0] % (FDS_MAX + 1);
	r = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
	assert(r == 0);
	before = lowest_free();
	send_raw(pair[0], data + 1, size - 1, n_fds);
	r = message_receive(pair[1], MSG_DONTWAIT, &m, &fd);
	if (size - 1 == MESSAGE_SIZE && n_fds <= 1) {
		assert(r == 1);
		assert(memcmp(&m, data + 1, MESSAGE_SIZE) == 0);
		assert((fd >= 0) == (n_fds == 1));
	} else {
		assert(r == BULLA_EPEER);
		assert(fd == -1);
	}
	if (fd >= 0)
		close(fd);
	assert(lowest_free() == before);
	close(pair[0]);
	close(pair[1]);
	return 0;
}

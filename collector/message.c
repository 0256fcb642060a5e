/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bulla/error.h"

struct message message_of_batch(const struct batch *b)
{
	struct message m = { .type = MESSAGE_BATCH };

	m.batch.journal = b->journal;
	m.batch.batch_no = b->batch_no;
	m.batch.first_seq = b->first_seq;
	m.batch.bytes = b->bytes;
	m.batch.time_min = b->time_min;
	m.batch.time_max = b->time_max;
	m.batch.mono_offset = b->mono_offset;
	m.batch.root = b->root;
	m.batch.entries = b->entries;
	return m;
}

int message_send(int socket_fd, const struct message *m, int fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *) (uintptr_t) m, .iov_len = sizeof *m };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *c;

		h.msg_control = control.space;
		h.msg_controllen = sizeof control.space;
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	while (sendmsg(socket_fd, &h, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* The one descriptor that a message may carry. */
static int take_fd(struct msghdr *h)
{
	int fd = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    c->cmsg_len == CMSG_LEN(sizeof fd))
			memcpy(&fd, CMSG_DATA(c), sizeof fd);
	return fd;
}

int message_receive(int socket_fd, int flags, struct message *ret, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = ret, .iov_len = sizeof *ret };
	struct msghdr h = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		/* Not CMSG_SPACE(): its padding has room for a second descriptor.  So the kernel closes any other. */
		.msg_controllen = CMSG_LEN(sizeof(int)),
	};
	_cleanup_close_ int fd = -1;
	ssize_t n;

	do
		n = recvmsg(socket_fd, &h, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	fd = take_fd(&h);
	if (n == 0)
		return 0;
	if (n != sizeof *ret || (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return BULLA_EPEER;
	if (ret_fd)
		*ret_fd = TAKE_FD(fd);
	return 1;
}

int sealer_connect(int seal_dirfd)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred peer;
	socklen_t size = sizeof peer;

	if (fd < 0)
		return -errno;
	/* By descriptor: the state directory's own path may be longer than a socket address. */
	snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" SEALER_SOCKET,
		 seal_dirfd);
	if (connect(fd, (struct sockaddr *) &address, sizeof address) < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	if (peer.uid != geteuid() && peer.uid != 0)
		return -EPERM;
	return TAKE_FD(fd);
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A message arrives as it was sent, with its descriptor or without; nothing else is one, and no descriptor is left open.
 */

#include "collector/message.h"

#include "tests/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "bulla/error.h"

Suite(message);

static int pair[2];

static void connect_pair(void)
{
	cr_assert(eq(int, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0));
}

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static struct message sample(void)
{
	struct message m = { .type = MESSAGE_BATCH, .status = -7 };

	memset(m.room, 0x5a, sizeof m.room);
	return m;
}

Test(message, comes_as_it_was_sent)
{
	struct message sent = sample(), got = { 0 };
	int fd = 77;

	connect_pair();
	cr_assert(eq(int, message_send(pair[0], &sent, -1), 0));
	cr_assert(eq(int, message_receive(pair[1], 0, &got, &fd), 1));
	cr_expect(eq(int, memcmp(&sent, &got, sizeof got), 0));
	cr_expect(eq(int, fd, -1), "no descriptor came with it");
	cr_expect(eq(int, message_receive(pair[1], MSG_DONTWAIT, &got, &fd), -EAGAIN));
	close(pair[0]);
	cr_expect(eq(int, message_receive(pair[1], 0, &got, &fd), 0));
	cr_expect(eq(int, message_send(pair[1], &sent, -1), -EPIPE), "and no SIGPIPE");
	close(pair[1]);
}

Test(message, brings_a_descriptor)
{
	struct message sent = sample(), got;
	struct stat a, b;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), fd = -1;

	connect_pair();
	cr_assert(eq(int, message_send(pair[0], &sent, null), 0));
	cr_assert(eq(int, message_receive(pair[1], 0, &got, &fd), 1));
	cr_assert(ge(int, fd, 0));
	cr_expect(eq(int, fcntl(fd, F_GETFD), FD_CLOEXEC));
	cr_assert(fstat(null, &a) == 0 && fstat(fd, &b) == 0);
	cr_expect(a.st_rdev == b.st_rdev && a.st_ino == b.st_ino);
	close(fd);
	close(null);
}

Test(message, a_descriptor_that_nobody_takes_is_closed)
{
	struct message sent = sample(), got;
	unsigned before;

	connect_pair();
	before = count_fds();
	for (int i = 0; i < 10; i++) {
		cr_assert(eq(int, message_send(pair[0], &sent, pair[0]), 0));
		cr_assert(eq(int, message_receive(pair[1], 0, &got, NULL), 1));
	}
	cr_expect(eq(uint, count_fds(), before));
}

/* Send `size` bytes with `n_fds` descriptors. */
static void send_odd(size_t size, size_t n_fds)
{
	static uint8_t bytes[2 * MESSAGE_SIZE];
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { bytes, size };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > 0) {
		struct cmsghdr *c;
		int fds[8];

		for (size_t i = 0; i < n_fds; i++)
			fds[i] = pair[0];
		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	cr_assert(eq(i64, sendmsg(pair[0], &h, 0), (int64_t) size));
}

Test(message, of_another_size_is_none)
{
	connect_pair();
	for (size_t size = 1; size <= 2 * MESSAGE_SIZE; size++) {
		struct message got;
		int want = size == MESSAGE_SIZE ? 1 : BULLA_EPEER;

		send_odd(size, 0);
		cr_assert(eq(int, message_receive(pair[1], 0, &got, NULL), want), "size %zu", size);
	}
}

Test(message, with_more_descriptors_is_none_and_leaves_none)
{
	connect_pair();
	for (size_t n = 1; n <= 8; n++) {
		unsigned before = count_fds();
		struct message got;
		int fd = -1, r;

		send_odd(MESSAGE_SIZE, n);
		r = message_receive(pair[1], 0, &got, &fd);
		cr_assert(eq(int, r, n == 1 ? 1 : BULLA_EPEER), "%zu descriptors", n);
		if (fd >= 0)
			close(fd);
		cr_assert(eq(uint, count_fds(), before), "%zu descriptors", n);
	}
}

Test(message, a_wrong_size_brings_no_descriptor)
{
	unsigned before;
	struct message got;
	int fd = -1;

	connect_pair();
	before = count_fds();
	send_odd(MESSAGE_SIZE - 1, 1);
	cr_expect(eq(int, message_receive(pair[1], 0, &got, &fd), BULLA_EPEER));
	cr_expect(eq(int, fd, -1));
	cr_expect(eq(uint, count_fds(), before));
}

/* A sealer's socket in a directory whose path is longer than any socket address. */
static int deep_directory(void)
{
	char path[600];
	int n = snprintf(path, sizeof path, "%s/", tempdir());

	memset(path + n, 'd', 200);
	path[n + 200] = '\0';
	cr_assert(eq(int, mkdir(path, 0700), 0));
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

Test(message, the_sealers_socket_is_found_by_descriptor)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int dir = deep_directory(), listener, fd;

	cr_expect(eq(int, sealer_connect(dir), -ENOENT));
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" SEALER_SOCKET, dir);
	cr_assert(eq(int, bind(listener, (struct sockaddr *) &address, sizeof address), 0));
	cr_expect(eq(int, sealer_connect(dir), -ECONNREFUSED));
	cr_assert(eq(int, listen(listener, 1), 0));
	fd = sealer_connect(dir);
	cr_expect(ge(int, fd, 0));
	close(fd);
	close(listener);
	cr_expect(eq(int, sealer_connect(dir), -ECONNREFUSED), "what a killed sealer leaves");
	close(dir);
}

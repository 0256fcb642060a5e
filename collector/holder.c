/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/role.h"
#include "base/text.h"
#include "bulla/error.h"

enum {
	PAUSE_MS = 10, /* before a collector is replaced: doubled while they get nothing done */
	PAUSE_MAX_MS = 1000,
	SEALER_POLL_MS = 5,
	SEALER_SLOW_MS = 5000, /* then it is worth a word */
	REQUEST_TRIES = 20,
};

/* Signals. */

static bool is_fatal(int number)
{
	return number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT;
}

static int watch_signals(struct holder *h)
{
	static const int forwarded[] = { SIGHUP,  SIGINT,   SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2,
					 SIGALRM, SIGWINCH, SIGCONT, SIGURG,  SIGPWR,  SIGIO };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < ELEMENTS(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
		sigaddset(&set, number);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	h->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return h->signals < 0 ? -errno : 0;
}

static int tell_exit(struct holder *h)
{
	struct message m = { .type = MESSAGE_EXITED };

	m.exited.wait_status = h->wait_status;
	return h->collector >= 0 && h->exited ? message_send(h->collector, &m, -1) : 0;
}

static void reap(struct holder *h)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		sealer_link_reaped(&h->sealer, pid, status);
		if (pid == h->collector_pid)
			h->collector_pid = 0;
		if (pid != h->command.pid)
			continue;
		h->command.pid = 0;
		h->exited = true;
		h->wait_status = status;
		if (tell_exit(h) < 0)
			continue; /* a dead collector shows as a closed socket */
	}
}

static int on_stop(struct holder *h, int number)
{
	if (!h->started) {
		h->stopped_by = number;
		return -ECANCELED;
	}
	if (h->stops++ > 0)
		return -ECANCELED;
	log_warning("the command has ended; what it wrote is not yet sealed, or its children still "
		    "write; one more signal leaves that to the collector");
	return 0;
}

static int on_signal(struct holder *h)
{
	struct signalfd_siginfo s;

	if (read(h->signals, &s, sizeof s) != sizeof s)
		return 0;
	if (s.ssi_signo == SIGCHLD) {
		reap(h);
		return 0;
	}
	if (!h->started || h->exited)
		return is_fatal((int) s.ssi_signo) ? on_stop(h, (int) s.ssi_signo) : 0;
	/* What the terminal sends, it sends to the command as well. */
	if (s.ssi_code <= 0)
		kill(h->command.pid, (int) s.ssi_signo);
	return 0;
}

/* Wait for a descriptor, signals being handled meanwhile.  @return 1, 0 when nothing came of it yet, -ECANCELED. */
static int wait_for(struct holder *h, int fd, int timeout_ms)
{
	struct pollfd p[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = h->signals, .events = POLLIN },
	};
	int r = 0;

	if (poll(p, ELEMENTS(p), timeout_ms) < 0)
		return errno == EINTR ? 0 : -errno;
	if (p[1].revents)
		r = on_signal(h);
	return r < 0 ? r : p[0].revents != 0;
}

int holder_prepare(struct holder *h)
{
	int r;

	h->lock = h->null = h->signals = h->collector = -1;
	h->sealer = SEALER_LINK_NONE;
	h->pause_ms = PAUSE_MS;
	r = progress_create(&h->progress);
	if (r >= 0)
		r = watch_signals(h);
	if (r < 0)
		return r;
	h->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return h->null < 0 ? -errno : 0;
}

/* The sealer. */

int holder_reach_sealer(struct holder *h)
{
	uint64_t slow_at = clock_monotonic_ns() + SEALER_SLOW_MS * NS_PER_MS;
	int r;

	while ((r = sealer_link_try(&h->sealer, &h->state)) == 0) {
		r = wait_for(h, -1, SEALER_POLL_MS);
		if (r < 0)
			return r;
		if (slow_at > 0 && clock_monotonic_ns() > slow_at) {
			log_info("waiting for the sealer of %s", h->state.path);
			slow_at = 0;
		}
	}
	return r < 0 ? r : 0;
}

static int wait_for_sealer(void *holder, int fd)
{
	return wait_for(holder, fd, -1);
}

int holder_request(struct holder *h, const struct message *m, uint32_t reply)
{
	int r = -EPIPE;

	/* A sealer may have been about to leave, or have been killed. */
	for (int tries = 0; tries < REQUEST_TRIES; tries++) {
		if (h->sealer.fd < 0) {
			r = holder_reach_sealer(h);
			if (r < 0)
				return r;
		}
		r = sealer_link_request(&h->sealer, m, reply, wait_for_sealer, h);
		if (r != -EPIPE && r != -ECONNRESET)
			return r;
		close_fd(&h->sealer.fd);
	}
	return r;
}

/* The collector. */

int holder_start_collector(struct holder *h, int channel)
{
	char journal[2 * ID_SIZE + 1], fds[128];
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	int keep[] = {
		pair[1], channel,	   h->command.source[0],   h->command.source[1],
		h->lock, h->progress.file, h->progress.scratch[0], h->progress.scratch[1],
	};
	progress_resize(&h->progress, h->command.source);
	text_hex(journal, h->journal.b, ID_SIZE);
	snprintf(fds, sizeof fds, "%d,%d,%d,%d,%d,%d,%d,%d", keep[0], keep[1], keep[2], keep[3],
		 keep[4], keep[5], keep[6], keep[7]);
	/* Behind these four there is room for two that may be, and NULL. */
	const char *arguments[12] = { "--fds",	   fds,	    "--state",	    h->state.path,
				      "--journal", journal, "--priorities", h->priorities };
	size_t n = 8;

	if (h->block_max[0]) {
		arguments[n++] = "--block-max";
		arguments[n++] = h->block_max;
	}
	if (h->level_prefix)
		arguments[n++] = "--level-prefix";
	r = role_spawn("bulla-collector", arguments, keep, ELEMENTS(keep), &h->collector_pid);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	h->collector = pair[0];
	h->channels = 1;
	r = tell_exit(h);
	return r == -EPIPE ? 0 : r;
}

static void want_channel(struct holder *h, unsigned pause_ms)
{
	h->want_channel = true;
	h->want_at = clock_monotonic_ns() + pause_ms * NS_PER_MS;
}

static int lose_collector(struct holder *h)
{
	uint64_t consumed = 0;
	int r;

	log_warning("the collector ended early; starting another");
	close_fd(&h->collector);
	/* Two of them must never write one tail. */
	if (h->collector_pid > 0) {
		kill(h->collector_pid, SIGKILL);
		while (waitpid(h->collector_pid, NULL, 0) < 0 && errno == EINTR)
			;
		h->collector_pid = 0;
	}
	r = progress_settle(&h->progress, h->null, &consumed);
	if (r < 0)
		return r;
	h->pause_ms = consumed > h->consumed ? PAUSE_MS
					     : MIN_OF(2 * h->pause_ms, (unsigned) PAUSE_MAX_MS);
	h->consumed = consumed;
	want_channel(h, h->pause_ms);
	return 0;
}

/* All that the command wrote was sealed and its journal closed, but nobody lived to tell us. */
static int on_closed(struct holder *h)
{
	struct message done = { .type = MESSAGE_DONE };

	if (!h->exited)
		return BULLA_EPEER;
	h->done = true;
	if (h->collector >= 0 && message_send(h->collector, &done, -1) < 0)
		close_fd(&h->collector);
	return 0;
}

static void complain(struct holder *h, int channel)
{
	if (channel == -ENOEXEC)
		log_error(
			"the sealer that was started has stopped, the source waits; the reason is "
			"above, or in %s/seal/log",
			h->state.path);
	else
		log_error_code(channel, "the sealer does not take the journal; its source waits");
}

static int renew_channel(struct holder *h)
{
	struct message attach = { .type = MESSAGE_ATTACH }, m = { .type = MESSAGE_CHANNEL };
	int channel, r;

	attach.journal.journal = h->journal;
	channel = holder_request(h, &attach, MESSAGE_ATTACHED);
	if (channel == -ECANCELED)
		return channel;
	if (channel == -ESTALE)
		return on_closed(h);
	if (channel < 0) {
		if (!h->complained)
			complain(h, channel);
		h->complained = true;
		want_channel(h, PAUSE_MAX_MS);
		return 0;
	}
	h->want_channel = h->complained = false;
	if (h->collector >= 0) {
		h->channels++;
		r = message_send(h->collector, &m, channel);
	} else {
		r = holder_start_collector(h, channel);
	}
	close(channel);
	return r == -EPIPE ? 0 : r;
}

static int from_collector(struct holder *h)
{
	struct message m;
	int r;

	r = message_receive(h->collector, MSG_DONTWAIT, &m, NULL);
	if (r == -EAGAIN)
		return 0;
	if (r > 0 && m.type == MESSAGE_DONE && h->exited) {
		h->done = true;
		return 0;
	}
	if (r > 0 && m.type == MESSAGE_CHANNEL) {
		if (!h->want_channel && m.channel.had >= h->channels)
			want_channel(h, 0);
		return 0;
	}
	return lose_collector(h);
}

static void lose_sealer(struct holder *h)
{
	log_warning("the sealer ended early; starting another");
	close_fd(&h->sealer.fd);
	if (!h->want_channel)
		want_channel(h, 0);
}

/* Holding. */

static int timeout_of(const struct holder *h)
{
	uint64_t now = clock_monotonic_ns();

	if (!h->want_channel)
		return -1;
	return h->want_at <= now ? 0 : (int) ((h->want_at - now) / NS_PER_MS) + 1;
}

static int hold_once(struct holder *h)
{
	struct pollfd p[] = {
		{ .fd = h->collector, .events = POLLIN },
		{ .fd = h->signals, .events = POLLIN },
		{ .fd = h->sealer.fd, .events = POLLIN },
	};
	int r = 0;

	if (poll(p, ELEMENTS(p), timeout_of(h)) < 0)
		return errno == EINTR ? 0 : -errno;
	if (p[1].revents)
		r = on_signal(h);
	if (r >= 0 && p[0].revents)
		r = from_collector(h);
	/* It says nothing but in answer. */
	if (r >= 0 && !h->done && p[2].revents)
		lose_sealer(h);
	if (r >= 0 && !h->done && h->want_channel && timeout_of(h) == 0)
		r = renew_channel(h);
	return r;
}

int holder_hold(struct holder *h)
{
	int r = 0;

	while (!h->done && r >= 0)
		r = hold_once(h);
	return r;
}

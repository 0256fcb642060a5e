/* SPDX-License-Identifier: Apache-2.0 */

/**
 * bulla-sealer: holds the key, parses nothing.
 *
 * One sealer per state directory (a lock says so).  Holders connect to its socket and open journals, each with a channel
 * for its collector.  On a tick every collector with unsealed entries is asked for its batch; what has come by the time all
 * have answered, or after a moment, is sealed as one commit and acknowledged.
 *
 *	dirty ──tick──▶ told ──batch──▶ ready ──commit──▶ sealed
 *
 * A sealer started on demand leaves when nobody has been connected for a moment, and so does any that is sent SIGTERM.  It
 * belongs to no terminal and to no holder: from when it serves, what it has to say goes to `log` beside the key.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "bulla/error.h"
#include "collector/host.h"
#include "collector/sealer-internal.h"

enum {
	LOG_SIZE_MAX = 1 << 20,
	BACKLOG = 1024,
	RECOVERED_MAX = 4096,
	RESERVE_MAX = 64 << 20, /* of disk, for the ledger */
};

static volatile int told_to_stop;

static void on_stop(int signal_number)
{
	(void) signal_number;
	told_to_stop = 1;
}

/* The loop. */

static void on_connection(struct sealer *s, struct peer *listener)
{
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t size = sizeof peer;

	if (fd < 0) {
		/* Out of descriptors: do not spin. */
		if (errno == EMFILE || errno == ENFILE)
			usleep(10000);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
	    (peer.uid != geteuid() && peer.uid != 0)) {
		log_warning("refused a connection of uid %u", peer.uid);
		close(fd);
		return;
	}
	if (!peer_add(s, PEER_HOLDER, fd))
		log_error("out of memory: a connection is refused");
}

static int on_event(struct sealer *s, const struct epoll_event *e)
{
	struct peer *p = e->data.ptr;

	if (p->gone)
		return 0;
	/* A commit has room for so many. */
	if (s->n_events >= EVENTS_WAITING_MAX || s->n_recovered >= RECOVERED_MAX) {
		int r = commit_now(s, &told_to_stop);

		if (r < 0)
			return r;
	}
	if (p->kind == PEER_LISTENER)
		on_connection(s, p);
	else if (p->kind == PEER_RECOVERY && (e->events & EPOLLOUT))
		request_recovery_more(s, p);
	else
		request_receive(s, p);
	return 0;
}

/* Do what is due.  @return 1 to leave, 0 when nothing is due any more. */
static int run_due(struct sealer *s)
{
	for (;;) {
		uint64_t now = clock_monotonic_ns();
		bool connected = s->n_connected > 0;
		int r = 0;

		ticks_connected(&s->ticks, now, connected);
		switch (ticks_due(&s->ticks, now, commit_answered(s), connected)) {
		case TICKS_ASK:
			ticks_asked(&s->ticks, now);
			commit_ask(s);
			break;
		case TICKS_COMMIT:
			r = commit_now(s, &told_to_stop);
			break;
		case TICKS_HEARTBEAT:
			r = commit_add_event(s, EVENT_HEARTBEAT, NULL, NULL, NULL);
			break;
		case TICKS_RECOVER:
			s->ticks.recover_at = 0;
			r = request_recovery(s);
			if (r < 0)
				log_error_code(r, "cannot recover journals that nobody writes");
			r = 0;
			break;
		case TICKS_LEAVE:
			if (!s->stay || told_to_stop)
				return 1;
			return 0;
		case TICKS_NOTHING:
			return 0;
		}
		if (r < 0)
			return r;
	}
}

static int timeout_of(const struct sealer *s)
{
	/* One that stays has no reason to wake for nobody. */
	if (s->stay && !told_to_stop && s->n_connected == 0 && s->ticks.tick_at == 0 &&
	    s->ticks.recover_at == 0)
		return -1;
	return ticks_timeout(&s->ticks, clock_monotonic_ns(), s->n_connected > 0);
}

static int serve(struct sealer *s)
{
	sigset_t none;

	sigemptyset(&none);
	for (;;) {
		struct epoll_event events[64];
		int n, r;

		r = run_due(s);
		if (r != 0)
			return r < 0 ? log_error_code(r, "sealing stops") : 0;
		/* SIGTERM is blocked but here, so that none is missed. */
		n = epoll_pwait(s->epoll, events, ELEMENTS(events), timeout_of(s), &none);
		if (n < 0 && errno != EINTR)
			return log_error_code(-errno, "cannot wait for messages");
		for (int i = 0; i < n; i++) {
			r = on_event(s, &events[i]);
			if (r < 0)
				return log_error_code(r, "sealing stops");
		}
		peer_sweep(s);
	}
}

/* Starting. */

static int listen_on_socket(struct sealer *s)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" SEALER_SOCKET,
		 s->state.seal);
	unlinkat(s->state.seal, SEALER_SOCKET, 0);
	if (bind(fd, (struct sockaddr *) &address, sizeof address) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return peer_add(s, PEER_LISTENER, TAKE_FD(fd)) ? 0 : -ENOMEM;
}

/* Of a small disk a hundredth. */
static uint64_t reserve_of(int dirfd)
{
	struct statvfs fs;

	if (fstatvfs(dirfd, &fs) < 0)
		return 0;
	return MIN_OF((uint64_t) fs.f_blocks * fs.f_frsize / 100, (uint64_t) RESERVE_MAX);
}

static int become_sealer(struct sealer *s)
{
	struct origin_config config = { .params = { .levels = 4, .height = 8 } };
	struct host host;
	bool unclean;
	int r;

	r = host_describe(&host);
	if (r < 0)
		return log_error_code(r, "cannot learn this host's identity");
	config.host = host.name;
	config.machine = host.machine;
	config.boot = host.boot;
	config.reserve = reserve_of(s->state.ledger);
	r = origin_open(&s->origin, s->state.seal, s->state.ledger, &config);
	if (r == BULLA_EORDER)
		log_error("the key in %s does not belong to its ledger: one of them was replaced, "
			  "cut or restored; sealing would hide that and is refused",
			  s->state.path);
	else if (r == -ENOENT)
		log_error("%s has a ledger but no key: sealing cannot go on", s->state.path);
	if (r < 0)
		return log_error_code(r, "cannot seal in %s", s->state.path);
	r = origin_begin(s->origin, clock_now_stamp_ns(), &unclean);
	if (r < 0)
		return log_error_code(r, "cannot begin to seal in %s", s->state.path);
	s->ticks.last_commit = clock_monotonic_ns();
	r = listen_on_socket(s);
	if (r < 0)
		return log_error_code(r, "cannot listen in %s/seal", s->state.path);
	r = request_recovery(s);
	if (r < 0)
		log_error_code(r, "cannot recover journals of an earlier run");
	return 0;
}

/* A directory of others could hold anything: their key, their socket. */
static int check_owner(const struct state *s)
{
	struct stat st;

	if (fstat(s->seal, &st) < 0)
		return -errno;
	return st.st_uid == geteuid() && (st.st_mode & 0077) == 0 ? 0 : -EPERM;
}

/* As much as we may have. */
static void raise_limit(int resource)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(resource, &limit);
}

/* What is swapped out stays on the disk.  So it is tried first whether all that holds keys can be locked, at any time. */
static int check_memory(const char *path)
{
	unsigned needed = (unsigned) (ALIGN_UP(origin_locked_max(), 1024) / 1024);
	struct rlimit limit = { 0 };
	int r;

	raise_limit(RLIMIT_MEMLOCK);
	r = origin_try_locking();
	if (r >= 0)
		return 0;
	getrlimit(RLIMIT_MEMLOCK, &limit);
	log_error("cannot seal in %s: the key must not be swapped out, and %uK of memory cannot be "
		  "locked",
		  path, needed);
	log_error("nothing is sealed, and no command started, until they can: RLIMIT_MEMLOCK is "
		  "%llu bytes; raise it with `ulimit -l %u`, or LimitMEMLOCK=%uK in the unit, or "
		  "give CAP_IPC_LOCK",
		  (unsigned long long) limit.rlim_cur, needed, needed);
	return r;
}

/* Nothing of the key in a core dump, under a debugger, or in a file that others read. */
static int protect(void)
{
	const struct rlimit none = { 0, 0 };
	sigset_t stop;

	/* What a holder made private stays so. */
	umask(umask(0077) | 0027);
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	/* Two descriptors for each container. */
	raise_limit(RLIMIT_NOFILE);
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_stop }, NULL);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN); /* recovery is not waited for */
	return sodium_init() < 0 ? -EIO : 0;
}

static void detach(const struct sealer *s)
{
	int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
	int fd = openat(s->state.seal, "log", flags, 0600);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size > LOG_SIZE_MAX && ftruncate(fd, 0) < 0)
		log_warning("cannot shorten %s/seal/log", s->state.path);
	if (dup2(fd, 2) < 0 || chdir("/") < 0)
		log_warning("cannot detach from who started this");
	close(fd);
}

/* @return 1 when the lock is ours, 0 when another sealer has it. */
static int take_lock(struct sealer *s)
{
	int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;

	s->lock = openat(s->state.seal, SEALER_LOCK, flags, 0600);
	if (s->lock < 0)
		return -errno;
	if (flock(s->lock, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : -errno;
	return 1;
}

static int run(struct sealer *s)
{
	int r;

	r = become_sealer(s);
	if (r >= 0) {
		if (!s->stay)
			detach(s);
		r = serve(s);
	}
	/* The lock is held to the end: who comes now waits for it. */
	unlinkat(s->state.seal, SEALER_SOCKET, 0);
	if (r >= 0) {
		r = origin_end(s->origin, clock_now_stamp_ns());
		if (r < 0)
			log_error_code(r, "cannot seal the end");
	}
	peer_done(s);
	origin_close(s->origin);
	free(s->events);
	free(s->recovered);
	return r;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "state", required_argument, NULL, 's' },
		{ "stay", no_argument, NULL, 'k' },
		{ 0 },
	};
	struct sealer s = { .epoll = -1, .lock = -1 };
	const char *path = NULL;
	int c, r;

	log_setup("bulla-sealer", LOG_LEVEL_INFO);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			path = optarg;
		else if (c == 'k')
			s.stay = true;
		else
			return 2;
	}
	if (!path || optind != argc) {
		fprintf(stderr, "usage: bulla-sealer --state DIR [--stay]\n");
		return 2;
	}
	r = protect();
	if (r >= 0)
		r = state_open(&s.state, path, true);
	if (r >= 0)
		r = check_owner(&s.state);
	if (r >= 0)
		r = take_lock(&s);
	if (r < 0)
		log_error_code(r, "cannot seal in %s", path);
	if (r > 0 && check_memory(path) < 0)
		return 2;
	if (r <= 0)
		return r < 0 ? 2 : 0;
	s.epoll = epoll_create1(EPOLL_CLOEXEC);
	r = s.epoll < 0 ? -errno : run(&s);
	state_close(&s.state);
	return r < 0 ? 2 : 0;
}

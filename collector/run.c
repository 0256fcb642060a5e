/* SPDX-License-Identifier: Apache-2.0 */

/**
 * bulla-run: run a command and keep what it writes.
 *
 * It is the *holder*: it makes the pipes, binds the journal's identity before the command writes its first byte, and is the
 * only one that takes bytes out of the pipes, on the collector's word that they are in the journal.  It parses nothing of
 * what the command writes.  A collector that dies is replaced; so is the sealer.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/role.h"
#include "base/text.h"
#include "bulla/error.h"
#include "collector/identity.h"
#include "collector/message.h"
#include "collector/oci.h"
#include "store/recover.h"
#include "store/state.h"
#include "store/tail_writer.h"

enum {
	PIPE_SIZE = 1 << 20,
	SEALER_WAIT_MS = 10000,
	RESTART_PAUSE_MS = 10,
	RESTART_PAUSE_MAX_MS = 1000
};

struct holder {
	struct state state;
	char *const *command;
	const char *name, *image, *priorities;
	bool level_prefix;
	struct identity identity;
	struct id journal;
	int source[SOURCES_MAX]; /* read ends of the pipes */
	uint64_t consumed[SOURCES_MAX];
	int null, lock, signals;
	int sealer;    /* connection */
	int collector; /* connection */
	pid_t child, collector_pid;
	int go; /* write end: the command starts when a byte arrives */
	bool exited, done;
	int wait_status;
	unsigned pause_ms;
};

/* The sealer: one for all holders of the state directory, started by whoever needs it first. */

static int reach_sealer(struct holder *h)
{
	const char *const arguments[] = { "--state", h->state.path, NULL };
	bool spawned = false;

	for (unsigned waited = 0; waited < SEALER_WAIT_MS; waited += 5) {
		int fd = sealer_connect(h->state.seal);

		if (fd >= 0) {
			h->sealer = fd;
			return 0;
		}
		if (fd != -ENOENT && fd != -ECONNREFUSED)
			return fd;
		/* One that is just leaving holds the lock a moment longer: so try again now and then. */
		if (!spawned || waited % 500 == 0) {
			int r = role_spawn("bulla-sealer", arguments, NULL, 0, NULL);

			if (r < 0)
				return r;
			spawned = true;
		}
		usleep(5000);
	}
	return -ETIMEDOUT;
}

/* Give the sealer one end of a new channel with `m`, and wait for its answer.  @return our end. */
static int open_channel(struct holder *h, const struct message *m, uint32_t want)
{
	_cleanup_close_ int ours = -1;
	struct message reply;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	r = message_send(h->sealer, m, pair[1]);
	close(pair[1]);
	if (r >= 0)
		r = message_receive(h->sealer, 0, &reply, NULL);
	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	if (reply.type != want)
		return BULLA_EPEER;
	return reply.status < 0 ? reply.status : TAKE_FD(ours);
}

static int attach(struct holder *h)
{
	struct message m = { .type = MESSAGE_ATTACH };
	int r = -EPIPE;

	m.journal.journal = h->journal;
	for (int tries = 0; tries < 3; tries++) {
		if (h->sealer < 0) {
			r = reach_sealer(h);
			if (r < 0)
				return r;
		}
		r = open_channel(h, &m, MESSAGE_ATTACHED);
		if (r != -EPIPE && r != -ECONNRESET)
			return r;
		close_fd(&h->sealer);
	}
	return r;
}

/* The command. */

_noreturn_ static void become_command(struct holder *h, int out, int err, int go)
{
	sigset_t none;
	char byte;
	int code;

	if (read(go, &byte, 1) != 1)
		_exit(125); /* the holder gave up */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(out, 1);
	dup2(err, 2);
	execvp(h->command[0], h->command);
	code = errno;
	dprintf(2, "bulla run: cannot run %s: %s\n", h->command[0], strerror(code));
	_exit(code == ENOENT ? 127 : 126);
}

static int fork_command(struct holder *h)
{
	int out[2], err[2], go[2];

	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
		return -errno;
	/* Larger pipes where the user's allowance lets us; the log is as lossless with small ones, only slower. */
	fcntl(out[1], F_SETPIPE_SZ, PIPE_SIZE);
	fcntl(err[1], F_SETPIPE_SZ, PIPE_SIZE);
	h->child = fork();
	if (h->child < 0)
		return -errno;
	if (h->child == 0) {
		close(go[1]);
		become_command(h, out[1], err[1], go[0]);
	}
	close(out[1]);
	close(err[1]);
	close(go[0]);
	h->source[0] = out[0];
	h->source[1] = err[0];
	h->go = go[1];
	return 0;
}

/* The journal. */

static int describe(struct holder *h)
{
	struct identity *i = &h->identity;
	struct oci_command oci;
	const char *base = strrchr(h->command[0], '/');
	bool container = oci_recognise(h->command, &oci);
	int r;

	r = identity_add_host(i);
	if (r >= 0)
		r = identity_add(i, "_TENANT", "default");
	if (r >= 0)
		r = identity_add(i, "_ATTRIBUTION", "channel");
	if (r >= 0 && container) {
		r = oci_identity(&oci, h->name, h->image, i);
		if (r == BULLA_EPARSE || r == -ENOENT)
			return log_error_code(r, "%s/config.json", oci.bundle);
	} else if (r >= 0) {
		r = identity_add(i, "_CONTAINER_NAME", h->name);
		if (r >= 0)
			r = identity_add(i, "_IMAGE_NAME", h->image);
	}
	if (r >= 0)
		r = identity_add_process(i, h->child, h->command);
	if (r >= 0 && !identity_has(i, "SYSLOG_IDENTIFIER"))
		r = identity_add(i, "SYSLOG_IDENTIFIER",
				 h->name     ? h->name
				 : container ? oci.id
				 : base	     ? base + 1
					     : h->command[0]);
	return r < 0 ? log_error_code(r, "cannot establish who writes this journal") : 0;
}

static int create_journal(struct holder *h, struct event_open *open)
{
	_cleanup_buf_ struct buf leaf = { 0 };
	uint8_t seed[SEED_SIZE];
	int64_t boot_at = -1;
	struct id boot;
	int r;

	randombytes_buf(h->journal.b, ID_SIZE);
	randombytes_buf(seed, sizeof seed);
	r = identity_leaf(&h->identity, &leaf, &open->identity);
	if (r < 0)
		return r;
	for (uint16_t k = 0; k < h->identity.n; k++)
		if (h->identity.fields[k].name_len == 8 &&
		    memcmp(h->identity.fields[k].name, "_BOOT_ID", 8) == 0)
			boot_at = k;
	if (boot_at < 0 || text_unhex((const char *) h->identity.fields[boot_at].value,
				      h->identity.fields[boot_at].value_len, boot.b, ID_SIZE) < 0)
		return -EINVAL;
	open->journal = h->journal;
	open->seed_commitment = seed_commitment(&h->journal, seed);
	r = tail_create(h->state.journals, &h->journal, &boot, leaf.data, leaf.len, seed);
	if (r < 0)
		return r;
	/* Held by this process and its collectors for as long as one of them lives; recovery keeps off. */
	h->lock = recover_lock(h->state.journals, &h->journal);
	return h->lock < 0 ? h->lock : 0;
}

/* The collector. */

static int start_collector(struct holder *h, int channel)
{
	char journal[2 * ID_SIZE + 1], fd[5][12];
	int pair[2], keep[5], r;
	struct message start = { .type = MESSAGE_START };
	const char *arguments[24];
	static const char *const names[] = { "--holder", "--channel", "--stdout", "--stderr",
					     "--lock" };
	size_t n = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	memcpy(keep, (int[]){ pair[1], channel, h->source[0], h->source[1], h->lock }, sizeof keep);
	text_hex(journal, h->journal.b, ID_SIZE);
	for (size_t i = 0; i < ELEMENTS(names); i++) {
		snprintf(fd[i], sizeof fd[i], "%d", keep[i]);
		arguments[n++] = names[i];
		arguments[n++] = fd[i];
	}
	arguments[n++] = "--state";
	arguments[n++] = h->state.path;
	arguments[n++] = "--journal";
	arguments[n++] = journal;
	arguments[n++] = "--priorities";
	arguments[n++] = h->priorities;
	if (h->level_prefix)
		arguments[n++] = "--level-prefix";
	arguments[n] = NULL;
	r = role_spawn("bulla-collector", arguments, keep, ELEMENTS(keep), &h->collector_pid);
	close(pair[1]);
	memcpy(start.start.consumed, h->consumed, sizeof h->consumed);
	if (r >= 0)
		r = message_send(pair[0], &start, -1);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	h->collector = pair[0];
	return 0;
}

static int tell_exit(struct holder *h)
{
	struct message m = { .type = MESSAGE_EXITED };

	m.exited.wait_status = h->wait_status;
	return h->collector >= 0 && h->exited ? message_send(h->collector, &m, -1) : 0;
}

static int restart_collector(struct holder *h)
{
	int channel, r;

	log_warning("the collector of journal ended early; starting another");
	close_fd(&h->collector);
	usleep(h->pause_ms * 1000);
	h->pause_ms = MIN_OF(2 * h->pause_ms, (unsigned) RESTART_PAUSE_MAX_MS);
	channel = attach(h);
	if (channel < 0)
		return log_error_code(channel, "the sealer does not take the journal back");
	r = start_collector(h, channel);
	close(channel);
	if (r < 0)
		return log_error_code(r, "cannot start the collector");
	r = tell_exit(h);
	return r == -EPIPE ? 0 : r;
}

/* Taking bytes out of a pipe: here, and nowhere else. */
static int consume(struct holder *h, const struct message *m)
{
	struct message reply = { .type = MESSAGE_CONSUMED };
	uint32_t i = m->consume.source;

	if (i >= SOURCES_MAX)
		return BULLA_EPEER;
	while (h->consumed[i] < m->consume.upto) {
		ssize_t n = splice(h->source[i], NULL, h->null, NULL,
				   m->consume.upto - h->consumed[i], SPLICE_F_NONBLOCK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) /* it claims bytes that never were */
			return n < 0 && errno != EAGAIN ? -errno : BULLA_EPEER;
		h->consumed[i] += (uint64_t) n;
	}
	h->pause_ms = RESTART_PAUSE_MS;
	reply.consume.source = i;
	reply.consume.upto = h->consumed[i];
	return message_send(h->collector, &reply, -1);
}

static int from_collector(struct holder *h)
{
	struct message m;
	int r;

	r = message_receive(h->collector, MSG_DONTWAIT, &m, NULL);
	if (r == -EAGAIN)
		return 0;
	if (r > 0 && m.type == MESSAGE_DONE) {
		h->done = true;
		return 0;
	}
	if (r > 0 && m.type == MESSAGE_CONSUME) {
		r = consume(h, &m);
		if (r >= 0 || r == BULLA_EPEER)
			return r;
	} else if (r > 0) {
		return BULLA_EPEER;
	}
	return restart_collector(h);
}

static int on_sealer_lost(struct holder *h)
{
	struct message m = { .type = MESSAGE_CHANNEL };
	int channel, r;

	log_warning("the sealer ended early; starting another");
	close_fd(&h->sealer);
	channel = attach(h);
	/* Closed already: the collector is about to say that it is done. */
	if (channel == -ENOENT)
		return 0;
	if (channel < 0)
		return log_error_code(channel, "the sealer does not take the journal back");
	r = message_send(h->collector, &m, channel);
	close(channel);
	return r == -EPIPE ? 0 : r;
}

static int on_signal(struct holder *h)
{
	struct signalfd_siginfo s;
	pid_t pid;
	int status;

	if (read(h->signals, &s, sizeof s) != sizeof s)
		return 0;
	if (s.ssi_signo != SIGCHLD) {
		/* What the terminal sends, it sends to the command as well. */
		if (s.ssi_code <= 0 && !h->exited)
			kill(h->child, (int) s.ssi_signo);
		return 0;
	}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != h->child)
			continue;
		h->exited = true;
		h->wait_status = status;
		if (tell_exit(h) < 0)
			continue; /* a dead collector shows as a closed socket */
	}
	return 0;
}

static int hold(struct holder *h)
{
	while (!h->done) {
		struct pollfd p[] = {
			{ .fd = h->collector, .events = POLLIN },
			{ .fd = h->signals, .events = POLLIN },
			{ .fd = h->sealer, .events = POLLIN },
		};
		int r = 0;

		if (poll(p, ELEMENTS(p), -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (p[1].revents)
			r = on_signal(h);
		if (r >= 0 && p[0].revents)
			r = from_collector(h);
		if (r >= 0 && !h->done && p[2].revents)
			r = on_sealer_lost(h);
		if (r < 0)
			return r;
	}
	return 0;
}

static int watch_signals(struct holder *h)
{
	static const int forwarded[] = { SIGTERM, SIGINT,   SIGHUP,  SIGQUIT, SIGUSR1,
					 SIGUSR2, SIGWINCH, SIGCONT, SIGCHLD };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ELEMENTS(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	h->signals = signalfd(-1, &set, SFD_CLOEXEC);
	return h->signals < 0 ? -errno : 0;
}

static int run(struct holder *h)
{
	struct message open_it = { .type = MESSAGE_OPEN };
	int channel, r;

	r = watch_signals(h);
	h->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (r >= 0 && h->null < 0)
		r = -errno;
	if (r >= 0)
		r = reach_sealer(h);
	if (r < 0)
		return log_error_code(r, "cannot reach the sealer of %s", h->state.path);
	r = fork_command(h);
	if (r < 0)
		return log_error_code(r, "cannot start %s", h->command[0]);
	r = describe(h);
	if (r < 0)
		return r;
	r = create_journal(h, &open_it.open);
	if (r < 0)
		return log_error_code(r, "cannot create a journal in %s", h->state.path);
	channel = open_channel(h, &open_it, MESSAGE_OPENED);
	if (channel == -EPIPE || channel == -ECONNRESET) {
		/* It was just about to leave. */
		close_fd(&h->sealer);
		r = reach_sealer(h);
		channel = r < 0 ? r : open_channel(h, &open_it, MESSAGE_OPENED);
	}
	if (channel < 0)
		return log_error_code(channel, "the sealer does not open the journal");
	r = start_collector(h, channel);
	close(channel);
	if (r < 0)
		return log_error_code(r, "cannot start the collector");
	if (write(h->go, "", 1) != 1)
		return -errno;
	close_fd(&h->go);
	return hold(h);
}

/* The command line. */

static void usage(FILE *to)
{
	fputs("usage: bulla run [OPTION]... [--] COMMAND [ARGUMENT]...\n"
	      "\n"
	      "Run a command and keep what it writes to stdout and stderr in a sealed journal.\n"
	      "\n"
	      "  -n, --name NAME          name of the container (_CONTAINER_NAME)\n"
	      "  -i, --image IMAGE        image that it runs (_IMAGE_NAME)\n"
	      "  -t, --identifier STRING  SYSLOG_IDENTIFIER; by default the name or the command\n"
	      "  -F, --field NAME=VALUE   add a field to every entry\n"
	      "  -p, --priority LEVEL     priority of lines on stdout (default: info)\n"
	      "      --stderr-priority LEVEL\n"
	      "                           priority of lines on stderr (default: err)\n"
	      "      --level-prefix       take a leading <N> as the priority, as sd-daemon(3)\n"
	      "      --state DIR          state directory (default: $BULLA_STATE or "
	      "/var/lib/bulla)\n"
	      "  -h, --help               show this\n"
	      "\n"
	      "A command line that runs a container (runc, crun, runsc ... run ID) is attributed "
	      "from its bundle.\n"
	      "The exit status is the command's, 128+N for signal N, 125 when the journal cannot "
	      "be kept.\n",
	      to);
}

static int add_field(struct holder *h, const char *text)
{
	const char *equals = strchr(text, '=');
	char name[FIELD_NAME_MAX + 1];

	if (!equals || equals == text || (size_t) (equals - text) > FIELD_NAME_MAX)
		return -EINVAL;
	if (text[0] == '_')
		return -EPERM;
	memcpy(name, text, (size_t) (equals - text));
	name[equals - text] = '\0';
	return identity_add_bytes(&h->identity, name, equals + 1, strlen(equals + 1));
}

static int parse_level(const char *text, char *ret)
{
	static const char *const names[] = { "emerg",	"alert",  "crit", "err",
					     "warning", "notice", "info", "debug" };

	if (strlen(text) == 1 && *text >= '0' && *text <= '7') {
		*ret = *text;
		return 0;
	}
	for (size_t i = 0; i < ELEMENTS(names); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret = (char) ('0' + i);
			return 0;
		}
	return -EINVAL;
}

/* @return 1: go on; 0: done; -EINVAL after a message. */
static int parse(struct holder *h, int argc, char **argv, const char **state, char priorities[3])
{
	static const struct option options[] = {
		{ "name", required_argument, NULL, 'n' },
		{ "image", required_argument, NULL, 'i' },
		{ "identifier", required_argument, NULL, 't' },
		{ "field", required_argument, NULL, 'F' },
		{ "priority", required_argument, NULL, 'p' },
		{ "stderr-priority", required_argument, NULL, 'e' },
		{ "level-prefix", no_argument, NULL, 'l' },
		{ "state", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c, r = 0;

	while ((c = getopt_long(argc, argv, "+n:i:t:F:p:h", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			h->name = optarg;
			break;
		case 'i':
			h->image = optarg;
			break;
		case 't':
			r = identity_add(&h->identity, "SYSLOG_IDENTIFIER", optarg);
			break;
		case 'F':
			r = add_field(h, optarg);
			if (r == -EPERM)
				log_error("--field %s: names that begin with _ are for what Bulla "
					  "itself knows",
					  optarg);
			else if (r < 0)
				log_error("--field %s: NAME=VALUE is wanted", optarg);
			break;
		case 'p':
		case 'e':
			r = parse_level(optarg, &priorities[c == 'e']);
			if (r < 0)
				log_error("%s is no priority; emerg to debug, or 0 to 7", optarg);
			break;
		case 'l':
			h->level_prefix = true;
			break;
		case 's':
			*state = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			r = -EINVAL;
		}
		if (r < 0)
			return -EINVAL;
	}
	if (optind == argc) {
		usage(stderr);
		return -EINVAL;
	}
	h->command = argv + optind;
	return 1;
}

int main(int argc, char **argv)
{
	struct holder h = {
		.source = { -1, -1 },
		.null = -1,
		.lock = -1,
		.signals = -1,
		.sealer = -1,
		.collector = -1,
		.go = -1,
		.pause_ms = RESTART_PAUSE_MS,
	};
	char priorities[3] = "63", path[4096];
	const char *state = NULL;
	int r;

	log_setup("bulla run", LOG_LEVEL_INFO);
	r = parse(&h, argc, argv, &state, priorities);
	if (r <= 0)
		return r < 0 ? 125 : 0;
	h.priorities = priorities;
	if (sodium_init() < 0 || state_path(state, path) < 0) {
		log_error("no state directory: use --state or BULLA_STATE");
		return 125;
	}
	r = state_open(&h.state, path, true);
	if (r < 0) {
		log_error_code(r, "cannot open %s", path);
		return 125;
	}
	r = run(&h);
	if (r < 0)
		return 125; /* the command, if it waits for its go, ends by itself */
	return WIFEXITED(h.wait_status) ? WEXITSTATUS(h.wait_status)
					: 128 + WTERMSIG(h.wait_status);
}

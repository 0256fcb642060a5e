/* SPDX-License-Identifier: Apache-2.0 */

/**
 * bulla-collector: one source's bytes into one journal.
 *
 * The kernel's pipe is the write-ahead log.  A step is: tee what the pipe holds, split it into lines, append a rows frame
 * that says up to which byte of the stream it goes, and only then take those bytes out of the pipe (progress.h).  Killed at
 * any moment, the next collector finds in the tail how far the stream is covered, on the shared page how far it is consumed,
 * and consumes the difference: nothing is lost and nothing doubled.
 *
 * It holds no key and no network; all it may do is in confine.c.
 *
 * Should the holder die, it goes on alone until the pipes end, and has the journal closed.  Should the sealer die then as
 * well, nobody can get it another one: it takes in what the pipes hold and ends.  What the command writes after that meets
 * EPIPE; the next sealer recovers the journal.
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
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "bulla/error.h"
#include "collector/collector-internal.h"
#include "collector/confine.h"
#include "collector/recovery.h"
#include "store/state.h"

enum {
	LINE_SIZE_MAX = 256 << 10,
	/* Kernels before 5.14 may not wake an edge-triggered reader of a pipe that is not empty. */
	POLL_SAFETY_MS = 50,
	IDLE_POLL_MS = 5000,
	IDLE_MS = 1000, /* then memory goes back */
};

/* The loop. */

static bool sources_ended(const struct collector *c)
{
	for (size_t i = 0; i < SOURCES_MAX; i++)
		if (c->source[i].fd >= 0)
			return false;
	return true;
}

static int step_sources(struct collector *c)
{
	for (size_t i = 0; i < SOURCES_MAX; i++) {
		struct source *s = &c->source[i];
		int r = 0;

		if (s->fd >= 0 && s->ready && !intake_is_full(c))
			r = intake_step(c, s);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool any_ready(const struct collector *c)
{
	for (size_t i = 0; i < SOURCES_MAX; i++)
		if (c->source[i].fd >= 0 && c->source[i].ready)
			return true;
	return false;
}

static void relax(struct collector *c)
{
	madvise(c->buffer, PIPE_SIZE, MADV_DONTNEED);
	tail_writer_relax(&c->tail);
	c->buffer_used = false;
}

/* Nothing happened for a while: look whether an event was missed, and later let go of memory. */
static void on_silence(struct collector *c, uint64_t now)
{
	for (size_t i = 0; i < SOURCES_MAX; i++) {
		struct source *s = &c->source[i];
		struct pollfd p = { .fd = s->fd, .events = POLLIN };
		int holds = 0;

		if (s->fd < 0 || poll(&p, 1, 0) <= 0 || ioctl(s->fd, FIONREAD, &holds) < 0)
			continue;
		s->hung_up |= (p.revents & POLLHUP) != 0;
		s->ready |= s->hung_up || (size_t) holds != s->incomplete;
	}
	if (c->buffer_used && now - c->quiet_since >= IDLE_MS * NS_PER_MS)
		relax(c);
}

static int wait_ms(const struct collector *c, bool may_step, uint64_t now)
{
	if (may_step && any_ready(c))
		return c->not_before > now ? (int) ((c->not_before - now) / NS_PER_MS) + 1 : 0;
	return full_wait_ms(c, c->buffer_used ? POLL_SAFETY_MS : IDLE_POLL_MS);
}

static int on_event(struct collector *c, const struct epoll_event *e)
{
	uint64_t tag = e->data.u64;

	if (tag == TAG_HOLDER)
		return c->holder >= 0 ? links_from_holder(c) : 0;
	if (tag == TAG_SEALER)
		return c->sealer >= 0 ? links_from_sealer(c) : 0;
	c->source[tag].ready = true;
	c->source[tag].hung_up |= (e->events & EPOLLHUP) != 0;
	c->quiet_since = clock_monotonic_ns();
	return 0;
}

static int wait_for_events(struct collector *c, bool may_step)
{
	struct epoll_event events[8];
	int timeout = wait_ms(c, may_step, clock_monotonic_ns()), n, r = 0;

	n = epoll_wait(c->epoll, events, ELEMENTS(events), timeout);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0 && timeout >= POLL_SAFETY_MS)
		on_silence(c, clock_monotonic_ns());
	for (int i = 0; i < n && r >= 0; i++)
		r = on_event(c, &events[i]);
	return r;
}

/* Everything is in the tail: have the rest sealed and the journal closed. */
static int finish(struct collector *c)
{
	int r = 0;

	while (!c->closed && r >= 0) {
		if (c->holder < 0 && c->sealer < 0) {
			log_warning(
				"neither holder nor sealer is left; the journal is closed by the "
				"next sealer");
			return 0;
		}
		if (c->welcomed && !c->tail.cut_pending && tail_writer_open_entries(&c->tail) > 0)
			r = links_cut(c);
		if (r >= 0 && c->welcomed && !c->tail.cut_pending && !c->close_sent &&
		    tail_writer_open_entries(&c->tail) == 0) {
			r = full_wait(c, tail_writer_settle);
			if (r >= 0)
				links_send_close(c);
		}
		if (r >= 0)
			r = wait_for_events(c, false);
	}
	if (r >= 0)
		tail_writer_end(&c->tail);
	return r;
}

/* Without holder and sealer, what is in the pipes now is the last that can be kept, up to one batch. */
static bool is_orphan(struct collector *c)
{
	if (c->holder >= 0 || c->sealer >= 0)
		return false;
	for (size_t i = 0; i < SOURCES_MAX; i++)
		c->source[i].ready = c->source[i].hung_up = true;
	return intake_is_full(c);
}

/* The last entry.  It is covered like a byte of a stream, so that the next collector does not say it again. */
static int tell_exit(struct collector *c)
{
	int r;

	if (!c->status_is || c->exit_told)
		return 0;
	r = own_add_exit(c);
	if (r < 0)
		return r;
	tail_writer_consumed(&c->tail, CHANNEL_OWN, 1);
	c->exit_told = true;
	return full_wait(c, tail_writer_flush_reserved);
}

static int collect(struct collector *c)
{
	struct message done = { .type = MESSAGE_DONE };
	int r;

	while ((!sources_ended(c) || !c->exited) && !is_orphan(c)) {
		r = full_step(c);
		if (r >= 0 && c->not_before <= clock_monotonic_ns())
			r = step_sources(c);
		if (r < 0)
			return r;
		if (sources_ended(c) && c->exited)
			break;
		r = wait_for_events(c, !intake_is_full(c));
		if (r < 0)
			return r;
	}
	r = full_finish(c);
	if (r >= 0)
		r = tell_exit(c);
	if (r >= 0)
		r = finish(c);
	if (r >= 0 && c->holder >= 0)
		r = message_send(c->holder, &done, -1);
	return r == -EPIPE ? 0 : r;
}

/* Starting. */

static int64_t context_of(struct collector *c, const char *transport, const char *stream)
{
	struct field fields[] = {
		{ (const uint8_t *) "_TRANSPORT", (const uint8_t *) transport,
		  (uint32_t) strlen(transport), 10 },
		{ (const uint8_t *) "_STREAM", (const uint8_t *) stream,
		  (uint32_t) (stream ? strlen(stream) : 0), 7 },
	};

	/* Fields of a context are in order. */
	if (!stream)
		return tail_writer_context(&c->tail, 0, fields, 1);
	return tail_writer_context(&c->tail, 0, (struct field[]){ fields[1], fields[0] }, 2);
}

static int make_contexts(struct collector *c)
{
	int64_t out = context_of(c, "stdout", "stdout"), err = context_of(c, "stdout", "stderr");
	int64_t own = context_of(c, "driver", NULL);

	if (out < 0 || err < 0 || own < 0)
		return out < 0 ? (int) out : err < 0 ? (int) err : (int) own;
	c->source[0].context = (uint32_t) out;
	c->source[1].context = (uint32_t) err;
	c->own_context = (uint32_t) own;
	return 0;
}

static int open_rest(struct collector *c)
{
	int size = PIPE_SIZE, r;

	/* A line must fit twice: an incomplete one stays where it is while more comes. */
	for (size_t i = 0; i < SOURCES_MAX; i++)
		size = MIN_OF(size, fcntl(c->source[i].fd, F_GETPIPE_SZ));
	size = MIN_OF(size, fcntl(c->progress.scratch[1], F_GETPIPE_SZ));
	if (size <= 0)
		return -EINVAL;
	c->line_max = MIN_OF((size_t) LINE_SIZE_MAX, (size_t) size / 2);
	c->buffer =
		mmap(NULL, PIPE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c->buffer == MAP_FAILED)
		return -errno;
	r = progress_map(&c->progress);
	c->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	return r < 0 ? r : c->null < 0 || c->epoll < 0 ? -errno : 0;
}

static int open_tail(struct collector *c, const char *path, const struct id *journal)
{
	struct message m;
	struct state state;
	int r;

	r = state_open(&state, path, false);
	if (r < 0)
		return r;
	/* How far the sealer is: what lies behind that is to be hashed again. */
	r = message_receive(c->sealer, 0, &m, NULL);
	if (r >= 0)
		r = r == 0 ? -EPIPE : m.type != MESSAGE_WELCOME ? BULLA_EPEER : 0;
	if (r >= 0)
		r = tail_writer_open(&c->tail, state.journals, journal, m.journal.batches,
				     m.journal.entries);
	state_close(&state);
	return r < 0 ? r : make_contexts(c);
}

/* What the tail covers (or was dropped) and the pipe still holds is consumed, not read again. */
static int resume(struct collector *c)
{
	intake_resume(c);
	full_resume(c);
	for (size_t i = 0; i < SOURCES_MAX; i++) {
		struct source *s = &c->source[i];
		uint64_t consumed = progress_consumed(&c->progress, s->channel);
		int r;

		if (s->covered < consumed)
			return BULLA_ECORRUPT;
		r = links_watch(c, s->fd, EPOLLIN | EPOLLET, i);
		if (r >= 0)
			r = intake_consume(c, s, s->covered - consumed);
		if (r < 0)
			return r;
		s->ready = true;
	}
	c->welcomed = true;
	if (c->tail.cut_pending)
		links_send_cut(c);
	links_tell_dirty(c);
	relax(c);
	return 0;
}

static int start(struct collector *c, const char *path, const struct id *journal)
{
	int r;

	r = open_tail(c, path, journal);
	if (r >= 0)
		r = open_rest(c);
	if (r >= 0)
		r = confine_collector();
	if (r >= 0)
		r = links_watch(c, c->holder, EPOLLIN, TAG_HOLDER);
	if (r >= 0)
		r = links_watch(c, c->sealer, EPOLLIN, TAG_SEALER);
	return r < 0 ? r : resume(c);
}

/* The command line: for machines. */

static struct collector the;

enum { FD_HOLDER, FD_CHANNEL, FD_STDOUT, FD_STDERR, FD_LOCK, FD_PAGE, FD_LOOK, FD_PUT, N_FDS };

struct arguments {
	const char *state, *journal, *recover;
	int fd[N_FDS];
	uint8_t priority[SOURCES_MAX];
	bool level_prefix;
	uint64_t block_max_s; /* UINT64_MAX: for ever */
};

static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{ "fds", required_argument, NULL, 'f' },
		{ "recover", required_argument, NULL, 'r' },
		{ "state", required_argument, NULL, 's' },
		{ "journal", required_argument, NULL, 'j' },
		{ "priorities", required_argument, NULL, 'p' },
		{ "level-prefix", no_argument, NULL, 'l' },
		{ "block-max", required_argument, NULL, 'b' },
		{ 0 },
	};
	bool fds = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'f')
			fds = sscanf(optarg, "%d,%d,%d,%d,%d,%d,%d,%d", &a->fd[0], &a->fd[1],
				     &a->fd[2], &a->fd[3], &a->fd[4], &a->fd[5], &a->fd[6],
				     &a->fd[7]) == N_FDS;
		else if (c == 'r')
			a->recover = optarg;
		else if (c == 's')
			a->state = optarg;
		else if (c == 'j')
			a->journal = optarg;
		else if (c == 'l')
			a->level_prefix = true;
		else if (c == 'b' && text_to_u64(optarg, &a->block_max_s) == 0)
			continue;
		else if (c == 'p' && strlen(optarg) == SOURCES_MAX)
			for (size_t i = 0; i < SOURCES_MAX; i++)
				a->priority[i] = (uint8_t) ((optarg[i] - '0') & 7);
		else
			return -EINVAL;
	}
	return a->state && (a->recover || (a->journal && fds)) ? 0 : -EINVAL;
}

static int run(const struct arguments *a)
{
	struct collector *c = &the;
	struct id journal;
	int r;

	if (text_unhex(a->journal, strlen(a->journal), journal.b, ID_SIZE) < 0)
		return 2;
	*c = (struct collector){
		.tail = { .fd = -1 },
		.holder = a->fd[FD_HOLDER],
		.sealer = a->fd[FD_CHANNEL],
		.progress = { a->fd[FD_PAGE], { a->fd[FD_LOOK], a->fd[FD_PUT] }, NULL },
		.level_prefix = a->level_prefix,
		.block_max_ns = a->block_max_s < UINT64_MAX / NS_PER_S ? a->block_max_s * NS_PER_S
								       : UINT64_MAX,
		.channels = 1,
		.epoll = -1,
		.null = -1,
	};
	/* FD_LOCK only stays open: as long as it is, nobody recovers this journal. */
	for (uint8_t i = 0; i < SOURCES_MAX; i++)
		c->source[i] = (struct source){
			.fd = a->fd[FD_STDOUT + i],
			.channel = i,
			.priority = a->priority[i],
		};
	r = start(c, a->state, &journal);
	if (r >= 0)
		r = collect(c);
	/* A sealer that died before the first word was said: the holder sees to it. */
	if (r < 0 && r != -EPIPE)
		log_error_code(r, "journal %s", a->journal);
	return r < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct arguments a = { .priority = { 6, 3 }, .block_max_s = UINT64_MAX };

	log_setup("bulla-collector", LOG_LEVEL_INFO);
	if (sodium_init() < 0 || parse(argc, argv, &a) < 0) {
		fprintf(stderr, "bulla-collector is started by bulla run and by the sealer\n");
		return 2;
	}
	/* It ends with its source, and not with whoever reads its stderr. */
	for (size_t i = 0; i < 5; i++)
		signal((int[]){ SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGPIPE }[i], SIG_IGN);
	if (a.recover)
		return recovery_run(atoi(a.recover), a.state) < 0 ? 2 : 0;
	return run(&a);
}

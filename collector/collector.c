/* SPDX-License-Identifier: Apache-2.0 */

/**
 * bulla-collector: one source's bytes into one journal.
 *
 * The kernel's pipe is the write-ahead log.  A step is: tee what the pipe holds, split it into lines, append a rows frame
 * that says up to which byte of the stream it goes, and only then have the holder consume the pipe up to there.  Killed at
 * any moment, the next collector finds in the tail how far the stream is covered and has the holder skip that much: nothing
 * is lost and nothing doubled.  An incomplete line simply stays in the pipe.
 *
 * It holds no key and no network; all it may do is in confine.c.  Should the holder die, it consumes by itself.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "bulla/error.h"
#include "collector/confine.h"
#include "collector/message.h"
#include "collector/recovery.h"
#include "collector/split.h"
#include "store/state.h"
#include "store/tail_writer.h"

enum {
	PIPE_SIZE = 1 << 20,
	LINE_SIZE_MAX = 256 << 10,
	STAGE_MAX = 1 << 20,
	BATCH_LARGE = 1 << 20, /* bytes after which a tick is due at once... */
	BATCH_FULL = 3 << 20,  /* ...and after which the source waits */
	BATCH_LARGE_ENTRIES = 1 << 16,
	BATCH_FULL_ENTRIES = 1 << 18,
	LINGER_MS = 10, /* between two frames of a source that is not busy */
	POLL_SAFETY_MS =
		50, /* kernels before 5.14 may not wake an edge-triggered reader of a pipe that is not empty */
	IDLE_MS = 2000, /* then memory goes back */
	RETRY_MS = 200,
	PRIORITY_CRIT = 2,
};

struct source {
	int fd; /* -1: ended */
	uint8_t channel;
	uint8_t priority;
	uint32_t context;
	uint64_t covered;  /* bytes of the stream that are in the tail */
	uint64_t consumed; /* bytes taken out of the pipe */
	bool ready, hung_up;
};

struct collector {
	struct tail_writer tail;
	struct source source[SOURCES_MAX];
	uint32_t driver_context;
	size_t line_max;
	bool level_prefix;
	int holder, sealer, epoll, lock;
	int scratch[2]; /* a pipe for tee */
	int null;
	uint8_t *buffer;
	bool buffer_used;
	bool exited, welcomed;
	int wait_status;
	bool told_dirty, told_large, urgent, close_sent, closed;
	uint64_t not_before; /* monotonic: linger */
};

static struct source *source_of(struct collector *c, uint32_t channel)
{
	assert(channel < SOURCES_MAX);
	return &c->source[channel];
}

/* The sealer. */

static void lose_sealer(struct collector *c)
{
	close_fd(&c->sealer);
	c->welcomed = c->close_sent = false;
}

static void to_sealer(struct collector *c, const struct message *m)
{
	if (c->sealer >= 0 && message_send(c->sealer, m, -1) < 0)
		lose_sealer(c);
}

static void send_cut(struct collector *c)
{
	const struct batch *b = &c->tail.cut;
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
	to_sealer(c, &m);
}

/* Whoever waits for space waits here: the pipe fills, and the container with it. */
static int until_space(struct collector *c, int (*write_it)(struct tail_writer *))
{
	bool said = false;
	int r;

	while ((r = write_it(&c->tail)) == -ENOSPC || r == -EDQUOT) {
		if (!said)
			log_error_code(r, "cannot append to the journal; its source waits");
		said = true;
		usleep(RETRY_MS * 1000);
	}
	return r;
}

static int cut_now(struct tail_writer *t)
{
	return tail_writer_cut(t, (int64_t) (clock_monotonic_ns() - clock_realtime_ns()));
}

static int cut(struct collector *c)
{
	int r = until_space(c, cut_now);

	if (r < 0)
		return r;
	c->told_dirty = c->told_large = c->urgent = false;
	send_cut(c);
	return 0;
}

static void tell_dirty(struct collector *c)
{
	struct message m = { .type = MESSAGE_DIRTY };
	bool large = tail_writer_open_bytes(&c->tail) >= BATCH_LARGE ||
		     tail_writer_open_entries(&c->tail) >= BATCH_LARGE_ENTRIES;

	if (tail_writer_open_entries(&c->tail) == 0 || !c->welcomed)
		return;
	if (c->told_dirty && !(large && !c->told_large) && !c->urgent)
		return;
	m.dirty.urgency = large ? URGENCY_SIZE : c->urgent ? URGENCY_ENTRY : URGENCY_NONE;
	c->told_dirty = true;
	c->told_large = large;
	c->urgent = false;
	to_sealer(c, &m);
}

/* The sealer says how far it is: at once after a restart of either side. */
static int on_welcome(struct collector *c, const struct message *m)
{
	c->welcomed = true;
	c->told_dirty = c->told_large = false;
	if (c->tail.cut_pending && m->journal.batches == c->tail.cut.batch_no + 1)
		tail_writer_sealed(&c->tail);
	else if (c->tail.cut_pending && m->journal.batches == c->tail.cut.batch_no)
		send_cut(c);
	else if (m->journal.batches != c->tail.batch_no)
		return BULLA_EORDER;
	tell_dirty(c);
	return 0;
}

static int from_sealer(struct collector *c)
{
	struct message m, nothing = { .type = MESSAGE_NOTHING };
	int r;

	r = message_receive(c->sealer, MSG_DONTWAIT, &m, NULL);
	if (r == -EAGAIN)
		return 0;
	if (r <= 0) {
		lose_sealer(c);
		return 0;
	}
	switch (m.type) {
	case MESSAGE_WELCOME:
		return on_welcome(c, &m);
	case MESSAGE_TICK:
		if (!c->tail.cut_pending && tail_writer_open_entries(&c->tail) > 0)
			return cut(c);
		to_sealer(c, &nothing);
		return 0;
	case MESSAGE_SEALED:
		if (!c->tail.cut_pending || c->tail.cut.batch_no != m.sealed.batch_no)
			return BULLA_EPEER;
		tail_writer_sealed(&c->tail);
		return 0;
	case MESSAGE_CLOSED:
		c->closed = c->close_sent;
		return 0;
	default:
		return BULLA_EPEER;
	}
}

/* The holder. */

static int watch(struct collector *c, int fd, uint32_t events, uint64_t tag)
{
	struct epoll_event e = { .events = events, .data.u64 = tag };

	return epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

enum tag { TAG_HOLDER = SOURCES_MAX, TAG_SEALER };

static int take_channel(struct collector *c, int fd)
{
	if (fd < 0)
		return BULLA_EPEER;
	lose_sealer(c);
	c->sealer = fd;
	return watch(c, fd, EPOLLIN, TAG_SEALER);
}

static int from_holder(struct collector *c, int flags)
{
	_cleanup_close_ int fd = -1;
	struct message m;
	int r;

	r = message_receive(c->holder, flags, &m, &fd);
	if (r == -EAGAIN)
		return 0;
	if (r <= 0) {
		/* Nobody else consumes the pipes now, and nobody will tell how the command ends. */
		close_fd(&c->holder);
		c->exited = true;
		return 0;
	}
	switch (m.type) {
	case MESSAGE_CONSUMED:
		if (m.consume.source >= SOURCES_MAX)
			return BULLA_EPEER;
		source_of(c, m.consume.source)->consumed = m.consume.upto;
		return 0;
	case MESSAGE_EXITED:
		c->exited = true;
		c->wait_status = m.exited.wait_status;
		return 0;
	case MESSAGE_CHANNEL:
		return take_channel(c, TAKE_FD(fd));
	default:
		return BULLA_EPEER;
	}
}

static int consume_alone(struct collector *c, struct source *s)
{
	while (s->consumed < s->covered) {
		ssize_t n = splice(s->fd, NULL, c->null, NULL, s->covered - s->consumed, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		s->consumed += (uint64_t) n;
	}
	return 0;
}

/* Have the pipe emptied of what the tail covers. */
static int consume(struct collector *c, struct source *s)
{
	struct message m = { .type = MESSAGE_CONSUME };
	int r;

	m.consume.source = s->channel;
	m.consume.upto = s->covered;
	if (c->holder >= 0 && message_send(c->holder, &m, -1) < 0)
		close_fd(&c->holder);
	while (c->holder >= 0 && s->consumed < s->covered) {
		r = from_holder(c, 0);
		if (r < 0)
			return r;
	}
	return consume_alone(c, s);
}

/* Entries. */

static void level_prefix(struct line *l, uint8_t *priority)
{
	if (l->n >= 3 && l->p[0] == '<' && l->p[1] >= '0' && l->p[1] <= '7' && l->p[2] == '>') {
		*priority = (uint8_t) (l->p[1] - '0');
		l->p += 3;
		l->n -= 3;
	}
}

static int add_line(struct collector *c, struct source *s, struct line *l, uint64_t now)
{
	struct entry e = { .time_ns = now, .received_ns = now, .priority = s->priority };

	if (c->level_prefix)
		level_prefix(l, &e.priority);
	e.message = l->p;
	e.message_len = (uint32_t) l->n;
	e.flags = (uint8_t) ((l->continued ? ENTRY_CONTINUED : 0) |
			     (l->no_newline ? ENTRY_NO_NEWLINE : 0));
	c->urgent |= e.priority <= PRIORITY_CRIT;
	return tail_writer_add(&c->tail, &e, s->context);
}

/* Append what is staged and let go of the bytes that it covers. */
static int flush(struct collector *c, struct source *s)
{
	int r;

	tail_writer_consumed(&c->tail, s->channel, s->covered);
	r = until_space(c, tail_writer_flush);
	return r < 0 ? r : consume(c, s);
}

/* Look at what the pipe holds without taking it.  @return bytes in c->buffer; 0: ended; -EAGAIN: empty. */
static ssize_t peek(struct collector *c, struct source *s)
{
	ssize_t n, got = 0;

	do
		n = tee(s->fd, c->scratch[1], PIPE_SIZE, SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	c->buffer_used = true;
	while (got < n) {
		ssize_t k = read(c->scratch[0], c->buffer + got, (size_t) (n - got));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? -errno : -EIO;
		got += k;
	}
	return got;
}

static int end_source(struct collector *c, struct source *s)
{
	epoll_ctl(c->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	close_fd(&s->fd);
	s->ready = false;
	return 0;
}

/* Whether `n` bytes are all that the pipe holds and ever will. */
static bool is_the_end(const struct source *s, ssize_t n)
{
	int left = 0;

	return s->hung_up && ioctl(s->fd, FIONREAD, &left) == 0 && left == n;
}

static int step(struct collector *c, struct source *s)
{
	uint64_t now = clock_realtime_ns(), before = s->covered;
	struct splitter split;
	struct line line;
	ssize_t n;
	int r;

	n = peek(c, s);
	if (n == -EAGAIN && !s->hung_up) {
		s->ready = false;
		return 0;
	}
	if (n == 0 || n == -EAGAIN)
		return end_source(c, s);
	if (n < 0)
		return (int) n;
	split = (struct splitter){ c->buffer, (size_t) n, c->line_max, is_the_end(s, n) };
	while (split_next(&split, &line)) {
		r = add_line(c, s, &line, now);
		if (r < 0)
			return r;
		s->covered = before + (uint64_t) n - split.left;
		if (tail_writer_staged(&c->tail) >= STAGE_MAX) {
			r = flush(c, s);
			if (r < 0)
				return r;
		}
	}
	if (s->covered == before && s->hung_up) {
		/* More than a tee can show at once, and no newline in it: nobody will write one any more. */
		r = add_line(c, s, &(struct line){ c->buffer, (size_t) n, true, false }, now);
		if (r < 0)
			return r;
		s->covered += (uint64_t) n;
	} else if (s->covered == before) {
		/* An incomplete line: wait for the rest of it. */
		s->ready = false;
		return 0;
	}
	if (n < PIPE_SIZE / 4)
		c->not_before = clock_monotonic_ns() + LINGER_MS * NS_PER_MS;
	r = s->consumed < s->covered ? flush(c, s) : 0;
	if (r >= 0)
		tell_dirty(c);
	return r;
}

/* The last entry: how the command ended, in the words of systemd.exec(5). */
static int add_exit(struct collector *c)
{
	static const char id_name[] = "MESSAGE_ID", id_value[] = "8b1c6d0c6a2b4f39a36a8f5b8f3d0e51";
	bool exited = WIFEXITED(c->wait_status),
	     dumped = WIFSIGNALED(c->wait_status) && WCOREDUMP(c->wait_status);
	int number = exited ? WEXITSTATUS(c->wait_status) : WTERMSIG(c->wait_status);
	const char *code = exited ? "exited" : dumped ? "dumped" : "killed";
	uint64_t now = clock_realtime_ns();
	char message[64], status[16];
	struct field fields[3] = {
		{ (const uint8_t *) "EXIT_CODE", (const uint8_t *) code, (uint32_t) strlen(code),
		  9 },
		{ (const uint8_t *) "EXIT_STATUS", (const uint8_t *) status, 0, 11 },
		{ (const uint8_t *) id_name, (const uint8_t *) id_value, STRLEN(id_value),
		  STRLEN(id_name) },
	};
	struct entry e = {
		.time_ns = now,
		.received_ns = now,
		.message = (const uint8_t *) message,
		.fields = fields,
		.n_fields = ELEMENTS(fields),
		.priority = exited && number == 0 ? 6 : 5,
	};

	snprintf(status, sizeof status, "%d", number);
	fields[1].value_len = (uint32_t) strlen(status);
	snprintf(message, sizeof message,
		 exited ? "exited with status %d" : "killed by signal %d%s", number,
		 dumped ? " (core dumped)" : "");
	e.message_len = (uint32_t) strlen(message);
	return tail_writer_add(&c->tail, &e, c->driver_context);
}

/* The loop. */

static bool batch_full(const struct collector *c)
{
	return tail_writer_open_bytes(&c->tail) >= BATCH_FULL ||
	       tail_writer_open_entries(&c->tail) >= BATCH_FULL_ENTRIES;
}

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

		if (s->fd >= 0 && s->ready && !batch_full(c))
			r = step(c, s);
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
	if (!c->buffer_used)
		return;
	madvise(c->buffer, PIPE_SIZE, MADV_DONTNEED);
	tail_writer_relax(&c->tail);
	c->buffer_used = false;
}

static int wait_for_events(struct collector *c, bool may_step)
{
	struct epoll_event events[8];
	uint64_t now = clock_monotonic_ns();
	int timeout, n, r = 0;

	if (may_step && any_ready(c))
		timeout = c->not_before > now ? (int) ((c->not_before - now) / NS_PER_MS) + 1 : 0;
	else
		timeout = c->buffer_used ? POLL_SAFETY_MS : IDLE_MS;
	n = epoll_wait(c->epoll, events, ELEMENTS(events), timeout);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0 && timeout >= POLL_SAFETY_MS) {
		static unsigned quiet;

		for (size_t i = 0; i < SOURCES_MAX; i++)
			c->source[i].ready = c->source[i].fd >= 0;
		if (++quiet % (IDLE_MS / POLL_SAFETY_MS) == 0)
			relax(c);
	}
	for (int i = 0; i < n && r >= 0; i++) {
		uint64_t tag = events[i].data.u64;

		if (tag == TAG_HOLDER) {
			r = c->holder >= 0 ? from_holder(c, MSG_DONTWAIT) : 0;
		} else if (tag == TAG_SEALER) {
			r = c->sealer >= 0 ? from_sealer(c) : 0;
		} else {
			c->source[tag].ready = true;
			c->source[tag].hung_up |= (events[i].events & EPOLLHUP) != 0;
		}
	}
	return r;
}

/* Everything is in the tail: have the rest sealed and the journal closed. */
static int finish(struct collector *c)
{
	struct message m = { .type = MESSAGE_CLOSE };
	int r;

	while (!c->closed) {
		if (c->holder < 0 && c->sealer < 0)
			return -EPIPE;
		if (c->welcomed && !c->tail.cut_pending && tail_writer_open_entries(&c->tail) > 0) {
			r = cut(c);
			if (r < 0)
				return r;
		}
		if (c->welcomed && !c->tail.cut_pending && !c->close_sent) {
			m.journal.journal = c->tail.header.journal;
			m.journal.batches = c->tail.batch_no;
			m.journal.entries = c->tail.next_seq;
			c->close_sent = true;
			to_sealer(c, &m);
		}
		r = wait_for_events(c, false);
		if (r < 0)
			return r;
	}
	return 0;
}

static int collect(struct collector *c)
{
	struct message done = { .type = MESSAGE_DONE };
	int r;

	while (!sources_ended(c) || !c->exited) {
		if (c->not_before <= clock_monotonic_ns()) {
			r = step_sources(c);
			if (r < 0)
				return r;
		}
		if (sources_ended(c) && c->exited)
			break;
		r = wait_for_events(c, !batch_full(c));
		if (r < 0)
			return r;
	}
	if (c->holder >= 0) {
		r = add_exit(c);
		if (r >= 0)
			r = until_space(c, tail_writer_flush);
		if (r < 0)
			return r;
	}
	r = finish(c);
	if (r >= 0 && c->holder >= 0)
		r = message_send(c->holder, &done, -1);
	return r;
}

/* Starting. */

static int64_t stream_context(struct collector *c, const char *stream)
{
	struct field fields[] = {
		{ (const uint8_t *) "_STREAM", (const uint8_t *) stream, (uint32_t) strlen(stream),
		  7 },
		{ (const uint8_t *) "_TRANSPORT", (const uint8_t *) "stdout", 6, 10 },
	};

	return tail_writer_context(&c->tail, 0, fields, ELEMENTS(fields));
}

static int make_contexts(struct collector *c)
{
	struct field driver = { (const uint8_t *) "_TRANSPORT", (const uint8_t *) "driver", 6, 10 };
	int64_t out = stream_context(c, "stdout"), err = stream_context(c, "stderr");
	int64_t own = tail_writer_context(&c->tail, 0, &driver, 1);

	if (out < 0 || err < 0 || own < 0)
		return out < 0 ? (int) out : err < 0 ? (int) err : (int) own;
	c->source[0].context = (uint32_t) out;
	c->source[1].context = (uint32_t) err;
	c->driver_context = (uint32_t) own;
	return 0;
}

static int open_scratch(struct collector *c)
{
	int size;

	if (pipe2(c->scratch, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	/* Refused where the user's allowance of pipe pages is used up: then steps are smaller. */
	fcntl(c->scratch[1], F_SETPIPE_SZ, PIPE_SIZE);
	size = PIPE_SIZE;
	for (size_t i = 0; i < SOURCES_MAX; i++)
		size = MIN_OF(size, fcntl(c->source[i].fd, F_GETPIPE_SZ));
	size = MIN_OF(size, fcntl(c->scratch[1], F_GETPIPE_SZ));
	if (size <= 0)
		return -EINVAL;
	c->line_max = MIN_OF((size_t) LINE_SIZE_MAX, (size_t) size / 2);
	c->buffer =
		mmap(NULL, PIPE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c->buffer == MAP_FAILED)
		return -errno;
	c->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return c->null < 0 ? -errno : 0;
}

static int await_start(struct collector *c, uint64_t *ret_batches, uint64_t *ret_entries)
{
	struct message m;
	int r;

	r = message_receive(c->holder, 0, &m, NULL);
	if (r <= 0 || m.type != MESSAGE_START)
		return r < 0 ? r : BULLA_EPEER;
	for (size_t i = 0; i < SOURCES_MAX; i++)
		c->source[i].consumed = m.start.consumed[i];
	r = message_receive(c->sealer, 0, &m, NULL);
	if (r <= 0 || m.type != MESSAGE_WELCOME)
		return r < 0 ? r : BULLA_EPEER;
	*ret_batches = m.journal.batches;
	*ret_entries = m.journal.entries;
	return 0;
}

/* Go on where the tail ends: what it covers and the pipe still holds is consumed, not read again. */
static int resume(struct collector *c)
{
	for (size_t i = 0; i < SOURCES_MAX; i++) {
		struct source *s = &c->source[i];
		int r;

		for (unsigned k = 0; k < c->tail.n_channels; k++)
			if (c->tail.channel[k].channel == s->channel)
				s->covered = c->tail.channel[k].consumed;
		if (s->covered < s->consumed)
			return BULLA_ECORRUPT;
		r = watch(c, s->fd, EPOLLIN | EPOLLET, i);
		if (r >= 0 && s->covered > s->consumed)
			r = consume(c, s);
		if (r < 0)
			return r;
		s->ready = true;
	}
	c->welcomed = true;
	if (c->tail.cut_pending)
		send_cut(c);
	tell_dirty(c);
	return 0;
}

static int start(struct collector *c, const char *path, const struct id *journal)
{
	uint64_t batches = 0, entries = 0;
	struct state state;
	int r;

	r = state_open(&state, path, false);
	if (r < 0)
		return r;
	r = await_start(c, &batches, &entries);
	if (r >= 0)
		r = tail_writer_open(&c->tail, state.journals, journal, batches, entries);
	state_close(&state);
	if (r >= 0)
		r = make_contexts(c);
	if (r >= 0)
		r = open_scratch(c);
	if (r < 0)
		return r;
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (c->epoll < 0)
		return -errno;
	r = confine_collector();
	if (r >= 0)
		r = watch(c, c->holder, EPOLLIN, TAG_HOLDER);
	if (r >= 0)
		r = watch(c, c->sealer, EPOLLIN, TAG_SEALER);
	return r < 0 ? r : resume(c);
}

struct arguments {
	const char *state, *journal;
	long fd[6]; /* holder, channel, stdout, stderr, lock, recover */
	uint8_t priority[SOURCES_MAX];
	bool level_prefix;
};

static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{ "holder", required_argument, NULL, 0 },
		{ "channel", required_argument, NULL, 1 },
		{ "stdout", required_argument, NULL, 2 },
		{ "stderr", required_argument, NULL, 3 },
		{ "lock", required_argument, NULL, 4 },
		{ "recover", required_argument, NULL, 5 },
		{ "state", required_argument, NULL, 's' },
		{ "journal", required_argument, NULL, 'j' },
		{ "priorities", required_argument, NULL, 'p' },
		{ "level-prefix", no_argument, NULL, 'l' },
		{ 0 },
	};
	int c;

	for (size_t i = 0; i < ELEMENTS(a->fd); i++)
		a->fd[i] = -1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c >= 0 && c <= 5)
			a->fd[c] = strtol(optarg, NULL, 10);
		else if (c == 's')
			a->state = optarg;
		else if (c == 'j')
			a->journal = optarg;
		else if (c == 'l')
			a->level_prefix = true;
		else if (c == 'p' && strlen(optarg) == 2)
			for (size_t i = 0; i < SOURCES_MAX; i++)
				a->priority[i] = (uint8_t) ((optarg[i] - '0') & 7);
		else
			return -EINVAL;
	}
	return a->state && (a->fd[5] >= 0 || (a->journal && a->fd[4] >= 0)) ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
	struct arguments a = { .priority = { 6, 3 } };
	struct collector c = { .epoll = -1 };
	struct id journal;
	int r;

	log_setup("bulla-collector", LOG_LEVEL_INFO);
	if (sodium_init() < 0 || parse(argc, argv, &a) < 0) {
		fprintf(stderr, "bulla-collector is started by bulla run and by the sealer\n");
		return 2;
	}
	/* Signals of the terminal are for the command; this one ends with its source. */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	if (a.fd[5] >= 0)
		return recovery_run((int) a.fd[5], a.state) < 0 ? 2 : 0;
	if (text_unhex(a.journal, strlen(a.journal), journal.b, ID_SIZE) < 0)
		return 2;
	c.holder = (int) a.fd[0];
	c.sealer = (int) a.fd[1];
	c.lock = (int) a.fd[4];
	c.level_prefix = a.level_prefix;
	for (uint8_t i = 0; i < SOURCES_MAX; i++)
		c.source[i] = (struct source){ .fd = (int) a.fd[2 + i],
					       .channel = i,
					       .priority = a.priority[i] };
	r = start(&c, a.state, &journal);
	if (r >= 0)
		r = collect(&c);
	if (r < 0)
		log_error_code(r, "journal %s", a.journal);
	return r < 0 ? 1 : 0;
}

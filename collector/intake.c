/* SPDX-License-Identifier: Apache-2.0 */

/**
 * From a pipe's bytes to rows in the tail: look without taking, split, append, then take what the tail covers.
 *
 * An incomplete line stays in the pipe, which therefore must not be full of one: a line that fills half the pipe comes in
 * pieces, and so does one that fills it with fewer bytes (a pipe has room for so many *writes* where they do not merge).
 *
 * On a full disk (full.c) lines may have to be dropped.  They go the same way, but are counted instead of staged.
 */

#include "collector/collector-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "collector/split.h"

enum {
	STAGE_MAX = 1 << 20,
	BATCH_FULL = 3 << 20,
	BATCH_FULL_ENTRIES = 1 << 18,
	LINGER_MS = 10,			    /* between two frames of a source that is not busy */
	LOOK_AGAIN_BYTES_PER_MS = 16 << 10, /* how often a long incomplete line is read anew */
	PRIORITY_CRIT = 2,
	IN_LINE = 0x80,
};

bool intake_is_full(const struct collector *c)
{
	/* What is dropped needs no room in a batch. */
	return !c->dropping && (tail_writer_open_bytes(&c->tail) >= BATCH_FULL ||
				tail_writer_open_entries(&c->tail) >= BATCH_FULL_ENTRIES);
}

/* Entries. */

/* Only where a line begins: in the middle of one, such bytes are content, and the priority is that of its first piece. */
static void level_prefix(struct source *s, struct line *l, uint8_t *priority)
{
	if (s->in_line)
		*priority = s->line_priority;
	else if (l->n >= 3 && l->p[0] == '<' && l->p[1] >= '0' && l->p[1] <= '7' &&
		 l->p[2] == '>') {
		*priority = (uint8_t) (l->p[1] - '0');
		l->p += 3;
		l->n -= 3;
	}
	s->in_line = l->continued;
	s->line_priority = *priority;
}

static int add_line(struct collector *c, struct source *s, struct line *l, uint64_t now)
{
	struct entry e = { .time_ns = now, .received_ns = now, .priority = s->priority };

	if (c->level_prefix)
		level_prefix(s, l, &e.priority);
	if (c->dropping) {
		c->drops.entries++;
		return 0;
	}
	e.message = l->p;
	e.message_len = (uint32_t) l->n;
	e.flags = (uint8_t) ((l->continued ? ENTRY_CONTINUED : 0) |
			     (l->no_newline ? ENTRY_NO_NEWLINE : 0));
	c->urgent |= e.priority <= PRIORITY_CRIT;
	return tail_writer_add(&c->tail, &e, s->context);
}

uint64_t intake_pack_lines(const struct collector *c)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < SOURCES_MAX; i++)
		if (c->source[i].in_line)
			all |= (uint64_t) (IN_LINE | c->source[i].line_priority) << (8 * i);
	return all;
}

void intake_unpack_lines(struct collector *c, uint64_t all)
{
	for (unsigned i = 0; i < SOURCES_MAX; i++, all >>= 8) {
		c->source[i].in_line = all & IN_LINE;
		c->source[i].line_priority = all & 7;
	}
}

void intake_resume(struct collector *c)
{
	for (unsigned k = 0; k < c->tail.n_channels; k++) {
		const struct tail_channel *t = &c->tail.channel[k];

		if (t->channel < SOURCES_MAX)
			c->source[t->channel].covered = t->consumed;
		else if (t->channel == CHANNEL_OWN)
			c->exit_told = t->consumed > 0;
		else if (t->channel == CHANNEL_LINES)
			intake_unpack_lines(c, t->consumed);
	}
	c->lines = intake_pack_lines(c);
}

int intake_consume(struct collector *c, struct source *s, uint64_t n)
{
	int r = progress_consume(&c->progress, s->channel, s->fd, c->null, n);

	if (r > 0 && !s->robbed) {
		log_warning("the command reads its own output; as much as it takes is not logged");
		s->robbed = true;
	}
	return r < 0 ? r : 0;
}

/* There was no space for what was staged: it is as if it had never been looked at. */
static void give_back(struct collector *c, struct source *s, uint64_t consumed)
{
	tail_writer_unstage(&c->tail);
	s->covered = consumed;
	tail_writer_consumed(&c->tail, s->channel, consumed);
	intake_unpack_lines(c, c->lines);
	if (c->level_prefix)
		tail_writer_consumed(&c->tail, CHANNEL_LINES, c->lines);
}

/* Append what is staged and let go of the bytes that it covers.  @return 0; 1 when there is no space; an error. */
static int flush(struct collector *c, struct source *s)
{
	uint64_t consumed = progress_consumed(&c->progress, s->channel), lines;
	int r;

	if (c->dropping)
		return full_drop(c, s);
	lines = intake_pack_lines(c);
	tail_writer_consumed(&c->tail, s->channel, s->covered);
	if (c->level_prefix)
		tail_writer_consumed(&c->tail, CHANNEL_LINES, lines);
	r = tail_writer_flush(&c->tail);
	if (r == -ENOSPC || r == -EDQUOT) {
		give_back(c, s, consumed);
		full_met(c, s, r);
		return 1;
	}
	if (r < 0)
		return r;
	c->lines = lines;
	if (s->full_since != 0)
		full_over(c, s);
	return intake_consume(c, s, s->covered - consumed);
}

/* Looking into a pipe. */

static ssize_t tee_all(struct collector *c, const struct source *s)
{
	ssize_t n;

	do
		n = tee(s->fd, c->progress.scratch[1], PIPE_SIZE, SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static ssize_t read_all(struct collector *c, ssize_t n)
{
	for (ssize_t got = 0; got < n;) {
		ssize_t k = read(c->progress.scratch[0], c->buffer + got, (size_t) (n - got));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? -errno : -EIO;
		got += k;
	}
	c->buffer_used = true;
	return n;
}

static bool has_no_writer(const struct source *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

/*
 * Look at what the pipe holds without taking it.  A tee of nothing is no end yet: another reader may have taken what there was
 * between the waiting for it and the copying.  @return bytes in c->buffer; 0: ended; -EAGAIN: empty.
 */
static ssize_t peek(struct collector *c, const struct source *s)
{
	ssize_t n = tee_all(c, s);

	if (n == 0 && !has_no_writer(s))
		return -EAGAIN;
	return n > 0 ? read_all(c, n) : n;
}

/*
 * Whether nobody can write another byte before some are taken.  Of how many slots are in use a pipe tells only its writers;
 * but a tee takes one slot for each, so that a copy in a pipe of the same size is full if and only if the original is.
 */
static int is_full(struct collector *c, const struct source *s)
{
	struct pollfd p = { .fd = c->progress.scratch[1], .events = POLLOUT };
	int size = fcntl(s->fd, F_GETPIPE_SZ), ours = fcntl(p.fd, F_GETPIPE_SZ);
	ssize_t n;
	int full;

	/* The command may have made its pipe smaller. */
	if (size > 0 && size < ours && fcntl(p.fd, F_SETPIPE_SZ, size) < 0)
		return -errno;
	n = tee_all(c, s);
	if (n < 0)
		return n == -EAGAIN ? 0 : (int) n;
	full = poll(&p, 1, 0) == 0;
	n = read_all(c, n);
	if (n < 0)
		return (int) n;
	if (size > 0 && size < ours && fcntl(p.fd, F_SETPIPE_SZ, ours) < 0 && errno != EPERM)
		return -errno;
	return full;
}

/* Whether `n` bytes are all that the pipe holds and ever will. */
static bool is_the_end(const struct source *s, ssize_t n)
{
	int left = 0;

	return s->hung_up && ioctl(s->fd, FIONREAD, &left) == 0 && left == n;
}

static int end_source(struct collector *c, struct source *s)
{
	epoll_ctl(c->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	close_fd(&s->fd);
	s->ready = false;
	return 0;
}

/* All that can be seen is the beginning of a line: wait for the rest, unless it cannot come.  @return as flush(). */
static int take_piece(struct collector *c, struct source *s, ssize_t n, uint64_t now)
{
	int full = s->hung_up ? 1 : is_full(c, s);
	int r;

	if (full < 0)
		return full;
	if (!full) {
		uint64_t ms = MAX_OF((uint64_t) n / LOOK_AGAIN_BYTES_PER_MS, (uint64_t) LINGER_MS);

		c->not_before = clock_monotonic_ns() + ms * NS_PER_MS;
		s->incomplete = (size_t) n;
		s->ready = false;
		return 0;
	}
	r = add_line(c, s, &(struct line){ c->buffer, (size_t) n, true, false }, now);
	if (r < 0)
		return r;
	s->covered += (uint64_t) n;
	return flush(c, s);
}

/* @return as flush() */
static int add_lines(struct collector *c, struct source *s, struct splitter *split, uint64_t now)
{
	uint64_t end = s->covered + split->left;
	struct line line;

	while (!intake_is_full(c) && split_next(split, &line)) {
		int r = add_line(c, s, &line, now);

		if (r < 0)
			return r;
		s->covered = end - split->left;
		if (tail_writer_staged(&c->tail) >= STAGE_MAX) {
			r = flush(c, s);
			if (r != 0)
				return r;
		}
	}
	return s->covered != progress_consumed(&c->progress, s->channel) ? flush(c, s) : 0;
}

int intake_step(struct collector *c, struct source *s)
{
	uint64_t now = clock_now_stamp_ns(), before = s->covered;
	struct splitter split;
	ssize_t n;
	int r;

	s->incomplete = 0;
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
	r = add_lines(c, s, &split, now);
	if (r == 0 && s->covered == before)
		r = take_piece(c, s, n, now);
	else if (r == 0 && n < PIPE_SIZE / 4)
		c->not_before = clock_monotonic_ns() + LINGER_MS * NS_PER_MS;
	if (r >= 0)
		links_tell_dirty(c);
	return MIN_OF(r, 0);
}

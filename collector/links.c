/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A collector's two conversations.
 *
 * The sealer says how far it is (WELCOME) whenever a channel begins, so that either side may have been replaced.  A channel
 * that is lost is asked for again from the holder, who alone can get one.  Without holder nobody can: see collector.c.
 */

#include "collector/collector-internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "bulla/error.h"

enum {
	BATCH_LARGE = 1 << 20,
	BATCH_LARGE_ENTRIES = 1 << 16
}; /* after which a tick is due at once */

int links_watch(struct collector *c, int fd, uint32_t events, uint64_t tag)
{
	struct epoll_event e = { .events = events, .data.u64 = tag };

	return epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

/* Somebody else may have a copy of what is closed; it is not to wake us for it. */
static void hang_up(struct collector *c, int *fd)
{
	if (*fd >= 0)
		epoll_ctl(c->epoll, EPOLL_CTL_DEL, *fd, NULL);
	close_fd(fd);
}

/* The sealer. */

static void lose_holder(struct collector *c)
{
	/* Nobody will tell how the command ends; the pipes will say that it has. */
	hang_up(c, &c->holder);
	c->exited = true;
}

static void lose_sealer(struct collector *c)
{
	struct message want = { .type = MESSAGE_CHANNEL };

	hang_up(c, &c->sealer);
	c->welcomed = c->close_sent = false;
	if (c->holder < 0 || c->asked_for_channel)
		return;
	c->asked_for_channel = true;
	want.channel.had = c->channels;
	if (message_send(c->holder, &want, -1) < 0)
		lose_holder(c);
}

static void to_sealer(struct collector *c, const struct message *m)
{
	if (c->sealer >= 0 && message_send(c->sealer, m, -1) < 0)
		lose_sealer(c);
}

void links_send_cut(struct collector *c)
{
	struct message m = message_of_batch(&c->tail.cut);

	to_sealer(c, &m);
}

void links_send_close(struct collector *c)
{
	struct message m = { .type = MESSAGE_CLOSE };

	m.journal.journal = c->tail.header.journal;
	m.journal.batches = c->tail.batch_no;
	m.journal.entries = c->tail.next_seq;
	c->close_sent = true;
	to_sealer(c, &m);
}

static int cut_now(struct tail_writer *t)
{
	return tail_writer_cut(t, clock_offset_stamp_ns());
}

int links_cut(struct collector *c)
{
	int r = full_wait(c, cut_now);

	if (r < 0)
		return r;
	c->told_dirty = c->told_large = c->told_urgent = c->urgent = false;
	links_send_cut(c);
	return 0;
}

void links_tell_dirty(struct collector *c)
{
	struct message m = { .type = MESSAGE_DIRTY };
	bool large = tail_writer_open_bytes(&c->tail) >= BATCH_LARGE ||
		     tail_writer_open_entries(&c->tail) >= BATCH_LARGE_ENTRIES;

	if (tail_writer_open_entries(&c->tail) == 0 || !c->welcomed)
		return;
	if (c->told_dirty && !(large && !c->told_large) && !(c->urgent && !c->told_urgent))
		return;
	m.dirty.urgency = large ? URGENCY_SIZE : c->urgent ? URGENCY_ENTRY : URGENCY_NONE;
	c->told_dirty = true;
	c->told_large = large;
	c->told_urgent = c->urgent;
	to_sealer(c, &m);
}

static int on_welcome(struct collector *c, const struct message *m)
{
	c->welcomed = true;
	c->told_dirty = c->told_large = c->told_urgent = false;
	if (c->tail.cut_pending && m->journal.batches == c->tail.cut.batch_no + 1)
		tail_writer_sealed(&c->tail);
	else if (c->tail.cut_pending && m->journal.batches == c->tail.cut.batch_no)
		links_send_cut(c);
	else if (m->journal.batches != c->tail.batch_no)
		return BULLA_EORDER;
	links_tell_dirty(c);
	return 0;
}

int links_from_sealer(struct collector *c)
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
			return links_cut(c);
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

static int take_channel(struct collector *c, int fd)
{
	if (fd < 0)
		return BULLA_EPEER;
	hang_up(c, &c->sealer);
	c->welcomed = c->close_sent = c->asked_for_channel = false;
	c->sealer = fd;
	c->channels++;
	return links_watch(c, fd, EPOLLIN, TAG_SEALER);
}

int links_from_holder(struct collector *c)
{
	_cleanup_close_ int fd = -1;
	struct message m;
	int r;

	r = message_receive(c->holder, MSG_DONTWAIT, &m, &fd);
	if (r == -EAGAIN)
		return 0;
	if (r <= 0) {
		lose_holder(c);
		return 0;
	}
	switch (m.type) {
	case MESSAGE_EXITED:
		c->exited = c->status_is = true;
		c->wait_status = m.exited.wait_status;
		return 0;
	case MESSAGE_CHANNEL:
		return take_channel(c, TAKE_FD(fd));
	case MESSAGE_DONE:
		c->closed = true;
		return 0;
	default:
		return BULLA_EPEER;
	}
}

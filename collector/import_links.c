/* SPDX-License-Identifier: Apache-2.0 */

/**
 * An import's conversations with the sealer: one connection as a holder, one channel for each journal.
 *
 * All of them end when the sealer does.  The next one is asked to attach what the last had opened; it says how far it is
 * (WELCOME), and a cut that it does not have is told to it again.
 */

#include "collector/import_journals-internal.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "bulla/error.h"

enum {
	SEALER_POLL_MS = 5,
	SEALER_SLOW_MS = 5000, /* then it is worth a word */
	REQUEST_TRIES = 20,
	RENEWALS_MAX = 20,   /* without a batch that is sealed in between */
	BUSY_PAUSE_MS = 100, /* before what another still has to do with a journal is over */
	OPENING_MAX = 64,    /* answers that the sealer's queue to us has room for */
	EVENTS_AT_ONCE = 64,
};

bool import_is_cancelled(const struct import_journals *s)
{
	return *s->stop > 1;
}

int import_links_reach(struct import_journals *s)
{
	uint64_t slow_at = clock_monotonic_ns() + SEALER_SLOW_MS * NS_PER_MS;
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = NULL };
	int r;

	while ((r = sealer_link_try(&s->link, s->state)) == 0) {
		if (import_is_cancelled(s))
			return -ECANCELED;
		poll(NULL, 0, SEALER_POLL_MS);
		if (slow_at > 0 && clock_monotonic_ns() > slow_at) {
			log_info("waiting for the sealer of %s", s->state->path);
			slow_at = 0;
		}
	}
	if (r == -ENOEXEC)
		log_error("the sealer that was started has stopped; the reason is above, or in "
			  "%s/seal/log",
			  s->state->path);
	else if (r < 0)
		log_error_code(r, "cannot reach the sealer of %s", s->state->path);
	if (r < 0)
		return r;
	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->link.fd, &e) < 0 ? -errno : 0;
}

static int watch(struct import_journals *s, struct import_journal *j)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = j };

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, j->channel, &e) < 0 ? -errno : 0;
}

/* The sealer is gone, or has cut off a channel: everything begins anew. */

static void hang_up(struct import_journals *s)
{
	close_fd(&s->link.fd);
	for (uint32_t i = 0; i < s->n; i++) {
		struct import_journal *j = s->journals[i];

		close_fd(&j->channel);
		j->welcomed = j->close_sent = false;
	}
	s->opening = 0;
}

static int wait_for_sealer(void *journals, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, -1) < 0 && errno != EINTR)
		return -errno;
	return import_is_cancelled(journals) ? -ECANCELED : 0;
}

/* The open event as it was made; its identity and seed are in the tail. */
static struct event_open open_of(const struct import_journal *j)
{
	return (struct event_open){
		.journal = j->id,
		.identity = j->tail.contexts.at[0].hash,
		.seed_commitment = seed_commitment(&j->id, j->tail.seeds.at[0].seed),
	};
}

static int ask_again(struct import_journals *s, struct import_journal *j)
{
	struct message open_it = { .type = MESSAGE_OPEN }, attach = { .type = MESSAGE_ATTACH };
	int r = -EEXIST;

	open_it.open = open_of(j);
	attach.journal.journal = j->id;
	if (!j->opened)
		r = sealer_link_request(&s->link, &open_it, MESSAGE_OPENED, wait_for_sealer, s);
	if (r == -EEXIST)
		r = sealer_link_request(&s->link, &attach, MESSAGE_ATTACHED, wait_for_sealer, s);
	if (r == -ESTALE && tail_writer_open_entries(&j->tail) == 0) {
		j->closed = true;
		return 0;
	}
	if (r < 0)
		return r;
	j->channel = r;
	return watch(s, j);
}

static int renew_all(struct import_journals *s)
{
	int r = import_links_reach(s);

	for (uint32_t i = 0; i < s->n_opened && r >= 0; i++)
		if (!s->journals[i]->closed && s->journals[i]->channel < 0)
			r = ask_again(s, s->journals[i]);
	return r;
}

static int renew(struct import_journals *s)
{
	int r = -EPIPE;

	/* One that ends whenever it hears of what we have would go on for ever. */
	if (s->renewed++ > RENEWALS_MAX)
		return log_error_code(-EPIPE, "one sealer after the other ends; see %s/seal/log",
				      s->state->path);
	log_warning("the sealer ended early; starting another");
	hang_up(s);
	for (int tries = 0; tries < REQUEST_TRIES; tries++) {
		r = renew_all(s);
		if (r != -EPIPE && r != -ECONNRESET && r != -EBUSY)
			return r;
		if (r != -EBUSY)
			hang_up(s);
		else
			close_fd(&s->link.fd);
		poll(NULL, 0, BUSY_PAUSE_MS);
	}
	return r;
}

/* Speaking.  What cannot be said shows as the end of a channel. */

static void tell(struct import_journal *j, const struct message *m)
{
	if (j->channel >= 0 && message_send(j->channel, m, -1) < 0)
		shutdown(j->channel, SHUT_RDWR);
}

void import_links_send_cut(struct import_journals *s, struct import_journal *j)
{
	struct message m = message_of_batch(&j->tail.cut);

	j->untold = false;
	if (j->welcomed)
		tell(j, &m);
}

void import_links_send_close(struct import_journals *s, struct import_journal *j)
{
	struct message m = { .type = MESSAGE_CLOSE };

	m.journal.journal = j->id;
	m.journal.batches = j->tail.batch_no;
	m.journal.entries = j->tail.next_seq;
	j->close_sent = true;
	tell(j, &m);
}

int import_links_open(struct import_journals *s, struct import_journal *j)
{
	struct message m = { .type = MESSAGE_OPEN };
	int pair[2], r = 0;

	while (s->opening >= OPENING_MAX && r >= 0)
		r = import_links_pump(s, -1);
	/* A sealer that was replaced meanwhile has been asked already. */
	if (r < 0 || j->channel >= 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	j->channel = pair[0];
	m.open = open_of(j);
	r = message_send(s->link.fd, &m, pair[1]);
	close(pair[1]);
	s->opening++;
	/* One that is gone is noticed by the pump. */
	return r < 0 && r != -EPIPE && r != -ECONNRESET ? r : watch(s, j);
}

/* Listening. */

static int on_welcome(struct import_journals *s, struct import_journal *j, const struct message *m)
{
	j->welcomed = j->opened = true;
	if (j->tail.cut_pending && m->journal.batches == j->tail.cut.batch_no + 1)
		tail_writer_sealed(&j->tail);
	else if (j->tail.cut_pending && m->journal.batches == j->tail.cut.batch_no)
		import_links_send_cut(s, j);
	else if (m->journal.batches != j->tail.batch_no)
		return BULLA_EORDER;
	return 0;
}

static int on_message(struct import_journals *s, struct import_journal *j, const struct message *m)
{
	const struct message nothing = { .type = MESSAGE_NOTHING };

	switch (m->type) {
	case MESSAGE_WELCOME:
		return on_welcome(s, j, m);
	case MESSAGE_TICK:
		tell(j, &nothing);
		return 0;
	case MESSAGE_SEALED:
		if (!j->tail.cut_pending || j->tail.cut.batch_no != m->sealed.batch_no)
			return BULLA_EPEER;
		tail_writer_sealed(&j->tail);
		s->renewed = 0;
		return 0;
	case MESSAGE_CLOSED:
		j->closed = j->close_sent;
		return 0;
	default:
		return BULLA_EPEER;
	}
}

/* @return 0; -EPIPE when the connection has ended; an error. */
static int receive(struct import_journals *s, struct import_journal *j)
{
	struct message m;
	int r = message_receive(j ? j->channel : s->link.fd, MSG_DONTWAIT, &m, NULL);

	if (r == -EAGAIN)
		return 0;
	if (r == 0 || r == -ECONNRESET)
		return -EPIPE;
	if (r < 0)
		return r;
	if (j)
		return on_message(s, j, &m);
	if (m.type != MESSAGE_OPENED)
		return BULLA_EPEER;
	if (m.status < 0)
		return log_error_code(m.status, "the sealer does not open a journal");
	s->opening -= s->opening > 0;
	return 0;
}

int import_links_pump(struct import_journals *s, int timeout_ms)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int n, r = 0;

	if (import_is_cancelled(s))
		return -ECANCELED;
	n = epoll_wait(s->epoll, events, EVENTS_AT_ONCE, timeout_ms);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n && r >= 0; i++)
		r = receive(s, events[i].data.ptr);
	return r == -EPIPE ? renew(s) : r;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * bulla-sealer: holds the key, parses nothing.
 *
 * One sealer per state directory (a lock says so).  Holders connect to its socket and open journals, each with a channel
 * for its collector.  On a tick every collector with unsealed entries is asked for its batch; what has come by the time all
 * have answered, or after ANSWER_MS, is sealed as one commit and acknowledged.  Batches and closes are accepted only where
 * they continue what the ledger has.
 *
 *	dirty ──tick──▶ asked ──batch──▶ ready ──commit──▶ sealed
 *
 * Ticks lie on whole seconds; sooner when a batch is large or an entry important, never less than TICK_MIN_MS apart.
 * A sealer started on demand leaves when nobody has been connected for a moment.
 */

#include <assert.h>
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
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/role.h"
#include "base/text.h"
#include "bulla/error.h"
#include "collector/host.h"
#include "collector/message.h"
#include "seal/origin.h"
#include "store/recover.h"
#include "store/state.h"

enum {
	TICK_MIN_MS = 10,
	ANSWER_MS = 200,
	IDLE_EXIT_MS = 300,
	HEARTBEAT_S = 60,
	URGENT_BURST = 10, /* important entries that may hurry a tick, per journal... */
	URGENT_PER_S = 5,  /* ...and how fast that allowance grows back */
	EVENT_BODY_MAX = 160,
	RETRY_MS = 1000,
};

enum peer_kind { PEER_LISTENER, PEER_HOLDER, PEER_COLLECTOR, PEER_RECOVERY };

/* One connection. */
struct peer {
	enum peer_kind kind;
	int fd;
	struct peer *next; /* in the sealer's list */
	bool gone;	   /* to be freed after this round of events */
	/* Of a collector. */
	struct id journal;
	bool dirty, asked, ready, closing;
	enum urgency urgency;
	double allowance; /* urgent ticks left */
	uint64_t allowance_at_ns;
	struct batch_item item;
	uint64_t batch_no;
	struct event_close close;
};

/* An event that waits for the next commit, and who is to be told. */
struct waiting {
	uint8_t kind;
	uint16_t len;
	uint8_t body[EVENT_BODY_MAX];
	struct peer *peer;
};

struct sealer {
	struct state state;
	struct origin *origin;
	int epoll, lock;
	struct peer *peers;
	struct waiting *events;
	size_t n_events, events_cap;
	/* Batches of journals that recovery closes; they come without a channel. */
	struct batch_item *recovered;
	size_t n_recovered, recovered_cap;
	uint64_t tick_at;    /* monotonic; 0: none due */
	uint64_t last_tick;  /* monotonic */
	uint64_t answers_by; /* monotonic; 0: not waiting for answers */
	uint64_t idle_since; /* monotonic; 0: somebody is connected */
	uint64_t last_commit;
	unsigned n_holders, n_recoveries;
	bool stay, broken;
};

static volatile sig_atomic_t told_to_stop;

static void on_stop(int signal_number)
{
	(void) signal_number;
	told_to_stop = 1;
}

/* Peers. */

static struct peer *peer_add(struct sealer *s, enum peer_kind kind, int fd)
{
	struct peer *p = calloc(1, sizeof *p);
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = p };

	if (!p || io_set_nonblocking(fd) < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) < 0) {
		free(p);
		close(fd);
		return NULL;
	}
	p->kind = kind;
	p->fd = fd;
	p->allowance = URGENT_BURST;
	p->next = s->peers;
	s->peers = p;
	s->n_holders += kind == PEER_HOLDER;
	s->n_recoveries += kind == PEER_RECOVERY;
	return p;
}

static void peer_drop(struct sealer *s, struct peer *p)
{
	if (p->gone)
		return;
	close_fd(&p->fd);
	p->gone = true;
	s->n_holders -= p->kind == PEER_HOLDER;
	s->n_recoveries -= p->kind == PEER_RECOVERY;
	for (size_t i = 0; i < s->n_events; i++)
		if (s->events[i].peer == p)
			s->events[i].peer = NULL;
}

static void peers_sweep(struct sealer *s)
{
	for (struct peer **at = &s->peers; *at;) {
		struct peer *p = *at;

		if (p->gone) {
			*at = p->next;
			free(p);
		} else {
			at = &p->next;
		}
	}
}

/* A peer whose queue is full does not read: it is not waited for. */
static void tell(struct sealer *s, struct peer *p, const struct message *m)
{
	if (p && !p->gone && message_send(p->fd, m, -1) < 0)
		peer_drop(s, p);
}

static struct peer *collector_of(struct sealer *s, const struct id *journal)
{
	for (struct peer *p = s->peers; p; p = p->next)
		if (p->kind == PEER_COLLECTOR && !p->gone && id_equal(&p->journal, journal))
			return p;
	return NULL;
}

/* When to tick. */

static void tick_by(struct sealer *s, uint64_t at)
{
	at = MAX_OF(at, s->last_tick + TICK_MIN_MS * NS_PER_MS);
	if (s->tick_at == 0 || at < s->tick_at)
		s->tick_at = at;
}

static uint64_t next_whole_second(uint64_t now)
{
	return now + NS_PER_S - clock_realtime_ns() % NS_PER_S;
}

static bool may_hurry(struct peer *p, uint64_t now)
{
	if (p->urgency == URGENCY_SIZE)
		return true;
	if (p->urgency != URGENCY_ENTRY)
		return false;
	p->allowance += (double) (now - p->allowance_at_ns) / (double) NS_PER_S * URGENT_PER_S;
	p->allowance = MIN_OF(p->allowance, (double) URGENT_BURST);
	p->allowance_at_ns = now;
	if (p->allowance < 1)
		return false;
	p->allowance -= 1;
	return true;
}

static void on_dirty(struct sealer *s, struct peer *p, const struct message *m)
{
	uint64_t now = clock_monotonic_ns();

	p->dirty = true;
	p->urgency = (enum urgency) MIN_OF(m->dirty.urgency, (uint32_t) URGENCY_ENTRY);
	tick_by(s, may_hurry(p, now) ? now : next_whole_second(now));
}

/* Journals. */

static int add_event(struct sealer *s, uint8_t kind, const struct wr *body, struct peer *peer)
{
	struct waiting *w;

	if (s->n_events == s->events_cap) {
		size_t cap = s->events_cap ? 2 * s->events_cap : 16;
		struct waiting *more = reallocarray(s->events, cap, sizeof *more);

		if (!more)
			return -ENOMEM;
		s->events = more;
		s->events_cap = cap;
	}
	if (s->n_events >= EVENTS_MAX - 2)
		return -EBUSY;
	w = &s->events[s->n_events++];
	*w = (struct waiting){ .kind = kind, .len = (uint16_t) body->len, .peer = peer };
	memcpy(w->body, body->base, body->len);
	tick_by(s, clock_monotonic_ns());
	return 0;
}

/* Give a journal's collector a channel; an earlier one is over, and what it had not yet got sealed with it. */
static int attach(struct sealer *s, const struct id *journal, int fd)
{
	struct peer *old = collector_of(s, journal), *p;

	if (old)
		peer_drop(s, old);
	p = peer_add(s, PEER_COLLECTOR, fd);
	if (!p)
		return -ENOMEM;
	p->journal = *journal;
	return 0;
}

static void welcome(struct sealer *s, const struct id *journal)
{
	const struct history *h = origin_history(s->origin);
	int64_t handle = history_find_journal(h, journal);
	struct message m = { .type = MESSAGE_WELCOME };

	assert(handle >= 0);
	m.journal.journal = *journal;
	m.journal.batches = history_journal(h, (uint32_t) handle)->batches;
	m.journal.entries = history_journal(h, (uint32_t) handle)->entries;
	tell(s, collector_of(s, journal), &m);
}

static int on_open(struct sealer *s, struct peer *holder, const struct message *m, int fd)
{
	uint8_t body[EVENT_BODY_MAX];
	struct wr w = wr_of(body, sizeof body);
	int r;

	if (fd < 0)
		return BULLA_EPEER;
	if (s->broken || history_find_journal(origin_history(s->origin), &m->open.journal) >= 0) {
		close(fd);
		return s->broken ? -EIO : -EEXIST;
	}
	event_open_encode(&m->open, &w);
	r = attach(s, &m->open.journal, fd);
	return r < 0 ? r : add_event(s, EVENT_OPEN, &w, holder);
}

static int on_attach(struct sealer *s, struct peer *holder, const struct message *m, int fd)
{
	const struct history *h = origin_history(s->origin);
	int64_t handle = history_find_journal(h, &m->journal.journal);
	struct message reply = { .type = MESSAGE_ATTACHED };
	int r;

	if (fd < 0)
		return BULLA_EPEER;
	if (handle < 0 || history_journal(h, (uint32_t) handle)->closed) {
		close(fd);
		return -ENOENT;
	}
	r = attach(s, &m->journal.journal, fd);
	if (r < 0)
		return r;
	reply.journal.journal = m->journal.journal;
	tell(s, holder, &reply);
	welcome(s, &m->journal.journal);
	return 0;
}

static struct batch_item item_of(const struct message *m, uint32_t handle)
{
	return (struct batch_item){
		.handle = handle,
		.entries = m->batch.entries,
		.bytes = m->batch.bytes,
		.time_min = m->batch.time_min,
		.time_max = m->batch.time_max,
		.mono_offset = m->batch.mono_offset,
		.root = m->batch.root,
		.recovered = m->batch.recovered != 0,
	};
}

/* Only the continuation of what the ledger has is a batch. */
static int check_continuation(const struct sealer *s, const struct message *m, uint32_t *ret_handle)
{
	const struct history *h = origin_history(s->origin);
	int64_t handle = history_find_journal(h, &m->batch.journal);
	const struct ledger_journal *j;

	if (handle < 0)
		return BULLA_EPEER;
	j = history_journal(h, (uint32_t) handle);
	if (j->closed || m->batch.batch_no != j->batches || m->batch.first_seq != j->entries ||
	    m->batch.entries == 0 || m->batch.bytes > BATCH_SIZE_MAX + ENTRY_SIZE_MAX ||
	    m->batch.time_min > m->batch.time_max)
		return BULLA_EORDER;
	*ret_handle = (uint32_t) handle;
	return 0;
}

static int on_batch(struct sealer *s, struct peer *p, const struct message *m)
{
	uint32_t handle;
	int r;

	if (!id_equal(&m->batch.journal, &p->journal) || p->ready || m->batch.recovered)
		return BULLA_EPEER;
	r = check_continuation(s, m, &handle);
	if (r < 0)
		return r;
	p->item = item_of(m, handle);
	p->batch_no = m->batch.batch_no;
	p->ready = true;
	p->dirty = p->asked = false;
	if (s->answers_by == 0)
		tick_by(s, clock_monotonic_ns());
	return 0;
}

static int on_close(struct sealer *s, struct peer *p, const struct message *m)
{
	struct event_close close = {
		.journal = m->journal.journal,
		.batches = m->journal.batches,
		.entries = m->journal.entries,
	};
	const struct history *h = origin_history(s->origin);
	int64_t handle = history_find_journal(h, &close.journal);
	uint64_t batches, entries;
	uint8_t body[EVENT_BODY_MAX];
	struct wr w = wr_of(body, sizeof body);

	if (!id_equal(&close.journal, &p->journal) || p->closing || handle < 0)
		return BULLA_EPEER;
	batches = history_journal(h, (uint32_t) handle)->batches + p->ready;
	entries = history_journal(h, (uint32_t) handle)->entries + (p->ready ? p->item.entries : 0);
	if (close.batches != batches || close.entries != entries)
		return BULLA_EORDER;
	event_close_encode(&close, &w);
	p->closing = true;
	p->dirty = p->asked = false;
	return add_event(s, EVENT_CLOSE, &w, p);
}

/* Recovery: batch and close of journals that nobody writes any more. */

static int on_recovered_batch(struct sealer *s, const struct message *m)
{
	uint32_t handle;
	int r;

	if (!m->batch.recovered || collector_of(s, &m->batch.journal))
		return BULLA_EPEER;
	r = check_continuation(s, m, &handle);
	if (r < 0)
		return r;
	for (size_t i = 0; i < s->n_recovered; i++)
		if (s->recovered[i].handle == handle)
			return BULLA_EPEER;
	if (s->n_recovered == s->recovered_cap) {
		size_t cap = s->recovered_cap ? 2 * s->recovered_cap : 16;
		struct batch_item *more = reallocarray(s->recovered, cap, sizeof *more);

		if (!more)
			return -ENOMEM;
		s->recovered = more;
		s->recovered_cap = cap;
	}
	s->recovered[s->n_recovered++] = item_of(m, handle);
	return 0;
}

static int on_recovered_close(struct sealer *s, const struct message *m)
{
	const struct history *h = origin_history(s->origin);
	int64_t handle = history_find_journal(h, &m->journal.journal);
	struct event_close close = { .journal = m->journal.journal };
	uint8_t body[EVENT_BODY_MAX];
	struct wr w = wr_of(body, sizeof body);
	const struct ledger_journal *j;

	if (handle < 0 || collector_of(s, &m->journal.journal))
		return BULLA_EPEER;
	j = history_journal(h, (uint32_t) handle);
	if (j->closed)
		return BULLA_EPEER;
	close.batches = j->batches;
	close.entries = j->entries;
	for (size_t i = 0; i < s->n_recovered; i++)
		if (s->recovered[i].handle == handle) {
			close.batches++;
			close.entries += s->recovered[i].entries;
		}
	if (close.batches != m->journal.batches || close.entries != m->journal.entries)
		return BULLA_EORDER;
	event_close_encode(&close, &w);
	return add_event(s, EVENT_CLOSE, &w, NULL);
}

/* Committing. */

static void tell_events(struct sealer *s)
{
	for (size_t i = 0; i < s->n_events; i++) {
		const struct waiting *w = &s->events[i];
		struct event e = { w->kind, w->len, w->body };
		struct message m = { .type = w->kind == EVENT_OPEN ? MESSAGE_OPENED
								   : MESSAGE_CLOSED };
		struct event_open open;

		m.sealed.commit = history_size(origin_history(s->origin)) - 1;
		if (w->kind == EVENT_OPEN && event_open_decode(&e, &open) == 0) {
			m.journal.journal = open.journal;
			tell(s, w->peer, &m);
			if (collector_of(s, &open.journal))
				welcome(s, &open.journal);
		} else {
			tell(s, w->peer, &m);
		}
	}
	s->n_events = 0;
}

static void tell_batches(struct sealer *s)
{
	for (struct peer *p = s->peers; p; p = p->next) {
		struct message m = { .type = MESSAGE_SEALED };

		if (p->kind != PEER_COLLECTOR || p->gone || !p->ready)
			continue;
		p->ready = false;
		m.sealed.batch_no = p->batch_no;
		m.sealed.commit = history_size(origin_history(s->origin)) - 1;
		tell(s, p, &m);
	}
}

/* A ledger that cannot be written is tried again, once signed with the same bytes; nothing goes on before that. */
static int commit_until_done(struct sealer *s, struct batch_item *items, size_t n_items,
			     const struct event *events)
{
	uint64_t now = clock_realtime_ns();
	int r;

	for (;;) {
		if (origin_is_pending(s->origin))
			r = origin_retry(s->origin);
		else
			r = origin_commit(s->origin, now, items, n_items, events, s->n_events);
		if ((r != -ENOSPC && r != -EDQUOT) || told_to_stop)
			return r;
		log_error_code(r, "cannot write the ledger; trying again");
		usleep(RETRY_MS * 1000);
	}
}

static int commit(struct sealer *s)
{
	_cleanup_free_ struct batch_item *items = NULL;
	_cleanup_free_ struct event *events = NULL;
	size_t n_items = s->n_recovered, n = 0;
	int r;

	for (struct peer *p = s->peers; p; p = p->next)
		n_items += p->kind == PEER_COLLECTOR && !p->gone && p->ready;
	if (n_items == 0 && s->n_events == 0)
		return 0;
	items = reallocarray(NULL, n_items + 1, sizeof *items);
	events = reallocarray(NULL, s->n_events + 1, sizeof *events);
	if (!items || !events)
		return -ENOMEM;
	for (struct peer *p = s->peers; p; p = p->next)
		if (p->kind == PEER_COLLECTOR && !p->gone && p->ready)
			items[n++] = p->item;
	if (s->n_recovered > 0)
		memcpy(items + n, s->recovered, s->n_recovered * sizeof *items);
	for (size_t i = 0; i < s->n_events; i++)
		events[i] =
			(struct event){ s->events[i].kind, s->events[i].len, s->events[i].body };
	r = commit_until_done(s, items, n_items, events);
	if (r < 0)
		return r;
	s->n_recovered = 0;
	s->last_commit = clock_monotonic_ns();
	tell_batches(s);
	tell_events(s);
	return 0;
}

static bool all_answered(const struct sealer *s)
{
	for (const struct peer *p = s->peers; p; p = p->next)
		if (p->kind == PEER_COLLECTOR && !p->gone && p->asked)
			return false;
	return true;
}

static void ask(struct sealer *s, uint64_t now)
{
	const struct message tick = { .type = MESSAGE_TICK };

	s->tick_at = 0;
	s->last_tick = now;
	for (struct peer *p = s->peers; p; p = p->next)
		if (p->kind == PEER_COLLECTOR && !p->gone && p->dirty && !p->ready) {
			p->asked = true;
			tell(s, p, &tick);
		}
	s->answers_by = now + ANSWER_MS * NS_PER_MS;
}

/* Do what is due.  @return milliseconds until something is, or -1. */
static int run_due(struct sealer *s, int *ret_timeout)
{
	uint64_t now = clock_monotonic_ns(), next = UINT64_MAX;
	int r;

	if (s->answers_by == 0 && s->tick_at != 0 && s->tick_at <= now)
		ask(s, now);
	if (s->answers_by != 0 && (all_answered(s) || s->answers_by <= now)) {
		s->answers_by = 0;
		r = commit(s);
		if (r < 0)
			return r;
		/* Who was asked and silent is still dirty. */
		for (struct peer *p = s->peers; p; p = p->next)
			if (p->kind == PEER_COLLECTOR && !p->gone && p->dirty)
				tick_by(s, next_whole_second(now));
	}
	if (s->n_holders > 0 && now - s->last_commit > HEARTBEAT_S * NS_PER_S) {
		struct wr none = wr_of(NULL, 0);

		none.base = (uint8_t[1]){ 0 };
		r = add_event(s, EVENT_HEARTBEAT, &none, NULL);
		if (r < 0)
			return r;
	}
	if (s->n_holders > 0 || s->n_recoveries > 0)
		s->idle_since = 0;
	else if (s->idle_since == 0)
		s->idle_since = now;
	if (s->answers_by != 0)
		next = s->answers_by;
	else if (s->tick_at != 0)
		next = s->tick_at;
	next = MIN_OF(next, s->last_commit + (HEARTBEAT_S + 1) * NS_PER_S);
	if (s->idle_since != 0 && !s->stay)
		next = MIN_OF(next, s->idle_since + IDLE_EXIT_MS * NS_PER_MS);
	now = clock_monotonic_ns();
	*ret_timeout = next <= now ? 0 : (int) ((next - now + NS_PER_MS - 1) / NS_PER_MS);
	return 0;
}

/* Messages. */

static void refuse(struct sealer *s, struct peer *p, uint32_t type, int error)
{
	struct message m = { .type = type, .status = error };

	tell(s, p, &m);
}

static int from_holder(struct sealer *s, struct peer *p, const struct message *m, int fd)
{
	int r;

	switch (m->type) {
	case MESSAGE_OPEN:
		r = on_open(s, p, m, fd);
		if (r < 0)
			refuse(s, p, MESSAGE_OPENED, r);
		return 0;
	case MESSAGE_ATTACH:
		r = on_attach(s, p, m, fd);
		if (r < 0)
			refuse(s, p, MESSAGE_ATTACHED, r);
		return 0;
	default:
		return BULLA_EPEER;
	}
}

static int from_collector(struct sealer *s, struct peer *p, const struct message *m)
{
	switch (m->type) {
	case MESSAGE_DIRTY:
		on_dirty(s, p, m);
		return 0;
	case MESSAGE_NOTHING:
		p->dirty = p->asked = false;
		return 0;
	case MESSAGE_BATCH:
		return on_batch(s, p, m);
	case MESSAGE_CLOSE:
		return on_close(s, p, m);
	default:
		return BULLA_EPEER;
	}
}

static int from_recovery(struct sealer *s, const struct message *m)
{
	switch (m->type) {
	case MESSAGE_BATCH:
		return on_recovered_batch(s, m);
	case MESSAGE_CLOSE:
		return on_recovered_close(s, m);
	default:
		return BULLA_EPEER;
	}
}

static void on_message(struct sealer *s, struct peer *p)
{
	_cleanup_close_ int fd = -1;
	struct message m;
	int r;

	r = message_receive(p->fd, MSG_DONTWAIT, &m, &fd);
	if (r == -EAGAIN)
		return;
	if (r > 0) {
		switch (p->kind) {
		case PEER_HOLDER:
			r = from_holder(s, p, &m, TAKE_FD(fd));
			break;
		case PEER_COLLECTOR:
			r = from_collector(s, p, &m);
			break;
		case PEER_RECOVERY:
			r = from_recovery(s, &m);
			break;
		default:
			r = BULLA_EPEER;
		}
		if (r < 0)
			log_error_code(r, "refused a message of type %u; its sender is cut off",
				       m.type);
	} else {
		r = -EPIPE;
	}
	if (r < 0)
		peer_drop(s, p);
}

static void on_connection(struct sealer *s, struct peer *listener)
{
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t size = sizeof peer;

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
	    (peer.uid != geteuid() && peer.uid != 0)) {
		log_warning("refused a connection of uid %u", peer.uid);
		close(fd);
		return;
	}
	peer_add(s, PEER_HOLDER, fd);
}

/* Starting. */

static int listen_on_socket(struct sealer *s)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" SEALER_SOCKET,
		 s->state.seal);
	unlinkat(s->state.seal, SEALER_SOCKET, 0);
	if (bind(fd, (struct sockaddr *) &address, sizeof address) < 0 || listen(fd, 128) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return peer_add(s, PEER_LISTENER, fd) ? 0 : -ENOMEM;
}

/* Hand every journal that is open and written by nobody to a process that may parse it; it has no key. */
static int start_recovery(struct sealer *s)
{
	const struct history *h = origin_history(s->origin);
	int pair[2] = { -1, -1 };
	bool any = false;
	struct peer *p;
	char fd_text[16];
	int r;

	for (uint32_t i = 0; i < history_n_journals(h) && !any; i++)
		any = !history_journal(h, i)->closed;
	if (!any)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	snprintf(fd_text, sizeof fd_text, "%d", pair[1]);
	r = role_spawn(
		"bulla-collector",
		(const char *const[]){ "--recover", fd_text, "--state", s->state.path, NULL },
		&pair[1], 1, NULL);
	close(pair[1]);
	p = r < 0 ? NULL : peer_add(s, PEER_RECOVERY, pair[0]);
	if (!p) {
		if (r < 0)
			close(pair[0]);
		return r < 0 ? r : -ENOMEM;
	}
	/* The socket's queue is short and the other side answers while it reads: send without blocking on it for ever. */
	for (uint32_t i = 0; i < history_n_journals(h); i++) {
		const struct ledger_journal *j = history_journal(h, i);
		struct message m = { .type = MESSAGE_RECOVER };

		if (j->closed)
			continue;
		m.journal.journal = j->id;
		m.journal.batches = j->batches;
		m.journal.entries = j->entries;
		m.journal.mono_offset = j->mono_offset;
		m.journal.identity = j->identity;
		for (int tries = 0; (r = message_send(p->fd, &m, -1)) == -EAGAIN && tries < 1000;
		     tries++) {
			while (p->fd >= 0 && !p->gone) {
				struct epoll_event e;

				if (epoll_wait(s->epoll, &e, 1, 10) != 1 || e.data.ptr != p)
					break;
				on_message(s, p);
			}
			if (p->gone)
				return BULLA_EPEER;
		}
		if (r < 0)
			return r;
	}
	shutdown(p->fd, SHUT_WR);
	return 0;
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
	r = origin_open(&s->origin, s->state.seal, s->state.ledger, &config);
	if (r == BULLA_EORDER)
		log_error("the key in %s does not belong to its ledger: one of them was replaced, "
			  "cut or restored; "
			  "sealing would hide that and is refused",
			  s->state.path);
	else if (r == -ENOENT)
		log_error("%s has a ledger but no key: sealing cannot go on", s->state.path);
	if (r < 0)
		return log_error_code(r, "cannot seal in %s", s->state.path);
	r = origin_begin(s->origin, clock_realtime_ns(), &unclean);
	if (r < 0)
		return log_error_code(r, "cannot begin to seal in %s", s->state.path);
	s->last_commit = clock_monotonic_ns();
	r = listen_on_socket(s);
	if (r < 0)
		return log_error_code(r, "cannot listen in %s/seal", s->state.path);
	r = start_recovery(s);
	if (r < 0)
		log_error_code(r, "cannot recover journals of an earlier run");
	return 0;
}

static int serve(struct sealer *s)
{
	for (;;) {
		struct epoll_event events[64];
		int timeout, n, r;

		r = run_due(s, &timeout);
		if (r < 0)
			return log_error_code(r, "sealing stops");
		if (told_to_stop)
			return 0;
		if (!s->stay && s->idle_since != 0 &&
		    clock_monotonic_ns() >= s->idle_since + IDLE_EXIT_MS * NS_PER_MS &&
		    s->n_events == 0)
			return 0;
		n = epoll_wait(s->epoll, events, ELEMENTS(events), timeout);
		if (n < 0 && errno != EINTR)
			return log_error_code(-errno, "cannot wait for messages");
		for (int i = 0; i < n; i++) {
			struct peer *p = events[i].data.ptr;

			if (p->gone)
				continue;
			if (p->kind == PEER_LISTENER)
				on_connection(s, p);
			else
				on_message(s, p);
		}
		peers_sweep(s);
	}
}

/* Nothing of the key in a core dump, under a debugger, or in a file that others read. */
static int protect(void)
{
	const struct rlimit none = { 0, 0 };

	umask(0027);
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return sodium_init() < 0 ? -EIO : 0;
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
	if (r < 0) {
		log_error_code(r, "cannot open %s", path);
		return 2;
	}
	s.lock = openat(s.state.seal, SEALER_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s.lock < 0 || flock(s.lock, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : 2;
	s.epoll = epoll_create1(EPOLL_CLOEXEC);
	signal(SIGTERM, on_stop);
	signal(SIGINT, SIG_IGN); /* Ctrl-C is for the command that is run. */
	signal(SIGHUP, SIG_IGN);
	r = become_sealer(&s);
	if (r >= 0)
		r = serve(&s);
	unlinkat(s.state.seal, SEALER_SOCKET, 0);
	if (r >= 0)
		r = origin_end(s.origin, clock_realtime_ns());
	origin_close(s.origin);
	state_close(&s.state);
	return r < 0 ? 2 : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Sealing: what is ready, and the events that wait, become one commit; when it is durable everybody is told.
 *
 * A ledger that cannot be written for want of space is tried again, once signed with the same bytes; nothing goes on before
 * that.  Any other failure ends the sealer: it must not go on from a state that it does not know.
 */

#include "collector/sealer-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "bulla/error.h"

enum { RETRY_MS = 500, ENTRY_WEIGHT = 16 };

/* Events. */

int commit_add_event(struct sealer *s, uint8_t kind, const struct wr *body,
		     const struct id *journal, struct peer *peer)
{
	struct waiting *w;

	if (s->n_events >= EVENTS_WAITING_MAX)
		return -EBUSY;
	if (s->n_events == s->events_cap) {
		size_t cap = s->events_cap ? 2 * s->events_cap : 16;
		struct waiting *more = reallocarray(s->events, cap, sizeof *more);

		if (!more)
			return -ENOMEM;
		s->events = more;
		s->events_cap = cap;
	}
	w = &s->events[s->n_events++];
	*w = (struct waiting){ .kind = kind, .peer = peer };
	if (journal)
		w->journal = *journal;
	if (body) {
		w->len = (uint16_t) body->len;
		memcpy(w->body, body->base, body->len);
	}
	ticks_by(&s->ticks, clock_monotonic_ns());
	return 0;
}

bool commit_waits(const struct sealer *s, uint8_t kind, const struct id *journal)
{
	for (size_t i = 0; i < s->n_events; i++)
		if (s->events[i].kind == kind && id_equal(&s->events[i].journal, journal))
			return true;
	return false;
}

void commit_forget_peer(struct sealer *s, const struct peer *p)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n_events; i++) {
		struct waiting *w = &s->events[i];

		/* The next collector of this journal closes it. */
		if (w->peer == p && w->kind == EVENT_CLOSE)
			continue;
		if (w->peer == p)
			w->peer = NULL;
		s->events[kept++] = *w;
	}
	s->n_events = kept;
}

/* Asking. */

void commit_ask(struct sealer *s)
{
	const struct message tick = { .type = MESSAGE_TICK };

	for (struct peer *p = s->peers; p; p = p->next) {
		if (p->kind != PEER_COLLECTOR || p->gone || !p->dirty || p->ready || p->closing)
			continue;
		/* One that still owes an answer to an earlier tick waits for its disk: the others do not wait for it. */
		if (p->told)
			continue;
		p->told = p->awaited = true;
		peer_tell(s, p, &tick);
	}
}

bool commit_answered(const struct sealer *s)
{
	for (const struct peer *p = s->peers; p; p = p->next)
		if (p->kind == PEER_COLLECTOR && !p->gone && p->awaited)
			return false;
	return true;
}

/* Telling. */

static void welcome(struct sealer *s, const struct id *journal)
{
	const struct history *h = origin_history(s->origin);
	int64_t handle = history_find_journal(h, journal);
	struct message m = { .type = MESSAGE_WELCOME };

	if (handle < 0)
		return;
	m.journal.journal = *journal;
	m.journal.batches = history_journal(h, (uint32_t) handle)->batches;
	m.journal.entries = history_journal(h, (uint32_t) handle)->entries;
	peer_tell(s, peer_collector(s, journal), &m);
}

/* What is told when an event is sealed; 0: nobody waits for it. */
static uint32_t reply_of(uint8_t kind)
{
	switch (kind) {
	case EVENT_OPEN:
		return MESSAGE_OPENED;
	case EVENT_CLOSE:
		return MESSAGE_CLOSED;
	case EVENT_PRUNE:
		return MESSAGE_PRUNED;
	default:
		return 0;
	}
}

/* To tell a peer may drop it, and that changes the list: so it is taken first. */
static void tell_events(struct sealer *s, size_t n)
{
	_cleanup_free_ struct waiting *events = TAKE_PTR(s->events);
	size_t waiting = s->n_events - n;

	/* Those that were not committed wait on. */
	s->n_events = s->events_cap = 0;
	if (waiting > 0) {
		s->events = reallocarray(NULL, waiting, sizeof *events);
		if (!s->events)
			abort(); /* a close that is forgotten would leave its journal open for good */
		memcpy(s->events, events + n, waiting * sizeof *events);
		s->n_events = s->events_cap = waiting;
	}
	for (size_t i = 0; i < n; i++) {
		const struct waiting *w = &events[i];
		struct message m = { .type = reply_of(w->kind) };

		if (m.type == 0)
			continue;
		m.journal.journal = w->journal;
		if (w->peer && !w->peer->gone)
			peer_tell(s, w->peer, &m);
		if (w->kind == EVENT_OPEN)
			welcome(s, &w->journal);
	}
}

static void tell_batches(struct sealer *s)
{
	for (struct peer *p = s->peers; p; p = p->next) {
		struct message m = { .type = MESSAGE_SEALED };

		if (p->kind != PEER_COLLECTOR || p->gone || !p->chosen)
			continue;
		p->ready = p->chosen = false;
		m.sealed.batch_no = p->batch_no;
		m.sealed.commit = history_size(origin_history(s->origin)) - 1;
		peer_tell(s, p, &m);
	}
}

/* Committing. */

static int write_it(struct sealer *s, struct batch_item *items, size_t n_items,
		    const struct event *events, size_t n_events, const volatile int *stop)
{
	uint64_t now = clock_now_stamp_ns();
	bool said = false;
	int r;

	for (;;) {
		if (origin_is_pending(s->origin))
			r = origin_retry(s->origin);
		else
			r = origin_commit(s->origin, now, items, n_items, events, n_events);
		if ((r != -ENOSPC && r != -EDQUOT) || *stop)
			break;
		if (!said)
			log_error_code(r, "cannot write the ledger; all sources wait");
		said = true;
		usleep(RETRY_MS * 1000);
	}
	if (said && r >= 0)
		log_info("there is space again; sealing goes on");
	return r;
}

/* What a commit may still hold: it travels as one piece, so its size has a limit. */
struct room {
	uint64_t left;
	bool any;
};

/* An entry weighs something even when its message is empty.  The first one always fits. */
static bool fits(struct room *room, const struct batch_item *i)
{
	uint64_t weight = i->bytes + (uint64_t) i->entries * ENTRY_WEIGHT;

	if (room->any && weight > room->left)
		return false;
	room->any = true;
	room->left -= MIN_OF(weight, room->left);
	return true;
}

/* Choose what goes into this commit; the rest is ready for the next.  @return how many items, the recovered ones last. */
static size_t choose(struct sealer *s, struct batch_item *items, size_t *ret_recovered)
{
	struct room room = { .left = COMMIT_SIZE_MAX };
	size_t n = 0, recovered = 0;

	for (struct peer *p = s->peers; p; p = p->next) {
		p->awaited = false;
		p->chosen =
			p->kind == PEER_COLLECTOR && !p->gone && p->ready && fits(&room, &p->item);
		if (p->chosen)
			items[n++] = p->item;
	}
	while (recovered < s->n_recovered && fits(&room, &s->recovered[recovered]))
		items[n++] = s->recovered[recovered++];
	*ret_recovered = recovered;
	return n;
}

static bool closes_left_out(const struct sealer *s, const struct waiting *w, size_t recovered)
{
	int64_t handle;

	if (w->kind != EVENT_CLOSE)
		return false;
	handle = history_find_journal(origin_history(s->origin), &w->journal);
	for (size_t i = recovered; i < s->n_recovered; i++)
		if (s->recovered[i].handle == handle)
			return true;
	return false;
}

/* Move the closes whose batch was left out behind all other events.  @return how many events are to be committed. */
static size_t choose_events(struct sealer *s, size_t recovered)
{
	size_t n = 0;

	if (recovered == s->n_recovered)
		return s->n_events;
	for (size_t i = 0; i < s->n_events; i++) {
		struct waiting w = s->events[i];

		if (closes_left_out(s, &w, recovered))
			continue;
		memmove(&s->events[n + 1], &s->events[n], (i - n) * sizeof w);
		s->events[n++] = w;
	}
	return n;
}

static size_t count_ready(const struct sealer *s)
{
	size_t n = s->n_recovered;

	for (const struct peer *p = s->peers; p; p = p->next)
		n += p->kind == PEER_COLLECTOR && !p->gone && p->ready;
	return n;
}

/* Who was asked and has not answered, or became dirty meanwhile, is asked at the next whole second. */
static void plan_next(struct sealer *s)
{
	uint64_t now = clock_monotonic_ns();

	for (const struct peer *p = s->peers; p; p = p->next)
		if (p->kind == PEER_COLLECTOR && !p->gone && p->dirty)
			ticks_by(&s->ticks, ticks_whole_second(now, clock_realtime_ns()));
}

int commit_now(struct sealer *s, const volatile int *stop)
{
	_cleanup_free_ struct batch_item *items = NULL;
	_cleanup_free_ struct event *events = NULL;
	size_t n = count_ready(s), n_events, recovered;
	int r;

	items = reallocarray(NULL, n + 1, sizeof *items);
	events = reallocarray(NULL, s->n_events + 1, sizeof *events);
	if (!items || !events)
		return -ENOMEM;
	n = choose(s, items, &recovered);
	n_events = choose_events(s, recovered);
	if (n == 0 && n_events == 0) {
		s->ticks.answers_by = 0;
		plan_next(s);
		return 0;
	}
	for (size_t i = 0; i < n_events; i++)
		events[i] =
			(struct event){ s->events[i].kind, s->events[i].len, s->events[i].body };
	r = write_it(s, items, n, events, n_events, stop);
	if (r < 0)
		return r;
	s->n_recovered -= recovered;
	if (s->n_recovered > 0 && recovered > 0)
		memmove(s->recovered, s->recovered + recovered,
			s->n_recovered * sizeof *s->recovered);
	ticks_committed(&s->ticks, clock_monotonic_ns());
	tell_batches(s);
	tell_events(s, n_events);
	plan_next(s);
	if (count_ready(s) > 0)
		ticks_by(&s->ticks, clock_monotonic_ns());
	return 0;
}

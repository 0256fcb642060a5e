/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What holders, the keeper, collectors and recovery ask of the sealer, and whether they may.
 *
 * Batches and closes are accepted only where they continue what the ledger has.  Of the three only holders are trusted with more
 * than their own journal: they are of the sealer's own user, which could do everything itself.
 */

#include "collector/sealer-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/role.h"
#include "bulla/error.h"

/* What the ledger has of a journal, or NULL. */
static const struct ledger_journal *known(const struct sealer *s, const struct id *id,
					  uint32_t *ret_handle)
{
	const struct history *h = origin_history(s->origin);
	int64_t handle = history_find_journal(h, id);

	if (handle < 0)
		return NULL;
	*ret_handle = (uint32_t) handle;
	return history_journal(h, (uint32_t) handle);
}

/* The recovered batch of a journal that waits to be committed, or NULL. */
static const struct batch_item *recovered_item(const struct sealer *s, uint32_t handle)
{
	for (size_t i = 0; i < s->n_recovered; i++)
		if (s->recovered[i].handle == handle)
			return &s->recovered[i];
	return NULL;
}

/* Holders. */

/* Give a journal's collector a channel; an earlier one is over, and what it had not yet got sealed with it. */
static int attach(struct sealer *s, struct peer *holder, const struct id *journal, int fd)
{
	struct peer *old = peer_collector(s, journal), *p;

	p = peer_add(s, PEER_COLLECTOR, fd);
	if (!p)
		return -ENOMEM;
	p->journal = holder->journal = *journal;
	if (old)
		peer_drop(s, old);
	return 0;
}

static bool is_same_open(const struct ledger_journal *j, const struct event_open *open)
{
	return hash_same(&j->identity, &open->identity) &&
	       id_equal(&j->previous, &open->previous) &&
	       hash_same(&j->seed_commitment, &open->seed_commitment);
}

/*
 * Who asks for what is open already has not heard the answer, and may attach.  Under another identity it is somebody else, or somebody
 * else was here before: nobody's lines go into a journal that says that they are another's.
 */
static int on_open(struct sealer *s, struct peer *holder, const struct message *m, int fd)
{
	_cleanup_close_ int channel = fd;
	uint8_t body[EVENT_BODY_MAX];
	struct wr w = wr_of(body, sizeof body);
	const struct ledger_journal *j;
	uint32_t handle;
	int r;

	j = known(s, &m->open.journal, &handle);
	if (j)
		return is_same_open(j, &m->open) ? -EEXIST : -EPERM;
	if (commit_waits(s, EVENT_OPEN, &m->open.journal))
		return -EEXIST;
	event_open_encode(&m->open, &w);
	r = commit_add_event(s, EVENT_OPEN, &w, &m->open.journal, holder);
	return r < 0 ? r : attach(s, holder, &m->open.journal, TAKE_FD(channel));
}

static int on_attach(struct sealer *s, struct peer *holder, const struct message *m, int fd)
{
	_cleanup_close_ int channel = fd;
	struct message reply = { .type = MESSAGE_ATTACHED }, hello = { .type = MESSAGE_WELCOME };
	const struct id *id = &m->journal.journal;
	const struct ledger_journal *j;
	uint32_t handle;
	int r;

	j = known(s, id, &handle);
	if (!j)
		return -ENOENT;
	if (j->closed)
		return -ESTALE;
	hello.journal.journal = reply.journal.journal = *id;
	r = attach(s, holder, id, TAKE_FD(channel));
	if (r < 0)
		return r;
	/* Of an earlier collector or of recovery, which the holder knows to be over. */
	if (recovered_item(s, handle) || commit_waits(s, EVENT_CLOSE, id))
		return -EBUSY;
	hello.journal.batches = j->batches;
	hello.journal.entries = j->entries;
	peer_tell(s, peer_collector(s, id), &hello);
	peer_tell(s, holder, &reply);
	return 0;
}

/* The keeper takes nothing away before the ledger says so. */
static int on_prune(struct sealer *s, struct peer *keeper, const struct message *m)
{
	struct event_prune prune = { m->journal.journal, m->journal.batches };
	uint8_t body[EVENT_BODY_MAX];
	struct wr w = wr_of(body, sizeof body);
	const struct ledger_journal *j;
	uint32_t handle;

	j = known(s, &prune.journal, &handle);
	if (!j)
		return -ENOENT;
	if (commit_waits(s, EVENT_PRUNE, &prune.journal))
		return -EBUSY;
	if (!history_can_prune(j, prune.batches))
		return BULLA_EORDER;
	event_prune_encode(&prune, &w);
	return commit_add_event(s, EVENT_PRUNE, &w, &prune.journal, keeper);
}

static int from_keeper(struct sealer *s, struct peer *p, const struct message *m)
{
	struct message refusal = { .type = MESSAGE_PRUNED };

	refusal.journal.journal = m->journal.journal;
	refusal.status = on_prune(s, p, m);
	if (refusal.status < 0)
		peer_tell(s, p, &refusal);
	return 0;
}

static int from_holder(struct sealer *s, struct peer *p, const struct message *m, int fd)
{
	struct message refusal = { .type = MESSAGE_OPENED };

	if (fd < 0 && m->type == MESSAGE_PRUNE)
		return from_keeper(s, p, m);
	if (fd < 0 || (m->type != MESSAGE_OPEN && m->type != MESSAGE_ATTACH)) {
		close_fd(&fd);
		return BULLA_EPEER;
	}
	if (m->type == MESSAGE_ATTACH)
		refusal.type = MESSAGE_ATTACHED;
	refusal.status = m->type == MESSAGE_OPEN ? on_open(s, p, m, fd) : on_attach(s, p, m, fd);
	if (refusal.status < 0)
		peer_tell(s, p, &refusal);
	return 0;
}

/* Collectors. */

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
	const struct ledger_journal *j = known(s, &m->batch.journal, ret_handle);
	struct id boot = history_boot(origin_history(s->origin));

	if (!j)
		return BULLA_EPEER;
	if (j->closed || m->batch.batch_no != j->batches || m->batch.first_seq != j->entries ||
	    m->batch.entries == 0 || m->batch.bytes > BATCH_SIZE_MAX + ENTRY_SIZE_MAX ||
	    m->batch.time_min > m->batch.time_max ||
	    (m->batch.entries == 1 && m->batch.time_min != m->batch.time_max) ||
	    root_is_absent(&m->batch.root))
		return BULLA_EORDER;
	return m->batch.recovered || id_equal(&j->boot, &boot) ? 0 : BULLA_EORDER;
}

static void on_dirty(struct sealer *s, struct peer *p, const struct message *m)
{
	uint64_t now = clock_monotonic_ns();
	bool hurry = m->dirty.urgency == URGENCY_SIZE ||
		     (m->dirty.urgency == URGENCY_ENTRY && ticks_allow(&p->allowance, now));

	p->dirty = true;
	ticks_by(&s->ticks, hurry ? now : ticks_whole_second(now, clock_realtime_ns()));
}

static int on_batch(struct sealer *s, struct peer *p, const struct message *m)
{
	uint32_t handle;
	int r;

	if (!id_equal(&m->batch.journal, &p->journal) || p->ready || p->closing ||
	    m->batch.recovered)
		return BULLA_EPEER;
	r = check_continuation(s, m, &handle);
	if (r < 0)
		return r;
	p->item = item_of(m, handle);
	p->batch_no = m->batch.batch_no;
	p->ready = true;
	p->dirty = p->told = p->awaited = false;
	if (s->ticks.answers_by == 0)
		ticks_by(&s->ticks, clock_monotonic_ns());
	return 0;
}

static int add_close(struct sealer *s, const struct message *m, uint64_t batches, uint64_t entries,
		     struct peer *p)
{
	struct event_close close_it = { m->journal.journal, batches, entries };
	uint8_t body[EVENT_BODY_MAX];
	struct wr w = wr_of(body, sizeof body);

	if (m->journal.batches != batches || m->journal.entries != entries)
		return BULLA_EORDER;
	event_close_encode(&close_it, &w);
	return commit_add_event(s, EVENT_CLOSE, &w, &m->journal.journal, p);
}

static int on_close(struct sealer *s, struct peer *p, const struct message *m)
{
	const struct ledger_journal *j;
	uint32_t handle;
	int r;

	/* With all sealed: so that the close stands, whatever becomes of its sender. */
	if (!id_equal(&m->journal.journal, &p->journal) || p->closing || p->ready)
		return BULLA_EPEER;
	j = known(s, &p->journal, &handle);
	if (!j || j->closed)
		return BULLA_EPEER;
	r = add_close(s, m, j->batches, j->entries, p);
	if (r < 0)
		return r;
	p->closing = true;
	p->dirty = p->told = p->awaited = false;
	return 0;
}

static int from_collector(struct sealer *s, struct peer *p, const struct message *m)
{
	switch (m->type) {
	case MESSAGE_DIRTY:
		on_dirty(s, p, m);
		return 0;
	case MESSAGE_NOTHING:
		p->dirty = p->told = p->awaited = false;
		return 0;
	case MESSAGE_BATCH:
		return on_batch(s, p, m);
	case MESSAGE_CLOSE:
		return on_close(s, p, m);
	default:
		return BULLA_EPEER;
	}
}

/* Recovery: batch and close of journals that nobody writes any more.  It reads what a crash has left, and is not believed. */

static int on_recovered_batch(struct sealer *s, const struct message *m)
{
	uint32_t handle;
	int r;

	if (!m->batch.recovered || peer_collector(s, &m->batch.journal) ||
	    commit_waits(s, EVENT_CLOSE, &m->batch.journal))
		return BULLA_EPEER;
	r = check_continuation(s, m, &handle);
	if (r < 0)
		return r;
	if (recovered_item(s, handle))
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
	ticks_by(&s->ticks, clock_monotonic_ns());
	return 0;
}

static int on_recovered_close(struct sealer *s, const struct message *m)
{
	const struct batch_item *item;
	const struct ledger_journal *j;
	uint32_t handle;

	j = known(s, &m->journal.journal, &handle);
	if (!j || j->closed || peer_collector(s, &j->id) || commit_waits(s, EVENT_CLOSE, &j->id))
		return BULLA_EPEER;
	item = recovered_item(s, handle);
	return add_close(s, m, j->batches + (item != NULL), j->entries + (item ? item->entries : 0),
			 NULL);
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

static bool is_abandoned(struct sealer *s, const struct ledger_journal *j)
{
	return !j->closed && !peer_collector(s, &j->id) && !commit_waits(s, EVENT_CLOSE, &j->id);
}

void request_recovery_more(struct sealer *s, struct peer *p)
{
	const struct history *h = origin_history(s->origin);

	for (; p->cursor < history_n_journals(h); p->cursor++) {
		const struct ledger_journal *j = history_journal(h, p->cursor);
		struct message m = { .type = MESSAGE_RECOVER };
		int r;

		if (!is_abandoned(s, j))
			continue;
		m.journal.journal = j->id;
		m.journal.batches = j->batches;
		m.journal.entries = j->entries;
		m.journal.mono_offset = j->mono_offset;
		m.journal.identity = j->identity;
		r = message_send(p->fd, &m, -1);
		if (r == -EAGAIN)
			r = peer_watch_writing(s, p, true);
		else if (r >= 0)
			continue;
		if (r < 0)
			peer_drop(s, p);
		return;
	}
	/* That was all; it answers, and ends. */
	if (peer_watch_writing(s, p, false) < 0 || shutdown(p->fd, SHUT_WR) < 0)
		peer_drop(s, p);
}

int request_recovery(struct sealer *s)
{
	const struct history *h = origin_history(s->origin);
	int pair[2] = { -1, -1 }, r;
	bool any = false;
	struct peer *p;
	char fd_text[16];

	for (uint32_t i = 0; i < history_n_journals(h) && !any; i++)
		any = is_abandoned(s, history_journal(h, i));
	if (!any || s->recovering)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	snprintf(fd_text, sizeof fd_text, "%d", pair[1]);
	r = role_spawn(
		"bulla-collector",
		(const char *const[]){ "--recover", fd_text, "--state", s->state.path, NULL },
		&pair[1], 1, NULL);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	p = peer_add(s, PEER_RECOVERY, pair[0]);
	if (!p)
		return -ENOMEM;
	request_recovery_more(s, p);
	return 0;
}

void request_receive(struct sealer *s, struct peer *p)
{
	_cleanup_close_ int fd = -1;
	struct message m;
	int r;

	r = message_receive(p->fd, MSG_DONTWAIT, &m, &fd);
	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		peer_drop(s, p);
		return;
	}
	if (p->kind == PEER_HOLDER)
		r = from_holder(s, p, &m, TAKE_FD(fd));
	else if (p->kind == PEER_COLLECTOR)
		r = from_collector(s, p, &m);
	else
		r = from_recovery(s, &m);
	if (r < 0) {
		log_error_code(r, "refused a message of type %u; its sender is cut off", m.type);
		peer_drop(s, p);
	}
}

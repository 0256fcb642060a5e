/* SPDX-License-Identifier: Apache-2.0 */

/** The sealer's connections: a list, freed only between rounds of events, which may still point at one that is gone. */

#include "collector/sealer-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"

struct peer *peer_add(struct sealer *s, enum peer_kind kind, int fd)
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
	p->allowance = (struct allowance){ TICKS_BURST, clock_monotonic_ns() };
	p->next = s->peers;
	s->peers = p;
	s->n_connected += kind != PEER_LISTENER;
	s->recovering |= kind == PEER_RECOVERY;
	return p;
}

/* A journal that was let go of unclosed: somebody comes back for it, or recovery has a look. */
static bool is_orphaned(struct sealer *s, const struct peer *p)
{
	const struct history *h = origin_history(s->origin);
	int64_t handle;

	if (p->kind != PEER_HOLDER && p->kind != PEER_COLLECTOR)
		return false;
	if (peer_collector(s, &p->journal))
		return false;
	handle = history_find_journal(h, &p->journal);
	return handle >= 0 ? !history_journal(h, (uint32_t) handle)->closed
			   : commit_waits(s, EVENT_OPEN, &p->journal);
}

void peer_drop(struct sealer *s, struct peer *p)
{
	if (p->gone)
		return;
	/* To close is not enough: who has a copy of this end keeps it in the epoll set, with a pointer to what is freed. */
	epoll_ctl(s->epoll, EPOLL_CTL_DEL, p->fd, NULL);
	close_fd(&p->fd);
	p->gone = true;
	s->n_connected -= p->kind != PEER_LISTENER;
	if (p->kind == PEER_RECOVERY)
		s->recovering = false;
	commit_forget_peer(s, p);
	if (is_orphaned(s, p) && s->ticks.recover_at == 0)
		s->ticks.recover_at = clock_monotonic_ns() + TICKS_ORPHAN_MS * NS_PER_MS;
}

void peer_sweep(struct sealer *s)
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

void peer_done(struct sealer *s)
{
	while (s->peers) {
		struct peer *p = s->peers;

		s->peers = p->next;
		close_fd(&p->fd);
		free(p);
	}
}

void peer_tell(struct sealer *s, struct peer *p, const struct message *m)
{
	if (p && !p->gone && message_send(p->fd, m, -1) < 0)
		peer_drop(s, p);
}

struct peer *peer_collector(struct sealer *s, const struct id *journal)
{
	for (struct peer *p = s->peers; p; p = p->next)
		if (p->kind == PEER_COLLECTOR && !p->gone && id_equal(&p->journal, journal))
			return p;
	return NULL;
}

int peer_watch_writing(struct sealer *s, struct peer *p, bool writing)
{
	struct epoll_event e = { .events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = p };

	return epoll_ctl(s->epoll, EPOLL_CTL_MOD, p->fd, &e) < 0 ? -errno : 0;
}

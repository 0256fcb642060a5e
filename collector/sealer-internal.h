/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_SEALER_INTERNAL_H
#define BULLA_COLLECTOR_SEALER_INTERNAL_H

/**
 * What the parts of the sealer share: its state.
 *
 * sealer.c starts and loops; peers.c keeps connections; requests.c judges what they say; commits.c seals.  When is ticks.h's.
 *
 * Invariant: whatever a peer is allowed to leave here can be committed.  The ledger would refuse a commit as a whole, and with it
 * everybody's: so every rule of seal/history.h that a message could break is checked when the message comes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "collector/message.h"
#include "collector/ticks.h"
#include "seal/origin.h"
#include "store/state.h"

enum { EVENT_BODY_MAX = 160, EVENTS_WAITING_MAX = EVENTS_MAX - 2 };

enum peer_kind { PEER_LISTENER, PEER_HOLDER, PEER_COLLECTOR, PEER_RECOVERY };

/* One connection. */
struct peer {
	enum peer_kind kind;
	int fd;
	struct peer *next; /* in the sealer's list */
	bool gone;	   /* to be freed after this round of events */
	/* Of a collector. */
	struct id journal;
	bool dirty;   /* has entries to seal */
	bool told;    /* of a tick, and has not answered yet */
	bool awaited; /* by the tick at hand */
	bool ready;   /* item is to be committed */
	bool chosen;  /* into the commit that is being made */
	bool closing; /* a close waits, and nothing comes after it */
	struct allowance allowance;
	struct batch_item item;
	uint64_t batch_no;
	/* Of recovery: the next journal to be named to it. */
	uint32_t cursor;
};

/* An event that waits for the next commit, and who is to be told. */
struct waiting {
	uint8_t kind;
	uint16_t len;
	uint8_t body[EVENT_BODY_MAX];
	struct id journal;
	struct peer *peer; /* or NULL */
};

struct sealer {
	struct state state;
	struct origin *origin;
	int epoll, lock;
	struct peer *peers;
	unsigned n_connected; /* without the listener */
	bool recovering;
	struct waiting *events;
	size_t n_events, events_cap;
	/* Batches of journals that recovery closes; they come without a channel. */
	struct batch_item *recovered;
	size_t n_recovered, recovered_cap;
	struct ticks ticks;
	bool stay; /* also when nobody is connected */
};

/* peers.c */

/** Take a connection (closed on failure).  @return NULL without memory. */
_must_check_ struct peer *peer_add(struct sealer *s, enum peer_kind kind, int fd);
/** Close a connection; what it had not got committed is forgotten, but that a journal is to be opened. */
void peer_drop(struct sealer *s, struct peer *p);
/** Free those that are gone. */
void peer_sweep(struct sealer *s);
/** Free all. */
void peer_done(struct sealer *s);
/** Send without waiting: a peer whose queue is full does not read, and is dropped.  NULL is nobody. */
void peer_tell(struct sealer *s, struct peer *p, const struct message *m);
/** The collector of a journal, or NULL. */
struct peer *peer_collector(struct sealer *s, const struct id *journal);
/** Have epoll say when a peer can be written to, too. */
_must_check_ int peer_watch_writing(struct sealer *s, struct peer *p, bool writing);

/* requests.c */

/** Read one message of a peer and do what it asks; who breaks the protocol is dropped. */
void request_receive(struct sealer *s, struct peer *p);
/** Start a process that closes the journals which nobody writes any more. */
_must_check_ int request_recovery(struct sealer *s);
/** Name further journals to it, as many as its queue takes. */
void request_recovery_more(struct sealer *s, struct peer *p);

/* commits.c */

/** Have an event in the next commit.  @return 0, -ENOMEM, or -EBUSY when too many wait: commit first. */
_must_check_ int commit_add_event(struct sealer *s, uint8_t kind, const struct wr *body,
				  const struct id *journal, struct peer *peer);
/** Whether an event of this kind waits for a journal. */
bool commit_waits(const struct sealer *s, uint8_t kind, const struct id *journal);
/** Forget a peer's closes; its other events stay, and nobody is told. */
void commit_forget_peer(struct sealer *s, const struct peer *p);
/** Ask all who have something to seal. */
void commit_ask(struct sealer *s);
/** Whether all have answered. */
bool commit_answered(const struct sealer *s);
/** Seal what there is, and tell everybody.  `stop` may interrupt the wait for space. */
_must_check_ int commit_now(struct sealer *s, const volatile int *stop);

#endif

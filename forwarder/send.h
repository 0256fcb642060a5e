/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_FORWARDER_SEND_H
#define BULLA_FORWARDER_SEND_H

/**
 * The sending end, as a pure step: what happened goes in, what to do next comes out.
 *
 * The aggregator's head is the only progress state there is.  Nothing is remembered across restarts: whoever starts asks.
 *
 *	ASK ──head──▶ SEND ──201──▶ SEND ... until all is there, then IDLE ──more──▶ SEND
 *	any lost connection, 5xx ──▶ wait (doubling, with jitter) ──▶ ASK      409 ──▶ STOP      412 ──▶ ASK
 *
 * Waits grow until something is accepted, or nothing is left to send: a peer that answers and takes nothing is not asked
 * more often than one that does not answer.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

enum send_event {
	SEND_START,
	SEND_HEAD,     /* GET answered: `head` is the number of commits the aggregator has */
	SEND_ACCEPTED, /* 201 */
	SEND_REWIND,   /* 412 */
	SEND_FORK,     /* 409 */
	SEND_CONTEXTS, /* 424 */
	SEND_REFUSED,  /* 422 */
	SEND_OVERLOAD, /* 503; `retry_ms` is what it asked for, or 0 */
	SEND_LOST,     /* no answer */
	SEND_WAITED,   /* the time of SEND_DO_WAIT is over */
	SEND_MORE,     /* the ledger is `size` long, perhaps as long as before */
};

enum send_action {
	SEND_DO_ASK,
	SEND_DO_PUT,	/* commits from sender.next on */
	SEND_DO_WAIT,	/* sender.wait_ms */
	SEND_DO_IDLE,	/* until there is more */
	SEND_DO_STOP,	/* two histories of one origin: a person must look */
	SEND_DO_BEHIND, /* the aggregator has more than we: our end was cut off, a person must look */
	SEND_DO_FINISH, /* all is there, and that was asked for */
};

enum { SEND_WAIT_MIN_MS = 100, SEND_WAIT_MAX_MS = 30000, SEND_REFUSALS_MAX = 3 };

struct sender {
	uint64_t next; /* first commit to send */
	uint64_t size; /* commits in our ledger */
	bool once;     /* finish when all is there */
	bool full;     /* the next PUT tells all contexts and seeds again */
	bool careful;  /* the next PUT leaves out batches that do not verify here */
	bool known;    /* `next` is what the aggregator said */
	uint32_t wait_ms, backoff_ms;
	uint32_t jitter;	    /* state of the generator; any seed */
	unsigned refusals, rewinds; /* since the last progress */
};

struct send_input {
	enum send_event event;
	uint64_t head;
	uint64_t size;
	uint32_t retry_ms;
};

_must_check_ enum send_action sender_step(struct sender *s, const struct send_input *in);

#endif

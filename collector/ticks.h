/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_TICKS_H
#define BULLA_COLLECTOR_TICKS_H

/**
 * When a sealer does what: pure, all times are arguments.  Monotonic nanoseconds; 0 means never.
 *
 * Ticks lie on whole seconds of the wall clock; at once when somebody waits, a batch is large or an entry important; never less
 * than TICK_MIN_MS apart.  Important entries hurry only within an allowance per journal, so that no container can burn keys.
 *
 *	dirty --tick--> asked --answers, or ANSWER_MS--> commit
 */

#include <stdbool.h>
#include <stdint.h>

enum {
	TICKS_MIN_MS = 10,
	TICKS_ANSWER_MS = 200,
	TICKS_HEARTBEAT_S = 60,
	TICKS_IDLE_MS = 300, /* without anybody connected, before a sealer on demand leaves */
	TICKS_BURST = 10,    /* ticks that a journal's important entries may hurry at once... */
	TICKS_PER_S = 5,     /* ...and how fast that grows back */
	TICKS_ORPHAN_MS =
		1000, /* a journal whose collector is gone gets another one by then, or recovery has a look */
};

struct ticks {
	uint64_t tick_at;
	uint64_t last_tick;
	uint64_t answers_by; /* a tick has asked and waits until then */
	uint64_t last_commit;
	uint64_t idle_since; /* nobody is connected */
	uint64_t recover_at;
};

/** What a journal's important entries may still hurry. */
struct allowance {
	double left;
	uint64_t at;
};

/** The first whole second of the wall clock after `now`, which on it is `realtime`. */
uint64_t ticks_whole_second(uint64_t now, uint64_t realtime);
/** Have a tick at `at`, or sooner if there is to be one. */
void ticks_by(struct ticks *t, uint64_t at);
/** Take one from an allowance.  @return false when there is none left. */
bool ticks_allow(struct allowance *a, uint64_t now);

enum ticks_due {
	TICKS_NOTHING,
	TICKS_ASK,	 /* a tick: ask, then ticks_asked() */
	TICKS_COMMIT,	 /* answers are in, or late: commit, then ticks_committed() */
	TICKS_HEARTBEAT, /* nothing was committed for long */
	TICKS_RECOVER,	 /* look after journals that nobody writes any more, then set recover_at */
	TICKS_LEAVE,	 /* nobody has been here for a while */
};

/** What to do at `now`.  `answered`: nobody who was asked is still to answer; `connected`: somebody is. */
enum ticks_due ticks_due(const struct ticks *t, uint64_t now, bool answered, bool connected);
void ticks_asked(struct ticks *t, uint64_t now);
void ticks_committed(struct ticks *t, uint64_t now);
/** Note whether anybody is connected. */
void ticks_connected(struct ticks *t, uint64_t now, bool connected);
/** Milliseconds until something may be due, rounded up; -1: only a message changes anything. */
int ticks_timeout(const struct ticks *t, uint64_t now, bool connected);

#endif

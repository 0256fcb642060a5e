/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/ticks.h"

#include <assert.h>
#include <limits.h>

#include "base/attr.h"
#include "base/clock.h"

uint64_t ticks_whole_second(uint64_t now, uint64_t realtime)
{
	return now + NS_PER_S - realtime % NS_PER_S;
}

void ticks_by(struct ticks *t, uint64_t at)
{
	at = MAX_OF(at, t->last_tick + TICKS_MIN_MS * NS_PER_MS);
	if (t->tick_at == 0 || at < t->tick_at)
		t->tick_at = at;
}

bool ticks_allow(struct allowance *a, uint64_t now)
{
	assert(now >= a->at);
	a->left += (double) (now - a->at) / (double) NS_PER_S * TICKS_PER_S;
	a->left = MIN_OF(a->left, (double) TICKS_BURST);
	a->at = now;
	if (a->left < 1)
		return false;
	a->left -= 1;
	return true;
}

static bool passed(uint64_t at, uint64_t now)
{
	return at != 0 && at <= now;
}

enum ticks_due ticks_due(const struct ticks *t, uint64_t now, bool answered, bool connected)
{
	if (t->answers_by != 0)
		return answered || t->answers_by <= now ? TICKS_COMMIT : TICKS_NOTHING;
	if (passed(t->tick_at, now))
		return TICKS_ASK;
	if (passed(t->recover_at, now))
		return TICKS_RECOVER;
	if (connected && t->tick_at == 0 && now - t->last_commit >= TICKS_HEARTBEAT_S * NS_PER_S)
		return TICKS_HEARTBEAT;
	/* What is to be committed comes before leaving. */
	if (t->idle_since != 0 && t->tick_at == 0 && t->recover_at == 0 &&
	    now - t->idle_since >= TICKS_IDLE_MS * NS_PER_MS)
		return TICKS_LEAVE;
	return TICKS_NOTHING;
}

void ticks_asked(struct ticks *t, uint64_t now)
{
	t->tick_at = 0;
	t->last_tick = now;
	t->answers_by = now + TICKS_ANSWER_MS * NS_PER_MS;
}

void ticks_committed(struct ticks *t, uint64_t now)
{
	t->answers_by = 0;
	t->last_commit = now;
}

void ticks_connected(struct ticks *t, uint64_t now, bool connected)
{
	if (connected)
		t->idle_since = 0;
	else if (t->idle_since == 0)
		t->idle_since = now;
}

int ticks_timeout(const struct ticks *t, uint64_t now, bool connected)
{
	uint64_t next = UINT64_MAX, ms;

	if (t->answers_by != 0) {
		next = t->answers_by;
	} else {
		if (t->tick_at != 0)
			next = t->tick_at;
		if (t->recover_at != 0)
			next = MIN_OF(next, t->recover_at);
		/* As ticks_due() has it: what comes first is not to be overtaken, or the wait would be none. */
		if (connected && t->tick_at == 0)
			next = MIN_OF(next, t->last_commit + TICKS_HEARTBEAT_S * NS_PER_S);
		if (t->idle_since != 0 && t->tick_at == 0 && t->recover_at == 0)
			next = MIN_OF(next, t->idle_since + TICKS_IDLE_MS * NS_PER_MS);
	}
	if (next == UINT64_MAX)
		return -1;
	if (next <= now)
		return 0;
	ms = (next - now + NS_PER_MS - 1) / NS_PER_MS;
	return ms > INT_MAX ? INT_MAX : (int) ms;
}

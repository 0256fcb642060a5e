/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A sealer's day: when it asks, commits, beats, recovers and leaves, told by a clock that is turned by hand.
 */

#include "collector/ticks.h"

#include "tests/harness.h"

#include "base/attr.h"
#include "base/clock.h"

Suite(ticks);

static const uint64_t start = 1000 * NS_PER_S;

Test(ticks, whole_seconds_are_the_wall_clocks)
{
	cr_expect(eq(u64, ticks_whole_second(start, 5 * NS_PER_S + 1), start + NS_PER_S - 1));
	cr_expect(eq(u64, ticks_whole_second(start, 5 * NS_PER_S), start + NS_PER_S));
	cr_expect(eq(u64, ticks_whole_second(start, 6 * NS_PER_S - 1), start + 1));
}

Test(ticks, the_soonest_wish_wins)
{
	struct ticks t = { .last_commit = start };

	ticks_by(&t, start + 500);
	ticks_by(&t, start + 900);
	cr_expect(eq(u64, t.tick_at, start + 500));
	ticks_by(&t, start + 100);
	cr_expect(eq(u64, t.tick_at, start + 100));
}

Test(ticks, are_never_closer_than_the_least_distance)
{
	struct ticks t = { .last_commit = start };

	ticks_asked(&t, start);
	ticks_committed(&t, start);
	ticks_by(&t, start + 1);
	cr_expect(eq(u64, t.tick_at, start + TICKS_MIN_MS * NS_PER_MS));
}

Test(ticks, a_tick_asks_waits_and_commits)
{
	struct ticks t = { .last_commit = start };

	ticks_by(&t, start + 10);
	cr_expect(eq(int, ticks_due(&t, start + 9, true, true), TICKS_NOTHING));
	cr_expect(eq(int, ticks_due(&t, start + 10, true, true), TICKS_ASK));
	ticks_asked(&t, start + 10);
	cr_expect(eq(int, ticks_due(&t, start + 11, false, true), TICKS_NOTHING));
	cr_expect(eq(int, ticks_due(&t, start + 11, true, true), TICKS_COMMIT));
	/* Those who are silent are waited for so long. */
	cr_expect(eq(int, ticks_timeout(&t, start + 10, true), TICKS_ANSWER_MS));
	cr_expect(eq(int, ticks_due(&t, start + 10 + TICKS_ANSWER_MS * NS_PER_MS, false, true),
		     TICKS_COMMIT));
	ticks_committed(&t, start + 20);
	cr_expect(eq(int, ticks_due(&t, start + 21, true, true), TICKS_NOTHING));
}

Test(ticks, a_wish_during_a_tick_is_the_next_tick)
{
	struct ticks t = { .last_commit = start };

	ticks_by(&t, start);
	ticks_asked(&t, start);
	ticks_by(&t, start + 1);
	cr_expect(eq(int, ticks_due(&t, start + 2, true, true), TICKS_COMMIT));
	ticks_committed(&t, start + 2);
	cr_expect(eq(int, ticks_due(&t, start + 3, true, true), TICKS_NOTHING));
	cr_expect(eq(int, ticks_due(&t, start + TICKS_MIN_MS * NS_PER_MS, true, true), TICKS_ASK));
}

Test(ticks, a_heart_beats_only_for_somebody)
{
	struct ticks t = { .last_commit = start };
	uint64_t later = start + TICKS_HEARTBEAT_S * NS_PER_S;

	cr_expect(eq(int, ticks_due(&t, later - 1, true, true), TICKS_NOTHING));
	cr_expect(eq(int, ticks_due(&t, later, true, true), TICKS_HEARTBEAT));
	cr_expect(eq(int, ticks_due(&t, later, true, false), TICKS_NOTHING));
	cr_expect(eq(int, ticks_timeout(&t, start, true), TICKS_HEARTBEAT_S * 1000));
	/* Once: the event that it adds asks for a tick. */
	ticks_by(&t, later);
	cr_expect(eq(int, ticks_due(&t, later, true, true), TICKS_ASK));
}

Test(ticks, it_leaves_when_nobody_came_for_a_while)
{
	struct ticks t = { .last_commit = start };
	uint64_t idle = TICKS_IDLE_MS * NS_PER_MS;

	ticks_connected(&t, start, false);
	ticks_connected(&t, start + 5, false);
	cr_expect(eq(int, ticks_due(&t, start + idle - 1, true, false), TICKS_NOTHING));
	cr_expect(eq(int, ticks_due(&t, start + idle, true, false), TICKS_LEAVE));
	cr_expect(eq(int, ticks_timeout(&t, start, false), TICKS_IDLE_MS));
	ticks_connected(&t, start + 6, true);
	cr_expect(eq(int, ticks_due(&t, start + idle, true, true), TICKS_NOTHING));
	ticks_connected(&t, start + 7, false);
	cr_expect(eq(int, ticks_due(&t, start + idle, true, false), TICKS_NOTHING));
	cr_expect(eq(int, ticks_due(&t, start + idle + 7, true, false), TICKS_LEAVE));
}

Test(ticks, nothing_is_left_undone_by_leaving)
{
	struct ticks t = { .last_commit = start };
	uint64_t later = start + NS_PER_S;

	ticks_connected(&t, start, false);
	t.recover_at = later + 5;
	cr_expect(eq(int, ticks_due(&t, later, true, false), TICKS_NOTHING));
	cr_expect(eq(int, ticks_due(&t, later + 5, true, false), TICKS_RECOVER));
	t.recover_at = 0;
	ticks_by(&t, later + 9);
	cr_expect(eq(int, ticks_due(&t, later + 8, true, false), TICKS_NOTHING));
	cr_expect(eq(int, ticks_due(&t, later + 9, true, false), TICKS_ASK));
}

Test(ticks, an_allowance_is_spent_and_grows_back)
{
	struct allowance a = { TICKS_BURST, start };
	unsigned n = 0;

	while (n < 1000 && ticks_allow(&a, start))
		n++;
	cr_expect(eq(uint, n, TICKS_BURST));
	cr_expect(not(ticks_allow(&a, start + NS_PER_S / TICKS_PER_S - NS_PER_MS)));
	cr_expect(ticks_allow(&a, start + NS_PER_S / TICKS_PER_S + NS_PER_MS));
	for (n = 0; ticks_allow(&a, start + 1000 * NS_PER_S); n++)
		;
	cr_expect(eq(uint, n, TICKS_BURST), "a burst is the most that gathers");
}

/* Whatever happens, a sealer that waits as long as it is told to neither spins nor sleeps through what is due. */
Test(ticks, the_timeout_reaches_what_is_due)
{
	uint64_t seed = 5, now = start;
	struct ticks t = { .last_commit = start };
	unsigned asked = 0, idle = 0;

	for (int round = 0; round < 100000; round++) {
		bool connected = random_u64(&seed) % 8 != 0, answered = random_u64(&seed) % 2;
		enum ticks_due due;
		int timeout;

		ticks_connected(&t, now, connected);
		if (random_u64(&seed) % 4 == 0)
			ticks_by(&t, now + random_u64(&seed) % NS_PER_S);
		due = ticks_due(&t, now, answered, connected);
		if (due == TICKS_ASK) {
			cr_assert(asked == 0 || now - t.last_tick >= TICKS_MIN_MS * NS_PER_MS);
			ticks_asked(&t, now);
			asked++;
		} else if (due == TICKS_COMMIT) {
			ticks_committed(&t, now);
		} else if (due == TICKS_HEARTBEAT) {
			ticks_by(&t, now);
		}
		timeout = ticks_timeout(&t, now, connected);
		idle = due == TICKS_NOTHING && timeout == 0 ? idle + 1 : 0;
		cr_assert(lt(uint, idle, 2), "round %d: it spins", round);
		now += timeout < 0 ? NS_PER_S : (uint64_t) timeout * NS_PER_MS / (1 + round % 3);
	}
	cr_expect(gt(uint, asked, 1000));
}

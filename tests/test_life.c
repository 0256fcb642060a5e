/* SPDX-License-Identifier: Apache-2.0 */

/** When a host was silent, and when it broke off: of made-up commits, and as verify tells it of a ledger. */

#include "store/life.h"

#include "tests/builder.h"
#include "tests/harness.h"

#include <string.h>

#include "base/clock.h"

Suite(life);

static struct life life;
static struct verified verdict;

/* A commit at a second, with an event; "up" is clean, "UP" is not. */
static void take(uint64_t number, uint64_t second, const char *what)
{
	uint8_t body[64];
	struct wr w = wr_of(body, sizeof body);
	struct event event = { .body = body };
	struct commit c = { .number = number, .time_ns = second * NS_PER_S, .events = &event };

	if (strcmp(what, "up") == 0 || strcmp(what, "UP") == 0) {
		event_up_encode(&(struct event_up){ .unclean = *what == 'U' }, &w);
		event.kind = EVENT_UP;
	} else if (strcmp(what, "down") == 0)
		event.kind = EVENT_DOWN;
	else if (strcmp(what, "rekey") == 0) {
		event_rekey_encode(&(struct event_rekey){ .public_key = { (uint8_t) number } }, &w);
		event.kind = EVENT_REKEY;
	}
	event.len = (uint16_t) w.len;
	c.n_events = event.kind != 0;
	life_take(&life, &c);
}

Test(life, silence_is_more_than_two_minutes_between_commits_of_one_run)
{
	take(0, 1000, "up");
	take(1, 1120, "");
	cr_expect(zero(u64, life.silences.counted));
	take(2, 1241, "");
	cr_expect(eq(u64, life.silences.counted, 1));
	cr_expect(eq(u64, life.silences.at[0].from_ns, 1120 * NS_PER_S));
	cr_expect(eq(u64, life.silences.at[0].to_ns, 1241 * NS_PER_S));
	cr_expect(eq(u64, life.silences.at[0].commit, 2));
	cr_expect(eq(u64, life.silences.total_ns, 121 * NS_PER_S));
	/* The clock was put back. */
	take(3, 100, "");
	cr_expect(eq(u64, life.silences.counted, 1));
}

Test(life, a_host_that_stopped_is_not_silent)
{
	take(0, 1000, "up");
	take(1, 1010, "down");
	cr_expect(not(life.up));
	take(2, 90000, "up");
	cr_expect(life.up);
	cr_expect(zero(u64, life.silences.counted));
	cr_expect(zero(u64, life.restarts.counted));
}

Test(life, a_host_that_broke_off_is_told_of)
{
	take(0, 1000, "up");
	take(1, 1010, "");
	take(2, 5000, "UP");
	cr_expect(zero(u64, life.silences.counted));
	cr_expect(eq(u64, life.restarts.counted, 1));
	cr_expect(eq(u64, life.restarts.at[0].from_ns, 1010 * NS_PER_S));
	cr_expect(eq(u64, life.restarts.at[0].to_ns, 5000 * NS_PER_S));
}

Test(life, of_many_the_newest_are_kept_and_all_are_counted)
{
	take(0, 0, "up");
	for (uint64_t i = 1; i <= 3 * LIFE_TOLD; i++)
		take(i, 1000 * i, i % 2 ? "rekey" : "");
	cr_expect(eq(u64, life.silences.counted, 3 * LIFE_TOLD));
	cr_expect(eq(u32, life.silences.n, LIFE_TOLD));
	cr_expect(eq(u64, life.silences.at[0].commit, 2 * LIFE_TOLD + 1));
	cr_expect(eq(u64, life.silences.at[LIFE_TOLD - 1].commit, 3 * LIFE_TOLD));
	cr_expect(eq(u64, life.silences.total_ns, 3 * LIFE_TOLD * 1000 * NS_PER_S));
	cr_expect(eq(u64, life.keys_counted, 3 * LIFE_TOLD / 2));
	cr_expect(eq(u32, life.n_keys, LIFE_TOLD));
	/* A key seals from the next commit on. */
	cr_expect(eq(u64, life.keys[LIFE_TOLD - 1].commit, 3 * LIFE_TOLD));
	cr_expect(eq(u32, life.keys[LIFE_TOLD - 1].public_key[0], 3 * LIFE_TOLD - 1));
}

Test(life, verify_tells_it)
{
	struct builder b;
	struct vkey pin;
	size_t web;

	builder_init(&b, tempdir(), (struct kes_params){ 2, 2 });
	pin = builder_pin(&b);
	web = builder_open(&b, "web");
	for (unsigned i = 0; i < 40; i++) {
		builder_log(&b, web, "hello");
		if (i == 20)
			b.now_ns += 3600 * NS_PER_S;
		builder_commit(&b);
	}
	builder_crash(&b);
	builder_restart(&b, true);
	builder_end(&b);
	builder_verify(b.path, &pin, &verdict);
	cr_expect(eq(int, verdict.report.verdict, VERDICT_OK), "%s",
		  (char *) verdict.findings.data);
	cr_expect(eq(u64, verdict.report.life.silences.counted, 1));
	cr_expect(gt(u64, verdict.report.life.silences.total_ns, 3599 * NS_PER_S));
	cr_expect(eq(u64, verdict.report.life.restarts.counted, 1));
	/* {2, 2} is a key of 16 seals. */
	cr_expect(ge(u64, verdict.report.life.keys_counted, 2));
	cr_expect(not(verdict.report.life.up));
	verified_done(&verdict);
	builder_done(&b);
}

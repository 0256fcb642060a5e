/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The sending session neither skips nor repeats, never sends what it has not got, and never asks without pause a peer that
 * takes nothing.
 */

#include "forwarder/send.h"
#include "tests/harness.h"

Suite(send);

static enum send_action step(struct sender *s, enum send_event e, uint64_t number)
{
	struct send_input in = { .event = e, .head = number, .size = number };

	return sender_step(s, &in);
}

/* A story is a row of events and what each must lead to. */

struct row {
	enum send_event event;
	uint64_t number;
	enum send_action want;
	uint64_t next; /* where the session stands then */
};

static void tell(struct sender *s, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		cr_expect(eq(int, (int) step(s, rows[i].event, rows[i].number), (int) rows[i].want),
			  "row %zu", i);
		cr_expect(eq(u64, s->next, rows[i].next), "row %zu", i);
	}
}

Test(send, all_is_shipped_and_more_when_it_comes)
{
	static const struct row rows[] = {
		{ SEND_START, 0, SEND_DO_ASK, 0 },	 { SEND_HEAD, 0, SEND_DO_PUT, 0 },
		{ SEND_ACCEPTED, 4, SEND_DO_PUT, 4 },	 { SEND_ACCEPTED, 10, SEND_DO_IDLE, 10 },
		{ SEND_MORE, 10, SEND_DO_IDLE, 10 },	 { SEND_MORE, 12, SEND_DO_PUT, 10 },
		{ SEND_ACCEPTED, 12, SEND_DO_IDLE, 12 },
	};
	struct sender s = { .size = 10 };

	tell(&s, rows, ELEMENTS(rows));
}

Test(send, asks_after_every_loss)
{
	static const struct row rows[] = {
		{ SEND_START, 0, SEND_DO_ASK, 0 },  { SEND_LOST, 0, SEND_DO_WAIT, 0 },
		{ SEND_WAITED, 0, SEND_DO_ASK, 0 }, { SEND_HEAD, 3, SEND_DO_PUT, 3 },
		{ SEND_LOST, 0, SEND_DO_WAIT, 3 },  { SEND_WAITED, 0, SEND_DO_ASK, 3 },
		{ SEND_HEAD, 7, SEND_DO_PUT, 7 },   { SEND_ACCEPTED, 10, SEND_DO_FINISH, 10 },
	};
	struct sender s = { .size = 10, .once = true };

	tell(&s, rows, ELEMENTS(rows));
}

Test(send, an_aggregator_that_lost_its_store_gets_all_again)
{
	static const struct row rows[] = {
		{ SEND_START, 0, SEND_DO_ASK, 0 },  { SEND_HEAD, 10, SEND_DO_IDLE, 10 },
		{ SEND_MORE, 11, SEND_DO_PUT, 10 }, { SEND_REWIND, 0, SEND_DO_ASK, 10 },
		{ SEND_HEAD, 0, SEND_DO_PUT, 0 },
	};
	struct sender s = { .size = 10 };

	tell(&s, rows, ELEMENTS(rows));
}

Test(send, a_fork_stops_it)
{
	struct sender s = { .size = 10 };

	cr_assert(eq(int, (int) step(&s, SEND_START, 0), (int) SEND_DO_ASK));
	cr_expect(eq(int, (int) step(&s, SEND_FORK, 0), (int) SEND_DO_STOP));
}

Test(send, who_has_more_than_we_is_an_alarm)
{
	struct sender s = { .size = 10 };

	cr_assert(eq(int, (int) step(&s, SEND_START, 0), (int) SEND_DO_ASK));
	cr_expect(eq(int, (int) step(&s, SEND_HEAD, 11), (int) SEND_DO_BEHIND));
}

Test(send, missing_contexts_are_told_once_and_at_once)
{
	struct sender s = { .size = 10, .known = true };

	cr_expect(eq(int, (int) step(&s, SEND_CONTEXTS, 0), (int) SEND_DO_PUT));
	cr_expect(s.full);
	cr_expect(not(s.careful));
	/* Our own tail may have lost them. */
	cr_expect(eq(int, (int) step(&s, SEND_CONTEXTS, 0), (int) SEND_DO_PUT));
	cr_expect(s.full && s.careful);
	cr_expect(eq(int, (int) step(&s, SEND_CONTEXTS, 0), (int) SEND_DO_WAIT));
	cr_expect(eq(int, (int) step(&s, SEND_WAITED, 0), (int) SEND_DO_ASK));
	cr_expect(eq(int, (int) step(&s, SEND_HEAD, 0), (int) SEND_DO_PUT));
	cr_expect(eq(int, (int) step(&s, SEND_ACCEPTED, 1), (int) SEND_DO_PUT));
	cr_expect(not(s.full));
	cr_expect(not(s.careful));
}

Test(send, a_refusal_makes_it_careful_and_then_slow)
{
	struct sender s = { .size = 10, .known = true };

	for (unsigned i = 1; i < SEND_REFUSALS_MAX; i++)
		cr_expect(eq(int, (int) step(&s, SEND_REFUSED, 0), (int) SEND_DO_PUT));
	cr_expect(s.careful);
	cr_expect(eq(int, (int) step(&s, SEND_REFUSED, 0), (int) SEND_DO_WAIT));
	cr_expect(ge(u32, s.wait_ms, SEND_WAIT_MAX_MS / 2));
}

Test(send, an_acceptance_that_moves_nothing_is_not_believed)
{
	struct sender s = { .size = 10, .next = 4, .known = true };

	cr_expect(eq(int, (int) step(&s, SEND_ACCEPTED, 4), (int) SEND_DO_WAIT));
	cr_expect(eq(int, (int) step(&s, SEND_WAITED, 0), (int) SEND_DO_ASK));
}

/* A peer that answers and takes nothing: waits grow as if it did not answer. */
Test(send, waits_grow_until_something_is_taken)
{
	static const enum send_event refusals[] = { SEND_LOST, SEND_OVERLOAD, SEND_CONTEXTS };

	for (size_t k = 0; k < ELEMENTS(refusals); k++) {
		struct sender s = { .size = 10, .jitter = 7, .full = true, .careful = true };
		uint32_t longest = 0;

		for (int i = 0; i < 40; i++) {
			cr_assert(eq(int, (int) step(&s, SEND_WAITED, 0), (int) SEND_DO_ASK));
			cr_assert(eq(int, (int) step(&s, SEND_HEAD, 0), (int) SEND_DO_PUT));
			cr_assert(eq(int, (int) step(&s, refusals[k], 0), (int) SEND_DO_WAIT));
			cr_assert(le(u32, s.wait_ms, SEND_WAIT_MAX_MS + 1));
			longest = MAX_OF(longest, s.wait_ms);
		}
		cr_expect(ge(u32, longest, SEND_WAIT_MAX_MS / 2), "refusal %zu", k);
	}
}

Test(send, what_the_peer_asks_for_is_waited)
{
	struct sender s = { .size = 1, .known = true };
	struct send_input in = { .event = SEND_OVERLOAD, .retry_ms = 90000 };

	cr_assert(eq(int, (int) sender_step(&s, &in), (int) SEND_DO_WAIT));
	cr_expect(ge(u32, s.wait_ms, 90000));
}

/*
 * A peer that keeps what it is sent, over a network that loses questions and answers, and restarts of the sender: every
 * commit arrives, in order.
 */
static uint64_t converse(uint64_t seed)
{
	struct sender s = { .size = 1 + random_u64(&seed) % 50, .once = true };
	struct send_input in = { .event = SEND_START };
	uint64_t kept = 0, size = s.size, n = 0;

	for (;; n++) {
		enum send_action a = sender_step(&s, &in);
		bool lost = random_u64(&seed) % 4 == 0, lost_late = random_u64(&seed) % 4 == 0;

		in = (struct send_input){ .head = kept, .size = size };
		if (a == SEND_DO_FINISH)
			break;
		cr_assert(lt(u64, n, 100000), "never ends");
		if (a == SEND_DO_WAIT) {
			in.event = SEND_WAITED;
		} else if (lost) {
			in.event = SEND_LOST;
		} else if (a == SEND_DO_ASK) {
			in.event = SEND_HEAD;
		} else {
			uint64_t to = s.next + 1 + random_u64(&seed) % (s.size - s.next);

			cr_assert(eq(int, (int) a, (int) SEND_DO_PUT));
			cr_assert(lt(u64, s.next, s.size));
			cr_assert(le(u64, s.next, kept), "a hole");
			kept = MAX_OF(kept, to);
			in.head = kept;
			in.event = lost_late ? SEND_LOST : SEND_ACCEPTED;
		}
		if (random_u64(&seed) % 30 == 0) {
			s = (struct sender){ .size = size, .once = true };
			in = (struct send_input){ .event = SEND_START };
		}
	}
	cr_expect(eq(u64, kept, size));
	return n;
}

Test(send, all_arrives_over_a_bad_network)
{
	for (uint64_t seed = 0; seed < 2000; seed++)
		cr_expect(gt(u64, converse(seed), 0), "seed %llu", (unsigned long long) seed);
}

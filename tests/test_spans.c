/* SPDX-License-Identifier: Apache-2.0 */

/** Spans say of each number what a table of bits says, whatever is added in whatever order. */

#include "aggregator/spans.h"

#include "tests/harness.h"

Suite(spans);

enum { NUMBERS = 24 };

static uint64_t dice = 1;

static uint64_t throw(uint64_t n)
{
	dice = dice * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (dice >> 33) % n;
}

static void compare(const struct spans *s, const bool *bits)
{
	for (uint64_t first = 0; first <= NUMBERS; first++)
		for (uint64_t end = first; end <= NUMBERS; end++) {
			bool all = true, any = false;

			for (uint64_t i = first; i < end; i++) {
				all &= bits[i];
				any |= bits[i];
			}
			cr_assert(eq(int, spans_have(s, first, end), all), "[%d, %d)", (int) first,
				  (int) end);
			cr_assert(eq(int, spans_touch(s, first, end), any), "[%d, %d)", (int) first,
				  (int) end);
		}
	for (size_t i = 0; i < s->n; i++) {
		cr_assert(lt(u64, s->at[i].first, s->at[i].end));
		cr_assert(i == 0 || s->at[i - 1].end < s->at[i].first);
	}
}

Test(spans, they_are_what_was_added)
{
	for (int round = 0; round < 200; round++) {
		struct spans s = { 0 };
		bool bits[NUMBERS] = { 0 };

		for (int k = 0; k < 8; k++) {
			uint64_t first = throw(NUMBERS), end = first + throw(NUMBERS - first + 1);

			cr_assert(eq(int, spans_reserve(&s, 1), 0));
			spans_add(&s, first, end);
			for (uint64_t i = first; i < end; i++)
				bits[i] = true;
			compare(&s, bits);
		}
		spans_done(&s);
	}
}

Test(spans, what_follows_each_other_is_one)
{
	struct spans s = { 0 };

	cr_assert(eq(int, spans_reserve(&s, 1), 0));
	for (uint64_t i = 0; i < 1000; i++)
		spans_add(&s, 10 * i, 10 * i + 10);
	cr_expect(eq(sz, s.n, 1));
	cr_expect(spans_have(&s, 0, 10000));
	cr_assert(eq(int, spans_reserve(&s, 1), 0));
	spans_add(&s, UINT64_MAX - 1, UINT64_MAX);
	cr_expect(eq(sz, s.n, 2));
	spans_done(&s);
}

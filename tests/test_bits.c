/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "base/attr.h"
#include "base/bits.h"
#include "tests/harness.h"

enum { N = 200 };

/* A set, and the same as one byte a number. */
struct twin {
	uint64_t bits[(N + 63) / 64];
	bool has[N];
};

static void add(struct twin *t, size_t i)
{
	bit_set(t->bits, i);
	t->has[i] = true;
}

static struct twin some(unsigned step)
{
	struct twin t = { 0 };

	for (size_t i = step / 2; i < N; i += step)
		add(&t, i);
	return t;
}

static size_t first(const struct twin *a, const struct twin *b, bool wanted, size_t from, size_t to)
{
	while (from < to && (a->has[from] || b->has[from]) != wanted)
		from++;
	return from;
}

Test(bits, a_number_is_there_once_it_was_added_until_it_is_taken_away)
{
	struct twin t = { 0 };

	for (size_t i = 0; i < N; i++) {
		cr_expect(not(bit_get(t.bits, i)), "%zu", i);
		bit_set(t.bits, i);
		cr_expect(bit_get(t.bits, i), "%zu", i);
		cr_expect(eq(sz, bits_count(t.bits, N), 1));
		bit_clear(t.bits, i);
		cr_expect(not(bits_any(t.bits, N)), "%zu", i);
	}
}

Test(bits, a_range_adds_its_numbers_and_no_others)
{
	for (size_t from = 0; from <= N; from++)
		for (size_t to = from; to <= N; to++) {
			uint64_t bits[(N + 63) / 64] = { 0 };

			bits_set(bits, from, to);
			cr_assert(eq(sz, bits_count(bits, N), to - from), "%zu %zu", from, to);
			if (from < to)
				cr_assert(bit_get(bits, from) && bit_get(bits, to - 1), "%zu %zu",
					  from, to);
		}
}

Test(bits, the_first_and_the_last_of_two_sets_are_found_in_any_range)
{
	static const unsigned steps[] = { 1, 2, 7, 63, 64, 65, 150, 399, 1000 };

	for (size_t k = 0; k + 1 < ELEMENTS(steps); k++) {
		struct twin a = some(steps[k]), b = some(steps[k + 1]), none = { 0 };

		for (size_t from = 0; from <= N; from++)
			for (size_t to = from; to <= N; to++) {
				size_t last = to;

				while (last > from && !a.has[last - 1] && !b.has[last - 1])
					last--;
				cr_assert(eq(sz, bits_first(a.bits, b.bits, from, to),
					     first(&a, &b, true, from, to)),
					  "%u %zu %zu", steps[k], from, to);
				cr_assert(eq(sz, bits_last(a.bits, b.bits, from, to), last),
					  "%u %zu %zu", steps[k], from, to);
				cr_assert(eq(sz, bits_first_not(a.bits, from, to),
					     first(&a, &none, false, from, to)),
					  "%u %zu %zu", steps[k], from, to);
			}
	}
}

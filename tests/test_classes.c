/* SPDX-License-Identifier: Apache-2.0 */

/** Vectors and plain loops class the same bytes alike, and rows of a class end where a loop over the bytes says. */

#include "store/segment/classes.h"

#include "tests/harness.h"

#include <ctype.h>
#include <string.h>

#include "base/bits.h"

Suite(classes);

enum { NEVER = 1, SIZE = 400 };

static struct classes fast, plain;

/* Rows of one kind of byte, some long, between others; never NEVER. */
static void fill(uint8_t *p, size_t n, uint64_t *seed)
{
	static const char *const kinds[] = { "abcdef", "0123456789", "ABCDEF", "gzGZ", "./:-_ \"" };

	for (size_t i = 0; i < n;) {
		uint64_t r = random_u64(seed);
		const char *of = kinds[r % ELEMENTS(kinds)];

		for (uint64_t k = r >> 8 & (r >> 16 & 1 ? 127 : 7); i < n && k-- > 0;)
			p[i++] = (uint8_t) of[random_u64(seed) % strlen(of)];
		if (i < n && r >> 32 & 1)
			p[i++] = (uint8_t) (2 + (r >> 40) % 254);
	}
}

static void expect_same(const uint64_t *a, const uint64_t *b, size_t n)
{
	for (size_t i = 0; i <= n; i++)
		cr_assert(eq(int, bit_get(a, i), bit_get(b, i)));
}

static void expect_classes(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool ascii = p[i] < 0x80, digit = ascii && isdigit(p[i]);

		cr_assert(eq(int, bit_get(fast.letter, i), ascii &&isalpha(p[i])));
		cr_assert(eq(int, bit_get(fast.digit, i), digit));
		cr_assert(
			eq(int, bit_get(fast.hex_lower, i), digit || (p[i] >= 'a' && p[i] <= 'f')));
		cr_assert(
			eq(int, bit_get(fast.hex_upper, i), digit || (p[i] >= 'A' && p[i] <= 'F')));
		cr_assert(eq(int, bit_get(fast.event, i), digit || p[i] == '.' || p[i] == '/'));
	}
	cr_assert(bit_get(fast.event, n));
	cr_assert(not(bit_get(fast.letter, n) || bit_get(fast.digit, n)));
}

Test(classes, are_those_of_each_byte)
{
	uint8_t p[SIZE];
	uint64_t seed = 7;

	for (size_t n = 0; n <= SIZE; n++) {
		fill(p, n, &seed);
		cr_assert(classes_find(&fast, p, n, NEVER));
		cr_assert(classes_find_portable(&plain, p, n, NEVER));
		expect_classes(p, n);
		expect_same(fast.letter, plain.letter, n);
		expect_same(fast.digit, plain.digit, n);
		expect_same(fast.hex_lower, plain.hex_lower, n);
		expect_same(fast.hex_upper, plain.hex_upper, n);
		expect_same(fast.event, plain.event, n);
	}
}

Test(classes, of_the_longest_message_are_found)
{
	static uint8_t p[CLASSES_SIZE_MAX];

	memset(p, '7', sizeof p);
	cr_assert(classes_find(&fast, p, sizeof p, NEVER));
	cr_expect(eq(sz, classes_end(fast.digit, fast.digit, 0), sizeof p));
	cr_expect(eq(sz, classes_begin(fast.digit, sizeof p, 0), 0));
	cr_assert(classes_find_portable(&plain, p, sizeof p, NEVER));
	cr_expect(eq(sz, classes_end(plain.letter, plain.digit, 1), sizeof p));
}

Test(classes, a_byte_that_must_not_be_is_seen_everywhere)
{
	uint8_t p[SIZE];

	memset(p, 'x', sizeof p);
	for (size_t n = 1; n <= SIZE; n += 13)
		for (size_t at = 0; at < n; at++) {
			p[at] = NEVER;
			cr_assert(not(classes_find(&fast, p, n, NEVER)));
			cr_assert(not(classes_find_portable(&plain, p, n, NEVER)));
			p[at] = 'x';
		}
	/* What lies behind the end is none of the message. */
	p[65] = NEVER;
	cr_assert(classes_find(&fast, p, 65, NEVER));
}

Test(classes, rows_begin_and_end_where_a_loop_says)
{
	uint8_t p[SIZE];
	uint64_t seed = 11;

	for (unsigned round = 0; round < 40; round++) {
		fill(p, SIZE, &seed);
		cr_assert(classes_find(&fast, p, SIZE, NEVER));
		for (size_t at = 0; at < SIZE; at++) {
			size_t floor = at - random_u64(&seed) % (at + 1), begin = at, end = at;
			size_t next = at;

			while (begin > floor && bit_get(fast.letter, begin - 1))
				begin--;
			while (end < SIZE &&
			       (bit_get(fast.letter, end) || bit_get(fast.digit, end)))
				end++;
			while (!bit_get(fast.event, next))
				next++;
			cr_assert(eq(sz, classes_begin(fast.letter, at, floor), begin));
			cr_assert(eq(sz, classes_end(fast.letter, fast.digit, at), end));
			cr_assert(eq(sz, classes_next(fast.event, at), next));
			for (size_t i = 0; i < 64 && at + 64 <= SIZE; i++)
				cr_assert(eq(int, (int) (classes_from(fast.digit, at) >> i & 1),
					     bit_get(fast.digit, at + i)));
		}
	}
}

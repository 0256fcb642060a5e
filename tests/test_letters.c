/* SPDX-License-Identifier: Apache-2.0 */

/** Vectors and plain loops see the same, whatever stands behind the bytes. */

#include "base/letters.h"

#include "tests/harness.h"

#include <ctype.h>
#include <string.h>

#include "base/attr.h"

Suite(letters);

enum { SIZE = 64, BEHIND = 16 };

/* Bytes of one kind, with others among them and behind them. */
static void fill(uint8_t *p, uint64_t *seed, const char *of)
{
	for (size_t i = 0; i < SIZE + BEHIND; i++) {
		uint64_t r = random_u64(seed);

		p[i] = r % 4 == 0 ? (uint8_t) (r >> 8) : (uint8_t) of[(r >> 8) % strlen(of)];
	}
}

Test(letters, bits_are_those_of_each_byte)
{
	static const char *const kinds[] = { "abcxyzABCXYZ", "0123456789abcdefABCDEF", "@[`{/:" };
	uint8_t p[SIZE + BEHIND];
	uint64_t seed = 5;

	for (unsigned round = 0; round < 3000; round++) {
		size_t n = round % (SIZE + 1);
		uint64_t letters, hexes;

		fill(p, &seed, kinds[round % ELEMENTS(kinds)]);
		letters = letters_of(p, n);
		hexes = hexes_of(p, n);
		cr_assert(eq(u64, letters, letters_of_portable(p, n)));
		cr_assert(eq(u64, hexes, hexes_of_portable(p, n)));
		for (size_t i = 0; i < SIZE; i++) {
			bool there = i < n && p[i] < 0x80;

			cr_assert(eq(int, (int) (letters >> i & 1), there &&isalpha(p[i])));
			cr_assert(eq(int, (int) (hexes >> i & 1), there &&isxdigit(p[i])));
		}
	}
}

Test(letters, the_first_of_a_range_is_found)
{
	static const uint8_t edges[] = { '.', '9', '.' - 1, '9' + 1, 0, 0xff, '.' | 0x80 };
	uint8_t p[SIZE];

	for (size_t n = 0; n <= SIZE; n++)
		for (size_t at = 0; at < SIZE; at++)
			for (size_t k = 0; k < ELEMENTS(edges); k++) {
				size_t want = k < 2 && at < n ? at : n;

				memset(p, 'x', sizeof p);
				p[at] = edges[k];
				cr_assert(eq(sz, first_between(p, n, '.', '9'), want));
				cr_assert(eq(sz, first_between_portable(p, n, '.', '9'), want));
			}
}

Test(letters, a_letter_has_a_number)
{
	cr_expect(eq(uint, letter_of('a'), 1u));
	cr_expect(eq(uint, letter_of('Z'), 26u));
	cr_expect(eq(uint, letter_of('@'), 0u));
	cr_expect(eq(uint, letter_of('{'), 0u));
	cr_expect(eq(uint, letter_of(0xe1), 0u));
}

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

Test(letters, a_letter_has_a_number)
{
	cr_expect(eq(uint, letter_of('a'), 1u));
	cr_expect(eq(uint, letter_of('Z'), 26u));
	cr_expect(eq(uint, letter_of('@'), 0u));
	cr_expect(eq(uint, letter_of('{'), 0u));
	cr_expect(eq(uint, letter_of(0xe1), 0u));
}

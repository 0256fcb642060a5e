/* SPDX-License-Identifier: Apache-2.0 */

/** Digits and bytes as the C library reads and writes them, whatever their number, and nothing behind them. */

#include "base/hex.h"

#include "tests/harness.h"

#include <stdio.h>
#include <string.h>

Suite(hex);

enum { BYTES_MAX = 21, BEHIND = 9, UNTOUCHED = 0xa5 };

static void expect_behind(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < BEHIND; i++)
		cr_expect(eq(u8, p[n + i], UNTOUCHED), "%zu and %zu", n, i);
}

static void compare(const uint8_t *bytes, size_t n, char letters)
{
	uint8_t digits[2 * BYTES_MAX + BEHIND], back[BYTES_MAX + BEHIND];
	char want[2 * BYTES_MAX + 1] = "";

	for (size_t i = 0; i < n; i++)
		sprintf(want + 2 * i, letters == 'a' ? "%02x" : "%02X", bytes[i]);
	memset(digits, UNTOUCHED, sizeof digits);
	memset(back, UNTOUCHED, sizeof back);
	hex_unpack(digits, bytes, n, letters);
	cr_expect(zero(int, memcmp(digits, want, 2 * n)), "%s", want);
	expect_behind(digits, 2 * n);
	hex_pack(back, digits, n);
	cr_expect(zero(int, memcmp(back, bytes, n)), "%s", want);
	expect_behind(back, n);
}

Test(hex, each_byte_in_each_place)
{
	for (size_t n = 1; n <= 9; n++)
		for (size_t at = 0; at < n; at++)
			for (unsigned v = 0; v < 256; v++) {
				uint8_t bytes[9];

				memset(bytes, 0x9a, sizeof bytes);
				bytes[at] = (uint8_t) v;
				compare(bytes, n, 'a');
				compare(bytes, n, 'A');
			}
}

Test(hex, any_bytes)
{
	uint8_t bytes[BYTES_MAX];
	uint64_t seed = 8;

	for (unsigned round = 0; round < 5000; round++) {
		for (size_t i = 0; i < sizeof bytes; i++)
			bytes[i] = (uint8_t) random_u64(&seed);
		compare(bytes, round % (BYTES_MAX + 1), round % 2 ? 'a' : 'A');
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_DIGITS_H
#define BULLA_BASE_DIGITS_H

/**
 * Numbers as decimal digits, for who writes millions of them.
 *
 * They are written where they stay, from the last to the first: a copy of what was just written in pieces waits for each of these.
 */

#include <stdint.h>
#include <string.h>

/** How many digits a number has; 0 has one. */
static inline unsigned digits_of(uint64_t v)
{
	static const uint64_t least[] = {
		0ull,
		10ull,
		100ull,
		1000ull,
		10000ull,
		100000ull,
		1000000ull,
		10000000ull,
		100000000ull,
		1000000000ull,
		10000000000ull,
		100000000000ull,
		1000000000000ull,
		10000000000000ull,
		100000000000000ull,
		1000000000000000ull,
		10000000000000000ull,
		100000000000000000ull,
		1000000000000000000ull,
		10000000000000000000ull,
	};
	/* 1233 / 4096 is the decimal logarithm of 2. */
	unsigned n = ((64 - (unsigned) __builtin_clzll(v | 1)) * 1233) >> 12;

	return n + (v >= least[n]);
}

/** Write the last `n` digits of a number, with zeros in front where it has fewer. */
static inline void digits_put(uint8_t *to, uint64_t v, unsigned n)
{
	static const char pairs[] =
		"00010203040506070809101112131415161718192021222324252627282930313233343536"
		"37383940414243444546474849505152535455565758596061626364656667686970717273"
		"7475767778798081828384858687888990919293949596979899";

	for (; n >= 2; v /= 100) {
		n -= 2;
		memcpy(to + n, pairs + 2 * (v % 100), 2);
	}
	if (n > 0)
		*to = (uint8_t) ('0' + v % 10);
}

#endif

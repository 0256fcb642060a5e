/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_LETTERS_H
#define BULLA_BASE_LETTERS_H

/** Bytes by what they are: letters, or hexadecimal digits; many at once. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** 1 to 26 for a letter, whatever its case; 0 for anything else. */
static inline unsigned letter_of(uint8_t c)
{
	unsigned letter = (c | 0x20u) - 'a';

	return letter < 26 ? letter + 1 : 0;
}

static inline bool is_hex(uint8_t c)
{
	return (uint8_t) (c - '0') < 10 || (uint8_t) ((c | 0x20) - 'a') < 6;
}

/** Bit i: whether p[i] is a letter, for the first `n` bytes, 64 at most; the others are clear.  Reads nothing behind them. */
uint64_t letters_of(const uint8_t *p, size_t n);
/** The same of hexadecimal digits in either case. */
uint64_t hexes_of(const uint8_t *p, size_t n);
/** The same without vectors. */
uint64_t letters_of_portable(const uint8_t *p, size_t n);
uint64_t hexes_of_portable(const uint8_t *p, size_t n);

#endif

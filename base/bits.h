/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_BITS_H
#define BULLA_BASE_BITS_H

/** Sets of small numbers: one bit each, in words of 64.  Bits of the last word that stand for no number are clear. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Words for numbers below `n`. */
static inline size_t bits_words(size_t n)
{
	return (n + 63) / 64;
}

static inline bool bit_get(const uint64_t *bits, size_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static inline void bit_set(uint64_t *bits, size_t i)
{
	bits[i / 64] |= UINT64_C(1) << (i % 64);
}

static inline void bit_clear(uint64_t *bits, size_t i)
{
	bits[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

/** Those of a word whose numbers are in [from, to); the word is that of `from`. */
static inline uint64_t bits_mask(size_t from, size_t to)
{
	uint64_t mask = UINT64_MAX << (from % 64);

	return to / 64 > from / 64 ? mask : mask & ~(UINT64_MAX << (to % 64));
}

/** Add [from, to). */
static inline void bits_set(uint64_t *bits, size_t from, size_t to)
{
	for (; from < to; from = (from | 63) + 1)
		bits[from / 64] |= bits_mask(from, to);
}

/** The first number of [from, to) that is in `a` or in `b`; `to` if none is. */
static inline size_t bits_first(const uint64_t *a, const uint64_t *b, size_t from, size_t to)
{
	for (; from < to; from = (from | 63) + 1) {
		uint64_t word = (a[from / 64] | b[from / 64]) & bits_mask(from, to);

		if (word != 0)
			return (from & ~(size_t) 63) + (size_t) __builtin_ctzll(word);
	}
	return to;
}

/** One more than the last number of [from, to) that is in `a` or in `b`; `from` if none is. */
static inline size_t bits_last(const uint64_t *a, const uint64_t *b, size_t from, size_t to)
{
	while (from < to) {
		size_t first = (to - 1) & ~(size_t) 63;
		uint64_t word;

		first = first > from ? first : from;
		word = (a[first / 64] | b[first / 64]) & bits_mask(first, to);
		if (word != 0)
			return (first & ~(size_t) 63) + 64 - (size_t) __builtin_clzll(word);
		to = first;
	}
	return from;
}

/** The first number of [from, to) that is not in `bits`; `to` if all are. */
static inline size_t bits_first_not(const uint64_t *bits, size_t from, size_t to)
{
	for (; from < to; from = (from | 63) + 1) {
		uint64_t word = ~bits[from / 64] & bits_mask(from, to);

		if (word != 0)
			return (from & ~(size_t) 63) + (size_t) __builtin_ctzll(word);
	}
	return to;
}

/** How many of the numbers below `n` there are. */
static inline size_t bits_count(const uint64_t *bits, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < bits_words(n); i++)
		sum += (size_t) __builtin_popcountll(bits[i]);
	return sum;
}

/** Whether there is any. */
static inline bool bits_any(const uint64_t *bits, size_t n)
{
	for (size_t i = 0; i < bits_words(n); i++)
		if (bits[i])
			return true;
	return false;
}

#endif

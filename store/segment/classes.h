/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_CLASSES_H
#define BULLA_STORE_SEGMENT_CLASSES_H

/**
 * The bytes of a message by what they are: a set of places for each class.
 *
 * Where a row of digits ends, or a word begins, is then counting zeroes in a word of 64 bits, however long the row is.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum {
	CLASSES_SIZE_MAX = 16384,
	CLASSES_WORDS = CLASSES_SIZE_MAX / 64 + 1,
};

/** All are ASCII.  The place behind the message is in `event` only, so that whoever looks for a place finds one. */
struct classes {
	uint64_t letter[CLASSES_WORDS];
	uint64_t digit[CLASSES_WORDS];
	uint64_t hex_lower[CLASSES_WORDS]; /* 0-9a-f */
	uint64_t hex_upper[CLASSES_WORDS]; /* 0-9A-F */
	uint64_t event[CLASSES_WORDS];	   /* ./0-9: these stand beside each other */
};

/** Class the bytes of a message, CLASSES_SIZE_MAX at most.  @return whether `never`, which is not 0, is none of them; if it is, nothing is told. */
_must_check_ bool classes_find(struct classes *c, const uint8_t *p, size_t n, uint8_t never);
/** The same without vectors. */
_must_check_ bool classes_find_portable(struct classes *c, const uint8_t *p, size_t n,
					uint8_t never);

/** The first place from `at` on that is in a set, which has one. */
static inline size_t classes_next(const uint64_t *set, size_t at)
{
	size_t w = at / 64;
	uint64_t here = set[w] >> at % 64;

	if (_likely_(here != 0))
		return at + (size_t) __builtin_ctzll(here);
	while (set[++w] == 0)
		;
	return 64 * w + (size_t) __builtin_ctzll(set[w]);
}

/** The first place from `at` on that is neither in `a` nor in `b`. */
static inline size_t classes_end(const uint64_t *a, const uint64_t *b, size_t at)
{
	size_t w = at / 64;
	uint64_t here = ~(a[w] | b[w]) >> at % 64;

	if (_likely_(here != 0))
		return at + (size_t) __builtin_ctzll(here);
	do
		here = ~(a[w + 1] | b[w + 1]);
	while (w++, here == 0);
	return 64 * w + (size_t) __builtin_ctzll(here);
}

/** Where those of a set begin that reach up to `at`, but not before `floor`; `at` where there are none. */
static inline size_t classes_begin(const uint64_t *set, size_t at, size_t floor)
{
	while (at > floor) {
		size_t last = at - 1;
		uint64_t others = ~set[last / 64] << (63 - last % 64);

		if (_likely_(others != 0)) {
			at -= (size_t) __builtin_clzll(others);
			break;
		}
		at = last & ~(size_t) 63;
	}
	return at > floor ? at : floor;
}

/** Places [at, at + 64) of a set, from the lowest bit on. */
static inline uint64_t classes_from(const uint64_t *set, size_t at)
{
	size_t w = at / 64, by = at % 64;

	return by == 0 ? set[w] : set[w] >> by | set[w + 1] << (64 - by);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/classes.h"

#include <string.h>

#include "base/letters.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { EVENT_FIRST = '.', EVENT_LAST = '9' };

static inline bool is_between(uint8_t c, uint8_t least, uint8_t most)
{
	return (uint8_t) (c - least) <= most - least;
}

/* One word of each set, from up to 64 bytes.  @return whether `never` is none of them. */
static bool find_some(struct classes *c, size_t w, const uint8_t *p, size_t n, uint8_t never)
{
	uint64_t letter = 0, digit = 0, lower = 0, upper = 0, event = 0;
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		uint64_t bit = UINT64_C(1) << i;
		uint64_t of_digit = is_between(p[i], '0', '9') ? bit : 0;

		letter |= letter_of(p[i]) > 0 ? bit : 0;
		digit |= of_digit;
		lower |= is_between(p[i], 'a', 'f') ? bit : of_digit;
		upper |= is_between(p[i], 'A', 'F') ? bit : of_digit;
		event |= is_between(p[i], EVENT_FIRST, EVENT_LAST) ? bit : 0;
		found |= p[i] == never;
	}
	c->letter[w] = letter;
	c->digit[w] = digit;
	c->hex_lower[w] = lower;
	c->hex_upper[w] = upper;
	c->event[w] = event;
	return !found;
}

bool classes_find_portable(struct classes *c, const uint8_t *p, size_t n, uint8_t never)
{
	bool without = true;

	for (size_t w = 0; without && 64 * w <= n; w++)
		without = find_some(c, w, p + 64 * w, MIN_OF(n - 64 * w, (size_t) 64), never);
	c->event[n / 64] |= UINT64_C(1) << n % 64;
	return without;
}

#if defined(__x86_64__)

#define _avx2_	 __attribute__((__target__("avx2")))
#define _inline_ inline __attribute__((__always_inline__))

/* 32 bytes, each of which is 0 or 0xff. */
struct found {
	__m256i letter, digit, lower, upper, event, never;
};

/* Compared as signed, bytes beyond ASCII are less than any other. */
_avx2_ static _inline_ __m256i between(__m256i v, char least, char most)
{
	return _mm256_and_si256(_mm256_cmpgt_epi8(v, _mm256_set1_epi8((char) (least - 1))),
				_mm256_cmpgt_epi8(_mm256_set1_epi8((char) (most + 1)), v));
}

_avx2_ static _inline_ struct found find_32(const uint8_t *p, uint8_t never)
{
	__m256i v = _mm256_loadu_si256((const __m256i *) (const void *) p);
	__m256i digit = between(v, '0', '9');

	return (struct found){
		.letter = between(_mm256_or_si256(v, _mm256_set1_epi8(0x20)), 'a', 'z'),
		.digit = digit,
		.lower = _mm256_or_si256(digit, between(v, 'a', 'f')),
		.upper = _mm256_or_si256(digit, between(v, 'A', 'F')),
		.event = between(v, EVENT_FIRST, EVENT_LAST),
		.never = _mm256_cmpeq_epi8(v, _mm256_set1_epi8((char) never)),
	};
}

_avx2_ static _inline_ uint64_t bits_of(__m256i low, __m256i high)
{
	return (uint32_t) _mm256_movemask_epi8(low) |
	       (uint64_t) (uint32_t) _mm256_movemask_epi8(high) << 32;
}

_avx2_ static _inline_ bool find_64(struct classes *c, size_t w, const uint8_t *p, uint8_t never)
{
	struct found low = find_32(p, never), high = find_32(p + 32, never);

	c->letter[w] = bits_of(low.letter, high.letter);
	c->digit[w] = bits_of(low.digit, high.digit);
	c->hex_lower[w] = bits_of(low.lower, high.lower);
	c->hex_upper[w] = bits_of(low.upper, high.upper);
	c->event[w] = bits_of(low.event, high.event);
	return bits_of(low.never, high.never) == 0;
}

_avx2_ static bool find_avx2(struct classes *c, const uint8_t *p, size_t n, uint8_t never)
{
	uint8_t last[64] = { 0 };
	size_t w = 0;
	bool without = true;

	for (; without && 64 * w + 64 <= n; w++)
		without = find_64(c, w, p + 64 * w, never);
	/* What is behind the end is of no class. */
	if (n % 64 > 0)
		memcpy(last, p + 64 * w, n % 64);
	without = without && find_64(c, w, last, never);
	c->event[n / 64] |= UINT64_C(1) << n % 64;
	return without;
}

bool classes_find(struct classes *c, const uint8_t *p, size_t n, uint8_t never)
{
	return __builtin_cpu_supports("avx2") ? find_avx2(c, p, n, never)
					      : classes_find_portable(c, p, n, never);
}

#else

bool classes_find(struct classes *c, const uint8_t *p, size_t n, uint8_t never)
{
	return classes_find_portable(c, p, n, never);
}

#endif

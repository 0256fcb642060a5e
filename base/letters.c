/* SPDX-License-Identifier: Apache-2.0 */

#include "base/letters.h"

#include <string.h>

uint64_t letters_of_portable(const uint8_t *p, size_t n)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < n; i++)
		bits |= (uint64_t) (letter_of(p[i]) != 0) << i;
	return bits;
}

uint64_t hexes_of_portable(const uint8_t *p, size_t n)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < n; i++)
		bits |= (uint64_t) is_hex(p[i]) << i;
	return bits;
}

#if defined(__SSE2__)

#include <emmintrin.h>

#define _inline_ inline __attribute__((__always_inline__))

/* Compared as signed, bytes beyond ASCII are less than any other. */
static _inline_ __m128i between(__m128i v, char least, char most)
{
	return _mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8((char) (least - 1))),
			     _mm_cmplt_epi8(v, _mm_set1_epi8((char) (most + 1))));
}

static _inline_ __m128i lower(__m128i v)
{
	return _mm_or_si128(v, _mm_set1_epi8(0x20));
}

static _inline_ __m128i are_letters(__m128i v)
{
	return between(lower(v), 'a', 'z');
}

static _inline_ __m128i are_hex(__m128i v)
{
	return _mm_or_si128(between(v, '0', '9'), between(lower(v), 'a', 'f'));
}

typedef __m128i (*are_fn)(__m128i v);

static _inline_ uint64_t bits_of_16(const uint8_t *p, are_fn are)
{
	return (uint32_t) _mm_movemask_epi8(
		are(_mm_loadu_si128((const __m128i *) (const void *) p)));
}

static _inline_ uint64_t bits_of_8(const uint8_t *p, are_fn are)
{
	return (uint32_t) _mm_movemask_epi8(
		are(_mm_loadl_epi64((const __m128i *) (const void *) p)));
}

static _inline_ uint64_t bits_of_4(const uint8_t *p, are_fn are)
{
	int v;

	memcpy(&v, p, sizeof v);
	return (uint32_t) _mm_movemask_epi8(are(_mm_cvtsi32_si128(v)));
}

/* Four bytes and more; what does not come out even is seen twice. */
static _inline_ uint64_t bits_of(const uint8_t *p, size_t n, are_fn are)
{
	uint64_t bits = 0;

	if (n < 8)
		return bits_of_4(p, are) | bits_of_4(p + n - 4, are) << (n - 4);
	if (n < 16)
		return bits_of_8(p, are) | bits_of_8(p + n - 8, are) << (n - 8);
	for (size_t i = 0; i + 16 <= n; i += 16)
		bits |= bits_of_16(p + i, are) << i;
	return bits | bits_of_16(p + n - 16, are) << (n - 16);
}

uint64_t letters_of(const uint8_t *p, size_t n)
{
	return n < 4 ? letters_of_portable(p, n) : bits_of(p, n, are_letters);
}

uint64_t hexes_of(const uint8_t *p, size_t n)
{
	return n < 4 ? hexes_of_portable(p, n) : bits_of(p, n, are_hex);
}

#else

uint64_t letters_of(const uint8_t *p, size_t n)
{
	return letters_of_portable(p, n);
}

uint64_t hexes_of(const uint8_t *p, size_t n)
{
	return hexes_of_portable(p, n);
}

#endif

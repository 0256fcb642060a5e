/* SPDX-License-Identifier: Apache-2.0 */

/** finder_find() with the vectors of x86: 16 places a step, which every x86-64 can do, or 64 with AVX2. */

#include "base/find-internal.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdatomic.h>

#define _avx2_	 __attribute__((__target__("avx2")))
#define _inline_ inline __attribute__((__always_inline__))

enum { AHEAD = 1024 };

bool find_avx2_usable(void)
{
	static atomic_int usable; /* 0: not yet asked */

	if (atomic_load_explicit(&usable, memory_order_relaxed) == 0)
		atomic_store_explicit(&usable, __builtin_cpu_supports("avx2") ? 1 : -1,
				      memory_order_relaxed);
	return atomic_load_explicit(&usable, memory_order_relaxed) > 0;
}

/* A byte of the needle, at every place. */
struct wide16 {
	const uint8_t *from;
	__m128i mask, want;
};

static _inline_ struct wide16 wide16_of(const struct find_hunt *h, int k)
{
	return (struct wide16){ h->p + h->f->at[k], _mm_set1_epi8((char) h->f->mask[k]),
				_mm_set1_epi8((char) h->f->want[k]) };
}

static _inline_ uint64_t fits16(const struct wide16 *a, const struct wide16 *b, size_t at)
{
	__m128i x = _mm_loadu_si128((const __m128i *) (a->from + at));
	__m128i y = _mm_loadu_si128((const __m128i *) (b->from + at));

	x = _mm_cmpeq_epi8(_mm_or_si128(x, a->mask), a->want);
	y = _mm_cmpeq_epi8(_mm_or_si128(y, b->mask), b->want);
	return (uint32_t) _mm_movemask_epi8(_mm_and_si128(x, y));
}

void find_sse2(struct find_hunt *h)
{
	struct wide16 a = wide16_of(h, 0), b = wide16_of(h, 1);
	size_t at = h->at;

	for (; at + 16 <= h->places; at += 16) {
		uint64_t bits = fits16(&a, &b, at);

		if (_unlikely_(bits != 0) && find_try(h, at, bits))
			return;
	}
	/* The last places once more, with those before them that are done already. */
	if (at < h->places && h->places >= 16) {
		unsigned done = (unsigned) (16 - (h->places - at));
		uint64_t bits = fits16(&a, &b, h->places - 16) >> done;

		if (find_try(h, at, bits))
			return;
		at = h->places;
	}
	h->at = at;
	if (at < h->places)
		find_portable(h);
}

struct wide32 {
	const uint8_t *from;
	__m256i mask, want;
};

_avx2_ static _inline_ struct wide32 wide32_of(const struct find_hunt *h, int k)
{
	return (struct wide32){ h->p + h->f->at[k], _mm256_set1_epi8((char) h->f->mask[k]),
				_mm256_set1_epi8((char) h->f->want[k]) };
}

_avx2_ static _inline_ __m256i fits32(const struct wide32 *a, const struct wide32 *b, size_t at)
{
	__m256i x = _mm256_loadu_si256((const __m256i *) (a->from + at));
	__m256i y = _mm256_loadu_si256((const __m256i *) (b->from + at));

	x = _mm256_cmpeq_epi8(_mm256_or_si256(x, a->mask), a->want);
	y = _mm256_cmpeq_epi8(_mm256_or_si256(y, b->mask), b->want);
	return _mm256_and_si256(x, y);
}

_avx2_ static _inline_ uint64_t bits32(__m256i v)
{
	return (uint32_t) _mm256_movemask_epi8(v);
}

_avx2_ void find_avx2(struct find_hunt *h)
{
	struct wide32 a = wide32_of(h, 0), b = wide32_of(h, 1);
	size_t at = h->at;

	for (; at + 64 <= h->places; at += 64) {
		__m256i x = fits32(&a, &b, at), y = fits32(&a, &b, at + 32);

		/* What is in no cache comes a quarter sooner. */
		_mm_prefetch((const void *) ((uintptr_t) (a.from + at) + AHEAD), _MM_HINT_T0);
		if (_likely_(_mm256_testz_si256(_mm256_or_si256(x, y),
						_mm256_set1_epi8((char) 0xff))))
			continue;
		if (find_try(h, at, bits32(x) | bits32(y) << 32))
			return;
	}
	for (; at + 32 <= h->places; at += 32)
		if (find_try(h, at, bits32(fits32(&a, &b, at))))
			return;
	h->at = at;
	if (at < h->places)
		find_sse2(h);
}

#endif

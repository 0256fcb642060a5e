/* SPDX-License-Identifier: Apache-2.0 */

/**
 * SHA-256 (FIPS 180-4) of two messages at a time with the SHA extensions of x86.
 *
 * One stream keeps these instructions waiting for each other: `sha256rnds2` takes its own last result four cycles later.
 * A second stream runs in those gaps and is nearly free.  Each *lane* goes through a message block by block, then through
 * its padding, then takes up the next message; the lanes need not agree in anything.
 */

#include "seal/sha256-internal.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "base/attr.h"

#define _ni_	 __attribute__((__target__("sha,sse4.1")))
#define _inline_ inline __attribute__((__always_inline__))

enum { BLOCK = 64, LANES = 2, QUARTERS = 16 /* of four rounds */ };

static const uint32_t k[QUARTERS * 4] __attribute__((__aligned__(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

/* One message on its way. */
struct lane {
	__m128i abef,
		cdgh; /* the eight words as the instructions want them, a and c in the highest place */
	const uint8_t *p;	/* the next block */
	size_t blocks;		/* whole blocks from there on */
	uint8_t end[2 * BLOCK]; /* the rest of the message and the padding */
	size_t end_blocks;	/* 0 once they are what `p` points to */
	size_t number;		/* of the message */
};

/* What the rounds work on; small enough to stay in registers, which is why nothing else is in it. */
struct rounds {
	__m128i abef[LANES], cdgh[LANES];
	__m128i w[LANES][4]; /* the last 16 words of the message schedule */
};

/*
 * Four rounds in each of `n` lanes.  The words of quarter q + 1 are finished here, those of quarter q + 3 begun.  `q` and
 * `n` are constants once this is inlined.
 */
_ni_ static _inline_ void quarter(struct rounds *r, unsigned q, unsigned n)
{
	__m128i kq = _mm_load_si128((const __m128i *) (const void *) &k[4 * q]);

#pragma GCC unroll 2
	for (unsigned l = 0; l < n; l++) {
		__m128i *now = &r->w[l][q % 4], *next = &r->w[l][(q + 1) % 4];
		__m128i *last = &r->w[l][(q + 3) % 4];
		__m128i wk = _mm_add_epi32(*now, kq);

		r->cdgh[l] = _mm_sha256rnds2_epu32(r->cdgh[l], r->abef[l], wk);
		if (q >= 3 && q < 15)
			*next = _mm_sha256msg2_epu32(
				_mm_add_epi32(*next, _mm_alignr_epi8(*now, *last, 4)), *now);
		wk = _mm_shuffle_epi32(wk, 0x0e);
		r->abef[l] = _mm_sha256rnds2_epu32(r->abef[l], r->cdgh[l], wk);
		if (q >= 1 && q < 13)
			*last = _mm_sha256msg1_epu32(*last, *now);
	}
}

/* Take the next `blocks` blocks of each of the first `n` lanes. */
_ni_ static _inline_ void compress(struct lane *lane, size_t blocks, unsigned n)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	struct rounds r;

#pragma GCC unroll 2
	for (unsigned l = 0; l < n; l++)
		lane[l].blocks -= blocks;
	for (; blocks > 0; blocks--) {
#pragma GCC unroll 2
		for (unsigned l = 0; l < n; l++) {
			const __m128i *p = (const __m128i *) (const void *) lane[l].p;

			r.abef[l] = lane[l].abef;
			r.cdgh[l] = lane[l].cdgh;
#pragma GCC unroll 4
			for (unsigned i = 0; i < 4; i++)
				r.w[l][i] = _mm_shuffle_epi8(_mm_loadu_si128(p + i), big_endian);
		}
#pragma GCC unroll 16
		for (unsigned q = 0; q < QUARTERS; q++)
			quarter(&r, q, n);
#pragma GCC unroll 2
		for (unsigned l = 0; l < n; l++) {
			lane[l].abef = _mm_add_epi32(lane[l].abef, r.abef[l]);
			lane[l].cdgh = _mm_add_epi32(lane[l].cdgh, r.cdgh[l]);
			lane[l].p += BLOCK;
		}
	}
}

_ni_ static void compress_one(struct lane *lane, size_t blocks)
{
	compress(lane, blocks, 1);
}

_ni_ static void compress_two(struct lane *lane, size_t blocks)
{
	compress(lane, blocks, 2);
}

/* Begin a message: FIPS 180-4, 5.1.1 (padding) and 5.3.3 (initial value). */
static void begin(struct lane *l, const struct span *message, size_t number)
{
	size_t rest = message->n % BLOCK;
	uint64_t bits = (uint64_t) message->n * 8;

	l->abef = _mm_set_epi32(0x6a09e667, (int) 0xbb67ae85, 0x510e527f, (int) 0x9b05688c);
	l->cdgh = _mm_set_epi32(0x3c6ef372, (int) 0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
	l->number = number;
	l->p = message->p;
	l->blocks = message->n / BLOCK;
	l->end_blocks = rest + 1 + 8 <= BLOCK ? 1 : 2;
	if (rest > 0)
		memcpy(l->end, message->p + message->n - rest, rest);
	memset(l->end + rest, 0, l->end_blocks * BLOCK - rest);
	l->end[rest] = 0x80;
	bits = __builtin_bswap64(bits);
	memcpy(l->end + l->end_blocks * BLOCK - 8, &bits, 8);
}

_ni_ static void finish(const struct lane *l, struct hash *ret)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i feba = _mm_shuffle_epi32(l->abef, 0x1b), dchg = _mm_shuffle_epi32(l->cdgh, 0xb1);
	__m128i dcba = _mm_blend_epi16(feba, dchg, 0xf0), hgfe = _mm_alignr_epi8(dchg, feba, 8);

	_mm_storeu_si128((__m128i *) (void *) ret->b, _mm_shuffle_epi8(dcba, big_endian));
	_mm_storeu_si128((__m128i *) (void *) (ret->b + 16), _mm_shuffle_epi8(hgfe, big_endian));
}

/*
 * Have a lane ready for its next block: go on to the padding, or hand out the hash and begin the next message.
 *
 * Returns false when there is none.
 */
static bool ready(struct lane *l, struct hash *ret, const struct span *messages, size_t n,
		  size_t *next)
{
	if (l->blocks > 0)
		return true;
	if (l->end_blocks == 0) {
		finish(l, &ret[l->number]);
		if (*next == n)
			return false;
		begin(l, &messages[*next], *next);
		++*next;
		if (l->blocks > 0)
			return true;
	}
	l->p = l->end;
	l->blocks = l->end_blocks;
	l->end_blocks = 0;
	return true;
}

static void finish_alone(struct lane *l, struct hash *ret)
{
	size_t none = 0;

	while (ready(l, ret, NULL, 0, &none))
		compress_one(l, l->blocks);
}

void sha256_ni_many(struct hash *ret, const struct span *messages, size_t n)
{
	struct lane lane[LANES];
	size_t next = 0;

	while (next < n && next < LANES) {
		begin(&lane[next], &messages[next], next);
		next++;
	}
	if (n == 1)
		finish_alone(&lane[0], ret);
	if (n < LANES)
		return;
	for (;;) {
		if (!ready(&lane[0], ret, messages, n, &next)) {
			finish_alone(&lane[1], ret);
			return;
		}
		if (!ready(&lane[1], ret, messages, n, &next)) {
			finish_alone(&lane[0], ret);
			return;
		}
		compress_two(lane, MIN_OF(lane[0].blocks, lane[1].blocks));
	}
}

bool sha256_ni_usable(void)
{
	unsigned eax, ebx, ecx, edx;

	/* gcc 12 and clang 14 do not know "sha" in __builtin_cpu_supports(). */
	if (!__builtin_cpu_supports("sse4.1"))
		return false;
	__asm__("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "a"(7), "c"(0));
	return (ebx >> 29) & 1;
}

#endif

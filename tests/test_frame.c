/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A frame is whole or it is not there: no part of one, and none with a bit flipped, is ever
 * accepted.
 */

#include "base/frame.h"

#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "bulla/error.h"

Suite(frame);

enum { SIZE_MAX_HERE = 4096, TYPE = 0x454d5246 };

static uint8_t bytes[FRAME_HEADER_SIZE + SIZE_MAX_HERE + FRAME_ALIGN];

/* A finished frame of `size` bytes that are not zero, at `at`. */
static size_t make(uint8_t *at, uint32_t type, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		at[FRAME_HEADER_SIZE + i] = (uint8_t) (i % 255 + 1);
	return frame_finish(at, type, size);
}

/* Parse bytes that lie alone on the heap, so that reading past them is seen. */
static ssize_t parse_alone(const uint8_t *p, size_t n)
{
	uint8_t *alone = exact_copy(p, n);
	struct frame f = { .type = 77 };
	ssize_t r = frame_parse(alone, n, SIZE_MAX_HERE, &f);

	if (r <= 0)
		cr_expect(eq(u32, f.type, 77), "the result was touched on failure");
	free(alone);
	return r;
}

Test(frame, frames_of_every_size_survive)
{
	for (uint32_t size = 0; size <= 300; size++) {
		struct frame f;
		size_t space;

		memset(bytes, 0xee, sizeof bytes);
		space = make(bytes, TYPE, size);
		cr_assert(eq(sz, space, frame_space(size)), "size %u", size);
		cr_expect(eq(sz, space % FRAME_ALIGN, 0), "size %u", size);
		cr_expect(eq(u8, bytes[space], 0xee), "size %u: wrote past its space", size);
		cr_assert(eq(i64, frame_parse(bytes, space, size, &f), (int64_t) space), "size %u",
			  size);
		cr_expect(eq(u32, f.size, size));
		cr_expect(eq(u32, f.type, TYPE), "size %u", size);
		cr_expect(eq(ptr, (void *) f.payload, bytes + FRAME_HEADER_SIZE), "size %u", size);
		cr_expect(eq(i64, parse_alone(bytes, space), (int64_t) space), "size %u", size);
	}
}

Test(frame, the_layout_is_the_documented_one)
{
	static const uint8_t head[8] = { 3, 0, 0, 0, 0x46, 0x52, 0x4d, 0x45 };
	static const uint8_t tail[4] = { 1, 2, 3, 0 };
	uint32_t crc;

	memset(bytes, 0xee, sizeof bytes);
	cr_assert(eq(sz, make(bytes, TYPE, 3), 16));
	cr_expect(eq(int, memcmp(bytes, head, 8), 0));
	cr_expect(eq(int, memcmp(bytes + 12, tail, 4), 0));
	memcpy(&crc, bytes + 8, 4);
	cr_expect(eq(u32, crc, crc32c_portable(crc32c_portable(0, head, 8), tail, 3)));
}

Test(frame, every_truncation_is_refused)
{
	for (uint32_t size = 0; size < 70; size++) {
		size_t space = make(bytes, TYPE, size);

		cr_assert(eq(i64, parse_alone(bytes, 0), 0));
		for (size_t cut = 1; cut < space; cut++) {
			ssize_t r = parse_alone(bytes, cut);
			/* The size of an empty frame begins with zeroes, as does unwritten space. */
			bool blank = size == 0 && cut <= 4;

			cr_assert(eq(i64, r, blank ? 0 : BULLA_ETRUNCATED), "size %u, cut at %zu",
				  size, cut);
		}
	}
}

Test(frame, every_flipped_bit_is_refused)
{
	for (uint32_t size = 0; size < 70; size++) {
		size_t space = make(bytes, TYPE, size);

		for (size_t bit = 0; bit < 8 * space; bit++) {
			bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
			cr_assert(lt(i64, parse_alone(bytes, space), 0), "size %u, bit %zu", size,
				  bit);
			bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
		}
		cr_assert(eq(i64, parse_alone(bytes, space), (int64_t) space), "size %u: control",
			  size);
	}
}

Test(frame, every_flipped_bit_is_refused_where_more_bytes_follow)
{
	/* A flipped size then reaches into the next frame instead of the end. */
	size_t first = make(bytes, TYPE, 21), second = make(bytes + first, TYPE, 200);

	for (size_t bit = 0; bit < 8 * first; bit++) {
		bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
		cr_assert(lt(i64, parse_alone(bytes, first + second), 0), "bit %zu", bit);
		bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
}

Test(frame, any_write_torn_at_a_byte_is_refused)
{
	/* What was there before the write: zeroes of preallocated space. */
	size_t space = make(bytes, TYPE, 100);

	for (size_t cut = 0; cut < FRAME_HEADER_SIZE + 100; cut++) {
		uint8_t torn[128] = { 0 };
		ssize_t r;

		memcpy(torn, bytes, cut);
		r = parse_alone(torn, space);
		if (cut == 0)
			cr_assert(eq(i64, r, 0));
		else
			cr_assert(lt(i64, r, 0), "torn at %zu", cut);
	}
}

struct limit {
	uint32_t size, size_max;
	bool fits;
};

ParameterizedTestParameters(frame, the_limit_is_inclusive)
{
	static struct limit cases[] = {
		{ 0, 0, true },	       { 1, 0, false },
		{ 99, 100, true },     { 100, 100, true },
		{ 101, 100, false },   { 4096, 4096, true },
		{ 4096, 4095, false }, { 4096, UINT32_MAX, true },
	};

	return cr_make_param_array(struct limit, cases, ELEMENTS(cases));
}

ParameterizedTest(struct limit *c, frame, the_limit_is_inclusive)
{
	size_t space = make(bytes, TYPE, c->size);
	struct frame f;
	int64_t want = c->fits ? (int64_t) space : BULLA_ELIMIT;

	cr_expect(eq(i64, frame_parse(bytes, space, c->size_max, &f), want), "%u of %u", c->size,
		  c->size_max);
	/* A limit is told before the bytes have arrived: nobody waits for four gigabytes. */
	want = c->fits ? BULLA_ETRUNCATED : BULLA_ELIMIT;
	if (c->size > 0)
		cr_expect(eq(i64, frame_parse(bytes, FRAME_HEADER_SIZE, c->size_max, &f), want),
			  "%u of %u", c->size, c->size_max);
}

Test(frame, absurd_sizes_do_not_wrap)
{
	for (uint32_t size = UINT32_MAX; size > UINT32_MAX - 30; size--) {
		struct frame f;

		make(bytes, TYPE, 8);
		memcpy(bytes, &size, 4);
		cr_expect(eq(i64, frame_parse(bytes, 24, UINT32_MAX, &f), BULLA_ETRUNCATED),
			  "size %u", size);
		cr_expect(eq(i64, frame_parse(bytes, 24, UINT32_MAX - 30, &f), BULLA_ELIMIT),
			  "size %u", size);
	}
}

Test(frame, padding_is_zero_or_the_frame_is_corrupt)
{
	for (uint32_t size = 0; size < 16; size++) {
		size_t space = make(bytes, TYPE, size);

		for (size_t at = FRAME_HEADER_SIZE + size; at < space; at++) {
			bytes[at] = 0x80;
			cr_expect(eq(i64, parse_alone(bytes, space), BULLA_ECORRUPT),
				  "size %u, byte %zu", size, at);
			bytes[at] = 0;
		}
	}
}

Test(frame, type_zero_is_never_a_frame)
{
	for (uint32_t size = 0; size < 32; size++) {
		size_t space = make(bytes, 0, size);

		cr_expect(eq(i64, parse_alone(bytes, space), BULLA_ECORRUPT), "size %u", size);
	}
}

Test(frame, unwritten_space_of_any_size_is_the_end)
{
	static const uint8_t zeroes[64];

	for (size_t n = 0; n <= sizeof zeroes; n++)
		cr_expect(eq(i64, parse_alone(zeroes, n), 0), "%zu zeroes", n);
	for (size_t at = 0; at < FRAME_HEADER_SIZE; at++) {
		uint8_t dirty[64] = { 0 };

		dirty[at] = 1;
		cr_expect(lt(i64, parse_alone(dirty, sizeof dirty), 0), "byte %zu", at);
	}
}

Test(frame, a_row_of_frames_is_read_back)
{
	size_t at = 0, n = 0;
	struct frame f;
	ssize_t r;

	memset(bytes, 0, sizeof bytes);
	for (uint32_t size = 0; size < 60; size += 7, n++)
		at += make(bytes + at, TYPE + size, size);
	for (at = 0; (r = frame_parse(bytes + at, sizeof bytes - at, 64, &f)) > 0;
	     at += (size_t) r) {
		cr_assert(eq(u32, f.type, TYPE + f.size), "at %zu", at);
		n--;
	}
	cr_expect(eq(i64, r, 0));
	cr_expect(eq(sz, n, 0));
}

Test(frame, random_bytes_are_no_frame)
{
	uint64_t seed = 4;

	for (int round = 0; round < 20000; round++) {
		uint8_t noise[48];
		size_t n = random_u64(&seed) % (sizeof noise + 1);

		random_fill(&seed, noise, n);
		/* Let half of them have a plausible size. */
		if (n >= 4 && round & 1)
			memset(noise + 1, 0, 3);
		cr_assert(le(i64, parse_alone(noise, n), 0), "round %d", round);
	}
}

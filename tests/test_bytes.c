/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Cursors never leave their bytes, latch the first error, and know one encoding of each number.
 */

#include "base/bytes.h"

#include "tests/harness.h"

#include <stdlib.h>

Suite(bytes);

static const uint8_t sample[8] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };

Test(bytes, integers_are_little_endian)
{
	struct rd r = rd_of(sample, 8);

	cr_expect(eq(u64, rd_u64(&r), 0xefcdab8967452301ull));
	r = rd_of(sample, 8);
	cr_expect(eq(i64, rd_i64(&r), (int64_t) 0xefcdab8967452301ull));
	r = rd_of(sample, 8);
	cr_expect(eq(u32, rd_u32(&r), 0x67452301u));
	cr_expect(eq(u16, rd_u16(&r), 0xab89));
	cr_expect(eq(u8, rd_u8(&r), 0xcd));
	cr_expect(eq(sz, r.left, 1));
	cr_expect(not(r.bad));
}

Test(bytes, integers_are_written_as_they_are_read)
{
	uint8_t at[32];
	struct wr w = wr_of(at + 1, 23); /* at an odd address, for the sanitizer */
	struct rd r = rd_of(at + 1, 23);

	wr_u8(&w, 0xfe);
	wr_u16(&w, 0xfedc);
	wr_u32(&w, 0xfedcba98u);
	wr_u64(&w, 0xfedcba9876543210ull);
	wr_i64(&w, INT64_MIN);
	cr_assert(not(w.bad));
	cr_assert(eq(sz, w.len, 23));
	cr_expect(eq(u8, rd_u8(&r), 0xfe));
	cr_expect(eq(u16, rd_u16(&r), 0xfedc));
	cr_expect(eq(u32, rd_u32(&r), 0xfedcba98u));
	cr_expect(eq(u64, rd_u64(&r), 0xfedcba9876543210ull));
	cr_expect(eq(i64, rd_i64(&r), INT64_MIN));
	cr_expect(eq(sz, r.left, 0));
	cr_expect(not(r.bad));
}

/* Every fixed-width read, on every number of bytes that does not suffice. */

static uint64_t read_width(struct rd *r, size_t width)
{
	switch (width) {
	case 1:
		return rd_u8(r);
	case 2:
		return rd_u16(r);
	case 4:
		return rd_u32(r);
	default:
		return rd_u64(r);
	}
}

Test(bytes, short_reads_yield_zero_and_latch)
{
	for (size_t width = 1; width <= 8; width *= 2) {
		for (size_t have = 0; have < width; have++) {
			uint8_t *p = exact_copy(sample, have);
			struct rd r = rd_of(p, have);

			cr_expect(eq(u64, read_width(&r, width), 0), "%zu of %zu", have, width);
			cr_expect(r.bad, "%zu of %zu", have, width);
			cr_expect(eq(sz, r.left, have), "a failed read consumed bytes");
			cr_expect(eq(u8, rd_u8(&r), 0), "the error did not stick");
			free(p);
		}
	}
}

Test(bytes, borrowed_bytes_are_the_callers)
{
	struct rd r = rd_of(sample, 8);

	cr_expect(eq(ptr, (void *) rd_bytes(&r, 3), (void *) sample));
	cr_expect(eq(ptr, (void *) rd_bytes(&r, 5), (void *) (sample + 3)));
	cr_expect(eq(ptr, (void *) rd_bytes(&r, 0), (void *) (sample + 8)));
	cr_expect(not(r.bad), "nothing at the end is no error");
	cr_expect(eq(ptr, (void *) rd_bytes(&r, 1), NULL));
	cr_expect(r.bad);
	cr_expect(eq(ptr, (void *) rd_bytes(&r, 0), NULL), "not even nothing after an error");
}

Test(bytes, absurd_sizes_are_refused)
{
	static const size_t sizes[] = { 9, SIZE_MAX / 2, SIZE_MAX - 8, SIZE_MAX - 1, SIZE_MAX };
	uint8_t room[8];

	for (size_t i = 0; i < ELEMENTS(sizes); i++) {
		struct rd r = rd_of(sample, 8);
		struct wr w = wr_of(room, sizeof room);

		cr_expect(eq(ptr, (void *) rd_bytes(&r, sizes[i]), NULL), "%zu", sizes[i]);
		cr_expect(r.bad, "%zu", sizes[i]);
		wr_u8(&w, 1);
		cr_expect(eq(ptr, wr_reserve(&w, sizes[i]), NULL), "%zu", sizes[i]);
		cr_expect(w.bad, "%zu", sizes[i]);
	}
}

Test(bytes, a_short_copy_leaves_zeroes)
{
	uint8_t to[4] = { 9, 9, 9, 9 };
	struct rd r = rd_of(sample, 3);

	rd_copy(&r, to, 4);
	cr_expect(r.bad);
	for (size_t i = 0; i < 4; i++)
		cr_expect(eq(u8, to[i], 0), "byte %zu", i);
}

Test(bytes, a_full_writer_writes_nothing_more)
{
	for (size_t cap = 0; cap < 8; cap++) {
		uint8_t room[9];
		struct wr w = wr_of(room, cap);

		memset(room, 0xee, sizeof room);
		wr_u64(&w, 0);
		cr_expect(w.bad, "cap %zu", cap);
		cr_expect(eq(sz, w.len, 0), "cap %zu", cap);
		wr_u8(&w, 0);
		cr_expect(eq(sz, w.len, 0), "cap %zu: the error did not stick", cap);
		for (size_t i = 0; i < sizeof room; i++)
			cr_expect(eq(u8, room[i], 0xee), "cap %zu, byte %zu", cap, i);
	}
}

Test(bytes, cursors_over_nothing_are_harmless)
{
	uint8_t unused;
	struct rd r = rd_of(&unused, 0);
	struct wr w = wr_of(&unused, 0);

	cr_expect(rd_bytes(&r, 0) != NULL);
	wr_bytes(&w, NULL, 0);
	cr_expect(not(r.bad));
	cr_expect(not(w.bad));
	cr_expect(eq(u64, rd_varint(&r), 0));
	cr_expect(r.bad);
	wr_varint(&w, 0);
	cr_expect(w.bad);
}

Test(bytes, no_memory_at_all_is_an_empty_cursor)
{
	struct rd r = rd_of(NULL, 0);
	struct wr w = wr_of(NULL, 0);

	rd_bytes(&r, 0);
	wr_bytes(&w, NULL, 0);
	cr_expect(not(r.bad));
	cr_expect(not(w.bad));
	rd_u8(&r);
	wr_u8(&w, 0);
	cr_expect(r.bad);
	cr_expect(w.bad);
}

/* Varints. */

#define EDGES                                                                                 \
	DataPoints(uint64_t, 0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 0x1fffff, 0x200000, 0xfffffff, \
		   0x10000000, UINT32_MAX, 1ull << 32, (1ull << 56) - 1, 1ull << 56,          \
		   (1ull << 63) - 1, 1ull << 63, UINT64_MAX - 1, UINT64_MAX)

static size_t varint_size(uint64_t v)
{
	size_t n = 1;

	while (v >>= 7)
		n++;
	return n;
}

TheoryDataPoints(bytes, varints_survive_and_are_shortest) = { EDGES };

Theory((uint64_t v), bytes, varints_survive_and_are_shortest)
{
	uint8_t at[VARINT_SIZE_MAX];
	struct wr w = wr_of(at, sizeof at);
	struct rd r;

	wr_varint(&w, v);
	cr_assert(not(w.bad));
	cr_assert(eq(sz, w.len, varint_size(v)));
	r = rd_of(at, w.len);
	cr_assert(eq(u64, rd_varint(&r), v));
	cr_assert(not(r.bad));
	cr_assert(eq(sz, r.left, 0));
}

TheoryDataPoints(bytes, every_truncation_of_a_varint_is_refused) = { EDGES };

Theory((uint64_t v), bytes, every_truncation_of_a_varint_is_refused)
{
	uint8_t at[VARINT_SIZE_MAX];
	struct wr w = wr_of(at, sizeof at);

	wr_varint(&w, v);
	for (size_t cut = 0; cut < w.len; cut++) {
		uint8_t *p = exact_copy(at, cut);
		struct rd r = rd_of(p, cut);

		cr_assert(eq(u64, rd_varint(&r), 0), "cut at %zu", cut);
		cr_assert(r.bad, "cut at %zu", cut);
		free(p);
	}
	for (size_t cap = 0; cap < w.len; cap++) {
		struct wr small = wr_of(at, cap);

		wr_varint(&small, v);
		cr_assert(small.bad, "room for %zu", cap);
		cr_assert(eq(sz, small.len, 0), "room for %zu: half a number was written", cap);
	}
}

struct bad_varint {
	char why[32];
	uint8_t bytes[12];
	size_t size;
};

ParameterizedTestParameters(bytes, bad_varints_are_refused)
{
	static struct bad_varint cases[] = {
		{ "zero in two bytes", { 0x80, 0x00 }, 2 },
		{ "one in two bytes", { 0x81, 0x00 }, 2 },
		{ "127 in three bytes", { 0xff, 0x80, 0x00 }, 3 },
		{ "zero in ten bytes",
		  { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00 },
		  10 },
		{ "2^64", { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02 }, 10 },
		{ "2^64 + 2^63",
		  { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x03 },
		  10 },
		{ "all bits of ten bytes",
		  { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f },
		  10 },
		{ "eleven bytes",
		  { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x00 },
		  11 },
		{ "without end",
		  { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		  12 },
	};

	return cr_make_param_array(struct bad_varint, cases, ELEMENTS(cases));
}

ParameterizedTest(struct bad_varint *c, bytes, bad_varints_are_refused)
{
	struct rd r = rd_of(c->bytes, c->size);

	cr_expect(eq(u64, rd_varint(&r), 0), "%s", c->why);
	cr_expect(r.bad, "%s", c->why);
}

Test(bytes, no_two_short_encodings_mean_the_same)
{
	/* Whatever is read from three arbitrary bytes is written back as the same bytes. */
	for (uint32_t v = 0; v < 1u << 24; v += 1 + (v >> 17)) {
		uint8_t in[3], out[VARINT_SIZE_MAX];
		struct rd r = rd_of(in, 3);
		struct wr w = wr_of(out, sizeof out);
		uint64_t number;

		memcpy(in, &v, 3);
		number = rd_varint(&r);
		if (r.bad)
			continue;
		wr_varint(&w, number);
		cr_assert(eq(sz, w.len, 3 - r.left), "bytes %06x", v);
		cr_assert(eq(int, memcmp(in, out, w.len), 0), "bytes %06x", v);
	}
}

TheoryDataPoints(bytes, zigzag_survives) = {
	DataPoints(int64_t, 0, -1, 1, -64, 63, 64, -65, INT32_MIN, INT32_MAX, INT64_MIN + 1,
		   INT64_MIN, INT64_MAX - 1, INT64_MAX),
};

Theory((int64_t v), bytes, zigzag_survives)
{
	uint8_t at[VARINT_SIZE_MAX];
	struct wr w = wr_of(at, sizeof at);
	struct rd r;

	wr_zigzag(&w, v);
	r = rd_of(at, w.len);
	cr_assert(eq(i64, rd_zigzag(&r), v));
	cr_assert(not(r.bad));
}

Test(bytes, zigzag_keeps_small_numbers_short)
{
	static const int64_t values[] = { 0, -1, 1, -2, 2, -64, 63 };
	static const uint8_t wanted[] = { 0, 1, 2, 3, 4, 127, 126 };

	for (size_t i = 0; i < ELEMENTS(values); i++) {
		uint8_t at[VARINT_SIZE_MAX];
		struct wr w = wr_of(at, sizeof at);

		wr_zigzag(&w, values[i]);
		cr_expect(eq(sz, w.len, 1), "row %zu", i);
		cr_expect(eq(u8, at[0], wanted[i]), "row %zu", i);
	}
}

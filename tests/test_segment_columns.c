/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Columns of a segment give back what went in, whatever form was chosen for it, and take no bytes for more than they are.
 */

#include "store/segment/strings.h"
#include "store/segment/timetext.h"

#include "tests/harness.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bulla/error.h"

Suite(segment_columns);

enum { N_MAX = 3000, SHAPES = 11 };

/* Columns of many shapes, so that each form is the best for some. */
static uint64_t number(unsigned shape, size_t i, uint64_t *seed)
{
	uint64_t r = random_u64(seed);

	switch (shape) {
	case 0:
		return 7;
	case 1:
		return r;
	case 2:
		return 1700000000000000000 + i * 1000 + r % 10;
	case 3:
		return r % 3 ? 200 : 5000000000 + r % 4 * 1000000007;
	case 4:
		return i / 100 * 77;
	case 5:
		return r % 100 == 0 ? r : r % 5;
	case 6:
		return UINT64_MAX - r % 3;
	case 7:
		return i % 2 ? UINT64_MAX : 0;
	case 8:
		return 1700000000000000000 + r % 20000000 * 1000;
	case 9:
		return UINT64_MAX - r % 1000 * 4096;
	default:
		return 1000 + r % 60000;
	}
}

static size_t encode(const uint64_t *v, size_t n, struct buf *to)
{
	struct ints_scratch s = { 0 };

	ints_encode(&s, v, n, to);
	ints_scratch_done(&s);
	cr_assert(not(to->bad));
	return to->len;
}

Test(segment_columns, numbers_come_back)
{
	uint64_t seed = 1, *v = calloc(2 * N_MAX, sizeof *v);

	for (unsigned shape = 0; shape < SHAPES; shape++) {
		for (size_t n = 0; n <= N_MAX; n = n < 70 ? n + 1 : 3 * n) {
			struct buf b = { 0 };
			uint8_t *alone;
			struct rd r;
			size_t len;

			for (size_t i = 0; i < n; i++)
				v[i] = number(shape, i, &seed);
			len = encode(v, n, &b);
			alone = exact_copy(b.data, len);
			r = rd_of(alone, len);
			cr_assert(eq(int, ints_decode(&r, n, v + N_MAX), 0), "shape %u, %zu", shape,
				  n);
			cr_assert(eq(sz, r.left, 0));
			cr_assert(eq(int, memcmp(v, v + N_MAX, n * sizeof *v), 0), "shape %u, %zu",
				  shape, n);
			free(alone);
			buf_done(&b);
		}
	}
	free(v);
}

Test(segment_columns, numbers_take_no_more_than_they_are_worth)
{
	/* Before compression, which still finds the zeroes. */
	static const double most[SHAPES] = {
		0.02, 8.1, 2.1, 1.3, 1.1, 2.0, 1.1, 1.1, 4.1, 2.1, 2.1
	};
	uint64_t seed = 2, *v = calloc(N_MAX, sizeof *v);

	for (unsigned shape = 0; shape < SHAPES; shape++) {
		struct buf b = { 0 };

		for (size_t i = 0; i < N_MAX; i++)
			v[i] = number(shape, i, &seed);
		cr_expect(le(dbl, (double) encode(v, N_MAX, &b) / N_MAX, most[shape]), "shape %u",
			  shape);
		buf_done(&b);
	}
	free(v);
}

Test(segment_columns, damaged_numbers_are_refused_or_read_but_never_more)
{
	uint64_t seed = 3, *v = calloc(N_MAX, sizeof *v);

	for (unsigned shape = 0; shape < SHAPES; shape++) {
		struct buf b = { 0 };
		size_t len;

		for (size_t i = 0; i < 100; i++)
			v[i] = number(shape, i, &seed);
		len = encode(v, 100, &b);
		for (size_t cut = 0; cut < len; cut++) {
			uint8_t *alone = exact_copy(b.data, cut);
			struct rd r = rd_of(alone, cut);

			cr_expect(eq(int, ints_decode(&r, 100, v), BULLA_ECORRUPT),
				  "shape %u cut at %zu", shape, cut);
			free(alone);
		}
		for (size_t bit = 0; bit < 8 * len; bit++) {
			uint8_t *alone = exact_copy(b.data, len);
			struct rd r = rd_of(alone, len);
			int k;

			alone[bit / 8] ^= (uint8_t) (1 << bit % 8);
			k = ints_decode(&r, 100, v);
			cr_expect(k == 0 || k == BULLA_ECORRUPT || k == BULLA_EVERSION);
			free(alone);
		}
		buf_done(&b);
	}
	free(v);
}

/* Of what has a factor nothing is written in two ways. */
Test(segment_columns, a_factor_is_two_at_least_and_more_than_the_rest)
{
	static const struct {
		uint8_t bytes[8];
		size_t n;
		int result;
	} cases[] = {
		{ { 7, 2, 1, 0, 3 }, 5, 0 },
		{ { 7, 0, 0, 0, 3 }, 5, BULLA_ECORRUPT },
		{ { 7, 1, 0, 0, 3 }, 5, BULLA_ECORRUPT },
		{ { 7, 2, 2, 0, 3 }, 5, BULLA_ECORRUPT },
		{ { 7, 2, 1, 7, 2, 1, 7, 2 }, 8, BULLA_ECORRUPT },
		{ { 7, 2 }, 2, BULLA_ECORRUPT },
	};

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		uint8_t *alone = exact_copy(cases[i].bytes, cases[i].n);
		struct rd r = rd_of(alone, cases[i].n);
		uint64_t v[2];

		cr_expect(eq(int, ints_decode(&r, 2, v), cases[i].result), "%zu", i);
		if (cases[i].result == 0) {
			cr_expect(eq(u64, v[0], 7));
			cr_expect(eq(u64, v[1], 7));
		}
		free(alone);
	}
}

Test(segment_columns, strings_come_back)
{
	uint64_t seed = 4;
	static struct text v[N_MAX], got[N_MAX];
	static uint8_t noise[1 << 16];

	for (size_t i = 0; i < sizeof noise; i++)
		noise[i] = (uint8_t) random_u64(&seed);
	for (unsigned distinct = 1; distinct <= N_MAX; distinct *= 5) {
		for (size_t n = 0; n <= N_MAX; n = n < 20 ? n + 1 : 5 * n) {
			struct strings_scratch s = { 0 };
			struct buf b = { 0 };
			struct rd r;

			for (size_t i = 0; i < n; i++) {
				uint64_t k = random_u64(&seed) % distinct;

				v[i] = (struct text){ noise + 16 * k, (uint32_t) (k % 33) };
			}
			strings_encode(&s, v, n, &b);
			cr_assert(not(b.bad));
			r = rd_of(b.data, b.len);
			cr_assert(eq(int, strings_decode(&r, n, got), 0));
			cr_assert(eq(sz, r.left, 0));
			for (size_t i = 0; i < n; i++) {
				cr_assert(eq(u32, got[i].len, v[i].len));
				cr_assert(eq(int, memcmp(got[i].p, v[i].p, v[i].len), 0));
			}
			strings_scratch_done(&s);
			buf_done(&b);
		}
	}
}

/* 2026-01-05 09:00:00.003421987 UTC */
#define NOW UINT64_C(1767603600003421987)

struct time_case {
	char text[48];
	size_t len;
	uint64_t units;
};

static struct time_case times[] = {
	{ "2026-01-05T09:00:00.003421987Z", 29, NOW },
	{ "2026-01-05T09:00:00Z", 19, NOW / NS_PER_S },
	{ "2026-01-05 09:00:00,003 - WARN", 23, NOW / 1000000 },
	{ "2026/01/05 09:00:00 [error]", 19, NOW / NS_PER_S },
	{ "05/Jan/2026:09:00:00 +0000", 20, NOW / NS_PER_S },
	{ "Jan 05 09:00:00 host", 15, NOW / NS_PER_S },
	{ "Jan  5 09:00:00 host", 15, NOW / NS_PER_S },
	{ "01-05 09:00:00.003  2333", 18, NOW / 1000000 },
	{ "01.05 09:00:00]", 14, NOW / NS_PER_S },
	{ "26/01/05 09:00:00 INFO", 17, NOW / NS_PER_S },
	{ "05 Jan 2026 09:00:00.003 *", 24, NOW / 1000000 },
	{ "2026-01-05-09.00.00.003421 R02", 26, NOW / 1000 },
	{ "260105 090000 143 INFO", 13, NOW / NS_PER_S },
	{ "09:00:00.5 x", 10, NOW / NS_PER_S * 10 + 5 },
	{ "1767603600 x", 10, NOW / NS_PER_S },
	{ "1767603600003,", 13, NOW / 1000000 },
	{ "1767603600003421", 16, NOW / 1000 },
	{ "1767603600003421987", 19, NOW },
	{ "1767603600.003421 x", 17, NOW / 1000 },
	{ "2026-01-05 x", 10, NOW / NS_PER_S / 86400 * 86400 },
	{ "2025-02-29 10:00:00", 0, 0 },
	{ "2026-13-01 10:00:00", 0, 0 },
	{ "2026-01-05T24:00:00Z", 10, NOW / NS_PER_S / 86400 * 86400 },
	{ "2026-01-05T09:00:001", 10, NOW / NS_PER_S / 86400 * 86400 },
	{ "09:00:00.1234567890", 8, NOW / NS_PER_S }, /* no such fraction */
	{ "Foo 05 09:00:00", 0, 0 },
	{ "176760360000", 0, 0 },
	{ "0000-00-00 00:00:00", 0, 0 },
};

ParameterizedTestParameters(segment_columns, times_in_texts)
{
	return cr_make_param_array(struct time_case, times, ELEMENTS(times));
}

ParameterizedTest(struct time_case *c, segment_columns, times_in_texts)
{
	struct timetext_base base = { 0 };
	struct timetext_form form = { 0 };
	uint8_t again[TIMETEXT_SIZE_MAX];
	uint8_t *alone = exact_copy(c->text, strlen(c->text));
	uint64_t units = 0;
	size_t len;

	timetext_base_set(&base, NOW);
	len = timetext_read(alone, strlen(c->text), &base, &form, &units);
	cr_expect(eq(sz, len, c->len), "%s", c->text);
	if (len > 0) {
		cr_expect(eq(u64, units, c->units), "%s", c->text);
		cr_expect(timetext_form_is_known(&form));
		if (isdigit(alone[0]))
			cr_expect(timetext_may_begin(strspn(c->text, "0123456789")), "%s", c->text);
		cr_assert(eq(sz, timetext_write(&form, units, again), len), "%s", c->text);
		cr_expect(eq(int, memcmp(again, c->text, len), 0), "%s", c->text);
	}
	free(alone);
}

/* What was read last is not read again, but told of another day it is another time. */
Test(segment_columns, a_text_tells_the_day_of_its_entry)
{
	static const uint8_t clock[] = "09:00:01.250 go", date[] = "01-05 09:00:01 go";
	struct timetext_base base = { 0 };

	for (uint64_t day = 0; day < 3; day++)
		for (unsigned again = 0; again < 2; again++) {
			uint64_t now = (NOW / NS_PER_S / 86400 + 400 * day) * 86400, units;
			struct timetext_form form;

			timetext_base_set(&base, now * NS_PER_S);
			cr_assert(eq(sz,
				     timetext_read(clock, sizeof clock - 1, &base, &form, &units),
				     12));
			cr_expect(eq(u64, units, (now + 9 * 3600 + 1) * 1000 + 250));
			cr_assert(eq(sz, timetext_read(date, sizeof date - 1, &base, &form, &units),
				     14));
			cr_expect(eq(u64, units % 86400, 9 * 3600 + 1));
			cr_expect(le(u64, units, now + 366 * 86400));
			cr_expect(ge(u64, units + 366 * 86400, now));
		}
}

Test(segment_columns, every_day_of_two_centuries_comes_back)
{
	struct timetext_form form = { .format = 0 };
	struct timetext_base base = { 0 };

	timetext_base_set(&base, NOW);
	for (uint64_t day = 400; day < 84000; day++) {
		uint8_t text[TIMETEXT_SIZE_MAX];
		uint64_t units, want = day * 86400 + day % 86400;
		size_t len = timetext_write(&form, want, text);

		cr_assert(eq(sz, len, 19));
		if (memcmp(text, "1971", 4) < 0 || memcmp(text, "2199", 4) > 0)
			continue;
		cr_assert(eq(sz, timetext_read(text, len, &base, &form, &units), len), "%.*s",
			  (int) len, text);
		cr_assert(eq(u64, units, want));
	}
}

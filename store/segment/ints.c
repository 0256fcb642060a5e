/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The form is chosen by what the bytes of each would weigh: their entropy of order 0, which is about what the compressor
 * makes of columns that have no repetitions longer than a value.  Runs and dictionaries catch those that have.  Most columns
 * are of a few numbers: there it is the bytes themselves that count, in one of two forms.  Only there varints are of use; what
 * is rarely long has planes that are nearly empty.
 */

#include "store/segment/ints-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

enum {
	DICT_SLOTS = 1024,
	FEW = 32, /* numbers: of so few entropy tells nothing, and their bytes are counted */
	STRETCH = 128,
	STRETCHES = 16, /* of longer columns no more is weighed than so many stretches */
	SPARSE = 128,	/* fewer bytes than this are counted by going over them again */
};

void ints_scratch_done(struct ints_scratch *s)
{
	free(s->words);
	free(s->bytes);
	*s = (struct ints_scratch){ 0 };
}

static bool scratch_room(struct ints_scratch *s, size_t n)
{
	uint64_t *words;
	uint8_t *bytes;

	if (n <= s->cap)
		return true;
	n = MAX_OF(2 * s->cap, n + 64);
	words = reallocarray(s->words, n, sizeof *words);
	if (words)
		s->words = words;
	bytes = reallocarray(s->bytes, n, VARINT_SIZE_MAX);
	if (bytes)
		s->bytes = bytes;
	if (words && bytes)
		s->cap = n;
	return words && bytes;
}

static unsigned bits_of(uint64_t v)
{
	return v == 0 ? 0 : 64 - (unsigned) __builtin_clzll(v);
}

/* Weighing, in bits. */

/* To a hundredth: the exponent, and a parabola through the mantissa. */
static inline float log2_of(uint32_t v)
{
	float f = (float) v, m;
	uint32_t bits;

	memcpy(&bits, &f, sizeof bits);
	bits = (bits & 0x7fffff) | 0x3f800000;
	memcpy(&m, &bits, sizeof m);
	memcpy(&bits, &f, sizeof bits);
	return (float) (int) (bits >> 23) - 127.0f + ((-0.33582878f * m + 2.0f) * m - 1.65871759f);
}

/* @return n * log2(n) less the same of each symbol's number, and what it costs to tell the code. */
static float weigh_counts(const uint32_t *count, size_t n)
{
	float bits = (float) n * log2_of((uint32_t) n);
	unsigned distinct = 0;

	for (unsigned i = 0; i < 256; i++) {
		/* 1 * log2(1) is 0, too. */
		bits -= (float) count[i] * log2_of(MAX_OF(count[i], 1u));
		distinct += count[i] > 0;
	}
	return bits + 5.0f * (float) distinct;
}

/* Few bytes: their counts are taken back one by one, so that all are zero again. */
static float weigh_few(uint32_t *count, const uint8_t *p, size_t n)
{
	float bits = (float) n * log2_of((uint32_t) n);
	unsigned distinct = 0;

	for (size_t i = 0; i < n; i++)
		count[p[i]]++;
	for (size_t i = 0; i < n; i++) {
		uint32_t k = count[p[i]];

		if (k == 0)
			continue;
		count[p[i]] = 0;
		distinct++;
		if (k > 1)
			bits -= (float) k * log2_of(k);
	}
	return bits + 5.0f * (float) distinct;
}

/* Two counts of each, for a byte is often followed by itself. */
static float weigh_many(const uint8_t *p, size_t n)
{
	uint32_t count[2][256] = { 0 };
	size_t i = 0;

	for (; i + 2 <= n; i += 2) {
		count[0][p[i]]++;
		count[1][p[i + 1]]++;
	}
	if (i < n)
		count[0][p[i]]++;
	for (i = 0; i < 256; i++)
		count[0][i] += count[1][i];
	return weigh_counts(count[0], n);
}

static float weigh_bytes(struct ints_scratch *s, const uint8_t *p, size_t n)
{
	float bits = n == 0 ? 0 : n < SPARSE ? weigh_few(s->count, p, n) : weigh_many(p, n);

	return MIN_OF(bits, 8.0f * (float) n);
}

static void get_plane(const uint64_t *v, size_t n, uint64_t base, unsigned k, uint8_t *to)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t) ((v[i] - base) >> (8 * k));
}

static float weigh_planes(struct ints_scratch *s, const uint64_t *v, size_t n, uint64_t base,
			  unsigned bytes)
{
	float bits = 0;

	for (unsigned k = 0; k < bytes; k++) {
		get_plane(v, n, base, k, s->bytes);
		bits += weigh_bytes(s, s->bytes, n);
	}
	return bits;
}

static size_t get_varints(const uint64_t *v, size_t n, uint8_t *to)
{
	uint8_t *at = to;

	for (size_t i = 0; i < n; i++)
		at = varint_put(at, v[i]);
	return (size_t) (at - to);
}

/* Facts about a column. */

struct facts {
	uint64_t min, max, delta_max;
	size_t runs;
	unsigned __int128 sum,
		delta_sum;	  /* of all numbers, each less the least, and of all differences */
	unsigned distinct;	  /* DICT_MAX + 1: more; 0: nobody counted */
	uint64_t value[DICT_MAX]; /* in order of their coming */
};

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

/* @return the place of the slot that has the value or is free. */
static unsigned slot_of(const struct facts *f, const uint16_t *slot, uint64_t v)
{
	unsigned at = (unsigned) ((v * 0x9e3779b97f4a7c15ull) >> 54);

	while (slot[at] != 0 && f->value[slot[at] - 1] != v)
		at = (at + 1) % DICT_SLOTS;
	return at;
}

static void count_distinct(struct facts *f, const uint64_t *v, size_t n)
{
	uint16_t slot[DICT_SLOTS] = { 0 };
	uint64_t last = ~v[0];

	for (size_t i = 0; i < n; i++) {
		unsigned at;

		if (v[i] == last)
			continue;
		last = v[i];
		at = slot_of(f, slot, last);
		if (slot[at] != 0)
			continue;
		if (f->distinct == DICT_MAX) {
			f->distinct = DICT_MAX + 1;
			return;
		}
		f->value[f->distinct++] = last;
		slot[at] = (uint16_t) f->distinct;
	}
}

/* The places of a column's numbers among the distinct ones, of which each is one. */
static void get_places(const struct facts *f, const uint64_t *v, size_t n, uint8_t *to)
{
	uint16_t slot[DICT_SLOTS] = { 0 };
	uint64_t last = ~v[0];
	uint8_t place = 0;

	for (unsigned k = 0; k < f->distinct; k++)
		slot[slot_of(f, slot, f->value[k])] = (uint16_t) (k + 1);
	for (size_t i = 0; i < n; i++) {
		if (v[i] != last) {
			last = v[i];
			place = (uint8_t) (slot[slot_of(f, slot, last)] - 1);
		}
		to[i] = place;
	}
}

static void facts_of(struct facts *f, const uint64_t *v, size_t n)
{
	uint64_t min = v[0], max = v[0], delta_max = 0;
	unsigned __int128 sum = v[0], delta_sum = 0;
	size_t runs = 1;

	for (size_t i = 1; i < n; i++) {
		uint64_t d = zigzag(v[i] - v[i - 1]);

		min = MIN_OF(min, v[i]);
		max = MAX_OF(max, v[i]);
		delta_max = MAX_OF(delta_max, d);
		runs += d != 0;
		sum += v[i];
		delta_sum += d;
	}
	f->min = min;
	f->max = max;
	f->delta_max = delta_max;
	f->sum = sum - (unsigned __int128) min * n;
	f->delta_sum = delta_sum;
	f->runs = runs;
	f->distinct = 0;
	if (n >= FEW && max - min > 0xff)
		count_distinct(f, v, n);
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* The greatest number that all differences are multiples of; most columns show within a few that there is none but 1. */
static uint64_t factor_of(const uint64_t *v, size_t n)
{
	uint64_t factor = 0;

	for (size_t i = 1; i < n && factor != 1; i++) {
		uint64_t d = v[i] > v[i - 1] ? v[i] - v[i - 1] : v[i - 1] - v[i];

		if (factor == 0 || d % factor != 0)
			factor = common_divisor(d, factor);
	}
	return factor;
}

/* Writing. */

static void put_planes(const uint64_t *v, size_t n, uint64_t base, unsigned bytes, struct buf *to)
{
	uint8_t *p;

	buf_char(to, FORM_PLANES);
	buf_char(to, (char) bytes);
	buf_varint(to, base);
	p = buf_room(to, n * bytes);
	if (!p)
		return;
	for (unsigned k = 0; k < bytes; k++, p += n)
		get_plane(v, n, base, k, p);
	buf_add(to, n * bytes);
}

static void put_bits(const uint64_t *v, size_t n, uint64_t base, unsigned bits, struct buf *to)
{
	size_t size = bits_size(n, bits);
	unsigned __int128 acc = 0;
	unsigned have = 0;
	uint8_t *p;

	buf_char(to, FORM_BITS);
	buf_char(to, (char) bits);
	buf_varint(to, base);
	p = buf_room(to, size);
	if (!p)
		return;
	for (size_t i = 0; i < n; i++) {
		acc |= (unsigned __int128) (v[i] - base) << have;
		for (have += bits; have >= 8; have -= 8, acc >>= 8)
			*p++ = (uint8_t) acc;
	}
	if (have > 0)
		*p = (uint8_t) acc;
	buf_add(to, size);
}

static void put_varints(const uint64_t *v, size_t n, struct buf *to)
{
	uint8_t *p;

	buf_char(to, FORM_VARINTS);
	p = buf_room(to, n * VARINT_SIZE_MAX);
	if (p)
		buf_add(to, get_varints(v, n, p));
}

static void encode(struct ints_scratch *s, const uint64_t *v, size_t n, unsigned depth, bool delta,
		   struct buf *to);

static void put_dict(struct facts *f, const uint64_t *v, size_t n, unsigned depth, struct buf *to)
{
	struct ints_scratch own = { 0 };
	uint8_t *p;

	qsort(f->value, f->distinct, sizeof *f->value, compare_u64);
	buf_char(to, FORM_DICT);
	buf_varint(to, f->distinct);
	encode(&own, f->value, f->distinct, depth + 1, true, to);
	ints_scratch_done(&own);
	buf_char(to, FORM_PLANES);
	buf_char(to, 1);
	buf_varint(to, 0);
	p = buf_room(to, n);
	if (!p)
		return;
	get_places(f, v, n, p);
	buf_add(to, n);
}

static void put_runs(const uint64_t *v, size_t n, size_t runs, unsigned depth, struct buf *to)
{
	_cleanup_free_ uint64_t *value = reallocarray(NULL, runs, 2 * sizeof *value);
	struct ints_scratch own = { 0 };
	uint64_t *length = value ? value + runs : NULL;
	size_t k = 0;

	if (!value) {
		to->bad = true;
		return;
	}
	for (size_t i = 0; i < n; k++) {
		size_t from = i;

		while (i < n && v[i] == v[from])
			i++;
		value[k] = v[from];
		length[k] = i - from;
	}
	buf_char(to, FORM_RUNS);
	buf_varint(to, runs);
	encode(&own, value, runs, depth + 1, true, to);
	encode(&own, length, runs, depth + 1, false, to);
	ints_scratch_done(&own);
}

static void put_delta(struct ints_scratch *s, const uint64_t *v, size_t n, unsigned depth,
		      struct buf *to)
{
	_cleanup_free_ uint64_t *d = reallocarray(NULL, n, sizeof *d);

	if (!d) {
		to->bad = true;
		return;
	}
	for (size_t i = 1; i < n; i++)
		d[i - 1] = zigzag(v[i] - v[i - 1]);
	buf_char(to, FORM_DELTA);
	buf_varint(to, v[0]);
	encode(s, d, n - 1, depth + 1, false, to);
}

static void put_scaled(struct ints_scratch *s, const uint64_t *v, size_t n, uint64_t factor,
		       unsigned depth, struct buf *to)
{
	_cleanup_free_ uint64_t *scaled = reallocarray(NULL, n, sizeof *scaled);
	uint64_t rest = v[0] % factor;

	if (!scaled) {
		to->bad = true;
		return;
	}
	for (size_t i = 0; i < n; i++)
		scaled[i] = (v[i] - rest) / factor;
	buf_char(to, FORM_SCALED);
	buf_varint(to, factor);
	buf_varint(to, rest);
	encode(s, scaled, n, depth + 1, true, to);
}

/* Choosing. */

struct choice {
	enum form form;
	float bits;
};

static void consider(struct choice *c, enum form form, float bits)
{
	if (bits < c->bits)
		*c = (struct choice){ form, bits };
}

static float weigh_delta(struct ints_scratch *s, const uint64_t *v, size_t n, uint64_t max)
{
	unsigned bytes = MAX_OF((bits_of(max) + 7) / 8, 1u);
	uint64_t *d = s->words;

	for (size_t i = 1; i < n; i++)
		d[i - 1] = zigzag(v[i] - v[i - 1]);
	return weigh_planes(s, d, n - 1, 0, bytes);
}

/* Of a few numbers: their bytes. */
static struct choice choose_for_few(struct ints_scratch *s, const struct facts *f,
				    const uint64_t *v, size_t n)
{
	unsigned bits = bits_of(f->max - f->min);
	struct choice c = { FORM_VARINTS, 8.0f * (float) get_varints(v, n, s->bytes) };

	consider(&c, FORM_BITS,
		 8.0f * (float) (1 + (bits_of(f->min | 1) + 6) / 7 + bits_size(n, bits)));
	return c;
}

/* Stretches of a long column, which are much like the rest of it. */
static void take_sample(const uint64_t *v, size_t n, uint64_t *to)
{
	for (size_t i = 0; i < STRETCHES; i++)
		memcpy(to + i * STRETCH, v + i * (n - STRETCH) / (STRETCHES - 1),
		       STRETCH * sizeof *v);
}

/* `n` numbers, or some that stand for them; what is told of once weighs as much in either case. */
static struct choice choose(struct ints_scratch *s, const struct facts *f, const uint64_t *v,
			    size_t n, unsigned depth, bool delta)
{
	_uninitialized_ uint64_t sample[STRETCHES * STRETCH];
	unsigned bits = bits_of(f->max - f->min), bytes = (bits + 7) / 8;
	size_t all = n;
	struct choice c;
	float each;

	if (n < FEW)
		return choose_for_few(s, f, v, n);
	if (n > ELEMENTS(sample)) {
		take_sample(v, n, sample);
		v = sample;
		n = ELEMENTS(sample);
	}
	each = (float) all / (float) n;
	c = (struct choice){ FORM_PLANES, 64 + each * weigh_planes(s, v, n, f->min, bytes) };
	consider(&c, FORM_BITS, 40 + (float) all * (float) bits);
	if (depth + 1 >= INTS_DEPTH_MAX)
		return c;
	if (delta && f->delta_sum < f->sum)
		consider(&c, FORM_DELTA, 80 + each * weigh_delta(s, v, n, f->delta_max));
	if (f->distinct > 0 && f->distinct <= DICT_MAX) {
		get_places(f, v, n, s->bytes);
		consider(&c, FORM_DICT,
			 8.0f * (float) bytes * (float) f->distinct +
				 each * weigh_bytes(s, s->bytes, n));
	}
	/* A run costs its value and its length. */
	if (f->runs * 3 < all)
		consider(&c, FORM_RUNS, (float) f->runs * (float) (bits + 6));
	return c;
}

static void encode(struct ints_scratch *s, const uint64_t *v, size_t n, unsigned depth, bool delta,
		   struct buf *to)
{
	_uninitialized_ struct facts f;
	struct choice c;
	uint64_t factor;

	if (n == 0)
		return;
	if (!scratch_room(s, n)) {
		to->bad = true;
		return;
	}
	facts_of(&f, v, n);
	if (f.min == f.max) {
		buf_char(to, FORM_CONST);
		buf_varint(to, v[0]);
		return;
	}
	factor = n >= FEW && depth == 0 ? factor_of(v, n) : 1;
	if (factor > 1) {
		put_scaled(s, v, n, factor, depth, to);
		return;
	}
	c = choose(s, &f, v, n, depth, delta);
	if (c.form == FORM_PLANES)
		put_planes(v, n, f.min, (bits_of(f.max - f.min) + 7) / 8, to);
	else if (c.form == FORM_BITS)
		put_bits(v, n, f.min, bits_of(f.max - f.min), to);
	else if (c.form == FORM_DELTA)
		put_delta(s, v, n, depth, to);
	else if (c.form == FORM_DICT)
		put_dict(&f, v, n, depth, to);
	else if (c.form == FORM_RUNS)
		put_runs(v, n, f.runs, depth, to);
	else
		put_varints(v, n, to);
}

void ints_encode(struct ints_scratch *s, const uint64_t *v, size_t n, struct buf *to)
{
	encode(s, v, n, 0, true, to);
}

double ints_weigh(struct ints_scratch *s, const uint64_t *v, size_t n)
{
	_uninitialized_ struct facts f;

	if (n == 0 || !scratch_room(s, n))
		return 0;
	facts_of(&f, v, n);
	return f.min == f.max ? 80 : (double) choose(s, &f, v, n, 0, true).bits;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * How it works: of the needle's bytes the two that are rarest in logs are compared at many places at once; only where both
 * are there, the rest is looked at.
 *
 *	needle            x y z z y           the rarest: x at 0, z at 3
 *	haystack  . . . . x y z z y . . .
 *	            load ^     ^ load         places * 1 byte each, both equal: try this place
 *
 * A byte that may stand in either case is compared after `| 0x20`, which maps both cases of a letter, and nothing else, to
 * the lower one; other bytes after `| 0`.  So one loop does both.
 *
 * A haystack can be made to have both bytes everywhere and the rest nowhere.  Each place that was tried in vain is counted,
 * and when that comes to more than a share of what was searched, the rest is done by the two-way algorithm (Crochemore and
 * Perrin, 1991), which looks at each byte at most twice, with no memory of its own.
 *
 * The providers hand on what is left of a haystack when it is shorter than what they look at in one step:
 * AVX2 64, then 32 places, SSE2 16, this file 8, then 1.
 */

#include "base/find.h"

#include "base/find-internal.h"
#include "base/letters.h"

/* How common bytes are in logs, on a logarithmic scale; what is not listed is rarer. */
static const uint8_t common[256] = {
	['\t'] = 114,
	['\n'] = 163,
	[0x1b] = 171,
	[0x80 ... 0xbf] = 70,
	[0xc0 ... 0xff] = 60,
	[' '] = 209,
	97,
	196,
	121,
	105,
	31,
	82,
	115,
	143,
	143,
	123,
	121,
	176,
	189,
	192,
	179,
	['0'] = 205,
	197,
	195,
	188,
	188,
	190,
	190,
	186,
	187,
	189,
	191,
	129,
	107,
	175,
	121,
	116,
	['@'] = 114,
	145,
	138,
	153,
	139,
	155,
	149,
	149,
	138,
	158,
	135,
	138,
	144,
	148,
	154,
	153,
	['P'] = 146,
	119,
	150,
	158,
	164,
	141,
	121,
	138,
	119,
	99,
	137,
	178,
	140,
	158,
	20,
	161,
	['`'] = 96,
	197,
	181,
	192,
	190,
	207,
	180,
	167,
	174,
	189,
	130,
	163,
	180,
	187,
	188,
	194,
	['p'] = 182,
	146,
	194,
	191,
	196,
	180,
	167,
	149,
	159,
	164,
	138,
	145,
	138,
	145,
	112,
};

static unsigned weight(const struct finder *f, size_t i)
{
	uint8_t c = f->needle[i];

	return f->any_case && letter_of(c) ? MAX_OF(common[c], common[c ^ 0x20]) : common[c];
}

/* The rarest byte; the rarest that is another one, or else any second place: far from the first, for what repeats. */
static void choose(struct finder *f)
{
	size_t first = 0, second = f->n - 1;
	uint8_t c;

	for (size_t i = 1; i < f->n; i++)
		if (weight(f, i) < weight(f, first))
			first = i;
	c = find_folded(f->needle[first]);
	if (second == first)
		second = 0;
	for (size_t i = 0; i < f->n; i++)
		if (find_folded(f->needle[i]) != c &&
		    (find_folded(f->needle[second]) == c || weight(f, i) < weight(f, second)))
			second = i;
	f->at[0] = first;
	f->at[1] = second;
}

void finder_init(struct finder *f, const void *needle, size_t n, bool any_case)
{
	*f = (struct finder){ .needle = needle, .n = n, .any_case = any_case };
	f->hunt = find_portable;
#if defined(__x86_64__)
	f->hunt = find_avx2_usable() ? find_avx2 : find_sse2;
#endif
	if (n == 0)
		return;
	choose(f);
	for (int k = 0; k < 2; k++) {
		uint8_t c = f->needle[f->at[k]];

		f->mask[k] = any_case && letter_of(c) ? 0x20 : 0;
		f->want[k] = c | f->mask[k];
	}
}

bool finder_same(const struct finder *f, const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;

	if (!f->any_case)
		return n == 0 || memcmp(a, b, n) == 0;
	for (size_t i = 0; i < n; i++)
		if (find_folded(x[i]) != find_folded(y[i]))
			return false;
	return true;
}

const uint8_t *finder_find(const struct finder *f, const void *p, size_t n)
{
	struct find_hunt h = { .f = f, .p = p };

	if (n < f->n)
		return NULL;
	if (f->n == 0)
		return p;
	h.places = n - f->n + 1;
	f->hunt(&h);
	if (h.tired && !h.found)
		find_linear(&h);
	return h.found ? h.p + h.at : NULL;
}

bool find_walk_next(struct find_walk *w, size_t *ret)
{
	const struct finder *f = w->finder;

	while (w->next < w->n) {
		uint32_t from = w->next > 0 ? w->end[w->next - 1] : 0;
		const uint8_t *at;
		size_t text;

		/* Texts that are too short are passed over, so that each search goes on by a needle's length at least. */
		if (w->end[w->next] - from < f->n) {
			w->next++;
			continue;
		}
		at = finder_find(f, w->p + from, w->end[w->n - 1] - from);
		if (!at)
			break;
		text = w->next;
		while (w->end[text] <= (size_t) (at - w->p))
			text++;
		/* If it goes on into the next text, so does all that begins in this one behind it. */
		w->next = text + 1;
		if ((size_t) (at - w->p) + f->n <= w->end[text]) {
			*ret = text;
			return true;
		}
	}
	w->next = w->n;
	return false;
}

/* Without vectors: eight places in a word. */

static inline uint64_t load(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

/* The high bit of each byte where both bytes fit; behind the first of these there may be more than there should be. */
static inline uint64_t fits(const uint8_t *a, const uint8_t *b, const uint64_t mask[2],
			    const uint64_t want[2])
{
	const uint64_t ones = 0x0101010101010101;
	uint64_t differs = ((load(a) | mask[0]) ^ want[0]) | ((load(b) | mask[1]) ^ want[1]);

	return (differs - ones) & ~differs & (ones << 7);
}

static bool fits_one(const struct finder *f, const uint8_t *p)
{
	return (p[f->at[0]] | f->mask[0]) == f->want[0] && (p[f->at[1]] | f->mask[1]) == f->want[1];
}

void find_portable(struct find_hunt *h)
{
	const struct finder *f = h->f;
	const uint64_t ones = 0x0101010101010101;
	const uint64_t mask[] = { ones * f->mask[0], ones * f->mask[1] };
	const uint64_t want[] = { ones * f->want[0], ones * f->want[1] };
	size_t at = h->at;

	for (; at + 8 <= h->places; at += 8) {
		uint64_t bits = fits(h->p + at + f->at[0], h->p + at + f->at[1], mask, want);

		for (; bits != 0; bits &= bits - 1)
			if (find_try(h, at + (size_t) __builtin_ctzll(bits) / 8, 1))
				return;
	}
	for (; at < h->places; at++)
		if (fits_one(f, h->p + at) && find_try(h, at, 1))
			return;
	h->at = h->places;
}

/* The two-way algorithm. */

struct two_way {
	const uint8_t *x;
	size_t n;
	bool any_case;
	size_t middle; /* where the needle is divided */
	size_t period;
	bool repeats; /* the period is the whole needle's */
};

static inline uint8_t seen(const struct two_way *t, uint8_t c)
{
	return t->any_case ? find_folded(c) : c;
}

/* Where the needle's last suffix begins, in the order of bytes or in the opposite one, and that suffix's period. */
static size_t last_suffix(const struct two_way *t, bool opposite, size_t *period)
{
	size_t best = 0, other = 1, k = 0, p = 1;

	while (other + k < t->n) {
		uint8_t a = seen(t, t->x[other + k]), b = seen(t, t->x[best + k]);

		if (a == b) {
			if (++k == p) {
				other += p;
				k = 0;
			}
		} else if ((a < b) != opposite) {
			other += k + 1;
			k = 0;
			p = other - best;
		} else {
			best = other++;
			k = 0;
			p = 1;
		}
	}
	*period = p;
	return best;
}

static void divide(struct two_way *t)
{
	size_t period[2], from[2];

	for (int k = 0; k < 2; k++)
		from[k] = last_suffix(t, k == 1, &period[k]);
	t->middle = MAX_OF(from[0], from[1]);
	t->period = period[from[1] > from[0]];
	t->repeats = true;
	for (size_t i = 0; t->repeats && i < t->middle; i++)
		t->repeats = seen(t, t->x[i]) == seen(t, t->x[i + t->period]);
	if (!t->repeats)
		t->period = MAX_OF(t->middle, t->n - t->middle) + 1;
}

void find_linear(struct find_hunt *h)
{
	struct two_way t = { .x = h->f->needle, .n = h->f->n, .any_case = h->f->any_case };
	size_t known = 0; /* bytes at the needle's beginning that are there already */

	divide(&t);
	while (h->at < h->places) {
		const uint8_t *y = h->p + h->at;
		size_t i = MAX_OF(t.middle, known);

		while (i < t.n && seen(&t, t.x[i]) == seen(&t, y[i]))
			i++;
		if (i < t.n) {
			h->at += i - t.middle + 1;
			known = 0;
			continue;
		}
		for (i = t.middle; i > known && seen(&t, t.x[i - 1]) == seen(&t, y[i - 1]);)
			i--;
		if (i <= known) {
			h->found = true;
			return;
		}
		h->at += t.period;
		known = t.repeats ? t.n - t.period : 0;
	}
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Every provider finds a needle where it is for the first time, reads nothing beside the haystack, and takes no more time
 * for one that was made to take it.
 */

#include "base/find.h"

#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/find-internal.h"

Suite(find);

struct provider {
	const char *name;
	void (*hunt)(struct find_hunt *h);
};

static const struct provider providers[] = {
	{ "portable", find_portable },
	{ "linear", find_linear },
#if defined(__x86_64__)
	{ "SSE2", find_sse2 },
	{ "AVX2", find_avx2 },
#endif
};

static bool usable(const struct provider *p)
{
#if defined(__x86_64__)
	return p->hunt != find_avx2 || find_avx2_usable();
#else
	return true;
#endif
}

static const uint8_t *naive(const uint8_t *p, size_t n, const uint8_t *needle, size_t m,
			    bool any_case)
{
	for (size_t i = 0; i + m <= n; i++)
		if (any_case ? strncasecmp((const char *) p + i, (const char *) needle, m) == 0
			     : memcmp(p + i, needle, m) == 0)
			return p + i;
	return NULL;
}

static void expect_same(const uint8_t *p, size_t n, const uint8_t *needle, size_t m, bool any_case)
{
	const uint8_t *want = naive(p, n, needle, m, any_case);

	for (size_t k = 0; k < ELEMENTS(providers); k++) {
		struct finder f;

		if (!usable(&providers[k]))
			continue;
		finder_init(&f, needle, m, any_case);
		f.hunt = providers[k].hunt;
		cr_assert(eq(ptr, (void *) finder_find(&f, p, n), (void *) want),
			  "%s, \"%.*s\" in \"%.*s\"", providers[k].name, (int) m, needle, (int) n,
			  p);
	}
}

/* Bytes between two pages that nobody may touch. */
struct guarded {
	uint8_t *base;
	size_t page, size; /* of the middle */
};

static struct guarded guard(size_t pages)
{
	struct guarded g = { .page = (size_t) sysconf(_SC_PAGESIZE) };

	g.size = pages * g.page;
	g.base = mmap(NULL, g.size + 2 * g.page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert(g.base != MAP_FAILED);
	cr_assert(eq(int, mprotect(g.base + g.page, g.size, PROT_READ | PROT_WRITE), 0));
	return g;
}

static void unguard(struct guarded *g)
{
	munmap(g->base, g->size + 2 * g->page);
}

static void fill(uint64_t *seed, uint8_t *p, size_t n, const char *alphabet)
{
	size_t letters = strlen(alphabet);

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t) alphabet[random_u64(seed) % letters];
}

Test(find, all_find_the_first_place_at_either_end_of_memory)
{
	static const char *const alphabets[] = { "ab", "aAb", "aB.", "abcdefghijklmnopqrstuvwxyzE ",
						 "@`[{aAzZ" };
	struct guarded g = guard(1);
	uint64_t seed = 1;

	for (int i = 0; i < 60000; i++) {
		uint64_t r = random_u64(&seed);
		size_t n = r % 300, m = 1 + (r >> 16) % (r >> 60 ? 5 : 80);
		uint8_t *p = g.base + g.page + (r >> 40 & 1 ? 0 : g.page - n);
		uint8_t needle[80];

		fill(&seed, p, n, alphabets[i % ELEMENTS(alphabets)]);
		if (r >> 41 & 1 && n >= m)
			memcpy(needle, p + (r >> 48) % (n - m + 1), m);
		else
			fill(&seed, needle, m, alphabets[i % ELEMENTS(alphabets)]);
		expect_same(p, n, needle, m, r >> 42 & 1);
	}
	unguard(&g);
}

Test(find, every_byte_meets_every_byte)
{
	uint8_t bytes[256];

	for (unsigned i = 0; i < 256; i++)
		bytes[i] = (uint8_t) i;
	for (unsigned i = 0; i < 256; i++) {
		expect_same(bytes, sizeof bytes, &bytes[i], 1, false);
		expect_same(bytes, sizeof bytes, &bytes[i], 1, true);
		expect_same(bytes, sizeof bytes, &bytes[i], MIN_OF(256 - i, 3u), true);
	}
}

Test(find, every_place_of_a_large_haystack)
{
	struct guarded g = guard(1);
	uint8_t *p = g.base + g.page;

	for (size_t m = 1; m < 90; m += 1 + m / 8) {
		uint8_t needle[90];

		memset(needle, 'a', m);
		needle[m / 2] = 'Q';
		for (size_t n = m; n < 400; n += 31)
			for (size_t at = 0; at + m <= n; at++) {
				memset(p + g.page - n, 'a', n);
				memcpy(p + g.page - n + at, needle, m);
				expect_same(p + g.page - n, n, needle, m, at % 2 == 0);
			}
	}
	unguard(&g);
}

Test(find, repetitions_of_all_kinds)
{
	uint8_t hay[300], needle[100];

	for (size_t period = 1; period < 9; period++) {
		for (size_t i = 0; i < sizeof hay; i++)
			hay[i] = (uint8_t) ('a' + i % period);
		for (size_t m = 1; m < sizeof needle; m += 3) {
			memcpy(needle, hay + period / 2, m);
			expect_same(hay, sizeof hay, needle, m, false);
			needle[m / 3] = 'b';
			expect_same(hay, sizeof hay, needle, m, false);
			needle[m - 1] = 'A';
			expect_same(hay, sizeof hay, needle, m, true);
		}
	}
}

Test(find, nothing_is_found_in_less_than_a_needle)
{
	struct finder f;

	finder_init(&f, "ab", 2, false);
	cr_expect(finder_find(&f, "a", 1) == NULL);
	cr_expect(finder_find(&f, NULL, 0) == NULL);
	finder_init(&f, NULL, 0, false);
	cr_expect(finder_find(&f, "a", 1) != NULL);
}

/* A haystack that has the two chosen bytes at every other place and the needle at its end only. */
Test(find, what_is_made_to_take_long_does_not)
{
	enum { SIZE = 1 << 20, MOST = 200000 };
	static uint8_t hay[SIZE], needle[MOST];
	static const size_t lengths[] = { 36, 1000, MOST };

	for (int any_case = 0; any_case < 2; any_case++)
		for (size_t i = 0; i < ELEMENTS(lengths); i++) {
			size_t m = lengths[i], n = SIZE - m % 2;
			struct finder f;

			memset(needle, 'e', m);
			memset(needle, 'q', 2);
			needle[m - 1] = '^';
			for (size_t k = 0; k < n; k++)
				hay[k] = k % 2 ? '^' : 'q';
			memcpy(hay + n - m, needle, m);
			finder_init(&f, needle, m, any_case);
			for (size_t k = 0; k < ELEMENTS(providers); k++) {
				struct find_hunt h = { .f = &f, .p = hay, .places = n - m + 1 };

				if (!usable(&providers[k]) || providers[k].hunt == find_linear)
					continue;
				providers[k].hunt(&h);
				cr_expect(h.tired, "%s, %zu", providers[k].name, m);
				cr_expect(le(sz, h.wasted,
					     FIND_WASTE + FIND_WASTE_PER_PLACE * h.at + m + 16));
				f.hunt = providers[k].hunt;
				cr_expect(eq(ptr, (void *) finder_find(&f, hay, n), hay + n - m),
					  "%s, %zu", providers[k].name, m);
			}
		}
}

/* Texts one behind the other. */

static void expect_walk(const uint8_t *p, const uint32_t *end, size_t n, const struct finder *f)
{
	struct find_walk w = { .finder = f, .p = p, .end = end, .n = n };
	size_t got = SIZE_MAX;
	bool more = find_walk_next(&w, &got);

	for (size_t i = 0; i < n; i++) {
		uint32_t from = i > 0 ? end[i - 1] : 0;
		bool has = naive(p + from, end[i] - from, f->needle, f->n, f->any_case) != NULL;

		cr_assert(eq(int, more &&got == i, has), "text %zu of %zu, \"%.*s\"", i, n,
			  (int) f->n, f->needle);
		if (has)
			more = find_walk_next(&w, &got);
	}
	cr_assert(not(more));
}

Test(find, a_walk_comes_to_each_text_that_has_the_needle_once)
{
	uint64_t seed = 7;

	for (int i = 0; i < 5000; i++) {
		uint8_t p[400], needle[6];
		uint32_t end[64], at = 0;
		uint64_t r = random_u64(&seed);
		size_t n = r % 64, m = 1 + (r >> 8) % sizeof needle;
		struct finder f;

		for (size_t k = 0; k < n; k++)
			end[k] = at += (uint32_t) (random_u64(&seed) % 7);
		fill(&seed, p, at, i % 3 ? "ab" : "aAb");
		fill(&seed, needle, m, "aab");
		finder_init(&f, needle, m, i % 2);
		expect_walk(p, end, n, &f);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: finder_find(), find_walk_next().
 *
 * The input is u8 flags, u8 length, a needle, and a haystack.  Every provider finds what comparing at every place finds; a
 * walk over the haystack, cut into texts at its newlines, comes to those lines that have the needle.
 */

#include "base/find.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/find-internal.h"
#include "fuzz/fuzz.h"

static const uint8_t *naive(const struct finder *f, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i + f->n <= n; i++) {
		size_t k = 0;

		while (k < f->n && (f->any_case ? find_folded(p[i + k]) == find_folded(f->needle[k])
						: p[i + k] == f->needle[k]))
			k++;
		if (k == f->n)
			return p + i;
	}
	return NULL;
}

static void check_walk(const struct finder *f, const uint8_t *p, size_t n)
{
	uint32_t *end = calloc(n + 1, sizeof *end);
	struct find_walk w = { .finder = f, .p = p, .end = end };
	size_t got = SIZE_MAX;
	bool more;

	assert(end);
	for (size_t i = 0; i < n; i++)
		if (p[i] == '\n' || i + 1 == n)
			end[w.n++] = (uint32_t) i + 1;
	more = find_walk_next(&w, &got);
	for (size_t i = 0; i < w.n; i++) {
		uint32_t from = i > 0 ? end[i - 1] : 0;
		bool has = naive(f, p + from, end[i] - from) != NULL;

		assert((more && got == i) == has);
		if (has)
			more = find_walk_next(&w, &got);
	}
	assert(!more);
	free(end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const providers[])(struct find_hunt *) = {
		find_portable,
		find_linear,
#if defined(__x86_64__)
		find_sse2,
		find_avx2,
#endif
	};
	struct rd r = rd_of(data, size);
	uint8_t flags = rd_u8(&r), m = rd_u8(&r);
	uint8_t *needle, *hay;
	size_t n;
	struct finder f;

	m = (uint8_t) MIN_OF(m, r.left);
	if (r.bad || m == 0)
		return 0;
	n = r.left - m;
	needle = malloc(m);
	hay = malloc(MAX_OF(n, 1ul));
	assert(needle && hay);
	rd_copy(&r, needle, m);
	rd_copy(&r, hay, n);
	finder_init(&f, needle, m, flags & 1);
	for (size_t i = 0; i < ELEMENTS(providers); i++) {
#if defined(__x86_64__)
		if (providers[i] == find_avx2 && !find_avx2_usable())
			continue;
#endif
		f.hunt = providers[i];
		assert(finder_find(&f, hay, n) == naive(&f, hay, n));
	}
	check_walk(&f, hay, n);
	free(needle);
	free(hay);
	return 0;
}

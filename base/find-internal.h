/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_FIND_INTERNAL_H
#define BULLA_BASE_FIND_INTERNAL_H

/** Providers of finder_find(): each looks at many places at once for two bytes of the needle; what they share. */

#include <string.h>

#include "base/attr.h"
#include "base/find.h"

/** One haystack being searched; a provider goes on from `at` until something is told. */
struct find_hunt {
	const struct finder *f;
	const uint8_t *p;
	size_t places; /* at which the needle may begin, 0 to places - 1 */
	size_t at;     /* all places before it are done */
	size_t wasted; /* on places that had both bytes and then not the rest */
	bool found;    /* the needle begins at `at` */
	bool tired;    /* too much was wasted */
};

void find_portable(struct find_hunt *h);
/** In time that is linear in the worst case, too, and three times slower than others in the best. */
void find_linear(struct find_hunt *h);
#if defined(__x86_64__)
bool find_avx2_usable(void);
void find_avx2(struct find_hunt *h);
void find_sse2(struct find_hunt *h);
#endif

/** What may be wasted before the linear way is taken: a beginning, and so much for each place. */
enum { FIND_WASTE = 1024, FIND_WASTE_PER_PLACE = 8 };

static inline uint8_t find_folded(uint8_t c)
{
	return (uint8_t) (c - 'A') < 26 ? c | 0x20 : c;
}

/** Compare all of the needle with a place.  @return 0 if it is there, else what finding out has cost. */
static inline size_t find_compare(const struct finder *f, const uint8_t *p)
{
	enum { CALL = 16, FIRST = 32 };
	size_t first = MIN_OF(f->n, (size_t) FIRST);

	if (!f->any_case) {
		if (memcmp(p, f->needle, first) != 0)
			return CALL + first;
		return f->n > first && memcmp(p, f->needle, f->n) != 0 ? CALL + f->n : 0;
	}
	for (size_t i = 0; i < f->n; i++)
		if (find_folded(p[i]) != find_folded(f->needle[i]))
			return CALL + i;
	return 0;
}

/** Try the places `base` + i for each bit i of `bits`.  @return whether the hunt is to end there. */
static inline bool find_try(struct find_hunt *h, size_t base, uint64_t bits)
{
	for (; bits != 0; bits &= bits - 1) {
		size_t at = base + (size_t) __builtin_ctzll(bits);
		size_t cost = find_compare(h->f, h->p + at);

		h->at = at;
		h->found = cost == 0;
		h->wasted += cost;
		h->tired = h->wasted > FIND_WASTE + FIND_WASTE_PER_PLACE * at;
		if (h->found || h->tired)
			return true;
	}
	return false;
}

#endif

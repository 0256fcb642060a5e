/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_HISTOGRAM_H
#define BULLA_QUERY_HISTOGRAM_H

/**
 * Times, counted by the span of time that they lie in.
 *
 * Most lie in the same span as the one before, and the others come back to a few: these have places by the lower bits of the span's
 * number.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum {
	HISTOGRAM_PLACES = 256,
	HISTOGRAM_SPANS_MAX = 1 << 20, /* with more nobody can do anything */
};

/** How many of one span. */
struct time_span {
	uint64_t number, times;
};

struct histogram {
	uint64_t length; /* ns */
	struct time_span place[HISTOGRAM_PLACES];
	struct time_span *more; /* owned: what had to make place; 2 * HISTOGRAM_SPANS_MAX at most */
	size_t n_more, cap;
};

static inline void histogram_begin(struct histogram *h, uint64_t length)
{
	*h = (struct histogram){ .length = length };
}
void histogram_done(struct histogram *h);
/** Count times.  @return 0; -E2BIG when they lie in too many spans; -ENOMEM. */
_must_check_ int histogram_add(struct histogram *h, const uint64_t *time_ns, size_t n);
/** Count what lies in spans whose length divides this one's: so many in each from `number` on.  Errors as histogram_add(). */
_must_check_ int histogram_add_counts(struct histogram *h, uint64_t length, uint64_t number,
				      const uint32_t *counts, size_t n);
/** Count what others have counted, of the same length.  Errors as histogram_add(). */
_must_check_ int histogram_add_all(struct histogram *h, const struct histogram *other);
/** Give each span that has any; one may come in several parts.  @return 0 or the first error of `each`. */
_must_check_ int histogram_each(const struct histogram *h,
				int (*each)(void *arg, const struct time_span *span), void *arg);

#endif

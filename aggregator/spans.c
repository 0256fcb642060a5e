/* SPDX-License-Identifier: Apache-2.0 */

#include "aggregator/spans.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

void spans_done(struct spans *s)
{
	free(s->at);
	*s = (struct spans){ 0 };
}

int spans_reserve(struct spans *s, size_t more)
{
	struct extent *at;

	if (s->n + more <= s->cap)
		return 0;
	at = reallocarray(s->at, s->n + more, sizeof *at);
	if (!at)
		return -ENOMEM;
	s->at = at;
	s->cap = s->n + more;
	return 0;
}

/* The first span that ends at or behind a number. */
static size_t find(const struct spans *s, uint64_t number)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->at[middle].end < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void spans_add(struct spans *s, uint64_t first, uint64_t end)
{
	size_t from = find(s, first), to = from;

	if (first >= end)
		return;
	/* What it touches becomes one with it. */
	for (; to < s->n && s->at[to].first <= end; to++) {
		first = MIN_OF(first, s->at[to].first);
		end = MAX_OF(end, s->at[to].end);
	}
	assert(s->n + 1 - (to - from) <= s->cap);
	memmove(s->at + from + 1, s->at + to, (s->n - to) * sizeof *s->at);
	s->at[from] = (struct extent){ first, end };
	s->n = s->n + 1 - (to - from);
}

bool spans_have(const struct spans *s, uint64_t first, uint64_t end)
{
	size_t i = find(s, end);

	return first >= end || (i < s->n && s->at[i].first <= first);
}

bool spans_touch(const struct spans *s, uint64_t first, uint64_t end)
{
	size_t i = find(s, first);

	/* One that only ends where this begins has none of it. */
	if (i < s->n && s->at[i].end == first)
		i++;
	return first < end && i < s->n && s->at[i].first < end;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/coverage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/room.h"

/* The place of a tenant: where it is, or belongs. */
static size_t find(const struct coverage *c, const struct tenant *t)
{
	size_t from = 0, to = c->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (tenant_compare(&c->at[middle]->tenant, t) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

struct covered *coverage_of(struct coverage *c, const struct tenant *t)
{
	size_t i = find(c, t);
	struct covered *new;

	if (i < c->n && tenant_compare(&c->at[i]->tenant, t) == 0)
		return c->at[i];
	if (!room_for(&c->at, c->n, &c->cap, sizeof(struct covered *)))
		return NULL;
	new = calloc(1, sizeof *new);
	if (!new)
		return NULL;
	new->tenant = *t;
	memmove(c->at + i + 1, c->at + i, (c->n - i) * sizeof(struct covered *));
	c->at[i] = new;
	c->n++;
	return new;
}

/* Files of a set come by tenant, and those of one by their beginning. */
int coverage_take(struct coverage *c, const struct segment_set *set)
{
	for (uint32_t i = 0; i < set->n; i++) {
		const struct segment_file *f = &set->files[i];
		struct covered *t = coverage_of(c, &f->tenant);

		if (!t || !room_for(&t->ranges, t->n, &t->cap, sizeof *t->ranges))
			return -ENOMEM;
		t->ranges[t->n++] = (struct covered_range){ f->first, f->end };
		c->end = MAX_OF(c->end, f->end);
	}
	return 0;
}

void coverage_done(struct coverage *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->at[i]->ranges);
		free(c->at[i]);
	}
	free(c->at);
	*c = (struct coverage){ 0 };
}

bool covered_has(struct covered *t, uint64_t commit)
{
	for (; t->at < t->n && t->ranges[t->at].end <= commit; t->at++)
		t->from = MAX_OF(t->from, t->ranges[t->at].end);
	return t->at < t->n && t->ranges[t->at].first <= commit;
}

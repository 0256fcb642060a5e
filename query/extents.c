/* SPDX-License-Identifier: Apache-2.0 */

#include "query/extents.h"

#include <errno.h>
#include <stdlib.h>

#include "base/room.h"

void extents_done(struct extents *x)
{
	free(x->at);
	x->at = NULL;
	x->n = x->cap = 0;
}

enum tri extents_match(const struct query *q, const struct contexts *contexts)
{
	return contexts->n == 0 ? TRI_NO : match_context(q->match, contexts, 0, false, false);
}

int extents_add(struct extents *x, const struct query *q, const struct id *id,
		const struct contexts *contexts)
{
	enum tri match = extents_match(q, contexts);

	if (match == TRI_NO)
		return 0;
	if (match == TRI_MAYBE)
		return -EINVAL;
	if (!room_for(&x->at, x->n, &x->cap, sizeof *x->at))
		return -ENOMEM;
	x->at[x->n++] = (struct journal_extent){ .journal = *id };
	return 0;
}

static int compare(const void *a, const void *b)
{
	return id_compare(&((const struct journal_extent *) a)->journal,
			  &((const struct journal_extent *) b)->journal);
}

void extents_settle(struct extents *x)
{
	size_t kept = 0;

	if (x->n > 1)
		qsort(x->at, x->n, sizeof *x->at, compare);
	for (size_t i = 0; i < x->n; i++)
		if (i == 0 || compare(&x->at[i], &x->at[kept - 1]) != 0)
			x->at[kept++] = x->at[i];
	x->n = kept;
	x->measured = x->wished = 0;
}

static struct journal_extent *extent_of(const struct extents *x, const struct id *journal)
{
	struct journal_extent key = { .journal = *journal };

	return x->n == 0 ? NULL : bsearch(&key, x->at, x->n, sizeof *x->at, compare);
}

int extents_measure(void *extents, const struct batch *b, uint64_t commit_ns,
		    struct prove_wish *ret)
{
	struct extents *x = extents;
	struct journal_extent *e = extent_of(x, &b->journal);

	(void) ret;
	x->measured++;
	if (!e)
		return 0;
	if (commit_ns < x->since_ns && e->first >= e->end)
		e->first = e->end = b->batch_no + 1;
	if (commit_ns >= x->since_ns && commit_ns <= x->until_ns)
		e->end = b->batch_no + 1;
	return 0;
}

int extents_wish(void *extents, const struct batch *b, uint64_t commit_ns, struct prove_wish *ret)
{
	struct extents *x = extents;
	const struct journal_extent *e = extent_of(x, &b->journal);

	(void) commit_ns;
	if (x->wished == x->measured)
		return 0;
	x->wished++;
	if (!e || b->batch_no + 1 < e->first || b->batch_no > e->end)
		return 0;
	*ret = (struct prove_wish){
		.extent =
			b->batch_no >= e->first && b->batch_no < e->end ? PROOF_WHOLE : PROOF_BATCH,
	};
	return 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_COVERAGE_H
#define BULLA_STORE_SEGMENT_COVERAGE_H

/**
 * Which commits of which tenant segments have, while somebody goes along the ledger to pack the others.
 *
 * Names say it, so one that cannot be opened covers what it says.  Between two segments of a tenant there may be a hole: its
 * entries were pruned, or the file was set aside; then what tails still have of them is packed again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "store/segment/set.h"
#include "store/tenant.h"

struct segment_hand;

/** Commits [first, end). */
struct covered_range {
	uint64_t first, end;
};

/** What segments have of one tenant. */
struct covered {
	struct tenant tenant;
	uint64_t from; /* end of the last range that was passed: what comes next begins there */
	struct covered_range *ranges; /* owned; by their beginning */
	size_t n, cap, at;
	struct segment_hand *hand; /* the builder's */
};

struct coverage {
	struct covered **at; /* owned; by the tenant's name */
	size_t n, cap;
	uint64_t end; /* of all ranges */
};

/** What the segments of a set cover.  @return 0 or -ENOMEM. */
_must_check_ int coverage_take(struct coverage *c, const struct segment_set *set);
void coverage_done(struct coverage *c);
/** A tenant, which may be new.  @return NULL without memory. */
struct covered *coverage_of(struct coverage *c, const struct tenant *t);
/** Whether a commit is covered; commits are asked about in their order. */
bool covered_has(struct covered *t, uint64_t commit);

#endif

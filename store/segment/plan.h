/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_PLAN_H
#define BULLA_STORE_SEGMENT_PLAN_H

/**
 * What to merge and what to let go.  Nothing here touches a file.
 *
 * Segments of one tenant and day are merged when there are several of about a size, and what is left when that day is over: so each entry
 * is written again a few times at most, and a segment is old as a whole.
 *
 * What goes first when space is short is decided by tenant, then by *source*: all journals of one tenant whose identity names
 * one unit, or else one container.  Tenants that take more than an even share give, and of theirs the sources that take more
 * than an even share of that, each its oldest; those that take less give nothing.  So who floods loses its own entries, however
 * many journals, or sources, it has.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "seal/history.h"
#include "store/segment/set.h"

enum { MERGE_ENTRIES_MAX = 1 << 20, MERGE_AT_ONCE = 4 /* of about a size */ };

/** What is to be merged: files first .. first+n-1.  `entries_max`: no merged segment has more.  @return whether there is something. */
bool plan_merge(const struct segment_set *set, uint64_t now_ns, uint64_t entries_max,
		uint32_t *ret_first, uint32_t *ret_n);

enum { TENANT_LIMITS_MAX = 1024 };

/** What one tenant may have; 0: as much as it likes. */
struct tenant_limit {
	struct tenant tenant;
	uint64_t bytes;
};

/** Limits; 0: none. */
struct retention {
	uint64_t age_ns;		    /* since the commit */
	uint64_t bytes;			    /* of all */
	uint64_t tenant_bytes;		    /* of each tenant that has no limit of its own */
	uint64_t source_bytes;		    /* of each source */
	const struct tenant_limit *tenants; /* borrowed */
	size_t n_tenants;
};

/**
 * Decide what is to be pruned: of each journal the batches before a number.  `fixed` bytes are in use and not in segments.
 *
 * @return how many prunes, in `*ret` (the caller frees); -ENOMEM.
 */
_must_check_ int64_t plan_prune(const struct segment_set *set, const struct history *h,
				const struct retention *limits, uint64_t now_ns, uint64_t fixed,
				struct event_prune **ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_UPKEEP_H
#define BULLA_COLLECTOR_UPKEEP_H

/**
 * What the keeper does with what is packed: small segments are merged, what is over the limits is pruned, and tails go that
 * nothing needs any more.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "store/segment/build.h"
#include "store/segment/plan.h"
#include "store/segment/roots.h"
#include "store/state.h"

struct upkeep {
	const struct state *state;
	struct segment_builder *builder; /* follows the ledger */
	struct roots_packer *roots;	 /* does, too */
	int segments;			 /* directory */
	int level;			 /* zstd's, of what is merged */
	struct retention limits;	 /* `bytes` is of journals and segments */
	uint64_t keep_free;		 /* bytes of the file system; 0: no matter */
	const volatile int *stop;
	int reach;		  /* whom to ask for the sealer: reach.h; borrowed */
	uint64_t hollow_at;	  /* monotonic: tails of open journals are looked at then */
	uint64_t unmerged_before; /* commit: for what is before it there was no room in this run */
	char (*left)
		[SEGMENT_NAME_SIZE]; /* owned: segments that cannot be merged, and are not damaged */
	size_t n_left, left_cap;
	uint64_t kept;	  /* tails that stay because segments are damaged; that was said */
	uint64_t written; /* bytes of segments that were merged or made anew */
};

/** Do what there is to do.  @return 0, also where something is damaged and left alone; a negated errno, BULLA_E.... */
_must_check_ int upkeep_run(struct upkeep *u);
void upkeep_done(struct upkeep *u);

#endif

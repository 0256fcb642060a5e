/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_MERGE_H
#define BULLA_STORE_SEGMENT_MERGE_H

/**
 * One segment out of several that follow each other, or one anew, without what was pruned.
 *
 * Batches go over whole, so every root stays what it was: each is hashed where it comes from, and again where it has come to.
 * All are one tenant's, and so must be each journal.  What is damaged is not merged, and stays as it is for verify to find.
 */

#include <stdint.h>

#include "base/attr.h"
#include "seal/history.h"
#include "store/segment/build.h"
#include "store/segment/set.h"

struct merge_options {
	int dirfd; /* of the segments; borrowed */
	int level; /* zstd's */
};

/**
 * Merge segments first .. first+n-1 of a set; `h` tells what was pruned.  The new one takes their place by its name; those that
 * it contains are then removed.
 *
 * @return 1; -EINVAL where they are not one tenant's; 0 where nothing is left, and no file; BULLA_ECORRUPT and other errors of segment_open() where one is damaged;
 *         BULLA_ELIMIT; -ENOMEM; a negated errno.
 */
_must_check_ int segment_merge(const struct segment_set *set, uint32_t first, uint32_t n,
			       const struct history *h, const struct merge_options *o,
			       struct segment_made *ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_BATCHES_H
#define BULLA_STORE_SEGMENT_BATCHES_H

/**
 * Single batches out of segments, for who walks along the ledger and finds that a tail is gone.
 *
 * A commit lies in one window of a segment, and windows follow each other in time: so no more groups are open at once than two
 * windows have.
 */

#include <stdint.h>

#include "base/attr.h"
#include "store/segment/segment.h"
#include "store/segment/set.h"
#include "store/state.h"

struct segment_batches;

/** Nothing is read before it is asked for; `s` is borrowed. */
_must_check_ int segment_batches_new(struct segment_batches **ret, const struct state *s);
/** The same of the segments of a set, which is borrowed, and is all there is. */
_must_check_ int segment_batches_of(struct segment_batches **ret, const struct segment_set *set);
struct segment_batches *segment_batches_free(struct segment_batches *b);

/**
 * Find a batch.
 *
 * @return 0, with its group, all parts of which are there until the next call, and its number in it; -ENOENT; the error of
 *         a damaged segment; BULLA_EVERSION where only a segment of a newer format may have it; -ENOMEM; a negated errno.
 */
_must_check_ int segment_batches_find(struct segment_batches *b, const struct id *journal,
				      uint64_t batch_no, struct segment_group **ret_group,
				      uint32_t *ret_number);
/** Make the root of a batch of its entries.  Errors as segment_batches_find(), and of group_batch(). */
_must_check_ int segment_batches_root(struct segment_batches *batches, const struct batch *b,
				      struct hash *ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_TAKE_H
#define BULLA_STORE_SEGMENT_TAKE_H

/**
 * Sealed batches on their way out of tails into a segment at hand.
 *
 * They wait until there are enough of them for a row group, and are then read tail by tail.  What is damaged in a tail is left
 * out, with what its journal has behind it.  What was forged comes to light when the segment is read back, unless one is
 * careful and hashes each batch before it is taken.
 */

#include "base/attr.h"
#include "base/buf.h"
#include "store/batchroot.h"
#include "store/segment/hand.h"
#include "store/segment/tails.h"

struct batch_taker {
	const struct history *history;
	struct packed_tails tails;
	bool careful;
	struct field *fields; /* owned, FIELDS_MAX */
	struct buf raw;
	struct batchroot root;
};

void batch_taker_done(struct batch_taker *t);
/**
 * Read what a segment at hand waits for, and end its row group.
 *
 * @return 0, also where batches were left out; an error that is not a tail's.
 */
_must_check_ int batch_taker_take(struct batch_taker *t, struct segment_hand *h);

#endif

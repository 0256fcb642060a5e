/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_REST_H
#define BULLA_AGGREGATOR_REST_H

/**
 * What is left of an object of a lane once segments have its rows: keys and commits, contexts and seeds, heads of batches that
 * are absent or tell something, and batches whose rows stay, whole.
 *
 * The blocks are the object's, in its order, each shorter than it was.  receiver_frame() takes them with RECEIVE_PACKED.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

/** What the writer asks and tells; offsets are of whole frames. */
struct rest {
	/** Whether the rows of a batch stay, the first of which lie there in the object. */
	bool (*stays)(void *arg, uint64_t offset);
	/** A rows frame that stays has another place now.  @return 0, or < 0 to end with that error. */
	int (*moved)(void *arg, uint64_t from, uint64_t to);
	void *arg;
};

/**
 * Write the rest of an object of `size` bytes to an empty file.  The same object and the same answers give the same bytes.
 *
 * @return how many; BULLA_ECORRUPT, BULLA_ETRUNCATED or BULLA_ELIMIT where the object is not blocks from end to end; -ENOMEM;
 *         a negated errno; an error of moved().
 */
_must_check_ int64_t rest_write(const struct rest *x, int object, uint64_t size, int to);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_FORWARDER_PACKED_H
#define BULLA_FORWARDER_PACKED_H

/**
 * Batches as they travel whose tails are gone: out of segments, as the frames that a tail would have had.
 *
 * The frames are not the tail's byte for byte, but they have the same contexts, seeds and entries, and so the root that was
 * sealed; what has another one is not appended.
 */

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/statement.h"
#include "store/state.h"

struct packed;

_must_check_ int packed_new(struct packed **ret, const struct state *s);
struct packed *packed_free(struct packed *p);

/** The root of what segments have for a batch.  @return 0, -ENOENT, an error of a segment that is damaged. */
_must_check_ int packed_root(struct packed *p, const struct batch *b, struct hash *ret);
/**
 * Append the frames of a batch.  Of its journal `*contexts` and `*seeds` were sent before; how many have been now is left
 * there.
 *
 * @return 0; -ENOENT where no segment has it; BULLA_ECORRUPT or another error of a segment that is damaged or not what was
 *         sealed; -ENOMEM.  After an error `body` ends where it did.
 */
_must_check_ int packed_batch(struct packed *p, const struct batch *b, uint32_t *contexts,
			      uint32_t *seeds, struct buf *body);

#endif

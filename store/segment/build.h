/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_BUILD_H
#define BULLA_STORE_SEGMENT_BUILD_H

/**
 * Making a segment out of what was sealed: some commits of a host's ledger, and the tails that they speak of.
 */

#include <stdint.h>

#include "base/attr.h"
#include "seal/note.h"
#include "store/state.h"

struct segment_order {
	uint64_t first, end; /* commits [first, end); `end` may lie behind the last */
	const char *name;    /* of the file to make in `dirfd` */
	int dirfd;
	int level; /* zstd's */
};

struct segment_made {
	uint64_t size;
	uint64_t end; /* commits [first, end) are in it */
	uint64_t batches, entries;
	uint32_t journals;
};

/**
 * Make a segment.  Tails may grow meanwhile; they are not changed.
 *
 * Only batches whose content has the root that was sealed are taken: what is damaged in a tail is not carried on as if it
 * were whole.
 *
 * @return 0, and the file is durable, its name not yet; BULLA_ETAMPERED where a tail does not hold what was sealed; an error
 *         of ledger_open(), tail_reader_open() or segment_writer_add().  The file is gone then.
 */
_must_check_ int segment_build(const struct state *s, const struct segment_order *order,
			       struct segment_made *ret);

#endif

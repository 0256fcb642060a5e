/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_PACKING_H
#define BULLA_AGGREGATOR_PACKING_H

/**
 * A complete object of a lane, looked at as what is to be packed: its batches, the journals that they are of, and parts, each
 * of which becomes a segment.
 */

#include <stdatomic.h>

#include "aggregator/archive-internal.h"
#include "aggregator/compact.h"

/** A journal of the object. */
struct packed_journal {
	uint32_t number; /* the archive's */
	struct id origin;
	struct tenant tenant;
	struct compact_journal as;	  /* seeds owned */
	uint64_t first_batch, last_batch; /* that seeds are needed for */
	uint32_t part, in_part;
};

struct packing {
	struct archive *archive;
	struct lane *lane;
	uint64_t seq;
	uint32_t object; /* the archive's number */
	uint64_t taken;	 /* bytes of it that count */
	bool lost;	 /* some of it is not to be seen, and not to be lost */
	struct compact_batch *
		batches; /* owned, in the order of their offsets; `journal` is the place in `journals` */
	size_t n_batches;
	struct packed_journal *journals; /* owned, by number */
	uint32_t n_journals, n_parts;
	uint32_t *order; /* owned: journals by part */
};

/**
 * Find the first complete object that has to be packed, and describe it, but for what is packed already.
 *
 * @return 1; 0: there is none, or it can only be described later; -ENOMEM.
 */
_must_check_ int packing_begin(struct packing *p, struct archive *a);
void packing_done(struct packing *p);

/** What compact() is to do for one part; seeds stay the packing's. */
struct packing_part {
	struct compact_task task;
	struct id *origins;		  /* owned */
	struct compact_journal *journals; /* owned */
	size_t *batches;		  /* owned: which ones of the packing's they are */
};

_must_check_ int packing_part_make(struct packing_part *x, struct packing *p, uint32_t number);
void packing_part_done(struct packing_part *x);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_PROVE_INTERNAL_H
#define BULLA_STORE_PROVE_INTERNAL_H

/** What the parts of proving share: prove.c goes along the ledger, prove_entries.c has what a batch holds. */

#include "base/buf.h"
#include "seal/proof.h"
#include "store/contexts.h"
#include "store/prove.h"
#include "store/segment/batches.h"
#include "store/state.h"

/** The entries of a batch as they are hashed. */
struct proved_entries {
	struct buf bytes;    /* statements, one behind the other */
	size_t *end;	     /* owned: of each in `bytes` */
	uint32_t *context;   /* owned: of each, its number */
	struct hash *leaves; /* owned */
	uint32_t n;
	bool only; /* keep the statement of the entry at `place` alone */
	uint32_t place;
	struct contexts contexts;
	struct buf put; /* what a proof points to */
	struct buf put_contexts;
};

void proved_entries_done(struct proved_entries *e);
/**
 * Gather the entries of a batch from a segment, else from the journal's tail; who calls compares the root.
 *
 * @return 0; -ENOENT; BULLA_ECORRUPT and the like where what there is is damaged; -ENOMEM; a negated errno.
 */
_must_check_ int proved_entries_find(struct proved_entries *e, const struct state *s,
				     struct segment_batches *segments, const struct batch *b);
/** Point a proof to those that its extent and place say, and to their contexts.  @return 0 or -ENOMEM. */
_must_check_ int proved_entries_put(struct proved_entries *e, struct entry_proof *to);

#endif

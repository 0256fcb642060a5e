/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_FORWARDER_PACK_H
#define BULLA_FORWARDER_PACK_H

/**
 * Commits of a state directory as they travel: the ledger's records and the tails' frames, copied.
 *
 * A packer stands at a commit and goes forward; going back starts over.  It reads only, and it does not trust what it reads
 * further than its checksums: the aggregator verifies.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "forwarder/wire.h"
#include "store/state.h"

struct packer;

_must_check_ int packer_new(struct packer **ret, const struct state *s);
struct packer *packer_free(struct packer *p);

/** Read on in the ledger.  @return how many commits it has, or an error. */
_must_check_ int packer_size(struct packer *p, uint64_t *ret);
/** Stand before commit `number`.  @return 0; -ENOENT when the ledger has fewer. */
_must_check_ int packer_seek(struct packer *p, uint64_t number);
/** Number of the commit before which the packer stands. */
uint64_t packer_position(const struct packer *p);
/** Root of the tree of all commits before the one where the packer stands. */
struct hash packer_root(const struct packer *p);
/** The origin; only where the ledger has a commit. */
_must_check_ int packer_origin(struct packer *p, struct id *ret);

struct pack_options {
	bool full;    /* all contexts and seeds of each journal */
	bool careful; /* compute roots, and leave out what does not match */
};

/** Append the next commit.  @return 1; 0 when there is none; a negated errno; BULLA_ELIMIT, BULLA_ECORRUPT. */
_must_check_ int packer_next(struct packer *p, const struct pack_options *o, struct buf *body);

#endif

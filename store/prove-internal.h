/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_PROVE_INTERNAL_H
#define BULLA_STORE_PROVE_INTERNAL_H

/**
 * What the parts of proving share: prove.c goes along the ledger, prove_entries.c has what a batch holds, prove_links.c how
 * commits were sealed.
 */

#include "base/buf.h"
#include "seal/history.h"
#include "seal/proof.h"
#include "store/contexts.h"
#include "store/prove.h"
#include "store/segment/batches.h"
#include "store/state.h"

/** A link with memory of its own. */
struct kept_link {
	struct sealed_link link;
	struct buf commit, signature;
};

void kept_link_done(struct kept_link *l);
/** Keep the commit at hand, which the history has not taken yet.  @return 0; an error of history_signature(); -ENOMEM. */
_must_check_ int kept_link_take(struct kept_link *l, const struct history *h,
				const struct sealed_commit *c);

/** Commits in which keys succeeded each other. */
struct kept_successions {
	uint8_t n;
	struct kept_link at[SUCCESSIONS_MAX];
};

void kept_successions_done(struct kept_successions *s);
/** Keep the commit at hand if it is one.  @return 0; BULLA_ELIMIT; as kept_link_take(). */
_must_check_ int kept_successions_add(struct kept_successions *s, const struct history *h,
				      const struct sealed_commit *c);
/** What a file is to have of them; borrowed. */
void kept_successions_put(const struct kept_successions *s, struct successions *to);

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

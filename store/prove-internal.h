/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_PROVE_INTERNAL_H
#define BULLA_STORE_PROVE_INTERNAL_H

/**
 * What the parts of proving share: proving.c goes along the commits, prove_entries.c has what a batch holds, prove_links.c how
 * commits were sealed.
 */

#include "base/buf.h"
#include "seal/history.h"
#include "seal/proof.h"
#include "store/proving.h"

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

/** Point a proof to those that its extent and place say, and to their contexts.  @return 0 or -ENOMEM. */
_must_check_ int proved_entries_put(struct proved_entries *e, struct entry_proof *to);

#endif

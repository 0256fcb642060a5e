/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_PROVE_H
#define BULLA_STORE_PROVE_H

/**
 * Making proofs (seal/proof.h) of what a state directory has.
 *
 * Nothing is proved that is not right: what is needed of a commit is hashed anew.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/proof.h"
#include "store/state.h"

/** What is wanted of a batch. */
struct prove_wish {
	enum proof_extent extent;
	uint32_t place; /* of the one entry */
	bool last;	/* and then nothing more */
};

struct prove_options {
	/** Asked of each batch, in the order of commits.  @return 1 and the wish; 0: nothing of it; an error, which ends it. */
	int (*wish)(void *arg, const struct batch *b, uint64_t commit_ns, struct prove_wish *ret);
	/** Given each proof.  A negative return ends it. */
	int (*proof)(void *arg, const struct batch *b, const struct prove_wish *wish,
		     const struct buf *file);
	void *arg;
};

/**
 * Go along the ledger and make the proofs that are wished for.
 *
 * @return 0; BULLA_ETAMPERED, where a batch, or what else is needed of its commit, is not what was sealed; an error of the ledger;
 *         -ENOMEM; a negated errno; what a callback returned.  `*ret_why` is NULL, or says why in words.
 */
_must_check_ int prove(const struct state *s, const struct prove_options *o, const char **ret_why);
/** A wish for one entry, and nothing else.  @return as `wish`. */
int prove_wish_entry(const struct batch *b, const struct id *journal, uint64_t seq,
		     struct prove_wish *ret);
/**
 * Append the newest head as a file (seal/growth.h); with `from` commits, the proof that it goes on from there.
 *
 * @return 0; -ENOENT, where nothing was sealed; BULLA_ETAMPERED, where there are fewer commits than that; an error of the ledger.
 */
_must_check_ int prove_head(const struct state *s, uint64_t from, struct buf *to,
			    const char **ret_why);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_PROVEN_H
#define BULLA_QUERY_PROVEN_H

/**
 * Judging proofs that somebody makes for us who need not be believed, an aggregator: each must be good under a key that is known
 * here, and be one that was asked for.
 *
 * Of all that some journals have, proofs come in the order of a journal's batches.  What of it is left out is noticed: batches in
 * between, those before the first, and entries of a batch that belongs there.  That a journal is left out, or the newest batches,
 * no proof can tell.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "query/exec.h"
#include "seal/growth.h"
#include "seal/proof.h"
#include "store/contexts.h"

/** The shape of every key that a host of this kind begins with. */
extern const struct kes_params proof_key_shape;

/** How far the proofs of a journal have come. */
struct proven_journal;

/** What was asked for; start with that, and else with zeroes. */
struct proof_judge {
	const struct vkey *key; /* the only one that counts; NULL: those that are pinned here */
	bool one;		/* a single entry: */
	struct id journal;
	uint64_t seq;
	const struct query *query;	 /* else: the journals that match, and */
	uint64_t since_ns, until_ns;	 /* of commits */
	struct proven_journal *journals; /* owned */
	size_t n_journals, cap;
	/* What has come. */
	uint64_t proofs, entries; /* that are good */
	bool has_unknown;
	struct id unknown; /* an origin of whose proofs no key is known */
	/* The last proof: */
	struct id origin;	   /* it is of */
	struct entry_proof *proof; /* owned */
	struct buf memory;
	struct proved proved;
	const char *why; /* it is not good */
};

void proof_judge_done(struct proof_judge *j);
/**
 * Judge the next file.
 *
 * @return 1: it is good; 0: no key is known of its origin; BULLA_ETAMPERED: it is not good, or not what was asked for, and `why`;
 *         -ENOMEM; an error of pins_find().
 */
_must_check_ int proof_judge(struct proof_judge *j, const void *file, size_t n);
/**
 * Judge a head, and that it goes on from an older one (NULL: none was asked for), both under a key.
 *
 * @return 0; BULLA_ETAMPERED, and in words why not; -ENOMEM.
 */
_must_check_ int proof_judge_head(const struct growth *g, const struct growth *old,
				  const struct vkey *key, const char **ret_why);
/** The contexts that a proof has, parents first.  @return 0; an error of contexts_add(). */
_must_check_ int proof_contexts(const struct entry_proof *p, struct contexts *ret);

#endif

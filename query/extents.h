/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_EXTENTS_H
#define BULLA_QUERY_EXTENTS_H

/**
 * Which batches are meant where proofs are wanted of all that some journals have: those that were sealed in a time, and of each
 * journal the neighbours on both sides, which show that nothing is missing there.
 *
 * The commits are gone along twice: to measure, and to wish, which ends where measuring did, though there be more by then.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "query/exec.h"
#include "store/prove.h"

struct journal_extent {
	struct id journal;
	uint64_t first, end; /* batches inside; first >= end: none */
};

/** Start with the time, and else with zeroes. */
struct extents {
	struct journal_extent *at; /* owned; by journal, once settled */
	size_t n, cap;
	uint64_t since_ns, until_ns; /* of commits, both included */
	uint64_t measured, wished;   /* batches that have been seen */
};

/** Why a journal could not be added. */
#define EXTENTS_WHY "only what names a journal can be asked for: container, unit, image, host, ..."

void extents_done(struct extents *x);
/** Whether a journal matches, by its identity: what its entries have besides is not asked. */
enum tri extents_match(const struct query *q, const struct contexts *contexts);
/** Add a journal, if it matches.  @return 0; -EINVAL where its identity does not tell; -ENOMEM. */
_must_check_ int extents_add(struct extents *x, const struct query *q, const struct id *id,
			     const struct contexts *contexts);
/** All are there; some may have been added more than once.  Measuring begins. */
void extents_settle(struct extents *x);
/** The first time along: prove_options.wish, whose argument begins with a struct extents.  Nothing is wished for. */
int extents_measure(void *extents, const struct batch *b, uint64_t commit_ns,
		    struct prove_wish *ret);
/** The second time, of the same batches: likewise. */
int extents_wish(void *extents, const struct batch *b, uint64_t commit_ns, struct prove_wish *ret);

#endif

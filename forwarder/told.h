/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_FORWARDER_TOLD_H
#define BULLA_FORWARDER_TOLD_H

/**
 * What a receiver has been told of one journal: its contexts and seeds; and a draft of what the coming batch adds.
 *
 * Tables grow in place, and readers use them meanwhile: a reader has a *snapshot*, a head of its own over entries that are
 * never changed or moved.  What is outgrown or replaced is buried, not freed, until the receiver itself goes.  Since
 * tables double when they are full, the buried ones together are no larger than the living one; a snapshot is 48 bytes.
 *
 *	draft_begin -> draft_context, draft_seed ... -> draft_settle -> draft_keep
 *	                                          any time: draft_drop, and nothing has happened
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "store/contexts.h"
#include "store/tail_reader.h"

struct told {
	struct contexts table;	    /* grows; only the receiver looks at it */
	struct contexts *published; /* owned: the newest snapshot */
	struct seeds seeds;
	uint32_t used; /* contexts below this may be meant by rows that are kept */
};

void told_done(struct told *t);

/** Memory that readers may still use. */
struct buried;
struct buried *buried_free(struct buried *all);

struct told_draft {
	struct told *of; /* NULL: of a journal that the coming commit opens */
	bool whole;	 /* the list begins again with the first context and the first seed */
	bool own_table, own_seeds;
	struct contexts table;
	struct seeds seeds;
	uint32_t n_contexts, n_seeds; /* that `of` had before */
	uint32_t n_told;	      /* contexts that the list has named */
	uint32_t used;
	struct contexts *snapshot;
	struct buried *grave; /* made in time, so that keeping cannot fail */
};

void draft_begin(struct told_draft *d, struct told *of, bool whole);
const struct contexts *draft_contexts(const struct told_draft *d);
const struct seeds *draft_seeds(const struct told_draft *d);
/** Rows mean this context. */
void draft_use(struct told_draft *d, uint32_t context);
/** @return 0; errors of contexts_add(); BULLA_ECORRUPT where a whole list differs in what kept rows mean. */
_must_check_ int draft_context(struct told_draft *d, struct buried **all, const uint8_t *leaf,
			       size_t n);
_must_check_ int draft_seed(struct told_draft *d, const struct tail_seed *seed);
/** All has been told.  @return 0; BULLA_ECORRUPT as above; -ENOMEM. */
_must_check_ int draft_settle(struct told_draft *d);
/** The table as readers will use it; after draft_settle(). */
const struct contexts *draft_snapshot(const struct told_draft *d);
/** Make it what is known; `to` is where it is known from now on. */
void draft_keep(struct told_draft *d, struct told *to, struct buried **all);
void draft_drop(struct told_draft *d);

#endif

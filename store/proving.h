/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_PROVING_H
#define BULLA_STORE_PROVING_H

/**
 * Making proofs of commits, wherever they and their entries come from: a state directory (prove.h), or what an aggregator holds.
 *
 * Who has the commits gives them one after the other, from the first on; of those in which a batch is wished for the entries are
 * asked back.  What comes back is hashed and held against the seal, so a source need not be believed.
 */

#include "base/attr.h"
#include "base/buf.h"
#include "seal/history.h"
#include "seal/proof.h"
#include "store/contexts.h"
#include "store/prove.h"
#include "store/segment/segment.h"
#include "store/tail_reader.h"

/** The entries of a batch as they are hashed. */
struct proved_entries {
	struct buf bytes;     /* statements, one behind the other */
	size_t *end;	      /* owned: of each in `bytes` */
	uint32_t *context;    /* owned: of each, its number */
	struct hash *leaves;  /* owned */
	struct field *fields; /* owned, FIELDS_MAX */
	uint32_t n;
	bool only; /* keep the statement of the entry at `place` alone */
	uint32_t place;
	struct contexts contexts;
	struct buf raw;
	struct buf put; /* what a proof points to */
	struct buf put_contexts;
};

/** Begin with none, of this batch; what `only` and `place` say stays.  @return 0; BULLA_ELIMIT: no batch has so many; -ENOMEM. */
_must_check_ int proved_entries_begin(struct proved_entries *e, const struct batch *b);
void proved_entries_done(struct proved_entries *e);
/** Take all of them out of a row group, all parts of which are there.  @return 0; BULLA_ECORRUPT and the like; BULLA_ELIMIT; -ENOMEM. */
_must_check_ int proved_entries_group(struct proved_entries *e, const struct batch *b,
				      struct segment_group *g, uint32_t number);
/** Take the next ones, which are the rows of a frame; a seed that is not known is NULL.  @return as proved_entries_group(). */
_must_check_ int proved_entries_rows(struct proved_entries *e, const struct batch *b,
				     const uint8_t *seed, const struct contexts *contexts,
				     const struct tail_rows *rows);

/** Where the rest of commits is found; each @return 0 or an error. */
struct prove_source {
	/** The root of a batch that its commit's record lacks; NULL, where no record lacks any. */
	int (*root)(void *arg, const struct batch *b, struct hash *ret);
	/** The entries of a batch, into an empty list.  What was not found all may be begun anew. */
	int (*entries)(void *arg, const struct batch *b, struct proved_entries *e);
	void *arg;
};

struct proving;

/** Begin; source and options are borrowed, and `*ret_why` is as prove() has it.  @return 0 or -ENOMEM. */
_must_check_ int proving_new(struct proving **ret, const struct prove_source *s,
			     const struct prove_options *o, const char **ret_why);
struct proving *proving_free(struct proving *p);
/** What is to take keys and preview commits. */
struct history *proving_history(const struct proving *p);
/** Take the commit that the history has just previewed.  @return 0; 1: nothing more is wished for; an error of prove(). */
_must_check_ int proving_commit(struct proving *p, const struct sealed_commit *c);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_TAILS_H
#define BULLA_STORE_SEGMENT_TAILS_H

/**
 * The tails that a builder packs, each read as far as its batches have come, and what is known of their journals.
 *
 * One file is open at a time: the others go on from where they were.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "seal/history.h"
#include "store/segment/coverage.h"
#include "store/state.h"
#include "store/tail_reader.h"

/** A tail being read. */
struct packed_tail {
	struct tail_reader tail;
	bool begun;
	bool left_out;	     /* of the segment at hand */
	int64_t number;	     /* in the segment at hand; -1 before its first batch there */
	uint64_t after_hole; /* first entry behind the last hole */
};

struct packed_journal {
	struct packed_tail *tail; /* owned; NULL while nothing of it is to be packed */
	struct covered *tenant;	  /* NULL: nobody has said yet */
	uint64_t pruned;	  /* batches, when the builder began */
	bool gone;		  /* no tail says whose it is */
};

struct packed_tails {
	const struct state *state;
	struct packed_journal *at; /* owned, by handle */
	uint32_t n;
};

void packed_tails_done(struct packed_tails *t);
/** A journal, by its handle.  @return NULL without memory. */
struct packed_journal *packed_journal_of(struct packed_tails *t, uint32_t handle);
/** Whose a journal is, as the identity says that was sealed.  @return 0 or an error of the tail. */
_must_check_ int packed_tail_tenant(const struct packed_tails *t, const struct ledger_journal *j,
				    struct tenant *ret);
/**
 * Have a journal's tail open where it was left, unless it is left out.
 *
 * @return 0; an error of the tail, which is then `*ret` nevertheless; -ENOMEM and NULL.
 */
_must_check_ int packed_tail_open(struct packed_tails *t, struct packed_journal *journal,
				  const struct ledger_journal *j, struct packed_tail **ret);
/** Close its file, for now. */
void packed_tail_park(struct packed_tail *p);
void packed_tail_close(struct packed_journal *journal);
/** Whether an error is the tail's, and no reason to stop. */
bool packed_tail_is_damage(int error);
/**
 * The next frame of rows that do not come before `first_seq`: what is before is in other segments, or damaged.
 *
 * @return 0; -ENODATA where that entry was in a hole, and so in a segment; an error of the tail.
 */
_must_check_ int packed_tail_next(struct packed_tail *p, uint64_t first_seq, struct tail_rows *ret);

#endif

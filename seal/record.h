/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_RECORD_H
#define BULLA_SEAL_RECORD_H

/**
 * The parts of a commit's record, as the ledger has it: taken apart, and not understood.
 *
 * What they mean, and whether they may stand where they stand, is for the history to say (seal/history.h).  A ledger has
 * commits one by one, as they were sealed, and packed (seal/packed.h); both come to this.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "seal/tree.h"

/** A batch, as far as the ledger does not know it already.  Differences are modulo 2^64. */
struct ledger_item {
	uint64_t handle;
	uint8_t flags;
	uint64_t entries, bytes;
	uint64_t time_min; /* minus the commit's time */
	uint64_t span;	   /* of times: the greatest minus the least */
	uint64_t mono; /* offset of the monotonic clock, minus that of the journal's batch before */
	struct hash root; /* zeroes: left out */
};

/** Room for items, reused from record to record. */
struct ledger_items {
	struct ledger_item *at; /* owned */
	size_t cap;
};

struct commit_record {
	uint64_t number, time_ns;
	size_t n_items;
	const struct ledger_item *items; /* in the room that was given */
	size_t n_events;
	const uint8_t *events; /* one behind the other: u8 kind, varint length, body */
	size_t events_size;
	const uint8_t *sigma;	     /* NULL: not signed yet */
	const uint8_t *batches_root; /* NULL: to be made of the items, whose roots are all here */
};

/** @return false without memory. */
_must_check_ bool ledger_items_reserve(struct ledger_items *items, size_t n);
void ledger_items_done(struct ledger_items *items);

/** A root that is not there. */
bool root_is_absent(const struct hash *root);

void ledger_item_write(const struct ledger_item *i, struct wr *w);
/** Step over the events of a record.  @return BULLA_ECORRUPT where there are fewer, or one is too large. */
_must_check_ int commit_record_skip_events(struct rd *r, uint64_t n);
/**
 * Take a record apart; without `with_sigma` it ends before the signature.
 *
 * @return 0, BULLA_ECORRUPT, -ENOMEM.
 */
_must_check_ int commit_record_read(const uint8_t *p, size_t n, bool with_sigma,
				    struct ledger_items *room, struct commit_record *ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_SEALS_H
#define BULLA_QUERY_SEALS_H

/**
 * How much of each journal the ledger of a state directory seals, while it grows.
 *
 * What the ledger says is read, not verified.  What cannot be read of it seals nothing.
 */

#include <stdint.h>

#include "base/attr.h"
#include "seal/ledger.h"
#include "store/state.h"

/** Start with all zero: nothing is read, and nothing is sealed. */
struct seals {
	struct history *history; /* owned; NULL as long as there is no ledger */
	struct ledger ledger;	 /* its fd is -1 once it cannot be read on */
	struct ledger_scan scan;
};

/**
 * Read what there is, or what was appended since.
 *
 * @return 0, also where there is no ledger yet; -ENOMEM; another error where the ledger is not as it must be: what came
 *         before that counts, and nothing behind it will.
 */
_must_check_ int seals_read(struct seals *s, const struct state *state);
/** How many entries of a journal are sealed: those with smaller numbers. */
uint64_t seals_of(const struct seals *s, const struct id *journal);
void seals_done(struct seals *s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_PRUNE_H
#define BULLA_COLLECTOR_PRUNE_H

/** Having the sealer seal what is about to be taken away: nothing goes before the ledger says so. */

#include <stddef.h>

#include "base/attr.h"
#include "seal/statement.h"

/**
 * Have prunes sealed, one of each journal at most, by the sealer that is asked for at `reach` (reach.h).  `stop` ends the wait.
 *
 * @return 0 when all are; an error of reach_sealer(); BULLA_EORDER when it refuses one of them; a negated errno.
 */
_must_check_ int prune_seal(int reach, const struct event_prune *prunes, size_t n,
			    const volatile int *stop);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_PRUNE_H
#define BULLA_COLLECTOR_PRUNE_H

/** Having the sealer seal what is about to be taken away: nothing goes before the ledger says so. */

#include <stddef.h>

#include "base/attr.h"
#include "collector/sealer_link.h"
#include "seal/statement.h"
#include "store/state.h"

/**
 * Have prunes sealed, one of each journal at most; a sealer is started if there is none.  `stop` ends the wait.
 *
 * @return 0 when all are; -EINTR; -ENOEXEC when the sealer refuses to seal; BULLA_EORDER when it refuses one of them; a
 *         negated errno.
 */
_must_check_ int prune_seal(struct sealer_link *l, const struct state *s,
			    const struct event_prune *prunes, size_t n, const volatile int *stop);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_LOCAL_H
#define BULLA_QUERY_LOCAL_H

/** What the commands that speak of one state directory share. */

#include <stdbool.h>

#include "base/attr.h"
#include "query/seen.h"
#include "seal/history.h"
#include "store/state.h"

/** Open the state directory of --state; says what is wrong itself.  @return 0 or an error that was logged. */
_must_check_ int local_open(const char *option, struct state *ret);
/** Read the ledger without checking its seals.  @return 0; -ENOENT when nothing was ever sealed; an error. */
_must_check_ int local_history(const struct state *s, struct history **ret);
/**
 * Which key to hold the ledger to: that of --key, else the one that is pinned on this host for its origin (`*ret_local`).
 *
 * @return 1; 0 where none is known; an error that was logged.
 */
_must_check_ int local_pin(const struct state *s, const char *option, struct vkey *ret,
			   bool *ret_local);
/** Find out whose receipts count (seen_aggregators()), before they are walked.  @return 0 or an error that was logged. */
_must_check_ int local_aggregators(const struct state *s, const char *option, struct seen *seen);
/** The time that an option --since or --until has (when.h).  @return 0, or an error that was logged. */
_must_check_ int local_time(const char *option, const char *value, uint64_t *ret_ns);
/** Whether a sealer is at work there. */
bool local_sealer_runs(const struct state *s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_ASK_VERIFIED_H
#define BULLA_QUERY_ASK_VERIFIED_H

/** bulla query --verified. */

#include <stdbool.h>

#include "query/request.h"
#include "store/state.h"

/**
 * Answer, and say on standard error what does not check and so is not shown, unless `quiet`.
 *
 * @param key of --key, or NULL for the one that is pinned.
 * @return the exit status of bulla verify; an error, and `ret_said` whether it was logged.
 */
_must_check_ int ask_verified(const struct state *s, const char *key, struct answer *a, bool quiet,
			      bool *ret_said);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_TAIL_HOLLOW_H
#define BULLA_STORE_TAIL_HOLLOW_H

/**
 * Giving back the space of what segments have, in the tail of a journal that is still written to.
 *
 * Where a run of whole batches without contexts and seeds was, a `hole` frame is written that leads readers behind it, and the
 * space between is given back.  The collector knows nothing of it: it writes at the end, and holes keep away from there.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "seal/statement.h"

/** Whether batches [first, end) may go: asked before each hole that is not there yet. */
typedef bool (*tail_hollow_fn)(void *arg, uint64_t first, uint64_t end);

/**
 * Hollow out what lies before batch number `batches`, unless `may_go` (or NULL) says no.  `*ret_bytes` is how many were given
 * back, or had been.
 *
 * @return 0, also where the tail is damaged and left alone from there; -EOPNOTSUPP where the file system has no holes; a
 *         negated errno.
 */
_must_check_ int tail_hollow(int journals_dirfd, const struct id *journal, uint64_t batches,
			     tail_hollow_fn may_go, void *arg, uint64_t *ret_bytes);

#endif

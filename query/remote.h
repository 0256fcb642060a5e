/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_REMOTE_H
#define BULLA_QUERY_REMOTE_H

/**
 * Asking an aggregator.  A program of its own, bulla-ask, does it: who asks here does not wait for the libraries of TLS and HTTP to be
 * loaded, thirty of them, nor does what reads hostile files have them in its memory.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

/** How to ask; flags. */
enum {
	REMOTE_FOLLOW = 1 << 0, /* the answer never ends */
	REMOTE_QUIET = 1 << 1,	/* what may be missing is not said, only told by the return value */
	REMOTE_PLAIN = 1 << 2,	/* it goes to a terminal, which it must not act on (base/plain.h) */
};

/**
 * Write the answer to a GET to standard output; what is wrong is said, as by the command `name`, and what the aggregator says
 * may be missing.
 *
 * @return 0, or an error that was said; also where something may be missing.  BULLA_ETAMPERED: something was shown that is not so.
 */
_must_check_ int remote_get(const char *name, const char *at, const char *path, unsigned how);

/** Takes a part of an answer.  @return 0, or < 0 to break off. */
typedef int (*remote_take_fn)(void *arg, const void *data, size_t n);
/**
 * Have the answer to a GET, which is in pieces (base/pieces.h), as it comes: nothing has looked at it.  What is wrong is said.
 *
 * @return 0; the error of `take`, which is not said; an error that was said.  `*ret_said` tells these apart.
 */
_must_check_ int remote_read(const char *name, const char *at, const char *path,
			     remote_take_fn take, void *arg, bool *ret_said);

#endif

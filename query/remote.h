/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_REMOTE_H
#define BULLA_QUERY_REMOTE_H

/**
 * Asking an aggregator.  A program of its own, bulla-ask, does it: who asks here does not wait for the libraries of TLS and HTTP to be
 * loaded, thirty of them, nor does what reads hostile files have them in its memory.
 */

#include <stdbool.h>

#include "base/attr.h"

/**
 * Write the answer to a GET to standard output; what is wrong is said, as by the command `name`.
 *
 * @return 0, or an error that was said.
 */
_must_check_ int remote_get(const char *name, const char *at, const char *path, bool follow);

#endif

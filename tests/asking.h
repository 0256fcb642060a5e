/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_ASKING_H
#define BULLA_TESTS_ASKING_H

/** Questions to a state directory, as `bulla query` asks them, with and without --verified. */

#include <stddef.h>

#include "base/buf.h"
#include "store/verify.h"

/** Append the answer of a plain query; `words` are keys and values of a request, NULL behind the last.  @return how many places could
 * not be read. */
unsigned ask_plain(const char *path, const char *const *words, struct buf *to);
/** Append the answer of a verified one, which has so much memory (0: enough).  @return its error. */
int ask_checked(const char *path, const char *const *words, struct verify_options options,
		size_t size_max, struct buf *to, struct verify_report *ret);

#endif

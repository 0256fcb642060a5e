/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_NAMES_H
#define BULLA_QUERY_NAMES_H

/** A set of byte strings, bounded in number and size: the distinct values that a field has, and how often. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

struct names;

enum { NAMES_MAX = 1 << 20, NAMES_SIZE_MAX = 256 << 20 };

/** @return an empty set, or NULL without memory. */
struct names *names_new(void);
struct names *names_free(struct names *s);
/** Add a string, copied.  @return 0, also when it is there already; -E2BIG when there are too many; -ENOMEM. */
_must_check_ int names_add(struct names *s, const void *p, size_t n);
/** The same, and count it: so many times more. */
_must_check_ int names_count(struct names *s, const void *p, size_t n, uint64_t times);
typedef void (*names_fn)(void *arg, const void *p, size_t n, uint64_t times);
/** Walk all, sorted by their bytes or those that come most often first; the set is no set afterwards, only to be freed. */
void names_each(struct names *s, bool most_first, names_fn each, void *arg);
/** Append all, sorted by their bytes, one a line; the set is no set afterwards, only to be freed. */
void names_write(struct names *s, struct buf *to);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_SORTER_H
#define BULLA_QUERY_SORTER_H

/**
 * Any number of things put into the order of entries, in bounded memory: what does not fit is sorted, written to a file without a
 * name, and merged in the end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "query/newest.h"

struct sorter_options {
	bool backward;	/* the newest first */
	bool keep_last; /* of a limit: what comes last, instead of first */
	uint64_t limit; /* things; UINT64_MAX: all */
	size_t size_max; /* bytes in memory; less than a thing has is as if it had room for that one */
};

struct sorter;

/** @return 0 or -ENOMEM. */
_must_check_ int sorter_new(struct sorter **ret, const struct sorter_options *o);
struct sorter *sorter_free(struct sorter *s);
static inline void sorter_freep(struct sorter **s)
{
	sorter_free(*s);
}

/** Take one more; its bytes are copied.  @return 0, -ENOMEM, a negated errno of the file. */
_must_check_ int sorter_add(struct sorter *s, const struct place *place, const void *data,
			    uint32_t n);

/** Called with each, valid during the call.  @return 0 to go on, < 0 to stop with that error. */
typedef int (*sorter_fn)(void *arg, const uint8_t *data, uint32_t n);
/** Give out what is kept, once; nothing may be added then.  Errors as sorter_add(), and those of `each`. */
_must_check_ int sorter_each(struct sorter *s, sorter_fn each, void *arg);

/** How often something was written to the file, for tests. */
size_t sorter_runs(const struct sorter *s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_DAMAGED_H
#define BULLA_STORE_SEGMENT_DAMAGED_H

/**
 * Segments that were found damaged are set aside where they lie: a file beside each, `<name>.segment.damaged`, says where and
 * why.
 *
 * Readers read a marked segment like any other, as far as it can be read.  Who keeps segments leaves it alone: it is neither
 * merged nor rewritten nor removed, and nothing goes because it has it.  Nobody's proof relies on a mark.
 */

#include "base/attr.h"
#include "store/segment/set.h"

/** Mark a segment: `error` was met at byte `at`.  @return 0 or a negated errno. */
_must_check_ int damaged_mark(int dirfd, struct segment_file *f, int error, uint64_t at);

/** Called with a segment that was marked, or whose mark was taken away because it is whole again (error 0). */
typedef void (*damaged_fn)(void *arg, const struct segment_file *f, int error, uint64_t at);

/**
 * Mark those of a set that cannot be opened; look again at those that changed after they were marked, as when they were put
 * back from a copy; take away marks of segments that are gone.  What a newer version wrote is not damaged.
 *
 * @return 0, -ENOMEM, a negated errno.
 */
_must_check_ int damaged_look(int dirfd, struct segment_set *set, damaged_fn told, void *arg);

#endif

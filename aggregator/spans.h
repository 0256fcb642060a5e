/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_SPANS_H
#define BULLA_AGGREGATOR_SPANS_H

/** Sets of numbers that are a few spans: which entries of a journal are in segments. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct extent {
	uint64_t first, end; /* [first, end) */
};

/** Start with all zero: empty. */
struct spans {
	struct extent *at; /* owned; ascending, none touches the next */
	size_t n, cap;
};

void spans_done(struct spans *s);
/** Make room, so that so many calls of spans_add() cannot fail.  @return 0 or -ENOMEM. */
_must_check_ int spans_reserve(struct spans *s, size_t more);
void spans_add(struct spans *s, uint64_t first, uint64_t end);
/** Whether all of [first, end) is there. */
bool spans_have(const struct spans *s, uint64_t first, uint64_t end);
/** Whether any of it is. */
bool spans_touch(const struct spans *s, uint64_t first, uint64_t end);

#endif

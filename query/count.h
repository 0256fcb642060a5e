/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_COUNT_H
#define BULLA_QUERY_COUNT_H

/**
 * Counting entries: by what a field has, or by time.
 *
 * An entry counts once: by the first value of the field that it has, its own before its contexts', the nearest before the
 * identity's.  Times count by spans from 1970 on.
 */

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "query/exec.h"
#include "query/output.h"

struct counting {
	const char *field; /* full or short name; NULL: by time */
	uint64_t span_ns;
	uint64_t limit; /* values, those that come most often; UINT64_MAX: all */
};

/**
 * Count what matches a query and append the counts: as lines of a number and a value, or in JSON as objects with the field's
 * name (or `time`, in microseconds) and `count`.
 *
 * @return 0; an error of query_run(); -E2BIG: too many distinct values.
 */
_must_check_ int count_entries(const struct counting *k, const struct catalog *c,
			       const struct query *q, struct output *o, struct buf *to,
			       struct query_stats *ret_stats);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_CHECKED_H
#define BULLA_QUERY_CHECKED_H

/**
 * A query that believes nothing: the whole state directory is verified, and those entries of each good batch that match are
 * answered with.
 *
 * They are made of the bytes that were hashed (store/verify.h).  They come in the order of commits and are put in that of a query
 * in bounded memory, and in a file without a name where that is not enough.  No index, no row group's head, no word of a search
 * has a part in it.
 */

#include "base/attr.h"
#include "query/request.h"
#include "store/verify.h"

/** What fits in memory of an answer. */
enum { CHECKED_SIZE_MAX = 64 << 20 };

struct checking {
	const struct state *state;
	const struct verify_options
		*options; /* `entry` is set here; `found` is called with `options->arg` */
	size_t size_max;  /* for tests; 0: CHECKED_SIZE_MAX */
};

/**
 * Answer a request that is neither a count nor to be followed.
 *
 * @return 0, and the report of verify; an error of verify_state() or answer_end(); BULLA_ELIMIT: a pattern was too expensive.
 */
_must_check_ int checked_query(const struct checking *c, struct answer *a,
			       struct verify_report *ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_NEWEST_H
#define BULLA_QUERY_NEWEST_H

/**
 * The newest entries, that were found going backwards and are to be given out forwards: copies of them, as long as these
 * are not too large, and the place of the first.
 */

#include <stdbool.h>
#include <stddef.h>

#include "query/exec.h"

enum { NEWEST_SIZE_MAX = 64 << 20 };

/** Where an entry belongs among all others. */
struct place {
	uint64_t time_ns, seq;
	struct id journal;
};

struct newest {
	struct saved {
		struct shown shown;
		struct entry entry;
		void *memory; /* owned */
	} * at;		      /* owned; the newest first */
	size_t n, cap, size;
	bool too_large;	    /* nothing is kept but... */
	struct place first; /* ...where the oldest of them belongs */
};

void newest_done(struct newest *v);
/** Take one more, older than those before; a query_row_fn. */
_must_check_ int newest_add(void *arg, const struct shown *s);
/** Give out what was kept, the oldest first.  @return 0, or the error of `row`. */
_must_check_ int newest_give(const struct newest *v, query_row_fn row, void *arg);

#endif

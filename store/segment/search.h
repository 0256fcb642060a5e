/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_SEARCH_H
#define BULLA_STORE_SEGMENT_SEARCH_H

/**
 * Finding a needle in the messages of a segment, most of them unread.
 *
 * The needle meets the templates first, once a segment: in a template's own text it is in every row of it; if no way of
 * laying it across texts and variables is possible, in none.  Only what is left is looked at by row: of variables that may
 * have all of the needle, their values; where it would lie across a border, whole messages.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "store/segment/segment.h"

/** What is sought; borrowed. */
struct needle {
	const uint8_t *p;
	size_t n;      /* not 0 */
	bool any_case; /* ASCII letters match in either */
};

/** What templates alone say. */
struct needle_plan {
	struct needle needle;
	struct needle_verdict {
		bool all;	 /* every row has it */
		bool across;	 /* a row may have it across the border of a variable */
		uint64_t inside; /* these variables may have all of it */
	} * of;			 /* owned, by template */
};

_must_check_ int needle_plan_make(struct needle_plan *p, const struct segment *s,
				  const struct needle *n);
void needle_plan_done(struct needle_plan *p);
/** Whether any bytes have the needle. */
bool needle_in(const struct needle *n, const uint8_t *p, size_t len);

/**
 * Set in `hits` (a bit a row, (rows + 63) / 64 words, cleared first) the rows of a group that have the needle.
 *
 * @return how many, or an error of group_need_...().
 */
_must_check_ int64_t group_search(struct segment_group *g, const struct needle_plan *p,
				  uint64_t *hits);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_NEEDLE_H
#define BULLA_STORE_SEGMENT_NEEDLE_H

/**
 * What the templates of a segment alone say of a needle: in a template's own text it is in every row of it; if no way of
 * laying it across texts and variables is possible, in none.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/find.h"
#include "base/sequel.h"
#include "store/segment/halves.h"
#include "store/segment/segment.h"
#include "store/segment/tokens.h"

/** What is sought; borrowed. */
struct needle {
	const uint8_t *p;
	size_t n;      /* not 0 */
	bool any_case; /* ASCII letters match in either */
	/* What must follow it, so that it counts; NULL for nothing.  Where that cannot be told it is taken to follow. */
	const struct sequel *sequel;
};

/** What a template says. */
struct needle_verdict {
	bool known;	 /* the template was judged, */
	bool all_known;	 /* or at least its texts searched */
	bool all;	 /* every row has it */
	bool across;	 /* a row may have it across the border of a variable */
	uint64_t inside; /* these variables may have all of it */
};

enum { NEEDLE_PLANNED_MAX = 63 /* bytes; longer needles are planned by their beginning */ };

/** A needle's way through a segment; it stays where it was made. */
struct needle_plan {
	struct needle needle; /* with a sequel in any case */
	struct finder finder;
	struct halves halves;
	struct tokens_asked tokens;
	struct needle_verdict *of; /* owned, by template; needle_plan_of() asks */
	uint32_t n;		   /* that there is room for */
	/* By kind of variable: which of the needle's bytes it may hold, and which parts of its sequel. */
	uint64_t holds['Z' - 'A' + 1], takes['Z' - 'A' + 1];
};

/** @return 0, -EINVAL for a needle without bytes. */
_must_check_ int needle_plan_make(struct needle_plan *p, const struct needle *n);
void needle_plan_done(struct needle_plan *p);
/** Make room for verdicts on a segment's templates; always the same segment.  @return 0 or -ENOMEM. */
_must_check_ int needle_plan_room(struct needle_plan *p, uint32_t templates);
/** The verdict on a template of the segment, found out when it is first asked for. */
const struct needle_verdict *needle_plan_of(struct needle_plan *p, const struct group_template *t);
/** The same where nobody cares for more than whether all rows have it. */
bool needle_plan_all(struct needle_plan *p, const struct group_template *t);
/** Whether the needle is in the value of a template's variable, or in a message (`t` is NULL), so that it may be followed as it must. */
bool needle_in_value(const struct needle_plan *p, struct text value, const struct template *t,
		     unsigned slot);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_QUESTION_H
#define BULLA_AGGREGATOR_QUESTION_H

/** What a reader wants proved, as it comes in a URL: one entry, all that the journals have which match, or how far a host has come. */

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "query/request.h"
#include "seal/statement.h"

struct question {
	bool has_origin, has_cursor;
	struct id origin; /* of this host alone */
	struct id journal;
	uint64_t seq;
	bool has_match;
	bool head;		/* the newest of `origin`; and */
	uint64_t from;		/* that it goes on from one of so many commits; 0: no such */
	struct request request; /* match, since and until; of commits */
};

_must_check_ int question_init(struct question *q);
void question_done(struct question *q);
/**
 * Set one key from bytes: origin, cursor, match, since, until, head, from.
 *
 * @return 0; -EINVAL or -ENOENT, and `why` (256 bytes) is a sentence; -ENOMEM.
 */
_must_check_ int question_set(struct question *q, const char *key, const void *value, size_t n,
			      char *why);
/** Whether all of it makes sense.  @return as question_set(). */
_must_check_ int question_check(const struct question *q, char *why);

#endif

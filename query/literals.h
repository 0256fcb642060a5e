/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_LITERALS_H
#define BULLA_QUERY_LITERALS_H

/**
 * What a message must have for a PCRE2 pattern to match it: of some literals at least one, and perhaps of some others, too; and
 * what must follow these.
 *
 * A search looks for these first and asks PCRE2 about what is left.  It is right for patterns compiled with PCRE2_UTF,
 * PCRE2_MATCH_INVALID_UTF and, or not, PCRE2_CASELESS, and nothing else.  What is not understood gives no literals.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/sequel.h"

enum { LITERALS_MAX = 16, LITERALS_DEPTH_MAX = 32 /* of groups */ };

struct literal_set {
	size_t n;
	struct literal {
		size_t at, len; /* in the bytes; never empty */
		size_t behind;	/* the pattern's part that follows it, or SIZE_MAX */
	} of[LITERALS_MAX];
};

struct literals {
	bool any_case; /* ASCII letters of them match in either */
	bool all;      /* the pattern is one literal, the first: a message that has it matches */
	/* A message has one of each set that is not empty.  Where the first is, any message may match. */
	struct literal_set first, second;
	/* What must follow the only literal of each; without parts where nothing must, or nothing is known. */
	struct sequel behind_first, behind_second;
	struct buf bytes; /* owned */
};

/** Work out a pattern's literals: those of which the shortest is longest, and next to longest.  @return 0 or -ENOMEM. */
_must_check_ int literals_make(struct literals *l, const char *pattern, bool caseless);
void literals_done(struct literals *l);

#endif

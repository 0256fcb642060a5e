/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_REPLACE_H
#define BULLA_STORE_SEGMENT_REPLACE_H

/**
 * Taking away tails that segments have taken the place of, or parts of them: whole those of closed journals, every entry of which is in a segment or
 * was pruned, and which every destination of this host has acknowledged unless nothing is left to be sent.
 */

#include <stdint.h>

#include "base/attr.h"
#include "seal/history.h"
#include "store/segment/set.h"
#include "store/state.h"

struct replaced {
	uint64_t tails, bytes;
	uint64_t kept; /* tails that would go if the segments that have what they have were whole */
	char damaged[SEGMENT_NAME_SIZE]; /* one of those, if it is not marked yet; else empty */
};

/** `h` is the ledger, read to where it was when the segments were made.  @return 0, -ENOMEM, a negated errno. */
_must_check_ int segment_replace_tails(const struct state *s, const struct history *h,
				       struct replaced *ret);
/**
 * Hollow out the tails of journals that are open, where segments have what is there for longer than `settled_s` seconds: who
 * has begun to read before that is done by then.  Errors as above.
 */
_must_check_ int segment_hollow_tails(const struct state *s, const struct history *h,
				      unsigned settled_s, struct replaced *ret);

#endif

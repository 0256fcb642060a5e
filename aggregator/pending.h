/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_PENDING_H
#define BULLA_AGGREGATOR_PENDING_H

/**
 * What a follower was told of one journal before it was sealed: a digest of each row, until what was sealed has come and is held
 * against it.  Whoever pushes unsealed rows is not authenticated; by these a row that no host wrote is found.
 *
 * Digests are keyed: who makes rows up cannot make them so that they look like others.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/statement.h"

enum { PENDING_KEY_SIZE = 16 };

struct pending_row {
	uint64_t digest;
	bool shown; /* it matched */
	bool same;  /* it was sealed so */
};

/** Rows [first, end) of a journal; start with zeroes. */
struct pending {
	uint64_t first, end;
	uint64_t since_ns;	  /* for the owner: when it began to wait */
	struct pending_row *rows; /* owned; the first one is at `from` */
	size_t from, cap;
};

void pending_done(struct pending *p);
/** Make room for n more; where there are none they begin at `seq`.  @return 0 or -ENOMEM. */
_must_check_ int pending_reserve(struct pending *p, uint64_t seq, size_t n);
/** Add the next one; there is room for it. */
void pending_add(struct pending *p, uint64_t digest);
/** @return a row, or NULL. */
struct pending_row *pending_of(const struct pending *p, uint64_t seq);
/** Forget those before `seq`.  @return how many of them were shown, and are not known to have been sealed so. */
uint64_t pending_forget(struct pending *p, uint64_t seq);

/** The digest of a row whose context is filled in; `room` is scratch.  @return 0 or -ENOMEM. */
_must_check_ int pending_digest(const uint8_t key[PENDING_KEY_SIZE], const struct entry *e,
				struct buf *room, uint64_t *ret);

#endif

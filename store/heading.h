/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_HEADING_H
#define BULLA_STORE_HEADING_H

/**
 * Making a head of commits, wherever they come from, and with it the proof that it goes on from an older one.
 *
 * Who has the commits gives them one after the other, from the first on; and where there is an older head once more, for the trees
 * that the proof is made of.
 */

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/history.h"

struct heading;

/** Begin; `from` is how many commits the older head has, 0: there is none.  @return 0 or -ENOMEM. */
_must_check_ int heading_new(struct heading **ret, uint64_t from);
struct heading *heading_free(struct heading *h);
/** What is to take keys and preview commits; another one each time along. */
struct history *heading_history(const struct heading *h);
/** Take the commit that the history has just previewed.  @return 0; 1: nothing more is wanted; BULLA_ELIMIT; an error of the history. */
_must_check_ int heading_commit(struct heading *h, const struct sealed_commit *c);
/**
 * All commits have come.
 *
 * @return 0: it can be written; 1: they are wanted once more; -ENOENT where there are none; BULLA_ETAMPERED where there are fewer than
 *         the older head has; -ENOMEM.  `*ret_why` says why in words.
 */
_must_check_ int heading_again(struct heading *h, const char **ret_why);
/** Append the file (seal/growth.h).  @return 0 or -ENOMEM. */
_must_check_ int heading_write(struct heading *h, struct buf *to);

#endif

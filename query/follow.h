/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_FOLLOW_H
#define BULLA_QUERY_FOLLOW_H

/**
 * New entries of a state directory, in the order in which they arrive.
 *
 * The kernel tells which tails were written (inotify on the one directory); each is read on from where the catalog ended,
 * so nothing between the answer and the following is missed or shown twice.
 */

#include "base/attr.h"
#include "query/catalog.h"
#include "query/request.h"

struct follower {
	struct local_catalog *catalog; /* borrowed */
	int inotify;		       /* owned; readable when there may be more */
	struct buf raw;
};

/** Begin to watch; to be called before the catalog is built. */
_must_check_ int follower_open(struct follower *f, struct local_catalog *catalog,
			       const struct state *s);
void follower_close(struct follower *f);
/** Answer with all that has come since; call it once after the catalog was answered, then whenever `inotify` is readable. */
_must_check_ int follower_step(struct follower *f, struct answer *a);

#endif

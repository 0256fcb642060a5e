/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_FORWARDER_LIVE_H
#define BULLA_FORWARDER_LIVE_H

/**
 * Unsealed rows for those who follow at the aggregator.
 *
 * A thread of its own asks whether somebody follows; while somebody does, it sends rows as they are appended to the tails.
 * Nothing of that is kept or acknowledged, and nothing depends on its arrival: the sealed rows come in any case.
 */

#include "base/attr.h"
#include "seal/statement.h"
#include "store/state.h"

struct live;

/** Start the thread; `state` and `base` (URL) are borrowed until live_stop(). */
_must_check_ int live_start(struct live **ret, const struct state *s, const char *base,
			    const struct id *origin);
struct live *live_stop(struct live *l);

#endif

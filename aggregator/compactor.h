/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_COMPACTOR_H
#define BULLA_AGGREGATOR_COMPACTOR_H

/**
 * What keeps an aggregator's lanes small: complete objects are packed into segments, one after another (compact.h), and what is
 * left of each takes its place (rest.h).
 *
 * It may be stopped or killed between any two steps; the next round goes on.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "aggregator/archive.h"
#include "base/attr.h"

struct compactor_options {
	uint64_t
		age_ns; /* an object is complete when its first block came so long ago; UINT64_MAX: only when it is full */
	int level; /* zstd's */
};

/** What a round has done. */
struct compactor_round {
	uint64_t objects, segments, entries;
	uint64_t left_out; /* batches whose rows stay in a rest */
};

/**
 * Do what there is to do.  `stop` is looked at between segments; NULL: never.
 *
 * @return 0, also where an object cannot be packed and is left alone; -ENOSPC, -EDQUOT, -ENOMEM and others of which a later
 *         round may know nothing; then nothing is lost.
 */
_must_check_ int compactor_round(struct archive *a, const struct compactor_options *o,
				 const atomic_bool *stop, struct compactor_round *ret);

struct compactor;
/** Do rounds in a thread of low priority, until it is stopped. */
_must_check_ int compactor_start(struct compactor **ret, struct archive *a,
				 const struct compactor_options *o);
struct compactor *compactor_stop(struct compactor *c);

#endif

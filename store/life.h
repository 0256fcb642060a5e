/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_LIFE_H
#define BULLA_STORE_LIFE_H

/**
 * What a host's commits tell of its life, besides what they seal: when nothing came though it was up, when it began again without
 * having ended, and which keys followed its first.
 *
 * It is told, and decides nothing: times are what the host's clock said.
 */

#include <stdbool.h>
#include <stdint.h>

#include "seal/statement.h"

enum {
	LIFE_SILENCE_S = 120, /* a host that is up seals at least once a minute */
	LIFE_TOLD = 16,	      /* of each kind: the newest so many */
};

/** A time without commits. */
struct life_span {
	uint64_t from_ns, to_ns;
	uint64_t commit; /* that ended it */
};

struct life_spans {
	struct life_span at[LIFE_TOLD]; /* in order of commits */
	uint32_t n;
	uint64_t counted, total_ns; /* of all, told or not */
};

/** A key that followed another. */
struct life_key {
	uint64_t commit; /* the first that it seals */
	uint64_t time_ns;
	uint8_t public_key[32];
};

/** Start with all zero. */
struct life {
	bool begun, up;
	uint64_t last_ns;	    /* of the last commit */
	struct life_spans silences; /* longer than LIFE_SILENCE_S, between commits of one run */
	struct life_spans
		restarts; /* between the last commit of a run that did not end, and the next run */
	struct life_key keys[LIFE_TOLD]; /* the newest */
	uint32_t n_keys;
	uint64_t keys_counted;
};

/** Take the next commit. */
void life_take(struct life *l, const struct commit *c);

#endif

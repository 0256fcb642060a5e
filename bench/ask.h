/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BENCH_ASK_H
#define BULLA_BENCH_ASK_H

/** A question to a state directory, asked within the process as the command asks it, from nothing. */

#include <stddef.h>
#include <stdint.h>

#include "store/state.h"

struct asked {
	double ms, query_ms; /* of CPU: all of it; without looking at what there is to read */
	double wall_ms;
	uint64_t rows;
};

/** `words`: names and values of the protocol's, in turn.  What goes wrong ends the program. */
struct asked ask(const struct state *state, const char *const *words, size_t n, unsigned threads);

#endif

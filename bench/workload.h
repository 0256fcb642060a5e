/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BENCH_WORKLOAD_H
#define BULLA_BENCH_WORKLOAD_H

/**
 * Log lines made from a seed: the stand-in where the big corpus is not at hand.
 *
 * Shape: 660 sources, the k-th as busy as k^-0.9; bursts of 2.5 lines on average; 2,000 lines a second in Poisson-like
 * gaps.  Lines come from 24 templates (access logs, key=value, JSON, plain prose, stack frames), 40 to 250 bytes, 117 on
 * average; numbers are skewed, identifiers recur.  It is hard to compress: zstd -3 makes a quarter of it.
 * Line 83 % holds WORKLOAD_WORD_ONCE; 0.2 % of all, from 61 % on, WORKLOAD_WORD_BURST.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define WORKLOAD_WORD_ONCE  "xyzzyneedleonce"
#define WORKLOAD_WORD_BURST "upstream ledger unreachable"

enum { WORKLOAD_SOURCES = 660 };

struct workload {
	uint64_t random;
	uint64_t made, total;
	uint64_t time_ns;
	uint32_t source, burst_left;
	bool small; /* lines of 5 to 25 bytes instead */
	uint32_t busy[4096];
	uint64_t recent[64]; /* identifiers */
};

void workload_init(struct workload *w, uint64_t total, bool small);
/** Append the next line and its newline to `to`; whose and when is in `w`. */
void workload_next(struct workload *w, struct buf *to);

#endif

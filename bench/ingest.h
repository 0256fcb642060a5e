/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BENCH_INGEST_H
#define BULLA_BENCH_INGEST_H

/** What a collector does with a pipe that is never empty, without the pipe: all lines into one journal's tail. */

#include "bench/measure.h"

struct ingest_cost {
	uint64_t cpu_ns, wall_ns;
	uint64_t bytes; /* of the tail */
	uint64_t batches;
};

/** Frames of 1 MiB, a durable batch after each, as for a busy source. */
struct ingest_cost ingest_all(const struct bench *b);

#endif

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A question to a state directory, within one process: what is left of a query when no process has to be started for it.
 *
 *	bench_ask STATE RUNS THREADS [WORD VALUE]...
 *
 * The words are those of the protocol: grep, match, limit.  Prints medians, and the least time that passed, as JSON; one more run warms up.
 */

#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"
#include "bench/ask.h"
#include "bench/measure.h"

int main(int argc, char **argv)
{
	struct samples cpu = { 0 }, wall = { 0 };
	struct asked a = { 0 };
	struct state state;
	unsigned threads;

	if (argc < 4)
		return 2;
	heap_keep();
	threads = (unsigned) strtoul(argv[3], NULL, 10);
	must(state_open(&state, argv[1], false), argv[1]);
	for (unsigned long i = strtoul(argv[2], NULL, 10), k = 0; k <= i; k++) {
		a = ask(&state, (const char *const *) argv + 4, (size_t) argc - 4, threads);
		if (k == 0)
			continue;
		samples_add(&cpu, a.ms);
		samples_add(&wall, a.wall_ms);
	}
	printf("{\"rows\": %llu, \"cpu_ms\": %.4g, \"wall_ms\": %.4g, \"fastest_ms\": %.4g}\n",
	       (unsigned long long) a.rows, samples_median(&cpu), samples_median(&wall),
	       samples_quantile(&wall, 0));
	samples_done(&cpu);
	samples_done(&wall);
	state_close(&state);
	return 0;
}

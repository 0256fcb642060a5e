/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Not a benchmark: writes the workload's lines, for the programs that read files.
 *
 *	bench_lines LINES FILE WHEN [small]     WHEN: per line its u64 time and u32 source, 16 bytes in the host's order
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/workload.h"

struct when {
	uint64_t time_ns;
	uint32_t source, unused;
};

int main(int argc, char **argv)
{
	static struct workload w;
	struct buf line = { 0 };
	FILE *lines, *whens;
	bool ok = true;

	if (argc < 4)
		return 2;
	lines = fopen(argv[2], "we");
	whens = fopen(argv[3], "we");
	if (!lines || !whens)
		return 1;
	workload_init(&w, strtoull(argv[1], NULL, 10), argc > 4 && strcmp(argv[4], "small") == 0);
	while (w.made < w.total && ok) {
		struct when when;

		buf_clear(&line);
		workload_next(&w, &line);
		when = (struct when){ w.time_ns, w.source, 0 };
		ok = !line.bad && fwrite(line.data, line.len, 1, lines) == 1 &&
		     fwrite(&when, sizeof when, 1, whens) == 1;
	}
	buf_done(&line);
	return fclose(lines) == 0 && fclose(whens) == 0 && ok ? 0 : 1;
}

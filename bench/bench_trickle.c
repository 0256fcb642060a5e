/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A source at log pace: writes lines to standard output, at moments that nobody knows before, until its time is over.
 *
 *	bench_trickle SECONDS LINES_PER_SECOND SEED
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "bench/measure.h"

static uint64_t next(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *state >> 11;
}

/* Seconds until the next line, as those that are independent of each other come. */
static double pause_s(uint64_t *state, double rate)
{
	return -log(((double) next(state) + 1) / 0x1p53) / rate;
}

int main(int argc, char **argv)
{
	double left, rate;
	uint64_t state, n = 0;
	char line[256];

	if (argc != 4)
		return 2;
	left = strtod(argv[1], NULL);
	rate = strtod(argv[2], NULL);
	state = strtoull(argv[3], NULL, 10) * 2 + 1;
	while (left > 0) {
		double s = pause_s(&state, rate);
		struct timespec t = { .tv_sec = (time_t) s,
				      .tv_nsec = (long) ((s - floor(s)) * 1e9) };
		int len;

		nanosleep(&t, NULL);
		left -= s;
		len = snprintf(line, sizeof line,
			       "level=info msg=\"request done\" n=%llu path=/api/v1/items/%llu "
			       "status=200 took=%llums trace=%016llx peer=10.2.%llu.%llu\n",
			       (unsigned long long) n++, (unsigned long long) next(&state) % 100000,
			       (unsigned long long) next(&state) % 900,
			       (unsigned long long) next(&state),
			       (unsigned long long) next(&state) % 256,
			       (unsigned long long) next(&state) % 256);
		if (write(STDOUT_FILENO, line, (size_t) len) < 0)
			return 1;
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Lines that know what they are: each has its stream, its number and a checksum of itself, all made from a seed.
 *
 *	lines write SEED UNTIL [PACE_US]   write to stdout and stderr until the file UNTIL exists, then a last line each
 *	lines check SEED out|err           read a stream, and say whether it is all of it, in order, each line once and whole
 *
 * Between two looks for UNTIL a batch of lines is written in writes that do not end where lines end.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/io.h"
#include "base/text.h"

enum { LINE_MAX_HERE = 4096, BATCH = 64 };

static uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15ull;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Most lines are short, one in a hundred is long; bytes are any but newline. */
static size_t make(char *to, uint64_t seed, const char *stream, uint64_t n)
{
	uint64_t x = mix(seed ^ mix(n ^ (uint64_t) (uint8_t) stream[0] << 56));
	size_t len = (size_t) sprintf(to, "%s %llu ", stream, (unsigned long long) n),
	       more = x % 100 == 0 ? (x >> 8) % 3000 : (x >> 8) % 120;

	for (size_t i = 0; i < more; i++) {
		x = i % 8 == 0 ? mix(x) : x >> 8;
		to[len++] = (char) ((x & 0xff) == '\n' ? 0 : x & 0xff);
	}
	len += (size_t) sprintf(to + len, " %08x\n", crc32c(0, to, len));
	return len;
}

static size_t make_last(char *to, const char *stream, uint64_t n)
{
	return (size_t) sprintf(to, "%s end %llu\n", stream, (unsigned long long) n);
}

static int write_lines(uint64_t seed, const char *until, useconds_t pace)
{
	static char buf[BATCH * LINE_MAX_HERE];
	static const char *const names[] = { "out", "err" };
	uint64_t n = 0;

	for (;;) {
		bool last = access(until, F_OK) == 0;

		for (int s = 0; s < 2; s++) {
			size_t len = 0, half;

			for (uint64_t k = 0; k < BATCH && !last; k++)
				len += make(buf + len, seed, names[s], n + k);
			if (last)
				len = make_last(buf, names[s], n);
			half = mix(seed ^ n ^ (uint64_t) s) % (len + 1);
			if (io_write(1 + s, buf, half) < 0 ||
			    io_write(1 + s, buf + half, len - half) < 0)
				return 1;
		}
		if (last)
			return 0;
		n += BATCH;
		if (pace > 0)
			usleep(pace);
	}
}

static int check_lines(uint64_t seed, const char *stream)
{
	static char want[LINE_MAX_HERE];
	char *line = NULL;
	size_t cap = 0;
	uint64_t n = 0;
	ssize_t got;

	while ((got = getline(&line, &cap, stdin)) > 0) {
		size_t len = make(want, seed, stream, n);

		if ((size_t) got == len && memcmp(line, want, len) == 0) {
			n++;
			continue;
		}
		len = make_last(want, stream, n);
		if ((size_t) got != len || memcmp(line, want, len) != 0) {
			printf("%s: after %llu good lines: %.60s\n", stream, (unsigned long long) n,
			       line);
			return 1;
		}
		if (getline(&line, &cap, stdin) > 0) {
			printf("%s: something after the end: %.60s\n", stream, line);
			return 1;
		}
		printf("%llu\n", (unsigned long long) n);
		free(line);
		return 0;
	}
	printf("%s: ends after %llu good lines\n", stream, (unsigned long long) n);
	return 1;
}

int main(int argc, char **argv)
{
	uint64_t seed, pace = 0;

	if (argc < 4 || text_to_u64(argv[2], &seed) < 0)
		return 2;
	if (strcmp(argv[1], "check") == 0)
		return check_lines(seed, argv[3]);
	if (argc > 4 && text_to_u64(argv[4], &pace) < 0)
		return 2;
	return write_lines(seed, argv[3], (useconds_t) pace);
}

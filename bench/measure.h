/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BENCH_MEASURE_H
#define BULLA_BENCH_MEASURE_H

/**
 * What every benchmark program shares: its command line, its input, clocks, quantiles, and the line that it prints.
 *
 * A number alone says little on a machine that others use, too: every result stands beside a baseline that was measured on
 * the same input in the same run.  Whatever fails here ends the program.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "store/tail_writer.h"

/** One line of the input, without its newline, and when and by which source it was written. */
struct line {
	const uint8_t *p;
	uint32_t n;
	uint32_t source;
	uint64_t time_ns;
};

struct bench {
	const char *corpus; /* name of the input, for the result */
	const uint8_t *bytes;
	size_t size;
	struct line *lines;
	size_t n;
	uint32_t sources;
	char **images; /* owned: of each source; NULL: all have one */
	unsigned runs; /* that count; one more warms up */
	bool tiny;
	char dir[256]; /* empty, on the disk to be measured; removed at exit */
	int dirfd;
};

/**
 * Read the command line and the input.
 *
 *	[--corpus FILE [--when FILE [--images FILE]]]  lines, the times and sources that go with them, and the image of each source; else
 *	                                               lines are made from a seed
 *	[-n LINES] [--runs N] [--dir DIR] [--tiny]
 */
void bench_begin(struct bench *b, int argc, char **argv);
/** A fresh directory below b->dir, opened; the one before of that name is removed. */
int bench_fresh_dir(const struct bench *b, const char *name);

/** Create the journal of a source with an identity as a container's is, and open it for writing with two more contexts. */
void bench_open_journal(const struct bench *b, struct tail_writer *t, int dirfd, uint32_t number,
			uint32_t *ret_context);
/** The id of that journal. */
struct id bench_journal_id(uint32_t number);

uint64_t bench_wall_ns(void);
/** CPU time of this process, user and system. */
uint64_t bench_cpu_ns(void);

struct samples {
	double *at;
	size_t n, cap;
};

void samples_add(struct samples *s, double value);
/** The value below which the share `q` of all lies; sorts. */
double samples_quantile(struct samples *s, double q);
static inline double samples_median(struct samples *s)
{
	return samples_quantile(s, 0.5);
}
void samples_done(struct samples *s);

/** One line of JSON. */
struct result {
	const char *bench, *what;
	double value;
	const char *unit;
	double baseline;
	const char *against;
	bool higher_is_better;
	const char *more; /* further keys, ready made: `, "p99": 1.5`; or NULL */
};

void bench_print(const struct bench *b, const struct result *r);

/** End the program when `r` is an error. */
void must(int r, const char *what);

#endif

/* SPDX-License-Identifier: Apache-2.0 */

/** find-...: looking for a word that is nowhere in all lines at once, beside memmem() and a loop with tolower(). */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/find-internal.h"
#include "bench/measure.h"

static const uint8_t word[] = "qzabsentword";
static const char usual[] = "connection restart"; /* of letters that are everywhere */

static const void *by_memmem(const struct bench *b, const struct finder *f)
{
	return memmem(b->bytes, b->size, f->needle, f->n);
}

static const void *by_tolower(const struct bench *b, const struct finder *f)
{
	for (size_t i = 0; i + f->n <= b->size; i++) {
		size_t k = 0;

		while (k < f->n && tolower(b->bytes[i + k]) == tolower(f->needle[k]))
			k++;
		if (k == f->n)
			return b->bytes + i;
	}
	return NULL;
}

static const void *by_finder(const struct bench *b, const struct finder *f)
{
	return finder_find(f, b->bytes, b->size);
}

/* Median GB a CPU-second. */
static double rate(const struct bench *b, const struct finder *f,
		   const void *(*find)(const struct bench *b, const struct finder *f))
{
	struct samples s = { 0 };
	double median;

	for (unsigned i = 0; i <= b->runs; i++) {
		uint64_t start = bench_cpu_ns();

		must(find(b, f) ? -1 : 0, "the word is there");
		if (i > 0)
			samples_add(&s, (double) b->size / (double) (bench_cpu_ns() - start));
	}
	median = samples_median(&s);
	samples_done(&s);
	return median;
}

static void measure(const struct bench *b, const void *needle, size_t n, bool any_case,
		    void (*hunt)(struct find_hunt *), const char *what)
{
	struct finder f;

	finder_init(&f, needle, n, any_case);
	if (hunt)
		f.hunt = hunt;
	bench_print(b, &(struct result){ "find", what, rate(b, &f, by_finder), "GB/CPU-s",
					 rate(b, &f, any_case ? by_tolower : by_memmem),
					 any_case ? "a loop with tolower()" : "memmem()", true,
					 NULL });
}

int main(int argc, char **argv)
{
	struct bench b;

	bench_begin(&b, argc, argv);
	measure(&b, word, STRLEN(word), false, NULL, "a word that is nowhere");
	measure(&b, word, STRLEN(word), true, NULL, "a word that is nowhere, any case");
	measure(&b, usual, STRLEN(usual), false, NULL, "of usual letters");
	measure(&b, usual, STRLEN(usual), true, NULL, "of usual letters, any case");
	measure(&b, word, STRLEN(word), true, find_portable, "without vectors, any case");
#if defined(__x86_64__)
	measure(&b, word, STRLEN(word), true, find_sse2, "with SSE2 only, any case");
#endif
	return 0;
}

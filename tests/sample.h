/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_SAMPLE_H
#define BULLA_TESTS_SAMPLE_H

/** One entry in two contexts, to be changed and shown: what the tests of the output formats share. */

#include "query/output.h"
#include "tests/harness.h"

/** 2026-11-23 19:34:01.25 UTC */
#define SAMPLE_TIME UINT64_C(1795462441250000000)

#define F(n, v) \
	((struct field){ (const uint8_t *) (n), (const uint8_t *) (v), STRLEN(v), STRLEN(n) })

/** Criterion takes its texts without const. */
#define expect_text(got, want, ...) \
	cr_expect(eq(str, (char *) (got), (char *) (want)), ##__VA_ARGS__)

/** The identity (CONTAINER_NAME, _HOSTNAME) and a stream of it (_COMM, _PID, _STREAM). */
extern struct context_entry sample_chain[2];
extern const struct contexts sample_contexts;

/** The entry, what shows it, and what came out. */
extern struct entry entry;
extern struct shown shown;
extern struct output output;
extern struct buf out;

/** Make the sample as it was and show it in this format, in UTC. */
void begin(enum output_format format);
void end(void);
void message(const void *text, size_t len);
/** Show the entry alone, in `out`.  @return the text, until the next call. */
const char *show(void);
const char *show_message(const char *text);

#endif

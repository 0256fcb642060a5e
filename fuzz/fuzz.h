/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_FUZZ_FUZZ_H
#define BULLA_FUZZ_FUZZ_H

/**
 * The one form of a fuzz target; libFuzzer, AFL++'s driver and replay.c all call it.
 *
 * It states a property with assert(), not just a call.  It keeps nothing between runs, touches no
 * disk and no clock, and may not change `data`.  Options come from the first bytes of the input.
 */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#ifdef NDEBUG
#error "a fuzz target without assertions proves nothing"
#endif

/**
 * A target of which nothing is tested before an input is let in, as a file is opened, counts here those that are: a corpus none of
 * which is has rotted, and replay.c says so.
 */
extern __attribute__((weak)) unsigned fuzz_let_in;
static inline void fuzz_count_let_in(void)
{
	if (&fuzz_let_in)
		fuzz_let_in++;
}
#define FUZZ_HAS_ENTRANCE const int fuzz_has_entrance = 1
extern __attribute__((weak)) const int fuzz_has_entrance;

/** Run the target once.  @return 0; an input is judged by whether the process survives it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif

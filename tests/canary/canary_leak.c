/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Fails if a leak fails a test: without harness_teardown() it would pass, with the report printed
 * and ignored.
 */

#include "tests/harness.h"

Suite(canary);

static uint8_t *volatile kept;

/* Sixty-four of them, so that a stale pointer in some register cannot hide them all. */
Test(canary, memory_is_forgotten)
{
	for (size_t i = 0; i < 64; i++)
		kept = exact_copy("forgotten", 10);
	kept = NULL;
}

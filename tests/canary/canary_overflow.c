/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Fails if AddressSanitizer watches a test: reads one byte past an allocation.
 */

#include "tests/harness.h"

#include <stdlib.h>

Suite(canary);

Test(canary, one_byte_too_far)
{
	volatile size_t size = 7;
	volatile uint8_t *p = exact_copy("sealed", size);
	uint8_t past = p[size];

	cr_expect(past == p[size]);
	free((void *) p);
}

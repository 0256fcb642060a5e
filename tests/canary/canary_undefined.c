/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Fails if UndefinedBehaviorSanitizer stops a test rather than print and go on.
 */

#include "tests/harness.h"

#include <limits.h>

Suite(canary);

Test(canary, one_more_than_the_most)
{
	volatile int most = INT_MAX;
	volatile int more = most + 1;

	cr_expect(more != 0);
}

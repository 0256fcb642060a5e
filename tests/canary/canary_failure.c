/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Fails if a failing Criterion assertion fails the run.
 */

#include "tests/harness.h"

Suite(canary);

Test(canary, one_is_two)
{
	cr_assert(eq(int, 1, 2));
}

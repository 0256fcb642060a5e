/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Fails if what is equal does not count as greater.
 */

#include "tests/harness.h"

Suite(canary);

Test(canary, none_is_more_than_none)
{
	cr_expect(gt(u64, 0, 0));
}

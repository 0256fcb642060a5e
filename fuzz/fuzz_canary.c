/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A target that crashes on the only input of its corpus: proves that a crash is noticed.
 */

#include <string.h>

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	assert(size < 6 || memcmp(data, "canary", 6) != 0);
	return 0;
}

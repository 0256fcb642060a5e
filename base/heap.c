/* SPDX-License-Identifier: Apache-2.0 */

#include "base/heap.h"

#include <malloc.h>

/* glibc takes no more than the former for what is mapped alone. */
enum { ALONE_MIN = 32 << 20, KEPT_MAX = 128 << 20 };

void heap_keep(void)
{
	mallopt(M_MMAP_THRESHOLD, ALONE_MIN);
	mallopt(M_TRIM_THRESHOLD, KEPT_MAX);
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "base/heap.h"

#include <malloc.h>
#include <stdlib.h>

/* glibc takes no more than the former for what is mapped alone. */
enum { ALONE_MIN = 32 << 20, KEPT_MAX = 128 << 20 };

void heap_large_pages(void)
{
	/* Read before main(), so it is too late for the program itself.  Without it all is as it was. */
	(void) !setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 0);
}

void heap_keep(void)
{
	mallopt(M_MMAP_THRESHOLD, ALONE_MIN);
	mallopt(M_TRIM_THRESHOLD, KEPT_MAX);
	/* What one thread frees the others take; what is small each keeps for itself in any case. */
	mallopt(M_ARENA_MAX, 1);
}

void heap_give_back(void)
{
	(void) !malloc_trim(0);
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_HEAP_H
#define BULLA_BASE_HEAP_H

/**
 * Keep what is freed for what is allocated next, up to 128 MiB, instead of giving it back to the kernel: for programs that take
 * and free megabytes over and over, whose time would go into page faults.
 */
void heap_keep(void);
/** Give back what is kept: for who is going to rest. */
void heap_give_back(void);
/**
 * Have the program that this process becomes next take memory in large pages, where the kernel has some: what is touched for the
 * first time is a page fault, and a query lives for milliseconds; a keeper goes over a hundred megabytes in no order, and waits for
 * the addresses of its pages.  A GLIBC_TUNABLES that is there already stays.
 */
void heap_large_pages(void);

#endif

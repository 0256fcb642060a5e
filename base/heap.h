/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_HEAP_H
#define BULLA_BASE_HEAP_H

/**
 * Keep what is freed for what is allocated next, up to 128 MiB, instead of giving it back to the kernel: for programs that take
 * and free megabytes over and over, whose time would go into page faults.
 */
void heap_keep(void);

#endif

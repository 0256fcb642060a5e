/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_CLOCK_H
#define BULLA_BASE_CLOCK_H

/** The two clocks, in nanoseconds.  Cores take times as arguments; only shells call these. */

#include <stdint.h>

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_US UINT64_C(1000)

/** Wall clock: nanoseconds since 1970-01-01 UTC. */
uint64_t clock_realtime_ns(void);
/** Time that only goes forward, from an arbitrary start at boot, standing still in suspend. */
uint64_t clock_monotonic_ns(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_CLOCK_H
#define BULLA_BASE_CLOCK_H

/** The two clocks, in nanoseconds.  Cores take times as arguments; only shells call these. */

#include <stdint.h>

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_US UINT64_C(1000)

/** A time of a clock as it is stamped on what is sealed: whole microseconds, rounded down.  docs/decisions/0014. */
static inline uint64_t clock_stamp(uint64_t time_ns)
{
	return time_ns - time_ns % NS_PER_US;
}

/** Wall clock: nanoseconds since 1970-01-01 UTC. */
uint64_t clock_realtime_ns(void);
/** Time that only goes forward, from an arbitrary start at boot, standing still in suspend. */
uint64_t clock_monotonic_ns(void);
/** The wall clock's stamp: what entries, commits and gaps are given that this host makes. */
uint64_t clock_now_stamp_ns(void);
/** Monotonic minus wall clock, of stamps: what is sealed with each batch. */
int64_t clock_offset_stamp_ns(void);

#endif

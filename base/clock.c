/* SPDX-License-Identifier: Apache-2.0 */

#include "base/clock.h"

#include <assert.h>
#include <time.h>

static uint64_t now_ns(clockid_t id)
{
	struct timespec t;
	int r = clock_gettime(id, &t);

	assert(r == 0);
	return (uint64_t) t.tv_sec * NS_PER_S + (uint64_t) t.tv_nsec;
}

uint64_t clock_realtime_ns(void)
{
	return now_ns(CLOCK_REALTIME);
}

uint64_t clock_monotonic_ns(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

uint64_t clock_now_stamp_ns(void)
{
	return clock_stamp(clock_realtime_ns());
}

int64_t clock_offset_stamp_ns(void)
{
	return (int64_t) (clock_stamp(clock_monotonic_ns()) - clock_now_stamp_ns());
}

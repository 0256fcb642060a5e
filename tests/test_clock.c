/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What is stamped on entries and commits is in whole microseconds, and never later than the clock.
 */

#include "base/clock.h"

#include "tests/harness.h"

Suite(clock);

Test(clock, a_stamp_is_the_microsecond_that_has_begun)
{
	cr_expect(eq(u64, clock_stamp(0), 0));
	cr_expect(eq(u64, clock_stamp(999), 0));
	cr_expect(eq(u64, clock_stamp(1000), 1000));
	cr_expect(
		eq(u64, clock_stamp(UINT64_C(1767603600003421987)), UINT64_C(1767603600003421000)));
	cr_expect(eq(u64, clock_stamp(UINT64_MAX), UINT64_C(18446744073709551000)));
}

Test(clock, stamps_of_now_are_whole_and_not_ahead)
{
	uint64_t before = clock_realtime_ns(), stamp, after;
	int64_t offset, plain;

	stamp = clock_now_stamp_ns();
	after = clock_realtime_ns();
	cr_expect(eq(u64, stamp % NS_PER_US, 0));
	cr_expect(ge(u64, stamp, clock_stamp(before)));
	cr_expect(le(u64, stamp, after));
	offset = clock_offset_stamp_ns();
	plain = (int64_t) (clock_monotonic_ns() - clock_realtime_ns());
	cr_expect(eq(i64, offset % (int64_t) NS_PER_US, 0));
	/* Whoever else runs may come in between two looks at a clock. */
	cr_expect(lt(i64, offset - plain, (int64_t) NS_PER_S));
	cr_expect(gt(i64, offset - plain, -(int64_t) NS_PER_S));
}

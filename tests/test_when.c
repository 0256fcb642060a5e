/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Times mean what systemd.time(7) says, to the nanosecond and in the right zone; everything else is refused and leaves the
 * result untouched.
 */

#include "query/when.h"

#include "tests/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

Suite(when);

/* Mon 2026-11-23 19:34:01.25 UTC */
#define NOW	 UINT64_C(1795462441250000000)
#define S(n)	 ((uint64_t) (n) *UINT64_C(1000000000))
#define MIDNIGHT S(1795392000)
#define DAY	 86400

static void set_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

struct time_case {
	char text[64];
	uint64_t want;
};

static void check(const struct time_case *c, int r)
{
	uint64_t ns = 4711;

	cr_expect(eq(int, when_parse(c->text, NOW, &ns), r), "\"%s\"", c->text);
	cr_expect(eq(u64, ns, r < 0 ? 4711 : c->want), "\"%s\"", c->text);
}

/* Relative to now. */

ParameterizedTestParameters(when, spans_count_from_now)
{
	static struct time_case cases[] = {
		{ "now", NOW },
		{ " NOW\t", NOW },
		{ "now UTC", NOW },
		{ "-0", NOW },
		{ "+0s", NOW },
		{ "-2h", NOW - S(7200) },
		{ "- 2 h", NOW - S(7200) },
		{ "+5min", NOW + S(300) },
		{ "+5m", NOW + S(300) },
		{ "+5 minutes", NOW + S(300) },
		{ "-1M", NOW - S(2629800) },
		{ "-1month", NOW - S(2629800) },
		{ "-2 months", NOW - S(2 * 2629800) },
		{ "-1y", NOW - S(31557600) },
		{ "-1year 1 week", NOW - S(31557600 + 7 * DAY) },
		{ "-3w2d", NOW - S(23 * DAY) },
		{ "3 days ago", NOW - S(3 * DAY) },
		{ "3days  ago ", NOW - S(3 * DAY) },
		{ "1h 30min ago", NOW - S(5400) },
		{ "1h30min ago", NOW - S(5400) },
		{ "30min 1h ago", NOW - S(5400) },
		{ "1 hr 1 hour 1hours AGO", NOW - S(3 * 3600) },
		{ "90 ago", NOW - S(90) },
		{ "2h left", NOW + S(7200) },
		{ "-7", NOW - S(7) },
		{ "-1.5h", NOW - S(5400) },
		{ "-0.000000001", NOW - 1 },
		{ "-1.0000000019s", NOW - S(1) - 1 },
		{ "-0.00000000000000000000000000000001y", NOW },
		{ "-3ns", NOW - 3 },
		{ "-3nsec", NOW - 3 },
		{ "-3us", NOW - 3000 },
		{ "-3usec", NOW - 3000 },
		{ "-3\xc2\xb5s", NOW - 3000 },
		{ "-3\xce\xbcs", NOW - 3000 },
		{ "-3ms", NOW - 3000000 },
		{ "-3msec 2", NOW - 3000000 - S(2) },
		{ "-5sec", NOW - S(5) },
		{ "-5second", NOW - S(5) },
		{ "-5seconds", NOW - S(5) },
		{ "-1795462441.25", 0 },
	};

	return cr_make_param_array(struct time_case, cases, ELEMENTS(cases));
}

ParameterizedTest(struct time_case *c, when, spans_count_from_now)
{
	check(c, 0);
}

/* Absolute, in UTC. */

ParameterizedTestParameters(when, times_of_the_calendar)
{
	static struct time_case cases[] = {
		{ "today", MIDNIGHT },
		{ "yesterday", MIDNIGHT - S(DAY) },
		{ "Tomorrow", MIDNIGHT + S(DAY) },
		{ "today UTC", MIDNIGHT },
		{ "2026-11-23", MIDNIGHT },
		{ "26-11-23", MIDNIGHT },
		{ "2026-11-3", MIDNIGHT - S(20 * DAY) },
		{ "69-01-01", UINT64_MAX }, /* of 1969, see below */
		{ "70-01-01", 0 },
		{ "68-01-01", S(3092601600) },
		{ "1970-01-01 00:00:00.000000001", 1 },
		{ "2000-02-29", S(951782400) },
		{ "2026-11-23 19:34", S(1795462440) },
		{ "2026-11-23 19:34:01", S(1795462441) },
		{ "2026-11-23   19:34:01", S(1795462441) },
		{ "2026-11-23 19:34:01.5", S(1795462441) + 500000000 },
		{ "2026-11-23 19:34:01.123456789", S(1795462441) + 123456789 },
		{ "2026-11-23 19:34:01.1234567899", S(1795462441) + 123456789 },
		{ "2026-11-23T19:34:01Z", S(1795462441) },
		{ "2026-11-23t19:34:01z", S(1795462441) },
		{ "2026-11-23T19:34:01.25Z", NOW },
		{ "2026-11-23T19:34:01+00:00", S(1795462441) },
		{ "2026-11-23T19:34:01-00:00", S(1795462441) },
		{ "2026-11-23T19:34:01+0000", S(1795462441) },
		{ "2026-11-23T20:34:01+01", S(1795462441) },
		{ "2026-11-24T01:04:01+05:30", S(1795462441) },
		{ "2026-11-23 16:04:01 -0330", S(1795462441) },
		{ "2026-11-23 19:34:01 UTC", S(1795462441) },
		{ "Mon 2026-11-23 19:34:01.250000 UTC", NOW },
		{ "monday 2026-11-23", MIDNIGHT },
		{ "Mon 19:34", S(1795462440) },
		{ "19:34", S(1795462440) },
		{ "9:34:01.5", S(1795426441) + 500000000 },
		{ "00:00", MIDNIGHT },
		{ "23:59:60", MIDNIGHT + S(DAY) },
		/* There it is the 24th already. */
		{ "19:34 +09:00", S(1795516440) },
		{ "@1795462441.25", NOW },
		{ "@0", 0 },
		{ "@18446744073.709551615", UINT64_MAX },
		{ "2554-07-21 23:34:33.709551615", UINT64_MAX },
	};

	return cr_make_param_array(struct time_case, cases, ELEMENTS(cases));
}

ParameterizedTest(struct time_case *c, when, times_of_the_calendar)
{
	set_zone("UTC");
	check(c, c->want == UINT64_MAX && c->text[0] == '6' ? -ERANGE : 0);
}

/* What is refused. */

ParameterizedTestParameters(when, no_times)
{
	static struct time_case cases[] = {
		{ "" },
		{ " " },
		{ "-" },
		{ "+" },
		{ "@" },
		{ "ago" },
		{ " ago" },
		{ "left" },
		{ "UTC" },
		{ "Z" },
		{ "5" },
		{ "5h" },
		{ "later" },
		{ "nows" },
		{ "now now" },
		{ "now ago" },
		{ "-now" },
		{ "-2h ago" },
		{ "--2h" },
		{ "-h" },
		{ "-2h-" },
		{ "-2 parsecs" },
		{ "-2H" },
		{ "-2.h" },
		{ "-.5h" },
		{ "-1e3s" },
		{ "-0x10" },
		{ "-infinity" },
		{ "@5h" },
		{ "@ 5" },
		{ "@5 UTC" },
		{ "@1.2.3" },
		{ "@0x1" },
		{ "2026" },
		{ "2026-11" },
		{ "2026-11-" },
		{ "202-11-23" },
		{ "20260-11-23" },
		{ "2026-0-23" },
		{ "2026-13-01" },
		{ "2026-11-00" },
		{ "2026-11-31" },
		{ "2026-02-29" },
		{ "2100-02-29" },
		{ "2026-11-23T" },
		{ "2026-11-23 19" },
		{ "2026-11-23 19:" },
		{ "2026-11-23 24:00" },
		{ "2026-11-23 19:60" },
		{ "2026-11-23 19:3" },
		{ "2026-11-23 19:34:61" },
		{ "2026-11-23 19:34:1" },
		{ "2026-11-23 19:34:01." },
		{ "2026-11-23 19:34.5" },
		{ "2026-11-2319:34" },
		{ "2026-11-23Z" },
		{ "2026-11-23 19:34:01ZZ" },
		{ "2026-11-23 19:34:01Z UTC" },
		{ "2026-11-23 19:34:01+01:00 UTC" },
		{ "2026-11-23 19:34:01+24:00" },
		{ "2026-11-23 19:34:01+01:60" },
		{ "2026-11-23 19:34:01+1" },
		{ "2026-11-23 19:34:01+01:" },
		{ "2026-11-23 19:34:01+01:0" },
		{ "2026-11-23 19:34:01+01:000" },
		{ "2026-11-23 19:34:01 Nowhere" },
		{ "Tue 2026-11-23" },
		{ "Mo 2026-11-23" },
		{ "Mon2026-11-23" },
		{ "Mon" },
		{ "Mon " },
		{ "Funday 2026-11-23" },
		{ "2026-11-23 \xff" },
		{ "\xff" },
		{ "1 \xc2\xb5 ago" },
	};

	return cr_make_param_array(struct time_case, cases, ELEMENTS(cases));
}

ParameterizedTest(struct time_case *c, when, no_times)
{
	set_zone("UTC");
	check(c, -EINVAL);
}

ParameterizedTestParameters(when, times_that_cannot_be_told)
{
	static struct time_case cases[] = {
		{ "1969-12-31 23:59:59" },
		{ "1960-01-01" },
		{ "0001-01-01" },
		{ "1970-01-01 00:00 +00:01" },
		{ "2554-07-21 23:34:33.709551616" },
		{ "2554-07-22" },
		{ "9999-12-31" },
		{ "@-1" },
		{ "@18446744073.709551616" },
		{ "@18446744074" },
		{ "@99999999999999999999999" },
		{ "-1795462441.250000001" },
		{ "-500y" },
		{ "+600y" },
		{ "+99999999999999999999999" },
		{ "+18446744073709551615y" },
		{ "+300y 300y" },
	};

	return cr_make_param_array(struct time_case, cases, ELEMENTS(cases));
}

ParameterizedTest(struct time_case *c, when, times_that_cannot_be_told)
{
	set_zone("UTC");
	check(c, -ERANGE);
}

/* Zones.  POSIX rules rather than names, so that no zone files are needed. */

ParameterizedTestParameters(when, the_local_zone_is_the_default)
{
	static struct time_case cases[] = {
		{ "today", MIDNIGHT - S(3600) },
		{ "today UTC", MIDNIGHT },
		{ "2026-11-23 20:34:01", S(1795462441) },
		{ "2026-11-23 20:34:01 CET", S(1795462441) },
		{ "2026-11-23T20:34:01+01:00", S(1795462441) },
		{ "20:34", S(1795462440) },
		{ "2026-07-01 12:00", S(1782900000) },
		{ "2026-07-01 12:00 CEST", S(1782900000) },
		{ "2026-07-01 11:00 CET", S(1782900000) },
		/* The hour that comes twice is told apart by the zone's name. */
		{ "2026-10-25 02:30 CEST", S(1792888200) },
		{ "2026-10-25 02:30 CET", S(1792891800) },
		{ "@1795462441.25", NOW },
	};

	return cr_make_param_array(struct time_case, cases, ELEMENTS(cases));
}

ParameterizedTest(struct time_case *c, when, the_local_zone_is_the_default)
{
	set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
	check(c, 0);
}

Test(when, days_are_not_always_of_24_hours)
{
	uint64_t ns;

	set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
	/* 2026-10-26 12:00 CET: yesterday had 25 hours. */
	cr_assert(eq(int, when_parse("yesterday", S(1793012400), &ns), 0));
	cr_expect(eq(u64, ns, S(1792879200)));
	cr_assert(eq(int, when_parse("today", S(1793012400), &ns), 0));
	cr_expect(eq(u64, ns, S(1792879200 + 25 * 3600)));
}

Test(when, today_is_where_the_clock_says)
{
	uint64_t ns;

	/* 19:34 UTC on the 23rd is the 24th in the east. */
	set_zone("EAST-14");
	cr_assert(eq(int, when_parse("today", NOW, &ns), 0));
	cr_expect(eq(u64, ns, MIDNIGHT + S(DAY - 14 * 3600)));
	cr_assert(eq(int, when_parse("01:00", NOW, &ns), 0));
	cr_expect(eq(u64, ns, MIDNIGHT + S(DAY - 13 * 3600)));
}

Test(when, what_strftime_writes_is_read_back)
{
	uint64_t state = 1, ns;
	char text[64];

	set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
	for (int i = 0; i < 20000; i++) {
		uint64_t second = random_u64(&state) % UINT64_C(18446744073);
		time_t t = (time_t) second;
		struct tm tm;

		localtime_r(&t, &tm);
		strftime(text, sizeof text, i & 1 ? "%a %F %T %Z" : "%FT%T%z", &tm);
		cr_assert(eq(int, when_parse(text, NOW, &ns), 0), "%s", text);
		cr_assert(eq(u64, ns, S(second)), "%s", text);
	}
}

Test(when, text_is_not_read_past_its_end)
{
	static const char whole[] = "Mon 2026-11-23T19:34:01.25+01:00";
	uint64_t ns;

	set_zone("UTC");
	for (size_t cut = 0; cut < sizeof whole; cut++) {
		char *text = (char *) exact_copy(whole, cut + 1);

		text[cut] = '\0';
		/* Whether it is a time is not the point; AddressSanitizer is. */
		cr_expect(when_parse(text, NOW, &ns) <= 0, "cut at %zu", cut);
		free(text);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: when_parse().
 *
 * The input is a zone (one byte), the present (eight) and a text.  A time that is told can be told again, as seconds and by
 * the calendar, and is the same; spaces around it change nothing; what is refused leaves the result untouched.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "fuzz/fuzz.h"
#include "query/when.h"

enum { UNTOUCHED = 4711 };

static void set_zone(uint8_t choice)
{
	static const char *const zones[] = { "UTC", "CET-1CEST,M3.5.0,M10.5.0/3", "<+0545>-5:45",
					     "EAST-14" };

	setenv("TZ", zones[choice % (sizeof zones / sizeof *zones)], 1);
	tzset();
}

static void expect_time(const char *text, uint64_t now, uint64_t want)
{
	uint64_t ns;
	int r = when_parse(text, now, &ns);

	assert(r == 0);
	assert(ns == want);
}

/* Tell a time in other words. */
static void tell_again(uint64_t ns, uint64_t now)
{
	unsigned fraction = (unsigned) (ns % 1000000000);
	time_t second = (time_t) (ns / 1000000000);
	char text[128], date[64];
	struct tm tm;

	snprintf(text, sizeof text, "@%lld.%09u", (long long) second, fraction);
	expect_time(text, now, ns);
	gmtime_r(&second, &tm);
	strftime(date, sizeof date, "%a %Y-%m-%d %H:%M:%S", &tm);
	snprintf(text, sizeof text, "%s.%09u UTC", date, fraction);
	expect_time(text, now, ns);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof text, "%s.%09uZ", date, fraction);
	expect_time(text, now, ns);
	localtime_r(&second, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &tm);
	expect_time(text, now, ns - fraction);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_of(data, size);
	uint64_t ns = UNTOUCHED, again = UNTOUCHED, now;
	char *text, *spaced;
	int parsed;

	set_zone(rd_u8(&r));
	now = rd_u64(&r);
	if (r.bad)
		return 0;
	text = malloc(r.left + 1);
	spaced = malloc(r.left + 4);
	assert(text && spaced);
	memcpy(text, r.p, r.left);
	text[r.left] = '\0';
	sprintf(spaced, " \t%s\n", text);
	parsed = when_parse(text, now, &ns);
	assert(parsed == 0 || parsed == -EINVAL || parsed == -ERANGE);
	assert(parsed == 0 || ns == UNTOUCHED);
	assert(when_parse(spaced, now, &again) == parsed);
	assert(again == ns);
	if (parsed == 0)
		tell_again(ns, now);
	free(text);
	free(spaced);
	return 0;
}

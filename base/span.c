/* SPDX-License-Identifier: Apache-2.0 */

#include "base/span.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

int scan_decimal(struct scan *s, struct decimal *ret)
{
	struct decimal d = { 0 };
	uint64_t scale = UINT64_C(1000000000000000000);
	const char *start = s->p;

	for (; s->p < s->end && is_digit(*s->p); s->p++)
		if (__builtin_mul_overflow(d.whole, UINT64_C(10), &d.whole) ||
		    __builtin_add_overflow(d.whole, (uint64_t) (*s->p - '0'), &d.whole))
			return -ERANGE;
	if (s->p == start)
		return -EINVAL;
	if (take(s, '.')) {
		start = s->p;
		for (; s->p < s->end && is_digit(*s->p); s->p++) {
			scale /= 10;
			d.parts += scale * (uint64_t) (*s->p - '0');
		}
		if (s->p == start)
			return -EINVAL;
	}
	*ret = d;
	return 0;
}

int decimal_times(const struct decimal *d, uint64_t unit, uint64_t *ret)
{
	unsigned __int128 parts = (unsigned __int128) d->parts * unit;
	uint64_t ns;

	if (__builtin_mul_overflow(d->whole, unit, &ns) ||
	    __builtin_add_overflow(ns, (uint64_t) (parts / UINT64_C(1000000000000000000)), &ns))
		return -ERANGE;
	*ret = ns;
	return 0;
}

/* Spans: "1h 30min". */

static const struct {
	const char *name;
	uint64_t ns;
} units[] = {
	{ "seconds", NS_PER_S },
	{ "second", NS_PER_S },
	{ "sec", NS_PER_S },
	{ "s", NS_PER_S },
	{ "minutes", 60 * NS_PER_S },
	{ "minute", 60 * NS_PER_S },
	{ "min", 60 * NS_PER_S },
	{ "m", 60 * NS_PER_S },
	{ "hours", 3600 * NS_PER_S },
	{ "hour", 3600 * NS_PER_S },
	{ "hr", 3600 * NS_PER_S },
	{ "h", 3600 * NS_PER_S },
	{ "days", 86400 * NS_PER_S },
	{ "day", 86400 * NS_PER_S },
	{ "d", 86400 * NS_PER_S },
	{ "weeks", 7 * 86400 * NS_PER_S },
	{ "week", 7 * 86400 * NS_PER_S },
	{ "w", 7 * 86400 * NS_PER_S },
	/* As systemd.time(7) has them: 30.44 and 365.25 days. */
	{ "months", 2629800 * NS_PER_S },
	{ "month", 2629800 * NS_PER_S },
	{ "M", 2629800 * NS_PER_S },
	{ "years", 31557600 * NS_PER_S },
	{ "year", 31557600 * NS_PER_S },
	{ "y", 31557600 * NS_PER_S },
	{ "msec", NS_PER_MS },
	{ "ms", NS_PER_MS },
	{ "usec", NS_PER_US },
	{ "us", NS_PER_US },
	{ "\xc2\xb5s", NS_PER_US }, /* the micro sign and the Greek letter */
	{ "\xce\xbcs", NS_PER_US },
	{ "nsec", 1 },
	{ "ns", 1 },
};

/* Take the name of a unit; a number without one is of seconds. */
static bool take_unit(struct scan *s, uint64_t *ret_ns)
{
	const char *start = s->p;
	size_t len;

	while (s->p < s->end && is_letter(*s->p))
		s->p++;
	len = (size_t) (s->p - start);
	*ret_ns = NS_PER_S;
	if (len == 0)
		return true;
	for (size_t i = 0; i < ELEMENTS(units); i++)
		if (strlen(units[i].name) == len && memcmp(units[i].name, start, len) == 0) {
			*ret_ns = units[i].ns;
			return true;
		}
	return false;
}

int span_parse(const char *text, size_t n, uint64_t *ret_ns)
{
	struct scan s = { text, text + n };
	uint64_t sum = 0, unit_ns, ns;
	struct decimal d;
	int r;

	do {
		skip_spaces(&s);
		r = scan_decimal(&s, &d);
		if (r < 0)
			return r;
		skip_spaces(&s);
		if (!take_unit(&s, &unit_ns))
			return -EINVAL;
		r = decimal_times(&d, unit_ns, &ns);
		if (r < 0)
			return r;
		if (__builtin_add_overflow(sum, ns, &sum))
			return -ERANGE;
		skip_spaces(&s);
	} while (s.p < s.end);
	*ret_ns = sum;
	return 0;
}

int size_parse(const char *text, uint64_t *ret)
{
	static const char letters[] = "KMGTPE";
	struct scan s = { text, text + strlen(text) };
	struct decimal d;
	uint64_t unit = 1;
	int r = scan_decimal(&s, &d);

	if (r < 0)
		return r;
	if (s.p < s.end && *s.p != 'B') {
		const char *u = memchr(letters, *s.p, STRLEN(letters));

		if (!u)
			return -EINVAL;
		unit = UINT64_C(1) << (10 * (u - letters + 1));
		s.p++;
	}
	take(&s, 'B');
	return s.p < s.end ? -EINVAL : decimal_times(&d, unit, ret);
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "query/when.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/span.h"

/* A place in the text.  Nothing is copied: a text ends where `end` says. */
static void trim_end(struct scan *s)
{
	while (s->end > s->p && is_space(s->end[-1]))
		s->end--;
}

/* Whether the rest is this word, in lower or upper case. */
static bool is_word(const struct scan *s, const char *word)
{
	size_t len = strlen(word);

	return (size_t) (s->end - s->p) == len && strncasecmp(s->p, word, len) == 0;
}

/* Cut a word off the end, with the spaces before it (at least one). */
static bool cut_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t) (s->end - s->p) <= len || strncasecmp(s->end - len, word, len) != 0 ||
	    !is_space(s->end[-(ptrdiff_t) len - 1]))
		return false;
	s->end -= len;
	trim_end(s);
	return true;
}

/* Numbers. */

/* Take between `min` and `max` digits. */
static bool take_digits(struct scan *s, int min, int max, int *ret)
{
	int n = 0, v = 0;

	while (n < max && s->p < s->end && is_digit(*s->p)) {
		v = v * 10 + (*s->p++ - '0');
		n++;
	}
	*ret = v;
	return n >= min;
}

static int parse_relative(struct scan s, bool past, uint64_t now_ns, uint64_t *ret)
{
	uint64_t span, ns;
	int r = span_parse(s.p, (size_t) (s.end - s.p), &span);

	if (r < 0)
		return r;
	if (past ? __builtin_sub_overflow(now_ns, span, &ns)
		 : __builtin_add_overflow(now_ns, span, &ns))
		return -ERANGE;
	*ret = ns;
	return 0;
}

/* Zones. */

struct zone {
	bool utc;	  /* else local */
	int is_dst;	  /* for mktime() */
	int64_t offset_s; /* east of UTC, with `utc` */
};

static bool to_tm(const struct zone *z, int64_t second, struct tm *ret)
{
	time_t t = (time_t) (z->utc ? second + z->offset_s : second);

	return z->utc ? gmtime_r(&t, ret) != NULL : localtime_r(&t, ret) != NULL;
}

static int64_t from_tm(const struct zone *z, const struct tm *tm)
{
	struct tm copy = *tm;

	copy.tm_isdst = z->is_dst;
	return z->utc ? (int64_t) timegm(&copy) - z->offset_s : (int64_t) mktime(&copy);
}

/* Take "+02:00", "+0200" or "-02" to the very end. */
static bool take_offset(struct scan *s, struct zone *z)
{
	int hours, minutes = 0;
	bool east;

	if (s->p == s->end || (*s->p != '+' && *s->p != '-'))
		return false;
	east = *s->p++ == '+';
	if (!take_digits(s, 2, 2, &hours) || hours > 23)
		return false;
	if (s->p < s->end) {
		take(s, ':');
		if (!take_digits(s, 2, 2, &minutes) || minutes > 59)
			return false;
	}
	z->utc = true;
	z->offset_s = (hours * 3600 + minutes * 60) * (east ? 1 : -1);
	return s->p == s->end;
}

/* Cut a zone that is a word off the end: UTC, or one of the two names of the local one, as our own output has them. */
static struct zone cut_zone(struct scan *s)
{
	tzset();
	if (cut_word(s, "UTC"))
		return (struct zone){ .utc = true };
	for (int dst = 0; dst < (daylight ? 2 : 1); dst++)
		if (tzname[dst][0] != '\0' && cut_word(s, tzname[dst]))
			return (struct zone){ .is_dst = dst };
	return (struct zone){ .is_dst = -1 };
}

/* Dates and times of day. */

/* Take a day's name and the space after it.  @return false for a word that is none. */
static bool take_weekday(struct scan *s, int *ret)
{
	static const char *const days[] = { "Sunday",	"Monday", "Tuesday", "Wednesday",
					    "Thursday", "Friday", "Saturday" };
	const char *start = s->p;
	size_t len;

	*ret = -1;
	while (s->p < s->end && is_letter(*s->p))
		s->p++;
	len = (size_t) (s->p - start);
	if (len == 0)
		return true;
	if (s->p == s->end || !is_space(*s->p))
		return false;
	skip_spaces(s);
	for (int i = 0; i < 7; i++)
		if ((len == 3 || len == strlen(days[i])) && strncasecmp(start, days[i], len) == 0) {
			*ret = i;
			return true;
		}
	return false;
}

/* Take "2026-11-23" or "26-11-23". */
static bool take_date(struct scan *s, struct tm *tm)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	const char *start = s->p;
	int year, month, day, last;

	if (!take_digits(s, 2, 4, &year) || s->p - start == 3)
		return false;
	/* As strptime()'s %y. */
	if (s->p - start == 2)
		year += year < 69 ? 2000 : 1900;
	if (!take(s, '-') || !take_digits(s, 1, 2, &month) || !take(s, '-') ||
	    !take_digits(s, 1, 2, &day) || month < 1 || month > 12)
		return false;
	last = days[month - 1];
	if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
		last = 29;
	if (day < 1 || day > last)
		return false;
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	tm->tm_mday = day;
	return true;
}

/* Take "19:34" or "19:34:01.25". */
static bool take_clock(struct scan *s, struct tm *tm, uint64_t *ret_ns)
{
	uint64_t scale = NS_PER_S;
	int hour, minute, second = 0;
	const char *start;

	if (!take_digits(s, 1, 2, &hour) || hour > 23 || !take(s, ':') ||
	    !take_digits(s, 2, 2, &minute) || minute > 59)
		return false;
	*ret_ns = 0;
	if (take(s, ':')) {
		/* 60 is a leap second. */
		if (!take_digits(s, 2, 2, &second) || second > 60)
			return false;
		if (take(s, '.')) {
			start = s->p;
			for (; s->p < s->end && is_digit(*s->p); s->p++) {
				scale /= 10;
				*ret_ns += scale * (uint64_t) (*s->p - '0');
			}
			if (s->p == start)
				return false;
		}
	}
	tm->tm_hour = hour;
	tm->tm_min = minute;
	tm->tm_sec = second;
	return true;
}

static int to_ns(int64_t second, uint64_t fraction_ns, uint64_t *ret)
{
	uint64_t ns;

	if (second < 0 || __builtin_mul_overflow((uint64_t) second, NS_PER_S, &ns) ||
	    __builtin_add_overflow(ns, fraction_ns, &ns))
		return -ERANGE;
	*ret = ns;
	return 0;
}

/* Whether a date is that day of the week. */
static bool is_weekday(const struct tm *date, int weekday)
{
	struct tm tm = { .tm_year = date->tm_year,
			 .tm_mon = date->tm_mon,
			 .tm_mday = date->tm_mday };

	return weekday < 0 || (timegm(&tm) != -1 && tm.tm_wday == weekday);
}

/* Take what stands between a date and its time: spaces, or the T of RFC 3339. */
static bool take_separator(struct scan *s)
{
	if (take(s, 'T') || take(s, 't'))
		return true;
	if (s->p == s->end || !is_space(*s->p))
		return false;
	skip_spaces(s);
	return true;
}

static bool is_given(const struct zone *z)
{
	return z->utc || z->is_dst >= 0;
}

/* Take "Z" or an offset, unless the zone is known. */
static bool take_zone(struct scan *s, struct zone *z)
{
	skip_spaces(s);
	if (s->p == s->end)
		return true;
	if (is_given(z))
		return false;
	if (is_word(s, "Z")) {
		*z = (struct zone){ .utc = true };
		return true;
	}
	return take_offset(s, z);
}

static int parse_date_time(struct scan s, struct zone z, uint64_t now_ns, uint64_t *ret)
{
	struct tm parsed = { 0 }, tm;
	uint64_t fraction = 0;
	struct scan at_date;
	bool has_date;
	int weekday;

	if (!take_weekday(&s, &weekday))
		return -EINVAL;
	at_date = s;
	has_date = take_date(&s, &parsed);
	if (!has_date)
		s = at_date;
	if (!has_date || s.p < s.end) {
		if (has_date && !take_separator(&s))
			return -EINVAL;
		if (!take_clock(&s, &parsed, &fraction) || !take_zone(&s, &z))
			return -EINVAL;
	}
	if (!has_date) {
		/* Today, where the zone is. */
		if (!to_tm(&z, (int64_t) (now_ns / NS_PER_S), &tm))
			return -ERANGE;
		parsed.tm_year = tm.tm_year;
		parsed.tm_mon = tm.tm_mon;
		parsed.tm_mday = tm.tm_mday;
	}
	if (!is_weekday(&parsed, weekday))
		return -EINVAL;
	return to_ns(from_tm(&z, &parsed), fraction, ret);
}

/* Parse "today" and its neighbours: the midnight that they begin with.  @return -ENOENT for another word. */
static int parse_day(const struct scan *s, const struct zone *z, uint64_t now_ns, uint64_t *ret)
{
	static const struct {
		const char *name;
		int days;
	} names[] = { { "yesterday", -1 }, { "today", 0 }, { "tomorrow", 1 } };
	struct tm tm;

	for (size_t i = 0; i < ELEMENTS(names); i++) {
		if (!is_word(s, names[i].name))
			continue;
		if (!to_tm(z, (int64_t) (now_ns / NS_PER_S), &tm))
			return -ERANGE;
		tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
		tm.tm_mday += names[i].days;
		return to_ns(from_tm(z, &tm), 0, ret);
	}
	return -ENOENT;
}

static int parse_epoch(struct scan s, uint64_t *ret)
{
	bool before = take(&s, '-');
	struct decimal d;
	int r = scan_decimal(&s, &d);

	if (r < 0)
		return r;
	if (s.p < s.end)
		return -EINVAL;
	return before ? -ERANGE : decimal_times(&d, NS_PER_S, ret);
}

int when_parse(const char *text, uint64_t now_ns, uint64_t *ret_ns)
{
	struct scan s = { text, text + strlen(text) };
	struct zone z;
	int r;

	skip_spaces(&s);
	trim_end(&s);
	if (take(&s, '@'))
		return parse_epoch(s, ret_ns);
	if (take(&s, '+'))
		return parse_relative(s, false, now_ns, ret_ns);
	if (take(&s, '-') || cut_word(&s, "ago"))
		return parse_relative(s, true, now_ns, ret_ns);
	if (cut_word(&s, "left"))
		return parse_relative(s, false, now_ns, ret_ns);
	z = cut_zone(&s);
	if (is_word(&s, "now")) {
		*ret_ns = now_ns;
		return 0;
	}
	r = parse_day(&s, &z, now_ns, ret_ns);
	return r == -ENOENT ? parse_date_time(s, z, now_ns, ret_ns) : r;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/timetext.h"

#include <string.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/digits.h"

/*
 * The formats; a file holds their numbers, so new ones are added at the end.  Y year, y its last two digits, m month, b its
 * name, d day, e day padded with a space, H M S of the day, s seconds since 1970; the rest stands for itself.
 */
static const char *const formats[TIMETEXT_FORMATS] = {
	"Y-m-dTH:M:S", "Y-m-d H:M:S", "Y/m/d H:M:S", "d/b/Y:H:M:S", "b d H:M:S",   "b e H:M:S",
	"m-d H:M:S",   "m.d H:M:S",   "y/m/d H:M:S", "d b Y H:M:S", "Y-m-d-H.M.S", "ymd HMS",
	"H:M:S",       "s",	      "Y.m.d",	     "Y-m-d",
};
static const uint8_t format_sizes[TIMETEXT_FORMATS] = { 19, 19, 19, 20, 15, 15, 14, 14,
							17, 20, 19, 13, 8,  10, 10, 10 };
enum { WITHOUT_SECONDS = 1 << 14 | 1 << 15 };
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

enum { SECONDS_A_DAY = 86400, YEAR_MIN = 1971, YEAR_MAX = 2199 };

static const uint64_t power[] = { 1,	  10,	   100,	     1000,	10000,
				  100000, 1000000, 10000000, 100000000, 1000000000 };

/* Whether a fraction may follow: where a format ends with the seconds. */
static bool has_fraction(unsigned format)
{
	return !(WITHOUT_SECONDS >> format & 1);
}

/* The proleptic Gregorian calendar, by the well-known method of counting years from March. */
static uint64_t days_of(int year, unsigned month, unsigned day)
{
	unsigned y = (unsigned) year - (month <= 2), era = y / 400, of_era = y % 400;
	unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return (uint64_t) era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
	       719468;
}

static void date_of(uint64_t days, int *year, unsigned *month, unsigned *day)
{
	uint64_t z = days + 719468, era = z / 146097;
	unsigned of_era = (unsigned) (z % 146097);
	unsigned y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;

	*day = of_year - (153 * m + 2) / 5 + 1;
	*month = m < 10 ? m + 3 : m - 9;
	*year = (int) (y + era * 400) + (*month <= 2);
}

static unsigned month_length(int year, unsigned month)
{
	static const uint8_t length[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : length[month - 1];
}

void timetext_base_set(struct timetext_base *b, uint64_t time_ns)
{
	uint64_t day = time_ns / NS_PER_S / SECONDS_A_DAY;
	unsigned month, of_month;

	if (b->year != 0 && b->day == day)
		return;
	*b = (struct timetext_base){ .day = day };
	date_of(day, &b->year, &month, &of_month);
}

uint64_t timetext_per_second(const struct timetext_form *form)
{
	return power[form->digits];
}

bool timetext_form_is_known(const struct timetext_form *form)
{
	const char *f;

	if (form->format >= TIMETEXT_FORMATS || form->digits > 9)
		return false;
	f = formats[form->format];
	if (form->separator != 0)
		return (form->separator == '.' || form->separator == ',') && form->digits > 0 &&
		       has_fraction(form->format);
	return form->digits == 0 || (f[0] == 's' && form->digits % 3 == 0);
}

/*
 * A form as a row of what may stand in each place: 0 a digit, e a digit or a space, 1 to 3 a letter of a month's name, the
 * rest for itself.  @return how many places.
 */
static size_t spell(const struct timetext_form *form, char to[TIMETEXT_SIZE_MAX])
{
	size_t n = 0;

	for (const char *f = formats[form->format]; *f; f++) {
		const char *places = *f == 'Y'		    ? "0000"
				     : *f == 's'	    ? "0000000000"
				     : *f == 'b'	    ? "123"
				     : *f == 'e'	    ? "e0"
				     : strchr("ymdHMS", *f) ? "00"
							    : NULL;

		if (!places) {
			to[n++] = *f;
			continue;
		}
		memcpy(to + n, places, strlen(places));
		n += strlen(places);
	}
	if (form->separator != 0)
		to[n++] = (char) form->separator;
	memset(to + n, '0', form->digits);
	return n + form->digits;
}

static bool may_stand(char place, uint8_t c, bool any_case)
{
	uint8_t other = any_case && ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ? c ^ 0x20 : c;

	if (place == '0' || (place == 'e' && c != ' '))
		return c >= '0' && c <= '9';
	if (place >= '1' && place <= '3') {
		for (size_t m = (size_t) (place - '1'); m < STRLEN(month_names); m += 3)
			if (month_names[m] == c || month_names[m] == other)
				return true;
		return false;
	}
	return place == 'e' || place == c || place == other;
}

bool timetext_begins_with_letter(const struct timetext_form *form)
{
	return formats[form->format][0] == 'b';
}

bool timetext_may_have(const struct timetext_form *form, const uint8_t *p, size_t n, bool any_case)
{
	char places[TIMETEXT_SIZE_MAX];
	size_t size = spell(form, places);

	for (size_t from = 0; from + n <= size; from++) {
		size_t i = 0;

		while (i < n && may_stand(places[from + i], p[i], any_case))
			i++;
		if (i == n)
			return true;
	}
	return false;
}

/* Reading. */

struct parts {
	int year;
	unsigned month, day, hour, minute, second;
	uint64_t seconds; /* since 1970, where they are told so */
};

static inline bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* Take n digits.  @return whether they are. */
static inline bool take_digits(const uint8_t *p, unsigned n, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!is_digit(p[i]))
			return false;
		v = 10 * v + (uint64_t) (p[i] - '0');
	}
	*ret = v;
	return true;
}

static inline bool take_pair(const uint8_t *p, unsigned *ret)
{
	*ret = 10u * (p[0] - '0') + p[1] - '0';
	return is_digit(p[0]) && is_digit(p[1]);
}

static bool take_month(const uint8_t *p, unsigned *ret)
{
	for (*ret = 1; *ret <= 12; ++*ret)
		if (memcmp(p, month_names + (size_t) 3 * (*ret - 1), 3) == 0)
			return true;
	return false;
}

/* One element of a format.  @return how many bytes it took, or 0. */
static inline size_t read_element(char element, const uint8_t *p, struct parts *t)
{
	unsigned *pair = &t->second, two;
	uint64_t v;

	switch (element) {
	case 'Y':
		if (!take_digits(p, 4, &v))
			return 0;
		t->year = (int) v;
		return 4;
	case 's':
		return take_digits(p, 10, &t->seconds) ? 10 : 0;
	case 'b':
		return take_month(p, &t->month) ? 3 : 0;
	case 'e':
		t->day = (unsigned) (p[1] - '0');
		return p[0] == ' ' && is_digit(p[1]) ? 2 : 0;
	case 'y':
		t->year = take_pair(p, &two) ? 2000 + (int) two : 0;
		return t->year ? 2 : 0;
	case 'm':
		pair = &t->month;
		break;
	case 'd':
		pair = &t->day;
		break;
	case 'H':
		pair = &t->hour;
		break;
	case 'M':
		pair = &t->minute;
		break;
	case 'S':
		break;
	default:
		return p[0] == (uint8_t) element;
	}
	return take_pair(p, pair) ? 2 : 0;
}

/* @return whether the bytes are of the format, as many as it has. */
static bool read_format(const char *f, const uint8_t *p, struct parts *t)
{
	for (; *f; f++) {
		size_t took = read_element(*f, p, t);

		if (took == 0)
			return false;
		p += took;
	}
	return true;
}

/* The second that the parts tell; 0 when they tell none. */
static uint64_t second_of(char first, const struct parts *t)
{
	if (first == 's')
		return t->seconds >= 1000000000 && t->seconds < 4000000000 ? t->seconds : 0;
	if (t->year < YEAR_MIN || t->year > YEAR_MAX || t->month < 1 || t->month > 12 ||
	    t->day < 1 || t->day > month_length(t->year, t->month) || t->hour > 23 ||
	    t->minute > 59 || t->second > 59)
		return 0;
	return days_of(t->year, t->month, t->day) * SECONDS_A_DAY + t->hour * 3600 +
	       t->minute * 60 + t->second;
}

/* The fraction behind the seconds, where there is one; in milli-, micro- or nanoseconds since 1970 it is not set off. */
static size_t read_fraction(char first, const uint8_t *p, size_t n, struct timetext_form *form,
			    uint64_t *ret)
{
	size_t k = 0;

	form->separator = form->digits = 0;
	*ret = 0;
	if (n > 1 && (p[0] == '.' || p[0] == ',') && is_digit(p[1])) {
		while (k + 1 < n && k < 10 && is_digit(p[k + 1]))
			k++;
		if (k > 9)
			return 0;
		form->separator = p[0];
	} else if (first == 's') {
		while (k < n && k < 10 && is_digit(p[k]))
			k++;
		if (k % 3 != 0)
			return SIZE_MAX;
	}
	form->digits = (uint8_t) k;
	/* They were found to be digits. */
	return take_digits(p + (form->separator != 0), (unsigned) k, ret)
		       ? k + (form->separator != 0)
		       : 0;
}

/* The second that a text of a format tells; 0 when it is no such text. */
static uint64_t read_second(unsigned number, const uint8_t *p, struct timetext_base *base)
{
	struct timetext_second *last = &base->last[number];
	struct parts t = { .year = base->year };
	const char *f = formats[number];
	uint64_t second;

	if (last->second != 0 && memcmp(p, last->text, format_sizes[number]) == 0)
		return last->second;
	if (!read_format(f, p, &t))
		return 0;
	if (f[0] == 'H')
		date_of(base->day, &t.year, &t.month, &t.day);
	second = second_of(f[0], &t);
	if (second != 0) {
		memcpy(last->text, p, format_sizes[number]);
		last->second = second;
	}
	return second;
}

static size_t try_format(unsigned number, const uint8_t *p, size_t n, struct timetext_base *base,
			 struct timetext_form *form, uint64_t *ret)
{
	const char *f = formats[number];
	size_t at = format_sizes[number], more = 0;
	uint64_t second, fraction = 0;

	second = n < at ? 0 : read_second(number, p, base);
	if (second == 0)
		return 0;
	*form = (struct timetext_form){ .format = (uint8_t) number };
	if (has_fraction(number))
		more = read_fraction(f[0], p + at, n - at, form, &fraction);
	if (more == SIZE_MAX || (at + more < n && is_digit(p[at + more])))
		return 0;
	*ret = second * power[form->digits] + fraction;
	return at + more;
}

/* Formats by how the text begins, with a look at what comes later.  Ends with -1. */
static const int8_t *candidates(const uint8_t *p, size_t n)
{
	static const int8_t none[] = { -1 }, named[] = { 4, 5, -1 }, iso_t[] = { 0, 15, -1 },
			    iso_space[] = { 1, 15, -1 }, iso_dash[] = { 10, 15, -1 },
			    date[] = { 15, -1 }, year_slash[] = { 2, -1 }, year_dot[] = { 14, -1 },
			    clock[] = { 12, -1 }, slash[] = { 3, 8, -1 }, dash[] = { 6, -1 },
			    dot[] = { 7, -1 }, space[] = { 9, -1 }, six[] = { 11, -1 },
			    epoch[] = { 13, -1 };
	size_t k = 0;

	if (n < 8)
		return none;
	if (!is_digit(p[0]))
		return p[3] == ' ' ? named : none;
	while (k < n && k < 20 && is_digit(p[k]))
		k++;
	switch (k) {
	case 2:
		if (p[2] == ' ')
			return p[6] == ' ' ? space : none;
		if (p[2] == ':')
			return p[5] == ':' ? clock : none;
		if (p[2] == '/')
			return p[5] == '/' || p[6] == '/' ? slash : none;
		return p[5] != ' ' ? none : p[2] == '-' ? dash : p[2] == '.' ? dot : none;
	case 4:
		return p[7] != p[4]  ? none
		       : p[4] == '-' ? (n < 11	       ? date
					: p[10] == 'T' ? iso_t
					: p[10] == ' ' ? iso_space
					: p[10] == '-' ? iso_dash
						       : date)
		       : p[4] == '/' ? year_slash
		       : p[4] == '.' ? year_dot
				     : none;
	case 6:
		return p[6] == ' ' ? six : none;
	}
	return k == 10 || k == 13 || k == 16 || k == 19 ? epoch : none;
}

size_t timetext_read(const uint8_t *p, size_t n, struct timetext_base *base,
		     struct timetext_form *form, uint64_t *ret)
{
	for (const int8_t *c = candidates(p, n); *c >= 0; c++) {
		size_t took = try_format((unsigned) *c, p, n, base, form, ret);

		if (took > 0)
			return took;
	}
	return 0;
}

/* Writing. */

static uint8_t *write_digits(uint8_t *to, uint64_t v, unsigned n)
{
	digits_put(to, v, n);
	return to + n;
}

static uint8_t *write_element(char element, const struct parts *t, uint8_t *to)
{
	switch (element) {
	case 'Y':
		return write_digits(to, (uint64_t) t->year, 4);
	case 'y':
		return write_digits(to, (uint64_t) t->year % 100, 2);
	case 'm':
		return write_digits(to, t->month, 2);
	case 'b':
		memcpy(to, month_names + (size_t) 3 * (t->month - 1), 3);
		return to + 3;
	case 'd':
		return write_digits(to, t->day, 2);
	case 'e':
		*to = ' ';
		return write_digits(to + 1, t->day, 1);
	case 'H':
		return write_digits(to, t->hour, 2);
	case 'M':
		return write_digits(to, t->minute, 2);
	case 'S':
		return write_digits(to, t->second, 2);
	case 's':
		return write_digits(to, t->seconds, 10);
	}
	*to = (uint8_t) element;
	return to + 1;
}

/* As many bytes as the format has. */
static void write_second(unsigned format, uint64_t second, uint8_t *to)
{
	struct parts t = { .seconds = second };
	uint64_t of_day = second % SECONDS_A_DAY;

	date_of(second / SECONDS_A_DAY, &t.year, &t.month, &t.day);
	t.hour = (unsigned) (of_day / 3600);
	t.minute = (unsigned) (of_day / 60 % 60);
	t.second = (unsigned) (of_day % 60);
	for (const char *f = formats[format]; *f; f++)
		to = write_element(*f, &t, to);
}

size_t timetext_write(const struct timetext_form *form, uint64_t units,
		      uint8_t to[TIMETEXT_SIZE_MAX])
{
	/* Lines come many a second. */
	static _Thread_local struct timetext_second written[TIMETEXT_FORMATS];
	struct timetext_second *last = &written[form->format];
	uint64_t per = power[form->digits], second = units / per;
	uint8_t *at = to + format_sizes[form->format];

	if (second >= 10000000000)
		return 0;
	if (second != last->second || second == 0) {
		write_second(form->format, second, last->text);
		last->second = second;
	}
	memcpy(to, last->text, TIMETEXT_SECOND_SIZE_MAX);
	if (form->separator != 0)
		*at++ = form->separator;
	return (size_t) (write_digits(at, units % per, form->digits) - to);
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_TIMETEXT_H
#define BULLA_STORE_SEGMENT_TIMETEXT_H

/**
 * Times as programs write them into their lines: found, turned into a number, and written again to the same bytes.
 *
 * A program prints the time at which it logs, and the entry has that time already: the difference costs next to nothing.
 * What is not told by the text (a year, a day, a zone) is taken from the entry or left in the difference.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum { TIMETEXT_FORMATS = 16, TIMETEXT_SIZE_MAX = 40 };

/** How a time is written: which format, and its fraction. */
struct timetext_form {
	uint8_t format;
	uint8_t separator; /* '.', ',' or 0 for none */
	uint8_t digits;	   /* of the fraction, 0 to 9 */
};

enum { TIMETEXT_SECOND_SIZE_MAX = 20 };

/** What lends a text the date that it does not tell: an entry's time, taken apart.  And, of each format, the second read last: lines come many a second. */
struct timetext_base {
	uint64_t day; /* since 1970 */
	int year;
	/** A second, and its text in some format. */
	struct timetext_second {
		uint8_t text[TIMETEXT_SECOND_SIZE_MAX];
		uint64_t second; /* 0: none yet */
	} last[TIMETEXT_FORMATS];
};
void timetext_base_set(struct timetext_base *b, uint64_t time_ns);

/** Whether a time may begin with so many digits, and no more of them. */
static inline bool timetext_may_begin(size_t digits)
{
	const uint32_t of_days = 1 << 2 | 1 << 4 | 1 << 6,
		       of_seconds = 1 << 10 | 1 << 13 | 1 << 16 | 1 << 19;

	return digits < 20 && (of_days | of_seconds) >> digits & 1;
}

/**
 * Read a time at the beginning of a text; a digit does not come before it.
 *
 * @return its length, or 0 when there is none that timetext_write() would write alike.  `ret` counts units of the form from
 *         1970 on.
 */
_must_check_ size_t timetext_read(const uint8_t *p, size_t n, struct timetext_base *base,
				  struct timetext_form *form, uint64_t *ret);
/** Write a time.  @return its length, or 0 when it is none that could have been read. */
_must_check_ size_t timetext_write(const struct timetext_form *form, uint64_t units,
				   uint8_t to[TIMETEXT_SIZE_MAX]);
/** Whether a form is one that timetext_read() gives. */
_must_check_ bool timetext_form_is_known(const struct timetext_form *form);
/** Whether some time of a form has these bytes in its text; where in doubt it is said to. */
bool timetext_may_have(const struct timetext_form *form, const uint8_t *p, size_t n, bool any_case);
/** Whether texts of a form begin with a month's name. */
bool timetext_begins_with_letter(const struct timetext_form *form);
/** Units of a form in a second. */
uint64_t timetext_per_second(const struct timetext_form *form);

#endif

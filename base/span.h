/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_SPAN_H
#define BULLA_BASE_SPAN_H

/** Spans of time and sizes as people type them ("1h 30min", "2.5G"), and what it takes to scan such text. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/** Parse a whole span: numbers with units as systemd.time(7) has them, seconds without.  @return 0, -EINVAL, -ERANGE. */
_must_check_ int span_parse(const char *text, size_t n, uint64_t *ret_ns);
/** Parse a whole size: a number, and K, M, G or T for powers of 1,024, as journalctl.  @return 0, -EINVAL, -ERANGE. */
_must_check_ int size_parse(const char *text, uint64_t *ret);

/** Text that is being read. */
struct scan {
	const char *p;
	const char *end;
};

static inline bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80);
}

static inline void skip_spaces(struct scan *s)
{
	while (s->p < s->end && is_space(*s->p))
		s->p++;
}

static inline bool take(struct scan *s, char c)
{
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

/** A decimal number, in whole units and parts of 1e-18. */
struct decimal {
	uint64_t whole;
	uint64_t parts;
};

enum { PARTS_DIGITS = 18 };

/** @return 0, -EINVAL, -ERANGE. */
_must_check_ int scan_decimal(struct scan *s, struct decimal *ret);
/** A number of units, cut off below one.  @return 0 or -ERANGE. */
_must_check_ int decimal_times(const struct decimal *d, uint64_t unit, uint64_t *ret);

#endif

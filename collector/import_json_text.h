/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_IMPORT_JSON_TEXT_H
#define BULLA_COLLECTOR_IMPORT_JSON_TEXT_H

/**
 * The words of JSON (RFC 8259): white space, strings, whole numbers.  Strict, and of one line at a time.
 *
 * First the whole line is looked through for what can end a string; the strings are then found from place to place, and no byte
 * of them is looked at again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum { JSON_SPECIALS_MORE = 64 }; /* places beyond the bytes of the line that there is room for */

struct json_text {
	const uint8_t *line, *p, *end; /* what is left is from `p` on */
	const uint32_t *
		special; /* places of quotes, backslashes and control characters; those before `p` are passed */
	uint8_t *decoded; /* room for as much as is left: strings with escapes come to stand here */
};

struct json_slice {
	const uint8_t *p;
	uint32_t n;
};

/**
 * Note the places of quotes, backslashes and control characters, and whether there is a byte beyond ASCII.  `to` has room for
 * n + JSON_SPECIALS_MORE places, of which those behind the last may be overwritten.
 *
 * @return behind the last.
 */
uint32_t *json_scan(const uint8_t *line, uint32_t n, uint32_t *to, bool *high);
/** The same byte by byte, on any processor. */
uint32_t *json_scan_portable(const uint8_t *line, uint32_t n, uint32_t *to, bool *high);

/**
 * Begin with a line of `n` bytes.  `special` has room for n + JSON_SPECIALS_MORE places, `decoded` for n bytes.
 *
 * @return 0; BULLA_EPARSE for what is not UTF-8.
 */
_must_check_ int json_begin(struct json_text *t, const uint8_t *line, size_t n, uint32_t *special,
			    uint8_t *decoded);

static inline bool json_is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/** The next byte that is no white space, which is not taken; 0 at the end. */
static inline uint8_t json_peek(struct json_text *t)
{
	while (_unlikely_(t->p < t->end && *t->p <= ' ') && json_is_space(*t->p))
		t->p++;
	return t->p < t->end ? *t->p : 0;
}

/** Take the next byte that is no white space if it is this one. */
static inline bool json_take(struct json_text *t, uint8_t c)
{
	if (json_peek(t) != c || t->p == t->end)
		return false;
	t->p++;
	return true;
}

/** As below, when the string has escapes, or no end. */
_must_check_ int json_string_decode(struct json_text *t, struct json_slice *ret);

/**
 * Take a string, whose opening quote is at `p`.  It is where it was read, or, with escapes in it, where there is room for it.
 *
 * @return 0; BULLA_EPARSE for what is none, and then `p` tells where.
 */
_must_check_ static inline int json_string(struct json_text *t, struct json_slice *ret)
{
	const uint8_t *start = t->p + 1, *stop;

	/* White space between words. */
	while (t->line + *t->special < t->p)
		t->special++;
	stop = t->line + t->special[1];
	if (stop == t->end || *stop != '"')
		return json_string_decode(t, ret);
	t->special += 2;
	t->p = stop + 1;
	*ret = (struct json_slice){ start, (uint32_t) (stop - start) };
	return 0;
}

/**
 * Take "name":"value", as nearly all members are: without escapes, and with nothing between the words.
 *
 * @return whether there was one; if not, nothing was taken.
 */
static inline bool json_plain_pair(struct json_text *t, struct json_slice *name,
				   struct json_slice *value)
{
	const uint32_t *s = t->special;
	const uint8_t *line = t->line;

	if (line + s[3] >= t->end || line + s[0] != t->p || s[2] != s[1] + 2)
		return false;
	if (((line[s[0]] ^ '"') | (line[s[1]] ^ '"') | (line[s[1] + 1] ^ ':') | (line[s[2]] ^ '"') |
	     (line[s[3]] ^ '"')) != 0)
		return false;
	*name = (struct json_slice){ line + s[0] + 1, s[1] - s[0] - 1 };
	*value = (struct json_slice){ line + s[2] + 1, s[3] - s[2] - 1 };
	t->special += 4;
	t->p = line + s[3] + 1;
	return true;
}

/** Take a whole number of 64 bits with a sign, as it is written.  @return 0; BULLA_EPARSE, as for fractions. */
_must_check_ int json_integer(struct json_text *t, struct json_slice *ret);
/** Take this word.  @return 0; BULLA_EPARSE. */
_must_check_ int json_word(struct json_text *t, const char *word, struct json_slice *ret);
/** Take a number from 0 to 255.  @return it; BULLA_EPARSE. */
_must_check_ int json_byte(struct json_text *t);

#endif

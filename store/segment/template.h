/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_TEMPLATE_H
#define BULLA_STORE_SEGMENT_TEMPLATE_H

/**
 * A message, taken apart into what its program prints every time (the template) and what changes (the variables).
 *
 * Words with a digit in them change, paths, dotted names, and the times that timetext.h knows.  A template is the text with a marker for each
 * variable: MARKER and the variable's kind, for times followed by three bytes that tell the form.  Rows of one template
 * have the same number and kinds of variables, so these are columns.
 */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "store/segment/classes.h"
#include "store/segment/strings.h"
#include "store/segment/timetext.h"

enum {
	MARKER = 0x01,
	VARIABLES_MAX = 64,	  /* of a message */
	TEMPLATE_SIZE_MAX = 4096, /* and bytes of a template; beyond these a message stays whole */
	TEMPLATE_MESSAGE_MAX = CLASSES_SIZE_MAX,
	KEY_SLACK = 16,
	MARK_SIZE = 2, /* MARKER and the kind */
	TIME_MARK_SIZE = 5,
};

/** What a variable is; the letters stand in files. */
enum variable_kind {
	VARIABLE_DIGITS = 'D',	  /* 1 to 18 digits */
	VARIABLE_HEX = 'X',	  /* a word of 0-9a-f */
	VARIABLE_HEX_UPPER = 'Y', /* a word of 0-9A-F */
	VARIABLE_IPV4 = 'I',
	VARIABLE_UUID = 'U', /* in lower case */
	VARIABLE_PATH = 'P', /* from a slash on */
	VARIABLE_NAME = 'N', /* letters with dots between: classes, files, hosts */
	VARIABLE_WORD = 'S', /* any other, dashes and underscores in it */
	VARIABLE_TIME = 'T',
};

/** There are millions of them at a time: small enough for four in a line of memory. */
struct variable {
	uint64_t units;	  /* of a time; of digits, their number */
	uint16_t at, len; /* of the text in the message */
	uint8_t kind;
	struct timetext_form form; /* of a time */
};
static_assert(sizeof(struct variable) == 16 && TEMPLATE_MESSAGE_MAX <= UINT16_MAX, "");

/** A message taken apart; reused from message to message. */
struct taken {
	uint8_t key[TEMPLATE_SIZE_MAX + KEY_SLACK];
	size_t key_len;
	struct variable variables[VARIABLES_MAX + 1]; /* with one that there is no room for */
	unsigned n;
	struct classes classes;
};

/**
 * Take a message apart.
 *
 * @return false for one that is better kept whole: too long, too many variables, or with a MARKER in it.
 */
_must_check_ bool template_take(struct taken *t, const uint8_t *p, size_t n,
				struct timetext_base *base);

/** A variable's place in a template. */
struct slot {
	uint8_t kind;
	struct timetext_form form;
	struct text before; /* the text between the variable before and this one */
};

/** A template read from a file, in one piece of memory: the text behind the last slot, and the slots. */
struct template
{
	struct text rest;
	uint16_t n;
	struct slot slots[];
};

/** Parse a template whose bytes outlive it; the caller frees it.  @return 0, BULLA_ECORRUPT, -ENOMEM. */
_must_check_ int template_parse(const uint8_t *key, size_t n, struct template **ret);

/** The kinds of a template's variables, from a key that template_take() made.  @return how many there are. */
unsigned template_kinds(const uint8_t *key, size_t n, uint8_t ret[VARIABLES_MAX]);

/** Whether a kind is one of enum variable_kind. */
static inline bool variable_kind_is_known(uint8_t kind)
{
	static const uint32_t kinds = 1u << (VARIABLE_DIGITS - 'A') | 1u << (VARIABLE_HEX - 'A') |
				      1u << (VARIABLE_HEX_UPPER - 'A') |
				      1u << (VARIABLE_IPV4 - 'A') | 1u << (VARIABLE_UUID - 'A') |
				      1u << (VARIABLE_PATH - 'A') | 1u << (VARIABLE_NAME - 'A') |
				      1u << (VARIABLE_WORD - 'A') | 1u << (VARIABLE_TIME - 'A');

	return kind >= 'A' && kind <= 'Z' && kinds >> (kind - 'A') & 1;
}

/** Whether a character may stand in a variable of this kind. */
bool variable_may_hold(uint8_t kind, uint8_t c);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_GATHER_H
#define BULLA_STORE_SEGMENT_GATHER_H

/**
 * The tokens of the messages of one template, of which no more are looked at than need be.
 *
 * No token has anything but letters, digits and dashes in it; what lies between two other characters of a template's texts is a
 * *reach*.  A value that is alone in its reach has the same tokens in every row, so each distinct one is looked at once.  Most
 * reaches have no room for an identifier, whatever their values are; and digits have no letters.
 */

#include <stdbool.h>
#include <stdint.h>

#include "store/segment/template.h"
#include "store/segment/tokens.h"

struct gathering {
	struct tokens *to;
	const struct template *template;
	/* Bits of slots. */
	uint64_t asked;	  /* gathering_value() has something to do */
	uint64_t apart;	  /* the slot is alone in its reach */
	uint64_t letters; /* its values can have some */
	uint64_t digits,
		dashes; /* there is room for identifiers of that kind in the reach that begins with it */
	uint8_t last[VARIABLES_MAX]; /* of that reach */
};

/** Begin a template, and take its texts.  `longest` has the greatest length of a value of each slot with a stamp. */
void gathering_begin(struct gathering *g, struct tokens *to, const struct template *t,
		     const uint32_t *longest);
/** Take a value of a slot in a message, and the reach that begins with it; `last_to` is where the value of that one's last slot ends. */
void gathering_value(const struct gathering *g, unsigned slot, const uint8_t *from,
		     const uint8_t *to, const uint8_t *last_to);

#endif

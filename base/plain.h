/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_PLAIN_H
#define BULLA_BASE_PLAIN_H

/**
 * Text for a terminal from somebody who need not be believed, an aggregator: what would act on the terminal becomes '?'.  Newlines and
 * tabs stay, and what switches colours: ESC [ digits and semicolons m.
 *
 * The text is given as it comes from the network: it may be cut anywhere.  While nothing comes the terminal is in no colour: what
 * others write there can be read, whatever was switched on.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

enum { PLAIN_HELD_MAX = 24 };

/** Start with zeroes. */
struct plain {
	uint8_t held[PLAIN_HELD_MAX]; /* the beginning of a character or of a colour */
	size_t n_held;
	uint8_t colour[PLAIN_HELD_MAX]; /* the last one, that is on */
	size_t n_colour;		/* 0: none */
	bool resting;			/* and off until there is more */
};

/** Append what can be shown of a piece.  Out of memory shows as `to->bad`. */
void plain_take(struct plain *p, const void *data, size_t n, struct buf *to);
/** Nothing comes for a while: append what switches colours off until something does. */
void plain_rest(struct plain *p, struct buf *to);
/** The text ends: append what was held back, and rest. */
void plain_end(struct plain *p, struct buf *to);

#endif

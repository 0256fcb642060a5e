/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_HALVES_H
#define BULLA_STORE_SEGMENT_HALVES_H

/**
 * Looking for hexadecimal digits where each byte holds two of them.
 *
 * The first may be either half of a byte.  So there are two rows of whole bytes, and what has the digits has one of these; it may
 * have that without the halves beside it, or as other digits.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/find.h"

enum {
	HALVES_DIGITS_MIN = 3,
	HALVES_DIGITS_MAX = 64 /* a longer row is looked for by its beginning */
};

struct halves {
	bool usable; /* for there are enough digits, and nothing else */
	uint8_t bytes[2][HALVES_DIGITS_MAX / 2];
	struct finder finder[2]; /* by which half the first digit is */
};

/** `h` must stay where it is. */
void halves_init(struct halves *h, const uint8_t *digits, size_t n);

#endif

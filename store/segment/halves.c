/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/halves.h"

#include "base/attr.h"

/* @return the digit's value, or -1. */
static int value_of(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void halves_init(struct halves *h, const uint8_t *digits, size_t n)
{
	size_t most = MIN_OF(n, (size_t) HALVES_DIGITS_MAX);

	h->usable = n >= HALVES_DIGITS_MIN;
	for (size_t i = 0; i < most; i++)
		h->usable &= value_of(digits[i]) >= 0;
	if (!h->usable)
		return;
	for (size_t half = 0; half < 2; half++) {
		size_t bytes = (most - half) / 2;

		for (size_t i = 0; i < bytes; i++) {
			const uint8_t *two = digits + half + 2 * i;

			h->bytes[half][i] = (uint8_t) (value_of(two[0]) << 4 | value_of(two[1]));
		}
		finder_init(&h->finder[half], h->bytes[half], bytes, false);
	}
}

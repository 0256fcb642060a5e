/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/halves.h"

#include "base/attr.h"
#include "base/text.h"

void halves_init(struct halves *h, const uint8_t *digits, size_t n)
{
	size_t most = MIN_OF(n, (size_t) HALVES_DIGITS_MAX);

	h->usable = n >= HALVES_DIGITS_MIN;
	/* Between them the two rows have every digit. */
	for (size_t half = 0; half < 2 && h->usable; half++) {
		size_t bytes = (most - half) / 2;

		h->usable = text_unhex((const char *) digits + half, 2 * bytes, h->bytes[half],
				       bytes) >= 0;
		finder_init(&h->finder[half], h->bytes[half], bytes, false);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_ROOM_H
#define BULLA_BASE_ROOM_H

/** Arrays that grow. */

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/attr.h"

enum { ROOM_MIN = 64 };

/**
 * Make room for one more in an array of `n` elements; `array` is the address of the pointer to it.
 *
 * @return whether there is; without memory the array is as it was.
 */
_must_check_ static inline bool room_for(void *array, size_t n, size_t *cap, size_t size)
{
	void **at = array, *more;
	size_t grown = *cap ? 2 * *cap : ROOM_MIN;

	if (n < *cap)
		return true;
	more = reallocarray(*at, grown, size);
	if (!more)
		return false;
	*at = more;
	*cap = grown;
	return true;
}

#endif

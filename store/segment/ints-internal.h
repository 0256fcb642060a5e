/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_INTS_INTERNAL_H
#define BULLA_STORE_SEGMENT_INTS_INTERNAL_H

/** What writing columns of numbers (ints.c) and reading them (ints_read.c) share: the forms, as ints.h has them. */

#include "store/segment/ints.h"

enum form {
	FORM_CONST,
	FORM_PLANES,
	FORM_BITS,
	FORM_VARINTS,
	FORM_DELTA,
	FORM_DICT,
	FORM_RUNS,
	FORM_SCALED,
};

enum { DICT_MAX = 256 };

static inline size_t bits_size(size_t n, unsigned bits)
{
	return (n * bits + 7) / 8;
}

#endif

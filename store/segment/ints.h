/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_INTS_H
#define BULLA_STORE_SEGMENT_INTS_H

/**
 * Columns of numbers: any u64s, in the form that promises to be smallest once the block around it is compressed.
 *
 *	const    varint value
 *	planes   u8 bytes | varint base | n low bytes, n next bytes, ...      of value - base
 *	bits     u8 bits | varint base | n * bits bits                        of value - base
 *	varints  n varints
 *	delta    varint first | a column of n - 1 zigzag differences
 *	dict     varint k | a column of k values, rising | a column of n places among them
 *	runs     varint k | a column of k values | a column of k lengths
 *	scaled   varint factor, 2 at least | varint rest, less than it | a column of (value - rest) / factor
 *
 * Forms nest at most INTS_DEPTH_MAX deep.  How many numbers there are is known to the reader.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/bytes.h"

enum { INTS_DEPTH_MAX = 4, INTS_MAX = 1 << 24 };

/** What the choice of a form needs; reused from column to column. */
struct ints_scratch {
	uint64_t *words; /* owned */
	uint8_t *bytes;	 /* owned: VARINT_SIZE_MAX for each word */
	size_t cap;
	uint32_t count[256]; /* of bytes; zero in between */
};

void ints_scratch_done(struct ints_scratch *s);

/** Append a column; a failed allocation leaves `to->bad`. */
void ints_encode(struct ints_scratch *s, const uint64_t *v, size_t n, struct buf *to);
/** About how many bits a column will have once its block is compressed. */
double ints_weigh(struct ints_scratch *s, const uint64_t *v, size_t n);
/** Read a column of `n` numbers.  @return 0, BULLA_ECORRUPT, BULLA_EVERSION for an unknown form, or -ENOMEM. */
_must_check_ int ints_decode(struct rd *r, size_t n, uint64_t *to);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_SEQUEL_H
#define BULLA_BASE_SEQUEL_H

/**
 * What may follow a literal where a pattern matches: a row of parts, each a set of characters, some of which may come again or be
 * left out.
 *
 * A sequel is laid over bytes from left to right, and over places where nothing is known but which bytes may stand there.
 * It is no matcher: of texts that match it never says that they cannot, of others it may say that they can.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SEQUEL_PARTS_MAX = 63 /* of longer ones the beginning */ };

/** What characters a part may be, as bytes.  Those beyond ASCII are not told apart: a set has all bytes of them or none. */
struct charset {
	uint64_t bytes[4]; /* base/bits.h */
};

struct sequel_part {
	struct charset set;
	bool again;    /* it may come more than once */
	bool optional; /* it may be left out */
};

struct sequel {
	unsigned n;
	/* Bit i is part i. */
	uint64_t takes[256]; /* parts that a byte may be, or be a piece of */
	uint64_t again, optional;
};

void sequel_init(struct sequel *s, const struct sequel_part *parts, size_t n);

/*
 * How far one is: bit i says that what is before part i may have been laid, so that 0 says that nothing can be.
 */

/** Before anything was laid. */
uint64_t sequel_begin(const struct sequel *s);
/** Behind `n` bytes. */
uint64_t sequel_over(const struct sequel *s, uint64_t at, const uint8_t *p, size_t n);
/** Behind one byte or more, each of which may be one of the parts in `takes`. */
uint64_t sequel_over_any(const struct sequel *s, uint64_t at, uint64_t takes);

/** Whether all may have been laid: whatever follows, that stays so. */
static inline bool sequel_is_over(const struct sequel *s, uint64_t at)
{
	return at >> s->n & 1;
}

#endif

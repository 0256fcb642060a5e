/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_SPLIT_H
#define BULLA_COLLECTOR_SPLIT_H

/**
 * Bytes of a stream into lines: pure, no state but the cursor.
 *
 * A line is what stands before a newline, byte for byte: NUL, CR and invalid UTF-8 are content.  A line longer than
 * `size_max` comes in pieces, all but the last marked continued.  What is not complete stays in the stream.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct line {
	const uint8_t *p;
	size_t n;
	bool continued;	 /* more of this line follows */
	bool no_newline; /* the stream ended here */
};

struct splitter {
	const uint8_t *p;
	size_t left;
	size_t size_max;
	bool at_end; /* nothing follows these bytes in the stream */
};

/** Take the next line.  @return false when what is left is not a complete line (or nothing). */
bool split_next(struct splitter *s, struct line *ret);

#endif

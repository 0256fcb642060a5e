/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_STRINGS_H
#define BULLA_STORE_SEGMENT_STRINGS_H

/**
 * Columns of strings, any bytes.
 *
 *	raw   a column of n lengths | the bytes
 *	dict  varint k | a column of k lengths | their bytes | a column of n places among them
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "store/segment/ints.h"

/** A string; borrowed. */
struct text {
	const uint8_t *p;
	uint32_t len;
};

/** For tables of this process; what is stored does not depend on it. */
uint64_t text_hash(struct text t);
bool text_equal(struct text a, struct text b);

/** What writing a column needs; reused from column to column. */
struct strings_scratch {
	struct ints_scratch ints;
	struct text *distinct; /* owned */
	size_t n_distinct; /* of the column written last, in order of their coming; 0 where each row has its own */
	uint64_t *place, *length; /* owned */
	uint32_t *slot;		  /* owned: 2 * cap */
	size_t cap;		  /* a power of two */
};

void strings_scratch_done(struct strings_scratch *s);

/** Append a column; a failed allocation leaves `to->bad`. */
void strings_encode(struct strings_scratch *s, const struct text *v, size_t n, struct buf *to);
/** Read a column of `n` strings that point into the cursor's bytes.  Errors as ints_decode(). */
_must_check_ int strings_decode(struct rd *r, size_t n, struct text *to);

/** A column of strings as it is stored: its distinct strings one behind the other, and which of them each row has. */
struct strings_view {
	const uint8_t *p; /* borrowed from the column */
	uint32_t *end;	  /* owned: of each string in `p` */
	size_t n;	  /* of the strings: as many as rows where each row has its own, in order */
	bool shared;	  /* rows share them, as `place` tells once it is read */
	uint64_t *place;  /* owned */
};

/** Read the strings of a column of `n` rows, which is at least one.  Errors as ints_decode(); then there is nothing to be done with it. */
_must_check_ int strings_view_read(struct strings_view *v, struct rd *r, size_t n);
/** Read which string each row has, if rows share them; the cursor is where strings_view_read() left it. */
_must_check_ int strings_view_places(struct strings_view *v, struct rd *r, size_t n);
void strings_view_done(struct strings_view *v);

#endif

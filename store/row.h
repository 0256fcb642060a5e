/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_ROW_H
#define BULLA_STORE_ROW_H

/** One entry as it lies among the rows of a frame.  Rows follow each other; times are deltas to the row before. */

#include <stdbool.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "seal/statement.h"

/** State between rows: begin with zeroes at every frame. */
struct row_state {
	uint64_t time_ns;
};

/**
 * Whether an entry has a row: fields sorted and named as the law is, flags that rows have (not ENTRY_RECOVERED, which is
 * the batch's to say), and no more than ENTRY_SIZE_MAX bytes.  What has no row must not be encoded.
 */
_must_check_ bool row_is_lawful(const struct entry *e);
/** Room that row_encode() needs at most. */
size_t row_size_max(const struct entry *e);
/** Append a row; `context` is the number of its context in the tail. */
void row_encode(struct row_state *s, const struct entry *e, uint32_t context, struct wr *w);
/**
 * Read the next row.  Message and fields point into the cursor's bytes; `fields` has room for FIELDS_MAX.  The entry's
 * context hash is left zero: the caller knows contexts by number.
 *
 * @return 1; 0 at the end; BULLA_ECORRUPT.
 */
_must_check_ int row_decode(struct row_state *s, struct rd *r, struct field *fields,
			    struct entry *ret, uint32_t *ret_context);

#endif

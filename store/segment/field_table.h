/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_FIELD_TABLE_H
#define BULLA_STORE_SEGMENT_FIELD_TABLE_H

/**
 * The fields of all contexts of a segment, each once.
 *
 * Journals that run beside each other have most of their fields in common, and all of their names.  The table has them in canonical
 * order, and a context names its own by ascending numbers: what is lawful in the table is so in every context.
 */

#include "base/buf.h"
#include "base/bytes.h"
#include "seal/statement.h"

enum { SEGMENT_FIELDS_MAX = 4 << 20 /* in the table; and in all contexts together */ };

struct field_table {
	struct field *at; /* owned; names and values are in the bytes that were read */
	uint32_t n;
};

/**
 * Write the table of `n` fields, in any order and as often as they are there.  `number` gets the number of each.
 *
 * @return 0, BULLA_ELIMIT, -ENOMEM.
 */
_must_check_ int field_table_put(const struct field *const *fields, size_t n, uint32_t *number,
				 struct buf *to);
/** Append the numbers of a context's fields, which are in canonical order. */
void field_table_put_numbers(const uint32_t *number, size_t n, struct buf *to);

/** Read a table.  @return 0, BULLA_ECORRUPT, -ENOMEM. */
_must_check_ int field_table_read(struct rd *r, struct field_table *ret);
void field_table_done(struct field_table *t);
/** Read `n` numbers, and what they stand for.  @return 0 or BULLA_ECORRUPT. */
_must_check_ int field_table_take(const struct field_table *t, struct rd *r, size_t n,
				  struct field *to);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_TEMPLATE_TABLE_H
#define BULLA_STORE_SEGMENT_TEMPLATE_TABLE_H

/**
 * The templates of a segment.
 *
 * There are tens of thousands, of which a question meets a few: their texts are read when the first is asked for, and each is
 * parsed when it is.  Threads may ask at the same time; who comes second throws away what it has made.
 */

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "store/segment/template.h"

struct template_table;

/** Take a block, which is the table's from then on, also on failure.  @return 0, BULLA_ECORRUPT, -ENOMEM. */
_must_check_ int template_table_new(uint8_t *block, size_t n, struct template_table **ret);
void template_table_free(struct template_table *t);
uint32_t template_table_size(const struct template_table *t);
/** A template, which stays the table's.  @return 0, BULLA_ECORRUPT, -ENOMEM. */
_must_check_ int template_table_get(struct template_table *t, uint32_t number,
				    const struct template **ret);

#endif

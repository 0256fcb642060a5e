/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_TEMPLATE_TABLE_H
#define BULLA_STORE_SEGMENT_TEMPLATE_TABLE_H

/**
 * The templates of a segment.
 *
 * There are tens of thousands, of which a question meets a few: they lie in parts, of which each is read when the first of its
 * templates is asked for, and each template is parsed when it is.  The kinds of their variables, of which a directory asks for
 * thousands, lie in parts of their own.  Threads may ask at the same time; who comes second throws away
 * what it has made.
 */

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "store/segment/block.h"
#include "store/segment/template.h"

struct template_table;

/** Read from a footer where the parts are.  @return 0, BULLA_ECORRUPT, -ENOMEM. */
_must_check_ int template_table_read(struct rd *footer, struct template_table **ret);
void template_table_free(struct template_table *t);
uint32_t template_table_size(const struct template_table *t);
/** The kinds of a template's variables, a letter each; otherwise as template_table_get(). */
_must_check_ int template_table_kinds(const struct template_table *t, int fd, uint32_t number,
				      struct block_scratch *scratch, struct text *ret);
/** A template, which stays the table's.  @return 0, an error of block_read(); then `scratch` knows which block is damaged. */
_must_check_ int template_table_get(struct template_table *t, int fd, uint32_t number,
				    struct block_scratch *scratch, const struct template **ret);
/** Where a part of either sort lies; NULL where there are no more. */
const struct block_ref *template_table_part(const struct template_table *t, uint32_t number);

#endif

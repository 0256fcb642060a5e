/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_MESSAGE_COLUMN_H
#define BULLA_STORE_SEGMENT_MESSAGE_COLUMN_H

/**
 * The columns of one template being written, slot by slot.
 *
 * The variables of a row lie beside each other, and its neighbours of the same template somewhere else.  So those of a slot are
 * brought together first, and the texts of those that have some, and then gone over as often as need be.
 */

#include "store/segment/messages.h"

/** A row that has a template, and where what it is made of lies. */
struct message_row {
	const uint8_t *message;
	uint32_t variables; /* the number of its first */
	uint32_t row;
};

struct message_column {
	const uint64_t *times;		/* of the group's rows; borrowed */
	const struct message_row *rows; /* of this template, rising; borrowed */
	size_t n;
	uint32_t len_min[VARIABLES_MAX], len_max[VARIABLES_MAX]; /* of each slot */
	struct variable *all; /* owned: of all rows, slot by slot */
	size_t all_cap;
	const struct variable *variables; /* of these, those of the slot at hand */
	/* Of as many rows as there is room for. */
	uint64_t *numbers, *others; /* owned, like the following */
	struct text *texts;
	struct buf bytes; /* the variables' texts, row by row; `units` of each is where it begins */
	struct buf packed;
};

void message_column_done(struct message_column *c);
/** Make room for templates of so many rows.  @return 0 or -ENOMEM. */
_must_check_ int message_column_room(struct message_column *c, size_t rows);
/** Begin the columns of a template.  @return 0 or -ENOMEM. */
_must_check_ int message_column_begin(struct message_column *c, const struct messages *m,
				      const struct template *t);
/** Append the column of a slot; a failed allocation leaves `to->bad`. */
void message_column_put(struct message_column *c, struct messages *m, unsigned slot, uint8_t kind,
			struct buf *to);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_STAGING_H
#define BULLA_STORE_SEGMENT_STAGING_H

/** The batches of a row group while they come, and the order in which they are written. */

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/statement.h"
#include "store/segment/strings.h"

struct staged_batch {
	uint32_t journal; /* of the segment */
	uint32_t first_row, n_rows;
	uint64_t commit, batch_no, first_seq;
	int64_t mono_offset;
	uint8_t flags;
};

/** `at` is where the message begins in `bytes`; behind it u8 length, name, u32 length, value of each field. */
struct staged_row {
	uint64_t time_ns, received_ns;
	size_t at;
	uint32_t message_len, context;
	uint16_t n_fields;
	uint8_t priority, flags;
};

struct staging {
	struct staged_batch *batches; /* owned */
	size_t n_batches, batches_cap;
	struct staged_row *rows; /* owned */
	size_t n_rows, rows_cap;
	struct buf bytes; /* messages, names and values of the rows */
};

/** What rows are ordered by: what makes logs alike, then whose they are. */
struct staging_key {
	struct text app;
	struct id id;
};

void staging_done(struct staging *s);
/** Forget the rows, keep the memory. */
void staging_clear(struct staging *s);
/** Begin a batch; its rows are counted from here on.  @return 0 or -ENOMEM. */
_must_check_ int staging_batch(struct staging *s, const struct staged_batch *b);
/** Copy an entry into the last batch.  @return 0 or -ENOMEM. */
_must_check_ int staging_add(struct staging *s, const struct entry *e, uint32_t context);
/** Take back the last batch and its rows. */
void staging_drop(struct staging *s);
/** Put batches and rows in order, by the keys of their journals, as they came within each.  @return 0 or -ENOMEM. */
_must_check_ int staging_order(struct staging *s,
			       const struct staging_key *(*key_of)(const void *arg,
								   uint32_t journal),
			       const void *arg);

#endif

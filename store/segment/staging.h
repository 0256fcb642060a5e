/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_STAGING_H
#define BULLA_STORE_SEGMENT_STAGING_H

/** The batches of a window while they come, and the order in which they are written, and the row groups that they make. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/statement.h"
#include "store/segment/strings.h"

struct staged_batch {
	uint32_t journal, origin; /* of the segment */
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
/** For qsort().  Of two journals of one id the caller says which one comes first. */
int staging_compare_keys(const struct staging_key *a, const struct staging_key *b);

/** Some of the batches and rows, which follow each other; those before it have been written. */
struct staged_group {
	const struct staged_batch *batches; /* borrowed, like the following */
	const struct staged_row *rows;
	size_t n_batches, n_rows;
};

/** Tells whose a journal's rows are. */
typedef const struct staging_key *(*staging_key_fn)(const void *arg, uint32_t journal);

void staging_done(struct staging *s);
/** Forget the rows, keep the memory. */
void staging_clear(struct staging *s);
/** Begin a batch; its rows are counted from here on.  @return 0 or -ENOMEM. */
_must_check_ int staging_batch(struct staging *s, const struct staged_batch *b);
/** Copy an entry into the last batch.  @return 0 or -ENOMEM. */
_must_check_ int staging_add(struct staging *s, const struct entry *e, uint32_t context);
/** Take back the last batch and its rows. */
void staging_drop(struct staging *s);
/**
 * Move the batches that have the newest `rows` rows, and all that their origins committed since, to another staging, which is empty;
 * unless they are most of all.  @return 0 or -ENOMEM.
 */
_must_check_ int staging_split(struct staging *s, size_t rows, struct staging *last);
/** Put batches and rows in order, by the keys of their journals, as they came within each.  @return 0 or -ENOMEM. */
_must_check_ int staging_order(struct staging *s, staging_key_fn key_of, const void *arg);
/**
 * What comes next in that order, in `*g`, zeroed at first: whole apps, until there are `rows` rows.  An app that has more than twice as
 * many is divided between journals, unless nobody knows what app it is: then nothing says that the next journal has others' messages.
 *
 * @return whether there is anything.
 */
bool staging_next(const struct staging *s, staging_key_fn key_of, const void *arg, size_t rows,
		  struct staged_group *g);

#endif

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Entries of batches that were found good, for who wants to have them.
 *
 * They are made of the very bytes that were hashed, which are kept until the whole batch is known to be what was sealed: a file
 * that is changed meanwhile changes nothing.  Of a tail these are the rows of each frame, unpacked; of a segment the row group,
 * all of which is in memory.  Whatever else belongs to an entry is what the ledger says of the batch.
 */

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "store/verify-internal.h"

enum {
	KEPT_MAX = 256 << 20
}; /* bytes of unpacked rows: more than a batch of BATCH_ENTRIES_MAX has */

void verify_keep_none(struct verifier *v)
{
	buf_clear(&v->kept);
	v->kept_too_many = false;
}

int verify_keep_rows(struct verifier *v)
{
	if (!v->options->entry)
		return 0;
	v->kept_too_many |= v->kept.len + v->raw.len > KEPT_MAX;
	if (v->kept_too_many)
		return 0;
	buf_varint(&v->kept, v->raw.len);
	buf_append(&v->kept, v->raw.data, v->raw.len);
	return v->kept.bad ? -ENOMEM : 0;
}

static int give(struct verifier *v, const struct batch *b, const struct contexts *contexts,
		uint32_t context, uint32_t place, struct entry *e)
{
	int64_t journal = history_find_journal(v->history, &b->journal);

	e->context = contexts->at[context].hash;
	return v->options->entry(v->options->arg, &(struct sealed_entry){
							  .journal = (uint32_t) journal,
							  .batch = b,
							  .seq = b->first_seq + place,
							  .contexts = contexts,
							  .context = context,
							  .entry = e,
						  });
}

static int give_rows(struct verifier *v, const struct tail_reader *t, const struct batch *b,
		     struct rd rows, uint32_t *place)
{
	_uninitialized_ struct field fields[FIELDS_MAX];
	struct row_state state = { 0 };
	struct entry e;
	uint32_t context;
	int r;

	while ((r = row_decode(&state, &rows, fields, &e, &context)) > 0) {
		/* Both were checked when they were hashed. */
		if (context >= t->contexts.n || *place == b->entries)
			return BULLA_ECORRUPT;
		r = give(v, b, &t->contexts, context, (*place)++, &e);
		if (r < 0)
			return r;
	}
	return r;
}

int verify_give_tail(struct verifier *v, const struct tail_reader *t, const struct batch *b,
		     const struct ledger_journal *j, uint64_t commit)
{
	struct rd kept = rd_of(v->kept.data, v->kept.len);
	const char *what = NULL;
	uint32_t place = 0;
	int r = 0;

	if (!v->options->entry)
		return 0;
	/* That each batch hangs on its contexts is sealed; whose they are is, too. */
	if (t->contexts.n == 0 || !hash_same(&t->contexts.at[0].hash, &j->identity))
		what = "the identity is not the one that was sealed when the journal was opened";
	else if (v->kept_too_many)
		what = "the batch is too large to be shown";
	if (what) {
		verify_found_in(v, VERDICT_TAMPERED, &j->id, b, commit, NONE, what);
		return 0;
	}
	while (r >= 0 && kept.left > 0) {
		size_t n = (size_t) rd_varint(&kept);
		const uint8_t *rows = rd_bytes(&kept, n);

		r = rows ? give_rows(v, t, b, rd_of(rows, n), &place) : BULLA_ECORRUPT;
	}
	return r;
}

int verify_give_group(struct verifier *v, struct segment_group *g, uint32_t number,
		      const struct batch *b)
{
	_cleanup_free_ struct field *fields = NULL;
	const struct group_batch *batch = &g->batches[number];
	const struct segment_journal *j = &g->segment->journals[batch->journal];
	_cleanup_buf_ struct buf message = { 0 };
	int r = 0;

	if (!v->options->entry)
		return 0;
	fields = reallocarray(NULL, FIELDS_MAX, sizeof *fields);
	if (!fields)
		return -ENOMEM;
	for (uint32_t i = 0; r >= 0 && i < batch->entries && i < b->entries; i++) {
		uint32_t row = batch->first_row + i;
		struct entry e;

		r = group_entry(g, row, j, &message, fields, &e);
		if (r >= 0)
			r = give(v, b, &j->contexts, (uint32_t) g->context[row], i, &e);
	}
	return r;
}

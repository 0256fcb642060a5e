/* SPDX-License-Identifier: Apache-2.0 */

#include "store/prove-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "store/format.h"

_Static_assert(PROOF_CONTEXTS_EACH == CONTEXT_DEPTH_MAX + 1 &&
		       (int) PROOF_CONTEXTS_MAX == CONTEXTS_MAX,
	       "what a tail may have a proof may have");

void proved_entries_done(struct proved_entries *e)
{
	buf_done(&e->bytes);
	buf_done(&e->raw);
	buf_done(&e->put);
	buf_done(&e->put_contexts);
	contexts_done(&e->contexts);
	free(e->end);
	free(e->context);
	free(e->leaves);
	free(e->fields);
	*e = (struct proved_entries){ 0 };
}

int proved_entries_begin(struct proved_entries *e, const struct batch *b)
{
	bool only = e->only;
	uint32_t place = e->place;

	proved_entries_done(e);
	e->only = only;
	e->place = place;
	/* Of one that is absent nobody has counted them. */
	if (b->entries > BATCH_ENTRIES_MAX)
		return BULLA_ELIMIT;
	e->end = reallocarray(NULL, b->entries, sizeof *e->end);
	e->context = reallocarray(NULL, b->entries, sizeof *e->context);
	e->leaves = reallocarray(NULL, b->entries, sizeof *e->leaves);
	e->fields = reallocarray(NULL, FIELDS_MAX, sizeof *e->fields);
	return e->end && e->context && e->leaves && e->fields ? 0 : -ENOMEM;
}

/* Its context's hash and the batch's flag are filled in here. */
static int add(struct proved_entries *e, const struct batch *b, const uint8_t *seed,
	       struct entry *entry, uint32_t context)
{
	uint8_t salt[SALT_SIZE];
	struct salts salts;
	struct wr w;
	size_t size;
	uint8_t *at;

	if (e->n == b->entries || context >= e->contexts.n)
		return BULLA_ECORRUPT;
	if (e->bytes.len > (size_t) 8 * BATCH_SIZE_MAX)
		return BULLA_ELIMIT;
	entry->context = e->contexts.at[context].hash;
	entry->flags |= b->recovered ? ENTRY_RECOVERED : 0;
	salts_of(&salts, seed, b->batch_no);
	salts_get(&salts, e->n, 1, salt);
	size = entry_leaf_size(entry);
	at = buf_room(&e->bytes, size);
	if (!at)
		return -ENOMEM;
	w = wr_of(at, size);
	entry_encode(entry, salt, &w);
	if (w.bad)
		return BULLA_ECORRUPT;
	e->leaves[e->n] = tree_leaf(at, w.len);
	/* Of the others the hash is all that is needed. */
	if (!e->only || e->n == e->place)
		buf_add(&e->bytes, w.len);
	e->context[e->n] = context;
	e->end[e->n++] = e->bytes.len;
	return 0;
}

int proved_entries_group(struct proved_entries *e, const struct batch *b, struct segment_group *g,
			 uint32_t number)
{
	struct segment_journal *j = &g->segment->journals[g->batches[number].journal];
	const uint8_t *seed = seeds_of(&j->seeds, b->batch_no);
	struct entry entry;
	int r;

	if (!seed || g->batches[number].entries != b->entries)
		return BULLA_ECORRUPT;
	r = contexts_hash_all(&j->contexts);
	if (r >= 0)
		r = contexts_add_rest(&e->contexts, &j->contexts);
	for (uint32_t i = 0; r >= 0 && i < b->entries; i++) {
		uint32_t row = g->batches[number].first_row + i;

		r = group_entry(g, row, j, &e->raw, e->fields, &entry);
		if (r >= 0)
			r = add(e, b, seed, &entry, (uint32_t) g->context[row]);
	}
	return r;
}

int proved_entries_rows(struct proved_entries *e, const struct batch *b, const uint8_t *seed,
			const struct contexts *contexts, const struct tail_rows *rows)
{
	struct row_state state = { 0 };
	struct entry entry;
	uint32_t context;
	struct rd rd;
	int r;

	if (!seed || rows->first_seq != b->first_seq + e->n)
		return BULLA_ECORRUPT;
	r = tail_rows_unpack(rows, &e->raw);
	if (r >= 0)
		r = contexts_add_rest(&e->contexts, contexts);
	if (r < 0)
		return r;
	rd = rd_of(e->raw.data, e->raw.len);
	while ((r = row_decode(&state, &rd, e->fields, &entry, &context)) > 0) {
		r = add(e, b, seed, &entry, context);
		if (r < 0)
			return r;
	}
	return r;
}

/* Putting. */

/* A statement behind its length. */
static void put(const uint8_t *p, size_t n, struct buf *to)
{
	buf_varint(to, n);
	buf_append(to, p, n);
}

/* Those that an entry needs, and their parents, in the order of their numbers. */
static void mark_contexts(const struct proved_entries *e, uint32_t from, uint32_t to, bool *used)
{
	for (uint32_t i = from; i < to; i++)
		for (int64_t k = e->context[i]; k >= 0 && !used[k]; k = e->contexts.at[k].parent)
			used[k] = true;
}

int proved_entries_put(struct proved_entries *e, struct entry_proof *to)
{
	_cleanup_free_ bool *used = calloc(e->contexts.n + 1u, sizeof *used);
	uint32_t from = to->extent == PROOF_ENTRY ? to->place : 0;
	uint32_t end = to->extent == PROOF_ENTRY ? from + 1 : e->n;

	if (!used)
		return -ENOMEM;
	for (uint32_t i = from; i < end; i++) {
		size_t at = i > 0 ? e->end[i - 1] : 0;

		put(e->bytes.data + at, e->end[i] - at, &e->put);
	}
	mark_contexts(e, from, end, used);
	for (uint32_t i = 0; i < e->contexts.n; i++)
		if (used[i]) {
			put(e->contexts.at[i].leaf, e->contexts.at[i].leaf_size, &e->put_contexts);
			to->n_contexts++;
		}
	to->n_entries = end - from;
	to->entries = (struct span){ e->put.data, e->put.len };
	to->contexts = (struct span){ e->put_contexts.data, e->put_contexts.len };
	return e->put.bad || e->put_contexts.bad ? -ENOMEM : 0;
}

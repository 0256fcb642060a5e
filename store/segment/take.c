/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/take.h"

#include <errno.h>
#include <stdlib.h>

#include "bulla/error.h"
#include "store/row.h"

void batch_taker_done(struct batch_taker *t)
{
	packed_tails_done(&t->tails);
	free(t->fields);
	buf_done(&t->raw);
	batchroot_done(&t->root);
}

/* The segment is told of a journal when its first batch comes: by then its identity has been read. */
static int announce(struct segment_hand *h, struct packed_tail *p, const struct ledger_journal *j,
		    const struct hand_batch *b)
{
	struct segment_source source = {
		.id = j->id,
		.boot = j->boot,
		.first_batch = b->batch_no,
		.first_seq = b->first_seq,
		.contexts = &p->tail.contexts,
		.seeds = &p->tail.seeds,
	};

	if (p->number >= 0)
		return 0;
	if (!id_equal(&p->tail.header.journal, &j->id) || p->tail.contexts.n == 0 ||
	    !hash_same(&p->tail.contexts.at[0].hash, &j->identity))
		return BULLA_ETAMPERED;
	p->number = segment_writer_journal(&h->writer, &source);
	h->made.journals += p->number >= 0;
	return p->number < 0 ? (int) p->number : 0;
}

static int begin_batch(struct batch_taker *t, struct segment_hand *h, struct packed_tail *p,
		       const struct hand_batch *b)
{
	const uint8_t *seed = seeds_of(&p->tail.seeds, b->batch_no);
	int r;

	if (!seed)
		return BULLA_ETAMPERED;
	r = announce(h, p, history_journal(t->history, b->handle), b);
	if (r < 0)
		return r;
	if (t->careful)
		batchroot_begin(&t->root, seed, b->batch_no, b->recovered);
	return segment_writer_batch(&h->writer, (uint32_t) p->number, b->commit,
				    b->recovered ? BATCH_RECOVERED : 0, b->mono_offset);
}

/* The ledger says how many bytes there are: no more of them are taken into memory. */
static int take_rows(struct batch_taker *t, struct segment_hand *h, const struct packed_tail *p,
		     const struct tail_rows *rows, uint64_t *bytes)
{
	struct row_state state = { 0 };
	uint32_t context;
	struct entry e;
	struct rd rd;
	int r;

	r = tail_rows_unpack(rows, &t->raw);
	if (r < 0)
		return r;
	rd = rd_of(t->raw.data, t->raw.len);
	while ((r = row_decode(&state, &rd, t->fields, &e, &context)) > 0) {
		uint64_t size = entry_bytes(&e);

		if (context >= p->tail.contexts.n)
			return BULLA_ECORRUPT;
		if (size > *bytes)
			return BULLA_ETAMPERED;
		*bytes -= size;
		r = segment_writer_add(&h->writer, &e, context);
		if (r >= 0 && t->careful) {
			e.context = p->tail.contexts.at[context].hash;
			r = batchroot_add(&t->root, &e);
		}
		if (r < 0)
			return r;
	}
	return r;
}

/* `*ret_begun` tells whether the writer has a batch at hand. */
static int read_rows(struct batch_taker *t, struct segment_hand *h, struct packed_tail *p,
		     const struct hand_batch *b, bool *ret_begun)
{
	uint64_t n = 0, bytes = b->bytes;

	while (n < b->entries) {
		struct tail_rows rows;
		int r = packed_tail_next(p, b->first_seq + n, &rows);

		if (r >= 0 && n == 0) {
			r = begin_batch(t, h, p, b);
			*ret_begun = r >= 0;
		}
		if (r >= 0 && rows.count > b->entries - n)
			r = BULLA_ETAMPERED;
		if (r >= 0)
			r = take_rows(t, h, p, &rows, &bytes);
		if (r < 0)
			return r;
		n += rows.count;
	}
	return 0;
}

/* Whether what was read is what was sealed. */
static int check_root(struct batch_taker *t, const struct hand_batch *b)
{
	const struct ledger_journal *j = history_journal(t->history, b->handle);
	struct batch batch = {
		.journal = j->id,
		.batch_no = b->batch_no,
		.first_seq = b->first_seq,
		.entries = b->entries,
		.bytes = t->root.bytes,
		.time_min = t->root.time_min,
		.time_max = t->root.time_max,
		.boot = j->boot,
		.mono_offset = b->mono_offset,
		.root = batchroot_get(&t->root),
		.recovered = b->recovered,
	};
	struct hash leaf = batch_leaf_hash(&batch);

	return batchroot_count(&t->root) == b->entries && hash_same(&leaf, &b->leaf)
		       ? 0
		       : BULLA_ETAMPERED;
}

static int take_batch(struct batch_taker *t, struct segment_hand *h, struct packed_tail *p,
		      const struct hand_batch *b)
{
	bool begun = false;
	int r = read_rows(t, h, p, b, &begun);

	if (r >= 0 && t->careful)
		r = check_root(t, b);
	if (r >= 0)
		return hand_remember(h, (uint32_t) p->number, b);
	if (begun)
		segment_writer_drop_batch(&h->writer);
	return r;
}

/* The batches of one journal. */
static int take_journal(struct batch_taker *t, struct segment_hand *h, const struct hand_batch *b,
			size_t n)
{
	struct packed_journal *known = &t->tails.at[b->handle];
	struct packed_tail *p;
	int r = packed_tail_open(&t->tails, known, history_journal(t->history, b->handle), &p);

	if (!p)
		return r;
	for (size_t i = 0; i < n; i++) {
		/* A root that the ledger left to a segment went with it: what the tail has could be anything. */
		if (r >= 0 && !p->left_out)
			r = b[i].absent ? -ENODATA : take_batch(t, h, p, &b[i]);
		if (r >= 0 && !p->left_out)
			continue;
		h->made.left_out++;
		/* What lies behind one that is not to be had can be the first of a journal. */
		p->left_out |= r != -ENODATA || p->number >= 0;
		if (r == -ENODATA)
			r = 0;
		if (r < 0 && !packed_tail_is_damage(r))
			return r;
	}
	packed_tail_park(p);
	return 0;
}

static int compare_batches(const void *a, const void *b)
{
	const struct hand_batch *x = a, *y = b;

	if (x->handle != y->handle)
		return x->handle > y->handle ? 1 : -1;
	return (x->batch_no > y->batch_no) - (x->batch_no < y->batch_no);
}

int batch_taker_take(struct batch_taker *t, struct segment_hand *h)
{
	int r = 0;

	if (h->n_awaited > 0)
		qsort(h->awaited, h->n_awaited, sizeof *h->awaited, compare_batches);
	for (size_t i = 0, n; r >= 0 && i < h->n_awaited; i += n) {
		const struct hand_batch *b = &h->awaited[i];

		for (n = 1; i + n < h->n_awaited && b[n].handle == b->handle;)
			n++;
		r = take_journal(t, h, b, n);
	}
	h->n_awaited = 0;
	h->awaited_entries = h->awaited_bytes = 0;
	return r;
}

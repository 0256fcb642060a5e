/* SPDX-License-Identifier: Apache-2.0 */

#include "forwarder/packed.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/frame.h"
#include "bulla/error.h"
#include "forwarder/wire.h"
#include "store/segment/batches.h"
#include "store/stage.h"

struct packed {
	struct segment_batches *batches;
	struct stage stage;
	struct buf message, frame;
	struct field *fields; /* owned, FIELDS_MAX */
};

int packed_new(struct packed **ret, const struct state *s)
{
	struct packed *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return -ENOMEM;
	p->fields = reallocarray(NULL, FIELDS_MAX, sizeof *p->fields);
	r = p->fields ? segment_batches_new(&p->batches, s) : -ENOMEM;
	if (r < 0)
		packed_free(p);
	else
		*ret = p;
	return r;
}

struct packed *packed_free(struct packed *p)
{
	if (!p)
		return NULL;
	segment_batches_free(p->batches);
	stage_done(&p->stage);
	buf_done(&p->message);
	buf_done(&p->frame);
	free(p->fields);
	free(p);
	return NULL;
}

/* Rows. */

static int put_rows(struct packed *p, uint64_t first_seq, struct buf *body)
{
	struct tail_rows head = { .first_seq = first_seq };
	int64_t size = stage_frame(&p->stage, &head, &p->frame);

	if (size < 0)
		return (int) size;
	wire_frame(body, TAIL_ROWS, p->frame.data + FRAME_HEADER_SIZE, (size_t) size);
	stage_clear(&p->stage);
	return 0;
}

static int put_entries(struct packed *p, struct segment_group *g, const struct group_batch *b,
		       struct buf *body)
{
	const struct segment_journal *j = &g->segment->journals[b->journal];
	uint64_t first_seq = b->first_seq;
	int r = 0;

	stage_clear(&p->stage);
	for (uint32_t i = 0; r >= 0 && i < b->entries; i++) {
		uint32_t row = b->first_row + i;
		struct entry e;

		r = group_entry(g, row, j, &p->message, p->fields, &e);
		if (r >= 0)
			r = stage_room(&p->stage, &e);
		if (r == -ENOBUFS && p->stage.n > 0) {
			r = put_rows(p, first_seq, body);
			first_seq = b->first_seq + i;
			if (r >= 0)
				r = stage_room(&p->stage, &e);
		}
		if (r >= 0)
			stage_add(&p->stage, &e, (uint32_t) g->context[row]);
	}
	return r < 0 ? r : put_rows(p, first_seq, body);
}

/* What was not sent before of contexts and seeds.  Those that only later rows need come early; a whole list has all then. */

static int put_contexts(struct segment_journal *j, uint32_t *sent, struct buf *body)
{
	int r = contexts_hash_all(&j->contexts);

	for (; r >= 0 && *sent < j->contexts.n; (*sent)++)
		wire_frame(body, TAIL_CONTEXT, j->contexts.at[*sent].leaf,
			   j->contexts.at[*sent].leaf_size);
	return r;
}

static void put_seeds(const struct segment_journal *j, uint32_t *sent, struct buf *body)
{
	for (; *sent < j->seeds.n; (*sent)++) {
		uint8_t record[TAIL_SEED_RECORD_SIZE];
		struct wr w = wr_of(record, sizeof record);

		tail_seed_encode(&j->seeds.at[*sent], &w);
		wire_frame(body, TAIL_SEED, record, w.len);
	}
}

int packed_root(struct packed *p, const struct batch *b, struct hash *ret)
{
	return segment_batches_root(p->batches, b, ret);
}

int packed_batch(struct packed *p, const struct batch *b, uint32_t *contexts, uint32_t *seeds,
		 struct buf *body)
{
	uint32_t number, before_contexts = *contexts, before_seeds = *seeds;
	size_t before = body->len;
	struct segment_journal *j;
	struct segment_group *g;
	struct batch found;
	int r;

	r = segment_batches_find(p->batches, &b->journal, b->batch_no, &g, &number);
	if (r >= 0)
		r = group_batch(g, number, &found);
	if (r < 0)
		return r;
	if (!hash_same(&found.root, &b->root) || found.entries != b->entries ||
	    found.first_seq != b->first_seq)
		return BULLA_ECORRUPT;
	j = &g->segment->journals[g->batches[number].journal];
	r = put_contexts(j, contexts, body);
	put_seeds(j, seeds, body);
	if (r >= 0)
		r = put_entries(p, g, &g->batches[number], body);
	if (r >= 0 && !body->bad)
		return 0;
	body->len = before;
	*contexts = before_contexts;
	*seeds = before_seeds;
	return r < 0 ? r : -ENOMEM;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"
#include "seal/history.h"
#include "seal/ledger.h"
#include "store/batchroot.h"
#include "store/segment/writer.h"
#include "store/tail_reader.h"

enum { OPEN_MAX = 256 };

/* A tail being read, as far as its batches have come.  Its file is closed between batches where there are many. */
struct reading {
	struct tail_reader tail;
	bool begun;
	int64_t number; /* in the segment; -1 before its first batch there */
};

struct build {
	const struct state *state;
	const struct segment_order *order;
	struct segment_made *made;
	struct history *history;
	struct segment_writer writer;
	struct reading **readings; /* owned, by handle */
	uint32_t cap, n_open;
	struct field *fields; /* owned, FIELDS_MAX */
	struct buf raw;
	struct batchroot root;
	struct id origin;
	int error;
};

/* Tails. */

static struct reading *reading_of(struct build *b, uint32_t handle)
{
	if (handle >= b->cap) {
		uint32_t cap = MAX_OF(2 * b->cap, handle + 16);
		struct reading **more = reallocarray(b->readings, cap, sizeof(struct reading *));

		if (!more)
			return NULL;
		memset(more + b->cap, 0, (cap - b->cap) * sizeof(struct reading *));
		b->readings = more;
		b->cap = cap;
	}
	if (!b->readings[handle]) {
		b->readings[handle] = calloc(1, sizeof **b->readings);
		if (b->readings[handle]) {
			b->readings[handle]->tail.fd = -1;
			b->readings[handle]->number = -1;
		}
	}
	return b->readings[handle];
}

/* Close the files that are open; each goes on from where it was. */
static void park_all(struct build *b)
{
	for (uint32_t i = 0; i < b->cap; i++) {
		struct reading *r = b->readings[i];
		uint64_t offset;

		if (!r || r->tail.fd < 0)
			continue;
		offset = r->tail.frames.offset;
		close_fd(&r->tail.fd);
		frame_reader_done(&r->tail.frames);
		r->tail.frames.offset = offset;
	}
	b->n_open = 0;
}

static int open_tail(struct build *b, struct reading *r, const struct ledger_journal *j)
{
	char name[TAIL_NAME_SIZE];
	int fd;

	if (r->tail.fd >= 0)
		return 0;
	if (b->n_open >= OPEN_MAX)
		park_all(b);
	tail_name(&j->id, name);
	if (!r->begun) {
		fd = tail_reader_open(&r->tail, b->state->journals, name);
		if (fd < 0)
			return fd;
		r->begun = true;
	} else {
		fd = io_open_regular(b->state->journals, name, O_RDONLY);
		if (fd < 0)
			return fd;
		r->tail.fd = fd;
		frame_reader_init(&r->tail.frames, fd, r->tail.frames.offset, TAIL_RECORD_MAX);
	}
	b->n_open++;
	return 0;
}

/* Batches. */

/* The segment is told of a journal when its first batch comes: by then its identity has been read. */
static int announce(struct build *b, struct reading *r, const struct ledger_journal *j,
		    const struct batch *batch)
{
	struct segment_source source = {
		.id = j->id,
		.boot = j->boot,
		.origin = b->origin,
		.next_batch = batch->batch_no,
		.next_seq = batch->first_seq,
		.contexts = &r->tail.contexts,
		.seeds = &r->tail.seeds,
	};

	if (r->number >= 0)
		return 0;
	if (!id_equal(&r->tail.header.journal, &j->id) || r->tail.contexts.n == 0 ||
	    !hash_same(&r->tail.contexts.at[0].hash, &j->identity))
		return BULLA_ETAMPERED;
	r->number = segment_writer_journal(&b->writer, &source);
	b->made->journals += r->number >= 0;
	return r->number < 0 ? (int) r->number : 0;
}

static int take_rows(struct build *b, struct reading *r, const struct tail_rows *rows, bool keep)
{
	struct row_state state = { 0 };
	uint32_t context;
	struct entry e;
	struct rd rd;
	int k;

	k = tail_rows_unpack(rows, &b->raw);
	if (k < 0)
		return k;
	rd = rd_of(b->raw.data, b->raw.len);
	while ((k = row_decode(&state, &rd, b->fields, &e, &context)) > 0) {
		if (context >= r->tail.contexts.n)
			return BULLA_ECORRUPT;
		e.context = r->tail.contexts.at[context].hash;
		k = batchroot_add(&b->root, &e);
		if (k >= 0 && keep)
			k = segment_writer_add(&b->writer, &e, context);
		if (k < 0)
			return k;
	}
	return k;
}

/* Read the rows of one batch.  A recovered batch has no record of its own that would have to be there. */
static int read_rows(struct build *b, struct reading *r, const struct ledger_journal *j,
		     const struct sealed_commit *c, uint32_t i, bool keep)
{
	const struct batch *batch = &c->batches[i];
	bool begun = false;

	while (batchroot_count(&b->root) < batch->entries || !begun) {
		struct tail_item item;
		const uint8_t *seed;
		int k = tail_reader_next(&r->tail, &item);

		if (k <= 0)
			return k < 0 ? k : BULLA_ETRUNCATED;
		if (item.type != TAIL_ROWS)
			continue;
		if (!begun) {
			seed = seeds_of(&r->tail.seeds, batch->batch_no);
			k = seed ? 0 : BULLA_ETAMPERED;
			if (k >= 0 && keep)
				k = announce(b, r, j, batch);
			if (k >= 0 && keep)
				k = segment_writer_batch(
					&b->writer, (uint32_t) r->number, c->commit.number,
					batch->recovered ? BATCH_RECOVERED : 0, batch->mono_offset);
			if (k < 0)
				return k;
			batchroot_begin(&b->root, seed, batch->batch_no, batch->recovered);
			begun = true;
		}
		k = take_rows(b, r, &item.rows, keep);
		if (k < 0)
			return k;
	}
	return 0;
}

static int take_batch(struct build *b, const struct sealed_commit *c, uint32_t i, bool keep)
{
	const struct ledger_journal *j = history_journal(b->history, c->handles[i]);
	const struct batch *batch = &c->batches[i];
	struct reading *r = reading_of(b, c->handles[i]);
	struct hash root;
	int k;

	if (!r)
		return -ENOMEM;
	k = open_tail(b, r, j);
	if (k >= 0)
		k = read_rows(b, r, j, c, i, keep);
	if (k < 0)
		return k <= BULLA_ETRUNCATED && k != BULLA_EVERSION ? BULLA_ETAMPERED : k;
	root = batchroot_get(&b->root);
	if (batchroot_count(&b->root) != batch->entries || !hash_same(&root, &batch->root))
		return BULLA_ETAMPERED;
	b->made->batches += keep;
	b->made->entries += keep ? batch->entries : 0;
	return 0;
}

static int take_commit(void *arg, const struct sealed_commit *c)
{
	struct build *b = arg;
	bool keep = c->commit.number >= b->order->first;

	if (c->commit.number >= b->order->end)
		return 0;
	if (c->commit.number == 0)
		memcpy(b->origin.b, c->leaf.b, ID_SIZE);
	for (uint32_t i = 0; b->error >= 0 && i < c->commit.n_batches; i++)
		b->error = take_batch(b, c, i, keep);
	if (b->error >= 0 && keep)
		b->error = segment_writer_end_commit(&b->writer);
	b->made->end = c->commit.number + 1;
	return b->error;
}

/* Building. */

static void done(struct build *b)
{
	park_all(b);
	for (uint32_t i = 0; i < b->cap; i++) {
		if (b->readings[i])
			tail_reader_close(&b->readings[i]->tail);
		free(b->readings[i]);
	}
	free(b->readings);
	free(b->fields);
	buf_done(&b->raw);
	batchroot_done(&b->root);
	history_free(b->history);
}

static int read_ledger(struct build *b)
{
	struct ledger_scan scan = { 0 };
	struct ledger ledger = { .fd = -1 };
	int r;

	r = ledger_open(&ledger, b->state->ledger, O_RDONLY, b->history, HISTORY_CHECK_ALL,
			take_commit, b, &scan);
	ledger_close(&ledger);
	return b->error < 0 ? b->error : r;
}

int segment_build(const struct state *s, const struct segment_order *order,
		  struct segment_made *ret)
{
	struct build b = { .state = s, .order = order, .made = ret };
	int64_t size = 0;
	int r;

	*ret = (struct segment_made){ .end = order->first };
	r = segment_writer_open(&b.writer, order->dirfd, order->name, order->level);
	if (r < 0)
		return r;
	b.history = history_new();
	b.fields = reallocarray(NULL, FIELDS_MAX, sizeof *b.fields);
	r = b.history && b.fields ? read_ledger(&b) : -ENOMEM;
	if (r >= 0)
		size = segment_writer_finish(&b.writer);
	segment_writer_close(&b.writer);
	done(&b);
	if (r >= 0 && size < 0)
		r = (int) size;
	if (r < 0)
		unlinkat(order->dirfd, order->name, 0);
	ret->size = r < 0 ? 0 : (uint64_t) size;
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/room.h"
#include "bulla/error.h"
#include "seal/history.h"
#include "seal/ledger.h"
#include "store/batchroot.h"
#include "store/segment/check.h"
#include "store/segment/writer.h"
#include "store/tail_reader.h"

enum { OPEN_MAX = 256 };

/* A tail being read, as far as its batches have come.  Its file is closed between batches where there are many. */
struct reading {
	struct tail_reader tail;
	bool begun;
	bool left_out;	/* of the segment at hand */
	int64_t number; /* in the segment at hand; -1 before its first batch there */
};

struct segment_builder {
	const struct state *state;
	struct segment_builder_options options;
	struct history *history;
	struct ledger ledger;
	struct ledger_scan scan;
	struct reading **readings; /* owned, by handle */
	uint32_t cap, n_open;
	struct field *fields; /* owned, FIELDS_MAX */
	struct buf raw;
	struct batchroot root;
	struct id origin;
	int error;
	/* The segment at hand. */
	struct segment_writer writer; /* fd -1 before its first batch */
	struct segment_made made;
	struct sealed_batch *sealed; /* owned: its batches */
	size_t sealed_cap;
	uint64_t since_ns; /* time of its first commit with a batch */
};

/* Tails. */

static struct reading *reading_of(struct segment_builder *b, uint32_t handle)
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

static void reading_free(struct segment_builder *b, uint32_t handle)
{
	struct reading *r = b->readings[handle];

	if (r && r->tail.fd >= 0)
		b->n_open--;
	if (r && r->begun)
		tail_reader_close(&r->tail);
	free(r);
	b->readings[handle] = NULL;
}

/* Close the files that are open; each goes on from where it was. */
static void park_all(struct segment_builder *b)
{
	for (uint32_t i = 0; i < b->cap; i++)
		if (b->readings[i] && b->readings[i]->tail.fd >= 0)
			tail_reader_park(&b->readings[i]->tail);
	b->n_open = 0;
}

static int open_tail(struct segment_builder *b, struct reading *r, const struct ledger_journal *j)
{
	char name[TAIL_NAME_SIZE];
	int k;

	if (r->tail.fd >= 0)
		return 0;
	if (b->n_open >= OPEN_MAX)
		park_all(b);
	tail_name(&j->id, name);
	k = r->begun ? tail_reader_unpark(&r->tail, b->state->journals, name)
		     : tail_reader_open(&r->tail, b->state->journals, name);
	if (k < 0)
		return k;
	r->begun = true;
	b->n_open++;
	return 0;
}

/* The segment at hand. */

static int begin_segment(struct segment_builder *b, uint64_t time_ns)
{
	int64_t n;
	int r;

	if (b->writer.fd >= 0)
		return 0;
	/* One that was not finished is of no use. */
	if (unlinkat(b->options.dirfd, SEGMENT_UNFINISHED, 0) < 0 && errno != ENOENT)
		return -errno;
	r = segment_writer_open(&b->writer, b->options.dirfd, SEGMENT_UNFINISHED, b->options.level);
	if (r < 0)
		return r;
	n = segment_writer_origin(&b->writer, &b->origin, b->made.first);
	b->since_ns = time_ns;
	return n < 0 ? (int) n : 0;
}

/* What is known of tails goes on, but for those that are done, or whose damage stands in the way. */
static void next_segment(struct segment_builder *b)
{
	segment_writer_close(&b->writer);
	b->made = (struct segment_made){ .first = b->made.end, .end = b->made.end };
	for (uint32_t i = 0; i < b->cap; i++) {
		struct reading *r = b->readings[i];

		if (r && (r->left_out || history_journal(b->history, i)->closed))
			reading_free(b, i);
		else if (r)
			r->number = -1;
	}
}

static int finish_segment(struct segment_builder *b)
{
	struct segment_made *m = &b->made;
	int64_t size;
	int r;

	segment_writer_covers(&b->writer, 0, m->end);
	size = segment_writer_finish(&b->writer);
	if (size < 0)
		return (int) size;
	m->size = (uint64_t) size;
	r = segment_check(b->options.dirfd, SEGMENT_UNFINISHED, b->sealed, m->batches);
	if (r < 0)
		return r;
	segment_name(m->first, m->end, m->name);
	if (renameat(b->options.dirfd, SEGMENT_UNFINISHED, b->options.dirfd, m->name) < 0)
		return -errno;
	r = io_sync_dir(b->options.dirfd);
	if (r >= 0 && b->options.made)
		r = b->options.made(b->options.arg, m);
	next_segment(b);
	return r;
}

int segment_builder_finish(struct segment_builder *b)
{
	return b->made.batches > 0 ? finish_segment(b) : 0;
}

/* Batches. */

/* The segment is told of a journal when its first batch comes: by then its identity has been read. */
static int announce(struct segment_builder *b, struct reading *r, const struct ledger_journal *j,
		    const struct batch *batch)
{
	struct segment_source source = {
		.id = j->id,
		.boot = j->boot,
		.first_batch = batch->batch_no,
		.first_seq = batch->first_seq,
		.contexts = &r->tail.contexts,
		.seeds = &r->tail.seeds,
	};

	if (r->number >= 0)
		return 0;
	if (!id_equal(&r->tail.header.journal, &j->id) || r->tail.contexts.n == 0 ||
	    !hash_same(&r->tail.contexts.at[0].hash, &j->identity))
		return BULLA_ETAMPERED;
	r->number = segment_writer_journal(&b->writer, &source);
	b->made.journals += r->number >= 0;
	return r->number < 0 ? (int) r->number : 0;
}

static int begin_batch(struct segment_builder *b, struct reading *r, const struct sealed_commit *c,
		       uint32_t i)
{
	const struct batch *batch = &c->batches[i];
	const uint8_t *seed = seeds_of(&r->tail.seeds, batch->batch_no);
	int k;

	if (!seed)
		return BULLA_ETAMPERED;
	k = announce(b, r, history_journal(b->history, c->handles[i]), batch);
	if (k < 0)
		return k;
	batchroot_begin(&b->root, seed, batch->batch_no, batch->recovered);
	return segment_writer_batch(&b->writer, (uint32_t) r->number, c->commit.number,
				    batch->recovered ? BATCH_RECOVERED : 0, batch->mono_offset);
}

static int take_rows(struct segment_builder *b, struct reading *r, const struct tail_rows *rows)
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
		if (k >= 0)
			k = segment_writer_add(&b->writer, &e, context);
		if (k < 0)
			return k;
	}
	return k;
}

/* The next frame of rows that do not come before `first_seq`: what is before is in other segments, or damaged. */
static int next_rows(struct reading *r, uint64_t first_seq, struct tail_rows *ret)
{
	struct tail_item item;
	int k;

	for (;;) {
		k = tail_reader_next(&r->tail, &item);
		if (k == 0)
			return BULLA_ETRUNCATED;
		if (k < 0 && k > BULLA_ETRUNCATED)
			return k;
		if (k < 0 && tail_reader_resync(&r->tail) <= 0)
			return BULLA_ETAMPERED;
		if (k < 0)
			continue;
		if (item.type != TAIL_ROWS || item.rows.first_seq < first_seq)
			continue;
		*ret = item.rows;
		return item.rows.first_seq == first_seq ? 0 : BULLA_ETAMPERED;
	}
}

/* `*ret_begun` tells whether the writer has a batch at hand. */
static int read_rows(struct segment_builder *b, struct reading *r, const struct sealed_commit *c,
		     uint32_t i, bool *ret_begun)
{
	const struct batch *batch = &c->batches[i];
	uint64_t n = 0;

	while (n < batch->entries) {
		struct tail_rows rows;
		int k = next_rows(r, batch->first_seq + n, &rows);

		if (k >= 0 && n == 0) {
			k = begin_batch(b, r, c, i);
			*ret_begun = k >= 0;
		}
		if (k >= 0 && rows.count > batch->entries - n)
			k = BULLA_ETAMPERED;
		if (k >= 0)
			k = take_rows(b, r, &rows);
		if (k < 0)
			return k;
		n += rows.count;
	}
	return 0;
}

static int check_root(struct segment_builder *b, const struct batch *batch)
{
	struct hash root = batchroot_get(&b->root);

	return batchroot_count(&b->root) == batch->entries && hash_same(&root, &batch->root)
		       ? 0
		       : BULLA_ETAMPERED;
}

/* What the segment has to give back. */
static int remember(struct segment_builder *b, const struct reading *r, const struct batch *batch)
{
	if (!room_for(&b->sealed, b->made.batches, &b->sealed_cap, sizeof *b->sealed))
		return -ENOMEM;
	b->sealed[b->made.batches++] = (struct sealed_batch){
		(uint32_t) r->number,
		batch->batch_no,
		batch_leaf_hash(batch),
	};
	b->made.entries += batch->entries;
	return 0;
}

/* Whether an error is the tail's, and no reason to stop. */
static bool is_damage(int r)
{
	return (r <= BULLA_ETRUNCATED && r != BULLA_ELIMIT) || r == -EIO || r == -ENOENT ||
	       r == -ELOOP || r == -EISDIR || r == -ENXIO;
}

static int take_batch(struct segment_builder *b, const struct sealed_commit *c, uint32_t i)
{
	const struct ledger_journal *j = history_journal(b->history, c->handles[i]);
	struct reading *r = reading_of(b, c->handles[i]);
	bool begun = false;
	int k;

	if (!r)
		return -ENOMEM;
	if (r->left_out) {
		b->made.left_out++;
		return 0;
	}
	k = begin_segment(b, c->commit.time_ns);
	if (k < 0)
		return k;
	k = open_tail(b, r, j);
	if (k >= 0)
		k = read_rows(b, r, c, i, &begun);
	if (k >= 0)
		k = check_root(b, &c->batches[i]);
	if (k >= 0)
		return remember(b, r, &c->batches[i]);
	if (begun)
		segment_writer_drop_batch(&b->writer);
	r->left_out = true;
	b->made.left_out++;
	return is_damage(k) ? 0 : k;
}

static int take_commit(void *arg, const struct sealed_commit *c)
{
	struct segment_builder *b = arg;

	if (c->commit.number == 0)
		memcpy(b->origin.b, c->leaf.b, ID_SIZE);
	if (c->commit.number < b->options.first)
		return 0;
	for (uint32_t i = 0; b->error >= 0 && i < c->commit.n_batches; i++)
		b->error = take_batch(b, c, i);
	b->made.end = c->commit.number + 1;
	if (b->error >= 0 && b->made.batches > 0) {
		if (c->commit.n_batches > 0)
			segment_writer_when(&b->writer, 0, c->commit.time_ns);
		b->error = segment_writer_end_commit(&b->writer);
	}
	if (b->error >= 0 && b->options.entries_max > 0 &&
	    b->made.entries >= b->options.entries_max)
		b->error = finish_segment(b);
	return b->error;
}

/* Building. */

int segment_builder_new(struct segment_builder **ret, const struct state *s,
			const struct segment_builder_options *o)
{
	_cleanup_(segment_builder_freep) struct segment_builder *b = calloc(1, sizeof *b);

	if (!b)
		return -ENOMEM;
	b->state = s;
	b->options = *o;
	b->ledger.fd = b->writer.fd = -1;
	b->made.first = b->made.end = o->first;
	b->history = history_new();
	b->fields = reallocarray(NULL, FIELDS_MAX, sizeof *b->fields);
	if (!b->history || !b->fields)
		return -ENOMEM;
	*ret = TAKE_PTR(b);
	return 0;
}

struct segment_builder *segment_builder_free(struct segment_builder *b)
{
	if (!b)
		return NULL;
	for (uint32_t i = 0; i < b->cap; i++)
		reading_free(b, i);
	if (b->writer.fd >= 0) {
		segment_writer_close(&b->writer);
		unlinkat(b->options.dirfd, SEGMENT_UNFINISHED, 0);
	}
	free(b->readings);
	free(b->sealed);
	free(b->fields);
	buf_done(&b->raw);
	batchroot_done(&b->root);
	ledger_close(&b->ledger);
	history_free(b->history);
	free(b);
	return NULL;
}

int segment_builder_read(struct segment_builder *b)
{
	int r;

	if (b->ledger.fd < 0) {
		r = ledger_begin(&b->ledger, b->state->ledger, O_RDONLY);
		if (r < 0)
			return r == -ENOENT ? 0 : r;
	}
	r = ledger_catch_up(&b->ledger, b->history, HISTORY_CHECK_ALL, take_commit, b, &b->scan);
	return b->error < 0 ? b->error : r;
}

uint64_t segment_builder_pending(const struct segment_builder *b, uint64_t *ret_since_ns)
{
	*ret_since_ns = b->since_ns;
	return b->made.entries;
}

const struct history *segment_builder_history(const struct segment_builder *b)
{
	return b->history;
}

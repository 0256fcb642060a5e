/* SPDX-License-Identifier: Apache-2.0 */

#include "aggregator/compact.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/framefile.h"
#include "base/room.h"
#include "bulla/error.h"
#include "forwarder/wire.h"
#include "store/batchroot.h"
#include "store/segment/check.h"
#include "store/segment/writer.h"

enum { WALK_MAX = 256 << 10 }; /* so far frames are read to come to another one */

struct compaction {
	struct compact_task *task;
	struct segment_writer writer;
	struct frame_reader object;
	struct sealed_batch *sealed; /* owned: what the segment has to give back */
	size_t sealed_cap;
	struct field *fields; /* owned, FIELDS_MAX */
	struct buf raw;
	struct batchroot root;
	struct compacted made;
};

static void compaction_done(struct compaction *c)
{
	segment_writer_close(&c->writer);
	frame_reader_done(&c->object);
	free(c->sealed);
	free(c->fields);
	buf_done(&c->raw);
	batchroot_done(&c->root);
}

/* Whether an error is the object's, and no reason to stop. */
static bool is_damage(int r)
{
	return (r <= BULLA_ETRUNCATED && r != BULLA_ELIMIT) || r == -EIO;
}

/* A limit that the object exceeds is damage; one of the segment is not. */
static int of_object(int r)
{
	return r == BULLA_ELIMIT ? BULLA_ECORRUPT : r;
}

/* Rows. */

/* Come to a frame: by reading on where it is near, for what lies between is in the buffer. */
static int go_to(struct compaction *c, uint64_t offset)
{
	struct frame f;
	int r = 1;

	if (offset < c->object.offset || offset - c->object.offset > WALK_MAX)
		frame_reader_seek(&c->object, offset);
	while (r > 0 && c->object.offset < offset)
		r = frame_reader_next(&c->object, &f, NULL);
	/* What lies between does not matter. */
	if (c->object.offset != offset)
		frame_reader_seek(&c->object, offset);
	return r == -ENOMEM ? r : 0;
}

/* The next rows frame of a batch; contexts and seeds may come between. */
static int next_rows(struct compaction *c, uint64_t first_seq, struct tail_rows *ret)
{
	struct frame f;
	int r;

	do
		r = frame_reader_next(&c->object, &f, NULL);
	while (r > 0 && (f.type == TAIL_CONTEXT || f.type == TAIL_SEED));
	if (r <= 0)
		return r < 0 ? of_object(r) : BULLA_ETRUNCATED;
	if (f.type != TAIL_ROWS)
		return BULLA_ECORRUPT;
	r = of_object(tail_rows_decode(f.payload, f.size, ret));
	return r < 0 ? r : ret->first_seq == first_seq ? 0 : BULLA_ECORRUPT;
}

static int take_rows(struct compaction *c, const struct compact_journal *j,
		     const struct tail_rows *rows)
{
	struct row_state state = { 0 };
	uint32_t context, n = 0;
	struct entry e;
	struct rd rd;
	int r = of_object(tail_rows_unpack(rows, &c->raw));

	if (r < 0)
		return r;
	rd = rd_of(c->raw.data, c->raw.len);
	while ((r = row_decode(&state, &rd, c->fields, &e, &context)) > 0) {
		if (context >= j->contexts->n)
			return BULLA_ECORRUPT;
		e.context = j->contexts->at[context].hash;
		r = batchroot_add(&c->root, &e);
		if (r >= 0)
			r = segment_writer_add(&c->writer, &e, context);
		if (r < 0)
			return r;
		n++;
	}
	return r < 0 ? of_object(r) : n == rows->count ? 0 : BULLA_ECORRUPT;
}

/* Batches. */

/* A journal is announced with the first of its batches, and anew behind one that was left out, or never came. */
static int announce(struct compaction *c, struct compact_journal *j, const struct compact_batch *b)
{
	struct segment_source source = {
		.id = j->id,
		.boot = j->boot,
		.origin = j->origin,
		.first_batch = b->batch_no,
		.first_seq = b->first_seq,
		.contexts = j->contexts,
		.seeds = &j->seeds,
	};

	if (j->number >= 0 && c->writer.sources[j->number].next_batch == b->batch_no &&
	    c->writer.sources[j->number].next_seq == b->first_seq)
		return 0;
	j->number = segment_writer_journal(&c->writer, &source);
	return j->number < 0 ? (int) j->number : 0;
}

static int read_rows(struct compaction *c, const struct compact_journal *j,
		     const struct compact_batch *b)
{
	uint32_t n = 0;

	while (n < b->entries) {
		struct tail_rows rows;
		int r = next_rows(c, b->first_seq + n, &rows);

		if (r >= 0 && rows.count > b->entries - n)
			r = BULLA_ECORRUPT;
		if (r >= 0)
			r = take_rows(c, j, &rows);
		if (r < 0)
			return r;
		n += rows.count;
	}
	return 0;
}

static int check_leaf(struct compaction *c, const struct compact_journal *j,
		      const struct compact_batch *b)
{
	struct batch batch = {
		.journal = j->id,
		.batch_no = b->batch_no,
		.first_seq = b->first_seq,
		.entries = b->entries,
		.bytes = c->root.bytes,
		.time_min = c->root.time_min,
		.time_max = c->root.time_max,
		.boot = j->boot,
		.mono_offset = b->mono_offset,
		.recovered = b->recovered,
		.root = batchroot_get(&c->root),
	};
	struct hash leaf = batch_leaf_hash(&batch);

	return hash_same(&leaf, &b->leaf) ? 0 : BULLA_ETAMPERED;
}

static int remember(struct compaction *c, const struct compact_journal *j,
		    const struct compact_batch *b)
{
	if (!room_for(&c->sealed, c->made.batches, &c->sealed_cap, sizeof *c->sealed))
		return -ENOMEM;
	c->sealed[c->made.batches++] =
		(struct sealed_batch){ (uint32_t) j->number, b->batch_no, b->leaf };
	c->made.entries += b->entries;
	segment_writer_when(&c->writer, j->origin, b->commit_time_ns);
	return 0;
}

/* `*ret_begun` tells whether the writer has the batch at hand. */
static int write_batch(struct compaction *c, const struct compact_batch *b, bool *ret_begun)
{
	struct compact_journal *j = &c->task->journals[b->journal];
	const uint8_t *seed = seeds_of(&j->seeds, b->batch_no);
	int r = go_to(c, b->offset);

	if (r >= 0 && !seed)
		r = BULLA_ETAMPERED;
	if (r >= 0)
		r = announce(c, j, b);
	if (r >= 0)
		r = segment_writer_batch(&c->writer, (uint32_t) j->number, b->commit,
					 b->recovered ? BATCH_RECOVERED : 0, b->mono_offset);
	*ret_begun = r >= 0;
	if (r < 0)
		return r;
	batchroot_begin(&c->root, seed, b->batch_no, b->recovered);
	r = read_rows(c, j, b);
	if (r >= 0)
		r = check_leaf(c, j, b);
	return r < 0 ? r : remember(c, j, b);
}

static int take_batch(struct compaction *c, struct compact_batch *b)
{
	bool begun;
	int r = write_batch(c, b, &begun);

	/* A group is whole batches; of several origins it cannot be whole commits. */
	if (r >= 0)
		return segment_writer_end_commit(&c->writer);
	if (!is_damage(r))
		return r;
	if (begun)
		segment_writer_drop_batch(&c->writer);
	b->left_out = true;
	c->made.left_out++;
	return 0;
}

/* The segment. */

static int begin(struct compaction *c, int dirfd, const char *name)
{
	struct compact_task *t = c->task;
	int64_t r;

	c->fields = reallocarray(NULL, FIELDS_MAX, sizeof *c->fields);
	if (!c->fields)
		return -ENOMEM;
	frame_reader_init(&c->object, t->object, 0, WIRE_RECORD_MAX);
	r = segment_writer_open(&c->writer, dirfd, name, t->level);
	if (r >= 0)
		segment_writer_tenant(&c->writer, &t->tenant);
	return (int) r;
}

/* Of which commits an origin has something here; what is between them and not here is elsewhere. */
static int announce_origins(struct compaction *c)
{
	const struct compact_task *t = c->task;

	for (uint32_t i = 0; i < t->n_origins; i++) {
		uint64_t first = UINT64_MAX, end = 0;
		int64_t r;

		for (size_t k = 0; k < t->n_batches; k++) {
			if (t->journals[t->batches[k].journal].origin != i)
				continue;
			first = MIN_OF(first, t->batches[k].commit);
			end = MAX_OF(end, t->batches[k].commit + 1);
		}
		r = segment_writer_origin(&c->writer, &t->origins[i], MIN_OF(first, end));
		if (r < 0)
			return (int) r;
		segment_writer_covers(&c->writer, i, end);
	}
	return 0;
}

static int write_all(struct compaction *c)
{
	struct compact_task *t = c->task;
	int64_t size;
	int r = announce_origins(c);

	for (size_t i = 0; r >= 0 && i < t->n_batches; i++)
		r = t->stop && *t->stop ? -EINTR : take_batch(c, &t->batches[i]);
	if (r < 0 || c->made.batches == 0)
		return r < 0 ? r : 1;
	size = segment_writer_finish(&c->writer, c->sealed, c->made.batches);
	if (size < 0)
		return (int) size;
	c->made.size = (uint64_t) size;
	return 0;
}

int compact(struct compact_task *t, int dirfd, const char *name, struct compacted *ret)
{
	_cleanup_(compaction_done) struct compaction c = { .task = t, .writer.fd = -1 };
	int r;

	for (size_t i = 0; i < t->n_batches; i++) {
		t->journals[t->batches[i].journal].number = -1;
		t->batches[i].left_out = false;
	}
	r = begin(&c, dirfd, name);
	if (r < 0)
		return r;
	r = write_all(&c);
	if (r != 0)
		unlinkat(dirfd, name, 0);
	*ret = c.made;
	return r;
}

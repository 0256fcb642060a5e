/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Going on with a tail whose writer was killed.
 *
 * The file is read from the front: what the sealer has is only counted, what lies behind is hashed again, as the writer
 * would have done it.  So the batch that was cut and not sealed, and the one that was filling, stand again as they were.
 *
 *	header ... sealed rows | rows  BATCH (cut) | rows (filling) | torn
 *	                       ^ entries                            ^ cut off
 */

#include "store/tail_writer-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"

static int replay_rows(struct tail_writer *t, const struct tail_rows *rows)
{
	_uninitialized_ struct field fields[FIELDS_MAX];
	struct row_state state = { 0 };
	struct entry e;
	uint32_t context, n = 0;
	struct rd rd;
	int r;

	if (rows->first_seq != t->next_seq)
		return BULLA_ECORRUPT;
	r = tail_rows_unpack(rows, &t->stage.rows);
	if (r < 0)
		return r;
	rd = rd_of(t->stage.rows.data, t->stage.rows.len);
	while ((r = row_decode(&state, &rd, fields, &e, &context)) > 0) {
		if (context >= t->contexts.n)
			return BULLA_ECORRUPT;
		e.context = t->contexts.at[context].hash;
		r = batchroot_add(&t->open, &e);
		if (r < 0)
			return r;
		n++;
	}
	t->next_seq += n;
	return r < 0 ? r : n == rows->count ? 0 : BULLA_ECORRUPT;
}

static int replay_batch(struct tail_writer *t, const struct tail_batch *b)
{
	if (b->batch_no < t->batch_no)
		return 0;
	if (b->batch_no > t->batch_no || t->cut_pending || b->entries != batchroot_count(&t->open))
		return BULLA_ECORRUPT;
	t->cut = tail_writer_describe(t, b->mono_offset);
	if (!hash_same(&t->cut.root, &b->root))
		return BULLA_ECORRUPT;
	t->cut_pending = true;
	t->batch_no++;
	/* The next one begins with its first rows: by then its seed has been read. */
	t->open.tree.size = 0;
	return 0;
}

static int replay_item(struct tail_writer *t, const struct tail_item *item, uint64_t entries)
{
	const struct tail_rows *rows = &item->rows;

	if (item->type == TAIL_BATCH)
		return replay_batch(t, &item->batch);
	if (item->type == TAIL_HOLE) {
		/* What was packed is sealed. */
		if (item->hole.next_seq < t->next_seq || item->hole.next_seq > entries)
			return BULLA_ECORRUPT;
		t->next_seq = item->hole.next_seq;
		return 0;
	}
	if (rows->first_seq != t->next_seq)
		return BULLA_ECORRUPT;
	t->n_channels = rows->n_channels;
	memcpy(t->channel, rows->channel, sizeof t->channel);
	if (rows->first_seq + rows->count <= entries) {
		t->next_seq += rows->count;
		return 0;
	}
	/* A batch is a whole number of frames. */
	if (rows->first_seq < entries)
		return BULLA_ECORRUPT;
	if (batchroot_count(&t->open) == 0) {
		if (!seeds_of(&t->seeds, t->batch_no))
			return BULLA_ECORRUPT;
		tail_writer_begin_batch(t);
	}
	return replay_rows(t, rows);
}

static int replay(struct tail_writer *t, struct tail_reader *reader, uint64_t entries)
{
	uint64_t batches = t->batch_no;
	struct tail_item item;
	int r;

	while ((r = tail_reader_next(reader, &item)) > 0) {
		/* What lies before was synced when its last batch was cut, contexts and seeds as well. */
		if (item.type == TAIL_HOLE ||
		    (item.type == TAIL_BATCH && item.batch.batch_no < batches))
			t->durable = reader->frames.offset;
		/* The reader owns them while it reads; they are ours between its steps. */
		t->contexts = reader->contexts;
		t->seeds = reader->seeds;
		r = replay_item(t, &item, entries);
		if (r < 0)
			return r;
	}
	/* A torn frame is the end.  One that is whole and unlawful is not to be cut off in silence. */
	return reader->refused || r > BULLA_ETRUNCATED ? r : 0;
}

/* Open the file for writing at its end, and leave nothing behind that. */
static int open_end(struct tail_writer *t, int dirfd, const char *name)
{
	struct stat st;
	int r;

	t->fd = io_open_regular(dirfd, name, O_RDWR);
	if (t->fd < 0)
		return t->fd;
	r = io_is_blank(t->fd, t->end);
	if (r < 0)
		return r;
	if (fstat(t->fd, &st) < 0)
		return -errno;
	/* What lies behind the last whole frame would follow a shorter one that takes its place. */
	if (r == 0 && ftruncate(t->fd, (off_t) t->end) < 0)
		return -errno;
	/* The space itself is not given back, for who knows who takes it on a full disk. */
	if (r == 0 && io_preallocate(t->fd, (uint64_t) st.st_size) < 0)
		st.st_size = (off_t) t->end;
	t->allocated = MAX_OF((uint64_t) st.st_size, t->end);
	return 0;
}

/* Nothing but what tail_create() has made durable. */
static bool is_fresh(const struct tail_writer *t)
{
	return t->next_seq == t->header.first_seq && t->contexts.n == 1 && t->seeds.n == 1;
}

int tail_writer_open(struct tail_writer *t, int dirfd, const struct id *journal, uint64_t batches,
		     uint64_t entries)
{
	_cleanup_(tail_reader_close) struct tail_reader reader = { .fd = -1 };
	char name[TAIL_NAME_SIZE];
	int r;

	*t = (struct tail_writer){ .fd = -1, .batch_no = batches };
	tail_name(journal, name);
	r = tail_reader_open(&reader, dirfd, name);
	if (r < 0)
		return r;
	r = tail_reader_lock(&reader);
	if (r < 0)
		return r;
	t->header = reader.header;
	t->next_seq = reader.header.first_seq;
	r = id_equal(&t->header.journal, journal) ? replay(t, &reader, entries) : BULLA_ECORRUPT;
	t->contexts = reader.contexts;
	t->seeds = reader.seeds;
	reader.contexts = (struct contexts){ 0 };
	reader.seeds = (struct seeds){ 0 };
	if (r >= 0 &&
	    (t->next_seq < entries || t->contexts.n == 0 || !seeds_of(&t->seeds, t->batch_no)))
		r = BULLA_ECORRUPT;
	t->end = reader.frames.offset;
	if (r >= 0)
		r = open_end(t, dirfd, name);
	if (r >= 0 && batchroot_count(&t->open) == 0) {
		r = tail_writer_ensure_seed(t, t->batch_no);
		if (r >= 0)
			tail_writer_begin_batch(t);
	}
	/*
	 * What the last writer left may never have been synced, or in vain; none of it is to be sealed, nor anything that needs it,
	 * before it is.
	 */
	if (r >= 0 && t->durable < t->end && !is_fresh(t)) {
		t->suspect = true;
		r = tail_writer_make_durable(t);
	}
	buf_clear(&t->stage.rows);
	if (r < 0)
		tail_writer_close(t);
	else
		t->durable = t->end;
	return r;
}

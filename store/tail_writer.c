/* SPDX-License-Identifier: Apache-2.0 */

#include "store/tail_writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"

/* Space ahead of the end grows with the file, so that a quiet container costs little and a busy one few calls. */
static int allocate(struct tail_writer *t, size_t about_to_write)
{
	uint64_t need = t->end + about_to_write, step = t->end / 4;
	int r;

	if (need <= t->allocated)
		return 0;
	step = MAX_OF(step, (uint64_t) TAIL_ALLOCATE_STEP_MIN);
	step = ALIGN_UP(MIN_OF(step, (uint64_t) TAIL_ALLOCATE_STEP_MAX), (uint64_t) 4096);
	r = io_preallocate(t->fd, ALIGN_UP(need, (uint64_t) 4096) + step);
	if (r >= 0)
		t->allocated = ALIGN_UP(need, (uint64_t) 4096) + step;
	return r;
}

static int append(struct tail_writer *t, uint8_t *frame, enum tail_record type, size_t size)
{
	size_t space = frame_finish(frame, type, (uint32_t) size);
	int r;

	r = allocate(t, space);
	if (r >= 0)
		r = io_pwrite(t->fd, frame, space, t->end);
	if (r >= 0)
		t->end += space;
	return r;
}

static int append_record(struct tail_writer *t, enum tail_record type, const void *record, size_t n)
{
	uint8_t *frame;

	buf_clear(&t->frame);
	frame = buf_room(&t->frame, frame_space(n));
	if (!frame)
		return -ENOMEM;
	memcpy(frame + FRAME_HEADER_SIZE, record, n);
	return append(t, frame, type, n);
}

static int append_seed(struct tail_writer *t, const uint8_t seed[SEED_SIZE])
{
	struct tail_seed s = { .first_batch = t->batch_no };
	uint8_t record[TAIL_SEED_RECORD_SIZE];
	struct wr w = wr_of(record, sizeof record);
	int r;

	memcpy(s.seed, seed, SEED_SIZE);
	tail_seed_encode(&s, &w);
	r = append_record(t, TAIL_SEED, record, w.len);
	return r < 0 ? r : seeds_add(&t->seeds, &s);
}

/* Begin to fill batch t->batch_no; every 256 batches that takes a fresh seed. */
static int begin_batch(struct tail_writer *t)
{
	const struct tail_seed *last = &t->seeds.at[t->seeds.n - 1];

	assert(t->seeds.n > 0);
	if (t->batch_no - last->first_batch >= SEED_BATCHES) {
		uint8_t seed[SEED_SIZE];
		int r;

		randombytes_buf(seed, sizeof seed);
		r = append_seed(t, seed);
		if (r < 0)
			return r;
	}
	batchroot_begin(&t->open, seeds_of(&t->seeds, t->batch_no), t->batch_no, false);
	return 0;
}

int tail_create(int dirfd, const struct id *journal, const struct id *boot,
		const uint8_t *identity_leaf, size_t identity_size, const uint8_t seed[SEED_SIZE])
{
	_cleanup_(tail_writer_close) struct tail_writer t = {
		.fd = -1,
		.header = { .journal = *journal, .boot = *boot },
	};
	uint8_t record[TAIL_HEADER_SIZE];
	struct wr w = wr_of(record, sizeof record);
	char name[TAIL_NAME_SIZE];
	int r;

	tail_name(journal, name);
	t.fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (t.fd < 0)
		return -errno;
	tail_header_encode(&t.header, &w);
	assert(!w.bad && w.len == sizeof record);
	r = append_record(&t, TAIL_HEADER, record, w.len);
	if (r >= 0)
		r = append_record(&t, TAIL_CONTEXT, identity_leaf, identity_size);
	if (r >= 0)
		r = append_seed(&t, seed);
	if (r >= 0)
		r = io_sync(t.fd);
	if (r >= 0)
		r = io_sync_dir(dirfd);
	if (r < 0)
		unlinkat(dirfd, name, 0);
	return r;
}

void tail_writer_close(struct tail_writer *t)
{
	close_fd(&t->fd);
	contexts_done(&t->contexts);
	seeds_done(&t->seeds);
	batchroot_done(&t->open);
	buf_done(&t->rows);
	buf_done(&t->frame);
	free(t->lz4_state);
	t->lz4_state = NULL;
}

/* Going on after a restart. */

static int replay_rows(struct tail_writer *t, const struct tail_rows *rows)
{
	struct field fields[FIELDS_MAX];
	struct row_state state = { 0 };
	struct entry e;
	uint32_t context, n = 0;
	struct rd rd;
	int r;

	if (rows->first_seq != t->next_seq)
		return BULLA_ECORRUPT;
	r = tail_rows_unpack(rows, &t->rows);
	if (r < 0)
		return r;
	rd = rd_of(t->rows.data, t->rows.len);
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

static struct batch describe_open(struct tail_writer *t, int64_t mono_offset)
{
	return (struct batch){
		.journal = t->header.journal,
		.batch_no = t->batch_no,
		.first_seq = t->next_seq - batchroot_count(&t->open),
		.entries = batchroot_count(&t->open),
		.bytes = t->open.bytes,
		.time_min = t->open.time_min,
		.time_max = t->open.time_max,
		.boot = t->header.boot,
		.mono_offset = mono_offset,
		.root = batchroot_get(&t->open),
	};
}

static int replay_batch(struct tail_writer *t, const struct tail_batch *b)
{
	if (b->batch_no < t->batch_no)
		return 0;
	if (b->batch_no > t->batch_no || t->cut_pending || b->entries != batchroot_count(&t->open))
		return BULLA_ECORRUPT;
	t->cut = describe_open(t, b->mono_offset);
	if (!hash_same(&t->cut.root, &b->root))
		return BULLA_ECORRUPT;
	t->cut_pending = true;
	t->batch_no++;
	batchroot_begin(&t->open, seeds_of(&t->seeds, t->batch_no), t->batch_no, false);
	return 0;
}

static int replay(struct tail_writer *t, struct tail_reader *reader, uint64_t entries)
{
	bool begun = false;
	struct tail_item item;
	int r;

	while ((r = tail_reader_next(reader, &item)) > 0) {
		/* The reader owns them while it reads; they are ours between its steps. */
		t->contexts = reader->contexts;
		t->seeds = reader->seeds;
		if (item.type == TAIL_ROWS) {
			t->n_channels = item.rows.n_channels;
			memcpy(t->channel, item.rows.channel, sizeof t->channel);
			if (item.rows.first_seq + item.rows.count <= entries) {
				t->next_seq = item.rows.first_seq + item.rows.count;
				continue;
			}
		}
		if (!begun) {
			const uint8_t *seed = seeds_of(&t->seeds, t->batch_no);

			if (t->next_seq != entries || !seed)
				return BULLA_ECORRUPT;
			batchroot_begin(&t->open, seed, t->batch_no, false);
			begun = item.type == TAIL_ROWS;
		}
		r = item.type == TAIL_ROWS ? replay_rows(t, &item.rows)
					   : replay_batch(t, &item.batch);
		if (r < 0)
			return r;
	}
	return r == BULLA_ETRUNCATED || r == BULLA_ECORRUPT || r == BULLA_ELIMIT ? 0 : r;
}

int tail_writer_open(struct tail_writer *t, int dirfd, const struct id *journal, uint64_t batches,
		     uint64_t entries)
{
	_cleanup_(tail_reader_close) struct tail_reader reader = { .fd = -1 };
	char name[TAIL_NAME_SIZE];
	bool torn;
	int r;

	*t = (struct tail_writer){ .fd = -1, .batch_no = batches };
	tail_name(journal, name);
	r = tail_reader_open(&reader, dirfd, name);
	if (r < 0)
		return r;
	t->header = reader.header;
	r = replay(t, &reader, entries);
	t->contexts = reader.contexts;
	t->seeds = reader.seeds;
	reader.contexts = (struct contexts){ 0 };
	reader.seeds = (struct seeds){ 0 };
	if (r >= 0 && (t->next_seq < entries || t->seeds.n == 0 || t->contexts.n == 0))
		r = BULLA_ECORRUPT;
	if (r < 0)
		goto fail;
	t->end = reader.frames.offset;
	t->fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (t->fd < 0) {
		r = -errno;
		goto fail;
	}
	/* Whatever lies behind the last whole frame would follow a shorter one that takes its place. */
	torn = ftruncate(t->fd, (off_t) t->end) == 0;
	if (!torn) {
		r = -errno;
		goto fail;
	}
	t->allocated = t->end;
	buf_clear(&t->rows);
	if (batchroot_count(&t->open) == 0) {
		r = begin_batch(t);
		if (r < 0)
			goto fail;
	}
	return 0;
fail:
	tail_writer_close(t);
	return r;
}

/* Contexts. */

int64_t tail_writer_context(struct tail_writer *t, uint32_t parent, const struct field *fields,
			    uint16_t n_fields)
{
	struct context c = { .fields = fields, .n_fields = n_fields };
	_cleanup_buf_ struct buf leaf = { 0 };
	struct hash hash;
	size_t size;
	struct wr w;
	int64_t k;
	int r;

	assert(parent < t->contexts.n);
	c.parent = t->contexts.at[parent].hash;
	r = context_hash(&c, &hash);
	if (r < 0)
		return r;
	k = contexts_find(&t->contexts, &hash);
	if (k >= 0)
		return k;
	size = context_leaf_size(&c);
	if (!buf_room(&leaf, size))
		return -ENOMEM;
	w = wr_of(leaf.data, size);
	context_encode(&c, &w);
	r = append_record(t, TAIL_CONTEXT, leaf.data, w.len);
	if (r < 0)
		return r;
	return contexts_add(&t->contexts, leaf.data, w.len);
}

/* Entries. */

int tail_writer_add(struct tail_writer *t, struct entry *e, uint32_t context)
{
	struct wr w;
	size_t size;
	int r;

	assert(context < t->contexts.n);
	if (entry_bytes(e) > ENTRY_SIZE_MAX || e->n_fields > FIELDS_MAX)
		return BULLA_ELIMIT;
	size = row_size_max(e);
	if (!buf_room(&t->rows, size))
		return -ENOMEM;
	e->context = t->contexts.at[context].hash;
	r = batchroot_add(&t->open, e);
	if (r < 0)
		return r;
	w = wr_of(t->rows.data + t->rows.len, size);
	row_encode(&t->row_state, e, context, &w);
	assert(!w.bad);
	buf_add(&t->rows, w.len);
	if (t->staged == 0) {
		t->staged_time_min = UINT64_MAX;
		t->staged_time_max = 0;
		t->staged_own_fields = false;
	}
	t->staged_own_fields |= e->n_fields > 0;
	t->staged++;
	t->staged_time_min = MIN_OF(t->staged_time_min, e->time_ns);
	t->staged_time_max = MAX_OF(t->staged_time_max, e->time_ns);
	t->next_seq++;
	return 0;
}

size_t tail_writer_staged(const struct tail_writer *t)
{
	return t->rows.len;
}

void tail_writer_consumed(struct tail_writer *t, uint8_t channel, uint64_t bytes)
{
	for (unsigned i = 0; i < t->n_channels; i++)
		if (t->channel[i].channel == channel) {
			t->channel[i].consumed = bytes;
			return;
		}
	assert(t->n_channels < CHANNELS_MAX);
	t->channel[t->n_channels++] = (struct tail_channel){ channel, bytes };
}

/* Compress the staged rows behind the room for a head; where that gains nothing they go in as they are. */
static int compress_rows(struct tail_writer *t, uint8_t *to, size_t room, uint8_t *ret_codec,
			 size_t *ret_size)
{
	int n;

	if (!t->lz4_state) {
		t->lz4_state = malloc((size_t) LZ4_sizeofState());
		if (!t->lz4_state)
			return -ENOMEM;
	}
	n = LZ4_compress_fast_extState(t->lz4_state, (const char *) t->rows.data, (char *) to,
				       (int) t->rows.len, (int) room, 1);
	if (n > 0 && (size_t) n < t->rows.len) {
		*ret_codec = ROWS_LZ4;
		*ret_size = (size_t) n;
		return 0;
	}
	assert(room >= t->rows.len);
	memcpy(to, t->rows.data, t->rows.len);
	*ret_codec = ROWS_RAW;
	*ret_size = t->rows.len;
	return 0;
}

int tail_writer_flush(struct tail_writer *t)
{
	size_t head_size, data_size, room;
	struct tail_rows rows;
	uint8_t *frame;
	struct wr w;
	int r;

	if (t->staged == 0)
		return 0;
	rows = (struct tail_rows){
		.first_seq = t->next_seq - t->staged,
		.count = t->staged,
		.raw_size = (uint32_t) t->rows.len,
		.time_min = t->staged_time_min,
		.time_max = t->staged_time_max,
		.own_fields = t->staged_own_fields,
		.n_channels = t->n_channels,
	};
	memcpy(rows.channel, t->channel, sizeof rows.channel);
	head_size = 8 + 4 + 4 + 8 + 8 + 1 + 1 + (size_t) t->n_channels * 9;
	room = (size_t) LZ4_compressBound((int) t->rows.len);
	buf_clear(&t->frame);
	frame = buf_room(&t->frame, frame_space(head_size + room));
	if (!frame)
		return -ENOMEM;
	r = compress_rows(t, frame + FRAME_HEADER_SIZE + head_size, room, &rows.codec, &data_size);
	if (r < 0)
		return r;
	w = wr_of(frame + FRAME_HEADER_SIZE, head_size);
	tail_rows_encode_head(&rows, &w);
	assert(!w.bad && w.len == head_size);
	r = append(t, frame, TAIL_ROWS, head_size + data_size);
	if (r < 0)
		return r;
	buf_clear(&t->rows);
	t->row_state = (struct row_state){ 0 };
	t->staged = 0;
	return 0;
}

/* Batches. */

uint32_t tail_writer_open_entries(const struct tail_writer *t)
{
	return batchroot_count(&t->open);
}

uint64_t tail_writer_open_bytes(const struct tail_writer *t)
{
	return t->open.bytes;
}

int tail_writer_cut(struct tail_writer *t, int64_t mono_offset)
{
	struct batch cut;
	uint8_t record[TAIL_BATCH_SIZE];
	struct wr w = wr_of(record, sizeof record);
	int r;

	assert(t->staged == 0 && !t->cut_pending && batchroot_count(&t->open) > 0);
	cut = describe_open(t, mono_offset);
	tail_batch_encode(&(struct tail_batch){ cut.batch_no, cut.entries, mono_offset, cut.root },
			  &w);
	r = append_record(t, TAIL_BATCH, record, w.len);
	if (r >= 0)
		r = io_sync(t->fd);
	if (r < 0)
		return r;
	t->cut = cut;
	t->cut_pending = true;
	t->batch_no++;
	return begin_batch(t);
}

void tail_writer_sealed(struct tail_writer *t)
{
	assert(t->cut_pending);
	t->cut_pending = false;
}

void tail_writer_relax(struct tail_writer *t)
{
	if (t->staged == 0)
		buf_done(&t->rows);
	buf_done(&t->frame);
	free(t->lz4_state);
	t->lz4_state = NULL;
	if (t->open.n_leaves == 0)
		buf_done(&t->open.leaves);
}

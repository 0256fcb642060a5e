/* SPDX-License-Identifier: Apache-2.0 */

#include "store/tail_writer-internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"

/* Space ahead of the end grows with the file, so that a quiet container costs little and a busy one few calls. */
static int allocate(struct tail_writer *t, size_t about_to_write, size_t reserve)
{
	uint64_t end = t->end + about_to_write + reserve, need = ALIGN_UP(end, (uint64_t) 4096),
		 step = t->end / 4;
	int r;

	if (end <= t->allocated)
		return 0;
	step = MAX_OF(step, (uint64_t) TAIL_ALLOCATE_STEP_MIN);
	step = ALIGN_UP(MIN_OF(step, (uint64_t) TAIL_ALLOCATE_STEP_MAX), (uint64_t) 4096);
	r = io_preallocate(t->fd, need + step);
	if (r == -ENOSPC || r == -EDQUOT) {
		/* Not all that would be good to have; but this one? */
		step = 0;
		r = io_preallocate(t->fd, need);
	}
	if (r >= 0)
		t->allocated = need + step;
	return r;
}

/* Of a frame that was written in part nothing may stay, for the next one may be shorter. */
static void take_back(struct tail_writer *t)
{
	if (ftruncate(t->fd, (off_t) t->end) == 0)
		t->allocated = t->end;
}

void tail_writer_end(struct tail_writer *t)
{
	take_back(t);
}

/* `reserve` is what has to stay allocated behind the frame. */
static int append(struct tail_writer *t, uint8_t *frame, enum tail_record type, size_t size,
		  size_t reserve)
{
	size_t space = frame_finish(frame, type, (uint32_t) size);
	int r;

	assert(size <= TAIL_RECORD_MAX);
	r = allocate(t, space, reserve);
	if (r < 0)
		return r;
	r = io_pwrite(t->fd, frame, space, t->end);
	if (r < 0)
		take_back(t);
	else
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
	return append(t, frame, type, n, 0);
}

/* A context or seed counts in memory first: one that is in the file and not in memory would come there twice. */
static int append_context(struct tail_writer *t, const uint8_t *leaf, size_t n, int64_t *ret)
{
	int64_t k = contexts_add(&t->contexts, leaf, n);
	int r;

	if (k < 0)
		return (int) k;
	r = append_record(t, TAIL_CONTEXT, leaf, n);
	if (r < 0)
		contexts_remove_last(&t->contexts);
	else
		*ret = k;
	return r;
}

static int append_seed(struct tail_writer *t, uint64_t first_batch, const uint8_t seed[SEED_SIZE])
{
	struct tail_seed s = { .first_batch = first_batch };
	uint8_t record[TAIL_SEED_RECORD_SIZE];
	struct wr w = wr_of(record, sizeof record);
	int r;

	memcpy(s.seed, seed, SEED_SIZE);
	tail_seed_encode(&s, &w);
	r = seeds_add(&t->seeds, &s);
	if (r >= 0) {
		r = append_record(t, TAIL_SEED, record, w.len);
		if (r < 0)
			seeds_remove_last(&t->seeds);
	}
	sodium_memzero(record, sizeof record);
	sodium_memzero(&s, sizeof s);
	return r;
}

/* Every 256 batches take a fresh seed; it is in the file before the first batch that needs it. */
int tail_writer_ensure_seed(struct tail_writer *t, uint64_t batch_no)
{
	uint8_t seed[SEED_SIZE];
	uint64_t last;
	int r;

	assert(t->seeds.n > 0);
	/* One that is for later may be there from before a restart. */
	last = t->seeds.at[t->seeds.n - 1].first_batch;
	if (last > batch_no || batch_no - last < SEED_BATCHES)
		return 0;
	randombytes_buf(seed, sizeof seed);
	r = append_seed(t, batch_no, seed);
	sodium_memzero(seed, sizeof seed);
	return r;
}

void tail_writer_begin_batch(struct tail_writer *t)
{
	batchroot_begin(&t->open, seeds_of(&t->seeds, t->batch_no), t->batch_no, false);
}

int tail_writer_make_durable(struct tail_writer *t)
{
	int r = t->suspect ? io_write_again(t->fd, t->durable, t->end) : 0;

	if (r >= 0)
		r = io_sync(t->fd);
	t->suspect = r < 0;
	if (r >= 0)
		t->durable = t->end;
	return r;
}

int tail_writer_create(struct tail_writer *t, int dirfd, const struct id *journal,
		       const struct id *boot, const uint8_t *identity_leaf, size_t identity_size,
		       const uint8_t seed[SEED_SIZE])
{
	uint8_t record[TAIL_HEADER_SIZE];
	struct wr w = wr_of(record, sizeof record);
	char name[TAIL_NAME_SIZE];
	int64_t k;
	int r;

	*t = (struct tail_writer){ .header = { .journal = *journal, .boot = *boot } };
	tail_name(journal, name);
	t->fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (t->fd < 0)
		return -errno;
	tail_header_encode(&t->header, &w);
	assert(!w.bad && w.len == sizeof record);
	r = append_record(t, TAIL_HEADER, record, w.len);
	if (r >= 0)
		r = append_context(t, identity_leaf, identity_size, &k);
	if (r >= 0)
		r = append_seed(t, 0, seed);
	if (r >= 0)
		r = allocate(t, 0, TAIL_RESERVE);
	if (r < 0) {
		tail_writer_close(t);
		unlinkat(dirfd, name, 0);
		return r;
	}
	tail_writer_begin_batch(t);
	return 0;
}

int tail_create(int dirfd, const struct id *journal, const struct id *boot,
		const uint8_t *identity_leaf, size_t identity_size, const uint8_t seed[SEED_SIZE])
{
	_cleanup_(tail_writer_close) struct tail_writer t = { .fd = -1 };
	char name[TAIL_NAME_SIZE];
	int r;

	r = tail_writer_create(&t, dirfd, journal, boot, identity_leaf, identity_size, seed);
	if (r < 0)
		return r;
	r = tail_writer_sync(&t);
	if (r >= 0)
		r = io_sync_dir(dirfd);
	if (r < 0) {
		tail_name(journal, name);
		unlinkat(dirfd, name, 0);
	}
	return r;
}

void tail_writer_close(struct tail_writer *t)
{
	close_fd(&t->fd);
	contexts_done(&t->contexts);
	seeds_done(&t->seeds);
	batchroot_done(&t->open);
	stage_done(&t->stage);
	buf_done(&t->frame);
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
	r = append_context(t, leaf.data, w.len, &k);
	return r < 0 ? r : k;
}

/* Entries. */

int tail_writer_add(struct tail_writer *t, struct entry *e, uint32_t context)
{
	int r;

	assert(context < t->contexts.n);
	if (!row_is_lawful(e))
		return BULLA_ENOTCANON;
	if (batchroot_count(&t->open) >= BATCH_ENTRIES_MAX)
		return BULLA_ELIMIT;
	r = stage_room(&t->stage, e);
	if (r < 0)
		return r;
	e->context = t->contexts.at[context].hash;
	if (t->stage.n == 0)
		batchroot_mark(&t->open, &t->before);
	r = batchroot_add(&t->open, e);
	if (r < 0)
		return r;
	stage_add(&t->stage, e, context);
	t->next_seq++;
	return 0;
}

size_t tail_writer_staged(const struct tail_writer *t)
{
	return t->stage.rows.len;
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

static int flush(struct tail_writer *t, size_t reserve)
{
	struct tail_rows rows = {
		.first_seq = t->next_seq - t->stage.n,
		.n_channels = t->n_channels,
	};
	int64_t size;
	int r;

	if (t->stage.n == 0)
		return 0;
	memcpy(rows.channel, t->channel, sizeof rows.channel);
	size = stage_frame(&t->stage, &rows, &t->frame);
	if (size < 0)
		return (int) size;
	r = append(t, t->frame.data, TAIL_ROWS, (size_t) size, reserve);
	if (r >= 0)
		stage_clear(&t->stage);
	return r;
}

int tail_writer_flush(struct tail_writer *t)
{
	return flush(t, TAIL_RESERVE);
}

int tail_writer_flush_reserved(struct tail_writer *t)
{
	return flush(t, 0);
}

void tail_writer_unstage(struct tail_writer *t)
{
	if (t->stage.n == 0)
		return;
	batchroot_rewind(&t->open, &t->before);
	t->next_seq -= t->stage.n;
	stage_clear(&t->stage);
}

int tail_writer_make_room(struct tail_writer *t, size_t size)
{
	return allocate(t, size, TAIL_RESERVE);
}

int tail_writer_sync(struct tail_writer *t)
{
	return tail_writer_make_durable(t);
}

int tail_writer_settle(struct tail_writer *t)
{
	/* A context that no entry came to have. */
	return t->durable < t->end ? tail_writer_make_durable(t) : 0;
}

/* Batches. */

struct batch tail_writer_describe(struct tail_writer *t, int64_t mono_offset)
{
	return (struct batch){
		.journal = t->header.journal,
		.batch_no = t->batch_no,
		.first_seq = t->next_seq - batchroot_count(&t->open),
		.entries = (uint32_t) batchroot_count(&t->open),
		.bytes = t->open.bytes,
		.time_min = t->open.time_min,
		.time_max = t->open.time_max,
		.boot = t->header.boot,
		.mono_offset = mono_offset,
		.root = batchroot_get(&t->open),
	};
}

uint32_t tail_writer_open_entries(const struct tail_writer *t)
{
	return (uint32_t) batchroot_count(&t->open);
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
	uint64_t before;
	int r;

	assert(t->stage.n == 0 && !t->cut_pending && batchroot_count(&t->open) > 0);
	cut = tail_writer_describe(t, mono_offset);
	tail_batch_encode(&(struct tail_batch){ cut.batch_no, cut.entries, mono_offset, cut.root },
			  &w);
	/* The next batch's seed goes first: behind the cut nothing may fail any more. */
	r = tail_writer_ensure_seed(t, t->batch_no + 1);
	if (r < 0)
		return r;
	before = t->end;
	r = append_record(t, TAIL_BATCH, record, w.len);
	if (r >= 0)
		r = tail_writer_make_durable(t);
	if (r < 0) {
		t->end = before;
		return r;
	}
	t->cut = cut;
	t->cut_pending = true;
	t->batch_no++;
	tail_writer_begin_batch(t);
	return 0;
}

void tail_writer_sealed(struct tail_writer *t)
{
	assert(t->cut_pending);
	t->cut_pending = false;
}

void tail_writer_relax(struct tail_writer *t)
{
	stage_relax(&t->stage);
	buf_done(&t->frame);
	if (t->open.n_leaves == 0)
		buf_done(&t->open.leaves);
}

void tail_writer_take_scratch(struct tail_writer *t, struct tail_writer *from)
{
	if (t == from)
		return;
	buf_done(&t->frame);
	t->frame = from->frame;
	from->frame = (struct buf){ 0 };
	stage_take_scratch(&t->stage, &from->stage);
}

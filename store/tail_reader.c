/* SPDX-License-Identifier: Apache-2.0 */

#include "store/tail_reader.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/text.h"
#include "bulla/error.h"

/* Names. */

void tail_name(const struct id *journal, char ret[TAIL_NAME_SIZE])
{
	text_hex(ret, journal->b, ID_SIZE);
	memcpy(ret + 2 * ID_SIZE, TAIL_SUFFIX, sizeof TAIL_SUFFIX);
}

int tail_name_parse(const char *name, struct id *ret)
{
	char again[TAIL_NAME_SIZE];
	struct id id;

	if (strlen(name) != TAIL_NAME_SIZE - 1 || text_unhex(name, 2 * ID_SIZE, id.b, ID_SIZE) < 0)
		return -EINVAL;
	/* One name only: two files must not pass for one journal. */
	tail_name(&id, again);
	if (strcmp(name, again) != 0)
		return -EINVAL;
	*ret = id;
	return 0;
}

/* Records. */

void tail_header_encode(const struct tail_header *h, struct wr *w)
{
	wr_bytes(w, TAIL_MAGIC, 8);
	wr_u32(w, h->compatible);
	wr_u32(w, h->incompatible);
	wr_bytes(w, h->journal.b, ID_SIZE);
	wr_bytes(w, h->boot.b, ID_SIZE);
	wr_u64(w, h->first_batch);
	wr_u64(w, h->first_seq);
}

int tail_header_decode(const uint8_t *p, size_t n, struct tail_header *ret)
{
	struct rd r = rd_of(p, n);
	const uint8_t *magic = rd_bytes(&r, 8);
	struct tail_header h;

	h.compatible = rd_u32(&r);
	h.incompatible = rd_u32(&r);
	rd_copy(&r, h.journal.b, ID_SIZE);
	rd_copy(&r, h.boot.b, ID_SIZE);
	h.first_batch = rd_u64(&r);
	h.first_seq = rd_u64(&r);
	if (r.bad || r.left > 0)
		return BULLA_ECORRUPT;
	if (memcmp(magic, TAIL_MAGIC, 8) != 0 || h.incompatible != 0)
		return BULLA_EVERSION;
	*ret = h;
	return 0;
}

void tail_rows_encode_head(const struct tail_rows *rows, struct wr *w)
{
	wr_u64(w, rows->first_seq);
	wr_u32(w, rows->count);
	wr_u32(w, rows->raw_size);
	wr_u64(w, rows->time_min);
	wr_u64(w, rows->time_max);
	wr_u8(w, (uint8_t) (rows->codec | (rows->own_fields ? ROWS_OWN_FIELDS : 0)));
	wr_u8(w, rows->n_channels);
	for (unsigned i = 0; i < rows->n_channels; i++) {
		wr_u8(w, rows->channel[i].channel);
		wr_u64(w, rows->channel[i].consumed);
	}
}

int tail_rows_decode(const uint8_t *p, size_t n, struct tail_rows *ret)
{
	struct rd r = rd_of(p, n);
	struct tail_rows rows;
	uint8_t codec;

	rows.first_seq = rd_u64(&r);
	rows.count = rd_u32(&r);
	rows.raw_size = rd_u32(&r);
	rows.time_min = rd_u64(&r);
	rows.time_max = rd_u64(&r);
	codec = rd_u8(&r);
	rows.own_fields = codec & ROWS_OWN_FIELDS;
	rows.codec = codec & (uint8_t) ~ROWS_OWN_FIELDS;
	rows.n_channels = rd_u8(&r);
	if (r.bad || rows.n_channels > CHANNELS_MAX)
		return BULLA_ECORRUPT;
	for (unsigned i = 0; i < rows.n_channels; i++) {
		rows.channel[i].channel = rd_u8(&r);
		rows.channel[i].consumed = rd_u64(&r);
	}
	if (r.bad || rows.codec > ROWS_LZ4)
		return BULLA_ECORRUPT;
	if (rows.raw_size > ROWS_RAW_MAX)
		return BULLA_ELIMIT;
	/* A count that the bytes cannot hold must not size anything. */
	if (rows.count == 0 || rows.count > rows.raw_size / ROW_SIZE_MIN ||
	    rows.time_min > rows.time_max || rows.first_seq > UINT64_MAX - rows.count)
		return BULLA_ECORRUPT;
	rows.data = r.p;
	rows.data_size = (uint32_t) r.left;
	*ret = rows;
	return 0;
}

void tail_batch_encode(const struct tail_batch *b, struct wr *w)
{
	wr_u64(w, b->batch_no);
	wr_u32(w, b->entries);
	wr_i64(w, b->mono_offset);
	wr_bytes(w, b->root.b, HASH_SIZE);
}

int tail_batch_decode(const uint8_t *p, size_t n, struct tail_batch *ret)
{
	struct rd r = rd_of(p, n);
	struct tail_batch b;

	b.batch_no = rd_u64(&r);
	b.entries = rd_u32(&r);
	b.mono_offset = rd_i64(&r);
	rd_copy(&r, b.root.b, HASH_SIZE);
	if (r.bad || r.left > 0 || b.entries == 0)
		return BULLA_ECORRUPT;
	*ret = b;
	return 0;
}

void tail_hole_encode(const struct tail_hole *h, struct wr *w)
{
	wr_u64(w, h->end);
	wr_u64(w, h->next_seq);
	wr_u64(w, h->batches);
}

int tail_hole_decode(const uint8_t *p, size_t n, struct tail_hole *ret)
{
	struct rd r = rd_of(p, n);

	ret->end = rd_u64(&r);
	ret->next_seq = rd_u64(&r);
	ret->batches = rd_u64(&r);
	return r.bad || r.left > 0 || ret->end % FRAME_ALIGN != 0 || ret->end > INT64_MAX
		       ? BULLA_ECORRUPT
		       : 0;
}

void tail_seed_encode(const struct tail_seed *s, struct wr *w)
{
	wr_u64(w, s->first_batch);
	wr_bytes(w, s->seed, SEED_SIZE);
}

int tail_seed_decode(const uint8_t *p, size_t n, struct tail_seed *ret)
{
	struct rd r = rd_of(p, n);
	struct tail_seed s;

	s.first_batch = rd_u64(&r);
	rd_copy(&r, s.seed, SEED_SIZE);
	if (r.bad || r.left > 0)
		return BULLA_ECORRUPT;
	*ret = s;
	return 0;
}

int tail_rows_unpack(const struct tail_rows *rows, struct buf *to)
{
	uint8_t *p;

	buf_clear(to);
	p = buf_room(to, rows->raw_size);
	if (!p)
		return -ENOMEM;
	if (rows->codec == ROWS_RAW) {
		if (rows->data_size != rows->raw_size)
			return BULLA_ECORRUPT;
		memcpy(p, rows->data, rows->raw_size);
	} else {
		int n = LZ4_decompress_safe((const char *) rows->data, (char *) p,
					    (int) rows->data_size, (int) rows->raw_size);

		if (n < 0 || (uint32_t) n != rows->raw_size)
			return BULLA_ECORRUPT;
	}
	buf_add(to, rows->raw_size);
	return 0;
}

/* Seeds. */

void seeds_done(struct seeds *s)
{
	free(s->at);
	*s = (struct seeds){ 0 };
}

int seeds_add(struct seeds *s, const struct tail_seed *seed)
{
	if (s->n > 0 && s->at[s->n - 1].first_batch >= seed->first_batch)
		return BULLA_ECORRUPT;
	if (s->n == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 4;
		struct tail_seed *at = reallocarray(s->at, cap, sizeof *at);

		if (!at)
			return -ENOMEM;
		s->at = at;
		s->cap = cap;
	}
	s->at[s->n++] = *seed;
	return 0;
}

void seeds_remove_last(struct seeds *s)
{
	assert(s->n > 0);
	sodium_memzero(&s->at[--s->n], sizeof *s->at);
}

const uint8_t *seeds_of(const struct seeds *s, uint64_t batch_no)
{
	uint32_t low = 0, high = s->n;

	/* All below `low` begin at or before the batch, all from `high` on behind it. */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (s->at[middle].first_batch <= batch_no)
			low = middle + 1;
		else
			high = middle;
	}
	return low == 0 ? NULL : s->at[low - 1].seed;
}

/* Reading. */

int tail_reader_open_fd(struct tail_reader *t, int fd)
{
	struct frame f;
	int r;

	*t = (struct tail_reader){ .fd = fd };
	frame_reader_init(&t->frames, fd, 0, TAIL_RECORD_MAX);
	r = frame_reader_next(&t->frames, &f, NULL);
	if (r == 0)
		r = BULLA_ETRUNCATED;
	if (r > 0)
		r = f.type == TAIL_HEADER ? tail_header_decode(f.payload, f.size, &t->header)
					  : BULLA_EVERSION;
	if (r < 0)
		tail_reader_close(t);
	return r;
}

int tail_reader_open(struct tail_reader *t, int dirfd, const char *name)
{
	int fd = io_open_regular(dirfd, name, O_RDONLY);

	*t = (struct tail_reader){ .fd = -1 };
	return fd < 0 ? fd : tail_reader_open_fd(t, fd);
}

int tail_reader_lock(const struct tail_reader *t)
{
	struct flock whole = { .l_type = F_RDLCK };

	return fcntl(t->fd, F_OFD_SETLKW, &whole) < 0 ? -errno : 0;
}

void tail_reader_close(struct tail_reader *t)
{
	close_fd(&t->fd);
	contexts_done(&t->contexts);
	seeds_done(&t->seeds);
	frame_reader_done(&t->frames);
}

void tail_reader_park(struct tail_reader *t)
{
	uint64_t offset = t->frames.offset;

	close_fd(&t->fd);
	frame_reader_done(&t->frames);
	t->frames.offset = offset;
}

int tail_reader_unpark(struct tail_reader *t, int dirfd, const char *name)
{
	int fd = io_open_regular(dirfd, name, O_RDONLY);

	if (fd < 0)
		return fd;
	t->fd = fd;
	frame_reader_init(&t->frames, fd, t->frames.offset, TAIL_RECORD_MAX);
	return 0;
}

/* 1: an item for the caller; 0: taken in silently. */
static int take_frame(struct tail_reader *t, const struct frame *f, struct tail_item *ret)
{
	struct tail_seed seed;
	int64_t k;
	int r;

	ret->type = (enum tail_record) f->type;
	switch (f->type) {
	case TAIL_ROWS:
		r = tail_rows_decode(f->payload, f->size, &ret->rows);
		return r < 0 ? r : 1;
	case TAIL_BATCH:
		r = tail_batch_decode(f->payload, f->size, &ret->batch);
		return r < 0 ? r : 1;
	case TAIL_HOLE:
		r = tail_hole_decode(f->payload, f->size, &ret->hole);
		/* It leads forward, or a reader would go round. */
		if (r >= 0 && ret->hole.end < t->frames.offset)
			r = BULLA_ECORRUPT;
		if (r >= 0)
			frame_reader_seek(&t->frames, ret->hole.end);
		return r < 0 ? r : 1;
	case TAIL_CONTEXT:
		k = contexts_add(&t->contexts, f->payload, f->size);
		return k < 0 ? (int) k : 0;
	case TAIL_SEED:
		r = tail_seed_decode(f->payload, f->size, &seed);
		return r < 0 ? r : seeds_add(&t->seeds, &seed);
	default:
		return BULLA_EVERSION;
	}
}

int tail_reader_next(struct tail_reader *t, struct tail_item *ret)
{
	struct frame f;
	int r;

	t->refused = false;
	for (;;) {
		r = frame_reader_next(&t->frames, &f, &ret->offset);
		if (r <= 0)
			return r;
		r = take_frame(t, &f, ret);
		if (r < 0) {
			t->refused = true;
			frame_reader_seek(&t->frames, ret->offset);
		}
		if (r != 0)
			return r;
	}
}

int tail_reader_resync(struct tail_reader *t)
{
	enum { SEARCH_MIN = 64 << 20 };
	struct stat st;

	if (fstat(t->fd, &st) < 0)
		return -errno;
	if (!t->searched) {
		t->searched = true;
		t->search_budget = (uint64_t) st.st_size + SEARCH_MIN;
	}
	return frame_reader_search(&t->frames, t->frames.offset + FRAME_ALIGN, TAIL_CONTEXT,
				   TAIL_HOLE, &t->search_budget);
}

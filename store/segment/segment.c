/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/segment.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/io.h"
#include "bulla/error.h"
#include "store/segment/reader-internal.h"

enum { UNPACKERS_KEPT = 4 };

/* Blocks. */

/*
 * Unpackers that nobody uses just now: making one costs as much as unpacking a hundred kilobytes, and every row group needs one.
 */
static struct {
	pthread_mutex_t lock;
	ZSTD_DCtx *idle[UNPACKERS_KEPT];
	unsigned n;
} unpackers = { .lock = PTHREAD_MUTEX_INITIALIZER };

static ZSTD_DCtx *take_unpacker(void)
{
	ZSTD_DCtx *d = NULL;

	pthread_mutex_lock(&unpackers.lock);
	if (unpackers.n > 0)
		d = unpackers.idle[--unpackers.n];
	pthread_mutex_unlock(&unpackers.lock);
	return d ? d : ZSTD_createDCtx();
}

static void give_unpacker(ZSTD_DCtx *d)
{
	pthread_mutex_lock(&unpackers.lock);
	if (d && unpackers.n < UNPACKERS_KEPT) {
		unpackers.idle[unpackers.n++] = d;
		d = NULL;
	}
	pthread_mutex_unlock(&unpackers.lock);
	ZSTD_freeDCtx(d);
}

void block_scratch_done(struct block_scratch *s)
{
	buf_done(&s->stored);
	give_unpacker(s->zstd);
	*s = (struct block_scratch){ 0 };
}

static int unpack(const struct block_ref *ref, struct block_scratch *scratch, uint8_t *to)
{
	const uint8_t *stored = scratch->stored.data;
	size_t n;

	/* The frame must not be asked for more than the directory says. */
	if (ZSTD_getFrameContentSize(stored, ref->stored) != ref->raw)
		return BULLA_ECORRUPT;
	if (!scratch->zstd)
		scratch->zstd = take_unpacker();
	if (!scratch->zstd)
		return -ENOMEM;
	n = ZSTD_decompressDCtx(scratch->zstd, to, ref->raw, stored, ref->stored);
	return ZSTD_isError(n) || n != ref->raw ? BULLA_ECORRUPT : 0;
}

int block_read(int fd, const struct block_ref *ref, struct block_scratch *scratch, uint8_t **ret)
{
	_cleanup_free_ uint8_t *raw = NULL;
	bool packed = ref->stored != ref->raw;
	uint8_t *stored;
	ssize_t n;
	int r;

	scratch->at = ref->offset;
	if (ref->raw > BLOCK_SIZE_MAX || ref->stored > ref->raw)
		return BULLA_ELIMIT;
	raw = malloc((size_t) ref->raw + BLOCK_SLACK);
	buf_clear(&scratch->stored);
	stored = packed ? buf_room(&scratch->stored, ref->stored) : raw;
	if (!raw || !stored)
		return -ENOMEM;
	n = io_pread(fd, stored, ref->stored, ref->offset);
	if (n < 0)
		return (int) n;
	if ((size_t) n != ref->stored)
		return BULLA_ETRUNCATED;
	if (crc32c(0, stored, ref->stored) != ref->crc)
		return BULLA_ECORRUPT;
	r = packed ? unpack(ref, scratch, raw) : 0;
	if (r < 0)
		return r;
	*ret = TAKE_PTR(raw);
	return 0;
}

static struct block_ref rd_ref(struct rd *r)
{
	struct block_ref ref = { .offset = rd_varint(r) };
	uint64_t stored = rd_varint(r), raw = rd_varint(r);

	ref.crc = rd_u32(r);
	ref.stored = (uint32_t) stored;
	ref.raw = (uint32_t) raw;
	r->bad |= raw > BLOCK_SIZE_MAX || stored > raw;
	return ref;
}

/* Journals, seeds, templates. */

static int read_contexts(struct contexts *c, struct rd *r)
{
	uint64_t n = rd_varint(r);

	for (uint64_t i = 0; i < n && !r->bad; i++) {
		int64_t parent = (int64_t) rd_varint(r) - 1;
		uint64_t size = rd_varint(r);
		const uint8_t *fields = rd_bytes(r, size);
		int64_t number =
			fields ? contexts_add_child(c, parent, fields, size) : BULLA_ECORRUPT;

		if (number < 0)
			return number == BULLA_ENOTCANON ? BULLA_ECORRUPT : (int) number;
	}
	return r->bad ? BULLA_ECORRUPT : 0;
}

static int read_tenant(struct segment *s, struct rd *r)
{
	uint64_t n = rd_varint(r);
	const uint8_t *name = rd_bytes(r, n);

	return name && tenant_parse(name, n, &s->tenant) >= 0 ? 0 : BULLA_ECORRUPT;
}

static int read_origins(struct segment *s, struct rd *r)
{
	uint64_t n = rd_varint(r);

	if (r->bad || n > SEGMENT_ORIGINS_MAX || n > r->left / (ID_SIZE + 2 + 16))
		return BULLA_ECORRUPT;
	s->origins = calloc(MAX_OF(n, 1ul), sizeof *s->origins);
	if (!s->origins)
		return -ENOMEM;
	for (; s->n_origins < n; s->n_origins++) {
		struct segment_origin *o = &s->origins[s->n_origins];

		rd_copy(r, o->id.b, ID_SIZE);
		o->first = rd_varint(r);
		o->end = rd_varint(r);
		o->time_first = rd_u64(r);
		o->time_last = rd_u64(r);
		if (r->bad || o->first > o->end || o->time_first > o->time_last)
			return BULLA_ECORRUPT;
	}
	return 0;
}

/* Numbers of batches and entries, and where they begin. */
static int read_extent(const struct segment *s, struct segment_journal *j, struct rd *r)
{
	uint64_t origin = rd_varint(r);

	j->first_batch = rd_varint(r);
	j->batches = rd_varint(r);
	j->first_seq = rd_varint(r);
	j->entries = rd_varint(r);
	j->origin = (uint32_t) origin;
	return r->bad || origin >= s->n_origins || j->batches > j->entries ||
			       j->first_batch > UINT64_MAX - j->batches ||
			       j->first_seq > UINT64_MAX - j->entries
		       ? BULLA_ECORRUPT
		       : 0;
}

static int read_journals(struct segment *s, struct rd *r)
{
	uint64_t n = rd_varint(r);
	int error = 0;

	if (r->bad || n > SEGMENT_JOURNALS_MAX || n > r->left / (2 * ID_SIZE + 6))
		return BULLA_ECORRUPT;
	s->journals = calloc(MAX_OF(n, 1ul), sizeof *s->journals);
	if (!s->journals)
		return -ENOMEM;
	for (; error >= 0 && s->n_journals < n; s->n_journals++) {
		struct segment_journal *j = &s->journals[s->n_journals];

		rd_copy(r, j->id.b, ID_SIZE);
		rd_copy(r, j->boot.b, ID_SIZE);
		error = read_extent(s, j, r);
		if (error >= 0)
			error = read_contexts(&j->contexts, r);
	}
	return error < 0 ? error : r->bad || r->left > 0 ? BULLA_ECORRUPT : 0;
}

static int read_seeds(struct segment *s, struct rd *r)
{
	for (uint32_t i = 0; i < s->n_journals; i++) {
		uint64_t n = rd_varint(r);

		if (n > r->left / SEED_SIZE)
			return BULLA_ECORRUPT;
		for (uint64_t k = 0; k < n; k++) {
			struct tail_seed seed = { .first_batch = rd_varint(r) };
			int error;

			rd_copy(r, seed.seed, SEED_SIZE);
			error = r->bad ? BULLA_ECORRUPT : seeds_add(&s->journals[i].seeds, &seed);
			if (error < 0)
				return error;
		}
	}
	return r->bad || r->left > 0 ? BULLA_ECORRUPT : 0;
}

/* Whoever comes first reads them; the others throw away what they have read meanwhile. */
static int read_templates(const struct segment *s, struct template_table **ret)
{
	_cleanup_(block_scratch_done) struct block_scratch scratch = { 0 };
	struct template_table *made, *there = NULL;
	uint8_t *block;
	int r;

	r = block_read(s->fd, &s->templates_ref, &scratch, &block);
	if (r >= 0)
		r = template_table_new(block, s->templates_ref.raw, &made);
	if (r < 0)
		return r;
	if (atomic_compare_exchange_strong(&s->lazy->templates, &there, made)) {
		*ret = made;
		return 0;
	}
	template_table_free(made);
	*ret = there;
	return 0;
}

int segment_templates(const struct segment *s, struct template_table **ret)
{
	*ret = atomic_load_explicit(&s->lazy->templates, memory_order_acquire);
	return *ret ? 0 : read_templates(s, ret);
}

/* A table that the footer speaks of.  `scratch` knows then where it is. */
static int read_table(struct segment *s, struct rd *footer, struct block_scratch *scratch,
		      int (*read)(struct segment *, struct rd *))
{
	struct block_ref ref = rd_ref(footer);
	_cleanup_free_ uint8_t *raw = NULL;
	struct rd r;
	int error;

	if (footer->bad)
		return BULLA_ECORRUPT;
	error = block_read(s->fd, &ref, scratch, &raw);
	if (error < 0)
		return error;
	r = rd_of(raw, ref.raw);
	return read(s, &r);
}

/* Who only reads entries does without seeds. */
static int lose_seeds(struct segment *s, int error, uint64_t at)
{
	if (!segment_is_damage(error))
		return error;
	for (uint32_t i = 0; i < s->n_journals; i++)
		seeds_done(&s->journals[i].seeds);
	s->seeds_error = error;
	s->seeds_at = at;
	return 0;
}

/* `scratch` knows where the footer is, and in the end what could not be read. */
static int read_tables(struct segment *s, struct rd *footer, struct block_scratch *scratch)
{
	uint64_t footer_at = scratch->at;
	int r = read_table(s, footer, scratch, read_journals);

	if (r < 0)
		return r;
	r = read_table(s, footer, scratch, read_seeds);
	if (r < 0 && !footer->bad)
		r = lose_seeds(s, r, scratch->at);
	if (r < 0)
		return r;
	scratch->at = footer_at;
	s->templates_ref = rd_ref(footer);
	return footer->bad ? BULLA_ECORRUPT : 0;
}

/* Groups. */

static int read_group(struct group_ref *g, struct rd *r)
{
	uint64_t rows = rd_varint(r), batches = rd_varint(r), offset, n, total = 0;

	g->time_min = rd_u64(r);
	g->time_max = rd_u64(r);
	offset = rd_varint(r);
	n = rd_varint(r);
	if (r->bad || rows < 1 || rows > GROUP_ROWS_MAX || batches < 1 || batches > rows ||
	    n > GROUP_BLOCKS_MAX || n > r->left || g->time_min > g->time_max)
		return BULLA_ECORRUPT;
	g->rows = (uint32_t) rows;
	g->batches = (uint32_t) batches;
	g->blocks = calloc(MAX_OF(n, 1ul), sizeof *g->blocks);
	if (!g->blocks)
		return -ENOMEM;
	for (; g->n_blocks < n; g->n_blocks++) {
		struct block_ref *b = &g->blocks[g->n_blocks];
		uint64_t stored, raw;

		b->kind = rd_u8(r);
		stored = rd_varint(r);
		raw = rd_varint(r);
		b->crc = rd_u32(r);
		total += raw;
		if (r->bad || raw > BLOCK_SIZE_MAX || stored > raw || total > GROUP_SIZE_MAX)
			return BULLA_ECORRUPT;
		b->offset = offset;
		b->stored = (uint32_t) stored;
		b->raw = (uint32_t) raw;
		offset += stored;
	}
	return 0;
}

static int read_groups(struct segment *s, struct rd *r)
{
	uint64_t n = rd_varint(r);
	int error = 0;

	if (r->bad || n > GROUPS_MAX || n > r->left)
		return BULLA_ECORRUPT;
	s->groups = calloc(MAX_OF(n, 1ul), sizeof *s->groups);
	if (!s->groups)
		return -ENOMEM;
	for (; error >= 0 && s->n_groups < n; s->n_groups++)
		error = read_group(&s->groups[s->n_groups], r);
	return error < 0 ? error : r->left > 0 ? BULLA_ECORRUPT : 0;
}

/* Opening. */

static int read_header(const struct segment *s)
{
	uint8_t header[SEGMENT_HEADER_SIZE];
	struct rd r = rd_of(header, sizeof header);
	ssize_t n = io_pread(s->fd, header, sizeof header, 0);

	if (n < 0)
		return (int) n;
	if (n < SEGMENT_HEADER_SIZE)
		return BULLA_ETRUNCATED;
	if (memcmp(rd_bytes(&r, 8), SEGMENT_MAGIC, 8) != 0)
		return BULLA_ECORRUPT;
	rd_u32(&r);
	return rd_u32(&r) != 0 ? BULLA_EVERSION : 0;
}

static int read_trailer(const struct segment *s, struct block_ref *ret)
{
	uint8_t trailer[SEGMENT_TRAILER_SIZE];
	struct rd r = rd_of(trailer, sizeof trailer);
	uint64_t offset;
	ssize_t n;

	*ret = (struct block_ref){ .offset = s->size };
	if (s->size < SEGMENT_HEADER_SIZE + SEGMENT_TRAILER_SIZE)
		return BULLA_ETRUNCATED;
	ret->offset = s->size - sizeof trailer;
	n = io_pread(s->fd, trailer, sizeof trailer, s->size - sizeof trailer);
	if (n < 0)
		return (int) n;
	if (n < SEGMENT_TRAILER_SIZE)
		return BULLA_ETRUNCATED;
	offset = rd_u64(&r);
	ret->stored = rd_u32(&r);
	ret->raw = rd_u32(&r);
	ret->crc = rd_u32(&r);
	/* A file without its end was cut, or never finished. */
	if (memcmp(rd_bytes(&r, 8), SEGMENT_MAGIC, 8) != 0)
		return BULLA_ETRUNCATED;
	if (offset > ret->offset || ret->offset - offset < ret->stored)
		return BULLA_ECORRUPT;
	ret->offset = offset;
	return 0;
}

/* The footer, what it speaks of first, and where it was when an error came. */
static int read_all(struct segment *s, uint64_t *at)
{
	_cleanup_(block_scratch_done) struct block_scratch scratch = { 0 };
	_cleanup_free_ uint8_t *footer = NULL;
	struct block_ref ref;
	struct stat st;
	struct rd r;
	int error;

	*at = 0;
	if (fstat(s->fd, &st) < 0)
		return -errno;
	s->size = (uint64_t) st.st_size;
	error = read_header(s);
	if (error < 0)
		return error;
	error = read_trailer(s, &ref);
	*at = ref.offset;
	if (error >= 0)
		error = block_read(s->fd, &ref, &scratch, &footer);
	if (error < 0)
		return error;
	r = rd_of(footer, ref.raw);
	error = read_tenant(s, &r);
	if (error >= 0)
		error = read_origins(s, &r);
	if (error >= 0)
		error = read_tables(s, &r, &scratch);
	if (error >= 0)
		error = read_groups(s, &r);
	*at = scratch.at;
	return error;
}

int segment_open_at(struct segment *s, int fd, uint64_t *ret_at)
{
	int r;

	*ret_at = 0;
	*s = (struct segment){ .fd = fd, .lazy = calloc(1, sizeof *s->lazy) };
	r = s->lazy ? read_all(s, ret_at) : -ENOMEM;
	if (r < 0)
		segment_close(s);
	return r;
}

int segment_open(struct segment *s, int fd)
{
	uint64_t at;

	return segment_open_at(s, fd, &at);
}

void segment_close(struct segment *s)
{
	close_fd(&s->fd);
	for (uint32_t i = 0; s->journals && i < s->n_journals; i++) {
		contexts_done(&s->journals[i].contexts);
		seeds_done(&s->journals[i].seeds);
	}
	if (s->lazy)
		template_table_free(
			atomic_load_explicit(&s->lazy->templates, memory_order_relaxed));
	for (uint32_t i = 0; s->groups && i < s->n_groups; i++)
		free(s->groups[i].blocks);
	free(s->origins);
	free(s->journals);
	free(s->lazy);
	free(s->groups);
	*s = (struct segment){ .fd = -1 };
}

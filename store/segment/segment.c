/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"
#include "store/segment/field_table.h"
#include "store/segment/reader-internal.h"

/* Journals, seeds. */

/* Of fields that the contexts to come may take, and of leaves that they may have. */
struct room {
	struct field_table table;
	struct field *at;
	uint64_t left, leaves;
};

static int read_context(struct contexts *c, struct room *room, struct rd *r)
{
	int64_t parent = (int64_t) rd_varint(r) - 1, number;
	uint64_t n = rd_varint(r);
	int error;

	if (r->bad || n > FIELDS_MAX || n > room->left)
		return BULLA_ECORRUPT;
	error = field_table_take(&room->table, r, n, room->at);
	number = error < 0 ? error : contexts_add_child(c, parent, room->at, (uint16_t) n);
	if (number < 0)
		return (int) number;
	room->at += n;
	room->left -= n;
	room->leaves += c->at[number].leaf_size;
	return room->leaves > SEGMENT_CONTEXTS_SIZE_MAX ? BULLA_ELIMIT : 0;
}

static int read_contexts(struct contexts *c, struct room *room, struct rd *r)
{
	uint64_t n = rd_varint(r);
	int error = r->bad ? BULLA_ECORRUPT : 0;

	for (uint64_t i = 0; error >= 0 && i < n; i++)
		error = read_context(c, room, r);
	return error;
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

/* Numbers of batches and entries, where they begin, and its place among the journals of a window. */
static int read_extent(const struct segment *s, struct segment_journal *j, uint64_t n, struct rd *r)
{
	uint64_t origin = rd_varint(r), rank;

	j->first_batch = rd_varint(r);
	j->batches = rd_varint(r);
	j->first_seq = rd_varint(r);
	j->entries = rd_varint(r);
	rank = rd_varint(r);
	j->origin = (uint32_t) origin;
	j->rank = (uint32_t) rank;
	return r->bad || origin >= s->n_origins || rank >= n || j->batches > j->entries ||
			       j->first_batch > UINT64_MAX - j->batches ||
			       j->first_seq > UINT64_MAX - j->entries
		       ? BULLA_ECORRUPT
		       : 0;
}

static int read_each_journal(struct segment *s, struct room *room, struct rd *r)
{
	uint64_t n = rd_varint(r);
	int error = 0;

	if (r->bad || n > SEGMENT_JOURNALS_MAX || n > r->left / (2 * ID_SIZE + 7))
		return BULLA_ECORRUPT;
	s->journals = calloc(MAX_OF(n, 1ul), sizeof *s->journals);
	if (!s->journals)
		return -ENOMEM;
	for (; error >= 0 && s->n_journals < n; s->n_journals++) {
		struct segment_journal *j = &s->journals[s->n_journals];

		rd_copy(r, j->id.b, ID_SIZE);
		rd_copy(r, j->boot.b, ID_SIZE);
		error = read_extent(s, j, n, r);
		if (error >= 0)
			error = read_contexts(&j->contexts, room, r);
	}
	return error < 0 ? error : r->bad || r->left > 0 || room->left > 0 ? BULLA_ECORRUPT : 0;
}

static int read_journals(struct segment *s, struct rd *r)
{
	_cleanup_(field_table_done) struct field_table table = { 0 };
	struct room room = { 0 };
	int error = field_table_read(r, &table);

	if (error < 0)
		return error;
	room = (struct room){ .table = table, .left = rd_varint(r) };
	if (r->bad || room.left > SEGMENT_FIELDS_MAX || room.left > r->left)
		return BULLA_ECORRUPT;
	room.at = s->fields = reallocarray(NULL, room.left + 1, sizeof *s->fields);
	return s->fields ? read_each_journal(s, &room, r) : -ENOMEM;
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

/* A table that the footer speaks of.  `scratch` knows then where it is. */
static int read_table(struct segment *s, struct rd *footer, struct block_scratch *scratch,
		      int (*read)(struct segment *, struct rd *), uint8_t **raw)
{
	struct block_ref ref = block_ref_read(footer);
	struct rd r;
	int error;

	if (footer->bad)
		return BULLA_ECORRUPT;
	error = block_read(s->fd, &ref, scratch, raw);
	if (error < 0)
		return error;
	r = rd_of(*raw, ref.raw);
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
	_cleanup_free_ uint8_t *seeds = NULL;
	uint64_t footer_at = scratch->at;
	int r = read_table(s, footer, scratch, read_journals, &s->journals_data);

	if (r < 0)
		return r;
	r = read_table(s, footer, scratch, read_seeds, &seeds);
	if (r < 0 && !footer->bad)
		r = lose_seeds(s, r, scratch->at);
	if (r < 0)
		return r;
	scratch->at = footer_at;
	return template_table_read(footer, &s->templates);
}

/* Groups. */

/* Which journals a group may have. */
static int read_ranks(const struct segment *s, struct group_ref *g, struct rd *r)
{
	uint64_t rank = rd_varint(r), more = rd_varint(r);

	if (r->bad || rank >= s->n_journals || more >= s->n_journals - rank)
		return BULLA_ECORRUPT;
	g->rank_first = (uint32_t) rank;
	g->rank_last = (uint32_t) (rank + more);
	return 0;
}

static int read_rows(struct group_ref *g, struct rd *r)
{
	uint64_t rows = rd_varint(r), batches = rd_varint(r);

	g->time_min = rd_u64(r);
	g->time_max = rd_u64(r);
	if (r->bad || rows < 1 || rows > WINDOW_ROWS_MAX || batches < 1 || batches > rows ||
	    g->time_min > g->time_max)
		return BULLA_ECORRUPT;
	g->rows = (uint32_t) rows;
	g->batches = (uint32_t) batches;
	return 0;
}

static int read_blocks(struct group_ref *g, struct rd *r)
{
	uint64_t offset = rd_varint(r), n = rd_varint(r);

	if (r->bad || n > GROUP_BLOCKS_MAX || n > r->left)
		return BULLA_ECORRUPT;
	g->blocks = calloc(n + 1, sizeof *g->blocks);
	if (!g->blocks)
		return -ENOMEM;
	for (; g->n_blocks < n; g->n_blocks++) {
		struct block_ref *b = &g->blocks[g->n_blocks];
		uint64_t stored, raw;

		b->kind = rd_u8(r);
		stored = rd_varint(r);
		raw = rd_varint(r);
		b->crc = rd_u32(r);
		if (r->bad || b->kind == BLOCK_TOKENS || raw > BLOCK_SIZE_MAX || stored > raw)
			return BULLA_ECORRUPT;
		b->offset = offset;
		b->stored = (uint32_t) stored;
		b->raw = (uint32_t) raw;
		offset += stored;
	}
	return 0;
}

/* They lie elsewhere, but are read as the group's other blocks are. */
static int read_tokens(struct group_ref *g, struct rd *r)
{
	struct block_ref ref = block_ref_read(r);

	if (r->bad)
		return BULLA_ECORRUPT;
	if (ref.offset == 0)
		return 0;
	ref.kind = BLOCK_TOKENS;
	g->blocks[g->n_blocks++] = ref;
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
	for (; error >= 0 && s->n_groups < n; s->n_groups++) {
		struct group_ref *g = &s->groups[s->n_groups];

		error = read_ranks(s, g, r);
		if (error >= 0)
			error = read_rows(g, r);
		if (error >= 0)
			error = read_blocks(g, r);
		if (error >= 0)
			error = read_tokens(g, r);
	}
	return error;
}

/* Windows. */

/* Its groups are read together: that bounds what they may have.  @return how many rows, or an error. */
static int64_t take_groups(struct segment *s, const struct window_ref *w)
{
	uint64_t rows = 0, size = 0;

	for (uint32_t i = w->first; i < w->end; i++) {
		struct group_ref *g = &s->groups[i];

		g->window = s->n_windows;
		rows += g->rows;
		for (uint32_t k = 0; k < g->n_blocks; k++)
			size += g->blocks[k].raw;
	}
	return rows > WINDOW_ROWS_MAX || size > WINDOW_SIZE_MAX ? BULLA_ECORRUPT : (int64_t) rows;
}

static int read_counts(struct window_ref *w, uint64_t rows, struct rd *r)
{
	uint64_t n;

	w->span_s = rd_varint(r);
	if (w->span_s == 0)
		return r->bad ? BULLA_ECORRUPT : 0;
	w->span_first = rd_varint(r);
	n = rd_varint(r);
	if (r->bad || n > r->left || n > rows)
		return BULLA_ECORRUPT;
	w->counts = calloc(MAX_OF(n, 1ul), sizeof *w->counts);
	if (!w->counts)
		return -ENOMEM;
	for (; w->n_counts < n; w->n_counts++) {
		uint64_t count = rd_varint(r);

		if (count > rows)
			return BULLA_ECORRUPT;
		rows -= count;
		w->counts[w->n_counts] = (uint32_t) count;
	}
	return r->bad || rows > 0 ? BULLA_ECORRUPT : 0;
}

static int read_windows(struct segment *s, struct rd *r)
{
	uint64_t n = rd_varint(r);
	uint32_t group = 0;

	if (r->bad || n > s->n_groups)
		return BULLA_ECORRUPT;
	s->windows = calloc(MAX_OF(n, 1ul), sizeof *s->windows);
	if (!s->windows)
		return -ENOMEM;
	for (; s->n_windows < n; s->n_windows++) {
		struct window_ref *w = &s->windows[s->n_windows];
		uint64_t groups = rd_varint(r);
		int64_t rows;
		int error;

		if (r->bad || groups < 1 || groups > s->n_groups - group)
			return BULLA_ECORRUPT;
		w->first = group;
		w->end = group += (uint32_t) groups;
		rows = take_groups(s, w);
		error = rows < 0 ? (int) rows : read_counts(w, (uint64_t) rows, r);
		if (error < 0) {
			s->n_windows++; /* what it has is to be freed */
			return error;
		}
	}
	return group < s->n_groups || r->left > 0 ? BULLA_ECORRUPT : 0;
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
	if (error >= 0)
		error = read_windows(s, &r);
	*at = scratch.at;
	return error;
}

int segment_open_at(struct segment *s, int fd, uint64_t *ret_at)
{
	int r;

	*ret_at = 0;
	*s = (struct segment){ .fd = fd };
	r = read_all(s, ret_at);
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
	template_table_free(s->templates);
	for (uint32_t i = 0; s->groups && i < s->n_groups; i++)
		free(s->groups[i].blocks);
	free(s->origins);
	free(s->journals);
	free(s->fields);
	free(s->journals_data);
	for (uint32_t i = 0; s->windows && i < s->n_windows; i++)
		free(s->windows[i].counts);
	free(s->groups);
	free(s->windows);
	*s = (struct segment){ .fd = -1 };
}

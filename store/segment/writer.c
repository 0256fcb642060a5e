/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/writer-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/io.h"
#include "base/room.h"
#include "bulla/error.h"

enum { LEVEL_THOROUGH = 6 };

uint64_t segment_window_bytes = WINDOW_BYTES;
size_t segment_group_rows = GROUP_ROWS;

int segment_writer_open(struct segment_writer *w, int dirfd, const char *name, int level)
{
	static const uint8_t header[SEGMENT_HEADER_SIZE] = SEGMENT_MAGIC;
	int r;

	*w = (struct segment_writer){
		.dirfd = dirfd, .name = name, .fd = -1, .level = level, .tenant = { TENANT_DEFAULT }
	};
	w->fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
	r = w->fd < 0 ? -errno : io_pwrite(w->fd, header, sizeof header, 0);
	if (r < 0)
		segment_writer_close(w);
	w->offset = sizeof header;
	return r;
}

void segment_writer_relax(struct segment_writer *w)
{
	ZSTD_freeCCtx(w->zstd);
	w->zstd = NULL;
	messages_done(&w->messages);
	message_blocks_done(&w->blocks);
	strings_scratch_done(&w->scratch);
	buf_done(&w->raw);
	buf_done(&w->stored);
}

void segment_writer_close(struct segment_writer *w)
{
	close_fd(&w->fd);
	segment_writer_relax(w);
	templates_done(&w->templates);
	free(w->groups);
	buf_done(&w->blocks_of);
	buf_done(&w->windows);
	buf_done(&w->tables);
	free(w->origins);
	free(w->sources);
	staging_done(&w->rows);
	*w = (struct segment_writer){ .fd = -1 };
}

/* What makes logs alike: the same image, or program. */
static struct text app_of(const struct contexts *c)
{
	static const char *const names[] = { "_IMAGE_NAME", "_COMM", "SYSLOG_IDENTIFIER" };

	for (size_t i = 0; c->n > 0 && i < ELEMENTS(names); i++) {
		const struct field *f = contexts_lookup(c, 0, names[i]);

		if (f)
			return (struct text){ f->value, f->value_len };
	}
	return (struct text){ 0 };
}

int64_t segment_writer_origin(struct segment_writer *w, const struct id *id, uint64_t first)
{
	struct segment_origin *more;

	if (w->n_origins == SEGMENT_ORIGINS_MAX)
		return BULLA_ELIMIT;
	more = reallocarray(w->origins, w->n_origins + 1, sizeof *more);
	if (!more)
		return -ENOMEM;
	w->origins = more;
	w->origins[w->n_origins] = (struct segment_origin){
		.id = *id,
		.first = first,
		.end = first,
		.time_first = UINT64_MAX,
	};
	return w->n_origins++;
}

void segment_writer_when(struct segment_writer *w, uint32_t origin, uint64_t time_ns)
{
	struct segment_origin *o = &w->origins[origin];

	o->time_first = MIN_OF(o->time_first, time_ns);
	o->time_last = MAX_OF(o->time_last, time_ns);
}

void segment_writer_covers(struct segment_writer *w, uint32_t origin, uint64_t end)
{
	w->origins[origin].end = end;
}

int64_t segment_writer_journal(struct segment_writer *w, const struct segment_source *s)
{
	size_t cap = w->sources_cap;

	if (w->n_sources == SEGMENT_JOURNALS_MAX)
		return BULLA_ELIMIT;
	if (!room_for(&w->sources, w->n_sources, &cap, sizeof *w->sources))
		return -ENOMEM;
	w->sources_cap = (uint32_t) cap;
	w->sources[w->n_sources] = *s;
	w->sources[w->n_sources].next_batch = s->first_batch;
	w->sources[w->n_sources].next_seq = s->first_seq;
	w->sources[w->n_sources].key = (struct staging_key){ app_of(s->contexts), s->id };
	return w->n_sources++;
}

int segment_writer_batch(struct segment_writer *w, uint32_t journal, uint64_t commit, uint8_t flags,
			 int64_t mono_offset)
{
	struct staged_batch batch = {
		.journal = journal,
		.origin = w->sources[journal].origin,
		.commit = commit,
		.batch_no = w->sources[journal].next_batch,
		.first_seq = w->sources[journal].next_seq,
		.mono_offset = mono_offset,
		.flags = flags,
	};
	int r = staging_batch(&w->rows, &batch);

	w->sources[journal].next_batch += r >= 0;
	return r;
}

int segment_writer_add(struct segment_writer *w, const struct entry *e, uint32_t context)
{
	int r = w->rows.n_rows < WINDOW_ROWS_MAX ? staging_add(&w->rows, e, context) : BULLA_ELIMIT;

	if (r >= 0)
		w->sources[w->rows.batches[w->rows.n_batches - 1].journal].next_seq++;
	return r;
}

void segment_writer_drop_batch(struct segment_writer *w)
{
	const struct staged_batch *b = &w->rows.batches[w->rows.n_batches - 1];

	w->sources[b->journal].next_batch = b->batch_no;
	w->sources[b->journal].next_seq = b->first_seq;
	staging_drop(&w->rows);
}

static const struct staging_key *key_of(const void *arg, uint32_t journal)
{
	const struct segment_writer *w = arg;

	return &w->sources[journal].key;
}

/* Blocks. */

static int store_block(struct segment_writer *w, const uint8_t *p, size_t n, int level,
		       struct block_ref *ret)
{
	size_t bound = ZSTD_compressBound(n), size;
	const uint8_t *from = p;
	int r;

	if (n > BLOCK_SIZE_MAX)
		return BULLA_ELIMIT;
	buf_clear(&w->stored);
	if (!w->zstd)
		w->zstd = ZSTD_createCCtx();
	if (!w->zstd || !buf_room(&w->stored, bound))
		return -ENOMEM;
	size = ZSTD_compressCCtx(w->zstd, w->stored.data, bound, p, n, level);
	if (ZSTD_isError(size))
		return -ENOMEM;
	if (size >= n)
		size = n;
	else
		from = w->stored.data;
	*ret = (struct block_ref){ .offset = w->offset,
				   .stored = (uint32_t) size,
				   .raw = (uint32_t) n,
				   .crc = crc32c(0, from, size) };
	r = size > 0 ? io_pwrite(w->fd, from, size, w->offset) : 0;
	w->offset += size;
	return r;
}

int writer_block(struct segment_writer *w, const uint8_t *p, size_t n, struct block_ref *ret)
{
	return store_block(w, p, n, w->level, ret);
}

/*
 * Numbers have hardly any repetitions: what is gained is gained by their bytes' frequencies, which level 1 sees as well.  Where
 * time is short that is all there is to them; from LEVEL_THOROUGH on every byte counts.
 */
static int level_of(const struct segment_writer *w, enum block_kind kind)
{
	bool numbers = kind <= BLOCK_TIMES || kind == BLOCK_TEMPLATES || kind == BLOCK_NUMBERS;

	return numbers && w->level < LEVEL_THOROUGH ? 1 : w->level;
}

/* A block of the group at hand, and its line in the footer. */
static int group_block(struct segment_writer *w, enum block_kind kind, const uint8_t *p, size_t n,
		       struct written_group *of)
{
	struct block_ref s;
	int r;

	if (n == 0)
		return 0;
	r = store_block(w, p, n, level_of(w, kind), &s);
	if (r < 0)
		return r;
	buf_char(&w->blocks_of, (char) kind);
	buf_varint(&w->blocks_of, s.stored);
	buf_varint(&w->blocks_of, s.raw);
	buf_append(&w->blocks_of, &s.crc, 4);
	of->n_blocks++;
	return 0;
}

static void put_batches(struct segment_writer *w, uint64_t *column, struct buf *to)
{
	for (int k = 0; k < 5; k++) {
		for (size_t i = 0; i < w->group.n_batches; i++) {
			const struct staged_batch *b = &w->group.batches[i];

			column[i] = k == 0   ? b->journal
				    : k == 1 ? b->commit
				    : k == 2 ? b->n_rows
				    : k == 3 ? b->flags
					     : zigzag((uint64_t) b->mono_offset);
		}
		ints_encode(&w->scratch.ints, column, w->group.n_batches, to);
	}
	/* From there on they count themselves. */
	for (int k = 0; k < 2; k++) {
		size_t runs = 0;

		for (size_t i = 0; i < w->group.n_batches; i++) {
			const struct staged_batch *b = &w->group.batches[i];

			if (i == 0 || b->journal != w->group.batches[i - 1].journal)
				column[runs++] = k == 0 ? b->batch_no : b->first_seq;
		}
		ints_encode(&w->scratch.ints, column, runs, to);
	}
}

static void put_rows(struct segment_writer *w, uint64_t *column, struct buf *to)
{
	for (int k = 0; k < 3; k++) {
		for (size_t i = 0; i < w->group.n_rows; i++) {
			const struct staged_row *row = &w->group.rows[i];

			column[i] = k == 0 ? row->context : k == 1 ? row->priority : row->flags;
		}
		ints_encode(&w->scratch.ints, column, w->group.n_rows, to);
	}
}

/* Leaves the times in the column. */
static void put_times(struct segment_writer *w, uint64_t *column, struct buf *to)
{
	struct buf received = { 0 };

	for (size_t i = 0; i < w->group.n_rows; i++)
		column[i] = zigzag(w->group.rows[i].received_ns - w->group.rows[i].time_ns);
	ints_encode(&w->scratch.ints, column, w->group.n_rows, &received);
	for (size_t i = 0; i < w->group.n_rows; i++)
		column[i] = w->group.rows[i].time_ns;
	ints_encode(&w->scratch.ints, column, w->group.n_rows, to);
	buf_append(to, received.data, received.len);
	to->bad |= received.bad;
	buf_done(&received);
}

/* The entries' own fields: how many each has, then names and values as two columns of strings.  Nothing where none has any. */
static int put_fields(struct segment_writer *w, uint64_t *column, struct buf *to)
{
	_cleanup_free_ struct text *texts = NULL;
	size_t n = 0, k = 0;

	for (size_t i = 0; i < w->group.n_rows; i++) {
		column[i] = w->group.rows[i].n_fields;
		n += w->group.rows[i].n_fields;
	}
	if (n == 0)
		return 0;
	texts = reallocarray(NULL, n, 2 * sizeof *texts);
	if (!texts)
		return -ENOMEM;
	for (size_t i = 0; i < w->group.n_rows; i++) {
		const struct staged_row *row = &w->group.rows[i];
		const uint8_t *p = w->rows.bytes.data + row->at + row->message_len;

		for (uint16_t f = 0; f < row->n_fields; f++, k++) {
			texts[k] = (struct text){ p + 1, p[0] };
			p += 1 + p[0];
			memcpy(&texts[n + k].len, p, 4);
			texts[n + k].p = p + 4;
			p += 4 + texts[n + k].len;
		}
	}
	ints_encode(&w->scratch.ints, column, w->group.n_rows, to);
	strings_encode(&w->scratch, texts, n, to);
	strings_encode(&w->scratch, texts + n, n, to);
	return 0;
}

static int write_columns(struct segment_writer *w, uint64_t *column, struct written_group *of)
{
	int r = 0;

	for (int kind = BLOCK_BATCHES; r >= 0 && kind <= BLOCK_FIELDS; kind++) {
		buf_clear(&w->raw);
		if (kind == BLOCK_BATCHES)
			put_batches(w, column, &w->raw);
		else if (kind == BLOCK_ROWS)
			put_rows(w, column, &w->raw);
		else if (kind == BLOCK_TIMES)
			put_times(w, column, &w->raw);
		else
			r = put_fields(w, column, &w->raw);
		if (r >= 0 && w->raw.bad)
			r = -ENOMEM;
		if (r >= 0)
			r = group_block(w, (enum block_kind) kind, w->raw.data, w->raw.len, of);
	}
	return r;
}

static int write_messages(struct segment_writer *w, uint64_t *times, struct written_group *of)
{
	struct message_blocks *b = &w->blocks;
	int r = 0;

	messages_clear(&w->messages);
	if (!buf_room(&w->rows.bytes, MESSAGE_SLACK))
		return -ENOMEM;
	for (size_t i = 0; r >= 0 && i < w->group.n_rows; i++) {
		times[i] = w->group.rows[i].time_ns;
		r = messages_add(&w->messages, w->rows.bytes.data + w->group.rows[i].at,
				 w->group.rows[i].message_len, times[i]);
	}
	if (r >= 0)
		r = messages_encode(&w->messages, &w->templates, times, b);
	if (r >= 0)
		r = group_block(w, BLOCK_TEMPLATES, b->templates.data, b->templates.len, of);
	if (r >= 0)
		r = group_block(w, BLOCK_VARIABLES, b->variables.data, b->variables.len, of);
	for (int s = 0; r >= 0 && s < STREAMS; s++) {
		uint32_t from = 0;

		for (size_t i = 0; r >= 0 && i < b->n_cuts[s]; i++) {
			r = group_block(w, (enum block_kind)(BLOCK_NUMBERS + s),
					b->stream[s].data + from, b->cut[s][i] - from, of);
			from = b->cut[s][i];
		}
	}
	return r < 0 ? r : group_block(w, BLOCK_WHOLE, b->whole.data, b->whole.len, of);
}

static void describe_group(struct segment_writer *w, struct written_group *of)
{
	const struct staged_group *g = &w->group;

	of->rows = (uint32_t) g->n_rows;
	of->batches = (uint32_t) g->n_batches;
	of->first = g->batches[0].journal;
	of->last = g->batches[g->n_batches - 1].journal;
	of->time_min = UINT64_MAX;
	for (size_t i = 0; i < g->n_rows; i++) {
		of->time_min = MIN_OF(of->time_min, g->rows[i].time_ns);
		of->time_max = MAX_OF(of->time_max, g->rows[i].time_ns);
	}
	of->blocks_end = w->blocks_of.len;
}

static int write_group(struct segment_writer *w, uint64_t *column)
{
	struct written_group of = { .offset = w->offset };
	size_t cap = w->groups_cap;
	int r;

	if (w->n_groups == GROUPS_MAX)
		return BULLA_ELIMIT;
	if (!room_for(&w->groups, w->n_groups, &cap, sizeof *w->groups))
		return -ENOMEM;
	w->groups_cap = (uint32_t) cap;
	r = write_columns(w, column, &of);
	if (r >= 0)
		r = write_messages(w, column, &of);
	if (r < 0)
		return r;
	describe_group(w, &of);
	w->groups[w->n_groups++] = of;
	return w->blocks_of.bad ? -ENOMEM : 0;
}

/* The shortest span of time of which the window has so few that counting them is cheap; 0: of none. */
static uint64_t find_span(const struct segment_writer *w, uint64_t first_s, uint64_t last_s)
{
	static const uint64_t spans[] = { 1, 10, 60, 600, 3600 };

	for (size_t i = 0; i < ELEMENTS(spans); i++)
		if ((last_s / spans[i] - first_s / spans[i]) * COUNTS_RARE < w->rows.n_rows)
			return spans[i];
	return 0;
}

/* Who asks how many entries there were when need not read them. */
static int describe_window(struct segment_writer *w, uint32_t first_group)
{
	_cleanup_free_ uint32_t *counts = NULL;
	uint64_t min = UINT64_MAX, max = 0, span, first;
	size_t n;

	for (uint32_t i = first_group; i < w->n_groups; i++) {
		min = MIN_OF(min, w->groups[i].time_min / NS_PER_S);
		max = MAX_OF(max, w->groups[i].time_max / NS_PER_S);
	}
	span = find_span(w, min, max);
	buf_varint(&w->windows, w->n_groups - first_group);
	buf_varint(&w->windows, span);
	if (span == 0)
		return w->windows.bad ? -ENOMEM : 0;
	first = min / span;
	n = (size_t) (max / span - first) + 1;
	counts = calloc(n, sizeof *counts);
	if (!counts)
		return -ENOMEM;
	for (size_t i = 0; i < w->rows.n_rows; i++)
		counts[w->rows.rows[i].time_ns / NS_PER_S / span - first]++;
	buf_varint(&w->windows, first);
	buf_varint(&w->windows, n);
	for (size_t i = 0; i < n; i++)
		buf_varint(&w->windows, counts[i]);
	return w->windows.bad ? -ENOMEM : 0;
}

int writer_window(struct segment_writer *w)
{
	_cleanup_free_ uint64_t *column = NULL;
	uint32_t first = w->n_groups;
	int r;

	if (w->rows.n_rows == 0)
		return 0;
	column = reallocarray(NULL, MAX_OF(w->rows.n_rows, w->rows.n_batches), sizeof *column);
	if (!column)
		return -ENOMEM;
	r = staging_order(&w->rows, key_of, w);
	w->group = (struct staged_group){ 0 };
	while (r >= 0 && staging_next(&w->rows, key_of, w, segment_group_rows, &w->group))
		r = write_group(w, column);
	if (r >= 0)
		r = describe_window(w, first);
	w->n_windows++;
	staging_clear(&w->rows);
	return r;
}

int segment_writer_flush(struct segment_writer *w)
{
	return writer_window(w);
}

int segment_writer_end_commit(struct segment_writer *w)
{
	return w->rows.n_rows >= WINDOW_ROWS || w->rows.bytes.len >= segment_window_bytes
		       ? writer_window(w)
		       : 0;
}

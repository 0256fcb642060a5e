/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/writer-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/io.h"
#include "base/room.h"
#include "bulla/error.h"

uint64_t segment_group_bytes = GROUP_BYTES;

int segment_writer_open(struct segment_writer *w, int dirfd, const char *name, int level)
{
	static const uint8_t header[SEGMENT_HEADER_SIZE] = SEGMENT_MAGIC;
	int r;

	*w = (struct segment_writer){ .fd = -1, .level = level, .tenant = { TENANT_DEFAULT } };
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
	buf_done(&w->groups);
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
	int r = w->rows.n_rows < GROUP_ROWS_MAX ? staging_add(&w->rows, e, context) : BULLA_ELIMIT;

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

int writer_block(struct segment_writer *w, const uint8_t *p, size_t n, struct stored *ret)
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
	size = ZSTD_compressCCtx(w->zstd, w->stored.data, bound, p, n, w->level);
	if (ZSTD_isError(size))
		return -ENOMEM;
	if (size >= n)
		size = n;
	else
		from = w->stored.data;
	*ret = (struct stored){ w->offset, (uint32_t) size, (uint32_t) n, crc32c(0, from, size) };
	r = size > 0 ? io_pwrite(w->fd, from, size, w->offset) : 0;
	w->offset += size;
	return r;
}

/* A block of the group at hand, and its line in the directory. */
static int group_block(struct segment_writer *w, enum block_kind kind, const uint8_t *p, size_t n,
		       uint32_t *n_blocks, struct buf *directory)
{
	struct stored s;
	int r;

	if (n == 0)
		return 0;
	r = writer_block(w, p, n, &s);
	if (r < 0)
		return r;
	buf_char(directory, (char) kind);
	buf_varint(directory, s.stored);
	buf_varint(directory, s.raw);
	buf_append(directory, &s.crc, 4);
	w->size_of[kind] += s.stored;
	(*n_blocks)++;
	return 0;
}

static void put_batches(struct segment_writer *w, uint64_t *column, struct buf *to)
{
	for (int k = 0; k < 5; k++) {
		for (size_t i = 0; i < w->rows.n_batches; i++) {
			const struct staged_batch *b = &w->rows.batches[i];

			column[i] = k == 0   ? b->journal
				    : k == 1 ? b->commit
				    : k == 2 ? b->n_rows
				    : k == 3 ? b->flags
					     : zigzag((uint64_t) b->mono_offset);
		}
		ints_encode(&w->scratch.ints, column, w->rows.n_batches, to);
	}
	/* From there on they count themselves. */
	for (int k = 0; k < 2; k++) {
		size_t runs = 0;

		for (size_t i = 0; i < w->rows.n_batches; i++) {
			const struct staged_batch *b = &w->rows.batches[i];

			if (i == 0 || b->journal != w->rows.batches[i - 1].journal)
				column[runs++] = k == 0 ? b->batch_no : b->first_seq;
		}
		ints_encode(&w->scratch.ints, column, runs, to);
	}
}

static void put_rows(struct segment_writer *w, uint64_t *column, struct buf *to)
{
	for (int k = 0; k < 3; k++) {
		for (size_t i = 0; i < w->rows.n_rows; i++) {
			const struct staged_row *row = &w->rows.rows[i];

			column[i] = k == 0 ? row->context : k == 1 ? row->priority : row->flags;
		}
		ints_encode(&w->scratch.ints, column, w->rows.n_rows, to);
	}
}

/* Leaves the times in the column. */
static void put_times(struct segment_writer *w, uint64_t *column, struct buf *to)
{
	struct buf received = { 0 };

	for (size_t i = 0; i < w->rows.n_rows; i++)
		column[i] = zigzag(w->rows.rows[i].received_ns - w->rows.rows[i].time_ns);
	ints_encode(&w->scratch.ints, column, w->rows.n_rows, &received);
	for (size_t i = 0; i < w->rows.n_rows; i++)
		column[i] = w->rows.rows[i].time_ns;
	ints_encode(&w->scratch.ints, column, w->rows.n_rows, to);
	buf_append(to, received.data, received.len);
	to->bad |= received.bad;
	buf_done(&received);
}

/* The entries' own fields: how many each has, then names and values as two columns of strings.  Nothing where none has any. */
static int put_fields(struct segment_writer *w, uint64_t *column, struct buf *to)
{
	_cleanup_free_ struct text *texts = NULL;
	size_t n = 0, k = 0;

	for (size_t i = 0; i < w->rows.n_rows; i++) {
		column[i] = w->rows.rows[i].n_fields;
		n += w->rows.rows[i].n_fields;
	}
	if (n == 0)
		return 0;
	texts = reallocarray(NULL, n, 2 * sizeof *texts);
	if (!texts)
		return -ENOMEM;
	for (size_t i = 0; i < w->rows.n_rows; i++) {
		const struct staged_row *row = &w->rows.rows[i];
		const uint8_t *p = w->rows.bytes.data + row->at + row->message_len;

		for (uint16_t f = 0; f < row->n_fields; f++, k++) {
			texts[k] = (struct text){ p + 1, p[0] };
			p += 1 + p[0];
			memcpy(&texts[n + k].len, p, 4);
			texts[n + k].p = p + 4;
			p += 4 + texts[n + k].len;
		}
	}
	ints_encode(&w->scratch.ints, column, w->rows.n_rows, to);
	strings_encode(&w->scratch, texts, n, to);
	strings_encode(&w->scratch, texts + n, n, to);
	return 0;
}

static int write_columns(struct segment_writer *w, uint64_t *column, uint32_t *n_blocks,
			 struct buf *directory)
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
			r = group_block(w, (enum block_kind) kind, w->raw.data, w->raw.len,
					n_blocks, directory);
	}
	return r;
}

static int write_messages(struct segment_writer *w, uint64_t *times, uint32_t *n_blocks,
			  struct buf *directory)
{
	struct message_blocks *b = &w->blocks;
	int r = 0;

	messages_clear(&w->messages);
	for (size_t i = 0; r >= 0 && i < w->rows.n_rows; i++) {
		times[i] = w->rows.rows[i].time_ns;
		r = messages_add(&w->messages, w->rows.bytes.data + w->rows.rows[i].at,
				 w->rows.rows[i].message_len, times[i]);
	}
	if (r >= 0)
		r = messages_encode(&w->messages, &w->templates, times, b);
	if (r >= 0)
		r = group_block(w, BLOCK_TEMPLATES, b->templates.data, b->templates.len, n_blocks,
				directory);
	if (r >= 0)
		r = group_block(w, BLOCK_VARIABLES, b->variables.data, b->variables.len, n_blocks,
				directory);
	for (int s = 0; r >= 0 && s < STREAMS; s++) {
		uint32_t from = 0;

		for (size_t i = 0; r >= 0 && i < b->n_cuts[s]; i++) {
			r = group_block(w, (enum block_kind)(BLOCK_NUMBERS + s),
					b->stream[s].data + from, b->cut[s][i] - from, n_blocks,
					directory);
			from = b->cut[s][i];
		}
	}
	if (r >= 0)
		r = group_block(w, BLOCK_WHOLE, b->whole.data, b->whole.len, n_blocks, directory);
	return r < 0 ? r
		     : group_block(w, BLOCK_TOKENS, b->tokens.data, b->tokens.len, n_blocks,
				   directory);
}

static void describe_group(struct segment_writer *w, uint64_t offset, uint32_t n_blocks,
			   const struct buf *directory)
{
	uint64_t time_min = UINT64_MAX, time_max = 0;

	for (size_t i = 0; i < w->rows.n_rows; i++) {
		time_min = MIN_OF(time_min, w->rows.rows[i].time_ns);
		time_max = MAX_OF(time_max, w->rows.rows[i].time_ns);
	}
	buf_varint(&w->groups, w->rows.n_rows);
	buf_varint(&w->groups, w->rows.n_batches);
	buf_append(&w->groups, &time_min, 8);
	buf_append(&w->groups, &time_max, 8);
	buf_varint(&w->groups, offset);
	buf_varint(&w->groups, n_blocks);
	buf_append(&w->groups, directory->data, directory->len);
}

int writer_group(struct segment_writer *w)
{
	_cleanup_buf_ struct buf directory = { 0 };
	_cleanup_free_ uint64_t *column = NULL;
	uint64_t offset = w->offset;
	uint32_t n_blocks = 0;
	int r;

	if (w->rows.n_rows == 0)
		return 0;
	if (w->n_groups == GROUPS_MAX)
		return BULLA_ELIMIT;
	column = reallocarray(NULL, MAX_OF(w->rows.n_rows, w->rows.n_batches), sizeof *column);
	if (!column)
		return -ENOMEM;
	r = staging_order(&w->rows, key_of, w);
	if (r >= 0)
		r = write_columns(w, column, &n_blocks, &directory);
	if (r >= 0)
		r = write_messages(w, column, &n_blocks, &directory);
	if (r < 0)
		return r;
	describe_group(w, offset, n_blocks, &directory);
	w->n_groups++;
	staging_clear(&w->rows);
	return directory.bad || w->groups.bad ? -ENOMEM : 0;
}

int segment_writer_flush(struct segment_writer *w)
{
	return writer_group(w);
}

int segment_writer_end_commit(struct segment_writer *w)
{
	return w->rows.n_rows >= GROUP_ROWS || w->rows.bytes.len >= segment_group_bytes
		       ? writer_group(w)
		       : 0;
}

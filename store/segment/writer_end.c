/* SPDX-License-Identifier: Apache-2.0 */

/** The end of a segment: tables, footer and trailer, without which it is none. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"
#include "store/segment/field_table.h"
#include "store/segment/writer-internal.h"

/* Journals by key, as the rows of a window are, for a group to say which it may have. */
struct ranked {
	const struct segment_source *source;
	uint32_t journal;
};

static int compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	int c = staging_compare_keys(&x->source->key, &y->source->key);

	return c != 0 ? c : (x->journal > y->journal) - (x->journal < y->journal);
}

static int rank_journals(struct segment_writer *w)
{
	_cleanup_free_ struct ranked *ranked =
		reallocarray(NULL, w->n_sources + 1u, sizeof *ranked);

	if (!ranked)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->n_sources; i++)
		ranked[i] = (struct ranked){ &w->sources[i], i };
	qsort(ranked, w->n_sources, sizeof *ranked, compare_ranked);
	for (uint32_t i = 0; i < w->n_sources; i++)
		w->sources[ranked[i].journal].rank = i;
	return 0;
}

/* The table of the fields of all contexts, and the number of each of them. */
static int put_fields(const struct segment_writer *w, struct buf *to, uint32_t **ret_number)
{
	_cleanup_free_ const struct field **fields = NULL;
	_cleanup_free_ uint32_t *number = NULL;
	size_t n = 0, size = 0;
	int r;

	for (uint32_t i = 0; i < w->n_sources; i++) {
		const struct contexts *c = w->sources[i].contexts;

		for (uint32_t k = 0; k < c->n; k++)
			n += c->at[k].n_fields;
		size += c->size;
	}
	if (n > SEGMENT_FIELDS_MAX || size > SEGMENT_CONTEXTS_SIZE_MAX)
		return BULLA_ELIMIT;
	fields = reallocarray(NULL, n + 1, sizeof *fields);
	number = reallocarray(NULL, n + 1, sizeof *number);
	if (!fields || !number)
		return -ENOMEM;
	n = 0;
	for (uint32_t i = 0; i < w->n_sources; i++)
		for (uint32_t k = 0; k < w->sources[i].contexts->n; k++) {
			const struct context_entry *e = &w->sources[i].contexts->at[k];

			for (uint16_t f = 0; f < e->n_fields; f++)
				fields[n++] = &e->fields[f];
		}
	r = field_table_put(fields, n, number, to);
	buf_varint(to, n);
	if (r >= 0)
		*ret_number = TAKE_PTR(number);
	return r;
}

static int put_journals(const struct segment_writer *w, struct buf *to)
{
	_cleanup_free_ uint32_t *numbers = NULL;
	const uint32_t *number;
	int r = put_fields(w, to, &numbers);

	if (r < 0)
		return r;
	number = numbers;
	buf_varint(to, w->n_sources);
	for (uint32_t i = 0; i < w->n_sources; i++) {
		const struct segment_source *s = &w->sources[i];

		buf_append(to, s->id.b, ID_SIZE);
		buf_append(to, s->boot.b, ID_SIZE);
		buf_varint(to, s->origin);
		buf_varint(to, s->first_batch);
		buf_varint(to, s->next_batch - s->first_batch);
		buf_varint(to, s->first_seq);
		buf_varint(to, s->next_seq - s->first_seq);
		buf_varint(to, s->rank);
		buf_varint(to, s->contexts->n);
		for (uint32_t k = 0; k < s->contexts->n; k++) {
			const struct context_entry *e = &s->contexts->at[k];

			buf_varint(to, (uint64_t) (e->parent + 1));
			field_table_put_numbers(number, e->n_fields, to);
			number += e->n_fields;
		}
	}
	return 0;
}

/* Journal by journal; seeds are random, and compress to nothing less. */
static int put_seeds(const struct segment_writer *w, struct buf *to)
{
	for (uint32_t i = 0; i < w->n_sources; i++) {
		const struct seeds *s = w->sources[i].seeds;

		buf_varint(to, s->n);
		for (uint32_t k = 0; k < s->n; k++) {
			buf_varint(to, s->at[k].first_batch);
			buf_append(to, s->at[k].seed, SEED_SIZE);
		}
	}
	return 0;
}

static void put_ref(const struct block_ref *ref, struct buf *footer)
{
	buf_varint(footer, ref->offset);
	buf_varint(footer, ref->stored);
	buf_varint(footer, ref->raw);
	buf_append(footer, &ref->crc, 4);
}

static int write_block(struct segment_writer *w, struct buf *footer)
{
	struct block_ref ref;
	int r = w->raw.bad ? -ENOMEM : writer_block(w, w->raw.data, w->raw.len, &ref);

	if (r >= 0)
		put_ref(&ref, footer);
	return r;
}

static int write_table(struct segment_writer *w,
		       int (*put)(const struct segment_writer *, struct buf *), struct buf *footer)
{
	int r;

	buf_clear(&w->raw);
	r = put(w, &w->raw);
	return r < 0 ? r : write_block(w, footer);
}

/* Something of each template. */
typedef struct text (*of_template_fn)(struct segment_writer *w, uint32_t number,
				      uint8_t scratch[VARIABLES_MAX]);

static struct text key_of(struct segment_writer *w, uint32_t number, uint8_t scratch[VARIABLES_MAX])
{
	return templates_get(&w->templates, number);
}

static struct text kinds_of(struct segment_writer *w, uint32_t number,
			    uint8_t scratch[VARIABLES_MAX])
{
	struct text key = templates_get(&w->templates, number);

	return (struct text){ scratch, template_kinds(key.p, key.len, scratch) };
}

/* The templates from one on, until there are as many bytes of them as a part has.  @return the number behind the last. */
static uint32_t put_part(struct segment_writer *w, uint32_t from, of_template_fn of)
{
	_cleanup_buf_ struct buf texts = { 0 };
	uint8_t scratch[VARIABLES_MAX];
	uint32_t end = from;

	buf_clear(&w->raw);
	for (; end < w->templates.n && texts.len < TEMPLATES_PART_SIZE; end++) {
		struct text t = of(w, end, scratch);

		buf_varint(&w->raw, t.len);
		buf_append(&texts, t.p, t.len);
	}
	buf_append(&w->raw, texts.data, texts.len);
	w->raw.bad |= texts.bad;
	return end;
}

static int write_templates(struct segment_writer *w, of_template_fn of, struct buf *footer)
{
	_cleanup_buf_ struct buf parts = { 0 };
	uint64_t n = 0, size = 0;
	int r = w->templates.n > TEMPLATES_MAX ? BULLA_ELIMIT : 0;

	for (uint32_t from = 0, end; r >= 0 && from < w->templates.n; from = end, n++) {
		end = put_part(w, from, of);
		buf_varint(&parts, end - from);
		size += w->raw.len;
		r = size > TEMPLATES_SIZE_MAX ? BULLA_ELIMIT : write_block(w, &parts);
	}
	buf_varint(footer, n);
	buf_append(footer, parts.data, parts.len);
	footer->bad |= parts.bad;
	return r;
}

static void put_origins(const struct segment_writer *w, struct buf *footer)
{
	buf_varint(footer, w->n_origins);
	for (uint32_t i = 0; i < w->n_origins; i++) {
		const struct segment_origin *o = &w->origins[i];
		uint64_t first = MIN_OF(o->time_first, o->time_last);

		buf_append(footer, o->id.b, ID_SIZE);
		buf_varint(footer, o->first);
		buf_varint(footer, o->end);
		buf_append(footer, &first, 8);
		buf_append(footer, &o->time_last, 8);
	}
}

static void put_groups(const struct segment_writer *w, struct buf *footer)
{
	size_t from = 0;

	buf_varint(footer, w->n_groups);
	for (uint32_t i = 0; i < w->n_groups; i++) {
		const struct written_group *g = &w->groups[i];
		uint32_t rank = w->sources[g->first].rank;

		buf_varint(footer, rank);
		buf_varint(footer, w->sources[g->last].rank - rank);
		buf_varint(footer, g->rows);
		buf_varint(footer, g->batches);
		buf_append(footer, &g->time_min, 8);
		buf_append(footer, &g->time_max, 8);
		buf_varint(footer, g->offset);
		buf_varint(footer, g->n_blocks);
		buf_append(footer, w->blocks_of.data + from, g->blocks_end - from);
		put_ref(&g->tokens, footer);
		from = g->blocks_end;
	}
	buf_varint(footer, w->n_windows);
	buf_append(footer, w->windows.data, w->windows.len);
}

/* Who asks for the newest entries gets by with a small window. */
static int write_last_windows(struct segment_writer *w)
{
	struct staging last = { 0 };
	int r = staging_split(&w->rows, LAST_ROWS, &last);

	if (r >= 0)
		r = writer_window(w);
	if (r >= 0 && last.n_rows > 0) {
		staging_done(&w->rows);
		w->rows = last;
		return writer_window(w);
	}
	staging_done(&last);
	return r;
}

int writer_tables(struct segment_writer *w)
{
	struct buf *tables = &w->tables;
	int r = write_last_windows(w);

	if (r >= 0)
		r = rank_journals(w);
	buf_varint(tables, strlen(w->tenant.name));
	buf_str(tables, w->tenant.name);
	put_origins(w, tables);
	if (r >= 0)
		r = write_table(w, put_journals, tables);
	if (r >= 0)
		r = write_table(w, put_seeds, tables);
	if (r >= 0)
		r = write_templates(w, key_of, tables);
	if (r >= 0)
		r = write_templates(w, kinds_of, tables);
	return r;
}

static int write_trailer(const struct segment_writer *w, const struct block_ref *footer,
			 uint64_t at)
{
	uint8_t trailer[SEGMENT_TRAILER_SIZE];
	struct wr to = wr_of(trailer, sizeof trailer);

	wr_u64(&to, footer->offset);
	wr_u32(&to, footer->stored);
	wr_u32(&to, footer->raw);
	wr_u32(&to, footer->crc);
	wr_bytes(&to, SEGMENT_MAGIC, 8);
	return io_pwrite(w->fd, trailer, to.len, at);
}

int64_t writer_footer(struct segment_writer *w)
{
	_cleanup_buf_ struct buf footer = { 0 };
	struct block_ref ref;
	uint64_t end;
	int r;

	buf_append(&footer, w->tables.data, w->tables.len);
	put_groups(w, &footer);
	if (footer.bad || w->tables.bad)
		return -ENOMEM;
	r = writer_block(w, footer.data, footer.len, &ref);
	if (r < 0)
		return r;
	end = w->offset + SEGMENT_TRAILER_SIZE;
	r = write_trailer(w, &ref, w->offset);
	w->offset = ref.offset;
	/* What was here before may have been longer. */
	if (r >= 0 && ftruncate(w->fd, (off_t) end) < 0)
		r = -errno;
	return r < 0 ? r : (int64_t) end;
}

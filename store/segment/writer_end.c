/* SPDX-License-Identifier: Apache-2.0 */

/** The end of a segment: tables, footer and trailer, without which it is none. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "store/segment/writer-internal.h"

static void put_journals(const struct segment_writer *w, struct buf *to)
{
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
		buf_varint(to, s->contexts->n);
		for (uint32_t k = 0, n; k < s->contexts->n; k++) {
			const uint8_t *fields = contexts_fields(&s->contexts->at[k], &n);

			buf_varint(to, (uint64_t) (s->contexts->at[k].parent + 1));
			buf_varint(to, n);
			buf_append(to, fields, n);
		}
	}
}

/* Journal by journal; seeds are random, and compress to nothing less. */
static void put_seeds(const struct segment_writer *w, struct buf *to)
{
	for (uint32_t i = 0; i < w->n_sources; i++) {
		const struct seeds *s = w->sources[i].seeds;

		buf_varint(to, s->n);
		for (uint32_t k = 0; k < s->n; k++) {
			buf_varint(to, s->at[k].first_batch);
			buf_append(to, s->at[k].seed, SEED_SIZE);
		}
	}
}

static void put_templates(const struct segment_writer *w, struct buf *to)
{
	buf_varint(to, w->templates.n);
	for (uint32_t i = 0; i < w->templates.n; i++)
		buf_varint(to, templates_get(&w->templates, i).len);
	buf_append(to, w->templates.keys.data, w->templates.keys.len);
}

static int write_table(struct segment_writer *w,
		       void (*put)(const struct segment_writer *, struct buf *), struct buf *footer)
{
	struct stored s;
	int r;

	buf_clear(&w->raw);
	put(w, &w->raw);
	if (w->raw.bad)
		return -ENOMEM;
	r = writer_block(w, w->raw.data, w->raw.len, &s);
	buf_varint(footer, s.offset);
	buf_varint(footer, s.stored);
	buf_varint(footer, s.raw);
	buf_append(footer, &s.crc, 4);
	w->size_of[0] += s.stored;
	return r;
}

static int write_trailer(struct segment_writer *w, const struct stored *footer)
{
	uint8_t trailer[SEGMENT_TRAILER_SIZE];
	struct wr to = wr_of(trailer, sizeof trailer);

	wr_u64(&to, footer->offset);
	wr_u32(&to, footer->stored);
	wr_u32(&to, footer->raw);
	wr_u32(&to, footer->crc);
	wr_bytes(&to, SEGMENT_MAGIC, 8);
	w->offset += to.len;
	return io_pwrite(w->fd, trailer, to.len, w->offset - to.len);
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

int64_t segment_writer_finish(struct segment_writer *w)
{
	_cleanup_buf_ struct buf footer = { 0 };
	struct stored s;
	int r;

	r = writer_group(w);
	buf_varint(&footer, strlen(w->tenant.name));
	buf_str(&footer, w->tenant.name);
	put_origins(w, &footer);
	if (r >= 0)
		r = write_table(w, put_journals, &footer);
	if (r >= 0)
		r = write_table(w, put_seeds, &footer);
	if (r >= 0)
		r = write_table(w, put_templates, &footer);
	if (r < 0)
		return r;
	buf_varint(&footer, w->n_groups);
	buf_append(&footer, w->groups.data, w->groups.len);
	if (footer.bad)
		return -ENOMEM;
	r = writer_block(w, footer.data, footer.len, &s);
	if (r >= 0)
		r = write_trailer(w, &s);
	if (r >= 0 && fdatasync(w->fd) < 0)
		r = -errno;
	return r < 0 ? r : (int64_t) w->offset;
}

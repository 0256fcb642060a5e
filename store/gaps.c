/* SPDX-License-Identifier: Apache-2.0 */

#include "store/gaps.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "store/row.h"
#include "store/segment/segment.h"
#include "store/tail_index.h"

enum { NUMBER_SIZE = 24 };

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* @return whether the entry has such a field, and a number in it. */
static bool number_of(const struct entry *e, const char *name, uint64_t *ret)
{
	char text[NUMBER_SIZE];

	for (size_t i = 0; i < e->n_fields; i++) {
		const struct field *f = &e->fields[i];

		if (f->name_len != strlen(name) || memcmp(f->name, name, f->name_len) != 0)
			continue;
		if (f->value_len >= sizeof text)
			return false;
		memcpy(text, f->value, f->value_len);
		text[f->value_len] = '\0';
		return text_to_u64(text, ret) == 0;
	}
	return false;
}

void gaps_see(struct gaps *g, const struct entry *e)
{
	uint64_t entries, bytes = 0;

	if (!(e->flags & ENTRY_GAP))
		return;
	g->open = !number_of(e, GAP_ENTRIES, &entries);
	if (g->open)
		return;
	if (!number_of(e, GAP_BYTES, &bytes))
		bytes = 0;
	g->counted++;
	g->entries = sum(g->entries, entries);
	g->bytes = sum(g->bytes, bytes);
}

void gaps_add(struct gaps *g, const struct gaps *behind)
{
	if (behind->counted > 0 || behind->open)
		g->open = behind->open;
	g->counted += behind->counted;
	g->entries = sum(g->entries, behind->entries);
	g->bytes = sum(g->bytes, behind->bytes);
}

static int look_into(struct gaps *g, int fd, const struct rows_ref *ref, struct buf *frame,
		     struct buf *raw)
{
	_uninitialized_ struct field fields[FIELDS_MAX];
	struct row_state state = { 0 };
	struct tail_rows rows;
	struct entry e;
	uint32_t context;
	struct rd rd;
	int r;

	r = rows_ref_read(fd, ref, frame, &rows);
	if (r >= 0)
		r = tail_rows_unpack(&rows, raw);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	rd = rd_of(raw->data, raw->len);
	while (row_decode(&state, &rd, fields, &e, &context) > 0)
		gaps_see(g, &e);
	return 0;
}

int gaps_of_tail(struct gaps *ret, int journals_dirfd, const struct id *journal, uint64_t first_seq)
{
	_cleanup_(tail_reader_close) struct tail_reader t = { .fd = -1 };
	_cleanup_(rows_index_done) struct rows_index index = { 0 };
	_cleanup_buf_ struct buf frame = { 0 }, raw = { 0 };
	struct gaps gaps = { 0 };
	char name[TAIL_NAME_SIZE];
	int r;

	tail_name(journal, name);
	r = tail_reader_open(&t, journals_dirfd, name);
	if (r >= 0)
		r = rows_index_build(&index, &t);
	for (size_t i = 0; i < index.n && r >= 0; i++)
		if (index.at[i].own_fields && index.at[i].first_seq >= first_seq)
			r = look_into(&gaps, t.fd, &index.at[i], &frame, &raw);
	if (r >= 0)
		*ret = gaps;
	return r;
}

int gaps_of_batch(struct gaps *g, struct segment_group *group, uint32_t batch)
{
	const struct group_batch *b = &group->batches[batch];
	_cleanup_buf_ struct buf message = { 0 };
	_uninitialized_ struct field fields[FIELDS_MAX];
	int r = 0;

	for (uint32_t i = b->first_row; r >= 0 && i < b->first_row + b->entries; i++) {
		struct entry e;

		if (!(group->flags[i] & ENTRY_GAP))
			continue;
		r = group_entry(group, i, &group->segment->journals[b->journal], &message, fields,
				&e);
		if (r >= 0)
			gaps_see(g, &e);
	}
	return r;
}

static int look_into_group(struct gaps *of, struct segment_group *g)
{
	int r = group_need_all(g);

	for (uint32_t i = 0; r >= 0 && i < g->ref->batches; i++)
		r = gaps_of_batch(&of[g->batches[i].journal], g, i);
	return r;
}

int gaps_of_segment(struct gaps *of, const struct segment *s)
{
	int r = 0;

	for (uint32_t i = 0; r != -ENOMEM && i < s->n_groups; i++) {
		_cleanup_(group_close) struct segment_group g = { 0 };
		uint32_t k;

		r = group_open(&g, s, i);
		if (r >= 0)
			r = group_need_rows(&g);
		for (k = 0; r >= 0 && k < g.rows && !(g.flags[k] & ENTRY_GAP);)
			k++;
		if (r >= 0 && k < g.rows)
			r = look_into_group(of, &g);
	}
	return r == -ENOMEM ? r : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/** The messages of a row group: a directory of columns, of which only those are read that somebody needs. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "bulla/error.h"
#include "store/segment/reader-internal.h"

void group_drop_column(struct variable_column *c)
{
	free(c->numbers);
	free(c->texts);
	c->numbers = NULL;
	c->texts = NULL;
}

void group_drop_parts(struct segment_group *g)
{
	for (int s = 0; s < STREAMS; s++)
		for (uint32_t i = 0; i < g->n_parts[s]; i++) {
			free(g->parts[s][i].data);
			g->parts[s][i].data = NULL;
		}
}

static void close_directory(struct segment_group *g)
{
	for (uint32_t t = 0; t < g->n_templates; t++)
		for (unsigned i = 0; g->templates[t].any && i < g->templates[t].n; i++)
			group_drop_column(&g->templates[t].columns[i]);
	group_drop_parts(g);
	free(g->columns);
	free(g->templates);
	free(g->template_of);
	free(g->ordinal);
	g->templates = NULL;
	g->columns = NULL;
	g->n_columns = 0;
	g->template_of = g->ordinal = NULL;
	g->n_templates = g->n_whole = 0;
	g->all_variables = 0;
	for (int s = 0; s < STREAMS; s++) {
		free(g->parts[s]);
		g->parts[s] = NULL;
		g->n_parts[s] = 0;
	}
}

void group_messages_close(struct segment_group *g)
{
	close_directory(g);
	free(g->whole);
	free(g->whole_data);
	group_drop_messages(g);
}

/* The directory. */

static int find_parts(struct segment_group *g, uint64_t total[STREAMS])
{
	for (int s = 0; s < STREAMS; s++) {
		uint32_t n;

		group_block(g, (enum block_kind)(BLOCK_NUMBERS + s), &n);
		g->parts[s] = calloc(MAX_OF(n, 1u), sizeof *g->parts[s]);
		if (!g->parts[s])
			return -ENOMEM;
		total[s] = 0;
	}
	for (uint32_t i = 0; i < g->ref->n_blocks; i++) {
		const struct block_ref *b = &g->ref->blocks[i];
		int s = b->kind - BLOCK_NUMBERS;

		if (s < 0 || s >= STREAMS)
			continue;
		if (total[s] + b->raw > UINT32_MAX)
			return BULLA_ELIMIT;
		g->parts[s][g->n_parts[s]++] =
			(struct part){ .ref = b, .from = (uint32_t) total[s] };
		total[s] += b->raw;
	}
	return 0;
}

/* A slot's line: where its column is, and its stamp. */
static int read_column(struct variable_column *c, uint8_t kind, struct rd *r, uint64_t at[STREAMS])
{
	uint64_t size = rd_varint(r), min = 0, max = UINT32_MAX;
	enum stream s = stream_of(kind);

	/* It counts from here on, whole or not. */
	*c = (struct variable_column){ 0 };
	if (has_stamp(kind)) {
		min = rd_varint(r);
		max = rd_varint(r);
	}
	if (r->bad || size > BLOCK_SIZE_MAX || min > max || max > UINT32_MAX)
		return BULLA_ECORRUPT;
	*c = (struct variable_column){ .offset = (uint32_t) at[s],
				       .size = (uint32_t) size,
				       .len_min = (uint32_t) min,
				       .len_max = (uint32_t) max };
	at[s] += size;
	return at[s] > UINT32_MAX ? BULLA_ECORRUPT : 0;
}

enum { COLUMNS_LIKELY = 64 << 10 };

static int columns_room(struct segment_group *g, uint32_t more, uint32_t *cap)
{
	struct variable_column *columns;

	if (g->n_columns + more <= *cap)
		return 0;
	*cap = MAX_OF(2 * *cap, g->n_columns + more + 256);
	columns = reallocarray(g->columns, *cap, sizeof *columns);
	if (!columns)
		return -ENOMEM;
	g->columns = columns;
	return 0;
}

static int read_template(struct segment_group *g, struct group_template *t, struct rd *r,
			 uint64_t at[STREAMS], uint64_t *variables, uint32_t *cap)
{
	uint64_t number = rd_varint(r), rows = rd_varint(r), block = g->scratch.at;
	struct text kinds;
	struct rd columns; /* a copy, for it to stay in registers */
	int error;

	if (r->bad || number > UINT32_MAX || rows < 1 || rows > g->rows)
		return BULLA_ECORRUPT;
	error = template_table_kinds(g->segment->templates, g->segment->fd, (uint32_t) number,
				     &g->scratch, &kinds);
	if (error < 0)
		return error;
	g->scratch.at = block;
	*t = (struct group_template){ .kinds = kinds.p,
				      .number = (uint32_t) number,
				      .rows = (uint32_t) rows,
				      .n = (uint16_t) kinds.len };
	*variables += rows * kinds.len;
	if (*variables > GROUP_VARIABLES_MAX)
		return BULLA_ELIMIT;
	error = columns_room(g, kinds.len, cap);
	columns = *r;
	for (unsigned i = 0; error >= 0 && i < kinds.len; i++)
		error = read_column(&g->columns[g->n_columns++], kinds.p[i], &columns, at);
	*r = columns;
	return error;
}

static int read_directory(struct segment_group *g, struct rd *r)
{
	uint64_t n = rd_varint(r), total[STREAMS], at[STREAMS] = { 0 }, variables = 0;
	uint32_t cap = 0, first = 0;
	int error;

	error = find_parts(g, total);
	if (error >= 0 && (r->bad || n > g->rows))
		error = BULLA_ECORRUPT;
	if (error < 0)
		return error;
	g->templates = calloc(MAX_OF(n, 1ul), sizeof *g->templates);
	if (!g->templates)
		return -ENOMEM;
	/* A column takes two bytes or more; room that is not needed is never touched. */
	error = columns_room(g, (uint32_t) MIN_OF(r->left / 2, (size_t) COLUMNS_LIKELY), &cap);
	if (error < 0)
		return error;
	for (; error >= 0 && g->n_templates < n; g->n_templates++)
		error = read_template(g, &g->templates[g->n_templates], r, at, &variables, &cap);
	for (int s = 0; error >= 0 && s < STREAMS; s++)
		error = at[s] == total[s] ? 0 : BULLA_ECORRUPT;
	if (error < 0 || r->left > 0)
		return error < 0 ? error : BULLA_ECORRUPT;
	g->all_variables = variables;
	/* Now that they do not move any more. */
	for (uint32_t t = 0; g->columns && t < g->n_templates; t++) {
		g->templates[t].columns = g->columns + first;
		first += g->templates[t].n;
	}
	return 0;
}

int group_need_text(struct segment_group *g, struct group_template *t)
{
	if (t->template)
		return 0;
	return template_table_get(g->segment->templates, g->segment->fd, t->number, &g->scratch,
				  &t->template);
}

/* Which template each row has, and the how-manieth of it the row is. */
static int read_rows(struct segment_group *g, struct rd *r)
{
	_cleanup_free_ uint64_t *of = reallocarray(NULL, g->rows, sizeof *of);
	_cleanup_free_ uint32_t *n = calloc((size_t) g->n_templates + 1, sizeof *n);
	int error;

	g->template_of = reallocarray(NULL, g->rows, sizeof *g->template_of);
	g->ordinal = reallocarray(NULL, g->rows, sizeof *g->ordinal);
	if (!of || !n || !g->template_of || !g->ordinal)
		return -ENOMEM;
	error = ints_decode(r, g->rows, of);
	if (error < 0)
		return error;
	for (uint32_t i = 0; i < g->rows; i++) {
		if (of[i] > g->n_templates)
			return BULLA_ECORRUPT;
		g->template_of[i] = (uint32_t) of[i];
		g->ordinal[i] = n[of[i]]++;
	}
	g->n_whole = n[0];
	for (uint32_t t = 0; t < g->n_templates; t++)
		if (n[t + 1] != g->templates[t].rows)
			return BULLA_ECORRUPT;
	return r->left > 0 ? BULLA_ECORRUPT : 0;
}

static int read_block(struct segment_group *g, enum block_kind kind,
		      int (*read)(struct segment_group *, struct rd *))
{
	_cleanup_free_ uint8_t *raw = NULL;
	struct rd r;
	int error;

	error = group_read_block(g, kind, &raw, &r);
	return error < 0 ? error : read(g, &r);
}

int group_need_directory(struct segment_group *g)
{
	int error;

	if (g->templates)
		return 0;
	error = read_block(g, BLOCK_VARIABLES, read_directory);
	if (error < 0)
		close_directory(g);
	return error;
}

int group_need_templates(struct segment_group *g)
{
	int error;

	if (g->template_of)
		return 0;
	error = group_need_directory(g);
	if (error >= 0)
		error = read_block(g, BLOCK_TEMPLATES, read_rows);
	if (error < 0)
		close_directory(g);
	return error;
}

int group_whole_bytes(struct segment_group *g, struct rd *ret)
{
	const struct block_ref *ref;
	uint32_t n;
	int error = 0;

	*ret = (struct rd){ 0 };
	ref = group_block(g, BLOCK_WHOLE, &n);
	if (n == 0)
		return 0;
	if (!ref)
		return BULLA_ECORRUPT;
	if (!g->whole_data)
		error = block_read(g->segment->fd, ref, &g->scratch, &g->whole_data);
	if (error >= 0)
		*ret = rd_of(g->whole_data, ref->raw);
	return error;
}

int group_tokens(struct segment_group *g, uint8_t **raw, struct rd *ret)
{
	uint32_t n;
	int r;

	group_block(g, BLOCK_TOKENS, &n);
	if (n == 0)
		return 0;
	r = group_read_block(g, BLOCK_TOKENS, raw, ret);
	return r < 0 ? r : 1;
}

static int need_whole(struct segment_group *g)
{
	struct rd r;
	int error = group_whole_bytes(g, &r);

	if (error < 0)
		return error;
	g->whole = reallocarray(NULL, g->n_whole, sizeof *g->whole);
	if (!g->whole)
		return -ENOMEM;
	error = strings_decode(&r, g->n_whole, g->whole);
	if (error >= 0 && r.left > 0)
		error = BULLA_ECORRUPT;
	if (error < 0) {
		free(g->whole);
		g->whole = NULL;
	}
	return error;
}

int group_need_whole(struct segment_group *g)
{
	int error;

	if (g->whole || g->n_whole == 0)
		return 0;
	error = g->whole_error < 0 ? g->whole_error : need_whole(g);
	if (segment_is_damage(error))
		g->whole_error = error;
	return error;
}

/* Columns. */

int group_column_part(struct segment_group *g, enum stream s, const struct variable_column *c,
		      struct rd *ret)
{
	struct part *p = NULL;
	uint32_t low = 0, high = g->n_parts[s];
	int r = 0;

	/* The last part that does not begin behind the column. */
	while (low + 1 < high) {
		uint32_t middle = (low + high) / 2;

		if (g->parts[s][middle].from <= c->offset)
			low = middle;
		else
			high = middle;
	}
	if (high > 0)
		p = &g->parts[s][low];
	if (!p || (uint64_t) c->offset + c->size > (uint64_t) p->from + p->ref->raw)
		return BULLA_ECORRUPT;
	if (!p->data)
		r = p->error < 0 ? p->error
				 : block_read(g->segment->fd, p->ref, &g->scratch, &p->data);
	g->scratch.at = p->ref->offset;
	if (segment_is_damage(r))
		p->error = r;
	if (r >= 0)
		*ret = rd_of(p->data + (c->offset - p->from), p->ref->raw - (c->offset - p->from));
	return r;
}

int group_column_bytes(struct segment_group *g, enum stream s, const struct variable_column *c,
		       struct rd *ret)
{
	int r = group_column_part(g, s, c, ret);

	if (r >= 0)
		ret->left = c->size;
	return r;
}

static int decode_numbers(struct variable_column *c, uint8_t kind, uint32_t rows, struct rd *r)
{
	int error;

	c->form = rd_u8(r);
	if (kind == VARIABLE_DIGITS && c->form == DIGITS_WIDTH)
		c->width = rd_u8(r);
	if (r->bad || c->form > (kind == VARIABLE_DIGITS ? DIGITS_PREFIXED : TIME_ALONE) ||
	    c->width > 18)
		return BULLA_ECORRUPT;
	c->numbers = reallocarray(NULL, rows, sizeof *c->numbers);
	if (!c->numbers)
		return -ENOMEM;
	error = ints_decode(r, rows, c->numbers);
	return error;
}

/* What was packed into fixed bytes must have as many. */
bool group_has_size(uint8_t kind, const struct text *t)
{
	return kind == VARIABLE_IPV4 ? t->len == 4 : kind != VARIABLE_UUID || t->len == 16;
}

static int decode_texts(struct variable_column *c, uint8_t kind, uint32_t rows, struct rd *r)
{
	int error;

	if (kind == VARIABLE_HEX || kind == VARIABLE_HEX_UPPER)
		c->form = rd_u8(r);
	if (r->bad || c->form > PACKED_TEXT)
		return BULLA_ECORRUPT;
	c->texts = reallocarray(NULL, rows, sizeof *c->texts);
	if (!c->texts)
		return -ENOMEM;
	error = strings_decode(r, rows, c->texts);
	for (uint32_t i = 0; error >= 0 && i < rows; i++)
		if (!group_has_size(kind, &c->texts[i]))
			return BULLA_ECORRUPT;
	return error;
}

int group_need_column(struct segment_group *g, struct group_template *t, unsigned slot)
{
	struct variable_column *c = &t->columns[slot];
	uint8_t kind = t->kinds[slot];
	struct rd r;
	int error;

	if (c->numbers || c->texts)
		return 0;
	/* They are told from the times of its rows. */
	error = kind == VARIABLE_TIME ? group_need_times(g) : 0;
	if (error < 0)
		return error;
	t->any = true;
	error = group_column_bytes(g, stream_of(kind), c, &r);
	if (error >= 0 && c->damaged)
		error = BULLA_ECORRUPT;
	if (error < 0)
		return error;
	error = stream_of(kind) == STREAM_NUMBERS ? decode_numbers(c, kind, t->rows, &r)
						  : decode_texts(c, kind, t->rows, &r);
	if (error >= 0 && r.left > 0)
		error = BULLA_ECORRUPT;
	if (error < 0) {
		group_drop_column(c);
		c->damaged = segment_is_damage(error);
	}
	return error;
}

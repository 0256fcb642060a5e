/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"
#include "store/segment/reader-internal.h"
#include "store/segment/segment.h"

/* What searchers are told. */

/*
 * The tokens of a row with a template, and whether its variables are as long as is said.  None is empty: no writer makes such,
 * and a run of letters that goes through one would be among nobody's tokens.
 */
static int gather_row(struct segment_group *g, uint32_t row, struct buf *message, struct tokens *t)
{
	struct group_template *of = &g->templates[g->template_of[row] - 1];
	size_t from[VARIABLES_MAX], to[VARIABLES_MAX];
	int r = 0;

	buf_clear(message);
	for (unsigned i = 0; r >= 0 && i < of->template->n; i++) {
		const struct slot *slot = &of->template->slots[i];
		const struct variable_column *c = &of->columns[i];

		r = group_need_column(g, of, i);
		buf_append(message, slot->before.p, slot->before.len);
		from[i] = message->len;
		if (r >= 0)
			r = group_variable(g, of, i, row, message);
		to[i] = message->len;
		if (r >= 0 && (to[i] == from[i] || to[i] - from[i] < c->len_min ||
			       to[i] - from[i] > c->len_max || message->len > ENTRY_SIZE_MAX))
			r = BULLA_ECORRUPT;
	}
	buf_append(message, of->template->rest.p, of->template->rest.len);
	if (r < 0 || message->bad)
		return r < 0 ? r : -ENOMEM;
	for (unsigned i = 0; i < of->template->n; i++)
		if (of->template->kinds[i] != VARIABLE_DIGITS)
			tokens_add_value(t, message->data, message->len, from[i], to[i]);
	tokens_add_ids(t, message->data, message->len);
	return 0;
}

static int gather_rows(struct segment_group *g, struct tokens *t)
{
	_cleanup_buf_ struct buf message = { 0 };
	int r = group_need_whole(g);

	for (uint32_t row = 0; r >= 0 && row < g->rows; row++) {
		const struct text *whole;

		if (g->template_of[row] > 0) {
			r = gather_row(g, row, &message, t);
			continue;
		}
		whole = &g->whole[g->ordinal[row]];
		tokens_add(t, TOKENS_WHOLE, whole->p, whole->len);
		tokens_add_ids(t, whole->p, whole->len);
	}
	return r;
}

static void gather_texts(const struct segment_group *g, struct tokens *t)
{
	for (uint32_t i = 0; i < g->n_templates; i++) {
		const struct template *of = g->templates[i].template;

		for (unsigned k = 0; k < of->n; k++)
			tokens_add(t, TOKENS_TEXTS, of->slots[k].before.p, of->slots[k].before.len);
		tokens_add(t, TOKENS_TEXTS, of->rest.p, of->rest.len);
	}
}

int group_check_index(struct segment_group *g)
{
	_cleanup_(tokens_done) struct tokens t = { 0 };
	_cleanup_free_ uint8_t *raw = NULL;
	struct rd bytes;
	int r, has;

	r = tokens_begin(&t);
	if (r >= 0)
		r = gather_rows(g, &t);
	if (r >= 0 && t.ids.bad)
		r = -ENOMEM;
	if (r < 0)
		return r;
	gather_texts(g, &t);
	has = group_tokens(g, &raw, &bytes);
	return has <= 0 ? has : tokens_check(&t, bytes.p, bytes.left);
}

/* Where the leaves of a journal's batches begin, by its number. */
struct expected {
	struct hash *leaf;  /* owned, by journal, then batch */
	size_t *first;	    /* owned */
	uint64_t *batch_no; /* owned: the journal's first */
	size_t n;
	uint64_t seen;
};

static void expected_done(struct expected *e)
{
	free(e->leaf);
	free(e->first);
	free(e->batch_no);
}

static int expect(struct expected *e, const struct segment *s, const struct sealed_batch *sealed,
		  size_t n)
{
	size_t total = 0;

	*e = (struct expected){
		.leaf = reallocarray(NULL, MAX_OF(n, (size_t) 1), sizeof *e->leaf),
		.first = calloc(s->n_journals + 1u, sizeof *e->first),
		.batch_no = calloc(s->n_journals + 1u, sizeof *e->batch_no),
		.n = n,
	};
	if (!e->leaf || !e->first || !e->batch_no)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->n_journals; i++) {
		e->first[i] = total;
		e->batch_no[i] = s->journals[i].first_batch;
		total += s->journals[i].batches;
	}
	e->first[s->n_journals] = total;
	if (total != n)
		return BULLA_ECORRUPT;
	for (size_t i = 0; i < n; i++) {
		uint32_t j = sealed[i].journal;
		uint64_t k;

		if (j >= s->n_journals)
			return BULLA_ECORRUPT;
		k = sealed[i].batch_no - e->batch_no[j];
		if (k >= e->first[j + 1] - e->first[j])
			return BULLA_ECORRUPT;
		e->leaf[e->first[j] + k] = sealed[i].leaf;
	}
	return 0;
}

static int check_batch(struct expected *e, struct segment_group *g, uint32_t i)
{
	uint32_t j = g->batches[i].journal;
	uint64_t k = g->batches[i].batch_no - e->batch_no[j];
	struct batch batch;
	struct hash leaf;
	int r;

	if (k >= e->first[j + 1] - e->first[j])
		return BULLA_ECORRUPT;
	r = group_batch(g, i, &batch);
	if (r < 0)
		return r;
	leaf = batch_leaf_hash(&batch);
	e->seen++;
	return hash_same(&leaf, &e->leaf[e->first[j] + k]) ? 0 : BULLA_ECORRUPT;
}

static int check_group(struct expected *e, const struct segment *s, uint32_t number)
{
	_cleanup_(group_close) struct segment_group g = { 0 };
	int r = group_open(&g, s, number);

	if (r >= 0)
		r = group_need_all(&g);
	if (r >= 0)
		r = group_check_index(&g);
	for (uint32_t i = 0; r >= 0 && i < g.ref->batches; i++)
		r = check_batch(e, &g, i);
	return r;
}

int segment_check(int dirfd, const char *name, const struct sealed_batch *sealed, size_t n)
{
	_cleanup_(expected_done) struct expected e = { 0 };
	_cleanup_(segment_close) struct segment s = { .fd = -1 };
	int fd = io_open_regular(dirfd, name, O_RDONLY);
	int r = fd < 0 ? fd : segment_open(&s, fd);

	if (r >= 0)
		r = expect(&e, &s, sealed, n);
	for (uint32_t i = 0; r >= 0 && i < s.n_groups; i++)
		r = check_group(&e, &s, i);
	/* A batch that came twice leaves another one out. */
	return r >= 0 && e.seen != n ? BULLA_ECORRUPT : r;
}

static int check_block(const struct segment *s, const struct block_ref *ref,
		       struct block_scratch *scratch)
{
	_cleanup_free_ uint8_t *raw = NULL;

	return block_read(s->fd, ref, scratch, &raw);
}

int segment_check_blocks(const struct segment *s, uint64_t *ret_at)
{
	_cleanup_(block_scratch_done) struct block_scratch scratch = { 0 };
	int r = check_block(s, &s->templates_ref, &scratch);

	if (s->seeds_error < 0) {
		r = s->seeds_error;
		scratch.at = s->seeds_at;
	}
	for (uint32_t i = 0; r >= 0 && i < s->n_groups; i++)
		for (uint32_t k = 0; r >= 0 && k < s->groups[i].n_blocks; k++)
			r = check_block(s, &s->groups[i].blocks[k], &scratch);
	*ret_at = scratch.at;
	return r;
}

int segment_check_content(const struct segment *s, uint64_t *ret_at)
{
	int r = segment_check_blocks(s, ret_at);

	for (uint32_t i = 0; r >= 0 && i < s->n_groups; i++) {
		_cleanup_(group_close) struct segment_group g = { 0 };
		struct batch batch;

		r = group_open(&g, s, i);
		if (r >= 0)
			r = group_need_all(&g);
		if (r >= 0)
			r = group_check_index(&g);
		for (uint32_t k = 0; r >= 0 && k < g.ref->batches; k++)
			r = group_batch(&g, k, &batch);
		*ret_at = group_where(&g);
	}
	return r;
}

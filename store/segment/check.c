/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "bulla/error.h"
#include "store/segment/reader-internal.h"
#include "store/segment/segment.h"

/* What searchers are told. */

int group_check_index(struct segment_group *g, bool *ret_lies)
{
	_cleanup_(tokens_done) struct tokens t = { 0 };
	_cleanup_free_ uint8_t *raw = NULL;
	struct rd bytes;
	int r = tokens_begin(&t);

	if (r >= 0)
		r = group_make_messages(g, NULL, &t, ret_lies);
	if (r >= 0)
		r = group_tokens(g, &raw, &bytes);
	if (r <= 0)
		return r;
	r = tokens_check(&t, bytes.p, bytes.left);
	*ret_lies |= r == BULLA_ECORRUPT;
	return r == BULLA_ECORRUPT ? 0 : r;
}

/* What histograms are told. */

int window_counts_begin(struct window_counts *c, const struct window_ref *w)
{
	*c = (struct window_counts){ .window = w };
	if (w->span_s == 0)
		return 0;
	c->counts = calloc(w->n_counts + 1u, sizeof *c->counts);
	return c->counts ? 0 : -ENOMEM;
}

void window_counts_add(struct window_counts *c, const struct segment_group *g)
{
	const struct window_ref *w = c->window;

	for (uint32_t i = 0; c->counts && i < g->rows; i++) {
		uint64_t span = g->time[i] / NS_PER_S / w->span_s;

		if (span < w->span_first || span - w->span_first >= w->n_counts)
			c->lie = true;
		else
			c->counts[span - w->span_first]++;
	}
}

bool window_counts_lie(const struct window_counts *c)
{
	return c->lie ||
	       (c->counts && c->window->n_counts > 0 &&
		memcmp(c->counts, c->window->counts, c->window->n_counts * sizeof *c->counts) != 0);
}

void window_counts_done(struct window_counts *c)
{
	free(c->counts);
	*c = (struct window_counts){ 0 };
}

static int read_group(struct segment_group *g, const struct segment *s, uint32_t number,
		      struct buf *memory)
{
	int r = group_open(g, s, number);

	if (r < 0)
		return r;
	group_lend(g, memory);
	return group_need_all(g);
}

/* What searchers are told of a group. */
static int check_told(struct segment_group *g)
{
	bool lies = false;
	int r = group_check_index(g, &lies);

	return r >= 0 && lies ? BULLA_ECORRUPT : r;
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

static int check_leaf(struct expected *e, const struct group_batch *b, const struct hash *leaf)
{
	uint32_t j = b->journal;
	uint64_t k = b->batch_no - e->batch_no[j];

	if (k >= e->first[j + 1] - e->first[j])
		return BULLA_ECORRUPT;
	e->seen++;
	return hash_same(leaf, &e->leaf[e->first[j] + k]) ? 0 : BULLA_ECORRUPT;
}

/* A segment being read back. */
struct check {
	struct segment segment;
	struct expected expected;
	bool hashes;
	struct buf memory;
	segment_index_fn index; /* NULL: it has its tokens */
	void *arg;
	struct tokens tokens;
};

static void check_done(struct check *c)
{
	expected_done(&c->expected);
	segment_close(&c->segment);
	buf_done(&c->memory);
	tokens_done(&c->tokens);
}

/* Batches are short: those of a group are hashed side by side. */
static int check_batches(struct expected *e, struct segment_group *g)
{
	_cleanup_free_ struct batch *batches = reallocarray(NULL, g->ref->batches, sizeof *batches);
	_uninitialized_ struct hash leaf[BATCH_LEAVES_AT_ONCE];
	uint32_t n = 0;
	int r = batches ? group_all_batches(g, batches, &n) : -ENOMEM;

	for (uint32_t at = 0, some; r >= 0 && at < n; at += some) {
		some = MIN_OF(n - at, (uint32_t) BATCH_LEAVES_AT_ONCE);
		batch_leaf_hashes(batches + at, some, leaf);
		for (uint32_t i = 0; r >= 0 && i < some; i++)
			r = check_leaf(e, &g->batches[at + i], &leaf[i]);
	}
	return r;
}

/* Have the tokens of a group, and see that its directory tells the truth. */
static int index_group(struct check *c, struct segment_group *g, uint32_t number)
{
	bool lies = false;
	int r = tokens_begin(&c->tokens);

	if (r >= 0)
		r = group_make_messages(g, NULL, &c->tokens, &lies);
	if (r >= 0 && lies)
		r = BULLA_ECORRUPT;
	return r < 0 ? r : c->index(c->arg, &c->segment, number, &c->tokens);
}

static int check_group(struct check *c, uint32_t number, struct window_counts *counts)
{
	_cleanup_(group_close) struct segment_group g = { 0 };
	int r = read_group(&g, &c->segment, number, &c->memory);

	if (r >= 0)
		r = c->index ? index_group(c, &g, number) : check_told(&g);
	if (r >= 0 && c->hashes)
		r = check_batches(&c->expected, &g);
	if (r >= 0)
		window_counts_add(counts, &g);
	return r;
}

static int check_window(struct check *c, const struct window_ref *w)
{
	_cleanup_(window_counts_done) struct window_counts counts;
	int r = window_counts_begin(&counts, w);

	for (uint32_t i = w->first; r >= 0 && i < w->end; i++)
		r = check_group(c, i, &counts);
	return r >= 0 && window_counts_lie(&counts) ? BULLA_ECORRUPT : r;
}

static int check_all(struct check *c, int dirfd, const char *name,
		     const struct sealed_batch *sealed, size_t n)
{
	int fd = io_open_regular(dirfd, name, O_RDONLY);
	int r = fd < 0 ? fd : segment_open(&c->segment, fd);

	if (r >= 0 && c->hashes)
		r = expect(&c->expected, &c->segment, sealed, n);
	for (uint32_t i = 0; r >= 0 && i < c->segment.n_windows; i++)
		r = check_window(c, &c->segment.windows[i]);
	/* A batch that came twice leaves another one out. */
	return r >= 0 && c->hashes && c->expected.seen != n ? BULLA_ECORRUPT : r;
}

int segment_check(int dirfd, const char *name, const struct sealed_batch *sealed, size_t n)
{
	_cleanup_(check_done) struct check c = { .segment.fd = -1, .hashes = true };

	return check_all(&c, dirfd, name, sealed, n);
}

int segment_check_index(int dirfd, const char *name, const struct sealed_batch *sealed, size_t n,
			segment_index_fn index, void *arg)
{
	_cleanup_(check_done) struct check c = {
		.segment.fd = -1, .hashes = sealed != NULL, .index = index, .arg = arg
	};

	return check_all(&c, dirfd, name, sealed, n);
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
	const struct block_ref *part;
	int r = 0;

	for (uint32_t i = 0; r >= 0 && (part = template_table_part(s->templates, i)); i++)
		r = check_block(s, part, &scratch);
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

static int check_content(const struct segment *s, const struct window_ref *w, struct buf *memory,
			 uint64_t *ret_at)
{
	_cleanup_(window_counts_done) struct window_counts counts;
	int r = window_counts_begin(&counts, w);

	for (uint32_t i = w->first; r >= 0 && i < w->end; i++) {
		_cleanup_(group_close) struct segment_group g = { 0 };
		struct batch batch;

		r = read_group(&g, s, i, memory);
		if (r >= 0)
			r = check_told(&g);
		for (uint32_t k = 0; r >= 0 && k < g.ref->batches; k++)
			r = group_batch(&g, k, &batch);
		*ret_at = group_where(&g);
		if (r >= 0)
			window_counts_add(&counts, &g);
	}
	return r >= 0 && window_counts_lie(&counts) ? BULLA_ECORRUPT : r;
}

int segment_check_content(const struct segment *s, uint64_t *ret_at)
{
	_cleanup_buf_ struct buf memory = { 0 };
	int r = segment_check_blocks(s, ret_at);

	for (uint32_t i = 0; r >= 0 && i < s->n_windows; i++)
		r = check_content(s, &s->windows[i], &memory, ret_at);
	return r;
}

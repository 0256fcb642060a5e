/* SPDX-License-Identifier: Apache-2.0 */

#include "forwarder/told.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"

struct buried {
	struct buried *next;
	void *memory;
	struct contexts table;
};

static void bury(struct buried **all, struct buried *b)
{
	b->next = *all;
	*all = b;
}

struct buried *buried_free(struct buried *all)
{
	while (all) {
		struct buried *next = all->next;

		contexts_done(&all->table);
		free(all->memory);
		free(all);
		all = next;
	}
	return NULL;
}

void told_done(struct told *t)
{
	contexts_done(&t->table);
	seeds_done(&t->seeds);
	free(t->published);
	t->published = NULL;
}

/* Drafts. */

void draft_begin(struct told_draft *d, struct told *of, bool whole)
{
	*d = (struct told_draft){
		.of = of,
		.whole = whole,
		.own_table = !of,
		.own_seeds = !of || whole,
		.n_contexts = of ? of->table.n : 0,
		.n_seeds = of ? of->seeds.n : 0,
	};
}

const struct contexts *draft_contexts(const struct told_draft *d)
{
	return d->own_table ? &d->table : &d->of->table;
}

const struct seeds *draft_seeds(const struct told_draft *d)
{
	return d->own_seeds ? &d->seeds : &d->of->seeds;
}

void draft_use(struct told_draft *d, uint32_t context)
{
	d->used = MAX_OF(d->used, context + 1);
}

/* Let the old entries lie where readers look for them, and go on with a copy. */
static int make_room(struct contexts *c, struct buried **all)
{
	uint32_t cap = c->cap ? 2 * c->cap : 4;
	struct context_entry *at;
	struct buried *b;

	if (c->n < c->cap)
		return 0;
	at = reallocarray(NULL, cap, sizeof *at);
	b = calloc(1, sizeof *b);
	if (!at || !b) {
		free(at);
		free(b);
		return -ENOMEM;
	}
	if (c->n > 0)
		memcpy(at, c->at, c->n * sizeof *at);
	b->memory = c->at;
	bury(all, b);
	c->at = at;
	c->cap = cap;
	return 0;
}

/* A whole list goes another way than the table does: a table of its own, beginning with what they have in common. */
static int split(struct told_draft *d)
{
	/* Rows that are kept go on meaning the same contexts. */
	if (d->n_told < d->of->used)
		return BULLA_ECORRUPT;
	for (uint32_t i = 0; i < d->n_told; i++) {
		const struct context_entry *e = &d->of->table.at[i];
		int64_t r = contexts_add(&d->table, e->leaf, e->leaf_size);

		if (r < 0)
			return (int) r;
	}
	d->own_table = true;
	return 0;
}

int draft_context(struct told_draft *d, struct buried **all, const uint8_t *leaf, size_t n)
{
	int64_t r = 0;

	if (d->whole && !d->own_table && d->n_told < d->n_contexts) {
		const struct context_entry *e = &d->of->table.at[d->n_told];

		if (e->leaf_size == n && memcmp(e->leaf, leaf, n) == 0) {
			d->n_told++;
			return 0;
		}
		r = split(d);
	}
	if (r >= 0 && !d->own_table)
		r = make_room(&d->of->table, all);
	if (r >= 0)
		r = contexts_add(d->own_table ? &d->table : &d->of->table, leaf, n);
	d->n_told++;
	return (int) MIN_OF(r, (int64_t) 0);
}

int draft_seed(struct told_draft *d, const struct tail_seed *seed)
{
	return seeds_add(d->own_seeds ? &d->seeds : &d->of->seeds, seed);
}

int draft_settle(struct told_draft *d)
{
	const struct contexts *table, *published = d->of ? d->of->published : NULL;
	int r = 0;

	if (d->whole && !d->own_table && d->n_told < d->n_contexts)
		r = split(d);
	if (r < 0)
		return r;
	table = draft_contexts(d);
	if (published && !d->own_table && published->n == table->n)
		return 0;
	d->snapshot = calloc(1, sizeof *d->snapshot);
	d->grave = calloc(1, sizeof *d->grave);
	if (!d->snapshot || !d->grave)
		return -ENOMEM;
	d->snapshot->at = table->at;
	d->snapshot->n = table->n;
	d->snapshot->size = table->size;
	return 0;
}

const struct contexts *draft_snapshot(const struct told_draft *d)
{
	return d->snapshot ? d->snapshot : d->of->published;
}

void draft_keep(struct told_draft *d, struct told *to, struct buried **all)
{
	assert(!d->of || d->of == to);
	if (d->snapshot) {
		d->grave->memory = to->published;
		to->published = d->snapshot;
		d->snapshot = NULL;
		if (d->own_table) {
			d->grave->table = to->table;
			to->table = d->table;
			d->table = (struct contexts){ 0 };
		}
		bury(all, d->grave);
		d->grave = NULL;
	}
	if (d->own_seeds && d->seeds.n > 0) {
		seeds_done(&to->seeds);
		to->seeds = d->seeds;
		d->seeds = (struct seeds){ 0 };
	}
	to->used = MAX_OF(to->used, d->used);
	d->of = NULL; /* nothing to take back any more */
	draft_drop(d);
}

void draft_drop(struct told_draft *d)
{
	while (d->of && d->of->table.n > d->n_contexts)
		contexts_remove_last(&d->of->table);
	while (d->of && !d->own_seeds && d->of->seeds.n > d->n_seeds)
		seeds_remove_last(&d->of->seeds);
	contexts_done(&d->table);
	seeds_done(&d->seeds);
	free(d->snapshot);
	free(d->grave);
	*d = (struct told_draft){ 0 };
}

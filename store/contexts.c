/* SPDX-License-Identifier: Apache-2.0 */

#include "store/contexts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "seal/tree.h"
#include "store/format.h"

void contexts_done(struct contexts *c)
{
	for (uint32_t i = 0; i < c->n; i++) {
		free(c->at[i].fields);
		free(c->at[i].leaf);
	}
	free(c->at);
	*c = (struct contexts){ 0 };
}

int64_t contexts_find(const struct contexts *c, const struct hash *hash)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (hash_same(&c->at[i].hash, hash))
			return i;
	return -ENOENT;
}

static int link_parent(const struct contexts *c, const struct hash *parent, struct context_entry *e)
{
	static const struct hash none;
	int64_t p;

	e->parent = -1;
	if (hash_same(parent, &none))
		return c->n == 0 ? 0 : BULLA_ECORRUPT;
	p = contexts_find(c, parent);
	if (p < 0)
		return BULLA_ECORRUPT;
	e->parent = (int32_t) p;
	e->depth = (uint16_t) (c->at[p].depth + 1);
	return e->depth > CONTEXT_DEPTH_MAX ? BULLA_ELIMIT : 0;
}

static int grow(struct contexts *c)
{
	uint32_t cap = c->cap ? c->cap * 2 : 4;
	struct context_entry *at;

	if (c->n < c->cap)
		return 0;
	if (c->n >= CONTEXTS_MAX)
		return BULLA_ELIMIT;
	at = reallocarray(c->at, cap, sizeof *at);
	if (!at)
		return -ENOMEM;
	c->at = at;
	c->cap = cap;
	return 0;
}

int64_t contexts_add(struct contexts *c, const uint8_t *leaf, size_t n)
{
	struct context_entry e = { .leaf_size = (uint32_t) n };
	_cleanup_free_ struct field *fields = NULL;
	_cleanup_free_ uint8_t *copy = NULL;
	struct context decoded;
	int r;

	if (n > CONTEXT_SIZE_MAX)
		return BULLA_ELIMIT;
	r = grow(c);
	if (r < 0)
		return r;
	copy = malloc(n ? n : 1);
	fields = reallocarray(NULL, FIELDS_MAX, sizeof *fields);
	if (!copy || !fields)
		return -ENOMEM;
	memcpy(copy, leaf, n);
	r = context_decode(rd_of(copy, n), fields, &decoded);
	if (r >= 0)
		r = link_parent(c, &decoded.parent, &e);
	if (r < 0)
		return r;
	e.hash = tree_leaf(copy, n);
	e.n_fields = decoded.n_fields;
	e.fields = reallocarray(fields, MAX_OF(decoded.n_fields, 1), sizeof *fields);
	if (!e.fields)
		return -ENOMEM;
	fields = NULL;
	e.leaf = TAKE_PTR(copy);
	c->at[c->n] = e;
	return c->n++;
}

const struct field *contexts_lookup(const struct contexts *c, uint32_t number, const char *name)
{
	size_t len = strlen(name);

	for (int64_t i = number; i >= 0; i = c->at[i].parent)
		for (uint16_t k = 0; k < c->at[i].n_fields; k++) {
			const struct field *f = &c->at[i].fields[k];

			if (f->name_len == len && memcmp(f->name, name, len) == 0)
				return f;
		}
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "store/contexts.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "seal/tree.h"
#include "store/format.h"

static void entry_done(struct context_entry *e)
{
	free(e->fields);
	free(e->leaf);
}

void contexts_done(struct contexts *c)
{
	for (uint32_t i = 0; i < c->n; i++)
		entry_done(&c->at[i]);
	free(c->at);
	free(c->slot);
	*c = (struct contexts){ 0 };
}

/* The slot that holds this context, or the empty one where it would go. */
static uint32_t slot_of(const struct contexts *c, const struct hash *hash)
{
	uint64_t at;

	crypto_shorthash((uint8_t *) &at, hash->b, HASH_SIZE, c->hash_key);
	for (uint32_t i = (uint32_t) at;; i++) {
		uint32_t s = i & (c->n_slots - 1);

		if (c->slot[s] == 0 || hash_same(&c->at[c->slot[s] - 1].hash, hash))
			return s;
	}
}

int64_t contexts_find(const struct contexts *c, const struct hash *hash)
{
	uint32_t k = c->n_slots == 0 ? 0 : c->slot[slot_of(c, hash)];

	return k == 0 ? -ENOENT : (int64_t) k - 1;
}

static bool is_field(const struct field *f, const char *name, const char *value)
{
	return f->name_len == strlen(name) && f->value_len == strlen(value) &&
	       memcmp(f->name, name, f->name_len) == 0 &&
	       memcmp(f->value, value, f->value_len) == 0;
}

/* Once for each context, so that it costs nothing for each entry. */
static void look_for_import(const struct contexts *c, struct context_entry *e)
{
	if (e->parent >= 0)
		e->import = c->at[e->parent].import;
	for (uint16_t i = 0; i < e->n_fields; i++) {
		const struct field *f = &e->fields[i];

		if (e->parent < 0 && is_field(f, "_ATTRIBUTION", "import"))
			e->import |= CONTEXT_IMPORTED;
		else if ((e->import & CONTEXT_IMPORTED) && is_field(f, CONTEXT_ABSENT, "MESSAGE"))
			e->import |= CONTEXT_NO_MESSAGE;
		else if ((e->import & CONTEXT_IMPORTED) && is_field(f, CONTEXT_ABSENT, "PRIORITY"))
			e->import |= CONTEXT_NO_PRIORITY;
	}
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

static int grow_slots(struct contexts *c)
{
	uint32_t n = c->n_slots ? c->n_slots * 2 : 8;
	uint32_t *slot = calloc(n, sizeof *slot);

	if (!slot)
		return -ENOMEM;
	if (c->n_slots == 0)
		randombytes_buf(c->hash_key, sizeof c->hash_key);
	free(c->slot);
	c->slot = slot;
	c->n_slots = n;
	for (uint32_t i = 0; i < c->n; i++)
		c->slot[slot_of(c, &c->at[i].hash)] = i + 1;
	return 0;
}

static int grow(struct contexts *c)
{
	uint32_t cap = c->cap ? c->cap * 2 : 4;
	struct context_entry *at;

	if (c->n >= CONTEXTS_MAX)
		return BULLA_ELIMIT;
	if (c->n == c->cap) {
		at = reallocarray(c->at, cap, sizeof *at);
		if (!at)
			return -ENOMEM;
		c->at = at;
		c->cap = cap;
	}
	return 2 * (c->n + 1) > c->n_slots ? grow_slots(c) : 0;
}

/* Decode a leaf into an entry that owns its copy. */
static int decode(const struct contexts *c, const uint8_t *leaf, size_t n,
		  struct context_entry *ret)
{
	_cleanup_free_ struct field *fields = reallocarray(NULL, FIELDS_MAX, sizeof *fields);
	_cleanup_free_ uint8_t *copy = malloc(MAX_OF(n, (size_t) 1));
	struct context_entry e = { .leaf_size = (uint32_t) n };
	struct context decoded;
	struct field *exact;
	int r;

	if (!copy || !fields)
		return -ENOMEM;
	if (n > 0)
		memcpy(copy, leaf, n);
	r = context_decode(rd_of(copy, n), fields, &decoded);
	if (r >= 0)
		r = link_parent(c, &decoded.parent, &e);
	if (r < 0)
		return r;
	e.hash = tree_leaf(copy, n);
	e.n_fields = decoded.n_fields;
	exact = reallocarray(fields, MAX_OF(decoded.n_fields, 1), sizeof *fields);
	if (!exact)
		return -ENOMEM;
	fields = NULL;
	e.fields = exact;
	e.leaf = TAKE_PTR(copy);
	look_for_import(c, &e);
	*ret = e;
	return 0;
}

int64_t contexts_add(struct contexts *c, const uint8_t *leaf, size_t n)
{
	struct context_entry e;
	uint32_t slot;
	int r;

	if (n > CONTEXT_SIZE_MAX || c->size + n > CONTEXTS_SIZE_MAX)
		return BULLA_ELIMIT;
	r = grow(c);
	if (r >= 0)
		r = decode(c, leaf, n, &e);
	if (r < 0)
		return r;
	slot = slot_of(c, &e.hash);
	if (c->slot[slot] != 0) {
		entry_done(&e);
		return BULLA_ECORRUPT;
	}
	c->at[c->n++] = e;
	c->size += e.leaf_size;
	c->slot[slot] = c->n;
	return c->n - 1;
}

void contexts_remove_last(struct contexts *c)
{
	struct context_entry *e;

	assert(c->n > 0);
	e = &c->at[c->n - 1];
	/* It was the last to come, so no other's search passes over its slot. */
	c->slot[slot_of(c, &e->hash)] = 0;
	c->size -= e->leaf_size;
	c->n--;
	entry_done(e);
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

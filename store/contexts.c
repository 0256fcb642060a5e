/* SPDX-License-Identifier: Apache-2.0 */

#include "store/contexts.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "bulla/error.h"
#include "seal/tree.h"
#include "store/format.h"

enum { FEW = 8 /* so many are looked through, more go into a table */ };

static void entry_done(struct context_entry *e)
{
	free(e->memory);
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

	for (uint32_t i = 0; c->n_slots == 0 && i < c->n; i++)
		if (hash_same(&c->at[i].hash, hash))
			return i;
	return k == 0 ? -ENOENT : (int64_t) k - 1;
}

static bool is_field(const struct field *f, const char *name, const char *value)
{
	return field_is(f, name) && f->value_len == strlen(value) &&
	       memcmp(f->value, value, f->value_len) == 0;
}

/* Once for each context, so that it costs nothing for each entry. */
static void look_for_import(const struct contexts *c, struct context_entry *e)
{
	if (e->parent >= 0)
		e->import = c->at[e->parent].import;
	if (e->parent >= 0 && !(e->import & CONTEXT_IMPORTED))
		return;
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
	uint32_t n = c->n_slots ? c->n_slots * 2 : 4 * FEW;
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
	return 0;
}

/* Give an entry its own copy of a leaf that was decoded; before it lie its fields, which point into it. */
static int own(const struct contexts *c, struct context_entry *e, const uint8_t *leaf, size_t n,
	       const struct context *decoded)
{
	struct field *fields = malloc(decoded->n_fields * sizeof *fields + n);
	uint8_t *own = (uint8_t *) (fields + decoded->n_fields);

	if (!fields)
		return -ENOMEM;
	memcpy(own, leaf, n);
	for (uint16_t i = 0; i < decoded->n_fields; i++) {
		fields[i] = decoded->fields[i];
		fields[i].name = own + (decoded->fields[i].name - leaf);
		fields[i].value = own + (decoded->fields[i].value - leaf);
	}
	e->n_fields = decoded->n_fields;
	e->fields = e->memory = fields;
	e->leaf = own;
	e->leaf_size = (uint32_t) n;
	look_for_import(c, e);
	return 0;
}

static int decode(const struct contexts *c, const uint8_t *leaf, size_t n,
		  struct context_entry *ret)
{
	_uninitialized_ struct field fields[FIELDS_MAX];
	struct context decoded;
	int r;

	*ret = (struct context_entry){ 0 };
	r = context_decode(rd_of(leaf, n), fields, &decoded);
	if (r >= 0)
		r = link_parent(c, &decoded.parent, ret);
	if (r < 0)
		return r;
	ret->hash = tree_leaf(leaf, n);
	return own(c, ret, leaf, n, &decoded);
}

int64_t contexts_add(struct contexts *c, const uint8_t *leaf, size_t n)
{
	struct context_entry e;
	int r;

	if (n > CONTEXT_SIZE_MAX || c->size + n > CONTEXTS_SIZE_MAX)
		return BULLA_ELIMIT;
	assert(c->n_hashed == c->n);
	r = grow(c);
	if (r >= 0 && c->n >= FEW && 2 * (c->n + 1) > c->n_slots)
		r = grow_slots(c);
	if (r >= 0)
		r = decode(c, leaf, n, &e);
	if (r < 0)
		return r;
	if (contexts_find(c, &e.hash) >= 0) {
		entry_done(&e);
		return BULLA_ECORRUPT;
	}
	if (c->n_slots > 0)
		c->slot[slot_of(c, &e.hash)] = c->n + 1;
	c->at[c->n++] = e;
	c->n_hashed = c->n;
	c->size += e.leaf_size;
	return c->n - 1;
}

int contexts_add_rest(struct contexts *c, const struct contexts *from)
{
	int64_t r = 0;

	for (uint32_t i = c->n; r >= 0 && i < from->n; i++)
		r = contexts_add(c, from->at[i].leaf, from->at[i].leaf_size);
	return (int) MIN_OF(r, (int64_t) 0);
}

static int link_number(const struct contexts *c, int64_t parent, struct context_entry *e)
{
	if (parent < -1 || parent >= c->n || (parent < 0) != (c->n == 0))
		return BULLA_ECORRUPT;
	e->parent = (int32_t) parent;
	e->depth = parent < 0 ? 0 : (uint16_t) (c->at[parent].depth + 1);
	return e->depth > CONTEXT_DEPTH_MAX ? BULLA_ELIMIT : 0;
}

int64_t contexts_add_child(struct contexts *c, int64_t parent, const struct field *fields,
			   uint16_t n)
{
	struct context_entry e = { .fields = fields, .n_fields = n };
	size_t size = context_leaf_size(&(struct context){ .fields = fields, .n_fields = n });
	int r;

	if (n > FIELDS_MAX || size > CONTEXT_SIZE_MAX || c->size + size > CONTEXTS_SIZE_MAX)
		return BULLA_ELIMIT;
	e.leaf_size = (uint32_t) size;
	r = grow(c);
	if (r >= 0)
		r = link_number(c, parent, &e);
	if (r < 0)
		return r;
	look_for_import(c, &e);
	c->at[c->n++] = e;
	c->size += e.leaf_size;
	return c->n - 1;
}

/* A leaf that is there already was hashed with it. */
static int make_leaf(const struct contexts *c, struct context_entry *e)
{
	struct context context = { .fields = e->fields, .n_fields = e->n_fields };
	uint8_t *leaf = malloc(e->leaf_size);
	struct wr w = wr_of(leaf, e->leaf_size);

	if (!leaf)
		return -ENOMEM;
	if (e->parent >= 0)
		context.parent = c->at[e->parent].hash;
	context_encode(&context, &w);
	e->leaf = e->memory = leaf;
	e->hash = tree_leaf(leaf, e->leaf_size);
	return 0;
}

int contexts_hash_all(struct contexts *c)
{
	for (; c->n_hashed < c->n; c->n_hashed++) {
		int r = make_leaf(c, &c->at[c->n_hashed]);

		if (r < 0)
			return r;
	}
	return 0;
}

void contexts_remove_last(struct contexts *c)
{
	struct context_entry *e;

	assert(c->n > 0);
	e = &c->at[c->n - 1];
	/* It was the last to come, so no other's search passes over its slot. */
	if (c->n_slots > 0)
		c->slot[slot_of(c, &e->hash)] = 0;
	c->size -= e->leaf_size;
	c->n_hashed = --c->n;
	entry_done(e);
}

const struct field *contexts_lookup(const struct contexts *c, uint32_t number, const char *name)
{
	for (int64_t i = number; i >= 0; i = c->at[i].parent)
		for (uint16_t k = 0; k < c->at[i].n_fields; k++)
			if (field_is(&c->at[i].fields[k], name))
				return &c->at[i].fields[k];
	return NULL;
}

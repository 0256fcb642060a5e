/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_CONTEXTS_H
#define BULLA_STORE_CONTEXTS_H

/**
 * The contexts of one journal, by number: what a row's context number means.
 *
 * Number 0 is the journal's identity and has no parent; every other's parent came before it, so chains end at the
 * identity and cannot loop.  No context stands there twice.  They are found by hash through an open-addressing table,
 * keyed with a secret of this process: a tail may be hostile.
 */

#include <stdint.h>

#include "base/attr.h"
#include "seal/statement.h"

/** The identity says _ATTRIBUTION=import: the entries came with fields of their own for what is added to others. */
enum context_import {
	CONTEXT_IMPORTED = 1 << 0,
	CONTEXT_NO_MESSAGE = 1 << 1,  /* they had no MESSAGE... */
	CONTEXT_NO_PRIORITY = 1 << 2, /* ...or no PRIORITY that is a digit */
};

/** What says so of a context, and of those below it: NAME is MESSAGE or PRIORITY.  Nobody is shown it. */
#define CONTEXT_ABSENT "__ABSENT"

/** One context; lives as long as the table. */
struct context_entry {
	struct hash hash; /* of a child not before contexts_hash_all() */
	int32_t parent;	  /* number, or -1 at the identity */
	uint16_t n_fields;
	uint16_t depth;
	uint8_t import; /* CONTEXT_IMPORTED and what else holds */
	const struct field *fields;
	const uint8_t
		*leaf; /* the canonical bytes; of a child, too, not before contexts_hash_all() */
	uint32_t leaf_size;
	void *memory; /* owned: what of these is the table's own */
};

struct contexts {
	struct context_entry *at; /* owned */
	uint32_t n, cap;
	uint32_t size;	/* bytes of all leaves */
	uint32_t *slot; /* owned: numbers + 1; 0 is empty */
	uint32_t
		n_slots; /* power of two, at least twice n; 0 where they are so few that each is looked at */
	uint32_t n_hashed; /* the first ones */
	uint8_t hash_key[16];
};

void contexts_done(struct contexts *c);
/**
 * Add a context from its leaf bytes (copied).
 *
 * @return its number, or an error of context_decode(); BULLA_ECORRUPT for an unknown parent or one that is there already;
 *         BULLA_ELIMIT; -ENOMEM.
 */
_must_check_ int64_t contexts_add(struct contexts *c, const uint8_t *leaf, size_t n);
/** Add those of another table, all of which are hashed, that lie behind as many as there are: numbers are the same.  Errors as contexts_add(). */
_must_check_ int contexts_add_rest(struct contexts *c, const struct contexts *from);
/**
 * Add a context whose parent is told by number, -1 for none, with fields that are lawful and in canonical order, borrowed while the
 * table lives: nothing is hashed.  Then there is no contexts_find(), and two may be the same.  Errors as contexts_add().
 */
_must_check_ int64_t contexts_add_child(struct contexts *c, int64_t parent,
					const struct field *fields, uint16_t n);
/** Hash those that were not yet: before .hash or .leaf of a child is read, in one thread.  @return 0 or -ENOMEM. */
_must_check_ int contexts_hash_all(struct contexts *c);
/** Take back the last contexts_add(). */
void contexts_remove_last(struct contexts *c);
/** @return the number of a context, or -ENOENT. */
int64_t contexts_find(const struct contexts *c, const struct hash *hash);
/** The first field of this name in a context or its parents, nearest first; NULL if there is none. */
const struct field *contexts_lookup(const struct contexts *c, uint32_t number, const char *name);

#endif

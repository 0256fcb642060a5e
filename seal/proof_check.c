/* SPDX-License-Identifier: Apache-2.0 */

/** From the key down to the entries: each step is a hash of the one before. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "seal/proof.h"

static int no(const char **ret, const char *why)
{
	*ret = why;
	return BULLA_ETAMPERED;
}

static int check_seals(const struct entry_proof *p, const struct vkey *pin,
		       const struct kes_params *shape, struct event *events, struct commit *ret,
		       const char **why)
{
	struct vkey last = *pin;
	uint8_t id[VKEY_ID_SIZE];
	struct reign k;
	int r;

	if (!id_equal(&p->origin, &pin->origin))
		return no(why, "it is about another host than the key");
	r = reign_follow(&p->successions, pin, shape, events, &k, why);
	if (r < 0)
		return r;
	memcpy(last.public_key, k.public_key, KES_PUBLIC_SIZE);
	vkey_id(&last, id);
	if (memcmp(id, p->key_id, VKEY_ID_SIZE) != 0)
		return no(why, "the seal says that it is under another key");
	return reign_check_link(&k, &p->origin, &p->seal, events, ret, why);
}

/* Batch and entries. */

static int check_batch(const struct entry_proof *p, const struct commit *c, struct batch *ret,
		       const char **why)
{
	struct hash leaf = tree_leaf(p->batch.p, p->batch.n);

	if (batch_decode(rd_of(p->batch.p, p->batch.n), ret) < 0)
		return no(why, "the batch does not decode");
	if (p->batch_place >= c->n_batches ||
	    !tree_check_inclusion(&leaf, p->batch_place, c->n_batches, &p->batch_path,
				  &c->batches_root))
		return no(why, "the batch is not one of the commit's");
	return 0;
}

/* The root that the entries come to, or the only one's place under it. */
static int check_entries(const struct entry_proof *p, const struct batch *b, const char **why)
{
	_cleanup_free_ struct hash *leaves =
		reallocarray(NULL, MAX_OF(p->n_entries, 1u), sizeof *leaves);
	const uint32_t expected[] = {
		[PROOF_ENTRY] = 1, [PROOF_WHOLE] = b->entries, [PROOF_BATCH] = 0
	};
	struct rd r = rd_of(p->entries.p, p->entries.n);
	struct hash root;
	struct span e;
	uint32_t n = 0;

	if (!leaves)
		return -ENOMEM;
	while (n < p->n_entries && proof_next(&r, &e))
		leaves[n++] = tree_leaf(e.p, e.n);
	if (n != expected[p->extent] || n != p->n_entries || r.left > 0)
		return no(why, "it has not the entries that it should have");
	if (p->extent == PROOF_BATCH)
		return 0;
	if (p->extent == PROOF_ENTRY)
		return tree_check_inclusion(leaves, p->place, b->entries, &p->entry_path, &b->root)
			       ? 0
			       : no(why, "the entry is not one of the batch's");
	root = tree_root(leaves, n);
	return hash_same(&root, &b->root) ? 0 : no(why, "the entries are not the batch's");
}

/* Contexts. */

/* Hashes of contexts, in their order. */
struct known {
	struct hash *at; /* owned */
	bool *used;	 /* owned */
	uint32_t n;
};

static bool find(struct known *k, const struct hash *h)
{
	for (uint32_t i = 0; i < k->n; i++)
		if (hash_same(&k->at[i], h))
			return k->used[i] = true;
	return false;
}

static int gather_contexts(const struct entry_proof *p, struct field *fields, struct known *k,
			   const char **why)
{
	static const struct hash none;
	struct rd r = rd_of(p->contexts.p, p->contexts.n);
	struct context c;
	struct span s;

	while (proof_next(&r, &s)) {
		if (context_decode(rd_of(s.p, s.n), fields, &c) < 0)
			return no(why, "a context does not decode");
		if (k->n == 0 ? !hash_same(&c.parent, &none) : !find(k, &c.parent))
			return no(why, "a context has no parent");
		k->at[k->n] = tree_leaf(s.p, s.n);
		k->used[k->n++] = false;
	}
	return 0;
}

/* Every entry has its context here, and no context is here for nothing. */
static int match_contexts(const struct entry_proof *p, struct field *fields, struct known *k,
			  const char **why)
{
	struct rd r = rd_of(p->entries.p, p->entries.n);
	uint8_t salt[SALT_SIZE];
	struct entry e;
	struct span s;

	while (proof_next(&r, &s)) {
		if (entry_decode(rd_of(s.p, s.n), fields, &e, salt) < 0)
			return no(why, "an entry does not decode");
		if (!find(k, &e.context))
			return no(why, "the context of an entry is not here");
	}
	for (uint32_t i = 0; i < k->n; i++)
		if (!k->used[i])
			return no(why, "a context is nobody's");
	return 0;
}

/* Each is looked for among all: they are no more than these entries may need. */
static bool are_too_many(const struct entry_proof *p)
{
	return p->n_contexts > PROOF_CONTEXTS_MAX ||
	       p->n_contexts > (uint64_t) p->n_entries * PROOF_CONTEXTS_EACH;
}

static int check_contexts(const struct entry_proof *p, const char **why)
{
	_cleanup_free_ struct field *fields = reallocarray(NULL, FIELDS_MAX, sizeof *fields);
	_cleanup_free_ struct hash *at = reallocarray(NULL, p->n_contexts + 1u, sizeof *at);
	_cleanup_free_ bool *used = calloc(p->n_contexts + 1u, sizeof *used);
	struct known k = { at, used, 0 };
	int r = fields && at && used ? 0 : -ENOMEM;

	if (are_too_many(p))
		return no(why, "it has contexts that no entry needs");
	if (r >= 0)
		r = gather_contexts(p, fields, &k, why);
	return r < 0 ? r : match_contexts(p, fields, &k, why);
}

int entry_proof_check(const struct entry_proof *p, const struct vkey *pin,
		      const struct kes_params *shape, struct proved *ret, const char **ret_why)
{
	_cleanup_free_ struct event *events = reallocarray(NULL, EVENTS_MAX, sizeof *events);
	struct commit c;
	int r;

	*ret_why = "memory is short";
	*ret = (struct proved){ 0 };
	if (!events)
		return -ENOMEM;
	r = check_seals(p, pin, shape, events, &c, ret_why);
	if (r >= 0)
		r = check_batch(p, &c, &ret->batch, ret_why);
	if (r >= 0)
		r = check_entries(p, &ret->batch, ret_why);
	if (r >= 0)
		r = check_contexts(p, ret_why);
	if (r < 0)
		return r;
	ret->commit = c.number;
	ret->time_ns = c.time_ns;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/** One commit after the other: with them come the tree, the key's trees, and the commits in which keys succeeded each other. */

#include "store/proving.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"
#include "store/prove-internal.h"

struct proving {
	const struct prove_source *source;
	const struct prove_options *options;
	const char **why;
	struct history *history;
	struct kept_successions successions;
	/* Of the commit at hand, once something of it is wished for. */
	struct kept_link seal;
	struct batch *batches; /* owned, with all roots */
	struct hash *leaves;   /* owned: theirs */
	uint32_t n_batches;
	struct proved_entries entries;
	struct entry_proof proof;
	struct buf batch, file;
};

static void forget_commit(struct proving *p)
{
	kept_link_done(&p->seal);
	free(p->batches);
	free(p->leaves);
	p->batches = NULL;
	p->leaves = NULL;
}

static int no(struct proving *p, int error, const char *why)
{
	*p->why = why;
	return error;
}

/* Commits. */

/* What packing left out of the ledger. */
static int fill_roots(struct proving *p)
{
	for (uint32_t i = 0; i < p->n_batches; i++) {
		struct batch *b = &p->batches[i];
		int r;

		if (!root_is_absent(&b->root))
			continue;
		r = p->source->root(p->source->arg, b, &b->root);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			return no(p, BULLA_ETAMPERED,
				  "a batch of its commit is in no segment, or damaged there");
	}
	return 0;
}

/* Have all of a commit at hand. */
static int take_commit(struct proving *p, const struct sealed_commit *c)
{
	struct hash root;
	int r;

	if (p->batches)
		return 0;
	p->n_batches = c->commit.n_batches;
	p->batches = reallocarray(NULL, p->n_batches, sizeof *p->batches);
	p->leaves = reallocarray(NULL, p->n_batches, sizeof *p->leaves);
	if (!p->batches || !p->leaves)
		return -ENOMEM;
	memcpy(p->batches, c->batches, p->n_batches * sizeof *p->batches);
	r = fill_roots(p);
	if (r >= 0)
		r = kept_link_take(&p->seal, p->history, c);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < p->n_batches; i++)
		p->leaves[i] = batch_leaf_hash(&p->batches[i]);
	root = tree_root(p->leaves, p->n_batches);
	return hash_same(&root, &c->commit.batches_root)
		       ? 0
		       : no(p, BULLA_ETAMPERED,
			    "a batch of its commit was changed after it was sealed");
}

/* Batches. */

static int prove_entries(struct proving *p, const struct batch *b)
{
	struct hash root;
	int r;

	p->proof.n_entries = p->proof.n_contexts = 0;
	p->proof.entries = p->proof.contexts = (struct span){ 0 };
	if (p->proof.extent == PROOF_BATCH)
		return 0;
	p->entries.only = p->proof.extent == PROOF_ENTRY;
	p->entries.place = p->proof.place;
	r = proved_entries_begin(&p->entries, b);
	if (r >= 0)
		r = p->source->entries(p->source->arg, b, &p->entries);
	if (r >= 0 && p->entries.n != b->entries)
		r = BULLA_ETRUNCATED;
	if (r == BULLA_ELIMIT)
		return no(p, r,
			  "its batch is too large for one proof; single entries can be proved");
	if (r < 0)
		return r == -ENOMEM ? r : no(p, r, "its batch cannot be read");
	root = tree_root(p->entries.leaves, b->entries);
	if (!hash_same(&root, &b->root))
		return no(p, BULLA_ETAMPERED, "its batch was changed after it was sealed");
	if (p->proof.extent == PROOF_ENTRY)
		tree_prove_inclusion(p->entries.leaves, b->entries, p->proof.place,
				     &p->proof.entry_path);
	return proved_entries_put(&p->entries, &p->proof);
}

static int write_proof(struct proving *p, uint32_t place, const struct prove_wish *wish)
{
	const struct batch *b = &p->batches[place];
	struct entry_proof *e = &p->proof;
	struct vkey key = history_vkey(p->history);
	uint8_t *at;
	struct wr w;
	int r;

	buf_clear(&p->batch);
	buf_clear(&p->file);
	at = buf_room(&p->batch, BATCH_LEAF_SIZE);
	if (!at)
		return -ENOMEM;
	w = wr_of(at, BATCH_LEAF_SIZE);
	batch_encode(b, &w);
	memcpy(key.public_key, history_public_key(p->history), KES_PUBLIC_SIZE);
	vkey_id(&key, e->key_id);
	e->origin = key.origin;
	kept_successions_put(&p->successions, &e->successions);
	e->seal = p->seal.link;
	e->batch_place = place;
	e->batch = (struct span){ at, w.len };
	e->extent = wish->extent;
	e->place = wish->place;
	tree_prove_inclusion(p->leaves, p->n_batches, place, &e->batch_path);
	r = prove_entries(p, b);
	if (r < 0)
		return r;
	entry_proof_write(e, &p->file);
	return p->file.bad ? -ENOMEM : p->options->proof(p->options->arg, b, wish, &p->file);
}

/* @return 1 when nothing more is wished for. */
static int prove_batches(struct proving *p, const struct sealed_commit *c)
{
	bool last = false;
	int r = 0;

	for (uint32_t i = 0; r >= 0 && !last && i < c->commit.n_batches; i++) {
		struct prove_wish wish = { .extent = PROOF_ENTRY };

		r = p->options->wish(p->options->arg, &c->batches[i], c->commit.time_ns, &wish);
		if (r <= 0)
			continue;
		last = wish.last;
		r = take_commit(p, c);
		if (r >= 0)
			r = write_proof(p, i, &wish);
	}
	forget_commit(p);
	return r < 0 ? r : last;
}

int proving_commit(struct proving *p, const struct sealed_commit *c)
{
	/* The first has no entries: each journal is opened before it has any. */
	int r = c->commit.number > 0 ? prove_batches(p, c) : 0;

	if (r != 0)
		return r;
	r = kept_successions_add(&p->successions, p->history, c);
	if (r == BULLA_ELIMIT)
		return no(p, r, "too many keys have succeeded each other");
	if (r < 0)
		return r;
	history_commit_sealed(p->history);
	return r;
}

struct history *proving_history(const struct proving *p)
{
	return p->history;
}

int proving_new(struct proving **ret, const struct prove_source *s, const struct prove_options *o,
		const char **ret_why)
{
	struct proving *p = calloc(1, sizeof *p);

	*ret_why = NULL;
	if (!p)
		return -ENOMEM;
	p->source = s;
	p->options = o;
	p->why = ret_why;
	p->history = history_new();
	if (!p->history) {
		free(p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

struct proving *proving_free(struct proving *p)
{
	if (!p)
		return NULL;
	forget_commit(p);
	kept_successions_done(&p->successions);
	history_free(p->history);
	proved_entries_done(&p->entries);
	buf_done(&p->batch);
	buf_done(&p->file);
	free(p);
	return NULL;
}

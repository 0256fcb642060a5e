/* SPDX-License-Identifier: Apache-2.0 */

#include "query/proven.h"

#include <errno.h>
#include <stdlib.h>

#include "base/room.h"
#include "bulla/error.h"
#include "query/extents.h"
#include "query/pins.h"

const struct kes_params proof_key_shape = { .levels = 4, .height = 8 };

struct proven_journal {
	struct id origin, journal;
	uint64_t next_batch, next_seq;
	bool ended; /* the neighbour behind it has come */
};

void proof_judge_done(struct proof_judge *j)
{
	free(j->journals);
	free(j->proof);
	buf_done(&j->memory);
}

int proof_contexts(const struct entry_proof *p, struct contexts *ret)
{
	struct rd r = rd_of(p->contexts.p, p->contexts.n);
	struct span s;

	while (proof_next(&r, &s)) {
		int64_t k = contexts_add(ret, s.p, s.n);

		if (k < 0)
			return (int) k;
	}
	return 0;
}

static int no(struct proof_judge *j, const char *why)
{
	j->why = why;
	return BULLA_ETAMPERED;
}

/* @return as proof_judge(). */
static int find_key(struct proof_judge *j, struct vkey *ret)
{
	int r;

	if (j->key) {
		*ret = *j->key;
		return 1;
	}
	r = pins_find(&j->origin, ret);
	if (r == 0) {
		j->has_unknown = true;
		j->unknown = j->origin;
	}
	return r;
}

/* One entry. */

static int judge_one(struct proof_judge *j)
{
	const struct entry_proof *p = j->proof;
	const struct batch *b = &j->proved.batch;

	if (p->extent != PROOF_ENTRY || !id_equal(&b->journal, &j->journal) ||
	    b->first_seq + p->place != j->seq)
		return no(j, "it is a proof, but of something else than the entry asked for");
	return 1;
}

/* All of some journals. */

static struct proven_journal *journal_of(const struct proof_judge *j)
{
	for (size_t i = 0; i < j->n_journals; i++)
		if (id_equal(&j->journals[i].journal, &j->proved.batch.journal) &&
		    id_equal(&j->journals[i].origin, &j->origin))
			return &j->journals[i];
	return NULL;
}

static bool is_inside(const struct proof_judge *j)
{
	return j->proved.time_ns >= j->since_ns && j->proved.time_ns <= j->until_ns;
}

/* A journal begins with its first batch, or with the neighbour of what was asked for. */
static int begin_journal(struct proof_judge *j)
{
	const struct batch *b = &j->proved.batch;

	if (b->batch_no > 0 &&
	    (j->proof->extent != PROOF_BATCH || j->proved.time_ns >= j->since_ns))
		return no(j, "batches before it are left out");
	if (!room_for(&j->journals, j->n_journals, &j->cap, sizeof *j->journals))
		return -ENOMEM;
	j->journals[j->n_journals++] = (struct proven_journal){
		.origin = j->origin,
		.journal = b->journal,
		.next_batch = b->batch_no,
		.next_seq = b->first_seq,
	};
	return 0;
}

/* Whether its entries are of a journal that matches. */
static int judge_match(struct proof_judge *j)
{
	struct contexts contexts = { 0 };
	int r = proof_contexts(j->proof, &contexts);
	bool matches = r >= 0 && extents_match(j->query, &contexts) == TRI_YES;

	contexts_done(&contexts);
	if (r < 0)
		return r == -ENOMEM ? r : no(j, "it has contexts that are none");
	return matches ? 0 : no(j, "it is of a journal that does not match");
}

static int judge_batch(struct proof_judge *j)
{
	const struct batch *b = &j->proved.batch;
	bool neighbour = j->proof->extent == PROOF_BATCH;
	struct proven_journal *p = journal_of(j);
	bool begun = p != NULL;
	int r = 0;

	if (j->proof->extent == PROOF_ENTRY)
		return no(j, "it is of one entry, and all were asked for");
	if (!begun)
		r = begin_journal(j);
	if (r >= 0 && !neighbour)
		r = judge_match(j);
	if (r < 0)
		return r;
	p = begun ? p : &j->journals[j->n_journals - 1];
	if (p->ended || b->batch_no != p->next_batch || b->first_seq != p->next_seq)
		return no(j, "batches of its journal are left out, or come again");
	if (neighbour && is_inside(j))
		return no(j, "its entries are left out");
	p->ended = begun && neighbour;
	p->next_batch++;
	p->next_seq += b->entries;
	return 1;
}

int proof_judge(struct proof_judge *j, const void *file, size_t n)
{
	struct vkey key;
	int r;

	j->why = NULL;
	buf_clear(&j->memory);
	if (!j->proof)
		j->proof = malloc(sizeof *j->proof);
	r = j->proof ? entry_proof_read(file, n, &j->memory, j->proof) : -ENOMEM;
	if (r < 0)
		return r == -ENOMEM ? r : no(j, "it is no proof as bulla writes it");
	j->origin = j->proof->origin;
	if (j->key && !id_equal(&j->key->origin, &j->origin))
		return no(j, "it is of another host than the key");
	r = find_key(j, &key);
	if (r <= 0)
		return r;
	r = entry_proof_check(j->proof, &key, &proof_key_shape, &j->proved, &j->why);
	if (r >= 0)
		r = j->one ? judge_one(j) : judge_batch(j);
	if (r < 0)
		return r;
	j->proofs++;
	j->entries += j->proof->extent == PROOF_WHOLE ? j->proved.batch.entries
						      : j->proof->extent == PROOF_ENTRY;
	return 1;
}

int proof_judge_head(const struct growth *g, const struct growth *old, const struct vkey *key,
		     const char **ret_why)
{
	int r = growth_check(g, key, &proof_key_shape, ret_why);

	if (r < 0 || (!old && g->old == 0))
		return r;
	*ret_why = "it is not from the head that was given";
	if (!old || old->head.size != g->old)
		return BULLA_ETAMPERED;
	r = growth_check(old, key, &proof_key_shape, ret_why);
	if (r < 0)
		return r;
	*ret_why = "it does not go on from that head: these are two histories";
	return tree_check_consistency(g->old, g->head.size, &g->proof, &old->head.root,
				      &g->head.root)
		       ? 0
		       : BULLA_ETAMPERED;
}

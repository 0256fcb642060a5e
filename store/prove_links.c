/* SPDX-License-Identifier: Apache-2.0 */

/** How commits were sealed, kept for longer than the ledger is at them. */

#include <errno.h>

#include "bulla/error.h"
#include "store/prove-internal.h"

void kept_link_done(struct kept_link *l)
{
	buf_done(&l->commit);
	buf_done(&l->signature);
	*l = (struct kept_link){ 0 };
}

/* The roots of the perfect subtrees before it lead from the newest commit to the root. */
static void path_of(const struct frontier *before, struct proof *ret)
{
	*ret = (struct proof){ 0 };
	for (unsigned k = 0; k < 64; k++)
		if (before->size >> k & 1)
			ret->h[ret->n++] = before->node[k];
}

int kept_link_take(struct kept_link *l, const struct history *h, const struct sealed_commit *c)
{
	size_t size = commit_leaf_size(&c->commit);
	uint8_t *at = buf_room(&l->commit, size);
	struct wr w = wr_of(at, size);
	int r;

	if (!at)
		return -ENOMEM;
	commit_encode(&c->commit, &w);
	buf_add(&l->commit, w.len);
	r = history_signature(h, c->counter, c->sigma, &l->signature);
	if (r < 0)
		return r;
	path_of(history_tree(h), &l->link.path);
	l->link.commit = (struct span){ l->commit.data, l->commit.len };
	l->link.signature = (struct span){ l->signature.data, l->signature.len };
	l->link.counter = c->counter;
	return 0;
}

static bool has_rekey(const struct commit *c)
{
	for (uint16_t i = 0; i < c->n_events; i++)
		if (c->events[i].kind == EVENT_REKEY)
			return true;
	return false;
}

void kept_successions_done(struct kept_successions *s)
{
	for (unsigned i = 0; i < s->n; i++)
		kept_link_done(&s->at[i]);
	s->n = 0;
}

int kept_successions_add(struct kept_successions *s, const struct history *h,
			 const struct sealed_commit *c)
{
	if (!has_rekey(&c->commit))
		return 0;
	if (s->n == SUCCESSIONS_MAX)
		return BULLA_ELIMIT;
	return kept_link_take(&s->at[s->n++], h, c);
}

void kept_successions_put(const struct kept_successions *s, struct successions *to)
{
	to->n = s->n;
	for (unsigned i = 0; i < s->n; i++)
		to->at[i] = s->at[i].link;
}

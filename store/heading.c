/* SPDX-License-Identifier: Apache-2.0 */

/** The subtrees that a consistency proof is made of are stretches of commits. */

#include "store/heading.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bulla/error.h"
#include "seal/growth.h"
#include "store/prove-internal.h"

/* Commits [from, end) whose root is one of the proof's hashes. */
struct stretch {
	uint64_t from, end;
	struct frontier tree;
};

struct heading {
	uint64_t from; /* commits of the older head; 0: none */
	struct head head;
	struct buf signature;
	struct vkey key; /* that the head is under */
	struct history *history;
	struct kept_successions successions;
	uint8_t n_before;	 /* successions before the head's commit, which may be one itself */
	struct stretch *stretch; /* owned, PROOF_MAX, in the proof's order */
	size_t n;
};

static uint64_t largest_power_below(uint64_t n)
{
	uint64_t k = 1;

	while (k < n - k)
		k *= 2;
	return k;
}

/* RFC 6962, section 2.1.2: the tree over [from, from + n) contains the one over its first m. */
static void plan(struct heading *h, uint64_t m, uint64_t from, uint64_t n, bool is_old)
{
	uint64_t k;

	if (m == n) {
		if (!is_old)
			h->stretch[h->n++] = (struct stretch){ .from = from, .end = from + n };
		return;
	}
	k = largest_power_below(n);
	if (m <= k) {
		plan(h, m, from, k, is_old);
		h->stretch[h->n++] = (struct stretch){ .from = from + k, .end = from + n };
	} else {
		plan(h, m - k, from + k, n - k, false);
		h->stretch[h->n++] = (struct stretch){ .from = from, .end = from + k };
	}
}

/* The first time: it may be the newest. */
static int keep_head(struct heading *h, const struct sealed_commit *c)
{
	int r;

	h->n_before = h->successions.n;
	r = kept_successions_add(&h->successions, h->history, c);
	if (r < 0)
		return r;
	buf_clear(&h->signature);
	r = history_signature(h->history, c->counter, c->sigma, &h->signature);
	if (r < 0)
		return r;
	h->head.size = c->commit.number + 1;
	h->head.root = c->root;
	h->head.counter = c->counter;
	h->head.time_s = c->commit.time_ns / NS_PER_S;
	memcpy(h->key.public_key, history_public_key(h->history), KES_PUBLIC_SIZE);
	return 0;
}

/* The second time. */
static void grow_stretches(struct heading *h, const struct sealed_commit *c)
{
	uint64_t number = c->commit.number;

	for (size_t i = 0; i < h->n; i++)
		if (number >= h->stretch[i].from && number < h->stretch[i].end)
			frontier_push(&h->stretch[i].tree, &c->leaf);
}

int heading_commit(struct heading *h, const struct sealed_commit *c)
{
	int r = 0;

	if (h->stretch)
		grow_stretches(h, c);
	else
		r = keep_head(h, c);
	if (r < 0)
		return r;
	history_commit_sealed(h->history);
	return h->stretch && history_size(h->history) == h->head.size;
}

int heading_again(struct heading *h, const char **ret_why)
{
	if (h->stretch) {
		*ret_why = "commits that were there are no longer";
		return history_size(h->history) < h->head.size ? BULLA_ETRUNCATED : 0;
	}
	if (h->from > h->head.size) {
		*ret_why = "there are fewer commits than that head has";
		return BULLA_ETAMPERED;
	}
	if (h->head.size == 0) {
		*ret_why = "nothing was sealed here yet";
		return -ENOENT;
	}
	h->key.origin = h->head.origin = history_vkey(h->history).origin;
	if (h->from == 0)
		return 0;
	h->stretch = calloc(2 * PROOF_MAX, sizeof *h->stretch);
	if (!h->stretch)
		return -ENOMEM;
	plan(h, h->from, 0, h->head.size, true);
	if (h->n == 0)
		return 0;
	history_free(h->history);
	h->history = history_new();
	return h->history ? 1 : -ENOMEM;
}

int heading_write(struct heading *h, struct buf *to)
{
	struct growth *g = calloc(1, sizeof *g);

	if (!g)
		return -ENOMEM;
	vkey_id(&h->key, h->head.key_id);
	h->head.signature = (struct span){ h->signature.data, h->signature.len };
	g->old = h->from;
	g->head = h->head;
	kept_successions_put(&h->successions, &g->successions);
	g->successions.n = h->n_before;
	for (size_t i = 0; i < h->n; i++)
		g->proof.h[g->proof.n++] = frontier_root(&h->stretch[i].tree);
	growth_write(g, to);
	free(g);
	return to->bad ? -ENOMEM : 0;
}

struct history *heading_history(const struct heading *h)
{
	return h->history;
}

int heading_new(struct heading **ret, uint64_t from)
{
	struct heading *h = calloc(1, sizeof *h);

	if (!h)
		return -ENOMEM;
	h->from = from;
	h->history = history_new();
	if (!h->history) {
		free(h);
		return -ENOMEM;
	}
	*ret = h;
	return 0;
}

struct heading *heading_free(struct heading *h)
{
	if (!h)
		return NULL;
	kept_successions_done(&h->successions);
	history_free(h->history);
	buf_done(&h->signature);
	free(h->stretch);
	free(h);
	return NULL;
}

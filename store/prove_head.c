/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The ledger is read twice: to its end, for the head; and once more, for the subtrees that a consistency proof is made of, each of
 * which is a stretch of commits.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "bulla/error.h"
#include "seal/growth.h"
#include "seal/ledger.h"
#include "store/prove-internal.h"

/* Commits [from, end) whose root is one of the proof's hashes. */
struct stretch {
	uint64_t from, end;
	struct frontier tree;
};

struct heading {
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

static int on_commit(struct heading *h, const struct sealed_commit *c)
{
	uint64_t number = c->commit.number;
	int r;

	for (size_t i = 0; i < h->n; i++)
		if (number >= h->stretch[i].from && number < h->stretch[i].end)
			frontier_push(&h->stretch[i].tree, &c->leaf);
	if (h->n > 0)
		return 0;
	h->n_before = h->successions.n;
	r = kept_successions_add(&h->successions, h->history, c);
	if (r < 0)
		return r;
	buf_clear(&h->signature);
	r = history_signature(h->history, c->counter, c->sigma, &h->signature);
	if (r < 0)
		return r;
	h->head.size = number + 1;
	h->head.root = c->root;
	h->head.counter = c->counter;
	h->head.time_s = c->commit.time_ns / NS_PER_S;
	memcpy(h->key.public_key, history_public_key(h->history), KES_PUBLIC_SIZE);
	return 0;
}

/* Read all commits before `end`. */
static int read_ledger(struct heading *h, const struct state *s, uint64_t end)
{
	struct ledger l = { .fd = -1 };
	struct ledger_scan scan = { 0 };
	struct ledger_read read;
	int r = ledger_begin(&l, s->ledger, O_RDONLY);

	history_free(h->history);
	h->history = history_new();
	if (!h->history)
		r = -ENOMEM;
	while (r >= 0 && history_size(h->history) < end) {
		r = ledger_next(&l, h->history, HISTORY_SKIP_SIGNATURE, &scan, &read);
		if (r <= 0)
			break;
		r = read.type == LEDGER_COMMIT ? on_commit(h, &read.commit) : 0;
		if (r >= 0 && read.type == LEDGER_COMMIT)
			history_commit_sealed(h->history);
	}
	ledger_close(&l);
	return MIN_OF(r, 0);
}

static int prove_growth(struct heading *h, const struct state *s, struct growth *g)
{
	int r;

	h->stretch = calloc(2 * PROOF_MAX, sizeof *h->stretch);
	if (!h->stretch)
		return -ENOMEM;
	plan(h, g->old, 0, g->head.size, true);
	r = h->n > 0 ? read_ledger(h, s, g->head.size) : 0;
	for (size_t i = 0; r >= 0 && i < h->n; i++)
		g->proof.h[g->proof.n++] = frontier_root(&h->stretch[i].tree);
	return r;
}

static int write_head(struct heading *h, const struct state *s, uint64_t from, struct buf *to,
		      const char **why)
{
	struct growth *g;
	int r = 0;

	if (from > h->head.size) {
		*why = "the ledger has fewer commits than that head: it was cut off";
		return BULLA_ETAMPERED;
	}
	if (h->head.size == 0) {
		*why = "nothing was sealed here yet";
		return -ENOENT;
	}
	h->key.origin = h->head.origin = history_vkey(h->history).origin;
	vkey_id(&h->key, h->head.key_id);
	h->head.signature = (struct span){ h->signature.data, h->signature.len };
	g = calloc(1, sizeof *g);
	if (!g)
		return -ENOMEM;
	g->old = from;
	g->head = h->head;
	kept_successions_put(&h->successions, &g->successions);
	g->successions.n = h->n_before;
	if (from > 0)
		r = prove_growth(h, s, g);
	if (r >= 0)
		growth_write(g, to);
	free(g);
	return r < 0 ? r : to->bad ? -ENOMEM : 0;
}

int prove_head(const struct state *s, uint64_t from, struct buf *to, const char **ret_why)
{
	struct heading *h = calloc(1, sizeof *h);
	int r;

	*ret_why = NULL;
	if (!h)
		return -ENOMEM;
	r = read_ledger(h, s, UINT64_MAX);
	if (r >= 0)
		r = write_head(h, s, from, to, ret_why);
	else
		*ret_why = r == BULLA_ELIMIT ? "too many keys have succeeded each other"
					     : "the ledger cannot be read to its end";
	kept_successions_done(&h->successions);
	history_free(h->history);
	buf_done(&h->signature);
	free(h->stretch);
	free(h);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A commit is taken in two steps: history_parse_commit() reads it against the history without touching it (which journals
 * its batches continue, what the tree becomes), then, once the signature holds, absorb() writes all of it down.  So a
 * record that is refused leaves no trace, and the sealer can ask for the message to sign before there is a signature.
 */

#include "seal/history-internal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

struct history *history_new(void)
{
	struct history *h;

	if (sodium_init() < 0)
		return NULL;
	h = calloc(1, sizeof *h);
	if (h)
		randombytes_buf(h->journals.hash_key, sizeof h->journals.hash_key);
	return h;
}

struct history *history_free(struct history *h)
{
	if (h) {
		free(h->journals.at);
		free(h->journals.slot);
		free(h->p.batches);
		free(h->p.handles);
		free(h->p.events);
		free(h->p.opened);
		ledger_items_done(&h->p.items);
		free(h);
	}
	return NULL;
}

void history_pin(struct history *h, const struct vkey *key)
{
	assert(!h->started);
	h->pin = *key;
	h->pinned = true;
}

/* The journal table. */

static uint32_t slot_of(const struct journal_table *t, const struct id *id)
{
	uint64_t hash;

	/* Keyed: ids come from outside, and one origin's history is not to slow down its neighbours'. */
	crypto_shorthash((uint8_t *) &hash, id->b, ID_SIZE, t->hash_key);
	for (uint32_t i = (uint32_t) hash;; i++) {
		uint32_t s = i & (t->n_slots - 1);

		if (t->slot[s] == 0 || id_equal(&t->at[t->slot[s] - 1].id, id))
			return s;
	}
}

static int table_reserve(struct journal_table *t, uint32_t more)
{
	uint32_t need = t->n + more, slots = t->n_slots ? t->n_slots : 64;

	if (need > JOURNALS_MAX)
		return BULLA_ELIMIT;
	if (need > t->cap) {
		uint32_t cap = MAX_OF(need, t->cap * 2);
		struct ledger_journal *at = reallocarray(t->at, cap, sizeof *at);

		if (!at)
			return -ENOMEM;
		t->at = at;
		t->cap = cap;
	}
	while (slots <= 2 * (uint64_t) need)
		slots *= 2;
	if (slots != t->n_slots) {
		uint32_t *slot = calloc(slots, sizeof *slot);

		if (!slot)
			return -ENOMEM;
		free(t->slot);
		t->slot = slot;
		t->n_slots = slots;
		for (uint32_t i = 0; i < t->n; i++)
			t->slot[slot_of(t, &t->at[i].id)] = i + 1;
	}
	return 0;
}

int history_reserve_journals(struct history *h, size_t more)
{
	assert(more <= EVENTS_MAX);
	return table_reserve(&h->journals, (uint32_t) more);
}

static void table_add(struct journal_table *t, const struct ledger_journal *j)
{
	assert(t->n < t->cap);
	t->at[t->n] = *j;
	t->n++;
	t->slot[slot_of(t, &j->id)] = t->n;
}

int64_t history_find_journal(const struct history *h, const struct id *id)
{
	const struct journal_table *t = &h->journals;
	uint32_t s;

	if (t->n_slots == 0)
		return -ENOENT;
	s = t->slot[slot_of(t, id)];
	return s == 0 ? -ENOENT : (int64_t) s - 1;
}

/* The journal of a handle, be it known or opened by the very commit at hand. */
const struct ledger_journal *history_journal_at(const struct history *h, uint64_t handle)
{
	if (handle < h->journals.n)
		return &h->journals.at[handle];
	if (handle - h->journals.n < h->p.n_opened)
		return &h->p.opened[handle - h->journals.n];
	return NULL;
}

/* Taking commits. */

static int check_pin(const struct history *h)
{
	struct id origin = history_parsed_origin(h);

	if (!h->pinned || h->started)
		return 0;
	if (!id_equal(&origin, &h->pin.origin) ||
	    memcmp(h->public_key, h->pin.public_key, KES_PUBLIC_SIZE) != 0)
		return BULLA_ETAMPERED;
	return 0;
}

static void absorb_batches(struct history *h)
{
	const struct parsed *p = &h->p;

	for (size_t i = 0; i < p->n_opened; i++) {
		p->opened[i].boot = p->commit.boot;
		table_add(&h->journals, &p->opened[i]);
	}
	for (size_t i = 0; i < p->commit.n_batches; i++) {
		const struct batch *b = &p->batches[i];
		struct ledger_journal *j = &h->journals.at[p->handles[i]];

		j->batches++;
		j->entries += b->entries;
		j->bytes += b->bytes;
		j->time_min = MIN_OF(j->time_min, b->time_min);
		j->time_max = MAX_OF(j->time_max, b->time_max);
		j->mono_offset = b->mono_offset;
		j->last_commit = p->commit.number;
	}
}

static struct ledger_journal *journal_of(struct history *h, const struct id *id)
{
	int64_t handle = history_find_journal(h, id);

	assert(handle >= 0);
	return &h->journals.at[handle];
}

/* What events say of journals that are known, be it by this very commit. */
static void absorb_events(struct history *h)
{
	for (size_t i = 0; i < h->p.commit.n_events; i++) {
		const struct event *e = &h->p.events[i];
		struct event_close close;
		struct event_prune prune;

		if (e->kind == EVENT_CLOSE && event_close_decode(e, &close) == 0)
			journal_of(h, &close.journal)->closed = true;
		if (e->kind == EVENT_PRUNE && event_prune_decode(e, &prune) == 0) {
			struct ledger_journal *j = journal_of(h, &prune.journal);

			j->pruned = true;
			j->pruned_batches = prune.batches;
		}
	}
}

static void absorb(struct history *h)
{
	const struct parsed *p = &h->p;

	if (p->has_genesis) {
		memcpy(h->host, p->genesis.host, p->genesis.host_len);
		h->host[p->genesis.host_len] = '\0';
		h->machine = p->genesis.machine;
		h->vkey.origin = history_parsed_origin(h);
		memcpy(h->vkey.public_key, h->public_key, KES_PUBLIC_SIZE);
		h->started = true;
	}
	absorb_batches(h);
	absorb_events(h);
	h->p.complete = false;
	h->tree = p->tree;
	h->boot = p->commit.boot;
	h->time_ns = p->commit.time_ns;
	h->up = !p->has_down;
	if (p->has_rekey) {
		h->key_first = p->commit.number + 1;
		h->params = (struct kes_params){ p->rekey.levels, p->rekey.height };
		memcpy(h->public_key, p->rekey.public_key, KES_PUBLIC_SIZE);
		h->awaiting_keys = true;
	}
}

/* Check the seal of the commit in h->p, and that it is the pinned key's. */
static int check_seal(struct history *h, enum history_check check)
{
	const struct parsed *p = &h->p;
	const struct kes_public_tree *bottom = &h->trees[h->params.levels - 1];
	uint64_t counter = p->commit.number - h->key_first;
	uint32_t index = kes_index(&h->params, counter, h->params.levels - 1u);
	char message[SEAL_MESSAGE_SIZE_MAX];

	if (check == HISTORY_CHECK_ALL) {
		size_t size = history_parsed_message(h, message);

		if (!kes_check_sigma(p->sigma, bottom->node[bottom_keys(&h->params) + index].b,
				     message, size))
			return BULLA_ESIG;
	}
	return check_pin(h);
}

static int previewed(struct history *h, int r, enum history_check check, struct sealed_commit *ret)
{
	const struct parsed *p = &h->p;

	if (r >= 0)
		r = check_seal(h, check);
	if (r < 0) {
		h->p.complete = false;
		return r;
	}
	if (ret)
		*ret = (struct sealed_commit){
			.commit = p->commit,
			.batches = p->batches,
			.handles = p->handles,
			.lacks_roots = p->lacks_roots,
			.counter = p->commit.number - h->key_first,
			.leaf = p->leaf,
			.root = p->root,
			.sigma = p->sigma,
		};
	return 0;
}

int history_preview(struct history *h, const uint8_t *bytes, size_t n, enum history_check check,
		    struct sealed_commit *ret)
{
	return previewed(h, history_parse_commit(h, bytes, n, true), check, ret);
}

int history_preview_record(struct history *h, const struct commit_record *record,
			   enum history_check check, struct sealed_commit *ret)
{
	return previewed(h, history_parse_record(h, record), check, ret);
}

int history_commit(struct history *h, const uint8_t *bytes, size_t n, enum history_check check,
		   struct sealed_commit *ret)
{
	int r = history_preview(h, bytes, n, check, ret);

	if (r < 0)
		return r;
	absorb(h);
	return 0;
}

void history_commit_sealed(struct history *h)
{
	assert(h->p.complete);
	absorb(h);
}

int history_record(struct history *h, uint32_t type, const uint8_t *p, size_t n,
		   struct sealed_commit *ret)
{
	switch (type) {
	case LEDGER_KEYS:
		return history_keys(h, p, n);
	case LEDGER_COMMIT:
		return history_commit(h, p, n, HISTORY_CHECK_ALL, ret);
	default:
		return BULLA_EVERSION;
	}
}

/* Asking. */

bool history_can_prune(const struct ledger_journal *j, uint64_t batches)
{
	if (batches > j->batches)
		return false;
	return batches > j->pruned_batches || (j->closed && j->batches == 0 && !j->pruned);
}

uint64_t history_size(const struct history *h)
{
	return h->tree.size;
}

int history_signature(const struct history *h, uint64_t counter,
		      const uint8_t sigma[KES_SIGMA_SIZE], struct buf *to)
{
	size_t size = kes_signature_size(&h->params);
	uint8_t *at = buf_room(to, size);
	struct wr w = wr_of(at, size);

	if (!h->has_keys || counter >= h->keys_upto ||
	    h->keys_upto - counter > bottom_keys(&h->params))
		return BULLA_EORDER;
	if (!at)
		return -ENOMEM;
	for (unsigned l = 0; l < h->params.levels; l++)
		kes_compact_sum(&h->trees[l], h->params.height, kes_index(&h->params, counter, l),
				l + 1u < h->params.levels ? h->certificates[l + 1] : sigma, &w);
	buf_add(to, w.len);
	return 0;
}

const struct frontier *history_tree(const struct history *h)
{
	return &h->tree;
}

uint64_t history_key_first(const struct history *h)
{
	return h->key_first;
}

struct vkey history_vkey(const struct history *h)
{
	assert(h->started);
	return h->vkey;
}

const uint8_t *history_public_key(const struct history *h)
{
	return h->public_key;
}

const struct kes_params *history_params(const struct history *h)
{
	return &h->params;
}

bool history_keys_ready(const struct history *h)
{
	return h->has_keys && !h->awaiting_keys && h->tree.size - h->key_first < h->keys_upto;
}

bool history_has_key(const struct history *h, const struct kes *k)
{
	if (!h->has_keys || h->awaiting_keys || k->params.levels != h->params.levels ||
	    k->params.height != h->params.height)
		return false;
	for (unsigned l = 0; l < k->params.levels; l++)
		if (!hash_same(&k->level[l].public.node[1], &h->trees[l].node[1]) ||
		    memcmp(k->level[l].certificate, h->certificates[l], KES_SIGMA_SIZE) != 0)
			return false;
	return true;
}

int history_fill_key(const struct history *h, struct kes *k)
{
	if (!h->has_keys || h->awaiting_keys || k->params.levels != h->params.levels ||
	    k->params.height != h->params.height)
		return BULLA_EORDER;
	for (unsigned l = 0; l < k->params.levels; l++) {
		if (k->pending && l >= k->renewing)
			continue;
		k->level[l].public = h->trees[l];
		memcpy(k->level[l].certificate, h->certificates[l], KES_SIGMA_SIZE);
	}
	return kes_check_seeds(k);
}

struct id history_boot(const struct history *h)
{
	return h->boot;
}

bool history_is_up(const struct history *h)
{
	return h->up;
}

const char *history_host(const struct history *h)
{
	return h->host;
}

struct id history_machine(const struct history *h)
{
	return h->machine;
}

uint64_t history_time(const struct history *h)
{
	return h->time_ns;
}

uint32_t history_n_journals(const struct history *h)
{
	return h->journals.n;
}

const struct ledger_journal *history_journal(const struct history *h, uint32_t handle)
{
	assert(handle < h->journals.n);
	return &h->journals.at[handle];
}

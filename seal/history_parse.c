/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Reading records.  Nothing here changes what the history knows but history_header() and history_keys(), which need no
 * second step; a commit is left in h->p.  Events come before batch items in meaning, behind them in the bytes: they say
 * which boot it is and what the newest handles stand for.
 */

#include "seal/history-internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

enum { BATCHES_AT_ONCE = 64 };

const uint8_t history_magic[LEDGER_MAGIC_SIZE] = "BULLALG1";

/* Header. */

int history_header(struct history *h, const uint8_t *p, size_t n)
{
	struct rd r = rd_of(p, n);
	const uint8_t *m = rd_bytes(&r, sizeof history_magic);
	uint32_t incompatible;
	uint64_t first;

	rd_u32(&r);
	incompatible = rd_u32(&r);
	first = rd_u64(&r);
	if (r.bad || r.left > 0)
		return BULLA_ECORRUPT;
	if (memcmp(m, history_magic, sizeof history_magic) != 0 || incompatible != 0 ||
	    (first != 0 && !h->has_header))
		return BULLA_EVERSION;
	if (h->has_header && (first == 0 || first != h->tree.size))
		return BULLA_EORDER;
	h->has_header = true;
	return 0;
}

/* Keys. */

/* Which level the trees for seal `counter` begin at: the topmost whose index has just rolled over below it. */
static unsigned renewal_level(const struct kes_params *p, uint64_t counter)
{
	unsigned level = p->levels;

	while (level > 0 && kes_index(p, counter, level - 1) == 0)
		level--;
	return level;
}

static int keys_expected(const struct history *h, const struct kes_params *p, uint64_t counter,
			 unsigned from)
{
	if (!kes_params_valid(p) || counter >= kes_capacity(p) || from >= p->levels)
		return BULLA_ECORRUPT;
	if (!h->has_header)
		return BULLA_EORDER;
	/* A tree's root does not say how high it is: the height is part of what genesis and rekey events name. */
	if (h->has_keys && (p->levels != h->params.levels || p->height != h->params.height))
		return BULLA_EORDER;
	if (!h->has_keys || h->awaiting_keys)
		return counter == 0 && from == 0 ? 0 : BULLA_EORDER;
	if (counter != h->keys_upto || counter != h->tree.size - h->key_first)
		return BULLA_EORDER;
	/* Level k is renewed when the index at k - 1 moves: one level above the first that rolled over. */
	return from == MAX_OF(renewal_level(p, counter), 1u) ? 0 : BULLA_EORDER;
}

int history_keys(struct history *h, const uint8_t *p, size_t n)
{
	_cleanup_free_ struct kes_public_tree *trees = NULL;
	uint8_t certificates[KES_LEVELS_MAX][KES_SIGMA_SIZE] = { 0 };
	struct kes_params params;
	struct rd r = rd_of(p, n);
	uint64_t counter = rd_u64(&r);
	unsigned from;
	int k;

	params.levels = rd_u8(&r);
	params.height = rd_u8(&r);
	from = rd_u8(&r);
	if (r.bad)
		return BULLA_ECORRUPT;
	k = keys_expected(h, &params, counter, from);
	if (k < 0)
		return k;
	trees = calloc(params.levels, sizeof *trees);
	if (!trees)
		return -ENOMEM;
	for (unsigned l = from; l < params.levels; l++) {
		if (l > 0)
			rd_copy(&r, certificates[l], KES_SIGMA_SIZE);
		rd_copy(&r, &trees[l].node[bottom_keys(&params)],
			bottom_keys(&params) * KES_PUBLIC_SIZE);
		kes_public_tree_fill(&trees[l], params.height);
	}
	if (r.bad || r.left > 0)
		return BULLA_ECORRUPT;
	for (unsigned l = MAX_OF(from, 1u); l < params.levels; l++) {
		const struct kes_public_tree *above = l > from ? &trees[l - 1] : &h->trees[l - 1];
		uint32_t index = kes_index(&params, counter, l - 1);
		uint8_t message[KES_CERT_MESSAGE_SIZE];

		kes_certificate_message(l, &trees[l].node[1], message);
		if (!kes_check_sigma(certificates[l], above->node[bottom_keys(&params) + index].b,
				     message, sizeof message))
			return BULLA_ESIG;
	}
	if (from == 0 && h->awaiting_keys &&
	    memcmp(trees[0].node[1].b, h->public_key, KES_PUBLIC_SIZE) != 0)
		return BULLA_ESIG;
	for (unsigned l = from; l < params.levels; l++) {
		h->trees[l] = trees[l];
		memcpy(h->certificates[l], certificates[l], KES_SIGMA_SIZE);
	}
	h->params = params;
	memcpy(h->public_key, h->trees[0].node[1].b, KES_PUBLIC_SIZE);
	h->keys_upto = counter + bottom_keys(&params);
	h->has_keys = true;
	h->awaiting_keys = false;
	return 0;
}

/* Commits. */

static int grow(void *array, size_t *cap, size_t need, size_t size)
{
	void **at = array;
	void *p;

	if (need <= *cap)
		return 0;
	p = reallocarray(*at, need, size);
	if (!p)
		return -ENOMEM;
	*at = p;
	*cap = need;
	return 0;
}

int history_parse_open(struct history *h, const struct event *e)
{
	struct parsed *p = &h->p;
	struct event_open open;
	int r;

	r = event_open_decode(e, &open);
	if (r < 0)
		return r;
	if (history_find_journal(h, &open.journal) >= 0)
		return BULLA_EORDER;
	for (size_t i = 0; i < p->n_opened; i++)
		if (id_equal(&p->opened[i].id, &open.journal))
			return BULLA_EORDER;
	if (p->n_opened == EVENTS_MAX)
		return BULLA_ELIMIT;
	r = grow(&p->opened, &p->opened_cap, p->n_opened + 1, sizeof *p->opened);
	if (r >= 0)
		r = history_reserve_journals(h, p->n_opened + 1);
	if (r < 0)
		return r;
	p->opened[p->n_opened++] = (struct ledger_journal){
		.id = open.journal,
		.identity = open.identity,
		.previous = open.previous,
		.seed_commitment = open.seed_commitment,
		.opened = p->commit.number,
		.last_commit = p->commit.number,
		.time_min = UINT64_MAX,
	};
	return 0;
}

/* A host's name is shown to people: no control characters, and no end before the end. */
static bool host_is_lawful(const struct event_genesis *g)
{
	if (g->host_len > HOST_NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < g->host_len; i++)
		if (g->host[i] < ' ' || g->host[i] == 0x7f)
			return false;
	return true;
}

static int parse_genesis(struct history *h, const struct event *e, size_t place)
{
	struct parsed *p = &h->p;
	int r = event_genesis_decode(e, &p->genesis);

	if (r < 0)
		return r;
	if (h->started || place != 0)
		return BULLA_EORDER;
	p->has_genesis = true;
	return host_is_lawful(&p->genesis) ? 0 : BULLA_ENOTCANON;
}

static int parse_up(struct history *h, const struct event *e)
{
	struct parsed *p = &h->p;
	struct event_up up;
	int r = event_up_decode(e, &up);

	if (r < 0)
		return r;
	/* What the ledger says itself cannot be claimed otherwise. */
	if (p->has_up || p->has_down || up.unclean != h->up)
		return BULLA_EORDER;
	p->commit.boot = up.boot;
	p->has_up = true;
	return 0;
}

static int parse_down(struct history *h, const struct event *e)
{
	struct parsed *p = &h->p;

	if (p->has_up || p->has_down)
		return BULLA_EORDER;
	p->has_down = true;
	return e->len == 0 ? 0 : BULLA_ENOTCANON;
}

static int parse_rekey(struct history *h, const struct event *e)
{
	struct parsed *p = &h->p;
	int r = event_rekey_decode(e, &p->rekey);

	if (r < 0)
		return r;
	if (p->has_rekey)
		return BULLA_EORDER;
	p->has_rekey = true;
	return kes_params_valid(&(struct kes_params){ p->rekey.levels, p->rekey.height })
		       ? 0
		       : BULLA_ECORRUPT;
}

static int parse_prune(const struct history *h, const struct event *e)
{
	struct event_prune prune;
	int64_t handle;
	int r = event_prune_decode(e, &prune);

	if (r < 0)
		return r;
	for (const struct event *before = h->p.events; before < e; before++)
		if (before->kind == EVENT_PRUNE &&
		    memcmp(before->body, prune.journal.b, ID_SIZE) == 0)
			return BULLA_EORDER;
	handle = history_find_journal(h, &prune.journal);
	if (handle < 0 || !history_can_prune(&h->journals.at[handle], prune.batches))
		return BULLA_EORDER;
	return 0;
}

/* Events that say something of the origin itself.  Unknown kinds are kept as they are: they are sealed, not obeyed. */
static int parse_event(struct history *h, const struct event *e, size_t place)
{
	switch (e->kind) {
	case EVENT_GENESIS:
		return parse_genesis(h, e, place);
	case EVENT_UP:
		return parse_up(h, e);
	case EVENT_DOWN:
		return parse_down(h, e);
	case EVENT_REKEY:
		return parse_rekey(h, e);
	case EVENT_OPEN:
		return history_parse_open(h, e);
	case EVENT_PRUNE:
		return parse_prune(h, e);
	default:
		return 0;
	}
}

static int parse_events(struct history *h, const struct commit_record *record)
{
	struct parsed *p = &h->p;
	struct rd r = rd_of(record->events, record->events_size);
	int k = grow(&p->events, &p->events_cap, record->n_events, sizeof *p->events);

	for (size_t i = 0; k >= 0 && i < record->n_events; i++) {
		struct event *e = &p->events[i];

		e->kind = rd_u8(&r);
		e->len = (uint16_t) rd_varint(&r);
		e->body = rd_bytes(&r, e->len);
		k = parse_event(h, e, i);
	}
	p->commit.events = p->events;
	p->commit.n_events = (uint16_t) record->n_events;
	return k;
}

static bool add_exceeds(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b;
}

static int parse_item(struct history *h, const struct ledger_item *i, struct batch *b,
		      uint32_t *ret_handle)
{
	const struct ledger_journal *j = history_journal_at(h, i->handle);

	if (!j || (i->flags & ~BATCH_FLAGS_ALL) || i->entries == 0 || i->entries > UINT32_MAX)
		return BULLA_ECORRUPT;
	if (j->closed)
		return BULLA_EORDER;
	*b = (struct batch){
		.journal = j->id,
		.batch_no = j->batches,
		.first_seq = j->entries,
		.entries = (uint32_t) i->entries,
		.bytes = i->bytes,
		.time_min = h->p.commit.time_ns + i->time_min,
		.boot = i->handle < h->journals.n ? j->boot : h->p.commit.boot,
		.mono_offset = (int64_t) ((uint64_t) j->mono_offset + i->mono),
		.root = i->root,
		.recovered = i->flags & BATCH_RECOVERED,
	};
	/* A journal never outlives its boot, but for what the boot left unsealed. */
	if (!b->recovered && !id_equal(&b->boot, &h->p.commit.boot))
		return BULLA_EORDER;
	if (__builtin_add_overflow(b->time_min, i->span, &b->time_max))
		return BULLA_ECORRUPT;
	if (add_exceeds(j->entries, i->entries) || add_exceeds(j->bytes, b->bytes))
		return BULLA_ECORRUPT;
	*ret_handle = (uint32_t) i->handle;
	return 0;
}

static int parse_items(struct history *h, const struct commit_record *record)
{
	struct parsed *p = &h->p;
	size_t cap = p->batches_cap, n = record->n_items;
	int k;

	k = grow(&p->handles, &cap, n, sizeof *p->handles);
	if (k >= 0)
		k = grow(&p->batches, &p->batches_cap, n, sizeof *p->batches);
	if (k < 0)
		return k;
	for (size_t i = 0; i < n; i++) {
		struct batch *b = &p->batches[i];

		k = parse_item(h, &record->items[i], b, &p->handles[i]);
		if (k < 0)
			return k;
		if (i > 0 && id_compare(&b[-1].journal, &b->journal) >= 0)
			return BULLA_ENOTCANON;
		p->lacks_roots |= root_is_absent(&b->root);
	}
	p->commit.n_batches = (uint32_t) n;
	return 0;
}

static int compare_batch_journal(const void *key, const void *batch)
{
	return id_compare(key, &((const struct batch *) batch)->journal);
}

/* Where the journal of a close is, be it known or opened by this very commit. */
static const struct ledger_journal *closing_journal(const struct history *h, const struct id *id)
{
	int64_t handle = history_find_journal(h, id);

	if (handle >= 0)
		return &h->journals.at[handle];
	for (size_t i = 0; i < h->p.n_opened; i++)
		if (id_equal(&h->p.opened[i].id, id))
			return &h->p.opened[i];
	return NULL;
}

/* A close must tell the very counts that the journal has with this commit. */
static int check_close(const struct history *h, const struct event *e)
{
	const struct parsed *p = &h->p;
	const struct ledger_journal *j;
	const struct batch *last;
	struct event_close close;
	uint64_t batches, entries;
	int r = event_close_decode(e, &close);

	if (r < 0)
		return r;
	for (const struct event *before = p->events; before < e; before++)
		if (before->kind == EVENT_CLOSE &&
		    memcmp(before->body, close.journal.b, ID_SIZE) == 0)
			return BULLA_EORDER;
	j = closing_journal(h, &close.journal);
	if (!j || j->closed)
		return BULLA_EORDER;
	batches = j->batches;
	entries = j->entries;
	last = p->commit.n_batches == 0 ? NULL
					: bsearch(&close.journal, p->batches, p->commit.n_batches,
						  sizeof *p->batches, compare_batch_journal);
	if (last) {
		batches++;
		entries += last->entries;
	}
	return close.batches == batches && close.entries == entries ? 0 : BULLA_EORDER;
}

static int check_closes(const struct history *h)
{
	for (size_t i = 0; i < h->p.commit.n_events; i++) {
		int r = h->p.events[i].kind == EVENT_CLOSE ? check_close(h, &h->p.events[i]) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

struct hash batches_root(const struct batch *batches, size_t n)
{
	_uninitialized_ uint8_t leaf[BATCHES_AT_ONCE * BATCH_LEAF_SIZE];
	_uninitialized_ struct hash hash[BATCHES_AT_ONCE];
	struct frontier tree = { 0 };

	for (size_t k; n > 0; batches += k, n -= k) {
		struct wr w = wr_of(leaf, sizeof leaf);

		k = MIN_OF(n, (size_t) BATCHES_AT_ONCE);
		for (size_t i = 0; i < k; i++)
			batch_encode(&batches[i], &w);
		assert(!w.bad && w.len == k * BATCH_LEAF_SIZE);
		tree_leaves(leaf, BATCH_LEAF_SIZE, k, hash);
		frontier_push_many(&tree, hash, k);
	}
	return frontier_root(&tree);
}

/* Where roots are left out, the seal covers what the record says that all of them come to. */
static int hash_commit(struct history *h, const struct commit_record *record)
{
	struct parsed *p = &h->p;
	int r;

	if (!p->lacks_roots)
		p->commit.batches_root = batches_root(p->batches, p->commit.n_batches);
	if (record->batches_root && p->lacks_roots)
		memcpy(p->commit.batches_root.b, record->batches_root, HASH_SIZE);
	else if (record->batches_root &&
		 memcmp(p->commit.batches_root.b, record->batches_root, HASH_SIZE) != 0)
		return BULLA_ESIG;
	r = commit_leaf_hash(&p->commit, &p->leaf);
	if (r < 0)
		return r;
	p->tree = h->tree;
	frontier_push(&p->tree, &p->leaf);
	p->root = frontier_root(&p->tree);
	p->complete = true;
	return 0;
}

/* An origin's life: genesis once and first, up before anything, nothing after down but the next up. */
static int check_life(const struct history *h)
{
	const struct parsed *p = &h->p;

	if (p->has_genesis != !h->started)
		return BULLA_EORDER;
	if (!p->has_up && !h->up)
		return BULLA_EORDER;
	if (p->has_genesis &&
	    (p->genesis.levels != h->params.levels || p->genesis.height != h->params.height ||
	     memcmp(p->genesis.public_key, h->public_key, KES_PUBLIC_SIZE) != 0))
		return BULLA_ESIG;
	return 0;
}

struct id history_parsed_origin(const struct history *h)
{
	struct id id = h->vkey.origin;

	/* An origin's name is the hash of its genesis. */
	if (!h->started)
		memcpy(id.b, h->p.leaf.b, ID_SIZE);
	return id;
}

size_t history_parsed_message(const struct history *h, char ret[SEAL_MESSAGE_SIZE_MAX])
{
	const struct parsed *p = &h->p;
	struct id origin = history_parsed_origin(h);

	return seal_message_write(&origin, p->commit.number - h->key_first, p->commit.time_ns,
				  p->tree.size, &p->root, ret);
}

int history_parse_record(struct history *h, const struct commit_record *record)
{
	struct parsed *p = &h->p;
	int k;

	if (!h->has_header || !h->has_keys || h->awaiting_keys)
		return BULLA_EORDER;
	p->n_opened = 0;
	p->has_genesis = p->has_up = p->has_down = p->has_rekey = p->complete = false;
	p->lacks_roots = false;
	p->commit = (struct commit){
		.number = record->number,
		.time_ns = record->time_ns,
		.boot = h->boot,
	};
	p->sigma = record->sigma;
	if (p->commit.number != h->tree.size || p->commit.number - h->key_first >= h->keys_upto)
		return BULLA_EORDER;
	/* Events say which boot it is, and what the newest handles stand for. */
	k = parse_events(h, record);
	if (k >= 0)
		k = check_life(h);
	if (k >= 0)
		k = parse_items(h, record);
	if (k >= 0)
		k = check_closes(h);
	return k < 0 ? k : hash_commit(h, record);
}

int history_parse_commit(struct history *h, const uint8_t *bytes, size_t n, bool with_sigma)
{
	struct commit_record record;
	int r = commit_record_read(bytes, n, with_sigma, &h->p.items, &record);

	h->p.complete = false;
	return r < 0 ? r : history_parse_record(h, &record);
}

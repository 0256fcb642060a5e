/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A commit is taken in two steps: parse_commit() reads it against the history without touching it (which journals its
 * batches continue, what the tree becomes), then, once the signature holds, absorb() writes all of it down.  So a record
 * that is refused leaves no trace, and the sealer can ask for the message to sign before there is a signature.
 */

#include "seal/history.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

static const uint8_t magic[8] = "BULLALG1";

enum { ITEM_RECOVERED = 1 << 0, ITEM_FLAGS_ALL = 1 };

/* Journals are found by id through an open-addressing table of handles + 1. */
struct journal_table {
	struct ledger_journal *at;
	uint32_t n, cap;
	uint32_t *slot;
	uint32_t n_slots; /* power of two, more than twice n */
};

/* What a commit record holds, before it is absorbed. */
struct parsed {
	struct commit commit;
	struct batch *batches;
	uint32_t *handles;
	size_t batches_cap;
	struct event *events;
	size_t events_cap;
	struct ledger_journal *opened; /* by this commit */
	size_t n_opened, opened_cap;
	struct frontier tree; /* with this commit */
	struct hash leaf, root;
	struct event_genesis genesis;
	bool has_genesis, has_up, has_down, has_rekey, unclean;
	struct event_rekey rekey;
	const uint8_t *sigma;
};

struct history {
	bool has_header, started, pinned, up;
	struct vkey pin, vkey;
	char host[HOST_NAME_MAX_LEN + 1];
	struct id machine, boot;
	uint64_t time_ns;
	struct frontier tree;
	struct kes_params params;
	uint8_t public_key[KES_PUBLIC_SIZE];
	uint64_t key_first;
	bool has_keys;	    /* trees hold a key's public half */
	uint64_t keys_upto; /* seals below this counter are covered by the trees */
	bool awaiting_keys; /* a rekey event named public_key, its trees are to come */
	struct kes_public_tree trees[KES_LEVELS_MAX];
	uint8_t certificates[KES_LEVELS_MAX][KES_SIGMA_SIZE];
	struct journal_table journals;
	struct parsed p;
};

struct history *history_new(void)
{
	return calloc(1, sizeof(struct history));
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
	uint32_t hash;

	/* Ids are random where they come from an honest origin; a hostile one only slows down its own history. */
	memcpy(&hash, id->b, sizeof hash);
	for (uint32_t i = hash;; i++) {
		uint32_t s = i & (t->n_slots - 1);

		if (t->slot[s] == 0 || id_equal(&t->at[t->slot[s] - 1].id, id))
			return s;
	}
}

static int table_reserve(struct journal_table *t, uint32_t more)
{
	uint32_t need = t->n + more, slots = t->n_slots ? t->n_slots : 64;

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

/* Header. */

void history_write_header(struct buf *to)
{
	uint8_t bytes[sizeof magic + 4 + 4 + 8];
	struct wr w = wr_of(bytes, sizeof bytes);

	wr_bytes(&w, magic, sizeof magic);
	wr_u32(&w, 0);
	wr_u32(&w, 0);
	wr_u64(&w, 0);
	buf_append(to, bytes, w.len);
}

int history_header(struct history *h, const uint8_t *p, size_t n)
{
	struct rd r = rd_of(p, n);
	const uint8_t *m = rd_bytes(&r, sizeof magic);
	uint32_t incompatible;
	uint64_t first;

	rd_u32(&r);
	incompatible = rd_u32(&r);
	first = rd_u64(&r);
	if (r.bad || r.left > 0)
		return BULLA_ECORRUPT;
	if (memcmp(m, magic, sizeof magic) != 0 || incompatible != 0 || first != 0)
		return BULLA_EVERSION;
	h->has_header = true;
	return 0;
}

/* Keys. */

static uint64_t bottom_keys(const struct kes_params *p)
{
	return 1ull << p->height;
}

void history_write_keys(const struct kes *k, struct buf *to)
{
	uint8_t head[8 + 3];
	struct wr w = wr_of(head, sizeof head);

	wr_u64(&w, k->counter);
	wr_u8(&w, k->params.levels);
	wr_u8(&w, k->params.height);
	wr_u8(&w, (uint8_t) kes_renewed_from(k));
	buf_append(to, head, w.len);
	for (unsigned l = kes_renewed_from(k); l < k->params.levels; l++) {
		if (l > 0)
			buf_append(to, k->level[l].certificate, KES_SIGMA_SIZE);
		buf_append(to, &k->level[l].public.node[bottom_keys(&k->params)],
			   bottom_keys(&k->params) * KES_PUBLIC_SIZE);
	}
}

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
	if (!h->has_keys || h->awaiting_keys)
		return counter == 0 && from == 0 ? 0 : BULLA_EORDER;
	if (counter != h->keys_upto || counter != h->tree.size - h->key_first)
		return BULLA_EORDER;
	if (p->levels != h->params.levels || p->height != h->params.height)
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

/* Commits: reading. */

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

static int parse_open(struct history *h, const struct event *e)
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
	r = grow(&p->opened, &p->opened_cap, p->n_opened + 1, sizeof *p->opened);
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

/* Events that say something of the origin itself.  Unknown kinds are kept as they are: they are sealed, not obeyed. */
static int parse_event(struct history *h, const struct event *e, size_t place)
{
	struct parsed *p = &h->p;
	struct event_up up;
	int r;

	switch (e->kind) {
	case EVENT_GENESIS:
		r = event_genesis_decode(e, &p->genesis);
		if (r < 0)
			return r;
		if (h->started || place != 0 || p->genesis.host_len > HOST_NAME_MAX_LEN)
			return BULLA_EORDER;
		p->has_genesis = true;
		return 0;
	case EVENT_UP:
		r = event_up_decode(e, &up);
		if (r < 0)
			return r;
		p->commit.boot = up.boot;
		p->has_up = true;
		p->unclean = up.unclean;
		return 0;
	case EVENT_DOWN:
		p->has_down = true;
		return e->len == 0 ? 0 : BULLA_ENOTCANON;
	case EVENT_REKEY:
		p->has_rekey = true;
		r = event_rekey_decode(e, &p->rekey);
		if (r < 0)
			return r;
		return kes_params_valid(&(struct kes_params){ p->rekey.levels, p->rekey.height })
			       ? 0
			       : BULLA_ECORRUPT;
	case EVENT_OPEN:
		return parse_open(h, e);
	default:
		return 0;
	}
}

static int parse_events(struct history *h, struct rd *r)
{
	struct parsed *p = &h->p;
	uint64_t m = rd_varint(r);
	int k;

	if (r->bad || m > EVENTS_MAX)
		return BULLA_ECORRUPT;
	k = grow(&p->events, &p->events_cap, m, sizeof *p->events);
	if (k < 0)
		return k;
	for (size_t i = 0; i < m; i++) {
		struct event *e = &p->events[i];
		uint64_t len;

		e->kind = rd_u8(r);
		len = rd_varint(r);
		if (len > EVENT_SIZE_MAX)
			return BULLA_ECORRUPT;
		e->len = (uint16_t) len;
		e->body = rd_bytes(r, len);
		if (r->bad)
			return BULLA_ECORRUPT;
		k = parse_event(h, e, i);
		if (k < 0)
			return k;
	}
	p->commit.events = p->events;
	p->commit.n_events = (uint16_t) m;
	return 0;
}

/* The journal of a handle, be it known or opened by the very commit at hand. */
static const struct ledger_journal *journal_at(const struct history *h, uint64_t handle)
{
	if (handle < h->journals.n)
		return &h->journals.at[handle];
	if (handle - h->journals.n < h->p.n_opened)
		return &h->p.opened[handle - h->journals.n];
	return NULL;
}

static int parse_item(struct history *h, struct rd *r, struct batch *b, uint32_t *ret_handle)
{
	uint64_t handle = rd_varint(r), entries, offset_time;
	uint8_t flags = rd_u8(r);
	const struct ledger_journal *j = r->bad ? NULL : journal_at(h, handle);

	if (!j || (flags & ~ITEM_FLAGS_ALL))
		return BULLA_ECORRUPT;
	if (j->closed)
		return BULLA_EORDER;
	*b = (struct batch){ .journal = j->id, .batch_no = j->batches, .first_seq = j->entries };
	entries = rd_varint(r);
	b->bytes = rd_varint(r);
	b->time_min = h->p.commit.time_ns + (uint64_t) rd_zigzag(r);
	offset_time = rd_varint(r);
	b->mono_offset = (int64_t) ((uint64_t) j->mono_offset + (uint64_t) rd_zigzag(r));
	rd_copy(r, b->root.b, HASH_SIZE);
	if (r->bad || entries == 0 || entries > UINT32_MAX)
		return BULLA_ECORRUPT;
	if (__builtin_add_overflow(b->time_min, offset_time, &b->time_max))
		return BULLA_ECORRUPT;
	b->entries = (uint32_t) entries;
	b->recovered = flags & ITEM_RECOVERED;
	*ret_handle = (uint32_t) handle;
	return 0;
}

static int parse_items(struct history *h, struct rd r, uint64_t n)
{
	struct parsed *p = &h->p;
	size_t cap = p->batches_cap;
	int k;

	k = grow(&p->handles, &cap, n, sizeof *p->handles);
	if (k >= 0)
		k = grow(&p->batches, &p->batches_cap, n, sizeof *p->batches);
	if (k < 0)
		return k;
	for (size_t i = 0; i < n; i++) {
		struct batch *b = &p->batches[i];

		k = parse_item(h, &r, b, &p->handles[i]);
		if (k < 0)
			return k;
		b->boot = p->commit.boot;
		if (i > 0 && id_compare(&b[-1].journal, &b->journal) >= 0)
			return BULLA_ENOTCANON;
	}
	p->commit.n_batches = (uint32_t) n;
	return 0;
}

/* Step over the items to reach the events, which say what the items' new handles and the boot are. */
static int skip_items(struct rd *r, uint64_t n)
{
	for (uint64_t i = 0; i < n && !r->bad; i++) {
		rd_varint(r);
		rd_u8(r);
		for (int k = 0; k < 5; k++)
			rd_varint(r);
		rd_bytes(r, HASH_SIZE);
	}
	return r->bad ? BULLA_ECORRUPT : 0;
}

static int compare_batch_journal(const void *key, const void *batch)
{
	return id_compare(key, &((const struct batch *) batch)->journal);
}

/* A close must tell the very counts that the journal has with this commit. */
static int check_closes(const struct history *h)
{
	const struct parsed *p = &h->p;

	for (size_t i = 0; i < p->commit.n_events; i++) {
		const struct ledger_journal *j = NULL;
		const struct batch *last;
		struct event_close close;
		uint64_t batches, entries;
		int64_t handle;

		if (p->events[i].kind != EVENT_CLOSE)
			continue;
		if (event_close_decode(&p->events[i], &close) < 0)
			return BULLA_ECORRUPT;
		handle = history_find_journal(h, &close.journal);
		if (handle >= 0)
			j = &h->journals.at[handle];
		for (size_t k = 0; !j && k < p->n_opened; k++)
			if (id_equal(&p->opened[k].id, &close.journal))
				j = &p->opened[k];
		if (!j || j->closed)
			return BULLA_EORDER;
		batches = j->batches;
		entries = j->entries;
		last = bsearch(&close.journal, p->batches, p->commit.n_batches, sizeof *p->batches,
			       compare_batch_journal);
		if (last) {
			batches++;
			entries += last->entries;
		}
		if (close.batches != batches || close.entries != entries)
			return BULLA_EORDER;
	}
	return 0;
}

static int hash_commit(struct history *h)
{
	struct parsed *p = &h->p;
	struct frontier batches = { 0 };
	int r;

	for (size_t i = 0; i < p->commit.n_batches; i++) {
		struct hash leaf = batch_leaf_hash(&p->batches[i]);

		frontier_push(&batches, &leaf);
	}
	p->commit.batches_root = frontier_root(&batches);
	r = commit_leaf_hash(&p->commit, &p->leaf);
	if (r < 0)
		return r;
	p->tree = h->tree;
	frontier_push(&p->tree, &p->leaf);
	p->root = frontier_root(&p->tree);
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

static int parse_commit(struct history *h, const uint8_t *bytes, size_t n, bool with_sigma)
{
	struct parsed *p = &h->p;
	struct rd r = rd_of(bytes, n), items;
	uint64_t n_items;
	int k;

	if (!h->has_header || !h->has_keys || h->awaiting_keys)
		return BULLA_EORDER;
	p->n_opened = 0;
	p->has_genesis = p->has_up = p->has_down = p->has_rekey = p->unclean = false;
	p->commit = (struct commit){ .number = rd_varint(&r), .boot = h->boot };
	p->commit.time_ns = rd_u64(&r);
	n_items = rd_varint(&r);
	if (r.bad || n_items > BATCHES_MAX)
		return BULLA_ECORRUPT;
	if (p->commit.number != h->tree.size || p->commit.number - h->key_first >= h->keys_upto)
		return BULLA_EORDER;
	items = r;
	k = skip_items(&r, n_items);
	if (k >= 0)
		k = parse_events(h, &r);
	if (k >= 0)
		k = check_life(h);
	if (k >= 0)
		k = parse_items(h, items, n_items);
	if (k >= 0)
		k = check_closes(h);
	if (k < 0)
		return k;
	p->sigma = with_sigma ? rd_bytes(&r, KES_SIGMA_SIZE) : NULL;
	if (r.bad || r.left > 0)
		return BULLA_ECORRUPT;
	return hash_commit(h);
}

static struct id origin_of(const struct hash *genesis_leaf)
{
	struct id id;

	memcpy(id.b, genesis_leaf->b, ID_SIZE);
	return id;
}

static size_t seal_message(const struct history *h, char ret[SEAL_MESSAGE_SIZE_MAX])
{
	const struct parsed *p = &h->p;
	struct id origin = h->started ? h->vkey.origin : origin_of(&p->leaf);

	return seal_message_write(&origin, p->commit.number - h->key_first, p->commit.time_ns,
				  p->tree.size, &p->root, ret);
}

static int check_pin(const struct history *h)
{
	struct id origin = origin_of(&h->p.leaf);

	if (!h->pinned || h->started)
		return 0;
	if (!id_equal(&origin, &h->pin.origin) ||
	    memcmp(h->public_key, h->pin.public_key, KES_PUBLIC_SIZE) != 0)
		return BULLA_ETAMPERED;
	return 0;
}

/* Commits: taking. */

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

static void absorb_closes(struct history *h)
{
	for (size_t i = 0; i < h->p.commit.n_events; i++) {
		struct event_close close;
		int64_t handle;

		if (h->p.events[i].kind != EVENT_CLOSE ||
		    event_close_decode(&h->p.events[i], &close) < 0)
			continue;
		handle = history_find_journal(h, &close.journal);
		assert(handle >= 0);
		h->journals.at[handle].closed = true;
	}
}

static void absorb(struct history *h)
{
	const struct parsed *p = &h->p;

	if (p->has_genesis) {
		memcpy(h->host, p->genesis.host, p->genesis.host_len);
		h->host[p->genesis.host_len] = '\0';
		h->machine = p->genesis.machine;
		h->vkey.origin = origin_of(&p->leaf);
		memcpy(h->vkey.public_key, h->public_key, KES_PUBLIC_SIZE);
		h->started = true;
	}
	absorb_batches(h);
	absorb_closes(h);
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

int history_commit(struct history *h, const uint8_t *bytes, size_t n, enum history_check check,
		   struct sealed_commit *ret)
{
	struct parsed *p = &h->p;
	uint64_t counter;
	int r;

	r = parse_commit(h, bytes, n, true);
	if (r < 0)
		return r;
	counter = p->commit.number - h->key_first;
	if (check == HISTORY_CHECK_ALL) {
		const struct kes_public_tree *bottom = &h->trees[h->params.levels - 1];
		uint32_t index = kes_index(&h->params, counter, h->params.levels - 1u);
		char message[SEAL_MESSAGE_SIZE_MAX];
		size_t size = seal_message(h, message);

		if (!kes_check_sigma(p->sigma, bottom->node[bottom_keys(&h->params) + index].b,
				     message, size))
			return BULLA_ESIG;
	}
	r = check_pin(h);
	if (r >= 0)
		r = table_reserve(&h->journals, (uint32_t) p->n_opened);
	if (r < 0)
		return r;
	absorb(h);
	if (ret)
		*ret = (struct sealed_commit){
			.commit = p->commit,
			.batches = p->batches,
			.handles = p->handles,
			.counter = counter,
			.leaf = p->leaf,
			.root = p->root,
			.sigma = p->sigma,
		};
	return 0;
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

/* Commits: making. */

static int compare_items(const void *a, const void *b, void *arg)
{
	const struct batch_item *x = a, *y = b;
	const struct ledger_journal *jx = journal_at(arg, x->handle),
				    *jy = journal_at(arg, y->handle);

	assert(jx && jy);
	return id_compare(&jx->id, &jy->id);
}

static void write_item(const struct history *h, const struct batch_item *i, uint64_t time_ns,
		       struct wr *w)
{
	const struct ledger_journal *j = journal_at(h, i->handle);

	assert(j);
	wr_varint(w, i->handle);
	wr_u8(w, i->recovered ? ITEM_RECOVERED : 0);
	wr_varint(w, i->entries);
	wr_varint(w, i->bytes);
	wr_zigzag(w, (int64_t) (i->time_min - time_ns));
	wr_varint(w, i->time_max - i->time_min);
	wr_zigzag(w, (int64_t) ((uint64_t) i->mono_offset - (uint64_t) j->mono_offset));
	wr_bytes(w, i->root.b, HASH_SIZE);
}

int history_write_commit(struct history *h, uint64_t time_ns, struct batch_item *items,
			 size_t n_items, const struct event *events, size_t n_events,
			 struct buf *to)
{
	enum { ITEM_SIZE_MAX = 6 * VARINT_SIZE_MAX + 1 + HASH_SIZE };
	size_t room = 8 + 3 * VARINT_SIZE_MAX + n_items * ITEM_SIZE_MAX;
	struct wr w;

	if (n_items > BATCHES_MAX || n_events > EVENTS_MAX)
		return BULLA_ELIMIT;
	h->p.n_opened = 0;
	for (size_t i = 0; i < n_events; i++) {
		room += 1 + VARINT_SIZE_MAX + events[i].len;
		if (events[i].kind == EVENT_OPEN) {
			int r = parse_open(h, &events[i]);

			if (r < 0)
				return r;
		}
	}
	for (size_t i = 0; i < n_items; i++)
		if (!journal_at(h, items[i].handle))
			return BULLA_EORDER;
	if (n_items > 1)
		qsort_r(items, n_items, sizeof *items, compare_items, h);
	if (!buf_room(to, room))
		return -ENOMEM;
	w = wr_of(to->data + to->len, room);
	wr_varint(&w, h->tree.size);
	wr_u64(&w, time_ns);
	wr_varint(&w, n_items);
	for (size_t i = 0; i < n_items; i++)
		write_item(h, &items[i], time_ns, &w);
	wr_varint(&w, n_events);
	for (size_t i = 0; i < n_events; i++) {
		wr_u8(&w, events[i].kind);
		wr_varint(&w, events[i].len);
		wr_bytes(&w, events[i].body, events[i].len);
	}
	assert(!w.bad);
	buf_add(to, w.len);
	return 0;
}

ssize_t history_seal_message(struct history *h, const uint8_t *p, size_t n,
			     char ret[SEAL_MESSAGE_SIZE_MAX])
{
	int r = parse_commit(h, p, n, false);

	return r < 0 ? r : (ssize_t) seal_message(h, ret);
}

/* Asking. */

uint64_t history_size(const struct history *h)
{
	return h->tree.size;
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
	return 0;
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

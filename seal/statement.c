/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Encoders and decoders stand side by side, in the order in which the bytes lie:
 *
 *	entry    'E' 01 | u8 priority | u8 flags | u64 time | u64 received | salt[16] | context[32]
 *	         | u32 len, message | u16 n, n * (u16 len, name, u32 len, value)
 *	context  'C' 01 | parent[32] | u16 n, n * (u16 len, name, u32 len, value)
 *	batch    'B' 01 | u8 flags | journal[16] | u64 batch_no | u64 first_seq | u32 entries | u64 bytes | u64 time_min
 *	         | u64 time_max | boot[16] | i64 mono_offset | root[32]
 *	commit   'T' 01 | u64 number | u64 time | boot[16] | u32 n | batches_root[32] | u16 m, m * (u8 kind, u16 len, body)
 *
 * All of them are fixed in layout but for fields and events, so "one encoding only" comes down to: fields sorted, names
 * lawful, flags known, nothing after the end.
 */

#include "seal/statement.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "seal/tree.h"

enum {
	VERSION = 1,
	ENTRY_FIXED = 2 + 2 + 8 + 8 + SALT_SIZE + HASH_SIZE + 4 + 2,
};

static int bytes_compare(const uint8_t *a, size_t an, const uint8_t *b, size_t bn)
{
	size_t n = MIN_OF(an, bn);
	int c = n > 0 ? memcmp(a, b, n) : 0;

	return c != 0 ? c : (an > bn) - (an < bn);
}

int field_compare(const struct field *a, const struct field *b)
{
	int c = bytes_compare(a->name, a->name_len, b->name, b->name_len);

	return c != 0 ? c : bytes_compare(a->value, a->value_len, b->value, b->value_len);
}

/* The head of every statement. */

static void kind_encode(struct wr *w, char kind)
{
	wr_u8(w, (uint8_t) kind);
	wr_u8(w, VERSION);
}

static int kind_decode(struct rd *r, char kind)
{
	uint8_t k = rd_u8(r), version = rd_u8(r);

	if (r->bad)
		return BULLA_ETRUNCATED;
	return k == (uint8_t) kind && version == VERSION ? 0 : BULLA_EVERSION;
}

/* How every decoder ends: all bytes taken, none missing. */
static int finish(const struct rd *r)
{
	if (r->bad)
		return BULLA_ETRUNCATED;
	return r->left == 0 ? 0 : BULLA_ENOTCANON;
}

/* Fields. */

static size_t fields_size(const struct field *f, size_t n)
{
	size_t size = 2;

	for (size_t i = 0; i < n; i++)
		size += 2 + (size_t) f[i].name_len + 4 + f[i].value_len;
	return size;
}

static void fields_encode(const struct field *f, uint16_t n, struct wr *w)
{
	wr_u16(w, n);
	for (size_t i = 0; i < n; i++) {
		wr_u16(w, f[i].name_len);
		wr_bytes(w, f[i].name, f[i].name_len);
		wr_u32(w, f[i].value_len);
		wr_bytes(w, f[i].value, f[i].value_len);
	}
}

bool field_name_is_lawful(const uint8_t *name, size_t len)
{
	return len >= 1 && len <= FIELD_NAME_MAX && !memchr(name, '\0', len) &&
	       !memchr(name, '=', len);
}

static int fields_decode(struct rd *r, struct field *fields, uint16_t *ret_n)
{
	uint16_t n = rd_u16(r);

	if (r->bad)
		return BULLA_ETRUNCATED;
	if (n > FIELDS_MAX)
		return BULLA_ELIMIT;
	for (size_t i = 0; i < n; i++) {
		struct field *f = &fields[i];
		uint16_t name_len = rd_u16(r);

		f->name = rd_bytes(r, name_len);
		f->value_len = rd_u32(r);
		f->value = rd_bytes(r, f->value_len);
		if (r->bad)
			return BULLA_ETRUNCATED;
		if (!field_name_is_lawful(f->name, name_len))
			return BULLA_ENOTCANON;
		f->name_len = (uint8_t) name_len;
		if (i > 0 && field_compare(f - 1, f) > 0)
			return BULLA_ENOTCANON;
	}
	*ret_n = n;
	return 0;
}

/* Entries. */

size_t entry_leaf_size(const struct entry *e)
{
	return ENTRY_FIXED - 2 + e->message_len + fields_size(e->fields, e->n_fields);
}

size_t entry_bytes(const struct entry *e)
{
	size_t size = e->message_len;

	for (size_t i = 0; i < e->n_fields; i++)
		size += (size_t) e->fields[i].name_len + e->fields[i].value_len;
	return size;
}

void entry_encode(const struct entry *e, const uint8_t salt[SALT_SIZE], struct wr *w)
{
	assert((e->flags & ~ENTRY_FLAGS_ALL) == 0 && e->priority <= 7);
	kind_encode(w, 'E');
	wr_u8(w, e->priority);
	wr_u8(w, e->flags);
	wr_u64(w, e->time_ns);
	wr_u64(w, e->received_ns);
	wr_bytes(w, salt, SALT_SIZE);
	wr_bytes(w, e->context.b, HASH_SIZE);
	wr_u32(w, e->message_len);
	wr_bytes(w, e->message, e->message_len);
	fields_encode(e->fields, e->n_fields, w);
}

int entry_decode(struct rd r, struct field *fields, struct entry *ret, uint8_t salt[SALT_SIZE])
{
	struct entry e = { .fields = fields };
	uint8_t s[SALT_SIZE];
	int k;

	k = kind_decode(&r, 'E');
	if (k < 0)
		return k;
	e.priority = rd_u8(&r);
	e.flags = rd_u8(&r);
	e.time_ns = rd_u64(&r);
	e.received_ns = rd_u64(&r);
	rd_copy(&r, s, SALT_SIZE);
	rd_copy(&r, e.context.b, HASH_SIZE);
	e.message_len = rd_u32(&r);
	e.message = rd_bytes(&r, e.message_len);
	k = fields_decode(&r, fields, &e.n_fields);
	if (k < 0)
		return k;
	if (e.priority > 7 || (e.flags & ~ENTRY_FLAGS_ALL))
		return BULLA_ENOTCANON;
	if (entry_bytes(&e) > ENTRY_SIZE_MAX)
		return BULLA_ELIMIT;
	k = finish(&r);
	if (k < 0)
		return k;
	memcpy(salt, s, SALT_SIZE);
	*ret = e;
	return 0;
}

/* Contexts. */

size_t context_leaf_size(const struct context *c)
{
	return 2 + HASH_SIZE + fields_size(c->fields, c->n_fields);
}

void context_encode(const struct context *c, struct wr *w)
{
	kind_encode(w, 'C');
	wr_bytes(w, c->parent.b, HASH_SIZE);
	fields_encode(c->fields, c->n_fields, w);
}

int context_decode(struct rd r, struct field *fields, struct context *ret)
{
	struct context c = { .fields = fields };
	int k;

	if (r.left > CONTEXT_SIZE_MAX)
		return BULLA_ELIMIT;
	k = kind_decode(&r, 'C');
	if (k < 0)
		return k;
	rd_copy(&r, c.parent.b, HASH_SIZE);
	k = fields_decode(&r, fields, &c.n_fields);
	if (k < 0)
		return k;
	k = finish(&r);
	if (k < 0)
		return k;
	*ret = c;
	return 0;
}

int context_hash(const struct context *c, struct hash *ret)
{
	size_t size = context_leaf_size(c);
	_cleanup_free_ uint8_t *leaf = NULL;
	struct wr w;

	if (size > CONTEXT_SIZE_MAX)
		return BULLA_ELIMIT;
	leaf = malloc(size);
	if (!leaf)
		return -ENOMEM;
	w = wr_of(leaf, size);
	context_encode(c, &w);
	assert(!w.bad && w.len == size);
	*ret = tree_leaf(leaf, size);
	return 0;
}

/* Batches. */

void batch_encode(const struct batch *b, struct wr *w)
{
	kind_encode(w, 'B');
	wr_u8(w, b->recovered ? BATCH_RECOVERED : 0);
	wr_bytes(w, b->journal.b, ID_SIZE);
	wr_u64(w, b->batch_no);
	wr_u64(w, b->first_seq);
	wr_u32(w, b->entries);
	wr_u64(w, b->bytes);
	wr_u64(w, b->time_min);
	wr_u64(w, b->time_max);
	wr_bytes(w, b->boot.b, ID_SIZE);
	wr_i64(w, b->mono_offset);
	wr_bytes(w, b->root.b, HASH_SIZE);
}

int batch_decode(struct rd r, struct batch *ret)
{
	struct batch b = { 0 };
	uint8_t flags;
	int k;

	k = kind_decode(&r, 'B');
	if (k < 0)
		return k;
	flags = rd_u8(&r);
	b.recovered = flags & BATCH_RECOVERED;
	rd_copy(&r, b.journal.b, ID_SIZE);
	b.batch_no = rd_u64(&r);
	b.first_seq = rd_u64(&r);
	b.entries = rd_u32(&r);
	b.bytes = rd_u64(&r);
	b.time_min = rd_u64(&r);
	b.time_max = rd_u64(&r);
	rd_copy(&r, b.boot.b, ID_SIZE);
	b.mono_offset = rd_i64(&r);
	rd_copy(&r, b.root.b, HASH_SIZE);
	k = finish(&r);
	if (k < 0)
		return k;
	if (flags & ~BATCH_FLAGS_ALL)
		return BULLA_ENOTCANON;
	*ret = b;
	return 0;
}

struct hash batch_leaf_hash(const struct batch *b)
{
	uint8_t leaf[BATCH_LEAF_SIZE];
	struct wr w = wr_of(leaf, sizeof leaf);

	batch_encode(b, &w);
	assert(!w.bad && w.len == sizeof leaf);
	return tree_leaf(leaf, sizeof leaf);
}

void batch_leaf_hashes(const struct batch *b, size_t n, struct hash *ret)
{
	_uninitialized_ uint8_t leaves[BATCH_LEAVES_AT_ONCE * BATCH_LEAF_SIZE];
	struct wr w = wr_of(leaves, sizeof leaves);

	assert(n <= BATCH_LEAVES_AT_ONCE);
	for (size_t i = 0; i < n; i++)
		batch_encode(&b[i], &w);
	assert(!w.bad && w.len == n * BATCH_LEAF_SIZE);
	tree_leaves(leaves, BATCH_LEAF_SIZE, n, ret);
}

/* Commits. */

void commit_encode(const struct commit *c, struct wr *w)
{
	kind_encode(w, 'T');
	wr_u64(w, c->number);
	wr_u64(w, c->time_ns);
	wr_bytes(w, c->boot.b, ID_SIZE);
	wr_u32(w, c->n_batches);
	wr_bytes(w, c->batches_root.b, HASH_SIZE);
	wr_u16(w, c->n_events);
	for (size_t i = 0; i < c->n_events; i++) {
		wr_u8(w, c->events[i].kind);
		wr_u16(w, c->events[i].len);
		wr_bytes(w, c->events[i].body, c->events[i].len);
	}
}

int commit_decode(struct rd r, struct event *events, uint16_t events_max, struct commit *ret)
{
	struct commit c = { .events = events };
	int k;

	k = kind_decode(&r, 'T');
	if (k < 0)
		return k;
	c.number = rd_u64(&r);
	c.time_ns = rd_u64(&r);
	rd_copy(&r, c.boot.b, ID_SIZE);
	c.n_batches = rd_u32(&r);
	rd_copy(&r, c.batches_root.b, HASH_SIZE);
	c.n_events = rd_u16(&r);
	if (!r.bad && c.n_events > events_max)
		return BULLA_ELIMIT;
	for (size_t i = 0; i < c.n_events && !r.bad; i++) {
		events[i].kind = rd_u8(&r);
		events[i].len = rd_u16(&r);
		events[i].body = rd_bytes(&r, events[i].len);
		if (events[i].len > EVENT_SIZE_MAX)
			return BULLA_ELIMIT;
	}
	k = finish(&r);
	if (k < 0)
		return k;
	*ret = c;
	return 0;
}

size_t commit_leaf_size(const struct commit *c)
{
	size_t size = 2 + 8 + 8 + ID_SIZE + 4 + HASH_SIZE + 2;

	for (size_t i = 0; i < c->n_events; i++)
		size += 3 + (size_t) c->events[i].len;
	return size;
}

int commit_leaf_hash(const struct commit *c, struct hash *ret)
{
	size_t size = commit_leaf_size(c);
	_cleanup_free_ uint8_t *leaf = malloc(size);
	struct wr w;

	if (!leaf)
		return -ENOMEM;
	w = wr_of(leaf, size);
	commit_encode(c, &w);
	assert(!w.bad && w.len == size);
	*ret = tree_leaf(leaf, size);
	return 0;
}

/* Salts. */

static_assert(SEED_SIZE == crypto_kdf_KEYBYTES, "a seed is a libsodium KDF key");

void salts_of(struct salts *s, const uint8_t seed[32], uint64_t batch_no)
{
	int r = crypto_kdf_derive_from_key(s->key, sizeof s->key, batch_no, "bullsalt", seed);

	assert(r == 0);
}

/* The stream begins anew at every 64-byte block, which is 4 salts: start at the block that holds the first one. */
void salts_get(const struct salts *s, uint64_t first, size_t n, uint8_t *to)
{
	static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
	uint64_t block = first / 4;
	size_t lead = (size_t) (first % 4);

	if (lead > 0) {
		uint8_t one[64] = { 0 };
		size_t take = MIN_OF(n, 4 - lead);

		crypto_stream_chacha20_xor_ic(one, one, sizeof one, nonce, block++, s->key);
		memcpy(to, one + lead * SALT_SIZE, take * SALT_SIZE);
		to += take * SALT_SIZE;
		n -= take;
	}
	if (n > 0) {
		memset(to, 0, n * SALT_SIZE);
		crypto_stream_chacha20_xor_ic(to, to, n * SALT_SIZE, nonce, block, s->key);
	}
}

struct hash seed_commitment(const struct id *journal, const uint8_t seed[32])
{
	uint8_t leaf[2 + ID_SIZE + SEED_SIZE];
	struct wr w = wr_of(leaf, sizeof leaf);
	struct hash h;

	kind_encode(&w, 'S');
	wr_bytes(&w, journal->b, ID_SIZE);
	wr_bytes(&w, seed, SEED_SIZE);
	assert(!w.bad && w.len == sizeof leaf);
	h = tree_leaf(leaf, sizeof leaf);
	sodium_memzero(leaf, sizeof leaf);
	return h;
}

/* Events. */

static int finish_event(const struct rd *r)
{
	return r->bad || r->left > 0 ? BULLA_ENOTCANON : 0;
}

void event_genesis_encode(const struct event_genesis *e, struct wr *w)
{
	wr_u8(w, e->levels);
	wr_u8(w, e->height);
	wr_bytes(w, e->public_key, sizeof e->public_key);
	wr_u64(w, e->created_ns);
	wr_bytes(w, e->nonce.b, ID_SIZE);
	wr_bytes(w, e->machine.b, ID_SIZE);
	wr_u16(w, e->host_len);
	wr_bytes(w, e->host, e->host_len);
}

int event_genesis_decode(const struct event *e, struct event_genesis *ret)
{
	struct rd r = rd_of(e->body, e->len);

	ret->levels = rd_u8(&r);
	ret->height = rd_u8(&r);
	rd_copy(&r, ret->public_key, sizeof ret->public_key);
	ret->created_ns = rd_u64(&r);
	rd_copy(&r, ret->nonce.b, ID_SIZE);
	rd_copy(&r, ret->machine.b, ID_SIZE);
	ret->host_len = rd_u16(&r);
	ret->host = rd_bytes(&r, ret->host_len);
	return finish_event(&r);
}

void event_up_encode(const struct event_up *e, struct wr *w)
{
	wr_u8(w, e->unclean);
	wr_bytes(w, e->boot.b, ID_SIZE);
}

int event_up_decode(const struct event *e, struct event_up *ret)
{
	struct rd r = rd_of(e->body, e->len);
	uint8_t unclean = rd_u8(&r);

	ret->unclean = unclean;
	rd_copy(&r, ret->boot.b, ID_SIZE);
	return unclean > 1 ? BULLA_ENOTCANON : finish_event(&r);
}

void event_open_encode(const struct event_open *e, struct wr *w)
{
	wr_bytes(w, e->journal.b, ID_SIZE);
	wr_bytes(w, e->identity.b, HASH_SIZE);
	wr_bytes(w, e->previous.b, ID_SIZE);
	wr_bytes(w, e->seed_commitment.b, HASH_SIZE);
}

int event_open_decode(const struct event *e, struct event_open *ret)
{
	struct rd r = rd_of(e->body, e->len);

	rd_copy(&r, ret->journal.b, ID_SIZE);
	rd_copy(&r, ret->identity.b, HASH_SIZE);
	rd_copy(&r, ret->previous.b, ID_SIZE);
	rd_copy(&r, ret->seed_commitment.b, HASH_SIZE);
	return finish_event(&r);
}

void event_close_encode(const struct event_close *e, struct wr *w)
{
	wr_bytes(w, e->journal.b, ID_SIZE);
	wr_u64(w, e->batches);
	wr_u64(w, e->entries);
}

int event_close_decode(const struct event *e, struct event_close *ret)
{
	struct rd r = rd_of(e->body, e->len);

	rd_copy(&r, ret->journal.b, ID_SIZE);
	ret->batches = rd_u64(&r);
	ret->entries = rd_u64(&r);
	return finish_event(&r);
}

void event_rekey_encode(const struct event_rekey *e, struct wr *w)
{
	wr_u8(w, e->levels);
	wr_u8(w, e->height);
	wr_bytes(w, e->public_key, sizeof e->public_key);
}

int event_rekey_decode(const struct event *e, struct event_rekey *ret)
{
	struct rd r = rd_of(e->body, e->len);

	ret->levels = rd_u8(&r);
	ret->height = rd_u8(&r);
	rd_copy(&r, ret->public_key, sizeof ret->public_key);
	return finish_event(&r);
}

void event_prune_encode(const struct event_prune *e, struct wr *w)
{
	wr_bytes(w, e->journal.b, ID_SIZE);
	wr_u64(w, e->batches);
}

int event_prune_decode(const struct event *e, struct event_prune *ret)
{
	struct rd r = rd_of(e->body, e->len);

	rd_copy(&r, ret->journal.b, ID_SIZE);
	ret->batches = rd_u64(&r);
	return finish_event(&r);
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "store/batchroot.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <sodium.h>

void batchroot_begin(struct batchroot *b, const uint8_t seed[SEED_SIZE], uint64_t batch_no,
		     bool recovered)
{
	salts_of(&b->salts, seed, batch_no);
	b->tree.size = 0;
	b->recovered = recovered;
	b->bytes = 0;
	b->time_min = UINT64_MAX;
	b->time_max = 0;
	buf_clear(&b->leaves);
	b->n_leaves = 0;
}

void batchroot_done(struct batchroot *b)
{
	buf_done(&b->leaves);
	sodium_memzero(&b->salts, sizeof b->salts);
}

/* Salts come last: only now it is known of how many entries. */
static void hash_leaves(struct batchroot *b)
{
	_uninitialized_ uint8_t salt[LEAVES_AT_ONCE * SALT_SIZE];
	_uninitialized_ struct span span[LEAVES_AT_ONCE];
	_uninitialized_ struct hash hash[LEAVES_AT_ONCE];
	uint32_t at = 0;

	salts_get(&b->salts, b->tree.size, b->n_leaves, salt);
	for (uint32_t i = 0; i < b->n_leaves; i++) {
		memcpy(b->leaves.data + at + 1 + ENTRY_SALT_AT, salt + i * SALT_SIZE, SALT_SIZE);
		span[i] = (struct span){ b->leaves.data + at, b->leaf_end[i] - at };
		at = b->leaf_end[i];
	}
	sodium_memzero(salt, sizeof salt);
	sha256_many(hash, span, b->n_leaves);
	frontier_push_many(&b->tree, hash, b->n_leaves);
	buf_clear(&b->leaves);
	b->n_leaves = 0;
}

int batchroot_add(struct batchroot *b, const struct entry *e)
{
	static const uint8_t no_salt[SALT_SIZE];
	size_t size = 1 + entry_leaf_size(e);
	struct entry marked = *e;
	uint8_t *at = buf_room(&b->leaves, size);
	struct wr w;

	if (!at)
		return -ENOMEM;
	if (b->recovered)
		marked.flags |= ENTRY_RECOVERED;
	w = wr_of(at, size);
	wr_u8(&w, 0x00); /* RFC 6962: a leaf */
	entry_encode(&marked, no_salt, &w);
	assert(!w.bad && w.len == size);
	buf_add(&b->leaves, size);
	b->leaf_end[b->n_leaves++] = (uint32_t) b->leaves.len;
	b->bytes += entry_bytes(e);
	b->time_min = MIN_OF(b->time_min, e->time_ns);
	b->time_max = MAX_OF(b->time_max, e->time_ns);
	if (b->n_leaves == LEAVES_AT_ONCE || b->leaves.len >= LEAVES_SIZE_MAX)
		hash_leaves(b);
	return 0;
}

uint64_t batchroot_count(const struct batchroot *b)
{
	return b->tree.size + b->n_leaves;
}

struct hash batchroot_get(struct batchroot *b)
{
	if (b->n_leaves > 0)
		hash_leaves(b);
	return frontier_root(&b->tree);
}

void batchroot_mark(struct batchroot *b, struct batchroot_mark *ret)
{
	/* Leaves that wait would be gone from the buffer by the time of going back. */
	if (b->n_leaves > 0)
		hash_leaves(b);
	*ret = (struct batchroot_mark){ b->tree, b->bytes, b->time_min, b->time_max };
}

void batchroot_rewind(struct batchroot *b, const struct batchroot_mark *mark)
{
	b->tree = mark->tree;
	b->bytes = mark->bytes;
	b->time_min = mark->time_min;
	b->time_max = mark->time_max;
	buf_clear(&b->leaves);
	b->n_leaves = 0;
}

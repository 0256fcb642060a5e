/* SPDX-License-Identifier: Apache-2.0 */

#include "store/batchroot.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <sodium.h>

/* Leaves of the batch at hand go; those that wait for their roots stay. */
static void drop_own(struct batchroot *b)
{
	b->leaves.len = b->n_of_others > 0 ? b->leaf_end[b->n_of_others - 1] : 0;
	b->n_leaves = b->n_of_others;
}

void batchroot_begin(struct batchroot *b, const uint8_t seed[SEED_SIZE], uint64_t batch_no,
		     bool recovered)
{
	salts_of(&b->salts, seed, batch_no);
	b->tree.size = 0;
	b->recovered = recovered;
	b->bytes = 0;
	b->time_min = UINT64_MAX;
	b->time_max = 0;
	drop_own(b);
}

void batchroot_done(struct batchroot *b)
{
	buf_done(&b->leaves);
	sodium_memzero(&b->salts, sizeof b->salts);
}

/* Salts come last: only now it is known of how many entries. */
static void salt_leaves(struct batchroot *b)
{
	_uninitialized_ uint8_t salt[LEAVES_AT_ONCE * SALT_SIZE];
	uint32_t first = b->n_of_others, n = b->n_leaves - first;

	salts_get(&b->salts, b->tree.size, n, salt);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = first + i > 0 ? b->leaf_end[first + i - 1] : 0;

		memcpy(b->leaves.data + at + 1 + ENTRY_SALT_AT, salt + i * SALT_SIZE, SALT_SIZE);
	}
	sodium_memzero(salt, n * SALT_SIZE);
}

static void hash_range(const struct batchroot *b, uint32_t from, uint32_t to, struct hash *ret)
{
	_uninitialized_ struct span span[LEAVES_AT_ONCE];
	uint32_t at = from > 0 ? b->leaf_end[from - 1] : 0;

	for (uint32_t i = from; i < to; i++) {
		span[i - from] = (struct span){ b->leaves.data + at, b->leaf_end[i] - at };
		at = b->leaf_end[i];
	}
	sha256_many(ret, span, to - from);
}

/* Those of the batch at hand, where no others are before them. */
static void hash_leaves(struct batchroot *b)
{
	_uninitialized_ struct hash hash[LEAVES_AT_ONCE];

	salt_leaves(b);
	hash_range(b, 0, b->n_leaves, hash);
	frontier_push_many(&b->tree, hash, b->n_leaves);
	buf_clear(&b->leaves);
	b->n_leaves = 0;
}

static bool is_full(const struct batchroot *b)
{
	return b->n_leaves == LEAVES_AT_ONCE || b->leaves.len >= LEAVES_SIZE_MAX;
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
	if (is_full(b))
		batchroot_give(b);
	if (is_full(b))
		hash_leaves(b);
	return 0;
}

uint64_t batchroot_count(const struct batchroot *b)
{
	return b->tree.size + (b->n_leaves - b->n_of_others);
}

struct hash batchroot_get(struct batchroot *b)
{
	batchroot_give(b);
	if (b->n_leaves > 0)
		hash_leaves(b);
	return frontier_root(&b->tree);
}

void batchroot_later(struct batchroot *b, struct hash *ret)
{
	/* Of an empty one, or one of which some are hashed, there is nothing to wait for. */
	if (b->tree.size > 0 || b->n_leaves == b->n_of_others) {
		*ret = batchroot_get(b);
		return;
	}
	salt_leaves(b);
	b->later[b->n_later] = ret;
	b->later_leaves[b->n_later++] = b->n_leaves - b->n_of_others;
	b->n_of_others = b->n_leaves;
}

void batchroot_give(struct batchroot *b)
{
	_uninitialized_ struct hash hash[LEAVES_AT_ONCE];
	uint32_t n = b->n_of_others, end;

	if (n == 0)
		return;
	hash_range(b, 0, n, hash);
	tree_roots(hash, b->later_leaves, b->n_later, b->later);
	/* What the batch at hand has moves up. */
	end = b->leaf_end[n - 1];
	b->leaves.len -= end;
	memmove(b->leaves.data, b->leaves.data + end, b->leaves.len);
	b->n_leaves -= n;
	for (uint32_t i = 0; i < b->n_leaves; i++)
		b->leaf_end[i] = b->leaf_end[n + i] - end;
	b->n_of_others = b->n_later = 0;
}

void batchroot_mark(struct batchroot *b, struct batchroot_mark *ret)
{
	/* Leaves that wait would be gone from the buffer by the time of going back. */
	batchroot_give(b);
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
	drop_own(b);
}

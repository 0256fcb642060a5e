/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Making proofs follows the recursive definitions of RFC 6962, 2.1.1 and 2.1.2.  Checking follows the iterative
 * algorithms of RFC 9162, 2.1.3.2 and 2.1.4.2, which consume a proof from the leaf upwards and must end at exactly the
 * top: a proof with one hash more or less than the two sizes ask for is refused.
 */

#include "seal/tree.h"

#include <assert.h>
#include <string.h>

static const uint8_t leaf_prefix = 0x00, node_prefix = 0x01;

static bool hash_equal(const struct hash *a, const struct hash *b)
{
	return memcmp(a->b, b->b, HASH_SIZE) == 0;
}

/* What is hashed is mostly short: by sha256_many(), which is the faster one, it has to be in one piece. */
enum { SHORT = 192, LEAVES_AT_ONCE = 16 };

struct hash tree_leaf(const void *datum, size_t n)
{
	const struct span parts[] = { { &leaf_prefix, 1 }, { datum, n } };
	uint8_t whole[1 + SHORT];
	struct hash h;

	if (n > SHORT)
		return sha256_concat(parts, ELEMENTS(parts));
	whole[0] = leaf_prefix;
	if (n > 0)
		memcpy(whole + 1, datum, n);
	sha256_many(&h, &(struct span){ whole, 1 + n }, 1);
	return h;
}

void tree_leaves(const uint8_t *data, size_t size, size_t n, struct hash *ret)
{
	_uninitialized_ uint8_t whole[LEAVES_AT_ONCE][1 + SHORT];
	_uninitialized_ struct span span[LEAVES_AT_ONCE];

	assert(size <= SHORT);
	while (n > 0) {
		size_t k = MIN_OF(n, (size_t) LEAVES_AT_ONCE);

		for (size_t i = 0; i < k; i++, data += size) {
			whole[i][0] = leaf_prefix;
			memcpy(whole[i] + 1, data, size);
			span[i] = (struct span){ whole[i], 1 + size };
		}
		sha256_many(ret, span, k);
		ret += k;
		n -= k;
	}
}

static void put_node(uint8_t to[1 + 2 * HASH_SIZE], const struct hash *left,
		     const struct hash *right)
{
	to[0] = node_prefix;
	memcpy(to + 1, left->b, HASH_SIZE);
	memcpy(to + 1 + HASH_SIZE, right->b, HASH_SIZE);
}

struct hash tree_node(const struct hash *left, const struct hash *right)
{
	uint8_t node[1 + 2 * HASH_SIZE];
	struct hash h;

	put_node(node, left, right);
	sha256_many(&h, &(struct span){ node, sizeof node }, 1);
	return h;
}

/* The largest power of two below n; n > 1. */
static uint64_t split_of(uint64_t n)
{
	return 1ull << (63 - __builtin_clzll(n - 1));
}

struct hash tree_root(const struct hash *leaves, uint64_t n)
{
	struct frontier f = { 0 };

	frontier_push_many(&f, leaves, n);
	return frontier_root(&f);
}

void frontier_push(struct frontier *f, const struct hash *leaf)
{
	struct hash h = *leaf;
	unsigned level = 0;

	for (uint64_t s = f->size; s & 1; s >>= 1, level++)
		h = tree_node(&f->node[level], &h);
	f->node[level] = h;
	f->size++;
}

/* Leaves are reduced level by level, so that sha256_many() sees as many nodes at once as there are. */
enum { CHUNK_LEVEL = 6, CHUNK = 1 << CHUNK_LEVEL };
_Static_assert((int) CHUNK <= (int) ROOTS_LEAVES_MAX, "a chunk is reduced as a tree");

/* Tree i has left[i] hashes of a level: replace them by those of the next.  @return how many nodes were made. */
static size_t reduce_all(struct hash *level, uint32_t *left, size_t trees)
{
	_uninitialized_ uint8_t node[ROOTS_LEAVES_MAX / 2][1 + 2 * HASH_SIZE];
	_uninitialized_ struct span span[ROOTS_LEAVES_MAX / 2];
	_uninitialized_ struct hash above[ROOTS_LEAVES_MAX / 2];
	const struct hash *of = level, *made = above;
	struct hash *at = level;
	size_t nodes = 0;

	for (size_t i = 0; i < trees; of += left[i++])
		for (uint32_t k = 0; k + 1 < left[i]; k += 2, nodes++) {
			put_node(node[nodes], &of[k], &of[k + 1]);
			span[nodes] = (struct span){ node[nodes], sizeof node[nodes] };
		}
	if (nodes == 0)
		return 0;
	sha256_many(above, span, nodes);
	of = level;
	for (size_t i = 0; i < trees; i++) {
		uint32_t pairs = left[i] / 2;

		memcpy(at, made, pairs * sizeof *at);
		/* An odd one stays the last: a split leaves it the right side. */
		if (left[i] & 1)
			at[pairs] = of[left[i] - 1];
		made += pairs;
		of += left[i];
		left[i] -= pairs;
		at += left[i];
	}
	return nodes;
}

/* Replace 2n hashes by the nodes above them. */
static void reduce(struct hash *level, size_t n)
{
	reduce_all(level, &(uint32_t){ (uint32_t) (2 * n) }, 1);
}

static struct hash chunk_root(const struct hash *leaves)
{
	_uninitialized_ struct hash level[CHUNK];

	memcpy(level, leaves, sizeof level);
	for (size_t n = CHUNK / 2; n > 0; n /= 2)
		reduce(level, n);
	return level[0];
}

void tree_roots(struct hash *leaves, const uint32_t *n, size_t trees, struct hash *const *ret)
{
	_uninitialized_ uint32_t left[ROOTS_LEAVES_MAX];
	size_t all = 0;

	assert(trees <= ROOTS_LEAVES_MAX);
	for (size_t i = 0; i < trees; i++) {
		left[i] = n[i];
		all += n[i];
	}
	assert(all <= ROOTS_LEAVES_MAX);
	while (reduce_all(leaves, left, trees) > 0)
		;
	for (size_t i = 0; i < trees; i++)
		*ret[i] = leaves[i];
}

/* The last leaves, fewer than a chunk, where a chunk would begin: at each level an odd one stays. */
static void push_rest(struct frontier *f, const struct hash *leaves, size_t n)
{
	_uninitialized_ struct hash level[CHUNK];

	memcpy(level, leaves, n * sizeof *level);
	f->size += n;
	for (unsigned k = 0; n > 0; k++, n /= 2) {
		if (n & 1)
			f->node[k] = level[n - 1];
		reduce(level, n / 2);
	}
}

void frontier_push_many(struct frontier *f, const struct hash *leaves, size_t n)
{
	while (n > 0 && f->size % CHUNK != 0) {
		frontier_push(f, leaves++);
		n--;
	}
	while (n >= CHUNK) {
		struct hash h = chunk_root(leaves);
		unsigned level = CHUNK_LEVEL;

		for (uint64_t s = f->size >> CHUNK_LEVEL; s & 1; s >>= 1, level++)
			h = tree_node(&f->node[level], &h);
		f->node[level] = h;
		f->size += CHUNK;
		leaves += CHUNK;
		n -= CHUNK;
	}
	if (n > 0)
		push_rest(f, leaves, n);
}

struct hash frontier_root(const struct frontier *f)
{
	uint64_t s = f->size;
	struct hash h;
	unsigned level;

	if (s == 0)
		return sha256(NULL, 0);
	level = (unsigned) __builtin_ctzll(s);
	h = f->node[level];
	for (s &= s - 1; s != 0; s &= s - 1)
		h = tree_node(&f->node[__builtin_ctzll(s)], &h);
	return h;
}

static void add_hash(struct proof *p, const struct hash *h)
{
	assert(p->n < PROOF_MAX);
	p->h[p->n++] = *h;
}

static void add_root(struct proof *p, const struct hash *leaves, uint64_t n)
{
	struct hash h = tree_root(leaves, n);

	add_hash(p, &h);
}

/* PATH(m, D[n]) of RFC 6962, 2.1.1, without recursion: the halves on the way down, kept in reverse. */
void tree_prove_inclusion(const struct hash *leaves, uint64_t size, uint64_t index,
			  struct proof *ret)
{
	struct proof down = { 0 };

	assert(index < size);
	while (size > 1) {
		uint64_t k = split_of(size);

		if (index < k) {
			add_root(&down, leaves + k, size - k);
			size = k;
		} else {
			add_root(&down, leaves, k);
			leaves += k;
			index -= k;
			size -= k;
		}
	}
	ret->n = 0;
	while (down.n > 0)
		add_hash(ret, &down.h[--down.n]);
}

/* SUBPROOF(m, D[n], b) of RFC 6962, 2.1.2; `whole` is its b: the subtree began where the old tree began. */
void tree_prove_consistency(const struct hash *leaves, uint64_t size, uint64_t old,
			    struct proof *ret)
{
	struct proof down = { 0 };
	bool whole = true;

	assert(old > 0 && old <= size);
	while (old < size) {
		uint64_t k = split_of(size);

		if (old <= k) {
			add_root(&down, leaves + k, size - k);
			size = k;
		} else {
			add_root(&down, leaves, k);
			leaves += k;
			old -= k;
			size -= k;
			whole = false;
		}
	}
	if (!whole)
		add_root(&down, leaves, size);
	ret->n = 0;
	while (down.n > 0)
		add_hash(ret, &down.h[--down.n]);
}

bool tree_check_inclusion(const struct hash *leaf, uint64_t index, uint64_t size,
			  const struct proof *proof, const struct hash *root)
{
	uint64_t fn = index, sn;
	struct hash h = *leaf;

	if (size == 0 || index >= size || proof->n > PROOF_MAX)
		return false;
	sn = size - 1;
	for (size_t i = 0; i < proof->n; i++) {
		if (sn == 0)
			return false;
		if ((fn & 1) || fn == sn) {
			h = tree_node(&proof->h[i], &h);
			while (!(fn & 1) && fn != 0) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			h = tree_node(&h, &proof->h[i]);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && hash_equal(&h, root);
}

bool tree_check_consistency(uint64_t old, uint64_t size, const struct proof *proof,
			    const struct hash *old_root, const struct hash *root)
{
	uint64_t fn, sn;
	struct hash fr, sr;
	size_t i = 0;

	if (old == 0 || old > size || proof->n > PROOF_MAX)
		return false;
	if (old == size)
		return proof->n == 0 && hash_equal(old_root, root);
	if (proof->n == 0)
		return false;
	fn = old - 1;
	sn = size - 1;
	while (fn & 1) {
		fn >>= 1;
		sn >>= 1;
	}
	/* When the old size is a power of two its root is the first hash, and the proof leaves it out. */
	fr = (old & (old - 1)) == 0 ? *old_root : proof->h[i++];
	sr = fr;
	for (; i < proof->n; i++) {
		if (sn == 0)
			return false;
		if ((fn & 1) || fn == sn) {
			fr = tree_node(&proof->h[i], &fr);
			sr = tree_node(&proof->h[i], &sr);
			while (!(fn & 1) && fn != 0) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			sr = tree_node(&sr, &proof->h[i]);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && hash_equal(&fr, old_root) && hash_equal(&sr, root);
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Trees are those of RFC 6962: roots and proofs agree with outside vectors, every proof made is accepted, and nothing
 * that differs from it in one bit, index, size or hash is.
 */

#include "seal/tree.h"

#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include "tests/vectors.h"

Suite(tree);

enum { SIZES = 70 };

static struct hash leaves[4 * SIZES];

static void fill(void)
{
	for (size_t i = 0; i < ELEMENTS(leaves); i++)
		leaves[i] = tree_leaf(&i, sizeof i);
}

static void expect_same(const struct hash *a, const struct hash *b, const char *why, size_t i)
{
	cr_expect(eq(int, memcmp(a->b, b->b, HASH_SIZE), 0), "%s %zu", why, i);
}

/* MTH of RFC 6962, 2.1, word for word. */
static struct hash naive_root(const struct hash *l, size_t n)
{
	struct hash left, right;
	size_t k = 1;

	if (n == 0)
		return sha256(NULL, 0);
	if (n == 1)
		return *l;
	while (2 * k < n)
		k *= 2;
	left = naive_root(l, k);
	right = naive_root(l + k, n - k);
	return tree_node(&left, &right);
}

/* Roots. */

Test(tree, roots_are_those_of_certificate_transparency)
{
	json_t *vectors = vectors_load(vectors_path("secure-data/rfc6962-roots.json"));
	const json_t *inputs = json_object_get(vectors, "leaf_inputs_hex"),
		     *hashes = json_object_get(vectors, "leaf_hashes"),
		     *roots = json_object_get(vectors, "roots_by_size");
	struct hash want, got;
	uint8_t input[64];

	cr_assert(eq(sz, json_array_size(roots), json_array_size(inputs) + 1));
	for (size_t i = 0; i < json_array_size(inputs); i++) {
		size_t n = vectors_unhex(json_string_value(json_array_get(inputs, i)), input,
					 sizeof input);

		leaves[i] = tree_leaf(input, n);
		vectors_unhex(json_string_value(json_array_get(hashes, i)), want.b, HASH_SIZE);
		expect_same(&leaves[i], &want, "leaf", i);
	}
	for (size_t i = 0; i < json_array_size(roots); i++) {
		vectors_unhex(json_string_value(json_array_get(roots, i)), want.b, HASH_SIZE);
		got = tree_root(leaves, i);
		expect_same(&got, &want, "root of size", i);
	}
	json_decref(vectors);
}

Test(tree, many_leaves_are_hashed_as_one_by_one)
{
	enum { MANY = 40 };
	static const size_t sizes[] = { 0, 1, 55, 119, 192 };
	uint8_t data[MANY * 192];
	struct hash many[MANY];

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t) (i * 7 + i / 256);
	for (size_t k = 0; k < ELEMENTS(sizes); k++)
		for (size_t n = 0; n <= MANY; n++) {
			tree_leaves(data, sizes[k], n, many);
			for (size_t i = 0; i < n; i++) {
				struct hash one = tree_leaf(data + i * sizes[k], sizes[k]);

				cr_assert(memcmp(many[i].b, one.b, HASH_SIZE) == 0,
					  "%zu of %zu bytes, %zu", n, sizes[k], i);
			}
		}
}

Test(tree, every_way_of_pushing_leads_to_the_recursive_root)
{
	struct hash want, got;

	fill();
	for (size_t n = 0; n <= ELEMENTS(leaves); n++) {
		struct frontier one = { 0 }, two = { 0 };

		want = naive_root(leaves, n);
		for (size_t i = 0; i < n; i++)
			frontier_push(&one, &leaves[i]);
		got = frontier_root(&one);
		expect_same(&got, &want, "one by one", n);
		frontier_push_many(&two, leaves, n / 3);
		frontier_push_many(&two, leaves + n / 3, n - n / 3);
		got = frontier_root(&two);
		expect_same(&got, &want, "in two parts", n);
		cr_expect(eq(u64, two.size, n));
		got = tree_root(leaves, n);
		expect_same(&got, &want, "at once", n);
	}
}

Test(tree, small_trees_that_are_made_together_have_their_roots)
{
	uint64_t dice = 19;

	fill();
	for (unsigned round = 0; round < 2000; round++) {
		struct hash all[ROOTS_LEAVES_MAX], root[ROOTS_LEAVES_MAX], *ret[ROOTS_LEAVES_MAX];
		uint32_t n[ROOTS_LEAVES_MAX], most = 1u << random_u64(&dice) % 7;
		size_t trees = 0, at = 0;

		for (size_t left = random_u64(&dice) % (ROOTS_LEAVES_MAX + 1); left > 0;) {
			n[trees] = 1 + (uint32_t) (random_u64(&dice) % MIN_OF(left, most));
			ret[trees] = &root[trees];
			left -= n[trees++];
		}
		memcpy(all, leaves, sizeof all);
		tree_roots(all, n, trees, ret);
		for (size_t i = 0; i < trees; at += n[i++]) {
			struct hash want = naive_root(leaves + at, n[i]);

			expect_same(&root[i], &want, "one of several, round", round);
		}
	}
}

/* Outside proofs. */

/*
 * Some vectors hold "hashes" of other sizes.  Our functions cannot even be told of them: another hash stands for each, and
 * a missing one equals nothing.
 */
static struct hash read_hash(const json_t *text)
{
	static uint32_t missing;
	uint8_t bytes[256];
	struct hash h;
	size_t n = json_is_null(text)
			   ? 0
			   : vectors_unbase64(json_string_value(text), bytes, sizeof bytes);

	if (n == HASH_SIZE)
		memcpy(h.b, bytes, HASH_SIZE);
	else if (n > 0)
		h = tree_leaf(bytes, n);
	else
		h = tree_leaf(&(uint32_t){ ++missing }, sizeof missing);
	return h;
}

static void read_proof(const json_t *vector, struct proof *ret)
{
	const json_t *list = json_object_get(vector, "proof"), *item;
	size_t i;

	ret->n = 0;
	json_array_foreach(list, i, item)
	{
		cr_assert(lt(sz, ret->n, PROOF_MAX));
		ret->h[ret->n++] = read_hash(item);
	}
}

static size_t policy_cases;

/* An empty tree has nothing in it and is the beginning of every other: to prove that is no proof, and it is refused. */
static void expect_verdict(const char *path, const json_t *vector, bool good, bool empty)
{
	bool want = !json_is_true(json_object_get(vector, "wantErr"));

	if (want && empty) {
		policy_cases++;
		want = false;
	}
	cr_expect(eq(int, good, want), "%s", path);
}

static void inclusion_vector(const char *path, json_t *v)
{
	bool subtree = json_object_get(v, "treeSize") == NULL, good;
	uint64_t start = subtree ? vectors_u64(v, "start") : 0,
		 end = vectors_u64(v, subtree ? "end" : "treeSize"),
		 index = vectors_u64(v, "leafIdx");
	uint64_t width = 1;
	struct hash leaf = read_hash(json_object_get(v, "leafHash")),
		    root = read_hash(json_object_get(v, "root"));
	struct proof proof;

	read_proof(v, &proof);
	/* A subtree is a tree of its own; it begins at a multiple of the power of two that holds it. */
	good = start < end && index >= start;
	while (good && width < end - start && width < 1ull << 62)
		width *= 2;
	good = good && start % width == 0 &&
	       tree_check_inclusion(&leaf, index - start, end - start, &proof, &root);
	expect_verdict(path, v, good, start == end);
}

static void consistency_vector(const char *path, json_t *v)
{
	bool subtree = json_object_get(v, "size1") == NULL, good;
	uint64_t start = subtree ? vectors_u64(v, "start") : 0,
		 old = vectors_u64(v, subtree ? "end" : "size1"),
		 size = vectors_u64(v, subtree ? "size" : "size2");
	struct hash old_root = read_hash(json_object_get(v, "root1")),
		    root = read_hash(json_object_get(v, "root2"));
	struct proof proof;

	read_proof(v, &proof);
	/* A subtree that begins elsewhere is no earlier tree. */
	good = start == 0 && tree_check_consistency(old, size, &proof, &old_root, &root);
	expect_verdict(path, v, good, start == old);
}

Test(tree, verdicts_on_outside_inclusion_proofs_agree)
{
	size_t n = vectors_walk(vectors_path("secure-data/rfc6962-merkle/inclusion"),
				inclusion_vector);

	cr_expect(eq(sz, n, 98));
	n = vectors_walk(vectors_path("secure-data/rfc6962-merkle/subtreeinclusion"),
			 inclusion_vector);
	cr_expect(eq(sz, n, 204));
	cr_expect(eq(sz, policy_cases, 0));
}

Test(tree, verdicts_on_outside_consistency_proofs_agree)
{
	size_t n = vectors_walk(vectors_path("secure-data/rfc6962-merkle/consistency"),
				consistency_vector);

	cr_expect(eq(sz, n, 98));
	n = vectors_walk(vectors_path("secure-data/rfc6962-merkle/subtreeconsistency"),
			 consistency_vector);
	cr_expect(eq(sz, n, 118));
}

/* Own proofs, whole and broken. */

static bool included(size_t index, size_t size, const struct proof *p, const struct hash *root)
{
	return tree_check_inclusion(&leaves[index], index, size, p, root);
}

typedef bool (*proof_check_fn)(size_t a, size_t b, const struct proof *p);

/* No change of the proof alone makes it another proof of the same. */
static void expect_broken_proofs_fail(const struct proof *good, proof_check_fn check, size_t a,
				      size_t b)
{
	struct proof bad = *good;

	for (size_t i = 0; i < bad.n; i++) {
		bad.h[i].b[(i * 5 + a) % HASH_SIZE] ^= (uint8_t) (1 << i % 8);
		cr_expect(not(check(a, b, &bad)), "%zu of %zu: flip in %zu", a, b, i);
		bad = *good;
	}
	for (bad.n = 0; bad.n < good->n; bad.n++)
		cr_expect(not(check(a, b, &bad)), "%zu of %zu: cut to %zu", a, b, bad.n);
	bad.n = good->n + 1;
	bad.h[good->n] = leaves[0];
	cr_expect(not(check(a, b, &bad)), "%zu of %zu: extended", a, b);
	bad.h[good->n] = (struct hash){ 0 };
	cr_expect(not(check(a, b, &bad)), "%zu of %zu: extended by zeroes", a, b);
}

static struct hash roots[SIZES + 2];

static void fill_roots(void)
{
	fill();
	for (size_t n = 0; n < ELEMENTS(roots); n++)
		roots[n] = tree_root(leaves, n);
}

static bool check_index_size(size_t index, size_t size, const struct proof *p)
{
	return included(index, size, p, &roots[size]);
}

Test(tree, an_inclusion_proof_proves_its_leaf_and_nothing_else)
{
	struct proof p;

	fill_roots();
	for (size_t size = 1; size <= SIZES; size++)
		for (size_t index = 0; index < size; index++) {
			tree_prove_inclusion(leaves, size, index, &p);
			cr_expect(check_index_size(index, size, &p), "%zu of %zu", index, size);
			for (size_t other = 0; other <= SIZES; other++) {
				if (other != index)
					cr_expect(not(tree_check_inclusion(&leaves[index], other,
									   size, &p, &roots[size])),
						  "%zu of %zu as %zu", index, size, other);
				if (other != index)
					cr_expect(not(tree_check_inclusion(&leaves[other], index,
									   size, &p, &roots[size])),
						  "leaf %zu as %zu of %zu", other, index, size);
				if (other != size)
					cr_expect(not(included(index, size, &p, &roots[other])),
						  "%zu of %zu under root %zu", index, size, other);
			}
			expect_broken_proofs_fail(&p, check_index_size, index, size);
		}
}

/*
 * A proof says little about the size by itself: where the path has the same shape under another size, it holds for that,
 * too.  So it is the signed pair of size and root that counts.
 */
Test(tree, a_proof_under_another_size_needs_another_path)
{
	struct proof p;

	fill_roots();
	for (size_t size = 1; size <= SIZES; size++)
		for (size_t index = 0; index < size; index++) {
			tree_prove_inclusion(leaves, size, index, &p);
			for (size_t other = 1; other <= SIZES; other++) {
				struct proof q;

				if (index >= other) {
					cr_expect(not(included(index, other, &p, &roots[size])));
					continue;
				}
				tree_prove_inclusion(leaves, other, index, &q);
				if (q.n != p.n)
					cr_expect(not(included(index, other, &p, &roots[size])),
						  "%zu of %zu as of %zu", index, size, other);
			}
		}
}

static bool check_old_size(size_t old, size_t size, const struct proof *p)
{
	return tree_check_consistency(old, size, p, &roots[old], &roots[size]);
}

Test(tree, a_consistency_proof_proves_its_two_sizes_and_nothing_else)
{
	struct proof p;

	fill_roots();
	for (size_t size = 1; size <= SIZES; size++)
		for (size_t old = 1; old <= size; old++) {
			tree_prove_consistency(leaves, size, old, &p);
			cr_expect(check_old_size(old, size, &p), "%zu to %zu", old, size);
			for (size_t other = 0; other <= SIZES; other++) {
				if (other != old)
					cr_expect(not(tree_check_consistency(old, size, &p,
									     &roots[other],
									     &roots[size])),
						  "%zu to %zu with the root of %zu", old, size,
						  other);
				if (other != size)
					cr_expect(not(tree_check_consistency(old, size, &p,
									     &roots[old],
									     &roots[other])),
						  "%zu to %zu with the root of %zu", old, size,
						  other);
			}
			expect_broken_proofs_fail(&p, check_old_size, old, size);
		}
}

Test(tree, proofs_in_trees_of_the_largest_size_do_not_overrun)
{
	struct proof p = { .n = PROOF_MAX };
	struct hash root = { { 0 } };

	fill();
	for (size_t i = 0; i < PROOF_MAX; i++)
		p.h[i] = leaves[i];
	cr_expect(not(tree_check_inclusion(&leaves[0], UINT64_MAX - 1, UINT64_MAX, &p, &root)));
	cr_expect(not(tree_check_inclusion(&leaves[0], 0, UINT64_MAX, &p, &root)));
	cr_expect(not(tree_check_consistency(1, UINT64_MAX, &p, &root, &root)));
	cr_expect(not(tree_check_consistency(UINT64_MAX - 1, UINT64_MAX, &p, &root, &root)));
	/* More hashes than a proof can hold: not even looked at. */
	p.n = SIZE_MAX;
	cr_expect(not(tree_check_inclusion(&leaves[0], 0, UINT64_MAX, &p, &root)));
	cr_expect(not(tree_check_consistency(1, UINT64_MAX, &p, &root, &root)));
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The root that is kept while entries arrive is the root that the format's law gives: leaf by leaf, salt by salt.
 */

#include "store/batchroot.h"

#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "seal/tree.h"

Suite(batchroot);

enum { ENTRIES_MAX = 3 * LEAVES_AT_ONCE + 5 };

static const uint8_t seed_of_test[SEED_SIZE] = "the seed of this test";

/* Entries of all sizes; their messages are carved out of one block. */
static void make_entries(struct entry *e, size_t n, uint8_t *block, size_t size, uint64_t *dice)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t large = random_u64(dice) % 20;
		uint32_t len = (uint32_t) (random_u64(dice) % (large == 0 ? size : 200));

		e[i] = (struct entry){ .time_ns = random_u64(dice),
				       .received_ns = random_u64(dice),
				       .message = block,
				       .message_len = len,
				       .priority = (uint8_t) (random_u64(dice) % 8),
				       .flags = random_u64(dice) % 2 ? ENTRY_NO_NEWLINE : 0 };
		random_fill(dice, e[i].context.b, HASH_SIZE);
	}
}

/* RFC 6962 over the statements, one after another. */
static struct hash naive_root(const struct entry *e, size_t n, uint64_t batch_no, bool recovered)
{
	struct hash *leaf = calloc(n, sizeof *leaf), root;
	struct salts salts;

	cr_assert(leaf != NULL);
	salts_of(&salts, seed_of_test, batch_no);
	for (size_t i = 0; i < n; i++) {
		struct entry marked = e[i];
		size_t size = entry_leaf_size(&marked);
		uint8_t *bytes = malloc(size), salt[SALT_SIZE];
		struct wr w = wr_of(bytes, size);

		if (recovered)
			marked.flags |= ENTRY_RECOVERED;
		salts_get(&salts, i, 1, salt);
		entry_encode(&marked, salt, &w);
		cr_assert(eq(sz, w.len, size));
		leaf[i] = tree_leaf(bytes, size);
		free(bytes);
	}
	root = tree_root(leaf, n);
	free(leaf);
	return root;
}

Test(batchroot, it_is_the_naive_one)
{
	enum { BLOCK = 300 << 10 };
	uint8_t *block = malloc(BLOCK);
	struct entry *e = calloc(ENTRIES_MAX, sizeof *e);
	struct batchroot b = { 0 };
	uint64_t dice = 20240229;

	cr_assert(block != NULL);
	cr_assert(e != NULL);
	random_fill(&dice, block, BLOCK);
	for (size_t n = 1; n <= ENTRIES_MAX; n = n < 70 ? n + 1 : n + 13) {
		uint64_t bytes = 0, min = UINT64_MAX, max = 0;
		uint64_t batch_no = random_u64(&dice);
		bool recovered = n % 3 == 0;
		struct hash want, got;

		make_entries(e, n, block, BLOCK, &dice);
		want = naive_root(e, n, batch_no, recovered);
		/* The same one is used again and again, as collectors do. */
		batchroot_begin(&b, seed_of_test, batch_no, recovered);
		for (size_t i = 0; i < n; i++) {
			cr_assert(eq(u64, batchroot_count(&b), i));
			cr_assert(eq(int, batchroot_add(&b, &e[i]), 0));
			bytes += entry_bytes(&e[i]);
			min = MIN_OF(min, e[i].time_ns);
			max = MAX_OF(max, e[i].time_ns);
			/* To ask half way changes nothing. */
			if (i == n / 2)
				batchroot_get(&b);
		}
		got = batchroot_get(&b);
		cr_expect(eq(int, memcmp(got.b, want.b, HASH_SIZE), 0), "%zu entries", n);
		got = batchroot_get(&b);
		cr_expect(eq(int, memcmp(got.b, want.b, HASH_SIZE), 0), "asked twice");
		cr_expect(eq(u64, batchroot_count(&b), n));
		cr_expect(eq(u64, b.bytes, bytes));
		cr_expect(eq(u64, b.time_min, min));
		cr_expect(eq(u64, b.time_max, max));
	}
	batchroot_done(&b);
	free(e);
	free(block);
}

Test(batchroot, roots_that_come_later_are_the_same)
{
	enum { BLOCK = 300 << 10, BATCHES = 400 };
	uint8_t *block = malloc(BLOCK);
	struct entry *e = calloc(ENTRIES_MAX, sizeof *e);
	struct hash *got = calloc(BATCHES, sizeof *got), *want = calloc(BATCHES, sizeof *want);
	struct batchroot b = { 0 };
	uint64_t dice = 20260105;

	cr_assert(block && e && got && want);
	random_fill(&dice, block, BLOCK);
	for (size_t k = 0; k < BATCHES; k++) {
		size_t most = k % 9 == 0 ? ENTRIES_MAX : k % 2 ? 3 : 20;
		size_t n = 1 + random_u64(&dice) % most;
		uint64_t batch_no = random_u64(&dice), bytes = 0;
		bool recovered = k % 5 == 0;
		struct batchroot_mark mark;

		make_entries(e, n, block, BLOCK, &dice);
		want[k] = naive_root(e, n, batch_no, recovered);
		batchroot_begin(&b, seed_of_test, batch_no, recovered);
		for (size_t i = 0; i < n; i++) {
			cr_assert(eq(u64, batchroot_count(&b), i));
			cr_assert(eq(int, batchroot_add(&b, &e[i]), 0));
			bytes += entry_bytes(&e[i]);
			/* Neither going back nor asking half way is in anybody's way. */
			if (k % 13 == 0 && i == n / 2) {
				batchroot_mark(&b, &mark);
				cr_assert(eq(int, batchroot_add(&b, &e[0]), 0));
				batchroot_rewind(&b, &mark);
			}
			if (k % 17 == 0 && i == n / 3)
				batchroot_get(&b);
		}
		cr_expect(eq(u64, b.bytes, bytes));
		if (k % 11 == 0)
			got[k] = batchroot_get(&b);
		else
			batchroot_later(&b, &got[k]);
		/* One that was begun and given up leaves nothing behind. */
		if (k % 7 == 0) {
			batchroot_begin(&b, seed_of_test, 1, false);
			cr_assert(eq(int, batchroot_add(&b, &e[0]), 0));
		}
	}
	batchroot_give(&b);
	for (size_t k = 0; k < BATCHES; k++)
		cr_expect(eq(int, memcmp(got[k].b, want[k].b, HASH_SIZE), 0), "batch %zu", k);
	batchroot_done(&b);
	free(want);
	free(got);
	free(e);
	free(block);
}

Test(batchroot, everything_about_an_entry_counts)
{
	struct field f = { (const uint8_t *) "A", (const uint8_t *) "1", 1, 1 };
	struct entry e = { .message = (const uint8_t *) "x", .message_len = 1, .fields = &f };
	struct batchroot b = { 0 };
	struct hash seen[12];

	for (unsigned i = 0; i < ELEMENTS(seen); i++) {
		struct entry x = e;

		x.time_ns += i == 1;
		x.received_ns += i == 2;
		x.priority += i == 3;
		x.flags = i == 4 ? ENTRY_GAP : 0;
		x.context.b[31] ^= i == 5;
		x.message_len -= i == 6;
		x.n_fields = i == 7;
		batchroot_begin(&b,
				i == 8 ? (const uint8_t *) "another seed, 32 bytes of it, yes"
				       : seed_of_test,
				i == 9, i == 10);
		cr_assert(eq(int, batchroot_add(&b, &x), 0));
		if (i == 11)
			cr_assert(eq(int, batchroot_add(&b, &x), 0));
		seen[i] = batchroot_get(&b);
		for (unsigned k = 0; k < i; k++)
			cr_expect(ne(int, memcmp(seen[k].b, seen[i].b, HASH_SIZE), 0), "%u and %u",
				  k, i);
	}
	batchroot_done(&b);
}

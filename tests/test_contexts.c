/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Contexts are numbered as they come, chain to the identity, are found by hash, and are bounded in number, size and depth.
 */

#include "store/contexts.h"

#include "tests/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "bulla/error.h"
#include "seal/tree.h"
#include "store/format.h"

Suite(contexts);

static struct hash none;

static struct field field(const char *name, const char *value)
{
	return (struct field){ .name = (const uint8_t *) name,
			       .name_len = (uint8_t) strlen(name),
			       .value = (const uint8_t *) value,
			       .value_len = (uint32_t) strlen(value) };
}

static int64_t add(struct contexts *c, const struct hash *parent, const struct field *f, uint16_t n)
{
	struct context x = { .parent = *parent, .fields = f, .n_fields = n };
	size_t size = context_leaf_size(&x);
	uint8_t *leaf = malloc(size);
	struct wr w = wr_of(leaf, size);
	int64_t k;

	context_encode(&x, &w);
	cr_assert(not(w.bad));
	k = contexts_add(c, leaf, w.len);
	free(leaf); /* it is copied */
	return k;
}

/* A context that differs from all others by a number. */
static int64_t add_number(struct contexts *c, const struct hash *parent, unsigned number)
{
	char text[16] = "";
	struct field f = field("N", text);

	f.value_len = (uint32_t) snprintf(text, sizeof text, "%u", number);
	return add(c, parent, &f, 1);
}

Test(contexts, the_first_is_the_identity)
{
	struct contexts c = { 0 };
	struct hash parent = { { 1 } };

	cr_expect(eq(i64, contexts_find(&c, &none), -ENOENT));
	cr_expect(eq(i64, add_number(&c, &parent, 0), BULLA_ECORRUPT), "with a parent");
	cr_expect(eq(u32, c.n, 0));
	cr_assert(eq(i64, add_number(&c, &none, 0), 0));
	cr_expect(eq(i64, c.at[0].parent, -1));
	cr_expect(eq(i64, add_number(&c, &none, 1), BULLA_ECORRUPT), "a second without parent");
	cr_expect(eq(i64, add_number(&c, &parent, 1), BULLA_ECORRUPT), "an unknown parent");
	cr_expect(eq(i64, add_number(&c, &c.at[0].hash, 1), 1));
	cr_expect(eq(u32, c.n, 2));
	contexts_done(&c);
	contexts_done(&c);
}

Test(contexts, each_is_found_by_its_hash_and_none_comes_twice)
{
	enum { N = 3000 };
	struct contexts c = { 0 };
	struct hash root;

	cr_assert(eq(i64, add_number(&c, &none, 0), 0));
	root = c.at[0].hash;
	for (unsigned i = 1; i < N; i++)
		cr_assert(eq(i64, add_number(&c, &root, i), i));
	for (unsigned i = 0; i < N; i++) {
		struct hash leaf = tree_leaf(c.at[i].leaf, c.at[i].leaf_size);

		cr_assert(eq(i64, contexts_find(&c, &leaf), i));
	}
	for (unsigned i = 1; i < N; i += 100)
		cr_expect(eq(i64, add_number(&c, &root, i), BULLA_ECORRUPT), "%u again", i);
	cr_expect(eq(u32, c.n, N));
	cr_expect(eq(i64, contexts_find(&c, &none), -ENOENT));
	contexts_done(&c);
}

Test(contexts, the_last_can_be_taken_back)
{
	struct contexts c = { 0 };
	struct hash root;

	cr_assert(eq(i64, add_number(&c, &none, 0), 0));
	root = c.at[0].hash;
	for (unsigned i = 1; i < 100; i++)
		cr_assert(eq(i64, add_number(&c, &root, i), i));
	for (unsigned i = 99; i >= 40; i--)
		contexts_remove_last(&c);
	cr_expect(eq(u32, c.n, 40));
	for (unsigned i = 40; i < 200; i++)
		cr_assert(eq(i64, add_number(&c, &root, i), i), "after it was taken back");
	for (unsigned i = 0; i < 200; i++) {
		struct hash h = c.at[i].hash;

		cr_assert(eq(i64, contexts_find(&c, &h), i));
	}
	contexts_done(&c);
}

Test(contexts, a_name_is_looked_up_towards_the_identity)
{
	struct field identity[] = { field("A", "identity"), field("B", "identity") },
		     child[] = { field("B", "child"), field("B", "second") };
	struct contexts c = { 0 };
	const struct field *f;

	cr_assert(eq(i64, add(&c, &none, identity, 2), 0));
	cr_assert(eq(i64, add(&c, &c.at[0].hash, child, 2), 1));
	f = contexts_lookup(&c, 1, "A");
	cr_assert(f != NULL);
	cr_expect(eq(u32, f->value_len, 8));
	f = contexts_lookup(&c, 1, "B");
	cr_assert(f != NULL);
	cr_expect(eq(u32, f->value_len, 5), "the child's first");
	cr_expect(eq(ptr, (void *) contexts_lookup(&c, 1, "C"), NULL));
	cr_expect(eq(ptr, (void *) contexts_lookup(&c, 0, ""), NULL));
	contexts_done(&c);
}

Test(contexts, chains_are_bounded)
{
	struct contexts c = { 0 };

	cr_assert(eq(i64, add_number(&c, &none, 0), 0));
	for (unsigned i = 1; i <= CONTEXT_DEPTH_MAX; i++)
		cr_assert(eq(i64, add_number(&c, &c.at[i - 1].hash, i), i), "depth %u", i);
	cr_expect(eq(i64, add_number(&c, &c.at[CONTEXT_DEPTH_MAX].hash, 99), BULLA_ELIMIT));
	cr_expect(eq(i64, add_number(&c, &c.at[CONTEXT_DEPTH_MAX - 1].hash, 99),
		     CONTEXT_DEPTH_MAX + 1));
	contexts_done(&c);
}

Test(contexts, their_number_is_bounded_and_many_cost_little)
{
	struct contexts c = { 0 };
	uint64_t begun = clock_monotonic_ns();
	struct hash root;

	cr_assert(eq(i64, add_number(&c, &none, 0), 0));
	root = c.at[0].hash;
	for (unsigned i = 1; i < CONTEXTS_MAX; i++)
		cr_assert(eq(i64, add_number(&c, &root, i), i));
	cr_expect(eq(i64, add_number(&c, &root, CONTEXTS_MAX), BULLA_ELIMIT));
	cr_expect(lt(u64, clock_monotonic_ns() - begun, 10 * NS_PER_S));
	contexts_done(&c);
}

Test(contexts, their_bytes_are_bounded)
{
	enum { VALUE = CONTEXT_SIZE_MAX - 100 };
	struct contexts c = { 0 };
	uint8_t *value = calloc(1, VALUE + 101);
	struct field f = { (const uint8_t *) "A", value, VALUE, 1 };
	int64_t k;
	uint32_t i = 0;

	cr_assert(value != NULL);
	cr_assert(eq(i64, add(&c, &none, &f, 1), 0));
	do {
		memcpy(value, &i, sizeof i);
		k = add(&c, &c.at[0].hash, &f, 1);
	} while (k > 0 && ++i < CONTEXTS_MAX);
	cr_expect(eq(i64, k, BULLA_ELIMIT));
	cr_expect(le(u32, c.size, CONTEXTS_SIZE_MAX));
	f.value_len = VALUE + 101;
	cr_expect(eq(i64, contexts_add(&c, value, CONTEXT_SIZE_MAX + 1), BULLA_ELIMIT));
	free(value);
	contexts_done(&c);
}

Test(contexts, what_is_no_context_leaves_no_trace)
{
	struct contexts c = { 0 };
	uint8_t leaf[64] = { 'C', 1 };

	for (size_t n = 0; n < 36; n++) {
		uint8_t *alone = exact_copy(leaf, n);

		cr_expect(lt(i64, contexts_add(&c, alone, n), 0), "%zu bytes", n);
		free(alone);
	}
	cr_expect(eq(u32, c.n, 0));
	cr_expect(eq(u32, c.size, 0));
	cr_expect(eq(i64, contexts_add(&c, leaf, 36), 0));
	contexts_done(&c);
}

Test(contexts, what_was_imported_is_known_from_the_identity_on)
{
	struct field who[] = { field("_ATTRIBUTION", "import") };
	struct field lacks[] = { field("__ABSENT", "MESSAGE"), field("__ABSENT", "PRIORITY") };
	struct contexts c = { 0 };

	cr_assert(eq(i64, add(&c, &none, who, 1), 0));
	cr_assert(eq(i64, add(&c, &c.at[0].hash, &lacks[1], 1), 1));
	cr_assert(eq(i64, add_number(&c, &c.at[1].hash, 1), 2));
	cr_assert(eq(i64, add(&c, &c.at[0].hash, lacks, 2), 3));
	cr_expect(eq(int, c.at[0].import, CONTEXT_IMPORTED));
	cr_expect(eq(int, c.at[1].import, CONTEXT_IMPORTED | CONTEXT_NO_PRIORITY));
	cr_expect(eq(int, c.at[2].import, CONTEXT_IMPORTED | CONTEXT_NO_PRIORITY));
	cr_expect(eq(int, c.at[3].import,
		     CONTEXT_IMPORTED | CONTEXT_NO_PRIORITY | CONTEXT_NO_MESSAGE));
	contexts_done(&c);
}

/* Below another identity such fields mean nothing: they hide nothing of what a container wrote. */
Test(contexts, what_was_not_imported_hides_nothing)
{
	struct field who[] = { field("_ATTRIBUTION", "channel"), field("__ABSENT", "MESSAGE") };
	struct field claims[] = { field("_ATTRIBUTION", "import"), field("__ABSENT", "MESSAGE") };
	struct contexts c = { 0 };

	cr_assert(eq(i64, add(&c, &none, who, 2), 0));
	cr_assert(eq(i64, add(&c, &c.at[0].hash, claims, 2), 1));
	cr_expect(eq(int, c.at[0].import, 0));
	cr_expect(eq(int, c.at[1].import, 0));
	contexts_done(&c);
}

/* As a segment keeps them: children by the number of their parents, and no hash until somebody asks. */
Test(contexts, children_have_the_hashes_that_leaves_would_have)
{
	struct contexts whole = { 0 }, by_number = { 0 };

	for (unsigned i = 0; i < 20; i++) {
		const struct hash *parent = i > 0 ? &whole.at[i / 2].hash : &none;
		cr_assert(eq(i64, add_number(&whole, parent, i), i));
	}
	for (unsigned i = 0; i < 20; i++) {
		const struct context_entry *e = &whole.at[i];

		cr_assert(eq(i64, contexts_add_child(&by_number, e->parent, e->fields, e->n_fields),
			     i));
		cr_assert(eq(ptr, (void *) by_number.at[i].leaf, NULL));
	}
	cr_assert(eq(int, contexts_hash_all(&by_number), 0));
	for (uint32_t i = 0; i < 20; i++) {
		cr_expect(eq(int, by_number.at[i].depth, whole.at[i].depth));
		cr_expect(hash_same(&by_number.at[i].hash, &whole.at[i].hash));
		cr_expect(eq(u32, by_number.at[i].leaf_size, whole.at[i].leaf_size));
		cr_expect(eq(int,
			     memcmp(by_number.at[i].leaf, whole.at[i].leaf, whole.at[i].leaf_size),
			     0));
	}
	contexts_done(&by_number);
	contexts_done(&whole);
}

Test(contexts, children_have_parents_before_them)
{
	struct contexts c = { 0 };

	cr_expect(eq(i64, contexts_add_child(&c, 0, NULL, 0), BULLA_ECORRUPT));
	cr_expect(eq(i64, contexts_add_child(&c, -1, NULL, 0), 0));
	cr_expect(eq(i64, contexts_add_child(&c, -1, NULL, 0), BULLA_ECORRUPT));
	cr_expect(eq(i64, contexts_add_child(&c, 1, NULL, 0), BULLA_ECORRUPT));
	cr_expect(eq(i64, contexts_add_child(&c, INT64_MAX, NULL, 0), BULLA_ECORRUPT));
	for (int64_t i = 1; i <= CONTEXT_DEPTH_MAX; i++)
		cr_expect(eq(i64, contexts_add_child(&c, i - 1, NULL, 0), i));
	cr_expect(eq(i64, contexts_add_child(&c, CONTEXT_DEPTH_MAX, NULL, 0), BULLA_ELIMIT));
	contexts_done(&c);
}

Test(contexts, children_have_bounds)
{
	static const uint8_t bytes[CONTEXT_SIZE_MAX];
	struct field many[FIELDS_MAX + 1], large = { bytes, bytes, CONTEXT_SIZE_MAX - 42, 1 };
	struct contexts c = { 0 };
	int64_t r;

	for (size_t i = 0; i < ELEMENTS(many); i++)
		many[i] = field("A", "");
	cr_expect(eq(i64, contexts_add_child(&c, -1, many, FIELDS_MAX + 1), BULLA_ELIMIT));
	cr_expect(eq(i64, contexts_add_child(&c, -1, &large, 1), BULLA_ELIMIT));
	large.value_len--;
	cr_expect(eq(i64, contexts_add_child(&c, -1, &large, 1), 0));
	while ((r = contexts_add_child(&c, 0, &large, 1)) >= 0)
		;
	cr_expect(eq(i64, r, BULLA_ELIMIT));
	cr_expect(eq(u32, c.n, CONTEXTS_SIZE_MAX / CONTEXT_SIZE_MAX));
	contexts_done(&c);
}

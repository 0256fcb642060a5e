/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Heads say how far a ledger had come, in one spelling, sealed; and of any two of one ledger it can be shown that the newer goes on
 * from the older.  A key that came later is reached from the first.
 */

#include "seal/growth.h"

#include "tests/harness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "seal/ledger.h"
#include "store/prove.h"
#include "tests/builder.h"

Suite(head);

static const struct kes_params shape = { 2, 3 };

static struct hash leaves[256];
static size_t n_leaves;

static int keep_leaf(void *arg, const struct sealed_commit *c)
{
	(void) arg;
	leaves[n_leaves++] = c->leaf;
	return 0;
}

static void read_leaves(const struct builder *b)
{
	struct history *h = history_new();
	struct ledger_scan scan;
	struct ledger l;

	n_leaves = 0;
	cr_assert(eq(int,
		     ledger_open(&l, b->state.ledger, O_RDONLY, h, HISTORY_CHECK_ALL, keep_leaf,
				 NULL, &scan),
		     0));
	ledger_close(&l);
	history_free(h);
}

static void log_some(struct builder *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		builder_log_many(b, 0, 1 + i % 3);
		builder_commit(b);
	}
}

static int read_growth(const struct buf *file, struct growth *ret, struct buf *memory)
{
	uint8_t *room = buf_room(memory, file->len + 1);

	return growth_read(rd_of(file->data, file->len), room, ret);
}

static int read_head(const struct buf *file, struct head *ret, struct buf *memory)
{
	uint8_t *room = buf_room(memory, file->len + 1);

	*ret = (struct head){ 0 };
	return head_read(rd_of(file->data, file->len), room, ret);
}

Test(head, is_sealed_by_the_host)
{
	_cleanup_buf_ struct buf file = { 0 }, memory = { 0 };
	struct builder b;
	struct head h;
	struct vkey pin;
	struct hash root;
	const char *why;

	builder_init(&b, tempdir(), shape);
	builder_open(&b, "web");
	log_some(&b, 20);
	pin = builder_pin(&b);
	read_leaves(&b);
	cr_assert(eq(int, prove_head(&b.state, 0, &file, &why), 0));
	cr_assert(eq(int, read_head(&file, &h, &memory), 0));
	root = tree_root(leaves, n_leaves);
	cr_expect(eq(u64, h.size, n_leaves));
	cr_expect(hash_same(&h.root, &root));
	cr_expect(eq(int, head_check(&h, &pin, &shape, 0), 0));
	for (size_t i = 0; i < file.len; i++) {
		int r;

		file.data[i] ^= (uint8_t) (1 << (i % 8));
		r = read_head(&file, &h, &memory);
		if (r >= 0)
			r = head_check(&h, &pin, &shape, 0);
		cr_expect(lt(int, r, 0), "byte %zu", i);
		file.data[i] ^= (uint8_t) (1 << (i % 8));
	}
	builder_done(&b);
}

Test(head, goes_on_from_every_older_one)
{
	_cleanup_buf_ struct buf file = { 0 }, memory = { 0 };
	struct growth *g = malloc(sizeof *g);
	struct proof *want = malloc(sizeof *want);
	struct builder b;
	const char *why;

	builder_init(&b, tempdir(), shape);
	builder_open(&b, "web");
	for (size_t round = 0; round < 12; round++) {
		log_some(&b, 3);
		read_leaves(&b);
		for (uint64_t old = 1; old <= n_leaves; old++) {
			struct hash root = tree_root(leaves, old);

			buf_clear(&file);
			buf_clear(&memory);
			cr_assert(eq(int, prove_head(&b.state, old, &file, &why), 0));
			cr_assert(eq(int, read_growth(&file, g, &memory), 0));
			tree_prove_consistency(leaves, n_leaves, old, want);
			cr_assert(eq(sz, g->proof.n, want->n));
			cr_expect(
				eq(int, memcmp(g->proof.h, want->h, want->n * sizeof *want->h), 0));
			cr_expect(tree_check_consistency(old, n_leaves, &g->proof, &root,
							 &g->head.root));
		}
	}
	buf_clear(&file);
	cr_expect(eq(int, prove_head(&b.state, n_leaves + 1, &file, &why), BULLA_ETAMPERED));
	builder_done(&b);
	free(g);
	free(want);
}

Test(head, growth_has_one_spelling)
{
	_cleanup_buf_ struct buf file = { 0 }, memory = { 0 };
	struct growth *g = malloc(sizeof *g);
	struct hash old_root;
	struct builder b;
	struct vkey pin;
	const char *why;

	builder_init(&b, tempdir(), shape);
	builder_open(&b, "web");
	log_some(&b, 20);
	pin = builder_pin(&b);
	read_leaves(&b);
	old_root = tree_root(leaves, 7);
	cr_assert(eq(int, prove_head(&b.state, 7, &file, &why), 0));
	for (size_t i = 0; i < file.len; i++) {
		bool good;

		file.data[i] ^= (uint8_t) (1 << (i % 8));
		buf_clear(&memory);
		good = read_growth(&file, g, &memory) == 0 && g->old == 7 &&
		       growth_check(g, &pin, &shape, &why) == 0 &&
		       tree_check_consistency(7, g->head.size, &g->proof, &old_root, &g->head.root);
		cr_expect(not(good), "byte %zu", i);
		file.data[i] ^= (uint8_t) (1 << (i % 8));
	}
	builder_done(&b);
	free(g);
}

/* A head of `old` commits' growth, read and checked under the key.  @return as growth_check(). */
static int prove_and_check(const struct builder *b, uint64_t old, const struct vkey *pin,
			   struct growth *g, struct buf *file)
{
	_cleanup_buf_ struct buf memory = { 0 };
	const char *why = NULL;
	int r;

	buf_clear(file);
	cr_assert(eq(int, prove_head(&b->state, old, file, &why), 0));
	cr_assert(eq(int, read_growth(file, g, &memory), 0));
	r = growth_check(g, pin, &b->params, &why);
	cr_expect(r == 0 || why);
	return r;
}

Test(head, of_a_later_key_leads_back_to_the_first)
{
	static const struct kes_params tiny = { 2, 1 };
	_cleanup_buf_ struct buf file = { 0 };
	struct growth *g = malloc(sizeof *g);
	struct builder b;
	struct vkey pin;

	builder_init(&b, tempdir(), tiny);
	builder_open(&b, "web");
	pin = builder_pin(&b);
	for (size_t round = 0; round < 30; round++) {
		log_some(&b, 1);
		read_leaves(&b);
		for (uint64_t old = 0; old <= n_leaves; old++) {
			struct hash root = old > 0 ? tree_root(leaves, old) : leaves[0];

			cr_assert(eq(int, prove_and_check(&b, old, &pin, g, &file), 0),
				  "%llu of %zu", (unsigned long long) old, n_leaves);
			cr_expect(eq(u64, g->head.size, n_leaves));
			cr_expect(eq(u8, g->successions.n, (uint8_t) ((n_leaves - 1) / 4)));
			cr_expect(eq(u64, g->old, old));
			cr_expect(old == 0 || tree_check_consistency(old, n_leaves, &g->proof,
								     &root, &g->head.root));
		}
	}
	cr_expect(gt(u8, g->successions.n, 3));
	builder_done(&b);
	free(g);
}

Test(head, of_a_later_key_has_one_spelling_and_one_way_there)
{
	static const struct kes_params tiny = { 2, 1 };
	_cleanup_buf_ struct buf file = { 0 }, memory = { 0 };
	struct growth *g = malloc(sizeof *g), *less = malloc(sizeof *less);
	struct builder b;
	struct vkey pin;
	const char *why;

	builder_init(&b, tempdir(), tiny);
	builder_open(&b, "web");
	log_some(&b, 10);
	pin = builder_pin(&b);
	cr_assert(eq(int, prove_and_check(&b, 0, &pin, g, &file), 0));
	cr_assert(gt(u8, g->successions.n, 1));
	for (size_t i = 0; i < file.len; i++) {
		file.data[i] ^= (uint8_t) (1 << (i % 8));
		buf_clear(&memory);
		cr_expect(read_growth(&file, g, &memory) < 0 ||
				  growth_check(g, &pin, &tiny, &why) == BULLA_ETAMPERED,
			  "byte %zu", i);
		file.data[i] ^= (uint8_t) (1 << (i % 8));
	}
	for (size_t n = 0; n < file.len; n += 3) {
		struct buf cut = { .data = file.data, .len = n };

		buf_clear(&memory);
		cr_expect(eq(int, read_growth(&cut, g, &memory), BULLA_EPARSE), "%zu bytes", n);
	}
	buf_clear(&memory);
	cr_assert(eq(int, read_growth(&file, g, &memory), 0));
	for (unsigned n = 0; n < g->successions.n; n++) {
		*less = *g;
		less->successions.n = (uint8_t) n;
		cr_expect(eq(int, growth_check(less, &pin, &tiny, &why), BULLA_ETAMPERED), "%u", n);
		cr_expect(
			eq(str, (char *) (uintptr_t) why,
			   (char *) (uintptr_t) "the head says that it is sealed by another key"));
	}
	*less = *g;
	less->successions.at[0] = g->successions.at[1];
	cr_expect(eq(int, growth_check(less, &pin, &tiny, &why), BULLA_ETAMPERED));
	pin.public_key[3] ^= 1;
	cr_expect(eq(int, growth_check(g, &pin, &tiny, &why), BULLA_ETAMPERED));
	builder_done(&b);
	free(g);
	free(less);
}

Test(head, successions_are_bounded)
{
	static const struct kes_params two = { 1, 1 };
	_cleanup_buf_ struct buf file = { 0 };
	struct growth *g = malloc(sizeof *g);
	struct builder b;
	struct vkey pin;
	const char *why;

	builder_init(&b, tempdir(), two);
	builder_open(&b, "web");
	pin = builder_pin(&b);
	for (read_leaves(&b); n_leaves < 2 * SUCCESSIONS_MAX + 1; read_leaves(&b))
		log_some(&b, 1);
	cr_expect(eq(int, prove_and_check(&b, 0, &pin, g, &file), 0));
	cr_expect(eq(u8, g->successions.n, SUCCESSIONS_MAX));
	log_some(&b, 1);
	buf_clear(&file);
	cr_expect(eq(int, prove_head(&b.state, 0, &file, &why), BULLA_ELIMIT));
	cr_expect(ne(ptr, (char *) (uintptr_t) why, NULL));
	builder_done(&b);
	free(g);
}

Test(head, nothing_has_none)
{
	_cleanup_buf_ struct buf file = { 0 };
	struct state s;
	const char *why;

	cr_assert(eq(int, state_open(&s, tempdir(), true), 0));
	cr_expect(lt(int, prove_head(&s, 0, &file, &why), 0));
	state_close(&s);
}

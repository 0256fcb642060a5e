/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Heads say how far a ledger had come, in one spelling, sealed; and of any two of one ledger it can be shown that the newer goes on
 * from the older.
 */

#include "seal/head.h"

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

static struct hash leaves[64];
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

	*ret = (struct growth){ 0 };
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
		       head_check(&g->head, &pin, &shape, 0) == 0 &&
		       tree_check_consistency(7, g->head.size, &g->proof, &old_root, &g->head.root);
		cr_expect(not(good), "byte %zu", i);
		file.data[i] ^= (uint8_t) (1 << (i % 8));
	}
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

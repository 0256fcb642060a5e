/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: history_header(), history_keys(), history_commit().
 *
 * The input is a ledger: a row of frames, as in the file.  Whatever record is accepted is accepted by a second history, too,
 * which sees only accepted records: so a refused one leaves no trace.  Sums over all batches agree with what each journal
 * is said to hold, and the tree's root with the leaves.
 *
 * An engine guesses neither checksums nor signatures.  Bits of the first byte help it: 1 makes checksums right, 2 takes
 * commits without their signatures, which is what a signer's own mistakes could make of a history.
 */

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/frame.h"
#include "bulla/error.h"
#include "fuzz/fuzz.h"
#include "seal/history.h"

enum { MEND = 1, UNSIGNED = 2, LEAVES_MAX = 4096 };

static struct hash leaves[LEAVES_MAX];
static size_t n_leaves;
static uint64_t batches, entries, bytes;

FUZZ_HAS_ENTRANCE;

/* Give each frame in the row the checksum that its content asks for. */
static void mend(uint8_t *p, size_t n)
{
	struct rd r = rd_of(p, n);

	for (;;) {
		uint8_t *at = p + (n - r.left);
		uint32_t size = rd_u32(&r), type = rd_u32(&r);

		if (r.bad || size > LEDGER_RECORD_MAX || frame_space(size) > r.left + 8)
			return;
		frame_finish(at, type, size);
		rd_bytes(&r, frame_space(size) - 8);
	}
}

static int take(struct history *h, const struct frame *f, bool first, bool is_unsigned,
		struct sealed_commit *ret)
{
	/* Exactly as long as it is, for AddressSanitizer to guard its end. */
	uint8_t *exact = malloc(f->size ? f->size : 1);
	int r;

	assert(exact);
	memcpy(exact, f->payload, f->size);
	if (first)
		r = history_header(h, exact, f->size);
	else if (f->type == LEDGER_COMMIT)
		r = history_commit(h, exact, f->size,
				   is_unsigned ? HISTORY_SKIP_SIGNATURE : HISTORY_CHECK_ALL, ret);
	else
		r = history_record(h, f->type, exact, f->size, NULL);
	if (ret)
		ret->sigma = NULL;
	if (r >= 0 && !first && f->type == LEDGER_COMMIT && ret) {
		/* Looked at while the bytes are there. */
		struct hash h2;

		assert(commit_leaf_hash(&ret->commit, &h2) == 0);
		assert(hash_same(&h2, &ret->leaf));
	}
	free(exact);
	return r;
}

static void count(const struct history *h, const struct sealed_commit *c)
{
	struct hash root = frontier_root(history_tree(h));

	fuzz_count_let_in();
	assert(history_size(h) == c->commit.number + 1);
	assert(hash_same(&root, &c->root));
	assert(n_leaves < LEAVES_MAX);
	leaves[n_leaves++] = c->leaf;
	for (uint32_t i = 0; i < c->commit.n_batches; i++) {
		assert(c->handles[i] < history_n_journals(h));
		assert(i == 0 ||
		       id_compare(&c->batches[i - 1].journal, &c->batches[i].journal) < 0);
		batches++;
		entries += c->batches[i].entries;
		bytes += c->batches[i].bytes;
	}
}

static void check_sums(const struct history *h)
{
	struct hash root = tree_root(leaves, n_leaves), tree = frontier_root(history_tree(h));

	assert(history_size(h) == n_leaves);
	assert(hash_same(&root, &tree));
	for (uint32_t i = 0; i < history_n_journals(h); i++) {
		const struct ledger_journal *j = history_journal(h, i);

		assert(history_find_journal(h, &j->id) == i);
		batches -= j->batches;
		entries -= j->entries;
		bytes -= j->bytes;
	}
	assert(batches == 0 && entries == 0 && bytes == 0);
}

static void read_ledger(struct history *h, struct history *witness, const uint8_t *p, size_t n,
			bool is_unsigned)
{
	struct sealed_commit c;
	struct frame f;
	bool first = true;
	ssize_t space;

	for (size_t at = 0; (space = frame_parse(p + at, n - at, LEDGER_RECORD_MAX, &f)) > 0;
	     at += (size_t) space) {
		int r;

		if (n_leaves == LEAVES_MAX)
			break;
		r = take(h, &f, first, is_unsigned, &c);
		if (r < 0)
			continue;
		assert(take(witness, &f, first, is_unsigned, NULL) == 0);
		if (!first && f.type == LEDGER_COMMIT)
			count(h, &c);
		first = false;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct history *h = history_new(), *witness = history_new();
	uint8_t *row;

	assert(h && witness);
	n_leaves = 0;
	batches = entries = bytes = 0;
	if (size > 0) {
		row = malloc(size);
		assert(row);
		memcpy(row, data + 1, size - 1);
		if (data[0] & MEND)
			mend(row, size - 1);
		read_ledger(h, witness, row, size - 1, data[0] & UNSIGNED);
		check_sums(h);
		assert(history_size(witness) == history_size(h));
		free(row);
	}
	history_free(h);
	history_free(witness);
	return 0;
}

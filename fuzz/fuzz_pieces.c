/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: pieces_take().
 *
 * Whatever an aggregator sends, and however the network cuts it (the first byte says where), the text, the lines and the verdict
 * are the same, and no line and no proof is longer than its bound.
 */

#include "fuzz/fuzz.h"

#include <string.h>

#include "base/buf.h"
#include "base/pieces.h"

struct taken {
	struct buf text, lines, proofs;
	size_t left; /* of the proof at hand */
};

static int take_text(void *arg, const void *data, size_t n)
{
	struct taken *t = arg;

	assert(n > 0);
	buf_append(&t->text, data, n);
	return 0;
}

static int take_line(void *arg, const char *line, size_t n)
{
	struct taken *t = arg;

	assert(n <= ANSWER_LINE_MAX);
	buf_append(&t->lines, line, n);
	buf_char(&t->lines, '\n');
	return 0;
}

static int take_proof(void *arg, const void *data, size_t n, size_t left)
{
	struct taken *t = arg;

	assert(n > 0 && n + left <= ANSWER_PROOF_MAX);
	assert(t->left == 0 || t->left == n + left);
	t->left = left;
	buf_append(&t->proofs, data, n);
	if (left == 0)
		buf_char(&t->proofs, '\n');
	return 0;
}

static int take(const uint8_t *data, size_t size, size_t step, struct taken *t)
{
	struct pieces p = { .text = take_text, .damage = take_line, .proof = take_proof, .arg = t };
	int r = 0;

	for (size_t at = 0; at < size && r >= 0; at += step)
		r = pieces_take(&p, data + at, MIN_OF(step, size - at));
	return r < 0 ? r : pieces_whole(&p);
}

static void same(const struct buf *a, const struct buf *b)
{
	assert(!a->bad && !b->bad && a->len == b->len);
	assert(a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct taken whole = { 0 }, cut = { 0 };
	int r;

	if (size < 1)
		return 0;
	r = take(data + 1, size - 1, size, &whole);
	assert(take(data + 1, size - 1, 1 + data[0] % 64u, &cut) == r);
	same(&whole.text, &cut.text);
	same(&whole.lines, &cut.lines);
	same(&whole.proofs, &cut.proofs);
	buf_done(&whole.text);
	buf_done(&whole.lines);
	buf_done(&whole.proofs);
	buf_done(&cut.text);
	buf_done(&cut.lines);
	buf_done(&cut.proofs);
	return 0;
}

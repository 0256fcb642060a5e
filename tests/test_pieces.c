/* SPDX-License-Identifier: Apache-2.0 */

/** An answer in pieces is the same text and the same lines, wherever the network cuts it; what is no piece is refused. */

#include "base/pieces.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "bulla/error.h"
#include "tests/harness.h"

Suite(pieces);

struct taken {
	struct buf text, lines;
};

static int take_text(void *arg, const void *data, size_t n)
{
	struct taken *t = arg;

	buf_append(&t->text, data, n);
	return 0;
}

static int take_line(void *arg, const char *line, size_t n)
{
	struct taken *t = arg;

	buf_char(&t->lines, '[');
	buf_append(&t->lines, line, n);
	buf_char(&t->lines, ']');
	return 0;
}

static void put(struct buf *to, unsigned kind, const char *data, size_t n)
{
	uint8_t head[ANSWER_PIECE_HEAD];

	answer_piece_encode((enum answer_piece) kind, (uint32_t) n, head);
	buf_append(to, head, sizeof head);
	buf_append(to, data, n);
}

static void expect(const struct buf *b, const char *want, size_t cut)
{
	cr_expect(eq(sz, b->len, strlen(want)), "cut at %zu", cut);
	cr_expect(eq(int, memcmp(b->data, want, b->len), 0), "cut at %zu", cut);
}

Test(pieces, every_cut_gives_the_same)
{
	_cleanup_buf_ struct buf all = { 0 };

	put(&all, ANSWER_TEXT, "one\ntw", 6);
	put(&all, ANSWER_DAMAGE, "here\n", 5);
	put(&all, ANSWER_TEXT, "o\n", 2);
	put(&all, ANSWER_DAMAGE, "\n", 1);
	put(&all, ANSWER_DAMAGE, "there", 5);
	for (size_t cut = 0; cut <= all.len; cut++) {
		struct taken t = { 0 };
		struct pieces p = { .text = take_text, .damage = take_line, .arg = &t };
		uint8_t *copy = exact_copy(all.data, cut);

		cr_assert(eq(int, pieces_take(&p, copy, cut), 0), "cut at %zu", cut);
		cr_expect(cut == 0 || cut == 11 || cut == 21 || cut == 28 || cut == 34 ||
				  cut == all.len || !pieces_whole(&p),
			  "cut at %zu", cut);
		cr_assert(eq(int, pieces_take(&p, all.data + cut, all.len - cut), 0), "cut at %zu",
			  cut);
		cr_expect(pieces_whole(&p));
		expect(&t.text, "one\ntwo\n", cut);
		expect(&t.lines, "[here][][there]", cut);
		free(copy);
		buf_done(&t.text);
		buf_done(&t.lines);
	}
}

Test(pieces, what_is_none_is_refused)
{
	static const struct {
		unsigned kind;
		uint32_t size;
		int want;
	} cases[] = {
		{ 0, 1, BULLA_EPARSE },
		{ ANSWER_PROOF, 1, BULLA_EPARSE }, /* nobody takes it */
		{ 4, 1, BULLA_EPARSE },
		{ ANSWER_TEXT, 0, BULLA_EPARSE },
		{ ANSWER_DAMAGE, 0, BULLA_EPARSE },
		{ ANSWER_DAMAGE, ANSWER_LINE_MAX + 1, BULLA_EPARSE },
		{ ANSWER_DAMAGE, ANSWER_LINE_MAX, 0 },
		{ ANSWER_TEXT, UINT32_MAX, 0 },
	};
	char line[ANSWER_LINE_MAX];

	memset(line, 'x', sizeof line);
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct taken t = { 0 };
		struct pieces p = { .text = take_text, .damage = take_line, .arg = &t };
		uint8_t head[ANSWER_PIECE_HEAD];

		answer_piece_encode((enum answer_piece) cases[i].kind, cases[i].size, head);
		cr_expect(eq(int, pieces_take(&p, head, sizeof head), cases[i].want), "case %zu",
			  i);
		if (cases[i].want == 0)
			cr_expect(eq(int, pieces_take(&p, line, sizeof line), 0), "case %zu", i);
		buf_done(&t.text);
		buf_done(&t.lines);
	}
}

/* Proofs are given in parts, and each part with what is still to come. */
struct proofs {
	struct buf bytes;
	unsigned ended;
};

static int take_proof(void *arg, const void *data, size_t n, size_t left)
{
	struct proofs *p = arg;

	buf_append(&p->bytes, data, n);
	p->ended += left == 0;
	return 0;
}

Test(pieces, proofs_come_whole_or_in_parts)
{
	_cleanup_buf_ struct buf all = { 0 };

	put(&all, ANSWER_PROOF, "first\n", 6);
	put(&all, ANSWER_DAMAGE, "no\n", 3);
	for (size_t cut = 0; cut <= 11; cut++) {
		struct proofs t = { 0 };
		struct pieces p = { .proof = take_proof, .arg = &t };

		cr_assert(eq(int, pieces_take(&p, all.data, cut), 0));
		cr_assert(eq(int, pieces_take(&p, all.data + cut, 11 - cut), 0));
		expect(&t.bytes, "first\n", cut);
		cr_expect(eq(u32, t.ended, 1));
		/* Lines nobody takes are refused, and so is text. */
		cr_expect(eq(int, pieces_take(&p, all.data + 11, ANSWER_PIECE_HEAD), BULLA_EPARSE));
		buf_done(&t.bytes);
	}
}

Test(pieces, proofs_are_bounded)
{
	struct proofs t = { 0 };

	for (uint32_t over = 0; over <= 1; over++) {
		struct pieces p = { .proof = take_proof, .arg = &t };
		uint8_t head[ANSWER_PIECE_HEAD];

		answer_piece_encode(ANSWER_PROOF, ANSWER_PROOF_MAX + over, head);
		cr_expect(eq(int, pieces_take(&p, head, sizeof head), over ? BULLA_EPARSE : 0));
	}
}

Test(pieces, findings_are_lines_beside_damage)
{
	_cleanup_buf_ struct buf all = { 0 };
	struct taken damage = { 0 }, findings = { 0 };

	put(&all, ANSWER_FINDING, "made up\n", 8);
	put(&all, ANSWER_DAMAGE, "damaged\n", 8);
	for (unsigned who = 0; who < 2; who++) {
		struct pieces p = { .finding = take_line, .arg = &findings };

		if (who == 0) {
			cr_expect(eq(int, pieces_take(&p, all.data, 13), 0));
			cr_expect(eq(int, pieces_take(&p, all.data + 13, 5), BULLA_EPARSE));
			continue;
		}
		p = (struct pieces){ .damage = take_line, .arg = &damage };
		cr_expect(eq(int, pieces_take(&p, all.data + 13, 13), 0));
		cr_expect(eq(int, pieces_take(&p, all.data, 5), BULLA_EPARSE));
	}
	expect(&findings.lines, "[made up]", 0);
	expect(&damage.lines, "[damaged]", 0);
	buf_done(&findings.lines);
	buf_done(&damage.lines);
}

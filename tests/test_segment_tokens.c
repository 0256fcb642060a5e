/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Tokens never deny a needle that is there, and deny most that are not.
 */

#include "store/segment/tokens.h"

#include "tests/harness.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

Suite(segment_tokens);

enum { MESSAGES = 300, SIZE = 200 };

/* Messages, a stretch of each a variable, or all of it kept whole. */
static struct message {
	uint8_t p[SIZE];
	size_t n, from, to;
	bool whole;
} messages[MESSAGES];

static void make_messages(uint64_t *seed, const char *alphabet)
{
	for (size_t i = 0; i < MESSAGES; i++) {
		struct message *m = &messages[i];
		uint64_t r = random_u64(seed);

		m->n = r % SIZE;
		for (size_t k = 0; k < m->n; k++)
			m->p[k] = (uint8_t) alphabet[random_u64(seed) % strlen(alphabet)];
		m->from = (r >> 16) % (m->n + 1);
		m->to = MIN_OF(m->from + 1 + (r >> 32) % 40, m->n);
		m->whole = r >> 60 == 0;
		if (r >> 59 & 1 && m->n > 80)
			memcpy(m->p + 20, "3d4a83ea-09F3-4e88-5b71-c3d4e5f6a7b8", 36);
	}
}

static void add_ids(struct tokens *t, const uint8_t *p, size_t n)
{
	tokens_add_digits(t, p, n);
	tokens_add_uuids(t, p, n);
}

static void encode(struct buf *block)
{
	struct tokens t = { 0 };

	cr_assert(eq(int, tokens_begin(&t), 0));
	for (size_t i = 0; i < MESSAGES; i++) {
		const struct message *m = &messages[i];

		add_ids(&t, m->p, m->n);
		if (m->whole) {
			tokens_add(&t, TOKENS_WHOLE, m->p, m->n);
			continue;
		}
		tokens_add(&t, TOKENS_TEXTS, m->p, m->from);
		tokens_add_value(&t, m->p, m->n, m->from, m->to);
		tokens_add(&t, TOKENS_TEXTS, m->p + m->to, m->n - m->to);
	}
	tokens_encode(&t, block);
	cr_assert(not(block->bad));
	tokens_done(&t);
}

static bool is_letters(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isascii(p[i]) || !isalpha(p[i]))
			return false;
	return true;
}

/* A piece of a message must be allowed where it is. */
static void expect_allowed(const struct buf *block, const struct message *m, size_t from, size_t n)
{
	bool in_value = from >= m->from && from + n <= m->to;
	bool touches = m->from < m->to && from < m->to && from + n > m->from;
	struct tokens_asked asked;
	uint8_t piece[SIZE];
	int places;

	for (size_t i = 0; i < n; i++)
		piece[i] = (uint8_t) (i % 3 ? toupper(m->p[from + i]) : m->p[from + i]);
	tokens_ask(&asked, piece, n);
	places = tokens_answer(&asked, block->data, block->len);
	cr_assert(gt(int, places, 0), "\"%.*s\" at %zu of \"%.*s\"", (int) n, piece, from,
		  (int) m->n, m->p);
	if (m->whole)
		cr_assert(places >> TOKENS_WHOLE & 1, "\"%.*s\"", (int) n, piece);
	else if (in_value || (touches && is_letters(piece, n)))
		cr_assert(places >> TOKENS_VALUES & 1, "\"%.*s\" at %zu of \"%.*s\"", (int) n,
			  piece, from, (int) m->n, m->p);
	else if (!touches)
		cr_assert(places >> TOKENS_TEXTS & 1, "\"%.*s\"", (int) n, piece);
	else
		cr_assert(ne(int, places &TOKENS_ACROSS, 0), "\"%.*s\"", (int) n, piece);
	cr_assert(eq(int, asked.letters, is_letters(piece, n)));
}

Test(segment_tokens, what_is_there_is_never_denied)
{
	static const char *const alphabets[] = { "abcdef0123456789ABCDEF",
						 "abcdefghijklmnopqrstuvwxyz",
						 "abc1 -",
						 "aB",
						 "0123456789abcdef-",
						 "a@[`{zZ\xe4" };
	uint64_t seed = 31;

	for (int round = 0; round < 12; round++) {
		_cleanup_buf_ struct buf block = { 0 };

		make_messages(&seed, alphabets[round % ELEMENTS(alphabets)]);
		encode(&block);
		for (int i = 0; i < 4000; i++) {
			const struct message *m = &messages[random_u64(&seed) % MESSAGES];
			size_t from, n;

			if (m->n == 0)
				continue;
			from = random_u64(&seed) % m->n;
			n = 1 + random_u64(&seed) % (m->n - from);
			expect_allowed(&block, m, from, n);
		}
	}
}

static int answer(const struct buf *block, const char *needle)
{
	struct tokens_asked asked;

	tokens_ask(&asked, (const uint8_t *) needle, strlen(needle));
	return tokens_answer(&asked, block->data, block->len);
}

static struct buf encode_one(const char *text, const char *value, const char *whole)
{
	struct tokens t = { 0 };
	struct buf block = { 0 };
	char message[400];
	size_t n = (size_t) snprintf(message, sizeof message, "%s%s", text, value);

	cr_assert(eq(int, tokens_begin(&t), 0));
	tokens_add(&t, TOKENS_TEXTS, (const uint8_t *) text, strlen(text));
	tokens_add_value(&t, (const uint8_t *) message, n, strlen(text), n);
	add_ids(&t, (const uint8_t *) message, n);
	add_ids(&t, (const uint8_t *) whole, strlen(whole));
	tokens_add(&t, TOKENS_WHOLE, (const uint8_t *) whole, strlen(whole));
	tokens_encode(&t, &block);
	cr_assert(not(block.bad));
	tokens_done(&t);
	return block;
}

Test(segment_tokens, tell_where_a_needle_cannot_be)
{
	_cleanup_buf_ struct buf block =
		encode_one("login of ", "Johannes", "4bf92f3577b34da6a3ce929d0e0e4736 refused");

	cr_expect(eq(int, answer(&block, "login"), 1 << TOKENS_TEXTS));
	cr_expect(eq(int, answer(&block, "HANNE"), TOKENS_ACROSS | 1 << TOKENS_VALUES));
	cr_expect(eq(int, answer(&block, "refuse"), 1 << TOKENS_WHOLE));
	cr_expect(eq(int, answer(&block, "logout of"), 0));
	cr_expect(eq(int, answer(&block, "login refused"), TOKENS_ACROSS));
	cr_expect(eq(int, answer(&block, "log"), TOKENS_ANYWHERE));
	cr_expect(gt(int, answer(&block, "id=4bf92f3577b34da6a3ce929d0e0e4736"), 0));
	cr_expect(eq(int, answer(&block, "5ca03f4688c45eb7b4df030e1f1f5847"), 0));
}

Test(segment_tokens, a_group_without_letters_denies_all)
{
	_cleanup_buf_ struct buf block = encode_one("", "12", "");

	cr_expect(eq(int, answer(&block, "word"), 0));
	cr_expect(gt(int, answer(&block, "12"), 0));
}

Test(segment_tokens, most_of_what_is_not_there_is_denied)
{
	_cleanup_buf_ struct buf block = { 0 };
	uint64_t seed = 32;
	int passed = 0;

	make_messages(&seed, "abcdefghijklmnopqrstuvwxyz      ");
	encode(&block);
	for (int i = 0; i < 10000; i++) {
		char needle[9] = "";

		for (int k = 0; k < 8; k++)
			needle[k] = (char) ('a' + random_u64(&seed) % 26);
		passed += answer(&block, needle) != 0;
	}
	cr_expect(lt(int, passed, 30), "%d of 10000", passed);
}

Test(segment_tokens, damage_is_an_error)
{
	_cleanup_buf_ struct buf block = encode_one("login of ", "Johannes", "refused");
	struct tokens_asked asked;

	tokens_ask(&asked, (const uint8_t *) "login", 5);
	for (size_t n = 0; n < block.len; n++) {
		_cleanup_free_ uint8_t *cut = exact_copy(block.data, n);
		int r = tokens_answer(&asked, cut, n);

		/* Of the last filter whole blocks may be missing. */
		cr_expect(r == BULLA_ECORRUPT || n + 32 == block.len, "%zu: %d", n, r);
	}
	block.data[0] = 0x7f;
	cr_expect(eq(int, tokens_answer(&asked, block.data, block.len), BULLA_ECORRUPT));
}

Test(segment_tokens, a_filter_has_a_greatest_size)
{
	struct tokens t = { 0 };
	_cleanup_buf_ struct buf block = { 0 };
	uint64_t seed = 33;

	cr_assert(eq(int, tokens_begin(&t), 0));
	for (int i = 0; i < 1500000; i++) {
		char digits[TOKENS_ID_MIN + 1];

		snprintf(digits, sizeof digits, "%016llx%016llx",
			 (unsigned long long) random_u64(&seed),
			 (unsigned long long) random_u64(&seed));
		tokens_add_digits(&t, (const uint8_t *) digits, TOKENS_ID_MIN);
	}
	tokens_encode(&t, &block);
	cr_expect(eq(sz, block.len, 2 + 32 * (size_t) TOKENS_BLOCKS_MAX));
	cr_expect(eq(int, answer(&block, "word"), 0));
	tokens_done(&t);
}

Test(segment_tokens, a_needle_is_asked_for_in_part)
{
	_cleanup_buf_ struct buf block = encode_one("abcdefghij", "", "");
	char needle[1000];

	memset(needle, 'x', sizeof needle);
	needle[sizeof needle - 1] = '\0';
	for (size_t i = 0; i + 11 < sizeof needle; i += 11)
		memcpy(needle + i, "abcdefghij ", 11);
	cr_expect(eq(int, answer(&block, needle), TOKENS_ACROSS | 1 << TOKENS_TEXTS));
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: tokens_...().
 *
 * The input is u8 from, u8 length - 1 of a variable, u8 from, u8 length of a needle, and a message.  Whatever it is, tokens of
 * the message allow the needle that is a piece of it, where it is.  As a block of tokens it is read without harm.
 */

#include "store/segment/tokens.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "fuzz/fuzz.h"

static void add(struct tokens *t, const uint8_t *p, size_t n, size_t from, size_t to)
{
	assert(tokens_begin(t) == 0);
	tokens_add_digits(t, p, n);
	tokens_add_uuids(t, p, n);
	tokens_add(t, TOKENS_TEXTS, p, from);
	tokens_add_value(t, p, n, from, to);
	tokens_add(t, TOKENS_TEXTS, p + to, n - to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_of(data, size);
	size_t from = rd_u8(&r), to = from + 1 + rd_u8(&r), at = rd_u8(&r), n = rd_u8(&r);
	struct tokens t = { 0 };
	struct tokens_asked asked;
	struct buf block = { 0 };
	int places;

	if (r.bad || r.left == 0)
		return 0;
	from = MIN_OF(from, r.left);
	to = MIN_OF(to, r.left);
	at = MIN_OF(at, r.left);
	n = MIN_OF(n, r.left - at);
	tokens_ask(&asked, r.p + at, n);
	add(&t, r.p, r.left, from, to);
	tokens_encode(&t, &block);
	assert(!block.bad);
	places = tokens_answer(&asked, block.data, block.len);
	assert(places > 0);
	if (at >= from && at + n <= to && n > 0)
		assert(places >> TOKENS_VALUES & 1);
	if (asked.letters && at < to && at + n > from && from < to && n > 0)
		assert(places >> TOKENS_VALUES & 1);
	if (n > 0 && (at + n <= from || at >= to || from >= to))
		assert(places >> TOKENS_TEXTS & 1);
	assert(tokens_answer(&asked, r.p, r.left) <= TOKENS_ANYWHERE);
	tokens_done(&t);
	buf_done(&block);
	return 0;
}

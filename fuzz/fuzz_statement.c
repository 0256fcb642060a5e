/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: the decoders and encoders of seal/statement.h.
 *
 * Whatever decodes encodes back to the very bytes that were read: a statement has one encoding.  The first byte picks the
 * kind: entry, context, batch, commit, or the body of an event.
 */

#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"
#include "fuzz/fuzz.h"
#include "seal/statement.h"

static struct field fields[FIELDS_MAX];

static void expect_same(const struct wr *w, const uint8_t *p, size_t n)
{
	assert(!w->bad);
	assert(w->len == n);
	assert(n == 0 || memcmp(w->base, p, n) == 0);
}

static int try_entry(const uint8_t *p, size_t n, struct wr *w)
{
	uint8_t salt[SALT_SIZE];
	struct entry e;
	int r = entry_decode(rd_of(p, n), fields, &e, salt);

	if (r == 0) {
		assert(entry_leaf_size(&e) == n);
		assert(entry_bytes(&e) <= ENTRY_SIZE_MAX);
		entry_encode(&e, salt, w);
	}
	return r;
}

static int try_context(const uint8_t *p, size_t n, struct wr *w)
{
	struct context c;
	struct hash h;
	int r = context_decode(rd_of(p, n), fields, &c);

	if (r == 0) {
		assert(context_leaf_size(&c) == n);
		assert(context_hash(&c, &h) == 0);
		context_encode(&c, w);
	}
	return r;
}

static int try_batch(const uint8_t *p, size_t n, struct wr *w)
{
	struct batch b;
	int r = batch_decode(rd_of(p, n), &b);

	if (r == 0)
		batch_encode(&b, w);
	return r;
}

static int try_commit(const uint8_t *p, size_t n, struct wr *w)
{
	static struct event events[EVENTS_MAX];
	struct commit c;
	struct hash h;
	int r = commit_decode(rd_of(p, n), events, EVENTS_MAX, &c);

	if (r == 0) {
		assert(commit_leaf_hash(&c, &h) == 0);
		commit_encode(&c, w);
	}
	return r;
}

#define TRY_EVENT(name)                                            \
	static int try_##name(const struct event *e, struct wr *w) \
	{                                                          \
		struct event_##name body;                          \
		int r = event_##name##_decode(e, &body);           \
		if (r == 0)                                        \
			event_##name##_encode(&body, w);           \
		return r;                                          \
	}

TRY_EVENT(genesis)
TRY_EVENT(up)
TRY_EVENT(open)
TRY_EVENT(close)
TRY_EVENT(rekey)

static int try_event(unsigned kind, const uint8_t *p, size_t n, struct wr *w)
{
	static int (*const try[])(const struct event *e, struct wr *w) = {
		try_genesis, try_up, try_open, try_close, try_rekey,
	};
	struct event e = { .len = (uint16_t) n, .body = p };

	if (n > EVENT_SIZE_MAX)
		return BULLA_ELIMIT;
	return try[kind % (sizeof try / sizeof *try)](&e, w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *again;
	struct wr w;
	int r;

	if (size == 0)
		return 0;
	again = malloc(size);
	assert(again);
	w = wr_of(again, size);
	switch (data[0] & 7) {
	case 0:
		r = try_entry(data + 1, size - 1, &w);
		break;
	case 1:
		r = try_context(data + 1, size - 1, &w);
		break;
	case 2:
		r = try_batch(data + 1, size - 1, &w);
		break;
	case 3:
		r = try_commit(data + 1, size - 1, &w);
		break;
	default:
		r = try_event(data[0] >> 3, data + 1, size - 1, &w);
	}
	assert(r == 0 || r == BULLA_ETRUNCATED || r == BULLA_EVERSION || r == BULLA_ELIMIT ||
	       r == BULLA_ENOTCANON);
	if (r == 0)
		expect_same(&w, data + 1, size - 1);
	free(again);
	return 0;
}

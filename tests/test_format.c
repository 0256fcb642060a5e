/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The example in docs/format.md is a commit of the golden ledger, and each of its blocks follows from the one before.
 */

#include "seal/statement.h"

#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/frame.h"
#include "seal/history.h"
#include "seal/tree.h"
#include "tests/vectors.h"

Suite(format);

enum { RECORD_AT = 1816 };

/* The text of a block "```<kind> <name>". */
static size_t block(const char *kind, const char *name, char *to, size_t size)
{
	static char document[1 << 18];
	char begin[64];
	const char *from, *end;
	size_t n = vectors_read(FORMAT_DOCUMENT, document, sizeof document - 1);

	document[n] = '\0';
	snprintf(begin, sizeof begin, "\n```%s %s\n", kind, name);
	from = strstr(document, begin);
	cr_assert(ne(ptr, (void *) from, NULL), "no block %s", name);
	from += strlen(begin);
	end = strstr(from, "```\n");
	cr_assert(ne(ptr, (void *) end, NULL), "block %s has no end", name);
	n = (size_t) (end - from);
	cr_assert(lt(sz, n, size));
	memcpy(to, from, n);
	to[n] = '\0';
	return n;
}

static size_t hex_block(const char *name, uint8_t *to, size_t size)
{
	char text[4096];
	size_t n = 0;

	block("hex", name, text, sizeof text);
	for (char *save, *word = strtok_r(text, " \n", &save); word;
	     word = strtok_r(NULL, " \n", &save)) {
		cr_assert(lt(sz, n, size));
		cr_assert(eq(sz, vectors_unhex(word, to + n, 1), 1), "%s", word);
		n++;
	}
	return n;
}

static struct hash leaf_block(const char *name)
{
	uint8_t bytes[1024];
	size_t n = hex_block(name, bytes, sizeof bytes);

	return tree_leaf(bytes, n);
}

static uint8_t ledger[1 << 16];

/* Read the golden ledger up to the record at RECORD_AT. */
static struct history *read_golden(struct frame *ret)
{
	size_t size = vectors_read(GOLDEN_DIR "/story.ledger", ledger, sizeof ledger);
	struct history *h = history_new();

	for (size_t at = 0;;) {
		ssize_t n = frame_parse(ledger + at, size - at, LEDGER_RECORD_MAX, ret);

		cr_assert(gt(i64, n, 0));
		if (at == RECORD_AT)
			return h;
		cr_assert(eq(int,
			     ret->type == LEDGER_HEADER
				     ? history_header(h, ret->payload, ret->size)
				     : history_record(h, ret->type, ret->payload, ret->size, NULL),
			     0));
		at += (size_t) n;
	}
}

Test(format, the_record_is_where_the_document_says_it_is)
{
	uint8_t record[1024];
	size_t n = hex_block("record", record, sizeof record);
	struct frame f;
	struct history *h = read_golden(&f);

	cr_expect(eq(u64, history_size(h), 4));
	cr_assert(eq(sz, f.size, n));
	cr_expect(eq(int, memcmp(f.payload, record, n), 0));
	history_free(h);
}

Test(format, the_batch_and_the_commit_are_those_of_the_record)
{
	struct hash batch = leaf_block("batch"), commit = leaf_block("commit"), leaf;
	struct sealed_commit c;
	struct frame f;
	struct history *h = read_golden(&f);

	cr_assert(eq(int, history_commit(h, f.payload, f.size, HISTORY_CHECK_ALL, &c), 0));
	cr_assert(eq(u32, c.commit.n_batches, 1));
	leaf = batch_leaf_hash(&c.batches[0]);
	cr_expect(hash_same(&batch, &leaf));
	cr_expect(hash_same(&batch, &c.commit.batches_root));
	cr_expect(hash_same(&commit, &c.leaf));
	cr_assert(eq(sz, hex_block("leaf", leaf.b, HASH_SIZE), HASH_SIZE));
	cr_expect(hash_same(&commit, &leaf));
	history_free(h);
}

Test(format, the_commit_leaf_decodes_to_what_the_prose_says)
{
	uint8_t bytes[1024];
	size_t n = hex_block("commit", bytes, sizeof bytes);
	struct event events[4];
	struct event_close close;
	struct commit c;
	struct batch b;

	cr_assert(eq(int, commit_decode(rd_of(bytes, n), events, 4, &c), 0));
	cr_expect(eq(u64, c.number, 4));
	cr_expect(eq(u64, c.time_ns, 1700000005000000000));
	cr_expect(eq(u32, c.n_batches, 1));
	cr_assert(eq(u16, c.n_events, 1));
	cr_assert(eq(u8, events[0].kind, EVENT_CLOSE));
	cr_assert(eq(int, event_close_decode(&events[0], &close), 0));
	cr_expect(eq(u64, close.batches, 3));
	cr_expect(eq(u64, close.entries, 8));
	n = hex_block("batch", bytes, sizeof bytes);
	cr_assert(eq(int, batch_decode(rd_of(bytes, n), &b), 0));
	cr_expect(eq(u64, b.batch_no, 2));
	cr_expect(eq(u64, b.first_seq, 3));
	cr_expect(eq(u32, b.entries, 5));
	cr_expect(eq(u64, b.bytes, 500));
	cr_expect(eq(u64, b.time_min, 1700000003500000000));
	cr_expect(eq(u64, b.time_max, 1700000006000000000));
	cr_expect(eq(i64, b.mono_offset, -1004));
	cr_expect(not(b.recovered));
	cr_expect(id_equal(&b.journal, &close.journal));
	cr_expect(id_equal(&b.boot, &c.boot));
}

Test(format, the_message_is_what_the_seal_signs)
{
	char want[1024], message[SEAL_MESSAGE_SIZE_MAX];
	size_t n = block("text", "message", want, sizeof want);
	struct frame f;
	struct history *h = read_golden(&f);
	ssize_t size = history_seal_message(h, f.payload, f.size - KES_SIGMA_SIZE, message);

	cr_assert(eq(i64, size, (ssize_t) n));
	cr_expect(eq(int, memcmp(message, want, n), 0));
	history_free(h);
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A statement has one encoding: what is encoded decodes to the same, and whatever else the decoders are given is refused.
 */

#include "seal/statement.h"

#include "tests/harness.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"
#include "seal/tree.h"

Suite(statement);

enum { LEAF_MAX = 4096 };

static struct field fields[FIELDS_MAX];
static uint8_t leaf[LEAF_MAX];

static struct field field(const char *name, const char *value)
{
	return (struct field){ (const uint8_t *) name, (const uint8_t *) value,
			       (uint32_t) strlen(value), (uint8_t) strlen(name) };
}

static const struct field some_fields[] = {
	{ (const uint8_t *) "A", (const uint8_t *) "", 0, 1 },
	{ (const uint8_t *) "A", (const uint8_t *) "1", 1, 1 },
	{ (const uint8_t *) "A", (const uint8_t *) "1", 1, 1 },
	{ (const uint8_t *) "AB", (const uint8_t *) "\0\n=", 3, 2 },
	{ (const uint8_t *) "\xff", (const uint8_t *) "last", 4, 1 },
};

static const uint8_t some_salt[SALT_SIZE] = "sixteen bytes ..";

static struct entry some_entry(void)
{
	return (struct entry){
		.time_ns = 0x0102030405060708,
		.received_ns = UINT64_MAX,
		.message = (const uint8_t *) "hello\0world",
		.message_len = 11,
		.fields = some_fields,
		.n_fields = ELEMENTS(some_fields),
		.context = { "context" },
		.priority = 7,
		.flags = ENTRY_CONTINUED | ENTRY_GAP,
	};
}

static void expect_same_fields(const struct field *a, const struct field *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cr_expect(eq(int, field_compare(&a[i], &b[i]), 0), "field %zu", i);
}

static size_t encode_entry(const struct entry *e)
{
	struct wr w = wr_of(leaf, sizeof leaf);

	entry_encode(e, some_salt, &w);
	cr_assert(not(w.bad));
	cr_assert(eq(sz, w.len, entry_leaf_size(e)));
	return w.len;
}

static int decode_entry(size_t n)
{
	uint8_t *exact = exact_copy(leaf, n), salt[SALT_SIZE];
	struct entry e;
	int r = entry_decode(rd_of(exact, n), fields, &e, salt);

	free(exact);
	return r;
}

/* Entries. */

Test(statement, an_entry_decodes_to_what_was_encoded)
{
	struct entry in = some_entry(), out;
	size_t n = encode_entry(&in);
	uint8_t salt[SALT_SIZE], again[LEAF_MAX];
	struct wr w = wr_of(again, sizeof again);

	cr_assert(eq(int, entry_decode(rd_of(leaf, n), fields, &out, salt), 0));
	cr_expect(eq(u64, out.time_ns, in.time_ns));
	cr_expect(eq(u64, out.received_ns, in.received_ns));
	cr_expect(eq(u32, out.message_len, in.message_len));
	cr_expect(eq(int, memcmp(out.message, in.message, in.message_len), 0));
	cr_expect(eq(u16, out.n_fields, in.n_fields));
	expect_same_fields(out.fields, in.fields, in.n_fields);
	cr_expect(hash_same(&out.context, &in.context));
	cr_expect(eq(u8, out.priority, in.priority));
	cr_expect(eq(u8, out.flags, in.flags));
	cr_expect(eq(int, memcmp(salt, some_salt, SALT_SIZE), 0));
	entry_encode(&out, salt, &w);
	cr_expect(eq(sz, w.len, n));
	cr_expect(eq(int, memcmp(again, leaf, n), 0));
}

Test(statement, the_smallest_entry_is_an_entry)
{
	struct entry in = { 0 }, out;
	uint8_t salt[SALT_SIZE];
	size_t n = encode_entry(&in);

	cr_expect(eq(sz, n, 2 + 2 + 8 + 8 + SALT_SIZE + HASH_SIZE + 4 + 2));
	cr_assert(eq(int, entry_decode(rd_of(leaf, n), fields, &out, salt), 0));
	cr_expect(eq(u32, out.message_len, 0));
	cr_expect(eq(u16, out.n_fields, 0));
	cr_expect(eq(sz, entry_bytes(&out), 0));
}

Test(statement, every_truncation_of_an_entry_is_refused)
{
	struct entry in = some_entry();
	size_t n = encode_entry(&in);

	for (size_t cut = 0; cut < n; cut++)
		cr_expect(eq(int, decode_entry(cut), BULLA_ETRUNCATED), "cut to %zu", cut);
	leaf[n] = 0;
	cr_expect(eq(int, decode_entry(n + 1), BULLA_ENOTCANON));
}

Test(statement, kinds_versions_priorities_and_flags_beyond_ours_are_refused)
{
	struct entry in = some_entry();
	size_t n = encode_entry(&in);

	for (unsigned v = 0; v < 256; v++) {
		leaf[0] = (uint8_t) v;
		cr_expect(eq(int, decode_entry(n), v == 'E' ? 0 : BULLA_EVERSION), "kind %u", v);
		leaf[0] = 'E';
		leaf[1] = (uint8_t) v;
		cr_expect(eq(int, decode_entry(n), v == 1 ? 0 : BULLA_EVERSION), "version %u", v);
		leaf[1] = 1;
		leaf[2] = (uint8_t) v;
		cr_expect(eq(int, decode_entry(n), v <= 7 ? 0 : BULLA_ENOTCANON), "priority %u", v);
		leaf[2] = 7;
		leaf[3] = (uint8_t) v;
		cr_expect(eq(int, decode_entry(n), v < 64 ? 0 : BULLA_ENOTCANON), "flags %u", v);
		leaf[3] = 0;
	}
}

Test(statement, a_refused_entry_leaves_the_result_alone)
{
	struct entry in = some_entry(), out = { .time_ns = 42 };
	uint8_t salt[SALT_SIZE] = { 42 };
	size_t n = encode_entry(&in);

	cr_expect(eq(int, entry_decode(rd_of(leaf, n - 1), fields, &out, salt), BULLA_ETRUNCATED));
	cr_expect(eq(u64, out.time_ns, 42));
	cr_expect(eq(u8, salt[0], 42));
}

/* Fields, tried in contexts, where nothing else is. */

static size_t encode_context(const struct field *f, uint16_t n)
{
	struct context c = { .parent = { "parent" }, .fields = f, .n_fields = n };
	struct wr w = wr_of(leaf, sizeof leaf);

	context_encode(&c, &w);
	cr_assert(not(w.bad));
	cr_assert(eq(sz, w.len, context_leaf_size(&c)));
	return w.len;
}

static int decode_context(size_t n)
{
	uint8_t *exact = exact_copy(leaf, n);
	struct context c;
	int r = context_decode(rd_of(exact, n), fields, &c);

	free(exact);
	return r;
}

Test(statement, a_context_decodes_to_what_was_encoded)
{
	size_t n = encode_context(some_fields, ELEMENTS(some_fields));
	struct context out;
	uint8_t again[LEAF_MAX];
	struct wr w = wr_of(again, sizeof again);

	cr_assert(eq(int, context_decode(rd_of(leaf, n), fields, &out), 0));
	cr_expect(eq(u16, out.n_fields, ELEMENTS(some_fields)));
	expect_same_fields(out.fields, some_fields, out.n_fields);
	context_encode(&out, &w);
	cr_expect(eq(sz, w.len, n));
	cr_expect(eq(int, memcmp(again, leaf, n), 0));
	for (size_t cut = 0; cut < n; cut++)
		cr_expect(eq(int, decode_context(cut), BULLA_ETRUNCATED), "cut to %zu", cut);
	cr_expect(eq(int, decode_context(n + 1), BULLA_ENOTCANON));
}

Test(statement, fields_out_of_order_are_refused_and_twins_are_not)
{
	const struct field order[][2] = {
		{ field("A", "1"), field("A", "2") }, { field("A", "1"), field("A", "11") },
		{ field("A", "2"), field("B", "1") }, { field("A", "2"), field("AA", "1") },
		{ field("A", ""), field("A", "1") },
	};

	for (size_t i = 0; i < ELEMENTS(order); i++) {
		struct field swapped[2] = { order[i][1], order[i][0] };

		cr_expect(lt(int, field_compare(&order[i][0], &order[i][1]), 0), "row %zu", i);
		cr_expect(gt(int, field_compare(&order[i][1], &order[i][0]), 0), "row %zu", i);
		cr_expect(eq(int, decode_context(encode_context(order[i], 2)), 0), "row %zu", i);
		cr_expect(eq(int, decode_context(encode_context(swapped, 2)), BULLA_ENOTCANON),
			  "row %zu", i);
		swapped[1] = swapped[0];
		cr_expect(eq(int, decode_context(encode_context(swapped, 2)), 0), "row %zu", i);
	}
}

Test(statement, names_without_bytes_or_with_unlawful_ones_are_refused)
{
	static const struct {
		uint8_t name[4];
		uint8_t len;
		int want;
	} rows[] = {
		{ "", 0, BULLA_ENOTCANON },
		{ "a\0b", 3, BULLA_ENOTCANON },
		{ "a=b", 3, BULLA_ENOTCANON },
		{ "=", 1, BULLA_ENOTCANON },
		{ "a b", 3, 0 },
		{ "\xff\x01", 2, 0 },
	};

	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct field f = { rows[i].name, (const uint8_t *) "v", 1, rows[i].len };

		cr_expect(eq(int, decode_context(encode_context(&f, 1)), rows[i].want), "row %zu",
			  i);
	}
}

/* A context of one field with a name of `len` bytes, which field.name_len could not even hold. */
static int decode_long_name(uint16_t len)
{
	struct wr w = wr_of(leaf, sizeof leaf);

	wr_u8(&w, 'C');
	wr_u8(&w, 1);
	memset(wr_reserve(&w, HASH_SIZE), 0, HASH_SIZE);
	wr_u16(&w, 1);
	wr_u16(&w, len);
	memset(wr_reserve(&w, len), 'n', len);
	wr_u32(&w, 0);
	return decode_context(w.len);
}

Test(statement, a_name_has_at_most_255_bytes)
{
	cr_expect(eq(int, decode_long_name(254), 0));
	cr_expect(eq(int, decode_long_name(255), 0));
	cr_expect(eq(int, decode_long_name(256), BULLA_ENOTCANON));
	cr_expect(eq(int, decode_long_name(257), BULLA_ENOTCANON));
	cr_expect(eq(int, decode_long_name(511), BULLA_ENOTCANON));
}

/* A context of `n` equal fields of `value_len` bytes each. */
static int decode_many(uint32_t n, uint32_t value_len)
{
	size_t size = 2 + HASH_SIZE + 2 + (size_t) n * (2 + 1 + 4 + value_len);
	uint8_t *bytes = calloc(1, size);
	struct wr w = wr_of(bytes, size);
	struct context c;
	int r;

	cr_assert(ne(ptr, bytes, NULL));
	wr_u8(&w, 'C');
	wr_u8(&w, 1);
	wr_reserve(&w, HASH_SIZE);
	wr_u16(&w, (uint16_t) n);
	for (uint32_t i = 0; i < n; i++) {
		wr_u16(&w, 1);
		wr_u8(&w, 'n');
		wr_u32(&w, value_len);
		wr_reserve(&w, value_len);
	}
	cr_assert(eq(sz, w.len, size));
	r = context_decode(rd_of(bytes, size), fields, &c);
	free(bytes);
	return r;
}

Test(statement, numbers_and_sizes_have_limits)
{
	const uint32_t fixed = 2 + HASH_SIZE + 2 + 2 + 1 + 4;

	cr_expect(eq(int, decode_many(FIELDS_MAX - 1, 0), 0));
	cr_expect(eq(int, decode_many(FIELDS_MAX, 0), 0));
	cr_expect(eq(int, decode_many(FIELDS_MAX + 1, 0), BULLA_ELIMIT));
	cr_expect(eq(int, decode_many(1, CONTEXT_SIZE_MAX - fixed), 0));
	cr_expect(eq(int, decode_many(1, CONTEXT_SIZE_MAX - fixed + 1), BULLA_ELIMIT));
}

Test(statement, a_context_beyond_its_limit_has_no_hash)
{
	uint8_t *value = calloc(1, CONTEXT_SIZE_MAX);
	const uint32_t fixed = 2 + HASH_SIZE + 2 + 2 + 1 + 4;
	struct field f = { (const uint8_t *) "n", value, CONTEXT_SIZE_MAX - fixed, 1 };
	struct context c = { .fields = &f, .n_fields = 1 };
	struct hash h;

	cr_expect(eq(int, context_hash(&c, &h), 0));
	f.value_len++;
	cr_expect(eq(int, context_hash(&c, &h), BULLA_ELIMIT));
	free(value);
}

Test(statement, an_entry_holds_at_most_four_mebibytes)
{
	for (int over = -1; over <= 1; over++) {
		struct field f = { (const uint8_t *) "name", (const uint8_t *) "12", 2, 4 };
		uint32_t len = (uint32_t) (ENTRY_SIZE_MAX - 6 + over);
		uint8_t *message = calloc(1, len), salt[SALT_SIZE], *bytes;
		struct entry e = { .message = message,
				   .message_len = len,
				   .fields = &f,
				   .n_fields = 1 },
			     out;
		size_t size = entry_leaf_size(&e);
		struct wr w;

		bytes = malloc(size);
		w = wr_of(bytes, size);
		cr_expect(eq(sz, entry_bytes(&e), (size_t) (ENTRY_SIZE_MAX + over)));
		entry_encode(&e, some_salt, &w);
		cr_assert(not(w.bad));
		cr_expect(eq(int, entry_decode(rd_of(bytes, size), fields, &out, salt),
			     over > 0 ? BULLA_ELIMIT : 0),
			  "%d over", over);
		free(message);
		free(bytes);
	}
}

/* Batches and commits. */

Test(statement, a_batch_decodes_to_what_was_encoded)
{
	struct batch in = {
		.journal = { "journal" },
		.batch_no = 1,
		.first_seq = 2,
		.entries = 3,
		.bytes = 4,
		.time_min = 5,
		.time_max = UINT64_MAX,
		.boot = { "boot" },
		.mono_offset = INT64_MIN,
		.root = { "root" },
		.recovered = true,
	};
	struct batch out;
	struct wr w = wr_of(leaf, sizeof leaf), again = wr_of(leaf + 1024, 1024);
	struct hash h, want;

	batch_encode(&in, &w);
	cr_assert(eq(sz, w.len, 119));
	cr_assert(eq(int, batch_decode(rd_of(leaf, w.len), &out), 0));
	batch_encode(&out, &again);
	cr_expect(eq(int, memcmp(leaf, leaf + 1024, w.len), 0));
	h = batch_leaf_hash(&in);
	want = tree_leaf(leaf, w.len);
	cr_expect(hash_same(&h, &want));
	batch_leaf_hashes(&in, 1, &h);
	cr_expect(hash_same(&h, &want));
	for (size_t cut = 0; cut < w.len; cut++)
		cr_expect(eq(int, batch_decode(rd_of(leaf, cut), &out), BULLA_ETRUNCATED));
	cr_expect(eq(int, batch_decode(rd_of(leaf, w.len + 1), &out), BULLA_ENOTCANON));
	for (unsigned flags = 0; flags < 256; flags++) {
		leaf[2] = (uint8_t) flags;
		cr_expect(eq(int, batch_decode(rd_of(leaf, w.len), &out),
			     flags <= 1 ? 0 : BULLA_ENOTCANON));
		if (flags <= 1)
			cr_expect(eq(int, out.recovered, flags == 1));
	}
	leaf[1] = 2;
	cr_expect(eq(int, batch_decode(rd_of(leaf, w.len), &out), BULLA_EVERSION));
}

Test(statement, a_commit_decodes_to_what_was_encoded)
{
	static uint8_t body[EVENT_SIZE_MAX + 1];
	struct event events[3] = { { EVENT_OPEN, 3, (const uint8_t *) "abc" },
				   { 200, 0, (const uint8_t *) "" },
				   { EVENT_PRUNE, EVENT_SIZE_MAX, body } };
	struct commit in = { .number = 1,
			     .time_ns = 2,
			     .boot = { "boot" },
			     .n_batches = 4,
			     .batches_root = { "root" },
			     .n_events = 3,
			     .events = events };
	struct event out_events[3];
	struct commit out;
	struct wr w = wr_of(leaf, 2048), again = wr_of(leaf + 2048, 2048);
	struct hash h, want;

	commit_encode(&in, &w);
	cr_assert(not(w.bad));
	cr_assert(eq(int, commit_decode(rd_of(leaf, w.len), out_events, 3, &out), 0));
	commit_encode(&out, &again);
	cr_expect(eq(sz, again.len, w.len));
	cr_expect(eq(int, memcmp(leaf, leaf + 2048, w.len), 0));
	cr_assert(eq(int, commit_leaf_hash(&in, &h), 0));
	want = tree_leaf(leaf, w.len);
	cr_expect(hash_same(&h, &want));
	for (size_t cut = 0; cut < w.len; cut++)
		cr_expect(eq(int, commit_decode(rd_of(leaf, cut), out_events, 3, &out),
			     BULLA_ETRUNCATED),
			  "cut to %zu", cut);
	cr_expect(eq(int, commit_decode(rd_of(leaf, w.len + 1), out_events, 3, &out),
		     BULLA_ENOTCANON));
	cr_expect(eq(int, commit_decode(rd_of(leaf, w.len), out_events, 2, &out), BULLA_ELIMIT));
	events[2].len++;
	w = wr_of(leaf, 2048);
	commit_encode(&in, &w);
	cr_expect(eq(int, commit_decode(rd_of(leaf, w.len), out_events, 3, &out), BULLA_ELIMIT));
}

/* Events: what they decode to, and that a byte less or more is no such event. */

#define EXPECT_EVENT(name, value)                                                            \
	do {                                                                                 \
		struct event_##name in = value, out;                                         \
		struct wr w = wr_of(leaf, 1024), again = wr_of(leaf + 1024, 1024);           \
		event_##name##_encode(&in, &w);                                              \
		struct event e = { 0, (uint16_t) w.len, leaf };                              \
		cr_assert(eq(int, event_##name##_decode(&e, &out), 0));                      \
		event_##name##_encode(&out, &again);                                         \
		cr_expect(eq(sz, again.len, w.len));                                         \
		cr_expect(eq(int, memcmp(leaf, leaf + 1024, w.len), 0));                     \
		for (e.len = 0; e.len < w.len; e.len++)                                      \
			cr_expect(eq(int, event_##name##_decode(&e, &out), BULLA_ENOTCANON), \
				  "cut to %u", e.len);                                       \
		e.len = (uint16_t) (w.len + 1);                                              \
		cr_expect(eq(int, event_##name##_decode(&e, &out), BULLA_ENOTCANON));        \
	} while (0)

Test(statement, events_decode_to_what_was_encoded)
{
	const struct event_genesis genesis = {
		4, 8, "key", 1, { "nonce" }, { "machine" }, (const uint8_t *) "host", 4
	};
	const struct event_up up = { true, { "boot" } };
	const struct event_open open = {
		{ "journal" }, { "identity" }, { "previous" }, { "seed" }
	};
	const struct event_close close = { { "journal" }, 1, 2 };
	const struct event_rekey rekey = { 4, 8, "key" };
	const struct event_prune prune = { { "journal" }, 7 };

	EXPECT_EVENT(genesis, genesis);
	EXPECT_EVENT(up, up);
	EXPECT_EVENT(open, open);
	EXPECT_EVENT(close, close);
	EXPECT_EVENT(rekey, rekey);
	EXPECT_EVENT(prune, prune);
}

Test(statement, an_up_event_is_clean_or_not_and_nothing_else)
{
	struct event_up up;

	for (unsigned v = 0; v < 256; v++) {
		leaf[0] = (uint8_t) v;
		cr_expect(eq(int, event_up_decode(&(struct event){ EVENT_UP, 17, leaf }, &up),
			     v <= 1 ? 0 : BULLA_ENOTCANON));
	}
}

/* Salts. */

Test(statement, salts_are_the_same_however_they_are_asked_for)
{
	static uint8_t whole[100 * SALT_SIZE], part[100 * SALT_SIZE];
	uint8_t seed[SEED_SIZE] = "seed", stream[100 * SALT_SIZE], key[32];
	static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
	struct salts s, other;

	salts_of(&s, seed, 5);
	salts_get(&s, 0, 100, whole);
	crypto_kdf_derive_from_key(key, sizeof key, 5, "bullsalt", seed);
	crypto_stream_chacha20(stream, sizeof stream, nonce, key);
	cr_expect(eq(int, memcmp(whole, stream, sizeof whole), 0));
	for (size_t first = 0; first < 20; first++)
		for (size_t n = 0; n <= 80; n++) {
			memset(part, 0xee, sizeof part);
			salts_get(&s, first, n, part);
			cr_expect(
				eq(int, memcmp(part, whole + first * SALT_SIZE, n * SALT_SIZE), 0),
				"%zu from %zu", n, first);
			cr_expect(eq(u8, part[n * SALT_SIZE], 0xee), "%zu from %zu", n, first);
		}
	salts_of(&other, seed, 6);
	salts_get(&other, 0, 1, part);
	cr_expect(ne(int, memcmp(part, whole, SALT_SIZE), 0));
}

Test(statement, a_seed_is_committed_to_for_its_journal_alone)
{
	const struct id journal = { "journal" }, other = { "another" };
	uint8_t seed[SEED_SIZE] = "seed", bytes[2 + ID_SIZE + SEED_SIZE] = { 'S', 1 };
	struct hash a = seed_commitment(&journal, seed), b = seed_commitment(&other, seed), want;

	memcpy(bytes + 2, journal.b, ID_SIZE);
	memcpy(bytes + 2 + ID_SIZE, seed, SEED_SIZE);
	want = tree_leaf(bytes, sizeof bytes);
	cr_expect(hash_same(&a, &want));
	cr_expect(not(hash_same(&a, &b)));
}

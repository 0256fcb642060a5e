/* SPDX-License-Identifier: Apache-2.0 */

/**
 * An entry has one row: what is encoded comes back, and nothing that an encoder would not have written is taken.
 */

#include "store/row.h"

#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"
#include "store/format.h"

Suite(row);

enum { ROOM = 1 << 16 };

static uint8_t bytes[ROOM];
static struct field got_fields[FIELDS_MAX];

static struct field field(const char *name, const char *value)
{
	return (struct field){ .name = (const uint8_t *) name,
			       .name_len = (uint8_t) strlen(name),
			       .value = (const uint8_t *) value,
			       .value_len = (uint32_t) strlen(value) };
}

static size_t encode_one(const struct entry *e, uint32_t context)
{
	struct row_state s = { 0 };
	struct wr w = wr_of(bytes, sizeof bytes);

	row_encode(&s, e, context, &w);
	cr_assert(not(w.bad));
	cr_assert(le(sz, w.len, row_size_max(e)));
	cr_assert(ge(sz, w.len, ROW_SIZE_MIN));
	return w.len;
}

/* Decode one row that lies alone on the heap. */
static int decode_alone(const uint8_t *p, size_t n, struct entry *ret, uint32_t *ret_context)
{
	struct row_state s = { 0 };
	uint8_t *alone = exact_copy(p, n);
	struct rd r = rd_of(alone, n);
	int k = row_decode(&s, &r, got_fields, ret, ret_context);

	free(alone);
	return k == 1 && r.left > 0 ? 2 : k;
}

static void expect_same(const struct entry *a, const struct entry *b)
{
	cr_expect(eq(u64, a->time_ns, b->time_ns));
	cr_expect(eq(u64, a->received_ns, b->received_ns));
	cr_expect(eq(u8, a->priority, b->priority));
	cr_expect(eq(u8, a->flags, b->flags));
	cr_assert(eq(u32, a->message_len, b->message_len));
	if (a->message_len > 0)
		cr_expect(eq(int, memcmp(a->message, b->message, a->message_len), 0));
	cr_assert(eq(u16, a->n_fields, b->n_fields));
	for (size_t i = 0; i < a->n_fields; i++)
		cr_expect(eq(int, field_compare(&a->fields[i], &b->fields[i]), 0), "field %zu", i);
}

static struct entry sample(void)
{
	static struct field fields[3];

	fields[0] = field("A", "");
	fields[1] = field("A", "1");
	fields[2] = field("CODE_FILE", "main.c");
	return (struct entry){ .time_ns = 1700000000123456789,
			       .received_ns = 1700000000123450000,
			       .message = (const uint8_t *) "hello\0world",
			       .message_len = 11,
			       .fields = fields,
			       .n_fields = 3,
			       .priority = 3,
			       .flags = ENTRY_CONTINUED | ENTRY_GAP };
}

Test(row, rows_follow_each_other)
{
	enum { N = 500 };
	static uint8_t messages[N][16];
	static struct entry in[N];
	struct row_state s = { 0 };
	struct wr w = wr_of(bytes, sizeof bytes);
	uint64_t seed = 4711;
	struct entry e;
	uint32_t context;
	struct rd r;

	for (uint32_t i = 0; i < N; i++) {
		random_fill(&seed, messages[i], sizeof messages[i]);
		in[i] = (struct entry){ .time_ns = random_u64(&seed),
					.received_ns = random_u64(&seed),
					.message = messages[i],
					.message_len = (uint32_t) (random_u64(&seed) % 17),
					.priority = (uint8_t) (random_u64(&seed) % 8) };
		if (i % 3 == 0)
			in[i].received_ns = in[i].time_ns;
		row_encode(&s, &in[i], i * 1000, &w);
	}
	cr_assert(not(w.bad));
	s = (struct row_state){ 0 };
	r = rd_of(bytes, w.len);
	for (uint32_t i = 0; i < N; i++) {
		cr_assert(eq(int, row_decode(&s, &r, got_fields, &e, &context), 1), "row %u", i);
		cr_expect(eq(u32, context, i * 1000));
		expect_same(&in[i], &e);
	}
	cr_expect(eq(int, row_decode(&s, &r, got_fields, &e, &context), 0));
}

Test(row, every_truncation_is_refused)
{
	struct entry e = sample(), got;
	size_t n = encode_one(&e, 5);
	uint32_t context;

	cr_assert(eq(int, decode_alone(bytes, n, &got, &context), 1));
	cr_expect(eq(u32, context, 5));
	for (size_t cut = 1; cut < n; cut++)
		cr_expect(eq(int, decode_alone(bytes, cut, &got, &context), BULLA_ECORRUPT),
			  "cut at %zu", cut);
	cr_expect(eq(int, decode_alone(bytes, 0, &got, &context), 0));
}

Test(row, what_decodes_encodes_to_the_same_bytes)
{
	struct entry e = sample(), got;
	size_t n = encode_one(&e, 5), taken = 0;
	uint8_t *flipped = exact_copy(bytes, n);
	uint32_t context;

	for (size_t bit = 0; bit < 8 * n; bit++) {
		struct row_state s = { 0 };
		struct rd r = rd_of(flipped, n);
		int k;

		flipped[bit / 8] ^= (uint8_t) (1 << bit % 8);
		k = row_decode(&s, &r, got_fields, &got, &context);
		if (k == 1) {
			size_t used = n - r.left;

			taken++;
			cr_expect(eq(sz, encode_one(&got, context), used), "bit %zu", bit);
			cr_expect(eq(int, memcmp(bytes, flipped, used), 0), "bit %zu", bit);
			cr_expect(row_is_lawful(&got), "bit %zu", bit);
		} else {
			cr_expect(eq(int, k, BULLA_ECORRUPT), "bit %zu", bit);
		}
		flipped[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	cr_expect(gt(sz, taken, 0), "no flip was taken: the test shows nothing");
	free(flipped);
}

/* What is not lawful, one row each; a row made of it in spite of that is not taken. */

static void make_unlawful(unsigned i, struct entry *e, struct field *f)
{
	memcpy(f, e->fields, 3 * sizeof *f);
	e->fields = f;
	switch (i) {
	case 0:
		e->flags |= ENTRY_RECOVERED;
		break;
	case 1:
		f[0] = field("B", "");
		break;
	case 2:
		f[1] = field("A=", "1");
		break;
	case 3:
		f[0].name_len = 0;
		break;
	case 4:
		f[1].name = (const uint8_t *) "A\0B";
		f[1].name_len = 3;
		break;
	default:
		e->flags = ENTRY_FLAGS_ALL + 1;
	}
}

Test(row, what_has_no_row_is_told_before)
{
	for (unsigned i = 0; i <= 5; i++) {
		struct entry e = sample();
		struct field f[3];

		cr_expect(row_is_lawful(&e));
		make_unlawful(i, &e, f);
		cr_expect(not(row_is_lawful(&e)), "case %u", i);
	}
}

static size_t raw_row(const struct entry *e, uint64_t mark, uint64_t n_fields)
{
	struct wr w = wr_of(bytes, sizeof bytes);

	wr_varint(&w, 0);
	wr_varint(&w, mark);
	wr_zigzag(&w, (int64_t) e->time_ns);
	wr_zigzag(&w, 0);
	wr_varint(&w, e->message_len);
	wr_bytes(&w, e->message, e->message_len);
	wr_varint(&w, n_fields);
	for (size_t i = 0; i < e->n_fields; i++) {
		wr_u8(&w, e->fields[i].name_len);
		wr_bytes(&w, e->fields[i].name, e->fields[i].name_len);
		wr_varint(&w, e->fields[i].value_len);
		wr_bytes(&w, e->fields[i].value, e->fields[i].value_len);
	}
	return w.len;
}

Test(row, what_no_encoder_writes_is_not_taken)
{
	struct entry got, whole = sample();
	uint32_t context;
	size_t n;

	n = raw_row(&whole, 6, 3);
	cr_assert(eq(int, decode_alone(bytes, n, &got, &context), 1));
	for (unsigned i = 0; i <= 5; i++) {
		struct entry e = sample();
		struct field f[3];

		make_unlawful(i, &e, f);
		n = raw_row(&e, (uint64_t) e.flags << 3 | e.priority, 3);
		cr_expect(eq(int, decode_alone(bytes, n, &got, &context), BULLA_ECORRUPT),
			  "case %u", i);
	}
	n = raw_row(&whole, (uint64_t) 0x100 << 3, 3);
	cr_expect(eq(int, decode_alone(bytes, n, &got, &context), BULLA_ECORRUPT), "flags");
	n = raw_row(&whole, 6, FIELDS_MAX + 1);
	cr_expect(eq(int, decode_alone(bytes, n, &got, &context), BULLA_ECORRUPT), "too many");
}

Test(row, the_size_limit_counts_names_and_values)
{
	enum { VALUE = ENTRY_SIZE_MAX - 10 };
	uint8_t *big = calloc(1, VALUE), *room = malloc(ENTRY_SIZE_MAX + 100);
	struct field f = { (const uint8_t *) "NAME", big, VALUE, 4 };
	struct entry got, e = { .message = big, .message_len = 6, .fields = &f, .n_fields = 1 };
	uint32_t context;

	cr_assert(big != NULL);
	cr_assert(room != NULL);
	for (uint32_t over = 0; over <= 1; over++) {
		struct row_state s = { 0 };
		struct wr w = wr_of(room, ENTRY_SIZE_MAX + 100);
		struct rd r;

		e.message_len = 6 + over;
		cr_expect(eq(int, row_is_lawful(&e), !over));
		row_encode(&s, &e, 0, &w);
		cr_assert(not(w.bad));
		s = (struct row_state){ 0 };
		r = rd_of(room, w.len);
		cr_expect(eq(int, row_decode(&s, &r, got_fields, &got, &context),
			     over ? BULLA_ECORRUPT : 1));
	}
	free(big);
	free(room);
}

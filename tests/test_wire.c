/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What both ends say to each other survives a round trip, and nothing else is taken for it.
 */

#include <string.h>

#include "bulla/error.h"
#include "forwarder/wire.h"
#include "tests/harness.h"

Suite(wire);

static const struct wire_batch sample = {
	.journal = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } },
	.batch_no = 0x0102030405060708,
	.contexts = 7,
	.seeds = 9,
	.flags = WIRE_BATCH_RECOVERED,
	.absent = ABSENT_DAMAGED,
};

static void encode(const struct wire_batch *b, uint8_t to[WIRE_BATCH_SIZE])
{
	struct wr w = wr_of(to, WIRE_BATCH_SIZE);

	wire_batch_encode(b, &w);
	cr_assert(not(w.bad));
	cr_assert(eq(sz, w.len, WIRE_BATCH_SIZE));
}

Test(wire, a_batch_survives)
{
	uint8_t bytes[WIRE_BATCH_SIZE], again[WIRE_BATCH_SIZE];
	struct wire_batch b;

	encode(&sample, bytes);
	cr_assert(eq(int, wire_batch_decode(bytes, sizeof bytes, &b), 0));
	encode(&b, again);
	cr_expect(eq(int, memcmp(bytes, again, sizeof bytes), 0));
}

Test(wire, every_truncation_is_refused)
{
	uint8_t bytes[WIRE_BATCH_SIZE + 1] = { 0 };
	struct wire_batch b;

	encode(&sample, bytes);
	for (size_t n = 0; n <= sizeof bytes; n++)
		if (n != WIRE_BATCH_SIZE)
			cr_expect(eq(int, wire_batch_decode(bytes, n, &b), BULLA_ECORRUPT),
				  "%zu bytes", n);
}

Test(wire, unknown_flags_and_reasons_are_refused)
{
	uint8_t bytes[WIRE_BATCH_SIZE];
	struct wire_batch b;

	for (unsigned v = 0; v < 256; v++) {
		encode(&sample, bytes);
		bytes[WIRE_BATCH_SIZE - 1] = (uint8_t) v;
		cr_expect(eq(int, wire_batch_decode(bytes, sizeof bytes, &b),
			     v <= ABSENT_QUOTA ? 0 : BULLA_ECORRUPT),
			  "reason %u", v);
		encode(&sample, bytes);
		bytes[WIRE_BATCH_SIZE - 2] = (uint8_t) v;
		cr_expect(eq(int, wire_batch_decode(bytes, sizeof bytes, &b),
			     v <= 3 ? 0 : BULLA_ECORRUPT),
			  "flags %u", v);
	}
}

static struct wire_head head_sample(void)
{
	struct wire_head h = { .received = 12, .durable = 11 };

	memset(h.root.b, 0xab, HASH_SIZE);
	strcpy(h.receipt, "a note\n\n\xe2\x80\x94 name AAAA\n");
	strcpy(h.key, "name+01234567+AAAA");
	return h;
}

Test(wire, a_head_survives)
{
	struct wire_head h = head_sample(), got;
	struct buf text = { 0 };

	wire_head_write(&h, &text);
	cr_assert(not(text.bad));
	cr_assert(eq(int, wire_head_parse((char *) text.data, text.len, &got), 0));
	cr_expect(eq(u64, got.received, 12));
	cr_expect(eq(u64, got.durable, 11));
	cr_expect(eq(int, memcmp(&got.root, &h.root, HASH_SIZE), 0));
	cr_expect(eq(str, got.receipt, h.receipt));
	cr_expect(eq(str, got.key, h.key));
	buf_done(&text);
}

Test(wire, a_head_cut_short_is_none)
{
	struct wire_head h = head_sample(), got;
	struct buf text = { 0 };

	wire_head_write(&h, &text);
	/* The last byte is the newline. */
	for (size_t n = 0; n + 1 < text.len; n++)
		cr_expect(eq(int, wire_head_parse((char *) text.data, n, &got), BULLA_EPARSE),
			  "%zu bytes", n);
	buf_done(&text);
}

struct bad_head {
	char text[256];
};

#define ROOT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

ParameterizedTestParameters(wire, what_is_no_head)
{
	static struct bad_head cases[] = {
		{ "" },
		{ "[]" },
		{ "{}" },
		{ "{\"received\":-1,\"durable\":0,\"root\":\"" ROOT
		  "\",\"receipt\":\"\",\"key\":\"\"}" },
		{ "{\"received\":1,\"durable\":2,\"root\":\"" ROOT
		  "\",\"receipt\":\"\",\"key\":\"\"}" },
		{ "{\"received\":1.5,\"durable\":1,\"root\":\"" ROOT
		  "\",\"receipt\":\"\",\"key\":\"\"}" },
		{ "{\"received\":1,\"durable\":1,\"root\":\"00\",\"receipt\":\"\",\"key\":\"\"}" },
		{ "{\"received\":1,\"durable\":1,\"root\":\"" ROOT
		  "00\",\"receipt\":\"\",\"key\":\"\"}" },
		{ "{\"received\":1,\"durable\":1,\"root\":\"" ROOT
		  "\",\"receipt\":7,\"key\":\"\"}" },
		{ "{\"received\":1,\"durable\":1,\"root\":\"" ROOT "\",\"receipt\":\"\"}" },
		{ "{\"received\":1,\"received\":1,\"durable\":1,\"root\":\"" ROOT
		  "\",\"receipt\":\"\",\"key\":\"\"}" },
	};

	return cr_make_param_array(struct bad_head, cases, ELEMENTS(cases));
}

ParameterizedTest(struct bad_head *c, wire, what_is_no_head)
{
	struct wire_head h;

	cr_expect(eq(int, wire_head_parse(c->text, strlen(c->text), &h), BULLA_EPARSE), "%s",
		  c->text);
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: wire_batch_decode(), wire_head_parse().
 *
 * A batch has one encoding.  What is read of a head is written and read again the same.
 */

#include "fuzz/fuzz.h"

#include <string.h>

#include "forwarder/wire.h"

static void batch(const uint8_t *data, size_t size)
{
	uint8_t again[WIRE_BATCH_SIZE];
	struct wr w = wr_of(again, sizeof again);
	struct wire_batch b;

	if (wire_batch_decode(data, size, &b) < 0)
		return;
	wire_batch_encode(&b, &w);
	assert(!w.bad && w.len == size && memcmp(again, data, size) == 0);
}

static void head(const uint8_t *data, size_t size)
{
	struct wire_head h, again;
	struct buf text = { 0 };

	if (wire_head_parse((const char *) data, size, &h) < 0)
		return;
	assert(h.durable <= h.received);
	wire_head_write(&h, &text);
	assert(!text.bad);
	assert(wire_head_parse((const char *) text.data, text.len, &again) == 0);
	assert(again.received == h.received && again.durable == h.durable);
	assert(strcmp(again.receipt, h.receipt) == 0 && strcmp(again.key, h.key) == 0);
	buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		batch(data + 1, size - 1);
	else
		head(data + 1, size - 1);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: receiver_frame(), receiver_accept(), receiver_compare().
 *
 * The input is frames without checksums, so that content is reached: u8 type, u16 size, payload; 0x80 in the type is for a
 * frame out of a rest, 0x40 for one that was verified before.  Whatever comes, a refusal leaves the history as it was, and an
 * offered commit is the next one; of a batch without rows everything is known all the same.
 */

#include "fuzz/fuzz.h"

#include "base/bytes.h"
#include "forwarder/receive.h"

static void check_batches(const struct received *c, unsigned how)
{
	for (size_t i = 0; i < c->n_batches; i++) {
		const struct received_batch *b = &c->batches[i];

		assert(b->entries > 0 && b->contexts);
		assert(b->absent == ABSENT_NOT || b->n_rows == 0);
		assert(b->n_rows > 0 || b->absent != ABSENT_NOT || how & RECEIVE_PACKED);
		assert(b->absent != ABSENT_NOT || b->contexts->n > 0);
	}
}

static void take(struct receiver *r, const struct frame *f, uint64_t offset, unsigned how)
{
	uint64_t before = history_size(receiver_history(r));
	struct received c;
	int k = receiver_frame(r, f, offset, how, &c);

	assert(history_size(receiver_history(r)) == before);
	if (k == 1) {
		assert(c.number == before);
		check_batches(&c, how);
		assert(receiver_accept(r) == 0);
		assert(history_size(receiver_history(r)) == before + 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct receiver *r = receiver_new();
	struct rd rd = rd_of(data, size);
	uint64_t offset = 0;

	assert(r);
	while (rd.left > 0) {
		uint8_t type = rd_u8(&rd);
		unsigned how = (type & 0x40 ? RECEIVE_OWN : RECEIVE_VERIFY) |
			       (type & 0x80 ? RECEIVE_PACKED : RECEIVE_VERIFY);
		struct frame f;

		f.type = type & 0x3f;
		f.size = rd_u16(&rd);
		if (f.size > rd.left)
			f.size = (uint32_t) rd.left;
		f.payload = rd_bytes(&rd, f.size);
		if (rd.bad)
			break;
		if (f.type == WIRE_COMMIT)
			assert(receiver_compare(r, f.payload, f.size) <= 1);
		take(r, &f, offset, how);
		offset += frame_space(f.size);
	}
	receiver_free(r);
	return 0;
}

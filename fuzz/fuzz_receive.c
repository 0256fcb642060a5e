/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: receiver_frame(), receiver_accept(), receiver_compare().
 *
 * The input is frames without checksums, so that content is reached: u8 type, u16 size, payload.  Whatever comes, a refusal
 * leaves the history as it was, and an offered commit is the next one.
 */

#include "fuzz/fuzz.h"

#include "base/bytes.h"
#include "forwarder/receive.h"

static void take(struct receiver *r, const struct frame *f, uint64_t offset)
{
	uint64_t before = history_size(receiver_history(r));
	struct received c;
	int k = receiver_frame(r, f, offset, RECEIVE_VERIFY, &c);

	assert(history_size(receiver_history(r)) == before);
	if (k == 1) {
		assert(c.number == before);
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
		struct frame f;

		f.type = rd_u8(&rd);
		f.size = rd_u16(&rd);
		if (f.size > rd.left)
			f.size = (uint32_t) rd.left;
		f.payload = rd_bytes(&rd, f.size);
		if (rd.bad)
			break;
		if (f.type == WIRE_COMMIT)
			assert(receiver_compare(r, f.payload, f.size) <= 1);
		take(r, &f, offset);
		offset += frame_space(f.size);
	}
	receiver_free(r);
	return 0;
}

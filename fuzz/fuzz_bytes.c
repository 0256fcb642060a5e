/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: the cursors.
 *
 * A number has one encoding: the bytes of every varint that is read are the bytes that are written
 * for it.  Reads never pass the end, errors stick, and a writer that is one byte short writes
 * nothing.
 */

#include <string.h>

#include "base/bytes.h"
#include "fuzz/fuzz.h"

static void check_varint(const uint8_t *read, size_t n, uint64_t v, int64_t zigzag)
{
	uint8_t at[VARINT_SIZE_MAX] = { 0 };
	struct wr w = wr_of(at, sizeof at);

	assert(n > 0 && n <= VARINT_SIZE_MAX);
	wr_varint(&w, v);
	assert(!w.bad && w.len == n);
	assert(memcmp(at, read, n) == 0);
	w = wr_of(at, sizeof at);
	wr_zigzag(&w, zigzag);
	assert(!w.bad && w.len == n);
	assert(memcmp(at, read, n) == 0);
	w = wr_of(at, n - 1);
	wr_varint(&w, v);
	assert(w.bad && w.len == 0);
}

static void check_latched(struct rd r)
{
	uint8_t to[4] = { 1, 1, 1, 1 };

	assert(r.bad);
	assert(rd_u8(&r) == 0 && rd_u16(&r) == 0 && rd_u32(&r) == 0 && rd_u64(&r) == 0);
	assert(rd_varint(&r) == 0 && rd_zigzag(&r) == 0 && rd_bytes(&r, 0) == NULL);
	rd_copy(&r, to, sizeof to);
	assert(to[0] == 0 && to[3] == 0);
	assert(r.bad);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_of(data, size);

	while (r.left > 0) {
		const uint8_t *before = r.p;
		struct rd twin = r;
		uint64_t v = rd_varint(&r);

		assert(r.p + r.left == data + size);
		if (r.bad) {
			assert(v == 0);
			check_latched(r);
			return 0;
		}
		check_varint(before, (size_t) (r.p - before), v, rd_zigzag(&twin));
		assert(!twin.bad && twin.p == r.p);
		/* A number is also a length, as in the formats. */
		if (v % 8 == 7 && !rd_bytes(&r, (size_t) v)) {
			check_latched(r);
			return 0;
		}
	}
	return 0;
}

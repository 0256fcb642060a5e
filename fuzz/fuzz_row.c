/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: row_decode(), row_encode(), row_is_lawful(), row_size_max().
 *
 * Rows that decode are lawful, and encode to the very bytes that were read: an entry has one row.
 */

#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"
#include "fuzz/fuzz.h"
#include "store/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct field fields[FIELDS_MAX];
	struct row_state from = { 0 }, to = { 0 };
	struct rd r = rd_of(data, size);
	uint32_t context;
	struct entry e;
	int k;

	for (;;) {
		const uint8_t *before = r.p;
		uint8_t *again;
		struct wr w;
		size_t used;

		k = row_decode(&from, &r, fields, &e, &context);
		if (k <= 0)
			break;
		used = (size_t) (r.p - before);
		assert(row_is_lawful(&e));
		assert(used <= row_size_max(&e));
		again = malloc(row_size_max(&e));
		assert(again);
		w = wr_of(again, row_size_max(&e));
		row_encode(&to, &e, context, &w);
		assert(!w.bad && w.len == used);
		assert(memcmp(again, before, used) == 0);
		free(again);
	}
	assert(k == BULLA_ECORRUPT || (k == 0 && r.left == 0));
	return 0;
}

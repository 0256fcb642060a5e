/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: entry_proof_read(), entry_proof_check(), proof_next().
 *
 * A file that is read is written again as the very bytes that were read, and all that it points to can be gone through.  Under a
 * key that nobody has, none is good.
 */

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bulla/error.h"
#include "fuzz/fuzz.h"
#include "seal/proof.h"

static size_t count(struct span statements)
{
	struct rd r = rd_of(statements.p, statements.n);
	struct span s;
	size_t n = 0, bytes = 0;

	while (proof_next(&r, &s)) {
		n++;
		bytes += s.n;
	}
	assert(!r.bad && bytes <= statements.n);
	return n;
}

FUZZ_HAS_ENTRANCE;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct kes_params shape = { 4, 8 };
	struct entry_proof *p = malloc(sizeof *p);
	struct buf memory = { 0 }, again = { 0 };
	const char *why = NULL;
	struct proved proved;
	struct vkey pin = { 0 };
	int r;

	assert(p);
	r = entry_proof_read((const char *) data, size, &memory, p);
	assert(r == 0 || r == BULLA_EPARSE || r == BULLA_ELIMIT);
	if (r == 0) {
		fuzz_count_let_in();
		entry_proof_write(p, &again);
		assert(again.len == size && memcmp(again.data, data, size) == 0);
		assert(count(p->entries) == p->n_entries && count(p->contexts) == p->n_contexts);
		pin.origin = p->origin;
		r = entry_proof_check(p, &pin, &shape, &proved, &why);
		assert(r == BULLA_ETAMPERED && why);
	}
	buf_done(&memory);
	buf_done(&again);
	free(p);
	return 0;
}

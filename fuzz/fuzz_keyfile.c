/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: kes_load() and what may be done with whatever it accepts; keyfile_open() above it.
 *
 * A state that loads is saved again as the very bytes that were read, and lives on like an honest one: it renews, signs,
 * and ends.  A file that opens is saved to two equal slots that open again.  The first byte picks state or file; for a file
 * it makes the sums right.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bulla/error.h"
#include "fuzz/fuzz.h"
#include "seal/keyfile.h"

enum { SLOT = 4096, LIFE = 6 };

static void live_on(struct kes *k)
{
	uint8_t sigma[KES_SIGMA_SIZE];

	/* Growing large trees for each input teaches the engine nothing. */
	if (k->params.height > 3)
		return;
	for (int i = 0; i < LIFE && !kes_exhausted(k); i++) {
		if (kes_needs_renewal(k)) {
			if (!k->pending)
				kes_renew(k);
			kes_certify(k);
		}
		assert(!kes_needs_renewal(k));
		if (i % 2)
			kes_skip(k);
		else
			kes_sign(k, "", 0, sigma);
	}
}

static void try_state(const uint8_t *data, size_t size)
{
	struct kes *k = kes_new();
	struct rd r = rd_of(data, size);

	assert(k);
	if (kes_load(k, &r) == 0) {
		uint8_t again[KES_STATE_SIZE_MAX];
		struct wr w = wr_of(again, sizeof again);

		kes_save(k, &w);
		assert(!w.bad);
		assert(w.len == size - r.left && memcmp(again, data, w.len) == 0);
		live_on(k);
	}
	kes_free(k);
}

/* A file in memory: two slots out of the input, their sums made right. */
static int memory_file(const uint8_t *data, size_t size)
{
	uint8_t *bytes = calloc(2, SLOT);
	int fd = memfd_create("key", MFD_CLOEXEC);
	ssize_t written;

	assert(bytes && fd >= 0);
	for (size_t i = 0; i < 2; i++) {
		size_t n = size < SLOT ? size : SLOT;
		struct hash sum;

		if (n > 0)
			memcpy(bytes + i * SLOT, data, n);
		sum = sha256(bytes + i * SLOT, SLOT - HASH_SIZE);
		memcpy(bytes + (i + 1) * SLOT - HASH_SIZE, sum.b, HASH_SIZE);
		data += n;
		size -= n;
	}
	written = pwrite(fd, bytes, 2 * SLOT, 0);
	assert(written == 2 * SLOT);
	free(bytes);
	return fd;
}

static void expect_equal_slots(int fd)
{
	uint8_t slots[2 * SLOT];
	ssize_t n = pread(fd, slots, sizeof slots, 0);

	assert(n == (ssize_t) sizeof slots);
	assert(memcmp(slots, slots + SLOT, SLOT) == 0);
}

static void try_file(const uint8_t *data, size_t size)
{
	int fd = memory_file(data, size), r;
	struct keyfile f = { .fd = -1 }, again = { .fd = -1 };
	struct key_state s = { 0 }, same = { 0 };

	r = keyfile_open_fd(&f, fd, &s);
	assert(r == 0 || r == BULLA_ECORRUPT || r == BULLA_EVERSION);
	if (r == 0) {
		assert(s.key);
		r = keyfile_save(&f, &s);
		assert(r == 0);
		expect_equal_slots(fd);
		r = keyfile_open_fd(&again, fd, &same);
		assert(r == 0 && again.sequence == f.sequence);
		assert(same.key_first == s.key_first && id_equal(&same.origin, &s.origin));
		assert(!same.next == !s.next);
	}
	key_state_done(&s);
	key_state_done(&same);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		try_file(data + 1, size - 1);
	else
		try_state(data + 1, size - 1);
	return 0;
}

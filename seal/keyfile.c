/* SPDX-License-Identifier: Apache-2.0 */

#include "seal/keyfile.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"
#include "seal/sha256.h"

enum { SLOT_SIZE = 4096, BODY_SIZE = SLOT_SIZE - HASH_SIZE };

static const uint8_t magic[8] = "BULLAKY1";

void key_state_done(struct key_state *s)
{
	s->key = kes_free(s->key);
	s->next = kes_free(s->next);
}

/* A slot is built in locked memory: it is all secrets. */
static uint8_t *slot_build(uint64_t sequence, const struct key_state *s)
{
	uint8_t *slot = sodium_malloc(SLOT_SIZE);
	struct hash sum;
	struct wr w;

	if (!slot)
		return NULL;
	sodium_memzero(slot, SLOT_SIZE);
	w = wr_of(slot, BODY_SIZE);
	wr_bytes(&w, magic, sizeof magic);
	wr_u64(&w, sequence);
	wr_bytes(&w, s->origin.b, ID_SIZE);
	wr_u64(&w, s->key_first);
	kes_save(s->key, &w);
	wr_u8(&w, s->next != NULL);
	if (s->next)
		kes_save(s->next, &w);
	assert(!w.bad);
	sum = sha256(slot, BODY_SIZE);
	memcpy(slot + BODY_SIZE, sum.b, HASH_SIZE);
	return slot;
}

static int slot_parse(const uint8_t *slot, uint64_t *ret_sequence, struct key_state *ret)
{
	_cleanup_(kes_freep) struct kes *key = NULL, *next = NULL;
	struct rd r = rd_of(slot, BODY_SIZE);
	struct hash sum = sha256(slot, BODY_SIZE);
	int k;

	if (memcmp(sum.b, slot + BODY_SIZE, HASH_SIZE) != 0 ||
	    memcmp(rd_bytes(&r, 8), magic, 8) != 0)
		return BULLA_ECORRUPT;
	*ret_sequence = rd_u64(&r);
	rd_copy(&r, ret->origin.b, ID_SIZE);
	ret->key_first = rd_u64(&r);
	key = kes_new();
	if (!key)
		return -errno;
	k = kes_load(key, &r);
	if (k < 0)
		return k;
	if (rd_u8(&r) == 1) {
		next = kes_new();
		if (!next)
			return -errno;
		k = kes_load(next, &r);
		if (k < 0)
			return k;
	}
	ret->key = TAKE_PTR(key);
	ret->next = TAKE_PTR(next);
	return 0;
}

int keyfile_save(struct keyfile *f, const struct key_state *s)
{
	uint64_t sequence = f->sequence + 1;
	uint8_t *slot = slot_build(sequence, s);
	int r;

	if (!slot)
		return -ENOMEM;
	r = io_pwrite(f->fd, slot, SLOT_SIZE, (sequence % 2) * SLOT_SIZE);
	if (r >= 0)
		r = io_sync(f->fd);
	if (r >= 0)
		r = io_pwrite(f->fd, slot, SLOT_SIZE, ((sequence + 1) % 2) * SLOT_SIZE);
	sodium_free(slot);
	if (r >= 0)
		f->sequence = sequence;
	return r;
}

int keyfile_create(struct keyfile *f, int dirfd, const char *name, const struct key_state *s)
{
	int r;

	f->sequence = 0;
	f->fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->fd < 0)
		return -errno;
	r = io_preallocate(f->fd, 2 * SLOT_SIZE);
	if (r >= 0)
		r = keyfile_save(f, s);
	if (r >= 0)
		r = io_sync_dir(dirfd);
	if (r < 0) {
		keyfile_close(f);
		unlinkat(dirfd, name, 0);
	}
	return r;
}

int keyfile_open(struct keyfile *f, int dirfd, const char *name, struct key_state *ret)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct key_state best = { 0 };
	uint64_t best_sequence = 0;
	uint8_t *slot;
	int r = BULLA_ECORRUPT;

	if (fd < 0)
		return -errno;
	slot = sodium_malloc(SLOT_SIZE);
	if (!slot)
		return -ENOMEM;
	for (uint64_t i = 0; i < 2; i++) {
		struct key_state s = { 0 };
		uint64_t sequence;

		if (io_pread(fd, slot, SLOT_SIZE, i * SLOT_SIZE) != SLOT_SIZE ||
		    slot_parse(slot, &sequence, &s) < 0)
			continue;
		if (r < 0 || sequence > best_sequence) {
			key_state_done(&best);
			best = s;
			best_sequence = sequence;
			r = 0;
		} else {
			key_state_done(&s);
		}
	}
	sodium_free(slot);
	if (r < 0)
		return r;
	*ret = best;
	f->fd = TAKE_FD(fd);
	f->sequence = best_sequence;
	return 0;
}

void keyfile_close(struct keyfile *f)
{
	close_fd(&f->fd);
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "seal/keyfile.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"
#include "seal/sha256.h"

enum {
	SLOT_SIZE = 4096,
	BODY_SIZE = SLOT_SIZE - HASH_SIZE,
	STACK_USED = 4096, /* by hashing a slot; wiped */
};

static_assert(8 + 8 + ID_SIZE + 8 + 2 * KES_STATE_SIZE_MAX + 1 <= BODY_SIZE,
	      "a key and its successor fit");

static const uint8_t magic[8] = "BULLAKY1";

void key_state_done(struct key_state *s)
{
	s->key = kes_free(s->key);
	s->next = kes_free(s->next);
}

/* Move a state out of a variable that cleans up after itself. */
static struct key_state take_state(struct key_state *from)
{
	struct key_state s = *from;

	from->key = from->next = NULL;
	return s;
}

/* Room for a slot, which is all secrets: locked, or none.  sodium_malloc() keeps silent when it cannot lock. */
static uint8_t *slot_new(void)
{
	uint8_t *slot = sodium_init() < 0 ? NULL : sodium_malloc(SLOT_SIZE);

	if (!slot || sodium_mlock(slot, SLOT_SIZE) == 0)
		return slot;
	sodium_free(slot);
	return NULL;
}

static uint8_t *slot_build(uint64_t sequence, const struct key_state *s)
{
	uint8_t *slot = slot_new();
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
	sodium_stackzero(STACK_USED);
	memcpy(slot + BODY_SIZE, sum.b, HASH_SIZE);
	return slot;
}

static int load_key(struct rd *r, struct kes **ret)
{
	_cleanup_(kes_freep) struct kes *key = kes_new();
	int k;

	if (!key)
		return -errno;
	k = kes_load(key, r);
	if (k < 0)
		return k;
	*ret = TAKE_PTR(key);
	return 0;
}

static int slot_parse(const uint8_t *slot, uint64_t *ret_sequence, struct key_state *ret)
{
	_cleanup_(key_state_done) struct key_state s = { 0 };
	struct rd r = rd_of(slot, BODY_SIZE);
	struct hash sum = sha256(slot, BODY_SIZE);
	uint64_t sequence;
	uint8_t has_next;
	int k;

	sodium_stackzero(STACK_USED);
	if (memcmp(sum.b, slot + BODY_SIZE, HASH_SIZE) != 0)
		return BULLA_ECORRUPT;
	if (memcmp(rd_bytes(&r, sizeof magic), magic, sizeof magic) != 0)
		return BULLA_EVERSION;
	sequence = rd_u64(&r);
	rd_copy(&r, s.origin.b, ID_SIZE);
	s.key_first = rd_u64(&r);
	k = load_key(&r, &s.key);
	if (k < 0)
		return k;
	has_next = rd_u8(&r);
	k = has_next == 1 ? load_key(&r, &s.next) : 0;
	if (k < 0)
		return k;
	if (has_next > 1 || r.bad || !sodium_is_zero(r.p, r.left))
		return BULLA_ECORRUPT;
	*ret_sequence = sequence;
	*ret = take_state(&s);
	return 0;
}

/* A file is held by a lock for as long as it is open. */
static int lock(int fd)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return errno == EWOULDBLOCK ? -EBUSY : -errno;
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
	if (r >= 0)
		r = io_sync(f->fd);
	sodium_free(slot);
	if (r >= 0)
		f->sequence = sequence;
	return r;
}

/* Open the file's temporary name, ours alone: another founder may be renaming it at this moment. */
static int open_temporary(struct keyfile *f, int dirfd, const char *name)
{
	struct stat mine, there;
	int r;

	f->fd = openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->fd < 0)
		return -errno;
	r = lock(f->fd);
	if (r < 0)
		return r;
	if (fstat(f->fd, &mine) < 0 || fstatat(dirfd, name, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
	    mine.st_dev != there.st_dev || mine.st_ino != there.st_ino)
		return -EBUSY;
	return 0;
}

/* Give it its name unless there is such a file. */
static int publish(int dirfd, const char *temporary, const char *name)
{
	if (renameat2(dirfd, temporary, dirfd, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(dirfd, temporary, dirfd, name, 0) < 0 || unlinkat(dirfd, temporary, 0) < 0)
		return -errno;
	return 0;
}

int keyfile_create(struct keyfile *f, int dirfd, const char *name, const struct key_state *s)
{
	char temporary[NAME_MAX + 1];
	int n = snprintf(temporary, sizeof temporary, ".%s.new", name), r;

	assert(n > 0 && (size_t) n < sizeof temporary);
	f->sequence = 0;
	r = open_temporary(f, dirfd, temporary);
	if (r >= 0)
		r = io_preallocate(f->fd, 2 * SLOT_SIZE);
	if (r >= 0)
		r = keyfile_save(f, s);
	if (r >= 0)
		r = publish(dirfd, temporary, name);
	if (r >= 0)
		r = io_sync_dir(dirfd);
	if (r < 0)
		keyfile_close(f);
	return r;
}

/* Read both slots into `slot`, one after the other, and keep the newest whole one. */
static int read_newest(int fd, uint8_t *slot, uint64_t *ret_sequence, struct key_state *ret)
{
	_cleanup_(key_state_done) struct key_state best = { 0 };
	uint64_t best_sequence = 0;
	int worst = BULLA_ECORRUPT;

	for (uint64_t i = 0; i < 2; i++) {
		_cleanup_(key_state_done) struct key_state s = { 0 };
		uint64_t sequence;
		int r;

		if (io_pread(fd, slot, SLOT_SIZE, i * SLOT_SIZE) != SLOT_SIZE)
			continue;
		r = slot_parse(slot, &sequence, &s);
		/* A slot that we cannot take for want of memory may be the newer one. */
		if (r < 0 && r != BULLA_ECORRUPT && r != BULLA_EVERSION)
			return r;
		if (r == BULLA_EVERSION)
			worst = r;
		if (r < 0 || (best.key && sequence <= best_sequence))
			continue;
		key_state_done(&best);
		best = take_state(&s);
		best_sequence = sequence;
	}
	if (!best.key)
		return worst;
	*ret_sequence = best_sequence;
	*ret = take_state(&best);
	return 0;
}

int keyfile_open(struct keyfile *f, int dirfd, const char *name, struct key_state *ret)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0)
		return -errno;
	r = keyfile_open_fd(f, fd, ret);
	if (r >= 0)
		fd = -1;
	return r;
}

int keyfile_open_fd(struct keyfile *f, int fd, struct key_state *ret)
{
	uint8_t *slot;
	int r = lock(fd);

	if (r < 0)
		return r;
	slot = slot_new();
	if (!slot)
		return -ENOMEM;
	r = read_newest(fd, slot, &f->sequence, ret);
	sodium_free(slot);
	if (r < 0)
		return r;
	f->fd = fd;
	return 0;
}

void keyfile_close(struct keyfile *f)
{
	close_fd(&f->fd);
}

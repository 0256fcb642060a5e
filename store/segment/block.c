/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/block.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/io.h"
#include "bulla/error.h"
#include "store/segment/format.h"

enum { UNPACKERS_KEPT = 16 };

/*
 * Unpackers that nobody uses just now: making one costs as much as unpacking a hundred kilobytes, and every row group needs one.
 */
static struct {
	pthread_mutex_t lock;
	ZSTD_DCtx *idle[UNPACKERS_KEPT];
	unsigned n;
} unpackers = { .lock = PTHREAD_MUTEX_INITIALIZER };

static ZSTD_DCtx *take_unpacker(void)
{
	ZSTD_DCtx *d = NULL;

	pthread_mutex_lock(&unpackers.lock);
	if (unpackers.n > 0)
		d = unpackers.idle[--unpackers.n];
	pthread_mutex_unlock(&unpackers.lock);
	return d ? d : ZSTD_createDCtx();
}

static void give_unpacker(ZSTD_DCtx *d)
{
	pthread_mutex_lock(&unpackers.lock);
	if (d && unpackers.n < UNPACKERS_KEPT) {
		unpackers.idle[unpackers.n++] = d;
		d = NULL;
	}
	pthread_mutex_unlock(&unpackers.lock);
	ZSTD_freeDCtx(d);
}

void block_scratch_done(struct block_scratch *s)
{
	buf_done(&s->stored);
	give_unpacker(s->zstd);
	*s = (struct block_scratch){ 0 };
}

static int unpack(const struct block_ref *ref, struct block_scratch *scratch, uint8_t *to)
{
	const uint8_t *stored = scratch->stored.data;
	size_t n;

	/* The frame must not be asked for more than the directory says. */
	if (ZSTD_getFrameContentSize(stored, ref->stored) != ref->raw)
		return BULLA_ECORRUPT;
	if (!scratch->zstd)
		scratch->zstd = take_unpacker();
	if (!scratch->zstd)
		return -ENOMEM;
	n = ZSTD_decompressDCtx(scratch->zstd, to, ref->raw, stored, ref->stored);
	return ZSTD_isError(n) || n != ref->raw ? BULLA_ECORRUPT : 0;
}

int block_read(int fd, const struct block_ref *ref, struct block_scratch *scratch, uint8_t **ret)
{
	_cleanup_free_ uint8_t *raw = NULL;
	bool packed = ref->stored != ref->raw;
	uint8_t *stored;
	ssize_t n;
	int r;

	scratch->at = ref->offset;
	if (ref->raw > BLOCK_SIZE_MAX || ref->stored > ref->raw)
		return BULLA_ELIMIT;
	raw = malloc((size_t) ref->raw + BLOCK_SLACK);
	buf_clear(&scratch->stored);
	stored = packed ? buf_room(&scratch->stored, ref->stored) : raw;
	if (!raw || !stored)
		return -ENOMEM;
	n = io_pread(fd, stored, ref->stored, ref->offset);
	if (n < 0)
		return (int) n;
	if ((size_t) n != ref->stored)
		return BULLA_ETRUNCATED;
	if (crc32c(0, stored, ref->stored) != ref->crc)
		return BULLA_ECORRUPT;
	r = packed ? unpack(ref, scratch, raw) : 0;
	if (r < 0)
		return r;
	*ret = TAKE_PTR(raw);
	return 0;
}

struct block_ref block_ref_read(struct rd *r)
{
	struct block_ref ref = { .offset = rd_varint(r) };
	uint64_t stored = rd_varint(r), raw = rd_varint(r);

	ref.crc = rd_u32(r);
	ref.stored = (uint32_t) stored;
	ref.raw = (uint32_t) raw;
	r->bad |= raw > BLOCK_SIZE_MAX || stored > raw;
	return ref;
}

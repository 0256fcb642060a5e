/* SPDX-License-Identifier: Apache-2.0 */

#include "aggregator/lane.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "base/io.h"
#include "bulla/error.h"
#include "forwarder/wire.h"

uint64_t lane_object_size = 64 << 20;

unsigned lane_of(const struct id *origin)
{
	return origin->b[0] % LANES;
}

static void object_name(uint64_t seq, char ret[24])
{
	snprintf(ret, 24, "%020" PRIu64, seq);
}

/* Opening. */

struct scan {
	struct lane *lane;
	uint64_t seq;
	bool doubtful; /* damage has been stepped over in this object */
	lane_block_fn each;
	void *arg;
};

/* @return bytes of the block at `p`; 0 when there is no whole one; an error of the callback. */
static ssize_t scan_block(const struct scan *s, const uint8_t *base, size_t at, size_t n)
{
	struct lane_block b = { .seq = s->seq, .doubtful = s->doubtful };
	struct frame f;
	ssize_t head = frame_parse(base + at, n - at, LANE_BLOCK_SIZE, &f);
	uint32_t size;
	struct rd r;
	size_t end;
	int k;

	if (head <= 0 || f.type != LANE_BLOCK || f.size != LANE_BLOCK_SIZE)
		return 0;
	r = rd_of(f.payload, f.size);
	rd_copy(&r, b.origin.b, ID_SIZE);
	b.commit = rd_u64(&r);
	size = rd_u32(&r);
	end = at + (size_t) head;
	if (size > n - end)
		return 0;
	/* A block is there when its last frame is: check all of them. */
	for (size_t p = end; p < end + size;) {
		ssize_t k2 = frame_parse(base + p, end + size - p, WIRE_RECORD_MAX, &f);

		if (k2 <= 0)
			return 0;
		p += (size_t) k2;
	}
	b.frames = base + end;
	b.size = size;
	b.offset = end;
	k = s->each(s->arg, s->lane, &b);
	return k < 0 ? k : head + (ssize_t) size;
}

/*
 * Step over damage to what looks like a block.  It may be content of a damaged one, written there by whoever logs: what is
 * found from here on is doubtful.
 */
static size_t next_block(struct scan *s, const uint8_t *base, size_t at, size_t n)
{
	struct frame f;

	s->doubtful = true;
	for (at += FRAME_ALIGN; at + FRAME_HEADER_SIZE <= n; at += FRAME_ALIGN)
		if (frame_parse(base + at, n - at, LANE_BLOCK_SIZE, &f) > 0 && f.type == LANE_BLOCK)
			return at;
	return n;
}

/* @return where the last whole block of an object ends. */
static int64_t scan_object(struct scan *s, int fd)
{
	struct stat st;
	uint8_t *base;
	size_t at = 0, end = 0;
	ssize_t r = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size == 0)
		return 0;
	base = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	s->doubtful = false;
	while (at < (size_t) st.st_size && r >= 0) {
		r = scan_block(s, base, at, (size_t) st.st_size);
		if (r > 0)
			end = at += (size_t) r;
		else if (r == 0)
			at = next_block(s, base, at, (size_t) st.st_size);
	}
	munmap(base, (size_t) st.st_size);
	return r < 0 ? r : (int64_t) end;
}

static int open_next(struct lane *l)
{
	char name[24];

	object_name(l->seq, name);
	l->fd = objstore_open_next(l->prefix, name);
	l->end = 0;
	return l->fd < 0 ? l->fd : 0;
}

/* Published objects first, in order; then the one under way, whose torn end is cut off. */
static int scan_lane(struct lane *l, struct scan *s)
{
	char name[24];
	int64_t r;

	for (;; l->seq++) {
		_cleanup_close_ int fd = -1;

		object_name(l->seq, name);
		if (faccessat(l->prefix, name, F_OK, 0) < 0)
			break;
		fd = objstore_read(l->prefix, name);
		s->seq = l->seq;
		r = fd < 0 ? fd : scan_object(s, fd);
		if (r < 0)
			return (int) r;
		/* A crash may have left it both names. */
		r = objstore_publish(l->prefix, name);
		if (r < 0 && r != -ENOENT && r != -EEXIST)
			return (int) r;
	}
	r = open_next(l);
	if (r < 0)
		return (int) r;
	s->seq = l->seq;
	r = scan_object(s, l->fd);
	if (r < 0)
		return (int) r;
	l->end = (uint64_t) r;
	if (ftruncate(l->fd, r) < 0)
		return -errno;
	/* What a killed process had written may still be in memory only; from here on it counts as kept. */
	return io_sync(l->fd);
}

int lane_open(struct lane *l, struct objstore *store, unsigned number, lane_block_fn each,
	      void *arg)
{
	struct scan s = { .lane = l, .each = each, .arg = arg };
	char prefix[32];
	int fd;

	*l = (struct lane){ .number = number, .fd = -1, .prefix = -1 };
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->synced_more, NULL);
	fd = objstore_prefix(store, "lanes");
	if (fd < 0)
		return fd;
	close(fd);
	snprintf(prefix, sizeof prefix, "lanes/%02u", number);
	l->prefix = objstore_prefix(store, prefix);
	return l->prefix < 0 ? l->prefix : scan_lane(l, &s);
}

void lane_close(struct lane *l)
{
	close_fd(&l->fd);
	close_fd(&l->prefix);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->synced_more);
}

/* Writing. */

/* The object is full: make it durable, publish it, and go on with the next.  Called with the lock held. */
static int rotate(struct lane *l)
{
	char name[24];
	int r;

	while (l->syncing)
		pthread_cond_wait(&l->synced_more, &l->lock);
	/* Somebody else may have done it meanwhile. */
	if (l->failed < 0 || l->fd < 0 || l->end < lane_object_size)
		return l->failed;
	r = l->synced < l->written ? io_sync(l->fd) : 0;
	if (r < 0)
		return l->failed = r;
	l->synced = l->written;
	object_name(l->seq, name);
	r = objstore_publish(l->prefix, name);
	if (r < 0)
		return r;
	close_fd(&l->fd);
	l->seq++;
	return open_next(l);
}

/* Be where a block can be appended: in an object that is not full, at its end.  Called with the lock held. */
static int make_ready(struct lane *l)
{
	int r = l->failed;

	if (r >= 0 && l->torn) {
		r = ftruncate(l->fd, (off_t) l->end) < 0 ? -errno : 0;
		l->torn = r < 0;
	}
	if (r >= 0 && l->end >= lane_object_size)
		r = rotate(l);
	if (r >= 0 && l->fd < 0)
		r = open_next(l); /* there was no room for it before */
	return r;
}

int lane_append(struct lane *l, const struct id *origin, uint64_t commit, const uint8_t *frames,
		size_t size, uint64_t *ret_seq, uint64_t *ret_offset)
{
	uint8_t head[FRAME_HEADER_SIZE + LANE_BLOCK_SIZE + FRAME_ALIGN];
	struct wr w = wr_of(head + FRAME_HEADER_SIZE, LANE_BLOCK_SIZE);
	size_t space;
	int r;

	wr_bytes(&w, origin->b, ID_SIZE);
	wr_u64(&w, commit);
	wr_u32(&w, (uint32_t) size);
	space = frame_finish(head, LANE_BLOCK, LANE_BLOCK_SIZE);
	pthread_mutex_lock(&l->lock);
	r = make_ready(l);
	if (r >= 0) {
		r = io_pwrite(l->fd, head, space, l->end);
		if (r >= 0)
			r = io_pwrite(l->fd, frames, size, l->end + space);
		if (r < 0)
			l->torn = ftruncate(l->fd, (off_t) l->end) < 0;
	}
	if (r >= 0) {
		*ret_seq = l->seq;
		*ret_offset = l->end + space;
		l->end += space + size;
		l->written += space + size;
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}

/* Whoever comes first syncs for all that are there; the others wait for it. */
int lane_sync(struct lane *l)
{
	uint64_t want;
	int r = 0;

	pthread_mutex_lock(&l->lock);
	want = l->written;
	while (l->synced < want && r >= 0) {
		uint64_t upto;

		/* The kernel tells of a failure once; a second try would succeed with the data lost. */
		r = l->failed;
		if (r < 0)
			break;

		if (l->syncing) {
			pthread_cond_wait(&l->synced_more, &l->lock);
			continue;
		}
		l->syncing = true;
		upto = l->written;
		pthread_mutex_unlock(&l->lock);
		r = io_sync(l->fd);
		pthread_mutex_lock(&l->lock);
		l->syncing = false;
		if (r < 0)
			l->failed = r;
		else
			l->synced = MAX_OF(l->synced, upto);
		pthread_cond_broadcast(&l->synced_more);
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}

int lane_read(struct lane *l, uint64_t seq)
{
	char name[24];

	object_name(seq, name);
	return objstore_read(l->prefix, name);
}

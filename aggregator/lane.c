/* SPDX-License-Identifier: Apache-2.0 */

#include "aggregator/lane.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame.h"
#include "base/io.h"
#include "bulla/error.h"
#include "forwarder/wire.h"

uint64_t lane_object_size = 64 << 20;

unsigned lane_of(const struct id *origin)
{
	return origin->b[0] % LANES;
}

void lane_name(uint64_t seq, bool rest, char ret[LANE_NAME_SIZE])
{
	snprintf(ret, LANE_NAME_SIZE, "%020" PRIu64 "%s", seq, rest ? ".rest" : "");
}

/* Heads. */

void lane_head_encode(const struct lane_head *h, uint32_t type, uint8_t to[LANE_HEAD_SPACE])
{
	struct wr w = wr_of(to + FRAME_HEADER_SIZE, LANE_BLOCK_SIZE);

	wr_bytes(&w, h->origin.b, ID_SIZE);
	wr_u64(&w, h->commit);
	wr_u32(&w, h->size);
	frame_finish(to, type, LANE_BLOCK_SIZE);
}

bool lane_head_decode(const struct frame *f, struct lane_head *ret)
{
	struct rd r = rd_of(f->payload, f->size);

	if ((f->type != LANE_BLOCK && f->type != LANE_REST) || f->size != LANE_BLOCK_SIZE)
		return false;
	rd_copy(&r, ret->origin.b, ID_SIZE);
	ret->commit = rd_u64(&r);
	ret->size = rd_u32(&r);
	return true;
}

/* Opening. */

struct scan {
	struct lane *lane;
	uint64_t seq;
	bool rest;
	bool complete; /* this object has no end that a crash may have torn */
	bool doubtful; /* damage has been stepped over in this object */
	bool heads;    /* what is in a block is for the callback to look at */
	uint64_t end;  /* so many bytes of the object count */
	lane_block_fn each;
	void *arg;
};

/* @return bytes of the block at `p`; 0 when there is no whole one; an error of the callback. */
static ssize_t scan_block(const struct scan *s, const uint8_t *base, size_t at, size_t n)
{
	struct lane_block b = { .seq = s->seq, .rest = s->rest, .doubtful = s->doubtful };
	struct lane_head h;
	struct frame f;
	ssize_t head = frame_parse(base + at, n - at, LANE_BLOCK_SIZE, &f);
	size_t end;
	int k;

	if (head <= 0 || !lane_head_decode(&f, &h) || (f.type == LANE_REST) != s->rest)
		return 0;
	end = at + (size_t) head;
	if (h.size > n - end)
		return 0;
	/* A block is there when its last frame is: check all of them. */
	for (size_t p = end; !s->heads && p < end + h.size;) {
		ssize_t k2 = frame_parse(base + p, end + h.size - p, WIRE_RECORD_MAX, &f);

		if (k2 <= 0)
			return 0;
		p += (size_t) k2;
	}
	b.origin = h.origin;
	b.commit = h.commit;
	b.frames = base + end;
	b.size = h.size;
	b.offset = end;
	k = s->each(s->arg, s->lane, &b);
	return k < 0 ? k : head + (ssize_t) h.size;
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
		if (frame_parse(base + at, n - at, LANE_BLOCK_SIZE, &f) > 0 &&
		    f.type == (s->rest ? LANE_REST : LANE_BLOCK))
			return at;
	return n;
}

/* What is stepped over at `at` was a block. */
static int tell_damaged(const struct scan *s, const uint8_t *base, size_t at, size_t n,
			bool doubtful)
{
	struct lane_block b = {
		.seq = s->seq, .rest = s->rest, .doubtful = doubtful, .damaged = true, .offset = at
	};
	struct lane_head h = { 0 };
	struct frame f;

	b.nobodys = frame_parse(base + at, n - at, LANE_BLOCK_SIZE, &f) <= 0 ||
		    !lane_head_decode(&f, &h);
	b.origin = h.origin;
	b.commit = h.commit;
	return s->each(s->arg, s->lane, &b);
}

/* @return where the last whole block of an object ends. */
static int64_t scan_object(struct scan *s, int fd)
{
	struct stat st;
	uint8_t *base;
	size_t at = 0, end = 0, size;
	ssize_t r = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	size = (size_t) MIN_OF((uint64_t) st.st_size, s->end);
	if (size == 0)
		return 0;
	base = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	s->doubtful = false;
	while (at < size && r >= 0) {
		r = scan_block(s, base, at, size);
		if (r > 0)
			end = at += (size_t) r;
		else if (r == 0) {
			bool doubtful = s->doubtful;
			size_t from = at;

			at = next_block(s, base, at, size);
			if (s->complete || at < size)
				r = tell_damaged(s, base, from, size, doubtful);
		}
	}
	munmap(base, size);
	return r < 0 ? r : (int64_t) end;
}

static int open_next(struct lane *l)
{
	char name[LANE_NAME_SIZE];

	lane_name(l->seq, false, name);
	l->fd = objstore_open_next(l->prefix, name);
	l->end = 0;
	return l->fd < 0 ? l->fd : 0;
}

/* A complete object, or what is left of it.  @return 1; 0: there is neither; an error. */
static int scan_complete(struct lane *l, struct scan *s)
{
	_cleanup_close_ int fd = -1;
	char name[LANE_NAME_SIZE];
	int64_t r;

	s->seq = l->seq;
	s->complete = true;
	lane_name(l->seq, false, name);
	s->rest = !objstore_has(l->prefix, name);
	lane_name(l->seq, s->rest, name);
	if (s->rest && !objstore_has(l->prefix, name))
		return 0;
	fd = objstore_read(l->prefix, name);
	r = fd < 0 ? fd : scan_object(s, fd);
	if (r < 0)
		return (int) r;
	/* A crash may have left it both names. */
	r = objstore_publish(l->prefix, name);
	return r < 0 && r != -ENOENT && r != -EEXIST ? (int) r : 1;
}

/* Complete objects first, in order; then the one under way, whose torn end is cut off. */
static int scan_lane(struct lane *l, struct scan *s)
{
	int64_t r;

	while ((r = scan_complete(l, s)) > 0)
		l->seq++;
	if (r >= 0)
		r = open_next(l);
	if (r < 0)
		return (int) r;
	s->seq = l->seq;
	s->rest = s->complete = false;
	r = scan_object(s, l->fd);
	if (r < 0)
		return (int) r;
	l->end = (uint64_t) r;
	l->since = clock_monotonic_ns();
	if (ftruncate(l->fd, r) < 0)
		return -errno;
	/* What a killed process had written may still be in memory only; from here on it counts as kept. */
	return io_sync(l->fd);
}

int lane_open(struct lane *l, struct objstore *store, unsigned number, lane_block_fn each,
	      void *arg)
{
	struct scan s = { .lane = l, .end = UINT64_MAX, .each = each, .arg = arg };
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

/*
 * The object is full, or old: make it durable, publish it, and go on with the next, if it is still this one.  Called with the
 * lock held.
 */
static int rotate(struct lane *l, uint64_t seq)
{
	char name[LANE_NAME_SIZE];
	int r;

	while (l->syncing)
		pthread_cond_wait(&l->synced_more, &l->lock);
	/* Somebody else may have done it meanwhile. */
	if (l->failed < 0 || l->fd < 0 || l->seq != seq)
		return l->failed;
	r = l->synced < l->written ? io_sync(l->fd) : 0;
	if (r < 0)
		return l->failed = r;
	l->synced = l->written;
	lane_name(l->seq, false, name);
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
		r = rotate(l, l->seq);
	if (r >= 0 && l->fd < 0)
		r = open_next(l); /* there was no room for it before */
	return r;
}

int lane_append(struct lane *l, const struct id *origin, uint64_t commit, const uint8_t *frames,
		size_t size, uint64_t *ret_seq, uint64_t *ret_offset)
{
	uint8_t head[LANE_HEAD_SPACE];
	int r;

	lane_head_encode(&(struct lane_head){ *origin, commit, (uint32_t) size }, LANE_BLOCK, head);
	pthread_mutex_lock(&l->lock);
	r = make_ready(l);
	if (r >= 0) {
		r = io_pwrite(l->fd, head, sizeof head, l->end);
		if (r >= 0)
			r = io_pwrite(l->fd, frames, size, l->end + sizeof head);
		if (r < 0)
			l->torn = ftruncate(l->fd, (off_t) l->end) < 0;
	}
	if (r >= 0) {
		if (l->end == 0)
			l->since = clock_monotonic_ns();
		*ret_seq = l->seq;
		*ret_offset = l->end + sizeof head;
		l->end += sizeof head + size;
		l->written += sizeof head + size;
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

uint64_t lane_next(struct lane *l)
{
	uint64_t seq;

	pthread_mutex_lock(&l->lock);
	seq = l->seq;
	pthread_mutex_unlock(&l->lock);
	return seq;
}

int lane_rotate(struct lane *l, uint64_t age_ns)
{
	int r;

	pthread_mutex_lock(&l->lock);
	r = l->failed;
	if (r >= 0 && l->fd >= 0 && l->end > 0 && !l->torn &&
	    clock_monotonic_ns() - l->since >= age_ns)
		r = rotate(l, l->seq);
	pthread_mutex_unlock(&l->lock);
	return r;
}

/* How much of an object may be read: of the one under way what was appended whole. */
static uint64_t whole_part(struct lane *l, uint64_t seq)
{
	uint64_t end;

	pthread_mutex_lock(&l->lock);
	end = seq == l->seq ? l->end : UINT64_MAX;
	pthread_mutex_unlock(&l->lock);
	return end;
}

int lane_scan(struct lane *l, uint64_t seq, lane_block_fn each, void *arg)
{
	struct scan s = {
		.lane = l, .seq = seq, .complete = true, .heads = true, .each = each, .arg = arg
	};
	_cleanup_close_ int fd = -1;
	int64_t r;

	s.end = whole_part(l, seq);
	fd = lane_read(l, seq, false);
	if (fd == -ENOENT) {
		s.rest = true;
		fd = lane_read(l, seq, true);
	}
	r = fd < 0 ? fd : scan_object(&s, fd);
	return (int) MIN_OF(r, (int64_t) 0);
}

int lane_read(struct lane *l, uint64_t seq, bool rest)
{
	char name[LANE_NAME_SIZE];

	lane_name(seq, rest, name);
	return objstore_read(l->prefix, name);
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "seal/ledger.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/room.h"
#include "bulla/error.h"

/* A reserve of this size is kept behind the end, refilled when half of it is used. */
enum { LEDGER_RESERVE = 256 << 10 };

/* One that is begun, and has no name yet. */
#define LEDGER_UNFINISHED "next"

uint64_t ledger_file_size = 512 << 10;

void ledger_name(uint64_t first, char ret[LEDGER_NAME_SIZE])
{
	snprintf(ret, LEDGER_NAME_SIZE, "%020" PRIu64 ".ledger", first);
}

bool ledger_name_parse(const char *name, uint64_t *ret_first)
{
	char same[LEDGER_NAME_SIZE];
	uint64_t first;

	if (strlen(name) != LEDGER_NAME_SIZE - 1 ||
	    sscanf(name, "%20" SCNu64 ".ledger", &first) != 1)
		return false;
	ledger_name(first, same);
	if (strcmp(name, same) != 0)
		return false;
	*ret_first = first;
	return true;
}

/* Writing. */

/* Behind the end of the file: the next io_preallocate() finds those blocks its own.  Less of it is no failure. */
static void keep_more(const struct ledger *l)
{
	off_t size = lseek(l->fd, 0, SEEK_END);

	if (l->reserve > 0 && size >= 0)
		while (fallocate(l->fd, FALLOC_FL_KEEP_SIZE, size, (off_t) l->reserve) < 0)
			if (errno != EINTR)
				return;
}

void ledger_keep(struct ledger *l, uint64_t reserve)
{
	l->reserve = reserve;
	keep_more(l);
}

static int keep_reserve(struct ledger *l, size_t about_to_write)
{
	off_t size = lseek(l->fd, 0, SEEK_END);
	int r;

	if (size < 0)
		return -errno;
	if ((uint64_t) size >= l->end + about_to_write + LEDGER_RESERVE / 2)
		return 0;
	r = io_preallocate(l->fd, l->end + about_to_write + LEDGER_RESERVE);
	if (r >= 0) {
		keep_more(l);
		return 0;
	}
	if (r != -ENOSPC && r != -EDQUOT)
		return r;
	/* A full disk is no failure as long as this write has room, here or in the last of what is kept. */
	return (uint64_t) size >= l->end + about_to_write
		       ? 0
		       : io_preallocate(l->fd, l->end + about_to_write);
}

int ledger_append(struct ledger *l, enum ledger_record type, const void *record, size_t n)
{
	_cleanup_free_ uint8_t *frame = malloc(frame_space(n));
	size_t space;
	int r;

	assert(n <= LEDGER_RECORD_MAX);
	if (!frame)
		return -ENOMEM;
	memcpy(frame + FRAME_HEADER_SIZE, record, n);
	space = frame_finish(frame, type, (uint32_t) n);
	r = l->unsynced ? io_sync_dir(l->dirfd) : 0;
	l->unsynced = l->unsynced && r < 0;
	if (r >= 0)
		r = keep_reserve(l, space);
	if (r >= 0)
		r = io_pwrite(l->fd, frame, space, l->end);
	if (r >= 0)
		r = io_sync(l->fd);
	if (r >= 0) {
		l->last = l->end;
		l->end += space;
	}
	return r;
}

int ledger_create(struct ledger *l, int dirfd)
{
	_cleanup_buf_ struct buf header = { 0 };
	int r;

	*l = (struct ledger){ .dirfd = dirfd };
	l->fd = openat(dirfd, LEDGER_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		       0640);
	if (l->fd < 0)
		return -errno;
	frame_reader_init(&l->reader, l->fd, 0, LEDGER_RECORD_MAX);
	history_write_header(0, &header);
	r = header.bad ? -ENOMEM : ledger_append(l, LEDGER_HEADER, header.data, header.len);
	if (r >= 0)
		r = io_sync_dir(dirfd);
	if (r < 0) {
		ledger_close(l);
		unlinkat(dirfd, LEDGER_FILE, 0);
	}
	return r;
}

/* A file with its header and its reserve, under no name of a ledger's. */
static int begin_file(struct ledger *next, uint64_t first)
{
	_cleanup_buf_ struct buf header = { 0 };

	if (unlinkat(next->dirfd, LEDGER_UNFINISHED, 0) < 0 && errno != ENOENT)
		return -errno;
	next->fd = openat(next->dirfd, LEDGER_UNFINISHED,
			  O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (next->fd < 0)
		return -errno;
	history_write_header(first, &header);
	return header.bad ? -ENOMEM : ledger_append(next, LEDGER_HEADER, header.data, header.len);
}

void ledger_rotate(struct ledger *l, uint64_t next)
{
	struct ledger other = { .dirfd = l->dirfd, .fd = -1, .first = next };
	char name[LEDGER_NAME_SIZE];

	if (l->end < ledger_file_size || next <= l->first)
		return;
	ledger_name(next, name);
	if (begin_file(&other, next) < 0 ||
	    renameat(l->dirfd, LEDGER_UNFINISHED, l->dirfd, name) < 0) {
		ledger_close(&other);
		unlinkat(l->dirfd, LEDGER_UNFINISHED, 0);
		return;
	}
	other.unsynced = true;
	other.reserve = l->reserve;
	/* What the old one has kept is for the new one to keep. */
	if (ftruncate(l->fd, (off_t) l->end) == 0)
		keep_more(&other);
	ledger_close(l);
	*l = other;
}

/* Reading. */

int ledger_begin(struct ledger *l, int dirfd, int flags)
{
	int fd = io_open_regular(dirfd, LEDGER_FILE, flags);

	*l = (struct ledger){ .dirfd = dirfd, .fd = MAX_OF(fd, -1) };
	if (fd < 0)
		return fd;
	frame_reader_init(&l->reader, fd, 0, LEDGER_RECORD_MAX);
	return 0;
}

/* Where a file ends the next one may begin.  @return 1, 0, an error. */
static int next_file(struct ledger *l, const struct history *h, struct ledger_scan *scan)
{
	char name[LEDGER_NAME_SIZE];
	uint64_t first = history_size(h);
	int fd;

	if (first <= l->first)
		return 0;
	ledger_name(first, name);
	fd = io_open_regular(l->dirfd, name, fcntl(l->fd, F_GETFL) & O_ACCMODE);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	close_fd(&l->fd);
	frame_reader_done(&l->reader);
	l->fd = fd;
	l->first = first;
	l->last = l->end = scan->end = 0;
	frame_reader_init(&l->reader, l->fd, 0, LEDGER_RECORD_MAX);
	return 1;
}

/* All of a frame has been taken. */
static void frame_taken(struct ledger *l, struct ledger_scan *scan)
{
	l->last = scan->end;
	l->end = scan->end = l->reader.offset;
	scan->records++;
}

/* The next commit of the packed record at hand.  @return 1, 0 behind its last, an error. */
static int next_packed(struct ledger *l, struct history *h, enum history_check check,
		       struct ledger_scan *scan, struct ledger_read *ret)
{
	struct commit_record record;
	int r = packed_next(&l->packed, &record);

	if (r > 0) {
		*ret = (struct ledger_read){ .type = LEDGER_COMMIT };
		r = history_preview_record(h, &record, check, &ret->commit);
		return r < 0 ? r : 1;
	}
	l->in_packed = r < 0;
	if (r == 0)
		frame_taken(l, scan);
	return r;
}

/* @return 1 for a record to return, 0 for one that is dealt with, an error. */
static int take_frame(struct ledger *l, struct history *h, enum history_check check,
		      struct ledger_scan *scan, const struct frame *f, struct ledger_read *ret)
{
	int r;

	*ret = (struct ledger_read){ .type = f->type, .payload = f->payload, .size = f->size };
	if (scan->end == 0) {
		r = f->type == LEDGER_HEADER ? history_header(h, f->payload, f->size)
					     : BULLA_EVERSION;
		if (r >= 0)
			frame_taken(l, scan);
		return r;
	}
	switch (f->type) {
	case LEDGER_KEYS:
		r = history_keys(h, f->payload, f->size);
		break;
	case LEDGER_COMMIT:
		r = history_preview(h, f->payload, f->size, check, &ret->commit);
		break;
	case LEDGER_PACKED:
		r = packed_begin(&l->packed, f->payload, f->size);
		l->in_packed = r >= 0;
		return r;
	default:
		return BULLA_EVERSION;
	}
	if (r < 0)
		return r;
	frame_taken(l, scan);
	return 1;
}

/* Read on.  @return as ledger_next(), but 0 also for what is no record of a commit or keys. */
static int step(struct ledger *l, struct history *h, enum history_check check,
		struct ledger_scan *scan, struct ledger_read *ret, bool *ret_more)
{
	struct frame f;
	int r;

	*ret_more = true;
	if (l->in_packed)
		return next_packed(l, h, check, scan, ret);
	r = frame_reader_next(&l->reader, &f, NULL);
	if (r > 0)
		return take_frame(l, h, check, scan, &f, ret);
	*ret_more = false;
	if (r == BULLA_ETRUNCATED || r == BULLA_ECORRUPT || r == BULLA_ELIMIT) {
		scan->damaged_at = scan->end;
		return 0;
	}
	if (r == 0 && (r = next_file(l, h, scan)) > 0) {
		*ret_more = true;
		r = 0;
	}
	return r;
}

int ledger_next(struct ledger *l, struct history *h, enum history_check check,
		struct ledger_scan *scan, struct ledger_read *ret)
{
	bool more = true;
	int r = 0;

	scan->damaged_at = 0;
	scan->error = 0;
	while (r == 0 && more)
		r = step(l, h, check, scan, ret, &more);
	if (r < 0 && more)
		scan->error = r;
	return r;
}

int ledger_catch_up(struct ledger *l, struct history *h, enum history_check check,
		    ledger_commit_fn each, void *arg, struct ledger_scan *scan)
{
	struct ledger_read record;
	int r;

	while ((r = ledger_next(l, h, check, scan, &record)) > 0) {
		if (record.type != LEDGER_COMMIT)
			continue;
		history_commit_sealed(h);
		r = each ? each(arg, &record.commit) : 0;
		if (r < 0)
			return r;
	}
	if (!l->in_packed) {
		/* Who follows holds no memory meanwhile. */
		frame_reader_done(&l->reader);
		frame_reader_init(&l->reader, l->fd, scan->end, LEDGER_RECORD_MAX);
	}
	return r;
}

int ledger_open(struct ledger *l, int dirfd, int flags, struct history *h, enum history_check check,
		ledger_commit_fn each, void *arg, struct ledger_scan *ret)
{
	int r = ledger_begin(l, dirfd, flags);

	*ret = (struct ledger_scan){ 0 };
	if (r >= 0)
		r = ledger_catch_up(l, h, check, each, arg, ret);
	if (r < 0)
		ledger_close(l);
	return r;
}

static int compare_firsts(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

int64_t ledger_files(int dirfd, uint64_t **ret)
{
	_cleanup_closedir_ DIR *dir = NULL;
	_cleanup_free_ uint64_t *firsts = NULL;
	size_t n = 0, cap = 0;
	const struct dirent *e;
	int r = io_list_dir(dirfd, ".", &dir);

	if (r < 0)
		return r;
	while (errno = 0, (e = readdir(dir))) {
		if (!room_for(&firsts, n, &cap, sizeof *firsts))
			return -ENOMEM;
		n += ledger_name_parse(e->d_name, &firsts[n]);
	}
	if (errno != 0)
		return -errno;
	if (n > 1)
		qsort(firsts, n, sizeof *firsts, compare_firsts);
	*ret = TAKE_PTR(firsts);
	return (int64_t) n;
}

int ledger_has_beyond(const struct ledger *l, uint64_t commits)
{
	_cleanup_free_ uint64_t *firsts = NULL;
	int64_t n = ledger_files(l->dirfd, &firsts);

	return n < 0 ? (int) n : n > 0 && firsts[n - 1] > commits;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* Look at (and zero) all bytes from `offset` to the end of the file.  @return 1 if all were zero, 0 if not. */
static int scan_rest(int fd, uint64_t offset, bool zero)
{
	uint8_t part[4096];
	int clean = 1;

	for (;;) {
		ssize_t n = io_pread(fd, part, sizeof part, offset);

		if (n <= 0)
			return n < 0 ? (int) n : clean;
		if (!all_zero(part, (size_t) n)) {
			clean = 0;
			if (!zero)
				return 0;
			memset(part, 0, sizeof part);
			int r = io_pwrite(fd, part, (size_t) n, offset);

			if (r < 0)
				return r;
		}
		offset += (uint64_t) n;
	}
}

int ledger_trim(struct ledger *l)
{
	off_t size = lseek(l->fd, 0, SEEK_END);
	int r;

	if (size < 0)
		return -errno;
	if ((uint64_t) size > l->end + LEDGER_RESERVE &&
	    ftruncate(l->fd, (off_t) (l->end + LEDGER_RESERVE)) < 0)
		return -errno;
	r = scan_rest(l->fd, l->end, true);
	if (r >= 0)
		r = io_write_again(l->fd, l->last, l->end);
	return r < 0 ? r : io_sync(l->fd);
}

int ledger_is_blank(const struct ledger *l)
{
	return scan_rest(l->fd, frame_space(LEDGER_HEADER_SIZE), false);
}

void ledger_close(struct ledger *l)
{
	frame_reader_done(&l->reader);
	packed_done(&l->packed);
	l->in_packed = false;
	close_fd(&l->fd);
}

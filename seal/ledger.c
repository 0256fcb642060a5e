/* SPDX-License-Identifier: Apache-2.0 */

#include "seal/ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"

/* A reserve of this size is kept behind the end, refilled when half of it is used. */
enum { LEDGER_RESERVE = 256 << 10 };

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

	l->end = 0;
	l->fd = openat(dirfd, LEDGER_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		       0640);
	if (l->fd < 0)
		return -errno;
	history_write_header(&header);
	r = header.bad ? -ENOMEM : ledger_append(l, LEDGER_HEADER, header.data, header.len);
	if (r >= 0)
		r = io_sync_dir(dirfd);
	if (r < 0) {
		ledger_close(l);
		unlinkat(dirfd, LEDGER_FILE, 0);
	}
	return r;
}

static int take(struct history *h, const struct frame *f, bool first, enum history_check check,
		ledger_commit_fn each, void *arg)
{
	struct sealed_commit c;
	int r;

	if (first)
		return f->type == LEDGER_HEADER ? history_header(h, f->payload, f->size)
						: BULLA_EVERSION;
	switch (f->type) {
	case LEDGER_KEYS:
		return history_keys(h, f->payload, f->size);
	case LEDGER_COMMIT:
		r = history_commit(h, f->payload, f->size, check, &c);
		return r < 0 || !each ? r : each(arg, &c);
	default:
		return BULLA_EVERSION;
	}
}

int ledger_catch_up(struct ledger *l, struct history *h, enum history_check check,
		    ledger_commit_fn each, void *arg, struct ledger_scan *scan)
{
	struct frame_reader reader;
	struct frame f;
	int r;

	frame_reader_init(&reader, l->fd, scan->end, LEDGER_RECORD_MAX);
	scan->damaged_at = 0;
	scan->error = 0;
	while ((r = frame_reader_next(&reader, &f, NULL)) > 0) {
		r = take(h, &f, scan->end == 0, check, each, arg);
		if (r < 0) {
			scan->error = r;
			break;
		}
		l->last = scan->end;
		scan->end = reader.offset;
		scan->records++;
	}
	frame_reader_done(&reader);
	l->end = scan->end;
	if (scan->error == 0 &&
	    (r == BULLA_ETRUNCATED || r == BULLA_ECORRUPT || r == BULLA_ELIMIT)) {
		scan->damaged_at = scan->end;
		r = 0;
	}
	return r < 0 ? r : 0;
}

int ledger_open(struct ledger *l, int dirfd, int flags, struct history *h, enum history_check check,
		ledger_commit_fn each, void *arg, struct ledger_scan *ret)
{
	int r;

	*ret = (struct ledger_scan){ 0 };
	*l = (struct ledger){ .fd = openat(dirfd, LEDGER_FILE, flags | O_CLOEXEC | O_NOFOLLOW) };
	if (l->fd < 0)
		return -errno;
	r = ledger_catch_up(l, h, check, each, arg, ret);
	if (r < 0)
		ledger_close(l);
	return r;
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
	close_fd(&l->fd);
}

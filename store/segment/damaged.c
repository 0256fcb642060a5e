/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/damaged.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"
#include "store/segment/check.h"

enum { MARK_NAME_SIZE = SEGMENT_NAME_SIZE + sizeof SEGMENT_DAMAGED };

static void mark_name(const char *segment, char ret[MARK_NAME_SIZE])
{
	snprintf(ret, MARK_NAME_SIZE, "%s" SEGMENT_DAMAGED, segment);
}

int damaged_mark(int dirfd, struct segment_file *f, int error, uint64_t at)
{
	_cleanup_buf_ struct buf text = { 0 };
	char name[MARK_NAME_SIZE];
	int r;

	mark_name(f->name, name);
	buf_printf(&text, "%s: at byte %" PRIu64 ": %s\n", f->name, at, bulla_strerror(error));
	r = text.bad ? -ENOMEM : io_replace_file(dirfd, name, text.data, text.len, 0644);
	f->marked |= r >= 0;
	return r;
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* Whether a marked file was changed, or put there, after its mark. */
static bool is_stale(int dirfd, const struct segment_file *f)
{
	char name[MARK_NAME_SIZE];
	struct stat file, mark;

	mark_name(f->name, name);
	return fstatat(dirfd, name, &mark, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstatat(dirfd, f->name, &file, AT_SYMLINK_NOFOLLOW) == 0 &&
	       is_later(&file.st_ctim, &mark.st_mtim);
}

static int look_at(int dirfd, struct segment_file *f, damaged_fn told, void *arg)
{
	bool opened = f->error == 0;
	uint64_t at = opened ? f->segment.seeds_at : f->error_at;
	int r = opened ? f->segment.seeds_error : f->error;
	char name[MARK_NAME_SIZE];

	if (r == BULLA_EVERSION || (f->marked ? !is_stale(dirfd, f) : r == 0))
		return 0;
	if (r == 0)
		r = segment_check_content(&f->segment, &at);
	if (r == BULLA_EVERSION || (r < 0 && !segment_is_damage(r)))
		return r == -ENOMEM ? r : 0;
	if (r < 0) {
		int error = r;

		r = damaged_mark(dirfd, f, error, at);
		if (r >= 0)
			told(arg, f, error, at);
		/* Whoever has no room is about to make some. */
		return r == -ENOSPC || r == -EDQUOT ? 0 : r;
	}
	mark_name(f->name, name);
	if (unlinkat(dirfd, name, 0) < 0)
		return -errno;
	f->marked = false;
	told(arg, f, 0, 0);
	return 0;
}

/* The length of a segment's name whose mark this is, or 0. */
static size_t is_mark(const char *name)
{
	size_t n = strlen(name), end = STRLEN(SEGMENT_SUFFIX SEGMENT_DAMAGED);

	if (n < end || n >= MARK_NAME_SIZE ||
	    strcmp(name + n - end, SEGMENT_SUFFIX SEGMENT_DAMAGED) != 0)
		return 0;
	return n - STRLEN(SEGMENT_DAMAGED);
}

static int sweep(int dirfd)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;
	int r = io_list_dir(dirfd, ".", &dir);

	if (r < 0)
		return r;
	while (errno = 0, (e = readdir(dir)) != NULL) {
		char segment[MARK_NAME_SIZE];
		size_t n = is_mark(e->d_name);

		snprintf(segment, sizeof segment, "%.*s", (int) n, e->d_name);
		if (n > 0 && faccessat(dirfd, segment, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
		    errno == ENOENT && unlinkat(dirfd, e->d_name, 0) < 0)
			return -errno;
	}
	return -errno;
}

int damaged_look(int dirfd, struct segment_set *set, damaged_fn told, void *arg)
{
	int r = sweep(dirfd);

	for (uint32_t i = 0; r >= 0 && i < set->n; i++)
		r = look_at(dirfd, &set->files[i], told, arg);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "query/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bulla/error.h"

int follower_open(struct follower *f, struct local_catalog *catalog, const struct state *s)
{
	char path[64];

	*f = (struct follower){ .catalog = catalog,
				.inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK) };
	if (f->inotify < 0)
		return -errno;
	snprintf(path, sizeof path, "/proc/self/fd/%d", s->journals);
	if (inotify_add_watch(f->inotify, path, IN_MODIFY | IN_CREATE) < 0)
		return -errno;
	return 0;
}

void follower_close(struct follower *f)
{
	close_fd(&f->inotify);
	buf_done(&f->raw);
}

/* Read one tail to its end.  A frame that is not whole yet will be, and then the kernel tells again. */
static int catch_up(struct follower *f, uint32_t number, struct answer *a)
{
	struct local_journal *j = f->catalog->journals[number];
	const struct catalog_journal *cj = &f->catalog->catalog.journals[number];
	char name[TAIL_NAME_SIZE];
	struct tail_item item;
	int r;

	tail_name(&cj->id, name);
	j->tail.fd = openat(f->catalog->state->journals, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (j->tail.fd < 0)
		return errno == ENOENT ? 0 : -errno;
	j->tail.frames.fd = j->tail.fd;
	frame_reader_seek(&j->tail.frames, j->tail.frames.offset);
	while ((r = tail_reader_next(&j->tail, &item)) > 0) {
		struct rows_ref ref = { .offset = item.offset, .own_fields = true };

		if (item.type != TAIL_ROWS)
			continue;
		r = answer_rows(a, cj, &ref, &item.rows, &f->raw);
		if (r < 0 && r != BULLA_ECORRUPT)
			break;
	}
	close_fd(&j->tail.fd);
	frame_reader_done(&j->tail.frames);
	return r == BULLA_ETRUNCATED || r == BULLA_ECORRUPT ? 0 : MIN_OF(r, 0);
}

/* A journal that is new: all that its index already has. */
static int show_indexed(struct follower *f, uint32_t number, struct answer *a)
{
	const struct catalog *c = &f->catalog->catalog;
	const struct catalog_journal *j = &c->journals[number];
	_cleanup_buf_ struct buf frame = { 0 };

	for (size_t i = 0; i < j->rows->n; i++) {
		struct tail_rows rows;
		int r = c->read(c->arg, j, &j->rows->at[i], &frame, &rows);

		if (r >= 0)
			r = answer_rows(a, j, &j->rows->at[i], &rows, &f->raw);
		if (r < 0 && r != BULLA_ECORRUPT)
			return r;
	}
	return 0;
}

static int on_file(struct follower *f, const char *name, struct answer *a)
{
	struct id id;
	int64_t k;
	int r;

	if (tail_name_parse(name, &id) < 0)
		return 0;
	for (uint32_t i = 0; i < f->catalog->n; i++)
		if (id_equal(&f->catalog->catalog.journals[i].id, &id))
			return catch_up(f, i, a);
	k = local_catalog_take(f->catalog, &id);
	if (k < 0)
		return k == BULLA_ETRUNCATED || k == -ENOENT ? 0 : (int) k;
	r = show_indexed(f, (uint32_t) k, a);
	return r < 0 ? r : catch_up(f, (uint32_t) k, a);
}

static int catch_up_all(struct follower *f, struct answer *a)
{
	for (uint32_t i = 0; i < f->catalog->n; i++) {
		int r = catch_up(f, i, a);

		if (r < 0)
			return r;
	}
	return 0;
}

int follower_step(struct follower *f, struct answer *a)
{
	union {
		struct inotify_event event;
		char bytes[16 << 10];
	} u;
	int r;

	for (;;) {
		ssize_t n = read(f->inotify, u.bytes, sizeof u.bytes);
		char last[NAME_MAX + 1] = "";

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		for (char *p = u.bytes; p < u.bytes + n;) {
			const struct inotify_event *e = (const struct inotify_event *) (void *) p;

			p += sizeof *e + e->len;
			if (e->mask & IN_Q_OVERFLOW) {
				r = catch_up_all(f, a);
			} else if (e->len == 0 || strcmp(e->name, last) == 0) {
				continue; /* one read takes in what several writes told of */
			} else {
				strncpy(last, e->name, sizeof last - 1);
				r = on_file(f, e->name, a);
			}
			if (r < 0)
				return r;
		}
	}
}

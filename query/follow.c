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
	if (inotify_add_watch(f->inotify, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return -errno;
	return 0;
}

void follower_close(struct follower *f)
{
	close_fd(&f->inotify);
	buf_done(&f->raw);
}

/* Trouble of one frame or one tail, which is no reason to stop following the others. */
static bool is_local(int r)
{
	return r < 0 && r != -ENOMEM && r != -EMFILE && r != -ENFILE;
}

static int show_frame(struct follower *f, const struct catalog_journal *j,
		      const struct rows_ref *ref, const struct tail_rows *rows, struct answer *a)
{
	int r = answer_rows(a, j, ref, rows, &f->raw);

	if (r != BULLA_ECORRUPT)
		return MIN_OF(r, 0);
	a->stats.frames_damaged++;
	return 0;
}

/* Rows that were appended: shown unless others with their numbers were. */
static int show_appended(struct follower *f, uint32_t number, const struct tail_item *item,
			 struct answer *a)
{
	struct local_journal *j = f->catalog->journals[number];
	struct rows_ref ref = {
		.offset = item->offset,
		.space = (uint32_t) (j->tail.frames.offset - item->offset),
		.count = item->rows.count,
		.first_seq = item->rows.first_seq,
		.own_fields = true,
	};

	if (!rows_index_counts(&j->rows, j->tail.fd, &ref)) {
		a->stats.frames_damaged++;
		return 0;
	}
	j->rows.met = ref.first_seq + ref.count;
	return show_frame(f, &f->catalog->catalog.journals[number], &ref, &item->rows, a);
}

/* What is sealed by now.  A ledger that cannot be read on seals nothing more, and is no reason to stop. */
static int look_at_seals(struct follower *f)
{
	int r = f->catalog->with_seals ? local_catalog_read_seals(f->catalog) : 0;

	return r == -ENOMEM ? r : 0;
}

/* Read one tail to its end.  A frame that is not whole yet will be, and then the kernel tells again. */
static int catch_up(struct follower *f, uint32_t number, struct answer *a)
{
	struct local_journal *j = f->catalog->journals[number];
	const struct id *id = &f->catalog->catalog.journals[number].id;
	char name[TAIL_NAME_SIZE];
	uint32_t n_contexts = j->tail.contexts.n;
	struct tail_item item;
	int r, shown = 0;

	tail_name(id, name);
	j->tail.fd = openat(f->catalog->state->journals, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (j->tail.fd < 0)
		return is_local(-errno) ? 0 : -errno;
	j->tail.frames.fd = j->tail.fd;
	frame_reader_seek(&j->tail.frames, j->tail.frames.offset);
	for (;;) {
		r = tail_reader_next(&j->tail, &item);
		if (r <= 0)
			break;
		while (j->rows.contexts_lost && j->tail.contexts.n > n_contexts)
			contexts_remove_last(&j->tail.contexts);
		if (item.type == TAIL_ROWS)
			shown = show_appended(f, number, &item, a);
		if (shown < 0)
			break;
	}
	close_fd(&j->tail.fd);
	frame_reader_done(&j->tail.frames);
	return shown < 0 ? shown : is_local(r) ? 0 : MIN_OF(r, 0);
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

		if (is_local(r)) {
			a->stats.frames_damaged++;
			continue;
		}
		if (r >= 0)
			r = show_frame(f, j, &j->rows->at[i], &rows, a);
		if (r < 0)
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
	/* One that is just being made will be told of again. */
	k = local_catalog_take(f->catalog, &id);
	if (k < 0)
		return is_local((int) k) ? 0 : (int) k;
	r = show_indexed(f, (uint32_t) k, a);
	return r < 0 ? r : catch_up(f, (uint32_t) k, a);
}

struct all {
	struct follower *follower;
	struct answer *answer;
};

static int on_journal(void *arg, const struct id *journal, const char *name)
{
	struct all *all = arg;

	(void) journal;
	return on_file(all->follower, name, all->answer);
}

/* The kernel gave up counting: look at every tail, old and new. */
static int catch_up_all(struct follower *f, struct answer *a)
{
	return state_each_journal(f->catalog->state, on_journal, &(struct all){ f, a });
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
		r = look_at_seals(f);
		if (r < 0)
			return r;
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

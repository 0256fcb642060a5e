/* SPDX-License-Identifier: Apache-2.0 */

#include "query/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "bulla/error.h"

enum { REBUILDS_MAX = 100 };

void catalog_done(struct catalog *c)
{
	free(c->journals);
	c->journals = NULL;
	c->n = c->cap = 0;
}

int catalog_add(struct catalog *c, const struct catalog_journal *j)
{
	if (c->n == c->cap) {
		uint32_t cap = c->cap ? 2 * c->cap : 16;
		struct catalog_journal *more = reallocarray(c->journals, cap, sizeof *more);

		if (!more)
			return -ENOMEM;
		c->journals = more;
		c->cap = cap;
	}
	c->journals[c->n++] = *j;
	return 0;
}

/* Tails. */

static int open_tail(const struct local_catalog *c, const struct id *journal)
{
	char name[TAIL_NAME_SIZE];
	int fd;

	tail_name(journal, name);
	fd = openat(c->state->journals, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static int read_local(void *arg, const struct catalog_journal *j, const struct rows_ref *ref,
		      struct buf *frame, struct tail_rows *ret)
{
	struct local_catalog *c = arg;
	uint32_t number = (uint32_t) (j - c->catalog.journals);

	if (c->open_fd < 0 || c->open_journal != number) {
		close_fd(&c->open_fd);
		c->open_fd = open_tail(c, &j->id);
		if (c->open_fd < 0)
			return c->open_fd;
		c->open_journal = number;
	}
	return rows_ref_read(c->open_fd, ref, frame, ret);
}

static struct local_journal *local_journal_free(struct local_journal *j)
{
	if (j) {
		tail_reader_close(&j->tail);
		rows_index_done(&j->rows);
		free(j);
	}
	return NULL;
}

static void local_journal_freep(struct local_journal **j)
{
	local_journal_free(*j);
}

static int grow(struct local_catalog *c)
{
	uint32_t cap = c->cap ? 2 * c->cap : 16;
	struct local_journal **more;

	if (c->n < c->cap)
		return 0;
	more = reallocarray(c->journals, cap, sizeof *more);
	if (!more)
		return -ENOMEM;
	c->journals = more;
	c->cap = cap;
	return 0;
}

int64_t local_catalog_take(struct local_catalog *c, const struct id *journal)
{
	_cleanup_(local_journal_freep) struct local_journal *j = calloc(1, sizeof *j);
	char name[TAIL_NAME_SIZE];
	int r;

	if (!j)
		return -ENOMEM;
	j->tail.fd = -1;
	tail_name(journal, name);
	r = tail_reader_open(&j->tail, c->state->journals, name);
	if (r >= 0)
		r = rows_index_build(&j->rows, &j->tail);
	if (r >= 0 && j->tail.contexts.n == 0)
		r = BULLA_ETRUNCATED;
	if (r >= 0)
		r = grow(c);
	if (r >= 0)
		r = catalog_add(&c->catalog, &(struct catalog_journal){
						     .id = *journal,
						     .boot = j->tail.header.boot,
						     .contexts = &j->tail.contexts,
						     .rows = &j->rows,
						     .source = j,
						     .sealed = seals_of(&c->seals, journal),
					     });
	if (r < 0)
		return r;
	close_fd(&j->tail.fd);
	frame_reader_done(&j->tail.frames);
	c->n_damaged += j->rows.n_damaged;
	c->journals[c->n++] = TAKE_PTR(j);
	return c->n - 1;
}

static int take_each(void *arg, const struct id *journal, const char *name)
{
	struct local_catalog *c = arg;
	int64_t r = local_catalog_take(c, journal);

	(void) name;
	if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return (int) r;
	/* One that is just being made, or damaged: the others are still to be read. */
	c->n_unusable += r < 0 && r != BULLA_ETRUNCATED && r != -ENOENT;
	return 0;
}

static int build(struct local_catalog *c, const struct state *s)
{
	int r;

	*c = (struct local_catalog){ .state = s, .open_fd = -1 };
	c->catalog.read = read_local;
	c->catalog.arg = c;
	r = segment_set_open(&c->segments, s);
	if (r < 0)
		return r;
	c->catalog.segments = &c->segments;
	c->n_unusable = c->segments.n_damaged;
	return state_each_journal(s, take_each, c);
}

int local_catalog_build(struct local_catalog *c, const struct state *s)
{
	int r = build(c, s);

	/* A tail may have gone for the sake of a segment that came after we looked. */
	for (int i = 0; i < REBUILDS_MAX && r >= 0 && segment_set_is_stale(&c->segments, s); i++) {
		local_catalog_done(c);
		r = build(c, s);
	}
	return r;
}

int local_catalog_read_seals(struct local_catalog *c)
{
	int r = seals_read(&c->seals, c->state);

	c->with_seals = true;
	for (uint32_t i = 0; i < c->catalog.n; i++)
		c->catalog.journals[i].sealed = seals_of(&c->seals, &c->catalog.journals[i].id);
	return r;
}

void local_catalog_done(struct local_catalog *c)
{
	for (uint32_t i = 0; i < c->n; i++)
		local_journal_free(c->journals[i]);
	free(c->journals);
	c->journals = NULL;
	c->n = c->cap = 0;
	close_fd(&c->open_fd);
	segment_set_close(&c->segments);
	seals_done(&c->seals);
	catalog_done(&c->catalog);
}

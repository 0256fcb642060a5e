/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The segments of an aggregator: segments/<lane>/<first object>-<end>-<part>.segment, all as digits.
 *
 * A name says where a segment comes from, and nothing relies on it.  Which entries a segment has its footer tells; of two that
 * have the same entries the larger one counts, for it was made out of the other.
 */

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aggregator/archive-internal.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/room.h"
#include "bulla/error.h"

enum { PARTS_MAX = 10000, DIR_NAME_SIZE = 32 };

/* Directories. */

static void dir_name(unsigned lane, char ret[DIR_NAME_SIZE])
{
	snprintf(ret, DIR_NAME_SIZE, SEGMENTS_DIR "/%02u", lane);
}

int archive_segments_dir(struct archive *a, unsigned lane)
{
	char path[DIR_NAME_SIZE];
	int fd;

	if (a->segments[lane] >= 0)
		return a->segments[lane];
	fd = objstore_prefix(&a->store, SEGMENTS_DIR);
	if (fd < 0)
		return fd;
	close(fd);
	dir_name(lane, path);
	return a->segments[lane] = objstore_prefix(&a->store, path);
}

/* Names. */

int archive_segment_name(struct archive *a, unsigned lane, uint64_t first, uint64_t end,
			 char ret[HELD_NAME_SIZE])
{
	for (unsigned part = 0; part < PARTS_MAX; part++) {
		snprintf(ret, HELD_NAME_SIZE, "%020" PRIu64 "-%020" PRIu64 "-%04u" SEGMENT_SUFFIX,
			 first, end, part);
		if (faccessat(a->segments[lane], ret, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? 0 : -errno;
	}
	return BULLA_ELIMIT;
}

static bool parse_name(const char *name, uint64_t *ret_first, uint64_t *ret_end)
{
	unsigned part;
	int n = 0;

	return sscanf(name, "%20" SCNu64 "-%20" SCNu64 "-%4u" SEGMENT_SUFFIX "%n", ret_first,
		      ret_end, &part, &n) == 3 &&
	       n > 0 && name[n] == '\0' && strlen(name) < HELD_NAME_SIZE;
}

/* Opening. */

struct held_segment *held_segment_free(struct held_segment *s)
{
	if (s)
		segment_close(&s->segment);
	free(s);
	return NULL;
}

static void held_segment_freep(struct held_segment **s)
{
	held_segment_free(*s);
}

int archive_open_segment(struct archive *a, unsigned lane, const char *name,
			 struct held_segment **ret)
{
	_cleanup_(held_segment_freep) struct held_segment *s = calloc(1, sizeof *s);
	int fd, r;

	if (!s)
		return -ENOMEM;
	s->segment.fd = -1;
	s->lane = lane;
	if (!parse_name(name, &s->first, &s->end))
		return -EINVAL;
	strcpy(s->name, name);
	fd = io_open_regular(a->segments[lane], name, O_RDONLY);
	r = fd < 0 ? fd : segment_open(&s->segment, fd);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < s->segment.n_journals; i++)
		s->entries += s->segment.journals[i].entries;
	*ret = TAKE_PTR(s);
	return 0;
}

/* Taking the place of rows. */

static const struct id *origin_of(const struct held_segment *s, const struct segment_journal *j)
{
	return &s->segment.origins[j->origin].id;
}

static struct held_journal *journal_of(const struct archive *a, const struct held_segment *s,
				       uint32_t i)
{
	const struct segment_journal *j = &s->segment.journals[i];
	int64_t number = archive_find_journal(a, origin_of(s, j), &j->id);

	return number < 0 ? NULL : a->journals[number];
}

/* Make room for the spans of a segment, which may have several of a journal.  Called with the lock held. */
static int reserve(struct archive *a, const struct held_segment *s)
{
	uint32_t n = 0;
	int r = 0;

	for (; r >= 0 && n < s->segment.n_journals; n++) {
		const struct segment_journal *j = &s->segment.journals[n];
		int64_t number = archive_journal(a, origin_of(s, j), &j->id);

		r = number < 0 ? (int) number
			       : spans_reserve(&a->journals[number]->packed,
					       ++a->journals[number]->n_coming);
	}
	while (n-- > 0) {
		struct held_journal *j = journal_of(a, s, n);

		if (j)
			j->n_coming = 0;
	}
	return r;
}

/* Rows that are packed are not indexed. */
static void forget_rows(struct held_journal *j)
{
	size_t kept = 0;

	for (size_t i = 0; i < j->rows.n; i++) {
		const struct rows_ref *ref = &j->rows.at[i];

		if (!spans_have(&j->packed, ref->first_seq, ref->first_seq + ref->count))
			j->rows.at[kept++] = *ref;
	}
	j->rows.n = kept;
	if (kept == 0)
		rows_index_done(&j->rows);
}

static void cover(struct archive *a, const struct held_segment *s)
{
	for (uint32_t i = 0; i < s->segment.n_journals; i++) {
		const struct segment_journal *sj = &s->segment.journals[i];
		struct held_journal *j = journal_of(a, s, i);

		assert(j);
		spans_add(&j->packed, sj->first_seq, sj->first_seq + sj->entries);
		forget_rows(j);
	}
}

int archive_publish_segment(struct archive *a, struct held_segment *s,
			    struct held_segment *const *instead_of, size_t n)
{
	int r;

	pthread_mutex_lock(&a->lock);
	r = reserve(a, s);
	if (r >= 0)
		r = archive_next_view(a, &(struct change){ .more = &s,
							   .n_more = 1,
							   .less = instead_of,
							   .n_less = n,
							   .object = -1 });
	if (r >= 0)
		cover(a, s);
	pthread_mutex_unlock(&a->lock);
	return r;
}

/* At start. */

struct found {
	struct held_segment **at; /* owned */
	size_t n, cap;
};

static void found_done(struct found *f)
{
	for (size_t i = 0; i < f->n; i++)
		held_segment_free(f->at[i]);
	free(f->at);
}

static int find_one(struct archive *a, unsigned lane, const char *name, struct found *f)
{
	struct held_segment *s;
	uint64_t first, end;
	int r;

	if (!parse_name(name, &first, &end))
		return 0;
	r = archive_open_segment(a, lane, name, &s);
	if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return r;
	if (r < 0) {
		log_error_code(r, "segments/%02u/%s", lane, name);
		archive_note_unusable(a, lane, name, bulla_strerror(r));
		return 0;
	}
	if (!room_for(&f->at, f->n, &f->cap, sizeof(struct held_segment *))) {
		held_segment_free(s);
		return -ENOMEM;
	}
	f->at[f->n++] = s;
	return 0;
}

static int find_all(struct archive *a, unsigned lane, struct found *f)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;
	int r = io_list_dir(a->segments[lane], ".", &dir);

	if (r < 0)
		return r;
	while (r >= 0 && (errno = 0, (e = readdir(dir)) != NULL))
		r = find_one(a, lane, e->d_name, f);
	return r < 0 ? r : -errno;
}

static int compare_sizes(const void *a, const void *b)
{
	const struct held_segment *x = *(struct held_segment *const *) a,
				  *y = *(struct held_segment *const *) b;

	if (x->entries != y->entries)
		return x->entries < y->entries ? 1 : -1;
	return strcmp(x->name, y->name);
}

/* How many of the entries of a segment others have. */
static uint64_t packed_elsewhere(struct archive *a, const struct held_segment *s, bool *ret_partly)
{
	uint64_t n = 0;

	*ret_partly = false;
	for (uint32_t i = 0; i < s->segment.n_journals; i++) {
		const struct segment_journal *j = &s->segment.journals[i];
		const struct held_journal *held = journal_of(a, s, i);
		const struct spans *packed = held ? &held->packed : NULL;
		uint64_t end = j->first_seq + j->entries;

		if (packed && spans_have(packed, j->first_seq, end))
			n += j->entries;
		else if (packed && spans_touch(packed, j->first_seq, end))
			*ret_partly = true;
	}
	return n;
}

/* Take a segment, unless others have what it has.  @return 1, 0, an error. */
static int judge(struct archive *a, const struct held_segment *s)
{
	bool partly;
	uint64_t n = packed_elsewhere(a, s, &partly);
	int r;

	if (n == s->entries) {
		/* A crash came between a merge and its end. */
		log_debug("segments/%02u/%s: others have all of it", s->lane, s->name);
		if (a->audit)
			return 0;
		return unlinkat(a->segments[s->lane], s->name, 0) < 0 ? -errno : 0;
	}
	if (n > 0 || partly) {
		log_error("segments/%02u/%s is not used: some of its entries another one has, too",
			  s->lane, s->name);
		archive_note_unusable(a, s->lane, s->name,
				      "some of its entries another one has, too");
		return 0;
	}
	r = reserve(a, s);
	if (r < 0)
		return r;
	cover(a, s);
	return 1;
}

/* The largest come first.  What is not taken is freed. */
static int judge_all(struct archive *a, struct found *f)
{
	size_t taken = 0;
	int r = 0;

	if (f->n > 1)
		qsort(f->at, f->n, sizeof(struct held_segment *), compare_sizes);
	for (size_t i = 0; i < f->n && r >= 0; i++) {
		struct held_segment *s = f->at[i];

		r = judge(a, s);
		if (r > 0) {
			f->at[i] = f->at[taken];
			f->at[taken++] = s;
		}
	}
	if (r >= 0)
		r = archive_next_view(
			a, &(struct change){ .more = f->at, .n_more = taken, .object = -1 });
	if (r < 0)
		return r;
	/* They are the view's now. */
	for (size_t i = 0; i < taken; i++)
		f->at[i] = NULL;
	return 0;
}

int archive_load_segments(struct archive *a)
{
	_cleanup_(found_done) struct found f = { 0 };
	int r = 0;

	for (unsigned i = 0; i < LANES && r >= 0; i++) {
		char path[DIR_NAME_SIZE];

		dir_name(i, path);
		a->segments[i] = openat(a->store.root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (a->segments[i] >= 0)
			r = find_all(a, i, &f);
		else if (errno != ENOENT)
			r = -errno;
	}
	return r < 0 ? r : judge_all(a, &f);
}

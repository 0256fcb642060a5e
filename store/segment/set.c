/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/set.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"
#include "store/segment/check.h"

enum { DIGITS = 20, SETTLED_S = 2, OPEN_TRIES = 10 };

/* Names. */

void segment_name(const struct tenant *t, uint64_t first, uint64_t end, char ret[SEGMENT_NAME_SIZE])
{
	snprintf(ret, SEGMENT_NAME_SIZE, "%020" PRIu64 "-%020" PRIu64 ".%s" SEGMENT_SUFFIX, first,
		 end, t->name);
}

static int parse_digits(const char *p, uint64_t *ret)
{
	uint64_t v = 0;

	for (int i = 0; i < DIGITS; i++) {
		if (p[i] < '0' || p[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t) (p[i] - '0'), &v))
			return -EINVAL;
	}
	*ret = v;
	return 0;
}

int segment_name_parse(const char *name, struct tenant *ret_tenant, uint64_t *ret_first,
		       uint64_t *ret_end)
{
	enum { BEFORE = DIGITS + 1 + DIGITS + 1, BEHIND = STRLEN(SEGMENT_SUFFIX) };
	size_t n = strlen(name);

	if (n < BEFORE + BEHIND || name[DIGITS] != '-' || name[BEFORE - 1] != '.' ||
	    strcmp(name + n - BEHIND, SEGMENT_SUFFIX) != 0 || parse_digits(name, ret_first) < 0 ||
	    parse_digits(name + DIGITS + 1, ret_end) < 0 || *ret_first >= *ret_end)
		return -EINVAL;
	return tenant_parse(name + BEFORE, n - BEFORE - BEHIND, ret_tenant);
}

/* The directory. */

static int compare_files(const void *a, const void *b)
{
	const struct segment_file *x = a, *y = b;
	int c = tenant_compare(&x->tenant, &y->tenant);

	if (c != 0)
		return c;
	if (x->first != y->first)
		return x->first > y->first ? 1 : -1;
	return (x->end < y->end) - (x->end > y->end);
}

static int add_file(struct segment_set *s, uint32_t *cap, const char *name)
{
	struct segment_file f = { .segment = { .fd = -1 }, .error = -ENOENT };

	if (segment_name_parse(name, &f.tenant, &f.first, &f.end) < 0)
		return 0;
	if (s->n == *cap) {
		struct segment_file *more;

		*cap = *cap ? 2 * *cap : 16;
		more = reallocarray(s->files, *cap, sizeof *more);
		if (!more)
			return -ENOMEM;
		s->files = more;
	}
	strcpy(f.name, name);
	s->files[s->n++] = f;
	return 0;
}

static bool contains(const struct segment_file *a, const struct segment_file *b)
{
	return a->first <= b->first && b->end <= a->end &&
	       tenant_compare(&a->tenant, &b->tenant) == 0;
}

/* By tenant and commits, and without those that another one contains. */
static void choose(struct segment_set *s)
{
	uint32_t kept = 0;

	if (s->n > 1)
		qsort(s->files, s->n, sizeof *s->files, compare_files);
	for (uint32_t i = 0; i < s->n; i++)
		if (kept == 0 || !contains(&s->files[kept - 1], &s->files[i]))
			s->files[kept++] = s->files[i];
	s->n = kept;
}

/* When the directory changed last, if that was long enough ago for the next change to have another time. */
static struct timespec changed(int dirfd)
{
	struct timespec now;
	struct stat st;

	if (fstat(dirfd, &st) < 0 || clock_gettime(CLOCK_REALTIME, &now) < 0 ||
	    now.tv_sec < st.st_mtim.tv_sec + SETTLED_S)
		return (struct timespec){ 0 };
	return st.st_mtim;
}

static bool is_unchanged(const struct segment_set *s, const struct state *state)
{
	struct stat st;

	return s->changed.tv_sec != 0 && fstatat(state->root, SEGMENTS_DIR, &st, 0) == 0 &&
	       st.st_mtim.tv_sec == s->changed.tv_sec && st.st_mtim.tv_nsec == s->changed.tv_nsec;
}

static int read_names(struct segment_set *s, int dirfd)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;
	uint32_t cap = 0;
	int r = io_list_dir(dirfd, ".", &dir);

	if (r < 0)
		return r;
	while (r >= 0 && (errno = 0, (e = readdir(dir)) != NULL))
		r = add_file(s, &cap, e->d_name);
	return r < 0 ? r : -errno;
}

/* Which files count.  @return the directory, -ENOENT where there is none. */
static int list(struct segment_set *s, const struct state *state)
{
	_cleanup_close_ int fd =
		openat(state->root, SEGMENTS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	s->changed = changed(fd);
	r = read_names(s, fd);
	if (r < 0)
		return r;
	choose(s);
	return TAKE_FD(fd);
}

/* Opening. */

static bool is_marked(const struct segment_file *f, int dirfd)
{
	char name[SEGMENT_NAME_SIZE + sizeof SEGMENT_DAMAGED];

	snprintf(name, sizeof name, "%s" SEGMENT_DAMAGED, f->name);
	return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int open_file(struct segment_file *f, int dirfd)
{
	int fd = io_open_regular(dirfd, f->name, O_RDONLY);
	int r;

	f->marked = is_marked(f, dirfd);
	if (fd < 0)
		return fd;
	r = segment_open_at(&f->segment, fd, &f->error_at);
	if (r < 0)
		return r;
	/* On a host there is one origin. */
	if (f->segment.n_origins == 1 && f->segment.origins[0].first == f->first &&
	    f->segment.origins[0].end == f->end &&
	    tenant_compare(&f->segment.tenant, &f->tenant) == 0)
		return 0;
	segment_close(&f->segment);
	return BULLA_ECORRUPT;
}

static int compare_spans(const void *a, const void *b)
{
	const struct segment_span *x = a, *y = b;
	int c = id_compare(&x->journal, &y->journal);

	return c != 0 ? c : (x->first_seq > y->first_seq) - (x->first_seq < y->first_seq);
}

static bool is_of(const struct segment *s, uint32_t journal, const struct id *origin)
{
	return !origin || id_equal(&s->origins[s->journals[journal].origin].id, origin);
}

int segment_set_index(struct segment_set *s, const struct id *origin)
{
	size_t n = 0;

	for (uint32_t i = 0; i < s->n; i++)
		for (uint32_t k = 0; k < s->files[i].segment.n_journals; k++)
			n += is_of(&s->files[i].segment, k, origin);
	s->spans = reallocarray(NULL, MAX_OF(n, 1ul), sizeof *s->spans);
	if (!s->spans)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->n; i++)
		for (uint32_t k = 0; k < s->files[i].segment.n_journals; k++) {
			const struct segment_journal *j = &s->files[i].segment.journals[k];

			if (!is_of(&s->files[i].segment, k, origin))
				continue;
			s->spans[s->n_spans++] = (struct segment_span){ j->id,
									j->first_seq,
									j->first_seq + j->entries,
									j->first_batch,
									j->first_batch + j->batches,
									i,
									k };
		}
	if (s->n_spans > 1)
		qsort(s->spans, s->n_spans, sizeof *s->spans, compare_spans);
	return 0;
}

/* @return -EAGAIN where a file went meanwhile: one made of it has taken its place. */
static int open_files(struct segment_set *s, const struct state *state)
{
	_cleanup_close_ int dirfd = list(s, state);

	if (dirfd < 0 && dirfd != -ENOENT)
		return dirfd;
	for (uint32_t i = 0; i < s->n; i++) {
		struct segment_file *f = &s->files[i];

		f->error = open_file(f, dirfd);
		s->n_damaged += f->error < 0;
		if (f->error == -ENOENT)
			return -EAGAIN;
		if (f->error == -ENOMEM || f->error == -EMFILE || f->error == -ENFILE)
			return f->error;
	}
	return segment_set_index(s, NULL);
}

int segment_set_open(struct segment_set *s, const struct state *state)
{
	int r = -EAGAIN;

	for (int i = 0; r == -EAGAIN && i < OPEN_TRIES; i++) {
		*s = (struct segment_set){ 0 };
		r = open_files(s, state);
		if (r < 0)
			segment_set_close(s);
	}
	return r;
}

void segment_set_close(struct segment_set *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		segment_close(&s->files[i].segment);
	free(s->files);
	free(s->spans);
	*s = (struct segment_set){ 0 };
}

bool segment_set_is_stale(const struct segment_set *s, const struct state *state)
{
	struct segment_set now = { 0 };
	int dirfd;
	bool same;

	if (is_unchanged(s, state))
		return false;
	dirfd = list(&now, state);
	same = now.n == s->n;
	for (uint32_t i = 0; same && i < s->n; i++)
		same = strcmp(s->files[i].name, now.files[i].name) == 0;
	free(now.files);
	close_fd(&dirfd);
	return !same;
}

/* Asking. */

const struct segment_span *segment_set_of(const struct segment_set *s, const struct id *journal,
					  uint32_t *ret_n)
{
	uint32_t from = 0, to = s->n_spans;

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (id_compare(&s->spans[middle].journal, journal) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	*ret_n = 0;
	while (from + *ret_n < s->n_spans && id_equal(&s->spans[from + *ret_n].journal, journal))
		(*ret_n)++;
	return s->spans + from;
}

bool segment_set_has(const struct segment_set *s, const struct id *journal, uint64_t first_seq,
		     uint64_t end_seq)
{
	uint32_t n;
	const struct segment_span *span = segment_set_of(s, journal, &n);

	for (uint32_t i = 0; i < n; i++)
		if (span[i].first_seq <= first_seq && end_seq <= span[i].end_seq)
			return true;
	return false;
}

bool segment_set_has_all(const struct segment_set *s, const struct id *journal,
			 uint64_t first_batch, uint64_t end_batch)
{
	uint64_t have = first_batch;
	uint32_t n;
	const struct segment_span *span = segment_set_of(s, journal, &n);

	for (uint32_t i = 0; i < n; i++)
		if (span[i].first_batch <= have && segment_file_is_sound(&s->files[span[i].file]))
			have = MAX_OF(have, span[i].end_batch);
	return have >= end_batch;
}

static bool is_whole(struct segment_file *f)
{
	uint64_t at;

	if (!f->checked)
		f->whole = segment_file_is_sound(f) && segment_check_blocks(&f->segment, &at) >= 0;
	f->checked = true;
	return f->whole;
}

bool segment_set_has_whole(struct segment_set *s, const struct id *journal, uint64_t first_batch,
			   uint64_t end_batch)
{
	uint64_t have = first_batch;
	uint32_t n;
	const struct segment_span *span = segment_set_of(s, journal, &n);

	for (uint32_t i = 0; i < n && have < end_batch; i++)
		if (span[i].first_batch <= have && span[i].end_batch > have &&
		    is_whole(&s->files[span[i].file]))
			have = span[i].end_batch;
	return have >= end_batch;
}

int segment_set_sweep(struct segment_set *s, int dirfd)
{
	struct segment_set all = { 0 };
	int r = read_names(&all, dirfd);

	if (r >= 0 && unlinkat(dirfd, SEGMENT_UNFINISHED_MERGE, 0) < 0 && errno != ENOENT)
		r = -errno;
	for (uint32_t i = 0; r >= 0 && i < all.n; i++)
		for (uint32_t k = 0; r >= 0 && k < s->n; k++) {
			const struct segment_file *f = &all.files[i];
			struct segment_file *by = &s->files[k];

			if (contains(by, f) && strcmp(by->name, f->name) != 0 && is_whole(by) &&
			    unlinkat(dirfd, f->name, 0) < 0)
				r = -errno;
		}
	free(all.files);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/batches.h"

#include <errno.h>
#include <stdlib.h>

#include "base/room.h"
#include "bulla/error.h"

/* A commit has batches in all groups of a window, and the next window's are asked for before it is over. */
enum { GROUPS_OPEN = 64, ROWS_OPEN = 2 * WINDOW_ROWS };

/* Batches of one journal that follow each other in a group. */
struct run {
	uint32_t journal, group; /* of the segment */
	uint32_t first, n;	 /* in the group */
	uint64_t batch_no;	 /* of the first */
};

/* Which runs a segment has, by journal and number. */
struct index {
	struct run *runs; /* owned; NULL until it is asked for */
	size_t n, cap;
	int error; /* of the last group that is damaged */
};

struct open_group {
	struct segment_group group;
	uint32_t file, number;
	uint64_t used; /* when last; 0: never */
};

struct segment_batches {
	const struct state *state; /* NULL: the set is somebody else's */
	struct segment_set set;
	struct index *of; /* owned, by file; NULL until the set is read */
	struct open_group open[GROUPS_OPEN];
	uint64_t turn;
	uint64_t rows, values; /* of those that are open */
};

int segment_batches_new(struct segment_batches **ret, const struct state *s)
{
	struct segment_batches *b = calloc(1, sizeof *b);

	if (!b)
		return -ENOMEM;
	b->state = s;
	*ret = b;
	return 0;
}

static void close_one(struct segment_batches *b, struct open_group *o)
{
	if (o->used == 0)
		return;
	b->rows -= o->group.rows;
	b->values -= group_values(&o->group);
	group_close(&o->group);
	o->used = 0;
}

int segment_batches_of(struct segment_batches **ret, const struct segment_set *set)
{
	struct segment_batches *b = calloc(1, sizeof *b);

	if (!b)
		return -ENOMEM;
	b->set = *set;
	b->of = calloc(MAX_OF(b->set.n, 1u), sizeof *b->of);
	if (!b->of) {
		free(b);
		return -ENOMEM;
	}
	*ret = b;
	return 0;
}

static void forget(struct segment_batches *b)
{
	for (size_t i = 0; i < GROUPS_OPEN; i++)
		close_one(b, &b->open[i]);
	for (uint32_t i = 0; b->of && i < b->set.n; i++)
		free(b->of[i].runs);
	free(b->of);
	b->of = NULL;
	if (b->state)
		segment_set_close(&b->set);
}

struct segment_batches *segment_batches_free(struct segment_batches *b)
{
	if (b)
		forget(b);
	free(b);
	return NULL;
}

/* Have the segments that there are by now.  @return 1 if they are others than before, 0, an error. */
static int look(struct segment_batches *b)
{
	int r;

	if (!b->state || (b->of && !segment_set_is_stale(&b->set, b->state)))
		return 0;
	forget(b);
	r = segment_set_open(&b->set, b->state);
	if (r < 0)
		return r;
	b->of = calloc(MAX_OF(b->set.n, 1u), sizeof *b->of);
	return b->of ? 1 : -ENOMEM;
}

/* The index of a segment. */

static int add_run(struct index *of, const struct run *run)
{
	if (!room_for(&of->runs, of->n, &of->cap, sizeof *of->runs))
		return -ENOMEM;
	of->runs[of->n++] = *run;
	return 0;
}

static int add_group(struct index *of, const struct segment *s, uint32_t number)
{
	struct segment_group g;
	int r = group_open(&g, s, number);

	if (r < 0)
		return r;
	r = group_need_batches(&g);
	for (uint32_t i = 0, n; r >= 0 && i < g.ref->batches; i += n) {
		const struct group_batch *b = &g.batches[i];

		for (n = 1; i + n < g.ref->batches && b[n].journal == b->journal;)
			n++;
		r = add_run(of, &(struct run){ b->journal, number, i, n, b->batch_no });
	}
	group_close(&g);
	return r;
}

static int compare_runs(const void *a, const void *b)
{
	const struct run *x = a, *y = b;

	if (x->journal != y->journal)
		return x->journal > y->journal ? 1 : -1;
	return (x->batch_no > y->batch_no) - (x->batch_no < y->batch_no);
}

/* What a group that is damaged has nobody knows; that of the others is found. */
static int make_index(struct index *of, const struct segment *s)
{
	int r = 0;

	if (of->runs || of->error < 0)
		return 0;
	for (uint32_t i = 0; r >= 0 && i < s->n_groups; i++) {
		r = add_group(of, s, i);
		if (!segment_is_damage(r))
			continue;
		of->error = r;
		r = 0;
	}
	if (of->n > 1)
		qsort(of->runs, of->n, sizeof *of->runs, compare_runs);
	return r;
}

/* The last run of a journal that begins no later than with a batch; NULL if there is none that has it. */
static const struct run *find_run(const struct index *of, uint32_t journal, uint64_t batch_no)
{
	const struct run want = { .journal = journal, .batch_no = batch_no };
	size_t from = 0, to = of->n;
	const struct run *run;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (compare_runs(&of->runs[middle], &want) <= 0)
			from = middle + 1;
		else
			to = middle;
	}
	run = from > 0 ? &of->runs[from - 1] : NULL;
	return run && run->journal == journal && batch_no - run->batch_no < run->n ? run : NULL;
}

/* Groups. */

static struct open_group *find_open(struct segment_batches *b, uint32_t file, uint32_t number)
{
	for (size_t i = 0; i < GROUPS_OPEN; i++)
		if (b->open[i].used > 0 && b->open[i].file == file && b->open[i].number == number)
			return &b->open[i];
	return NULL;
}

/* A place for another group of so many rows; those that were not used for longest go. */
static struct open_group *make_place(struct segment_batches *b, uint32_t rows)
{
	for (;;) {
		struct open_group *oldest = NULL, *free_one = NULL;

		for (size_t i = 0; i < GROUPS_OPEN; i++) {
			struct open_group *o = &b->open[i];

			if (o->used == 0)
				free_one = o;
			else if (!oldest || o->used < oldest->used)
				oldest = o;
		}
		if (free_one && (!oldest || (b->rows + rows <= ROWS_OPEN &&
					     b->values <= segment_window_values)))
			return free_one;
		close_one(b, oldest);
	}
}

static int open_group(struct segment_batches *b, uint32_t file, uint32_t number,
		      struct segment_group **ret)
{
	const struct segment *s = &b->set.files[file].segment;
	struct open_group *at = find_open(b, file, number);
	int r;

	if (!at) {
		at = make_place(b, s->groups[number].rows);
		r = group_open(&at->group, s, number);
		if (r >= 0)
			r = group_need_all(&at->group);
		if (r < 0) {
			group_close(&at->group);
			return r;
		}
		at->file = file;
		at->number = number;
		b->rows += at->group.rows;
		b->values += group_values(&at->group);
	}
	at->used = ++b->turn;
	*ret = &at->group;
	return 0;
}

static int find_in(struct segment_batches *b, const struct segment_span *span, uint64_t batch_no,
		   struct segment_group **ret_group, uint32_t *ret_number)
{
	const struct run *run;
	int r = make_index(&b->of[span->file], &b->set.files[span->file].segment);

	if (r < 0)
		return r;
	run = find_run(&b->of[span->file], span->number, batch_no);
	if (!run)
		return b->of[span->file].error < 0 ? b->of[span->file].error : BULLA_ECORRUPT;
	*ret_number = run->first + (uint32_t) (batch_no - run->batch_no);
	return open_group(b, span->file, run->group, ret_group);
}

static int find(struct segment_batches *b, const struct id *journal, uint64_t batch_no,
		struct segment_group **ret_group, uint32_t *ret_number)
{
	int r = -ENOENT;
	uint32_t n;
	const struct segment_span *span = segment_set_of(&b->set, journal, &n);

	/* What is damaged in one may be whole in another. */
	for (uint32_t i = 0; i < n; i++) {
		if (span[i].first_batch > batch_no || batch_no >= span[i].end_batch)
			continue;
		r = find_in(b, &span[i], batch_no, ret_group, ret_number);
		if (r >= 0)
			return r;
	}
	return r;
}

/* What nobody has may be in one that only a newer version can read. */
static int not_found(const struct segment_batches *b)
{
	for (uint32_t i = 0; i < b->set.n; i++)
		if (b->set.files[i].error == BULLA_EVERSION)
			return BULLA_EVERSION;
	return -ENOENT;
}

int segment_batches_find(struct segment_batches *b, const struct id *journal, uint64_t batch_no,
			 struct segment_group **ret_group, uint32_t *ret_number)
{
	int r = b->of ? find(b, journal, batch_no, ret_group, ret_number) : -ENOENT;

	if (r != -ENOENT)
		return r;
	r = look(b);
	if (r > 0)
		r = find(b, journal, batch_no, ret_group, ret_number);
	else if (r == 0)
		r = -ENOENT;
	return r == -ENOENT ? not_found(b) : r;
}

int segment_batches_root(struct segment_batches *batches, const struct batch *b, struct hash *ret)
{
	struct segment_group *g;
	struct batch found;
	uint32_t number;
	int r = segment_batches_find(batches, &b->journal, b->batch_no, &g, &number);

	if (r >= 0)
		r = group_batch(g, number, &found);
	if (r >= 0)
		*ret = found.root;
	return r;
}

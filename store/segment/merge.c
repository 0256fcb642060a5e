/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Commits come in their order, out of row groups that are ordered by journal: each group's batches are taken by commit, and
 * groups and segments follow each other in time.
 */

#include "store/segment/merge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/room.h"
#include "bulla/error.h"
#include "store/segment/check.h"
#include "store/segment/writer.h"

struct merge {
	const struct segment_set *set;
	uint32_t first, end; /* files */
	const struct history *history;
	const struct merge_options *options;
	struct segment_writer writer;
	int64_t *
		number; /* owned: of each journal, at the place of its first span in the set, in the new segment; -1 */
	struct sealed_batch *sealed; /* owned */
	size_t sealed_cap;
	uint64_t *seen; /* owned: batches of each journal of the file at hand that have come */
	struct field *fields; /* owned, FIELDS_MAX */
	struct buf message;
	struct segment_made made;
};

static void merge_done(struct merge *m)
{
	if (m->writer.fd >= 0) {
		segment_writer_close(&m->writer);
		unlinkat(m->options->dirfd, SEGMENT_UNFINISHED_MERGE, 0);
	}
	free(m->number);
	free(m->sealed);
	free(m->seen);
	free(m->fields);
	buf_done(&m->message);
}

/* Journals. */

/* The span of a journal whose contexts are all that there are in these files: the last one's. */
static const struct segment_span *last_span(const struct merge *m, const struct segment_span *span,
					    uint32_t n)
{
	const struct segment_span *last = NULL;

	for (uint32_t i = 0; i < n; i++)
		if (span[i].file >= m->first && span[i].file < m->end)
			last = &span[i];
	return last;
}

/* The number in the new segment of the journal that a batch is of. */
static int64_t journal_of(struct merge *m, const struct segment_journal *j,
			  const struct group_batch *b)
{
	const struct segment_journal *whole;
	struct segment_source source;
	struct tenant tenant;
	const struct segment_span *span, *last;
	int64_t *number;
	uint32_t n;

	span = segment_set_of(m->set, &j->id, &n);
	number = &m->number[span - m->set->spans];
	/* Where a batch was left out the journal begins anew. */
	if (*number >= 0 && m->writer.sources[*number].next_batch == b->batch_no)
		return *number;
	last = last_span(m, span, n);
	if (!last)
		return BULLA_ECORRUPT;
	whole = &m->set->files[last->file].segment.journals[last->number];
	tenant = tenant_of(&whole->contexts);
	if (tenant_compare(&tenant, &m->made.tenant) != 0)
		return BULLA_ECORRUPT;
	source = (struct segment_source){
		.id = j->id,
		.boot = j->boot,
		.first_batch = b->batch_no,
		.first_seq = b->first_seq,
		.contexts = &whole->contexts,
		.seeds = &whole->seeds,
	};
	*number = segment_writer_journal(&m->writer, &source);
	m->made.journals += *number >= 0;
	return *number;
}

static bool is_pruned(const struct merge *m, const struct segment_journal *j,
		      const struct group_batch *b)
{
	int64_t handle = history_find_journal(m->history, &j->id);

	return handle >= 0 &&
	       b->batch_no < history_journal(m->history, (uint32_t) handle)->pruned_batches;
}

/* Batches. */

static int remember(struct merge *m, uint32_t journal, const struct batch *b)
{
	if (!room_for(&m->sealed, m->made.batches, &m->sealed_cap, sizeof *m->sealed))
		return -ENOMEM;
	m->sealed[m->made.batches++] =
		(struct sealed_batch){ journal, b->batch_no, batch_leaf_hash(b) };
	m->made.entries += b->entries;
	return 0;
}

static int take_entries(struct merge *m, struct segment_group *g, const struct group_batch *b)
{
	const struct segment_journal *j = &g->segment->journals[b->journal];
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < b->entries; i++) {
		uint32_t row = b->first_row + i;
		struct entry e;

		r = group_entry(g, row, j, &m->message, m->fields, &e);
		if (r >= 0)
			r = segment_writer_add(&m->writer, &e, (uint32_t) g->context[row]);
	}
	return r;
}

static int take_batch(struct merge *m, struct segment_group *g, uint32_t number)
{
	const struct group_batch *b = &g->batches[number];
	const struct segment_journal *j = &g->segment->journals[b->journal];
	struct batch batch;
	int64_t to;
	int r;

	/* Each must come, in its order: what a file has lost would be lost for good. */
	if (b->batch_no != j->first_batch + m->seen[b->journal]++)
		return BULLA_ECORRUPT;
	if (is_pruned(m, j, b))
		return 0;
	r = group_batch(g, number, &batch);
	if (r < 0)
		return r;
	to = journal_of(m, j, b);
	if (to < 0)
		return (int) to;
	r = segment_writer_batch(&m->writer, (uint32_t) to, b->commit, b->flags, b->mono_offset);
	if (r >= 0)
		r = take_entries(m, g, b);
	return r < 0 ? r : remember(m, (uint32_t) to, &batch);
}

/* The groups of a window, whose commits are the same. */
struct window {
	struct segment_group *groups; /* owned */
	struct buf *memory;	      /* owned: for the messages of each */
	uint32_t n;
	uint64_t values, bytes; /* group_values() of all, and of their messages */
};

/* A batch of a window. */
struct place {
	uint32_t group, batch;
	uint64_t commit;
};

static void window_done(struct window *w)
{
	for (uint32_t i = 0; w->groups && i < w->n; i++)
		group_close(&w->groups[i]);
	for (uint32_t i = 0; w->memory && i < w->n; i++)
		buf_done(&w->memory[i]);
	free(w->groups);
	free(w->memory);
}

/* All of a group.  Where messages take very much memory those of further groups are made one by one. */
static int read_group(struct window *w, uint32_t number)
{
	struct segment_group *g = &w->groups[number];
	int r = group_need_all(g);

	w->values += group_values(g);
	if (r >= 0 && w->values > segment_window_values)
		r = BULLA_ELIMIT;
	if (r < 0 || w->bytes > WINDOW_MESSAGES_KEPT)
		return r;
	group_lend(g, &w->memory[number]);
	r = group_need_messages(g, NULL);
	w->bytes += g->made_text.len;
	return r;
}

static int read_window(struct window *w, const struct segment *s, uint32_t first, uint32_t n)
{
	int r = 0;

	w->n = n;
	w->groups = calloc(n, sizeof *w->groups);
	w->memory = calloc(n, sizeof *w->memory);
	if (!w->groups || !w->memory)
		return -ENOMEM;
	for (uint32_t i = 0; r >= 0 && i < n; i++) {
		r = group_open(&w->groups[i], s, first + i);
		if (r >= 0)
			r = read_group(w, i);
	}
	return r;
}

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->commit != y->commit)
		return x->commit > y->commit ? 1 : -1;
	if (x->group != y->group)
		return x->group > y->group ? 1 : -1;
	return (x->batch > y->batch) - (x->batch < y->batch);
}

/* The batches of a window as they came. */
static int order_batches(const struct window *w, struct place **ret, size_t *ret_n)
{
	size_t n = 0;

	for (uint32_t i = 0; i < w->n; i++)
		n += w->groups[i].ref->batches;
	*ret = reallocarray(NULL, n, sizeof **ret);
	if (!*ret)
		return -ENOMEM;
	*ret_n = n;
	for (uint32_t i = 0; i < w->n; i++)
		for (uint32_t k = w->groups[i].ref->batches; k-- > 0;)
			(*ret)[--n] = (struct place){ i, k, w->groups[i].batches[k].commit };
	qsort(*ret, *ret_n, sizeof **ret, compare_places);
	return 0;
}

static int take_window(struct merge *m, const struct segment *s, const struct window_ref *of)
{
	_cleanup_(window_done) struct window w = { 0 };
	_cleanup_free_ struct place *order = NULL;
	size_t batches = 0;
	int r = read_window(&w, s, of->first, of->end - of->first);

	if (r >= 0)
		r = order_batches(&w, &order, &batches);
	for (size_t i = 0; r >= 0 && i < batches; i++) {
		r = take_batch(m, &w.groups[order[i].group], order[i].batch);
		if (r >= 0 && (i + 1 == batches || order[i].commit != order[i + 1].commit))
			r = segment_writer_end_commit(&m->writer);
	}
	return r;
}

static int take_file(struct merge *m, const struct segment *s)
{
	int r;

	free(m->seen);
	m->seen = calloc(s->n_journals + 1u, sizeof *m->seen);
	r = m->seen ? 0 : -ENOMEM;
	for (uint32_t i = 0; r >= 0 && i < s->n_windows; i++)
		r = take_window(m, s, &s->windows[i]);
	for (uint32_t i = 0; r >= 0 && i < s->n_journals; i++)
		if (m->seen[i] != s->journals[i].batches)
			r = BULLA_ECORRUPT;
	if (r < 0)
		return r;
	segment_writer_when(&m->writer, 0, s->origins[0].time_first);
	segment_writer_when(&m->writer, 0, s->origins[0].time_last);
	return r;
}

/* The file. */

static int begin(struct merge *m)
{
	const struct segment_file *files = m->set->files;
	int64_t n;
	int r;

	for (uint32_t i = m->first; i < m->end; i++)
		if (files[i].error < 0)
			return files[i].error;
		else if (tenant_compare(&files[i].tenant, &files[m->first].tenant) != 0)
			return -EINVAL;
	m->number = reallocarray(NULL, m->set->n_spans + 1u, sizeof *m->number);
	m->fields = reallocarray(NULL, FIELDS_MAX, sizeof *m->fields);
	if (!m->number || !m->fields)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->set->n_spans; i++)
		m->number[i] = -1;
	if (unlinkat(m->options->dirfd, SEGMENT_UNFINISHED_MERGE, 0) < 0 && errno != ENOENT)
		return -errno;
	r = segment_writer_open(&m->writer, m->options->dirfd, SEGMENT_UNFINISHED_MERGE,
				m->options->level);
	if (r < 0)
		return r;
	segment_writer_tenant(&m->writer, &files[m->first].tenant);
	m->made.tenant = files[m->first].tenant;
	m->made.first = files[m->first].first;
	m->made.end = files[m->end - 1].end;
	n = segment_writer_origin(&m->writer, &files[m->first].segment.origins[0].id,
				  m->made.first);
	return (int) MIN_OF(n, (int64_t) 0);
}

/* Names are the catalogue: by taking its own the new one takes the others' place. */
static int replace_files(struct merge *m)
{
	struct segment_made *made = &m->made;
	int r;

	segment_name(&made->tenant, made->first, made->end, made->name);
	if (made->batches > 0 && renameat(m->options->dirfd, SEGMENT_UNFINISHED_MERGE,
					  m->options->dirfd, made->name) < 0)
		return -errno;
	r = io_sync_dir(m->options->dirfd);
	for (uint32_t i = m->first; r >= 0 && i < m->end; i++) {
		const char *name = m->set->files[i].name;

		if ((made->batches == 0 || strcmp(name, made->name) != 0) &&
		    unlinkat(m->options->dirfd, name, 0) < 0)
			r = -errno;
	}
	return r < 0 ? r : io_sync_dir(m->options->dirfd);
}

int segment_merge(const struct segment_set *set, uint32_t first, uint32_t n,
		  const struct history *h, const struct merge_options *o, struct segment_made *ret)
{
	_cleanup_(merge_done) struct merge m = {
		.set = set,
		.first = first,
		.end = first + n,
		.history = h,
		.options = o,
		.writer.fd = -1,
	};
	int64_t size = 0;
	int r = begin(&m);

	for (uint32_t i = first; r >= 0 && i < first + n; i++)
		r = take_file(&m, &set->files[i].segment);
	if (r < 0)
		return r;
	if (m.made.batches > 0) {
		segment_writer_covers(&m.writer, 0, m.made.end);
		size = segment_writer_finish(&m.writer, m.sealed, m.made.batches);
		r = (int) MIN_OF(size, (int64_t) 0);
	}
	if (r >= 0)
		r = replace_files(&m);
	m.made.size = (uint64_t) size;
	*ret = m.made;
	return r < 0 ? r : m.made.batches > 0;
}

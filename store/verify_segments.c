/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Batches in segments: hashed anew, each when its commit comes.
 *
 * Commits come in order, and so do the row groups of a segment: each is read once.  A segment may take the place of tails,
 * or stand beside them; then both must be what was sealed.
 */

#include "store/verify-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "store/segment/check.h"

/* What groups have of a journal. */
struct counted {
	uint64_t batches, entries;
	bool elsewhere; /* some of it is not where the segment says that the journal's is */
};

/* How far a segment has been read. */
struct segment_cursor {
	struct segment_group group;
	bool has_group;
	uint32_t next;	    /* group */
	uint32_t *first_of; /* owned: of each journal 1 + its first batch in the group, or 0 */
	struct batch *
		batches; /* owned: what those of the group are, in its order, as far as they were hashed */
	uint32_t n_batches;
	struct buf memory;	 /* for a group's messages */
	struct counted *counted; /* owned: of each journal */
	uint64_t seen;		 /* batches */
	bool late;		 /* it came when earlier commits had been looked at elsewhere */
	bool broken;		 /* some group is damaged; that was said */
	bool damaged;		 /* the one at hand is: of its rows some cannot be read, or none */
	uint64_t where;		 /* the block, if so */
	uint64_t
		lost_end; /* what is of commits before this may lie in a group that says nothing at all */
};

static void found_in_segment(struct verifier *v, uint32_t file, enum verdict verdict,
			     const struct id *journal, const struct batch *b, uint64_t commit,
			     uint64_t offset, const char *what)
{
	char name[16 + SEGMENT_NAME_SIZE];

	snprintf(name, sizeof name, "segments/%s", v->segments.files[file].name);
	verify_found_at(v, verdict, name, journal, b, commit, offset, what);
}

static void drop_group(struct segment_cursor *c)
{
	free(c->batches);
	c->batches = NULL;
	c->n_batches = 0;
	if (c->has_group)
		group_close(&c->group);
	c->has_group = false;
}

static void cursors_done(struct verifier *v)
{
	for (uint32_t i = 0; v->cursors && i < v->segments.n; i++) {
		drop_group(&v->cursors[i]);
		free(v->cursors[i].first_of);
		free(v->cursors[i].counted);
		buf_done(&v->cursors[i].memory);
	}
	free(v->cursors);
	v->cursors = NULL;
}

void verify_segments_done(struct verifier *v)
{
	cursors_done(v);
	segment_set_close(&v->segments);
}

static void found_unopened(struct verifier *v, uint32_t file, struct problem *wrong)
{
	const struct segment_file *f = &v->segments.files[file];

	if (f->error == BULLA_ETRUNCATED)
		wrong->what = "the file is cut off, or was never finished";
	else if (f->error == BULLA_EVERSION)
		wrong->what = "the file is of a newer version, or its header is damaged";
	else if (verify_is_ours(f->error) && f->error_at > 0)
		wrong->what = "what tells where everything lies is damaged";
	found_in_segment(v, file, wrong->verdict, NULL, NULL, NONE,
			 verify_is_ours(f->error) ? f->error_at : NONE, wrong->what);
}

int verify_segments_open(struct verifier *v, bool late)
{
	int r;

	verify_segments_done(v);
	r = segment_set_open(&v->segments, v->state);
	if (r < 0)
		return r;
	v->cursors = calloc(v->segments.n + 1u, sizeof *v->cursors);
	if (!v->cursors)
		return -ENOMEM;
	for (uint32_t i = 0; i < v->segments.n; i++) {
		struct problem wrong = { 0 };

		v->cursors[i].late = late;
		v->cursors[i].broken = v->segments.files[i].segment.seeds_error < 0;
		if (v->cursors[i].broken && !late)
			found_in_segment(v, i, VERDICT_TAMPERED, NULL, NULL, NONE,
					 v->segments.files[i].segment.seeds_at,
					 "the seeds are damaged: its entries can be read, and not "
					 "proved");
		if (v->segments.files[i].error == 0 || late)
			continue;
		r = verify_unreadable(v->segments.files[i].error, &wrong);
		if (r < 0)
			return r;
		found_unopened(v, i, &wrong);
	}
	return 0;
}

/* The first commit of the next group that tells; UINT64_MAX where there is none.  @return 0, -ENOMEM, an errno. */
static int next_commit(const struct segment *s, uint32_t number, uint64_t *ret)
{
	*ret = UINT64_MAX;
	for (; number < s->n_groups && *ret == UINT64_MAX; number++) {
		_cleanup_(group_close) struct segment_group g = { 0 };
		int r = group_open(&g, s, number);

		if (r >= 0)
			r = group_need_batches(&g);
		if (r < 0 && !segment_is_damage(r))
			return r;
		for (uint32_t i = 0; r >= 0 && i < g.ref->batches; i++)
			*ret = MIN_OF(*ret, g.batches[i].commit);
	}
	return 0;
}

static void found_damaged(struct verifier *v, uint32_t file, int r, const char *what)
{
	struct segment_cursor *c = &v->cursors[file];

	c->broken = c->damaged = true;
	c->where = group_where(&c->group);
	found_in_segment(v, file, VERDICT_TAMPERED, NULL, NULL, NONE, c->where,
			 r == BULLA_EVERSION ? "a row group is of an unknown format" : what);
}

/* All of a group, or of one that is damaged what there is.  @return 0 or an error that is no damage. */
static int read_group(struct verifier *v, uint32_t file)
{
	struct segment_cursor *c = &v->cursors[file];
	const struct segment *s = &v->segments.files[file].segment;
	int r = group_need_batches(&c->group);
	bool lies = false;

	c->damaged = s->seeds_error < 0;
	c->where = s->seeds_at;
	if (segment_is_damage(r)) {
		found_damaged(v, file, r,
			      "a row group is damaged: it does not even tell what it has");
		drop_group(c);
		return next_commit(s, c->next, &c->lost_end);
	}
	if (r >= 0)
		r = group_need_all(&c->group);
	if (segment_is_damage(r)) {
		found_damaged(v, file, r,
			      "a row group is damaged: none of its entries can be read");
		return 0;
	}
	if (r >= 0)
		r = group_check_index(&c->group, &lies);
	if (segment_is_damage(r)) {
		found_damaged(v, file, r,
			      "a block is damaged: entries that have a part in it cannot be read");
		return 0;
	}
	if (lies)
		found_in_segment(v, file, VERDICT_TAMPERED, NULL, NULL, NONE,
				 group_where(&c->group),
				 "searches are told that entries of a row group are not there");
	return MIN_OF(r, 0);
}

/*
 * Hash all batches of a group that is whole.  Commit by commit, as they are asked for, each would be somewhere else in memory.
 * @return 0 or -ENOMEM; one that cannot be hashed ends it, and shows when it is asked for.
 */
static int hash_batches(struct segment_cursor *c)
{
	struct segment_group *g = &c->group;
	int r = 0;

	if (!c->has_group || !g->template_of || c->damaged)
		return 0;
	c->batches = reallocarray(NULL, g->ref->batches, sizeof *c->batches);
	if (!c->batches)
		return -ENOMEM;
	while (r >= 0 && c->n_batches < g->ref->batches) {
		r = group_batch(g, c->n_batches, &c->batches[c->n_batches]);
		c->n_batches += r >= 0;
	}
	return r == -ENOMEM ? r : 0;
}

/* A batch of the group at hand. */
static int batch_of(struct segment_cursor *c, uint32_t number, struct batch *ret)
{
	if (number >= c->n_batches)
		return c->group.template_of ? group_batch(&c->group, number, ret) : BULLA_ECORRUPT;
	*ret = c->batches[number];
	return 0;
}

static int make_tables(struct segment_cursor *c, const struct segment *s)
{
	if (c->first_of)
		return 0;
	c->first_of = calloc(s->n_journals + 1u, sizeof *c->first_of);
	c->counted = calloc(s->n_journals + 1u, sizeof *c->counted);
	return c->first_of && c->counted ? 0 : -ENOMEM;
}

static void count_group(struct segment_cursor *c, const struct segment *s)
{
	for (uint32_t i = 0; c->has_group && i < c->group.ref->batches; i++) {
		const struct group_batch *b = &c->group.batches[i];
		const struct segment_journal *j = &s->journals[b->journal];
		struct counted *k = &c->counted[b->journal];

		k->elsewhere |= b->batch_no != j->first_batch + k->batches ||
				b->first_seq != j->first_seq + k->entries;
		k->batches++;
		k->entries += b->entries;
	}
}

/* Read the next group.  @return 1, 0 where there is none, an error that is no damage. */
static int next_group(struct verifier *v, uint32_t file)
{
	const struct segment *s = &v->segments.files[file].segment;
	struct segment_cursor *c = &v->cursors[file];
	int r;

	drop_group(c);
	if (c->next == s->n_groups)
		return 0;
	r = make_tables(c, s);
	if (r < 0)
		return r;
	r = group_open(&c->group, s, c->next++);
	c->has_group = r >= 0;
	if (r >= 0) {
		group_lend(&c->group, &c->memory);
		r = read_group(v, file);
	}
	if (r >= 0)
		r = hash_batches(c);
	if (r < 0)
		return r;
	memset(c->first_of, 0, s->n_journals * sizeof *c->first_of);
	for (uint32_t i = c->has_group ? c->group.ref->batches : 0; i-- > 0;)
		c->first_of[c->group.batches[i].journal] = i + 1;
	count_group(c, s);
	return 1;
}

/* The batch's number in the group at hand, or -ENOENT. */
static int64_t find_in_group(const struct segment_cursor *c, const struct segment_span *span,
			     uint64_t batch_no)
{
	const struct group_batch *first;
	uint64_t i;

	if (!c->has_group || c->first_of[span->number] == 0)
		return -ENOENT;
	first = &c->group.batches[c->first_of[span->number] - 1];
	i = (uint64_t) (first - c->group.batches) + (batch_no - first->batch_no);
	if (batch_no < first->batch_no || i >= c->group.ref->batches ||
	    c->group.batches[i].journal != span->number || c->group.batches[i].batch_no != batch_no)
		return -ENOENT;
	return (int64_t) i;
}

/* What a batch cannot be read for was said, and is told of all such batches together. */
static const char unreadable[] = "it is in what is damaged there, and not proved";

/* Whether what a segment says of a batch, besides its entries, is what was sealed. */
static bool is_told_right(const struct group_batch *told, const struct segment_journal *j,
			  const struct batch *b)
{
	return told->first_seq == b->first_seq && told->entries == b->entries &&
	       told->mono_offset == b->mono_offset &&
	       (told->flags & BATCH_RECOVERED) == (b->recovered ? BATCH_RECOVERED : 0) &&
	       id_equal(&j->boot, &b->boot);
}

/* Batch `i` of a commit, which is number `number` of the group at hand. */
static const char *check_batch(struct verifier *v, const struct segment_span *span, uint32_t number,
			       const struct sealed_commit *c, uint32_t i, int *ret)
{
	const struct ledger_journal *j = history_journal(v->history, c->handles[i]);
	struct segment_cursor *cursor = &v->cursors[span->file];
	struct segment_journal *sj = &v->segments.files[span->file].segment.journals[span->number];
	const struct segment_origin *origin =
		&v->segments.files[span->file].segment.origins[sj->origin];
	const struct group_batch *b = &cursor->group.batches[number];
	struct tenant tenant = tenant_of(&sj->contexts);

	cursor->seen++;
	contexts_hash_all(&sj->contexts);
	if (sj->contexts.n == 0 || !hash_same(&sj->contexts.at[0].hash, &j->identity))
		return "the identity is not the one that was sealed when the journal was opened";
	if (tenant_compare(&tenant, &v->segments.files[span->file].tenant) != 0)
		return "the journal is another tenant's than the segment";
	if (b->commit != c->commit.number)
		return "the batch is said to be of another commit";
	if (c->commit.time_ns < origin->time_first || c->commit.time_ns > origin->time_last)
		return "the segment is said to be of another time";
	/* A root that was made of what is here need not be made again, unless entries are wanted: of just these bytes. */
	if (!c->lacks_roots || !v->made[i] || v->options->entry) {
		struct hash leaf, want = batch_leaf_hash(&c->batches[i]);
		struct batch batch;

		*ret = batch_of(cursor, number, &batch);
		if (*ret < 0)
			return cursor->damaged ? unreadable : "an entry cannot be read";
		leaf = batch_leaf_hash(&batch);
		if (!hash_same(&leaf, &want))
			return "content changed after it was sealed";
	}
	if (!is_told_right(b, sj, &c->batches[i]))
		return "content changed after it was sealed";
	*ret = cursor->group.template_of ? gaps_of_batch(&v->gaps, &cursor->group, number) : 0;
	return *ret < 0 ? "an entry cannot be read" : NULL;
}

/* The segment that should have the batch, or NULL. */
static const struct segment_span *span_of(const struct verifier *v, const struct batch *b)
{
	uint32_t n;
	const struct segment_span *span = segment_set_of(&v->segments, &b->journal, &n);

	for (uint32_t i = 0; i < n; i++)
		if (span[i].first_batch <= b->batch_no && b->batch_no < span[i].end_batch)
			return &span[i];
	return NULL;
}

void verify_segments_lost(struct verifier *v, uint32_t handle)
{
	const struct ledger_journal *j = history_journal(v->history, handle);
	struct lost *l = &v->at[handle].unread;
	char name[16 + SEGMENT_NAME_SIZE];

	if (!l->what)
		return;
	snprintf(name, sizeof name, "segments/%s", v->segments.files[l->file].name);
	verify_found(v, &(struct finding){
				.verdict = VERDICT_TAMPERED,
				.file = name,
				.journal = &j->id,
				.batch = l->batch,
				.batches = l->batches,
				.commit = l->commit,
				.commit_last = l->commit_last > l->commit ? l->commit_last : 0,
				.offset = l->offset,
				.entries = l->entries,
				.what = l->what,
			});
	*l = (struct lost){ 0 };
}

/* Open the segments that there are by now.  @return 1; 0 where they are the ones at hand; an error. */
static int refresh(struct verifier *v)
{
	int r;

	if (!segment_set_is_stale(&v->segments, v->state))
		return 0;
	for (uint32_t i = 0; i < v->n; i++)
		verify_segments_lost(v, i);
	r = verify_segments_open(v, true);
	return r < 0 ? r : 1;
}

int verify_segments_have(struct verifier *v, const struct batch *b)
{
	int r = span_of(v, b) ? 0 : refresh(v);

	return r < 0 ? r : span_of(v, b) != NULL;
}

/*
 * Have the group at hand that has the batch.  @return its number there; -ENOENT; -ENODATA where only a group can have it that
 * cannot be read; another error.
 */
static int64_t find_batch(struct verifier *v, const struct segment_span *span,
			  const struct batch *b, uint64_t commit)
{
	struct segment_cursor *c = &v->cursors[span->file];
	int r = 1;

	while (r > 0) {
		int64_t number = find_in_group(c, span, b->batch_no);

		if (number >= 0)
			return number;
		if (commit < c->lost_end)
			return -ENODATA;
		r = next_group(v, span->file);
	}
	return r < 0 ? r : -ENOENT;
}

int verify_segments_root(struct verifier *v, const struct batch *b, uint64_t commit,
			 struct hash *ret)
{
	int r = verify_segments_have(v, b);
	const struct segment_span *span;
	struct batch batch;
	int64_t number;

	if (r <= 0)
		return r;
	span = span_of(v, b);
	number = find_batch(v, span, b, commit);
	if (number < 0)
		return number == -ENOENT || number == -ENODATA ? 0 : (int) number;
	r = batch_of(&v->cursors[span->file], (uint32_t) number, &batch);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	*ret = batch.root;
	return 1;
}

/* Batches of one journal that follow each other are told of as one. */
static void lose(struct verifier *v, const struct segment_span *span, uint32_t handle,
		 const struct batch *b, uint64_t commit)
{
	struct lost *l = &v->at[handle].unread;
	uint64_t where = v->cursors[span->file].where;

	if (l->what &&
	    (l->file != span->file || l->offset != where || l->batch + l->batches != b->batch_no))
		verify_segments_lost(v, handle);
	if (!l->what)
		*l = (struct lost){ .what = unreadable,
				    .file = span->file,
				    .offset = where,
				    .batch = b->batch_no,
				    .commit = commit };
	l->batches++;
	l->entries += b->entries;
	l->commit_last = commit;
	verify_lose(v, b);
}

int verify_segments_batch(struct verifier *v, const struct sealed_commit *c, uint32_t i,
			  bool in_tail, bool *ret_good)
{
	const struct batch *b = &c->batches[i];
	const struct ledger_journal *j = history_journal(v->history, c->handles[i]);
	const struct segment_span *span = span_of(v, b);
	const char *what;
	int64_t number;
	int r = 0;

	*ret_good = false;
	if (!span)
		return 0;
	number = find_batch(v, span, b, c->commit.number);
	if (number < 0 && number != -ENOENT && number != -ENODATA)
		return (int) number;
	if (number < 0)
		what = number == -ENODATA ? unreadable
					  : "the batch is not where the segment says that it is";
	else
		what = check_batch(v, span, (uint32_t) number, c, i, &r);
	if (r == -ENOMEM)
		return r;
	*ret_good = !what;
	if (what == unreadable && !in_tail)
		lose(v, span, c->handles[i], b, c->commit.number);
	else if (what && what != unreadable)
		found_in_segment(v, span->file, VERDICT_TAMPERED, &j->id, b, c->commit.number, NONE,
				 what);
	return what || in_tail
		       ? 0
		       : verify_give_group(v, &v->cursors[span->file].group, (uint32_t) number, b);
}

/* By what it says who reads tails besides knows what to pass over there. */
static bool has_what_it_says(const struct segment_cursor *c, const struct segment *s)
{
	for (uint32_t i = 0; c->counted && i < s->n_journals; i++)
		if (c->counted[i].elsewhere || c->counted[i].batches != s->journals[i].batches ||
		    c->counted[i].entries != s->journals[i].entries)
			return false;
	return true;
}

void verify_segments_rest(struct verifier *v)
{
	for (uint32_t i = 0; v->cursors && i < v->segments.n; i++) {
		const struct segment *s = &v->segments.files[i].segment;
		const struct segment_cursor *c = &v->cursors[i];
		uint64_t batches = 0;

		for (uint32_t k = 0; k < s->n_groups; k++)
			batches += s->groups[k].batches;
		if (!c->late && !c->broken && c->seen != batches)
			found_in_segment(v, i, VERDICT_TAMPERED, NULL, NULL, NONE, NONE,
					 "it has batches that the ledger does not know");
		else if (!c->late && !c->broken && !has_what_it_says(c, s))
			found_in_segment(v, i, VERDICT_TAMPERED, NULL, NULL, NONE, NONE,
					 "it says that it has other entries than it has");
	}
}

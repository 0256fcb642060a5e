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

/* How far a segment has been read. */
struct segment_cursor {
	struct segment_group group;
	bool has_group;
	uint32_t next;	    /* group */
	uint32_t *first_of; /* owned: of each journal 1 + its first batch in the group, or 0 */
	uint64_t seen;	    /* batches */
	bool late;	    /* it came when earlier commits had been looked at elsewhere */
	bool broken;	    /* a group could not be read; that was said */
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
	if (c->has_group)
		group_close(&c->group);
	c->has_group = false;
}

static void cursors_done(struct verifier *v)
{
	for (uint32_t i = 0; v->cursors && i < v->segments.n; i++) {
		drop_group(&v->cursors[i]);
		free(v->cursors[i].first_of);
	}
	free(v->cursors);
	v->cursors = NULL;
}

void verify_segments_done(struct verifier *v)
{
	cursors_done(v);
	segment_set_close(&v->segments);
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
		if (v->segments.files[i].error == 0 || late)
			continue;
		r = verify_unreadable(v->segments.files[i].error, &wrong);
		if (r < 0)
			return r;
		if (v->segments.files[i].error == BULLA_ETRUNCATED)
			wrong.what = "the file is cut off, or was never finished";
		found_in_segment(v, i, wrong.verdict, NULL, NULL, NONE, NONE, wrong.what);
	}
	return 0;
}

/* Read the next group.  @return 1; 0 when there is none, or none that can be read; -ENOMEM, an errno. */
static int next_group(struct verifier *v, uint32_t file)
{
	const struct segment *s = &v->segments.files[file].segment;
	struct segment_cursor *c = &v->cursors[file];
	int r;

	drop_group(c);
	if (c->next == s->n_groups || c->broken)
		return 0;
	r = group_open(&c->group, s, c->next++);
	c->has_group = r >= 0;
	if (r >= 0)
		r = group_need_all(&c->group);
	if (r >= 0 && !c->first_of) {
		c->first_of = calloc(s->n_journals + 1u, sizeof *c->first_of);
		r = c->first_of ? 0 : -ENOMEM;
	}
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		drop_group(c);
		c->broken = true;
		found_in_segment(
			v, file, VERDICT_TAMPERED, NULL, NULL, NONE,
			s->groups[c->next - 1].n_blocks > 0
				? s->groups[c->next - 1].blocks[0].offset
				: NONE,
			"a row group is damaged: its entries and those behind it cannot be "
			"checked");
		return 0;
	}
	r = group_check_index(&c->group);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		found_in_segment(v, file, VERDICT_TAMPERED, NULL, NULL, NONE,
				 s->groups[c->next - 1].blocks[0].offset,
				 "searches are told that entries of a row group are not there");
	memset(c->first_of, 0, s->n_journals * sizeof *c->first_of);
	for (uint32_t i = c->group.ref->batches; i-- > 0;)
		c->first_of[c->group.batches[i].journal] = i + 1;
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
	/* A root that was made of what is here need not be made again. */
	if (!c->lacks_roots || !v->made[i]) {
		struct hash leaf, want = batch_leaf_hash(&c->batches[i]);
		struct batch batch;

		*ret = group_batch(&cursor->group, number, &batch);
		if (*ret < 0)
			return "an entry cannot be read";
		leaf = batch_leaf_hash(&batch);
		if (!hash_same(&leaf, &want))
			return "content changed after it was sealed";
	}
	*ret = gaps_of_batch(&v->gaps, &cursor->group, number);
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

/* Open the segments that there are by now.  @return 1; 0 where they are the ones at hand; an error. */
static int refresh(struct verifier *v)
{
	int r;

	if (!segment_set_is_stale(&v->segments, v->state))
		return 0;
	r = verify_segments_open(v, true);
	return r < 0 ? r : 1;
}

int verify_segments_have(struct verifier *v, const struct batch *b)
{
	int r = span_of(v, b) ? 0 : refresh(v);

	return r < 0 ? r : span_of(v, b) != NULL;
}

/* Have the group at hand that has the batch.  @return its number there, -ENOENT, or another error. */
static int64_t find_batch(struct verifier *v, const struct segment_span *span,
			  const struct batch *b)
{
	int64_t number;
	int r = 1;

	while ((number = find_in_group(&v->cursors[span->file], span, b->batch_no)) < 0 && r > 0)
		r = next_group(v, span->file);
	return r < 0 ? r : number;
}

int verify_segments_root(struct verifier *v, const struct batch *b, struct hash *ret)
{
	int r = verify_segments_have(v, b);
	const struct segment_span *span;
	struct batch batch;
	int64_t number;

	if (r <= 0)
		return r;
	span = span_of(v, b);
	number = find_batch(v, span, b);
	if (number < 0)
		return number == -ENOENT ? 0 : (int) number;
	r = group_batch(&v->cursors[span->file].group, (uint32_t) number, &batch);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	*ret = batch.root;
	return 1;
}

int verify_segments_batch(struct verifier *v, const struct sealed_commit *c, uint32_t i,
			  bool *ret_good)
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
	number = find_batch(v, span, b);
	if (number < 0 && number != -ENOENT)
		return (int) number;
	if (number < 0 && v->cursors[span->file].broken)
		return 0;
	what = number < 0 ? "the batch is not where the segment says that it is"
			  : check_batch(v, span, (uint32_t) number, c, i, &r);
	if (r == -ENOMEM)
		return r;
	if (what)
		found_in_segment(v, span->file, VERDICT_TAMPERED, &j->id, b, c->commit.number, NONE,
				 what);
	*ret_good = !what;
	return 0;
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
	}
}

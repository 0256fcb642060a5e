/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Batches in segments, each compared with what was sealed when its commit comes.  A segment may take the place of tails, or stand
 * beside them; then both must be what was sealed.
 */

#include "store/verify-windows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "store/segment/check.h"

static void cursors_done(struct verifier *v)
{
	for (uint32_t i = 0; v->cursors && i < v->segments.n; i++)
		segment_cursor_done(&v->cursors[i]);
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
	verify_found_in_segment(v, file, wrong->verdict, NULL, NULL, NONE,
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
			verify_found_in_segment(
				v, i, VERDICT_TAMPERED, NULL, NULL, NONE,
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

/* Whether a journal, of which a window was read, is the tenant's whose segment it is. */
static bool is_of_tenant(struct verifier *v, const struct segment_span *span,
			 const struct segment_journal *j)
{
	bool *known = &v->cursors[span->file].counted[span->number].of_tenant;
	struct tenant tenant;

	if (*known)
		return true;
	tenant = tenant_of(&j->contexts);
	*known = tenant_compare(&tenant, &v->segments.files[span->file].tenant) == 0;
	return *known;
}

/* Batch `i` of a commit, which is number `number` of a group. */
static const char *check_batch(struct verifier *v, const struct segment_span *span,
			       struct held_group *held, uint32_t number,
			       const struct sealed_commit *c, uint32_t i, int *ret)
{
	const struct ledger_journal *j = history_journal(v->history, c->handles[i]);
	struct segment_journal *sj = &v->segments.files[span->file].segment.journals[span->number];
	const struct segment_origin *origin =
		&v->segments.files[span->file].segment.origins[sj->origin];
	const struct group_batch *b = &held->group.batches[number];

	v->cursors[span->file].seen++;
	*ret = contexts_hash_all(&sj->contexts);
	if (*ret < 0)
		return "an entry cannot be read";
	if (sj->contexts.n == 0 || !hash_same(&sj->contexts.at[0].hash, &j->identity))
		return "the identity is not the one that was sealed when the journal was opened";
	if (!is_of_tenant(v, span, sj))
		return "the journal is another tenant's than the segment";
	if (b->commit != c->commit.number)
		return "the batch is said to be of another commit";
	if (c->commit.time_ns < origin->time_first || c->commit.time_ns > origin->time_last)
		return "the segment is said to be of another time";
	/* A root that was made of what is here need not be made again, unless entries are wanted: of just these bytes. */
	if (!c->lacks_roots || !v->made[i] || v->options->entry) {
		struct hash leaf, want = batch_leaf_hash(&c->batches[i]);
		struct batch batch;

		*ret = held_batch(held, number, &batch);
		if (*ret < 0)
			return held->damaged ? unreadable : "an entry cannot be read";
		leaf = batch_leaf_hash(&batch);
		if (!hash_same(&leaf, &want))
			return "content changed after it was sealed";
	}
	if (!is_told_right(b, sj, &c->batches[i]))
		return "content changed after it was sealed";
	*ret = held->group.template_of ? gaps_of_batch(&v->gaps, &held->group, number) : 0;
	return *ret < 0 ? "an entry cannot be read" : NULL;
}

/* Which place of `spans_near` a journal has, with others. */
static uint32_t *near_of(struct verifier *v, const struct id *journal)
{
	uint64_t half[2];

	memcpy(half, journal->b, sizeof half);
	return &v->spans_near[((half[0] ^ half[1]) * UINT64_C(0x9e3779b97f4a7c15)) >>
			      (64 - SPANS_NEAR_BITS)];
}

/* Where the spans of a journal begin; each is asked for a few times in each commit. */
static uint32_t first_span(struct verifier *v, const struct id *journal)
{
	const struct segment_set *s = &v->segments;
	uint32_t *near = near_of(v, journal), n;

	if (*near >= s->n_spans || !id_equal(&s->spans[*near].journal, journal) ||
	    (*near > 0 && id_equal(&s->spans[*near - 1].journal, journal)))
		*near = (uint32_t) (segment_set_of(s, journal, &n) - s->spans);
	return *near;
}

/* The segment that should have the batch, or NULL. */
static const struct segment_span *span_of(struct verifier *v, const struct batch *b)
{
	const struct segment_set *s = &v->segments;

	for (uint32_t i = first_span(v, &b->journal);
	     i < s->n_spans && id_equal(&s->spans[i].journal, &b->journal); i++)
		if (s->spans[i].first_batch <= b->batch_no && b->batch_no < s->spans[i].end_batch)
			return &s->spans[i];
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

int verify_segments_root(struct verifier *v, const struct batch *b, uint64_t commit,
			 struct hash *ret)
{
	int r = verify_segments_have(v, b);
	struct held_group *held;
	struct batch batch;
	int64_t number;

	if (r <= 0)
		return r;
	number = verify_windows_find(v, span_of(v, b), b, commit, &held);
	if (number < 0)
		return number == -ENOENT || number == -ENODATA ? 0 : (int) number;
	r = held_batch(held, (uint32_t) number, &batch);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	*ret = batch.root;
	return 1;
}

/* Batches of one journal that follow each other are told of as one. */
static void lose(struct verifier *v, const struct segment_span *span, uint64_t where,
		 uint32_t handle, const struct batch *b, uint64_t commit)
{
	struct lost *l = &v->at[handle].unread;

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
	struct held_group *held = NULL;
	const char *what;
	int64_t number;
	int r = 0;

	*ret_good = false;
	if (!span)
		return 0;
	number = verify_windows_find(v, span, b, c->commit.number, &held);
	if (number < 0 && number != -ENOENT && number != -ENODATA)
		return (int) number;
	if (number < 0)
		what = number == -ENODATA ? unreadable
					  : "the batch is not where the segment says that it is";
	else
		what = check_batch(v, span, held, (uint32_t) number, c, i, &r);
	if (!what && v->options->entry && !in_tail) {
		r = held_is_same(held, (uint32_t) number, b);
		what = r == 0 ? "it changed while it was read" : NULL;
	}
	if (r == -ENOMEM)
		return r;
	*ret_good = !what;
	if (what == unreadable && !in_tail)
		lose(v, span, held ? held->where : v->cursors[span->file].lost_at, c->handles[i], b,
		     c->commit.number);
	else if (what && what != unreadable)
		verify_found_in_segment(v, span->file, VERDICT_TAMPERED, &j->id, b,
					c->commit.number, NONE, what);
	return what || in_tail ? 0 : verify_give_group(v, &held->group, (uint32_t) number, b);
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
			verify_found_in_segment(v, i, VERDICT_TAMPERED, NULL, NULL, NONE, NONE,
						"it has batches that the ledger does not know");
		else if (!c->late && !c->broken && !has_what_it_says(c, s))
			verify_found_in_segment(v, i, VERDICT_TAMPERED, NULL, NULL, NONE, NONE,
						"it says that it has other entries than it has");
	}
}

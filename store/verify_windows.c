/* SPDX-License-Identifier: Apache-2.0 */

#include "store/verify-windows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "store/segment/check.h"

void verify_found_in_segment(struct verifier *v, uint32_t file, enum verdict verdict,
			     const struct id *journal, const struct batch *b, uint64_t commit,
			     uint64_t offset, const char *what)
{
	char name[16 + SEGMENT_NAME_SIZE];

	snprintf(name, sizeof name, "segments/%s", v->segments.files[file].name);
	verify_found_at(v, verdict, name, journal, b, commit, offset, what);
}

static void drop_window(struct segment_cursor *c)
{
	for (uint32_t i = 0; i < c->n; i++) {
		struct held_group *h = &c->held[i];

		free(h->batches);
		if (h->open)
			group_close(&h->group);
		*h = (struct held_group){ .memory = h->memory };
	}
	c->n = 0;
	c->values = c->kept = 0;
}

void segment_cursor_done(struct segment_cursor *c)
{
	drop_window(c);
	for (uint32_t i = 0; i < c->cap; i++)
		buf_done(&c->held[i].memory);
	free(c->held);
	free(c->first_of);
	free(c->counted);
}

/* Reading. */

/* The first commit of the next groups that tell; UINT64_MAX where there is none.  @return 0, -ENOMEM, an errno. */
static int next_commit(const struct segment *s, uint32_t number, uint64_t *ret)
{
	*ret = UINT64_MAX;
	for (; number < s->n_groups; number++) {
		_cleanup_(group_close) struct segment_group g = { 0 };
		int r = group_open(&g, s, number);

		if (r >= 0)
			r = group_need_batches(&g);
		if (r < 0 && !segment_is_damage(r))
			return r;
		for (uint32_t i = 0; r >= 0 && i < g.ref->batches; i++)
			*ret = MIN_OF(*ret, g.batches[i].commit);
		if (*ret != UINT64_MAX && number + 1 == s->windows[s->groups[number].window].end)
			break;
	}
	return 0;
}

static void found_damaged(struct verifier *v, uint32_t file, struct held_group *h, int r,
			  const char *what)
{
	v->cursors[file].broken = h->damaged = true;
	h->where = group_where(&h->group);
	verify_found_in_segment(v, file, VERDICT_TAMPERED, NULL, NULL, NONE, h->where,
				r == BULLA_EVERSION ? "a row group is of an unknown format" : what);
}

/* A group that does not tell what it has. */
static int lose_group(struct verifier *v, uint32_t file, struct held_group *h)
{
	const struct segment *s = &v->segments.files[file].segment;
	struct segment_cursor *c = &v->cursors[file];
	uint64_t end;
	int r = next_commit(s, c->next < s->n_windows ? s->windows[c->next].first : s->n_groups,
			    &end);

	c->lost_end = MAX_OF(c->lost_end, end);
	c->lost_at = h->where;
	group_close(&h->group);
	h->open = false;
	return r;
}

/* All parts of a group; of one that lacks any, or has more than a window may, its batches. */
static int need_all(struct segment_cursor *c, struct held_group *h)
{
	int r = group_need_all(&h->group);

	c->values += group_values(&h->group);
	if (r >= 0 && c->values > segment_window_values)
		r = BULLA_ELIMIT;
	if (segment_is_damage(r)) {
		c->values -= group_values(&h->group);
		group_drop_rows(&h->group);
	}
	return r;
}

/* All of a group, or of one that is damaged what there is.  @return 0 or an error that is no damage. */
static int read_group(struct verifier *v, uint32_t file, struct held_group *h)
{
	const struct segment *s = &v->segments.files[file].segment;
	int r = group_need_batches(&h->group);
	bool lies = false;

	h->damaged = s->seeds_error < 0;
	h->where = s->seeds_at;
	if (segment_is_damage(r)) {
		found_damaged(v, file, h, r,
			      "a row group is damaged: it does not even tell what it has");
		return lose_group(v, file, h);
	}
	if (r >= 0)
		r = need_all(&v->cursors[file], h);
	if (segment_is_damage(r)) {
		found_damaged(v, file, h, r,
			      "a row group is damaged: none of its entries can be read");
		return 0;
	}
	if (r >= 0)
		r = group_check_index(&h->group, &lies);
	if (segment_is_damage(r)) {
		found_damaged(v, file, h, r,
			      "a block is damaged: entries that have a part in it cannot be read");
		return 0;
	}
	if (lies)
		verify_found_in_segment(
			v, file, VERDICT_TAMPERED, NULL, NULL, NONE, group_where(&h->group),
			"searches are told that entries of a row group are not there");
	return MIN_OF(r, 0);
}

/*
 * Hash all batches of a group that is whole.  Commit by commit, as they are asked for, each would be somewhere else in memory.
 * @return 0 or -ENOMEM; one that cannot be hashed ends it, and shows when it is asked for.
 */
static int hash_batches(struct held_group *h)
{
	struct segment_group *g = &h->group;
	int r;

	if (!h->open || !g->template_of || h->damaged)
		return 0;
	h->batches = reallocarray(NULL, g->ref->batches, sizeof *h->batches);
	if (!h->batches)
		return -ENOMEM;
	r = group_all_batches(g, h->batches, &h->n_batches);
	return r == -ENOMEM ? r : 0;
}

int held_batch(struct held_group *h, uint32_t number, struct batch *ret)
{
	if (number >= h->n_batches)
		return h->group.template_of ? group_batch(&h->group, number, ret) : BULLA_ECORRUPT;
	*ret = h->batches[number];
	return 0;
}

/* Who wants no entries does without messages once they are hashed; who does gets those that were. */
static void let_messages_go(const struct verifier *v, struct segment_cursor *c,
			    struct held_group *h)
{
	uint64_t more = h->open ? h->group.made_text.len : 0;

	h->let_go = h->open && (!v->options->entry || c->kept + more > WINDOW_MESSAGES_KEPT);
	if (!h->let_go) {
		c->kept += more;
		return;
	}
	group_drop_messages(&h->group);
	if (v->options->entry)
		buf_done(&h->memory);
}

int held_is_same(struct held_group *h, uint32_t number, const struct batch *b)
{
	struct batch again;
	int r = 0;

	if (!h->let_go)
		return 1;
	r = group_batch(&h->group, number, &again);
	return r == -ENOMEM ? r : r >= 0 && hash_same(&again.root, &b->root);
}

static void count_group(struct segment_cursor *c, const struct segment *s, uint32_t number)
{
	const struct segment_group *g = &c->held[number].group;

	for (uint32_t i = 0; c->held[number].open && i < g->ref->batches; i++) {
		const struct group_batch *b = &g->batches[i];
		const struct segment_journal *j = &s->journals[b->journal];
		struct counted *k = &c->counted[b->journal];

		if (c->first_of[b->journal].group == 0)
			c->first_of[b->journal] = (struct first_batch){ number + 1, i };
		k->elsewhere |= b->batch_no != j->first_batch + k->batches ||
				b->first_seq != j->first_seq + k->entries;
		k->batches++;
		k->entries += b->entries;
	}
}

/* Read a group of the window into the next place. */
static int hold_group(struct verifier *v, uint32_t file, uint32_t number)
{
	struct segment_cursor *c = &v->cursors[file];
	struct held_group *h = &c->held[c->n++];
	int r = group_open(&h->group, &v->segments.files[file].segment, number);

	h->open = r >= 0;
	if (r < 0)
		return r;
	/* Where messages do not stay one memory does for all. */
	group_lend(&h->group, v->options->entry ? &h->memory : &c->held[0].memory);
	r = read_group(v, file, h);
	if (r >= 0)
		r = hash_batches(h);
	if (r < 0)
		return r;
	let_messages_go(v, c, h);
	count_group(c, &v->segments.files[file].segment, c->n - 1);
	return 0;
}

/* Room for so many groups, and the tables of the segment. */
static int make_room(struct segment_cursor *c, const struct segment *s, uint32_t n)
{
	if (n > c->cap) {
		struct held_group *more = reallocarray(c->held, n, sizeof *more);

		if (!more)
			return -ENOMEM;
		memset(more + c->cap, 0, (n - c->cap) * sizeof *more);
		c->held = more;
		c->cap = n;
	}
	if (!c->first_of)
		c->first_of = calloc(s->n_journals + 1u, sizeof *c->first_of);
	if (!c->counted)
		c->counted = calloc(s->n_journals + 1u, sizeof *c->counted);
	return c->first_of && c->counted ? 0 : -ENOMEM;
}

/* What tells how many rows there are in each second is sealed by nobody: it must be so. */
static int check_counts(struct verifier *v, uint32_t file, const struct window_ref *w)
{
	struct segment_cursor *c = &v->cursors[file];
	struct window_counts counts;
	int r = window_counts_begin(&counts, w);

	for (uint32_t i = 0; r >= 0 && i < c->n; i++) {
		/* What of a damaged one is true nobody knows. */
		if (!c->held[i].open || !c->held[i].group.time) {
			window_counts_done(&counts);
			return 0;
		}
		window_counts_add(&counts, &c->held[i].group);
	}
	if (r >= 0 && window_counts_lie(&counts))
		verify_found_in_segment(v, file, VERDICT_TAMPERED, NULL, NULL, NONE, NONE,
					"histograms are told of rows in seconds that have others");
	window_counts_done(&counts);
	return r;
}

/* Read the next window.  @return 1, 0 where there is none, an error that is no damage. */
static int next_window(struct verifier *v, uint32_t file)
{
	const struct segment *s = &v->segments.files[file].segment;
	struct segment_cursor *c = &v->cursors[file];
	const struct window_ref *w;
	int r;

	drop_window(c);
	if (c->next == s->n_windows)
		return 0;
	w = &s->windows[c->next++];
	r = make_room(c, s, w->end - w->first);
	if (r < 0)
		return r;
	memset(c->first_of, 0, s->n_journals * sizeof *c->first_of);
	for (uint32_t i = w->first; r >= 0 && i < w->end; i++)
		r = hold_group(v, file, i);
	if (r >= 0)
		r = check_counts(v, file, w);
	return r < 0 ? r : 1;
}

/* Finding. */

/* The batch's number in a group of the window at hand, or -ENOENT. */
static int64_t find_in_window(const struct segment_cursor *c, const struct segment_span *span,
			      uint64_t batch_no, struct held_group **ret)
{
	const struct segment_group *g;
	const struct group_batch *first;
	struct first_batch at;
	uint64_t i;

	if (c->n == 0 || c->first_of[span->number].group == 0)
		return -ENOENT;
	at = c->first_of[span->number];
	g = &c->held[at.group - 1].group;
	first = &g->batches[at.batch];
	i = at.batch + (batch_no - first->batch_no);
	if (batch_no < first->batch_no || i >= g->ref->batches ||
	    g->batches[i].journal != span->number || g->batches[i].batch_no != batch_no)
		return -ENOENT;
	*ret = &c->held[at.group - 1];
	return (int64_t) i;
}

int64_t verify_windows_find(struct verifier *v, const struct segment_span *span,
			    const struct batch *b, uint64_t commit, struct held_group **ret)
{
	struct segment_cursor *c = &v->cursors[span->file];
	int r = 1;

	while (r > 0) {
		int64_t number = find_in_window(c, span, b->batch_no, ret);

		if (number >= 0)
			return number;
		if (commit < c->lost_end)
			return -ENODATA;
		r = next_window(v, span->file);
	}
	return r < 0 ? r : -ENOENT;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

enum { DAY_S = 24 * 60 * 60, GRACE_S = 60 * 60, TIER_SHIFT = 2, TIER_ENTRIES = 1024 };

/* Merging. */

static uint64_t entries_of(const struct segment_file *f)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < f->segment.n_groups; i++)
		n += f->segment.groups[i].rows;
	return n;
}

/* Four times as many entries are one tier more. */
static unsigned tier_of(uint64_t entries)
{
	unsigned tier = 0;

	for (uint64_t n = entries / TIER_ENTRIES; n > 0; n >>= TIER_SHIFT)
		tier++;
	return tier;
}

/* Whether a file can be merged with others of a day. */
static bool is_of_day(const struct segment_file *f, uint64_t day)
{
	return f->error == 0 && f->segment.n_origins == 1 &&
	       segment_day(f->segment.origins[0].time_first) == day &&
	       segment_day(f->segment.origins[0].time_last) == day;
}

/* Files that follow each other. */
struct stretch {
	uint32_t n;
	uint64_t entries, largest;
};

/* So many files from one on are of its tenant and day, and of its tier or below. */
static struct stretch find_alike(const struct segment_set *set, uint32_t first, uint64_t day,
				 unsigned tier, uint64_t entries_max)
{
	struct stretch s = { 0 };

	for (; first + s.n < set->n && is_of_day(&set->files[first + s.n], day); s.n++) {
		uint64_t entries = entries_of(&set->files[first + s.n]);

		if (tenant_compare(&set->files[first].tenant, &set->files[first + s.n].tenant) != 0)
			break;
		if (tier_of(entries) > tier || s.entries + entries > entries_max)
			break;
		s.entries += entries;
		s.largest = MAX_OF(s.largest, entries);
	}
	return s;
}

bool plan_merge(const struct segment_set *set, uint64_t now_ns, uint64_t entries_max,
		uint32_t *ret_first, uint32_t *ret_n)
{
	for (uint32_t i = 0; i < set->n; i++) {
		const struct segment_file *f = &set->files[i];
		struct stretch s;
		uint64_t day;
		bool over;

		if (f->error < 0)
			continue;
		day = segment_day(f->segment.origins[0].time_first);
		over = now_ns > ((day + 1) * DAY_S + GRACE_S) * NS_PER_S;
		s = find_alike(set, i, day, over ? UINT32_MAX : tier_of(entries_of(f)),
			       entries_max);
		/* A large one is not written again for a few small ones. */
		if (s.n < (over ? 2 : MERGE_AT_ONCE) || (!over && s.largest > s.entries / 2))
			continue;
		*ret_first = i;
		*ret_n = s.n;
		return true;
	}
	return false;
}

/* Pruning. */

/* What one segment has of one journal. */
struct piece {
	const struct segment_span *span;
	const struct tenant *tenant;
	struct text name; /* of its source */
	uint64_t weight, bytes;
	bool old, gone;
};

/* Pieces of one source follow each other, the oldest first. */
struct source {
	size_t first, n;
	uint64_t bytes;
};

/* Sources of one tenant follow each other. */
struct owner {
	size_t first, n;
	uint64_t bytes;
};

/* What takes space, by who takes it. */
struct shares {
	struct piece *pieces;
	struct source *sources; /* owned, like the following */
	struct owner *owners;
	uint64_t *sizes; /* scratch */
	size_t n_pieces, n_sources, n_owners;
};

static struct text field_of(const struct contexts *c, const char *name)
{
	const struct field *f = c->n > 0 ? contexts_lookup(c, 0, name) : NULL;

	return f ? (struct text){ f->value, f->value_len } : (struct text){ 0 };
}

static void name_source(struct piece *p, const struct segment_journal *j)
{
	static const char *const names[] = { "_SYSTEMD_UNIT", "_CONTAINER_NAME",
					     "SYSLOG_IDENTIFIER" };

	for (size_t i = 0; i < ELEMENTS(names) && p->name.len == 0; i++)
		p->name = field_of(&j->contexts, names[i]);
	if (p->name.len == 0)
		p->name = (struct text){ j->id.b, ID_SIZE };
}

static int compare_texts(const struct text *a, const struct text *b)
{
	uint32_t n = MIN_OF(a->len, b->len);
	int c = n > 0 ? memcmp(a->p, b->p, n) : 0;

	return c != 0 ? c : (a->len > b->len) - (a->len < b->len);
}

static int compare_sources(const struct piece *a, const struct piece *b)
{
	int c = tenant_compare(a->tenant, b->tenant);

	return c != 0 ? c : compare_texts(&a->name, &b->name);
}

static int compare_pieces(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;
	int c = compare_sources(x, y);

	if (c == 0)
		c = (x->span->file > y->span->file) - (x->span->file < y->span->file);
	if (c == 0)
		c = id_compare(&x->span->journal, &y->span->journal);
	return c != 0 ? c
		      : (x->span->first_seq > y->span->first_seq) -
				(x->span->first_seq < y->span->first_seq);
}

/* Bytes of a segment that a journal takes, but for compression: as many as its entries have, and some for each. */
static uint64_t weight_of(const struct segment_span *span, const struct ledger_journal *j)
{
	uint64_t entries = span->end_seq - span->first_seq;

	return entries * (16 + j->bytes / MAX_OF(j->entries, (uint64_t) 1));
}

/* @return how many pieces there are, or SIZE_MAX without memory. */
static size_t gather(const struct segment_set *set, const struct history *h,
		     const struct retention *limits, uint64_t now_ns, struct piece *pieces)
{
	_cleanup_free_ uint64_t *weights = calloc(set->n + 1u, sizeof *weights);
	size_t n = 0;

	if (!weights)
		return SIZE_MAX;
	for (uint32_t i = 0; i < set->n_spans; i++) {
		const struct segment_span *span = &set->spans[i];
		const struct segment *s = &set->files[span->file].segment;
		int64_t handle = history_find_journal(h, &span->journal);
		const struct ledger_journal *j;
		uint64_t last;

		if (handle < 0)
			continue;
		j = history_journal(h, (uint32_t) handle);
		last = s->origins[s->journals[span->number].origin].time_last;
		pieces[n] = (struct piece){
			.span = span,
			.tenant = &set->files[span->file].tenant,
			.weight = weight_of(span, j),
			.old = limits->age_ns > 0 && last < now_ns &&
			       now_ns - last > limits->age_ns,
			.gone = span->end_batch <= j->pruned_batches,
		};
		name_source(&pieces[n], &s->journals[span->number]);
		weights[span->file] += pieces[n++].weight;
	}
	for (size_t i = 0; i < n; i++)
		pieces[i].bytes =
			(uint64_t) ((double) set->files[pieces[i].span->file].segment.size *
				    (double) pieces[i].weight /
				    (double) MAX_OF(weights[pieces[i].span->file], (uint64_t) 1));
	return n;
}

static void shares_done(struct shares *s)
{
	free(s->sources);
	free(s->owners);
	free(s->sizes);
}

static int find_sources(struct shares *s)
{
	size_t n = s->n_pieces;

	s->sources = reallocarray(NULL, n + 1, sizeof *s->sources);
	s->owners = reallocarray(NULL, n + 1, sizeof *s->owners);
	s->sizes = reallocarray(NULL, n + 1, sizeof *s->sizes);
	if (!s->sources || !s->owners || !s->sizes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct piece *p = &s->pieces[i];

		if (i == 0 || tenant_compare(p[-1].tenant, p->tenant) != 0)
			s->owners[s->n_owners++] = (struct owner){ .first = s->n_sources };
		if (i == 0 || compare_sources(&p[-1], p) != 0) {
			s->sources[s->n_sources++] = (struct source){ .first = i };
			s->owners[s->n_owners - 1].n++;
		}
		s->sources[s->n_sources - 1].n++;
		if (!p->gone)
			s->sources[s->n_sources - 1].bytes += p->bytes;
	}
	return 0;
}

static int compare_sizes(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

/* The even share: the most that each may have so that all together have no more than `bytes`. */
static uint64_t even_share(uint64_t *sizes, size_t n, uint64_t bytes)
{
	if (n > 0)
		qsort(sizes, n, sizeof *sizes, compare_sizes);
	for (size_t i = 0; i < n; i++) {
		if (sizes[i] > bytes / (n - i))
			return bytes / (n - i);
		bytes -= sizes[i];
	}
	return UINT64_MAX;
}

static void let_go(struct source *s, struct piece *p)
{
	if (!p->gone)
		s->bytes -= p->bytes;
	p->gone = true;
}

static void let_go_until(struct source *s, struct piece *pieces, uint64_t share)
{
	for (size_t i = 0; i < s->n && s->bytes > share; i++)
		let_go(s, &pieces[s->first + i]);
}

/* What is old, and what a source has beyond its own limit. */
static void trim_sources(struct shares *s, uint64_t share)
{
	for (size_t i = 0; i < s->n_sources; i++) {
		struct source *source = &s->sources[i];

		for (size_t k = 0; k < source->n; k++)
			if (s->pieces[source->first + k].old)
				let_go(source, &s->pieces[source->first + k]);
		let_go_until(source, s->pieces, share);
	}
}

static uint64_t add_up(const struct shares *s, struct owner *o)
{
	o->bytes = 0;
	for (size_t i = 0; i < o->n; i++)
		o->bytes += s->sources[o->first + i].bytes;
	return o->bytes;
}

/* Leave a tenant no more than so much; who takes most of it gives. */
static void trim_owner(struct shares *s, struct owner *o, uint64_t bytes)
{
	uint64_t share;

	if (add_up(s, o) <= bytes)
		return;
	for (size_t i = 0; i < o->n; i++)
		s->sizes[i] = s->sources[o->first + i].bytes;
	share = even_share(s->sizes, o->n, bytes);
	for (size_t i = 0; i < o->n; i++)
		let_go_until(&s->sources[o->first + i], s->pieces, share);
}

/* Somewhat more than has to go goes, so that it does not go bit by bit. */
static uint64_t somewhat_less(uint64_t bytes)
{
	return bytes / 10 * 9;
}

static uint64_t limit_of(const struct shares *s, const struct owner *o,
			 const struct retention *limits)
{
	const struct tenant *t = s->pieces[s->sources[o->first].first].tenant;
	uint64_t bytes = limits->tenant_bytes;

	for (size_t i = 0; i < limits->n_tenants; i++)
		if (tenant_compare(&limits->tenants[i].tenant, t) == 0)
			bytes = limits->tenants[i].bytes;
	return bytes > 0 ? bytes : UINT64_MAX;
}

static void trim_owners(struct shares *s, const struct retention *limits)
{
	for (size_t i = 0; i < s->n_owners; i++) {
		uint64_t limit = limit_of(s, &s->owners[i], limits);

		if (add_up(s, &s->owners[i]) > limit)
			trim_owner(s, &s->owners[i], somewhat_less(limit));
	}
}

static void trim_all(struct shares *s, uint64_t bytes, uint64_t fixed)
{
	uint64_t total = fixed, share = somewhat_less(bytes);

	for (size_t i = 0; i < s->n_owners; i++)
		total += s->sizes[i] = add_up(s, &s->owners[i]);
	if (bytes == 0 || total <= bytes)
		return;
	share = even_share(s->sizes, s->n_owners, share > fixed ? share - fixed : 0);
	for (size_t i = 0; i < s->n_owners; i++)
		trim_owner(s, &s->owners[i], share);
}

/* @return 0 or -ENOMEM. */
static int choose(struct piece *pieces, size_t n, const struct retention *limits, uint64_t fixed)
{
	_cleanup_(shares_done) struct shares s = { .pieces = pieces, .n_pieces = n };
	int r = find_sources(&s);

	if (r < 0)
		return r;
	trim_sources(&s, limits->source_bytes > 0 ? limits->source_bytes : UINT64_MAX);
	trim_owners(&s, limits);
	trim_all(&s, limits->bytes, fixed);
	return 0;
}

/* Of each journal what ends furthest: a later piece does not go without the earlier ones. */
static int64_t list_prunes(const struct piece *pieces, size_t n, const struct history *h,
			   uint64_t old_commits, struct event_prune **ret)
{
	uint32_t n_journals = history_n_journals(h);
	_cleanup_free_ uint64_t *upto = calloc(n_journals + 1u, sizeof *upto);
	int64_t k = 0;

	*ret = reallocarray(NULL, n_journals + 1u, sizeof **ret);
	if (!upto || !*ret)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int64_t handle = history_find_journal(h, &pieces[i].span->journal);

		if (pieces[i].gone)
			upto[handle] = MAX_OF(upto[handle], pieces[i].span->end_batch);
	}
	for (uint32_t i = 0; i < n_journals; i++) {
		const struct ledger_journal *j = history_journal(h, i);
		bool empty = j->closed && j->batches == 0 && j->last_commit < old_commits;

		if ((upto[i] > j->pruned_batches || empty) && history_can_prune(j, upto[i]))
			(*ret)[k++] = (struct event_prune){ j->id, upto[i] };
	}
	return k;
}

/* So many commits are old, from the first one on. */
static uint64_t count_old(const struct segment_set *set, const struct piece *pieces, size_t n)
{
	uint64_t end = 0;

	for (size_t i = 0; i < n; i++)
		if (pieces[i].old)
			end = MAX_OF(end, set->files[pieces[i].span->file].end);
	return end;
}

int64_t plan_prune(const struct segment_set *set, const struct history *h,
		   const struct retention *limits, uint64_t now_ns, uint64_t fixed,
		   struct event_prune **ret)
{
	_cleanup_free_ struct piece *pieces = reallocarray(NULL, set->n_spans + 1u, sizeof *pieces);
	size_t n;
	int r;

	*ret = NULL;
	if (!pieces)
		return -ENOMEM;
	n = gather(set, h, limits, now_ns, pieces);
	if (n == SIZE_MAX)
		return -ENOMEM;
	if (n > 0)
		qsort(pieces, n, sizeof *pieces, compare_pieces);
	r = choose(pieces, n, limits, fixed);
	return r < 0 ? r : list_prunes(pieces, n, h, count_old(set, pieces, n), ret);
}

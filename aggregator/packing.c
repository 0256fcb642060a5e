/* SPDX-License-Identifier: Apache-2.0 */

#include "aggregator/packing.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

enum {
	PART_JOURNALS_MAX = 1 << 18, /* well below what a segment may have */
	PART_TABLES_MAX = 24 << 20,  /* bytes of contexts and seeds, likewise */
	PER_JOURNAL = 64,
};

void packing_done(struct packing *p)
{
	free(p->batches);
	for (uint32_t i = 0; p->journals && i < p->n_journals; i++)
		seeds_done(&p->journals[i].as.seeds);
	free(p->journals);
	free(p->order);
}

/* Batches. */

/* Copy those of an object that are in no segment.  Called with the lock held. */
static int copy_batches(struct packing *p, const struct held_object *o)
{
	p->batches = reallocarray(NULL, o->n_batches + 1, sizeof *p->batches);
	if (!p->batches)
		return -ENOMEM;
	for (size_t i = 0; i < o->n_batches; i++) {
		const struct compact_batch *b = &o->batches[i];
		const struct held_journal *j = p->archive->journals[b->journal];

		if (!spans_have(&j->packed, b->first_seq, b->first_seq + b->entries))
			p->batches[p->n_batches++] = *b;
	}
	return 1;
}

static int choose(struct packing *p)
{
	struct archive *a = p->archive;
	uint64_t next[LANES];
	int r = 0;

	for (unsigned i = 0; i < LANES; i++)
		next[i] = lane_next(&a->lane[i]);
	pthread_mutex_lock(&a->lock);
	for (uint32_t i = 0; i < a->n_objects && r == 0; i++) {
		const struct held_object *o = &a->objects[i];

		if (!o->lane || o->rest || o->packed || o->left_alone ||
		    o->seq >= next[o->lane->number])
			continue;
		p->lane = o->lane;
		p->seq = o->seq;
		p->object = i;
		p->taken = o->taken;
		p->lost = o->lost > 0;
		r = copy_batches(p, o);
	}
	pthread_mutex_unlock(&a->lock);
	return r;
}

/* Journals. */

static int compare_numbers(const void *a, const void *b)
{
	const struct packed_journal *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* Which journals there are, by number. */
static int list_journals(struct packing *p)
{
	uint32_t kept = 0;

	p->journals = calloc(p->n_batches + 1, sizeof *p->journals);
	if (!p->journals)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_batches; i++)
		p->journals[i].number = p->batches[i].journal;
	if (p->n_batches > 1)
		qsort(p->journals, p->n_batches, sizeof *p->journals, compare_numbers);
	for (size_t i = 0; i < p->n_batches; i++)
		if (i == 0 || p->journals[i].number != p->journals[kept - 1].number)
			p->journals[kept++].number = p->journals[i].number;
	p->n_journals = kept;
	return 0;
}

/* Contexts that were published stay as they are. */
static void describe_journals(struct packing *p)
{
	struct archive *a = p->archive;

	pthread_mutex_lock(&a->lock);
	for (uint32_t i = 0; i < p->n_journals; i++) {
		struct packed_journal *j = &p->journals[i];
		const struct held_journal *h = a->journals[j->number];

		j->origin = h->origin;
		j->as = (struct compact_journal){ .id = h->id,
						  .boot = h->boot,
						  .contexts = h->contexts };
		j->tenant = tenant_of(h->contexts);
		j->first_batch = UINT64_MAX;
	}
	pthread_mutex_unlock(&a->lock);
}

/* One that list_journals() has listed. */
static struct packed_journal *find_journal(const struct packing *p, uint32_t number)
{
	uint32_t low = 0, high = p->n_journals;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (p->journals[middle].number <= number)
			low = middle;
		else
			high = middle;
	}
	assert(p->journals[low].number == number);
	return &p->journals[low];
}

static void describe_batches(struct packing *p)
{
	for (size_t i = 0; i < p->n_batches; i++) {
		struct compact_batch *b = &p->batches[i];
		struct packed_journal *j = find_journal(p, b->journal);

		b->journal = (uint32_t) (j - p->journals);
		/* What is in no segment in the end stays. */
		b->left_out = true;
		j->first_batch = MIN_OF(j->first_batch, b->batch_no);
		j->last_batch = MAX_OF(j->last_batch, b->batch_no);
	}
}

/* The seeds that its batches need; others are in other segments, or to come. */
static int copy_seeds(struct packed_journal *j, const struct seeds *from)
{
	int r = 0;

	for (uint32_t i = 0; from && i < from->n && r >= 0; i++) {
		bool over = i + 1 < from->n && from->at[i + 1].first_batch <= j->first_batch;

		if (!over && from->at[i].first_batch <= j->last_batch)
			r = seeds_add(&j->as.seeds, &from->at[i]);
	}
	return r;
}

/* @return 1; 0: an origin is not known yet; -ENOMEM. */
static int read_seeds(struct packing *p)
{
	struct archive *a = p->archive;
	struct held_origin *o = NULL;
	int r = 1;

	for (uint32_t i = 0; i < p->n_journals && r > 0; i++) {
		struct packed_journal *j = &p->journals[i];

		if (!o || !id_equal(&o->id, &j->origin)) {
			pthread_mutex_lock(&a->lock);
			o = archive_origin(a, &j->origin);
			pthread_mutex_unlock(&a->lock);
		}
		if (!o)
			return 0;
		pthread_mutex_lock(&o->lock);
		r = copy_seeds(j, receiver_seeds(o->receiver, &j->as.id)) < 0 ? -ENOMEM : 1;
		pthread_mutex_unlock(&o->lock);
	}
	return r;
}

/* Parts. */

static int compare_places(const void *a, const void *b, void *arg)
{
	const struct packed_journal *journals = arg, *x = &journals[*(const uint32_t *) a],
				    *y = &journals[*(const uint32_t *) b];
	int c = tenant_compare(&x->tenant, &y->tenant);

	if (c == 0)
		c = id_compare(&x->origin, &y->origin);
	return c != 0 ? c : compare_numbers(x, y);
}

static int order_journals(struct packing *p)
{
	p->order = reallocarray(NULL, p->n_journals + 1u, sizeof *p->order);
	if (!p->order)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n_journals; i++)
		p->order[i] = i;
	if (p->n_journals > 1)
		qsort_r(p->order, p->n_journals, sizeof *p->order, compare_places, p->journals);
	return 0;
}

/* Cut the journals into parts of one tenant each, none too large. */
static void cut_parts(struct packing *p)
{
	const struct packed_journal *before = NULL;
	uint64_t size = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n_journals; i++) {
		struct packed_journal *j = &p->journals[p->order[i]];
		uint64_t own = j->as.contexts->size + j->as.seeds.n * sizeof(struct tail_seed) +
			       PER_JOURNAL;

		if (!before || tenant_compare(&before->tenant, &j->tenant) != 0 ||
		    n == PART_JOURNALS_MAX || size + own > PART_TABLES_MAX) {
			p->n_parts++;
			n = 0;
			size = 0;
		}
		j->part = p->n_parts - 1;
		n++;
		size += own;
		before = j;
	}
}

int packing_begin(struct packing *p, struct archive *a)
{
	int r;

	*p = (struct packing){ .archive = a };
	r = choose(p);
	if (r <= 0)
		return r;
	r = list_journals(p);
	if (r < 0)
		return r;
	describe_journals(p);
	describe_batches(p);
	r = read_seeds(p);
	if (r > 0 && order_journals(p) < 0)
		r = -ENOMEM;
	if (r > 0)
		cut_parts(p);
	return r;
}

void packing_part_done(struct packing_part *x)
{
	free(x->origins);
	free(x->journals);
	free(x->task.batches);
	free(x->batches);
}

static void take_journal(struct packing_part *x, struct packed_journal *j, uint32_t place)
{
	struct compact_task *t = &x->task;

	if (t->n_origins == 0 || !id_equal(&x->origins[t->n_origins - 1], &j->origin))
		x->origins[t->n_origins++] = j->origin;
	t->tenant = j->tenant;
	j->in_part = place;
	x->journals[place] = j->as;
	x->journals[place].origin = t->n_origins - 1;
}

int packing_part_make(struct packing_part *x, struct packing *p, uint32_t number)
{
	uint32_t n = 0;

	*x = (struct packing_part){
		.origins = reallocarray(NULL, p->n_journals + 1u, sizeof *x->origins),
		.journals = reallocarray(NULL, p->n_journals + 1u, sizeof *x->journals),
		.batches = reallocarray(NULL, p->n_batches + 1, sizeof *x->batches),
		.task.batches = reallocarray(NULL, p->n_batches + 1, sizeof *x->task.batches),
	};
	if (!x->origins || !x->journals || !x->batches || !x->task.batches)
		return -ENOMEM;
	x->task.origins = x->origins;
	x->task.journals = x->journals;
	for (uint32_t i = 0; i < p->n_journals; i++)
		if (p->journals[p->order[i]].part == number)
			take_journal(x, &p->journals[p->order[i]], n++);
	for (size_t i = 0; i < p->n_batches; i++) {
		const struct packed_journal *j = &p->journals[p->batches[i].journal];

		if (j->part != number)
			continue;
		x->batches[x->task.n_batches] = i;
		x->task.batches[x->task.n_batches] = p->batches[i];
		x->task.batches[x->task.n_batches++].journal = j->in_part;
	}
	return 0;
}

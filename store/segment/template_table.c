/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/template_table.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "store/segment/messages.h"

/* What a part has, read. */
struct texts {
	uint8_t *block;	     /* owned */
	const uint8_t *keys; /* in it */
	uint32_t end[];	     /* where each template's ends */
};

struct table_part {
	struct block_ref ref;
	uint32_t first, n;	       /* templates */
	_Atomic(struct texts *) texts; /* owned; NULL until one is asked for */
};

struct template_table {
	struct table_part *parts; /* owned */
	uint32_t n_parts, n;
	_Atomic(struct template *) *at; /* owned; NULL until it is asked for */
};

static void texts_free(struct texts *t)
{
	if (t)
		free(t->block);
	free(t);
}

void template_table_free(struct template_table *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; t->at && i < t->n; i++)
		free(atomic_load_explicit(&t->at[i], memory_order_relaxed));
	for (uint32_t i = 0; t->parts && i < t->n_parts; i++)
		texts_free(atomic_load_explicit(&t->parts[i].texts, memory_order_relaxed));
	free(t->at);
	free(t->parts);
	free(t);
}

static void template_table_freep(struct template_table **t)
{
	template_table_free(*t);
}

enum { PART_LINE_MIN = 4 + 4 /* bytes of the footer */ };

static int read_parts(struct template_table *t, struct rd *r)
{
	uint64_t n = rd_varint(r), size = 0;

	if (r->bad || n > TEMPLATES_MAX || n > r->left / PART_LINE_MIN)
		return BULLA_ECORRUPT;
	t->parts = calloc(MAX_OF(n, 1ul), sizeof *t->parts);
	if (!t->parts)
		return -ENOMEM;
	for (; t->n_parts < n; t->n_parts++) {
		struct table_part *p = &t->parts[t->n_parts];
		uint64_t templates = rd_varint(r);

		p->ref = block_ref_read(r);
		size += p->ref.raw;
		if (r->bad || templates < 1 || templates > TEMPLATES_MAX - t->n ||
		    templates > p->ref.raw || size > TEMPLATES_SIZE_MAX)
			return BULLA_ECORRUPT;
		p->first = t->n;
		p->n = (uint32_t) templates;
		t->n += p->n;
	}
	t->at = calloc(MAX_OF(t->n, 1u), sizeof *t->at);
	return t->at ? 0 : -ENOMEM;
}

int template_table_read(struct rd *footer, struct template_table **ret)
{
	_cleanup_(template_table_freep) struct template_table *t = calloc(1, sizeof *t);
	int r = t ? read_parts(t, footer) : -ENOMEM;

	if (r >= 0)
		*ret = TAKE_PTR(t);
	return r;
}

uint32_t template_table_size(const struct template_table *t)
{
	return t->n;
}

const struct block_ref *template_table_part(const struct template_table *t, uint32_t number)
{
	return number < t->n_parts ? &t->parts[number].ref : NULL;
}

/* Parts. */

static struct table_part *part_of(const struct template_table *t, uint32_t number)
{
	uint32_t from = 0, to = t->n_parts;

	while (to - from > 1) {
		uint32_t middle = from + (to - from) / 2;

		if (t->parts[middle].first <= number)
			from = middle;
		else
			to = middle;
	}
	return &t->parts[from];
}

static int read_ends(struct texts *t, uint32_t n, size_t size)
{
	struct rd r = rd_of(t->block, size);
	uint64_t total = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t len = rd_varint(&r);

		r.bad |= len > TEMPLATE_SIZE_MAX;
		total += MIN_OF(len, (uint64_t) TEMPLATE_SIZE_MAX);
		t->end[i] = (uint32_t) total;
	}
	t->keys = r.p;
	return r.bad || total != r.left ? BULLA_ECORRUPT : 0;
}

static int read_texts(struct table_part *p, int fd, struct block_scratch *scratch,
		      struct texts **ret)
{
	struct texts *made, *there = NULL;
	int r;

	made = calloc(1, sizeof *made + (size_t) p->n * sizeof *made->end);
	if (!made)
		return -ENOMEM;
	r = block_read(fd, &p->ref, scratch, &made->block);
	if (r >= 0)
		r = read_ends(made, p->n, p->ref.raw);
	if (r >= 0 && atomic_compare_exchange_strong(&p->texts, &there, made))
		there = TAKE_PTR(made);
	texts_free(made);
	*ret = there;
	return r;
}

static int texts_of(struct table_part *p, int fd, struct block_scratch *scratch, struct texts **ret)
{
	*ret = atomic_load_explicit(&p->texts, memory_order_acquire);
	return *ret ? 0 : read_texts(p, fd, scratch, ret);
}

/* Templates. */

static int make(struct template_table *t, int fd, uint32_t number, struct block_scratch *scratch,
		const struct template **ret)
{
	struct table_part *p = part_of(t, number);
	struct template *made, *there = NULL;
	struct texts *texts;
	uint32_t from, i = number - p->first;
	int r = texts_of(p, fd, scratch, &texts);

	if (r < 0)
		return r;
	from = i > 0 ? texts->end[i - 1] : 0;
	r = template_parse(texts->keys + from, texts->end[i] - from, &made);
	if (r < 0) {
		scratch->at = p->ref.offset;
		return r;
	}
	if (atomic_compare_exchange_strong(&t->at[number], &there, made))
		there = made;
	else
		free(made);
	*ret = there;
	return 0;
}

int template_table_get(struct template_table *t, int fd, uint32_t number,
		       struct block_scratch *scratch, const struct template **ret)
{
	if (number >= t->n)
		return BULLA_ECORRUPT;
	/* Most often the next will be asked for next, and its memory is anywhere. */
	if (number + 1 < t->n)
		__builtin_prefetch(atomic_load_explicit(&t->at[number + 1], memory_order_relaxed));
	*ret = atomic_load_explicit(&t->at[number], memory_order_acquire);
	return *ret ? 0 : make(t, fd, number, scratch, ret);
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/template_table.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "store/segment/messages.h"

/* What a part has, read: something of each template. */
struct texts {
	uint8_t *block;	      /* owned */
	const uint8_t *first; /* in it */
	uint32_t end[];	      /* where each template's ends */
};

struct table_part {
	struct block_ref ref;
	uint32_t first, n;	       /* templates */
	_Atomic(struct texts *) texts; /* owned; NULL until one is asked for */
};

/* All parts of one sort. */
struct table_parts {
	struct table_part *at; /* owned */
	uint32_t n, templates;
	uint32_t longest; /* bytes of a template */
};

struct template_table {
	struct table_parts keys, kinds;
	_Atomic(struct template *) *at; /* owned; NULL until it is asked for */
};

static void texts_free(struct texts *t)
{
	if (t)
		free(t->block);
	free(t);
}

static void parts_done(struct table_parts *p)
{
	for (uint32_t i = 0; p->at && i < p->n; i++)
		texts_free(atomic_load_explicit(&p->at[i].texts, memory_order_relaxed));
	free(p->at);
}

void template_table_free(struct template_table *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; t->at && i < t->keys.templates; i++)
		free(atomic_load_explicit(&t->at[i], memory_order_relaxed));
	parts_done(&t->keys);
	parts_done(&t->kinds);
	free(t->at);
	free(t);
}

static void template_table_freep(struct template_table **t)
{
	template_table_free(*t);
}

enum { PART_LINE_MIN = 4 + 4 /* bytes of the footer */ };

static int read_parts(struct table_parts *all, uint32_t longest, struct rd *r)
{
	uint64_t n = rd_varint(r), size = 0;

	if (r->bad || n > TEMPLATES_MAX || n > r->left / PART_LINE_MIN)
		return BULLA_ECORRUPT;
	all->longest = longest;
	all->at = calloc(MAX_OF(n, 1ul), sizeof *all->at);
	if (!all->at)
		return -ENOMEM;
	for (; all->n < n; all->n++) {
		struct table_part *p = &all->at[all->n];
		uint64_t templates = rd_varint(r);

		p->ref = block_ref_read(r);
		size += p->ref.raw;
		if (r->bad || templates < 1 || templates > TEMPLATES_MAX - all->templates ||
		    templates > p->ref.raw || size > TEMPLATES_SIZE_MAX)
			return BULLA_ECORRUPT;
		p->first = all->templates;
		p->n = (uint32_t) templates;
		all->templates += p->n;
	}
	return 0;
}

static int read_table(struct template_table *t, struct rd *footer)
{
	int r = read_parts(&t->keys, TEMPLATE_SIZE_MAX, footer);

	if (r >= 0)
		r = read_parts(&t->kinds, VARIABLES_MAX, footer);
	if (r >= 0 && t->kinds.templates != t->keys.templates)
		r = BULLA_ECORRUPT;
	if (r < 0)
		return r;
	t->at = calloc(MAX_OF(t->keys.templates, 1u), sizeof *t->at);
	return t->at ? 0 : -ENOMEM;
}

int template_table_read(struct rd *footer, struct template_table **ret)
{
	_cleanup_(template_table_freep) struct template_table *t = calloc(1, sizeof *t);
	int r = t ? read_table(t, footer) : -ENOMEM;

	if (r >= 0)
		*ret = TAKE_PTR(t);
	return r;
}

uint32_t template_table_size(const struct template_table *t)
{
	return t->keys.templates;
}

const struct block_ref *template_table_part(const struct template_table *t, uint32_t number)
{
	if (number < t->keys.n)
		return &t->keys.at[number].ref;
	number -= t->keys.n;
	return number < t->kinds.n ? &t->kinds.at[number].ref : NULL;
}

/* Parts. */

static struct table_part *part_of(const struct table_parts *p, uint32_t number)
{
	uint32_t from = 0, to = p->n;

	while (to - from > 1) {
		uint32_t middle = from + (to - from) / 2;

		if (p->at[middle].first <= number)
			from = middle;
		else
			to = middle;
	}
	return &p->at[from];
}

static int read_ends(struct texts *t, uint32_t n, size_t size, uint32_t longest)
{
	struct rd r = rd_of(t->block, size);
	uint64_t total = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t len = rd_varint(&r);

		r.bad |= len > longest;
		total += MIN_OF(len, (uint64_t) longest);
		t->end[i] = (uint32_t) total;
	}
	t->first = r.p;
	return r.bad || total != r.left ? BULLA_ECORRUPT : 0;
}

static int read_texts(struct table_part *p, uint32_t longest, int fd, struct block_scratch *scratch,
		      struct texts **ret)
{
	struct texts *made, *there = NULL;
	int r;

	made = calloc(1, sizeof *made + (size_t) p->n * sizeof *made->end);
	if (!made)
		return -ENOMEM;
	r = block_read(fd, &p->ref, scratch, &made->block);
	if (r >= 0)
		r = read_ends(made, p->n, p->ref.raw, longest);
	if (r >= 0 && atomic_compare_exchange_strong(&p->texts, &there, made))
		there = TAKE_PTR(made);
	texts_free(made);
	*ret = there;
	return r;
}

/* What the parts have of a template. */
static int text_of(const struct table_parts *all, int fd, uint32_t number,
		   struct block_scratch *scratch, struct text *ret)
{
	struct table_part *p = part_of(all, number);
	struct texts *texts = atomic_load_explicit(&p->texts, memory_order_acquire);
	uint32_t from, i = number - p->first;
	int r = texts ? 0 : read_texts(p, all->longest, fd, scratch, &texts);

	if (r < 0)
		return r;
	from = i > 0 ? texts->end[i - 1] : 0;
	*ret = (struct text){ texts->first + from, texts->end[i] - from };
	return 0;
}

/* Templates. */

int template_table_kinds(const struct template_table *t, int fd, uint32_t number,
			 struct block_scratch *scratch, struct text *ret)
{
	int r = number < t->kinds.templates ? text_of(&t->kinds, fd, number, scratch, ret)
					    : BULLA_ECORRUPT;

	for (uint32_t i = 0; r >= 0 && i < ret->len; i++)
		if (!variable_kind_is_known(ret->p[i])) {
			scratch->at = part_of(&t->kinds, number)->ref.offset;
			r = BULLA_ECORRUPT;
		}
	return r;
}

static bool has_kinds(const struct template *t, const struct text *kinds)
{
	bool same = t->n == kinds->len;

	for (uint32_t i = 0; same && i < kinds->len; i++)
		same = t->slots[i].kind == kinds->p[i];
	return same;
}

/* As its key has it, and the kinds that are told apart from that. */
static int parse(const struct template_table *t, int fd, uint32_t number,
		 struct block_scratch *scratch, struct template **ret)
{
	struct text key, kinds;
	int r = text_of(&t->kinds, fd, number, scratch, &kinds);

	if (r >= 0)
		r = text_of(&t->keys, fd, number, scratch, &key);
	if (r < 0)
		return r;
	scratch->at = part_of(&t->keys, number)->ref.offset;
	r = template_parse(key.p, key.len, ret);
	if (r >= 0 && !has_kinds(*ret, &kinds)) {
		free(TAKE_PTR(*ret));
		r = BULLA_ECORRUPT;
	}
	return r;
}

static int make(struct template_table *t, int fd, uint32_t number, struct block_scratch *scratch,
		const struct template **ret)
{
	struct template *made, *there = NULL;
	int r = parse(t, fd, number, scratch, &made);

	if (r < 0)
		return r;
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
	if (number >= t->keys.templates)
		return BULLA_ECORRUPT;
	*ret = atomic_load_explicit(&t->at[number], memory_order_acquire);
	return *ret ? 0 : make(t, fd, number, scratch, ret);
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/template_table.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "store/segment/messages.h"

struct template_table {
	uint8_t *block;			/* owned */
	const uint8_t *keys;		/* in it */
	uint32_t *end;			/* owned: where each one's text ends */
	_Atomic(struct template *) *at; /* owned; NULL until it is asked for */
	uint32_t n;
};

void template_table_free(struct template_table *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; t->at && i < t->n; i++)
		free(atomic_load_explicit(&t->at[i], memory_order_relaxed));
	free(t->at);
	free(t->end);
	free(t->block);
	free(t);
}

static void template_table_freep(struct template_table **t)
{
	template_table_free(*t);
}

static int read_ends(struct template_table *t, struct rd *r)
{
	uint64_t n = rd_varint(r), total = 0;

	if (r->bad || n > TEMPLATES_MAX || n > r->left)
		return BULLA_ECORRUPT;
	t->at = calloc(MAX_OF(n, 1ul), sizeof *t->at);
	t->end = reallocarray(NULL, MAX_OF(n, 1ul), sizeof *t->end);
	if (!t->at || !t->end)
		return -ENOMEM;
	for (; t->n < n; t->n++) {
		uint64_t len = rd_varint(r);

		r->bad |= len > TEMPLATE_SIZE_MAX;
		total += MIN_OF(len, (uint64_t) TEMPLATE_SIZE_MAX);
		t->end[t->n] = (uint32_t) total;
	}
	t->keys = r->p;
	return r->bad || total != r->left ? BULLA_ECORRUPT : 0;
}

int template_table_new(uint8_t *block, size_t n, struct template_table **ret)
{
	_cleanup_(template_table_freep) struct template_table *t = calloc(1, sizeof *t);
	struct rd r = rd_of(block, n);
	int error;

	if (!t) {
		free(block);
		return -ENOMEM;
	}
	t->block = block;
	error = read_ends(t, &r);
	if (error < 0)
		return error;
	*ret = TAKE_PTR(t);
	return 0;
}

uint32_t template_table_size(const struct template_table *t)
{
	return t->n;
}

int template_table_get(struct template_table *t, uint32_t number, const struct template **ret)
{
	struct template *there, *made;
	uint32_t from;
	int r;

	if (number >= t->n)
		return BULLA_ECORRUPT;
	there = atomic_load_explicit(&t->at[number], memory_order_acquire);
	if (!there) {
		from = number > 0 ? t->end[number - 1] : 0;
		r = template_parse(t->keys + from, t->end[number] - from, &made);
		if (r < 0)
			return r;
		if (atomic_compare_exchange_strong(&t->at[number], &there, made))
			there = made;
		else
			free(made);
	}
	*ret = there;
	return 0;
}

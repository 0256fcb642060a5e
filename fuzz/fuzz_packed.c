/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: packed_begin(), packed_next(), packed_write().
 *
 * The input is a packed record.  Whatever comes out of it can be packed again, and then comes out as the same.
 */

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bulla/error.h"
#include "fuzz/fuzz.h"
#include "seal/kes.h"
#include "seal/packed.h"
#include "seal/statement.h"

enum { ITEMS_MAX = 4096 };

FUZZ_HAS_ENTRANCE;

static struct commit_record commits[PACKED_COMMITS_MAX];
static struct ledger_item items[ITEMS_MAX];

static bool same_item(const struct ledger_item *a, const struct ledger_item *b)
{
	return a->handle == b->handle && a->flags == b->flags && a->entries == b->entries &&
	       a->bytes == b->bytes && a->time_min == b->time_min && a->span == b->span &&
	       a->mono == b->mono && hash_same(&a->root, &b->root);
}

/* Take all of it, as far as there is room.  @return commits, or an error. */
static int take(struct packed_reader *r, size_t *ret_items)
{
	size_t n = 0, n_items = 0;
	int k;

	while ((k = packed_next(r, &commits[n])) > 0) {
		struct commit_record *c = &commits[n];

		assert(n < PACKED_COMMITS_MAX);
		if (n_items + c->n_items > ITEMS_MAX)
			return BULLA_ELIMIT;
		if (c->n_items > 0)
			memcpy(items + n_items, c->items, c->n_items * sizeof *items);
		c->items = items + n_items;
		n_items += c->n_items;
		n++;
	}
	*ret_items = n_items;
	return k < 0 ? k : (int) n;
}

static void compare(const struct buf *record, size_t n)
{
	struct packed_reader r = { 0 };
	struct commit_record c;

	fuzz_count_let_in();
	assert(packed_begin(&r, record->data, record->len) == 0);
	for (size_t i = 0; i < n; i++) {
		assert(packed_next(&r, &c) == 1);
		assert(c.number == commits[i].number && c.time_ns == commits[i].time_ns);
		assert(c.n_items == commits[i].n_items && c.events_size == commits[i].events_size);
		assert(memcmp(c.sigma, commits[i].sigma, KES_SIGMA_SIZE) == 0);
		for (size_t k = 0; k < c.n_items; k++)
			assert(same_item(&c.items[k], &commits[i].items[k]));
	}
	assert(packed_next(&r, &c) == 0);
	packed_done(&r);
}

/* No journal may be there twice, nor is it where a ledger is read: ids are in order there. */
static bool is_lawful(const struct packed_reader *r)
{
	if (r->n_handles > 512)
		return false;
	for (size_t i = 0; i < r->n_handles; i++)
		for (size_t k = 0; k < i; k++)
			if (r->handles[i] == r->handles[k])
				return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Exactly as long as it is, for AddressSanitizer to guard its end. */
	uint8_t *exact = malloc(size ? size : 1);
	struct packed_reader r = { 0 };
	struct buf record = { 0 };
	size_t n_items;
	int n;

	assert(exact);
	if (size > 0)
		memcpy(exact, data, size);
	n = packed_begin(&r, exact, size);
	if (n >= 0)
		n = take(&r, &n_items);
	if (n > 0 && is_lawful(&r)) {
		int k = packed_write(commits, (size_t) n, r.handles, r.n_handles, &record);

		assert(k == 0 && !record.bad);
		compare(&record, (size_t) n);
	}
	packed_done(&r);
	buf_done(&record);
	free(exact);
	return 0;
}

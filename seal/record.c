/* SPDX-License-Identifier: Apache-2.0 */

#include "seal/record.h"

#include <errno.h>
#include <stdlib.h>

#include "bulla/error.h"
#include "seal/kes.h"
#include "seal/statement.h"

enum { ITEM_SIZE_MIN = 7 + HASH_SIZE };

bool ledger_items_reserve(struct ledger_items *items, size_t n)
{
	struct ledger_item *at;

	if (n <= items->cap)
		return true;
	at = reallocarray(items->at, n, sizeof *at);
	if (!at)
		return false;
	items->at = at;
	items->cap = n;
	return true;
}

void ledger_items_done(struct ledger_items *items)
{
	free(items->at);
	*items = (struct ledger_items){ 0 };
}

bool root_is_absent(const struct hash *root)
{
	static const struct hash absent;

	return memcmp(root->b, absent.b, HASH_SIZE) == 0;
}

void ledger_item_write(const struct ledger_item *i, struct wr *w)
{
	wr_varint(w, i->handle);
	wr_u8(w, i->flags);
	wr_varint(w, i->entries);
	wr_varint(w, i->bytes);
	wr_varint(w, zigzag(i->time_min));
	wr_varint(w, i->span);
	wr_varint(w, zigzag(i->mono));
	wr_bytes(w, i->root.b, HASH_SIZE);
}

static struct ledger_item read_item(struct rd *r)
{
	struct ledger_item i;

	i.handle = rd_varint(r);
	i.flags = rd_u8(r);
	i.entries = rd_varint(r);
	i.bytes = rd_varint(r);
	i.time_min = unzigzag(rd_varint(r));
	i.span = rd_varint(r);
	i.mono = unzigzag(rd_varint(r));
	rd_copy(r, i.root.b, HASH_SIZE);
	return i;
}

int commit_record_skip_events(struct rd *r, uint64_t n)
{
	if (r->bad || n > EVENTS_MAX)
		return BULLA_ECORRUPT;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t len;

		rd_u8(r);
		len = rd_varint(r);
		if (len > EVENT_SIZE_MAX)
			return BULLA_ECORRUPT;
		rd_bytes(r, len);
		if (r->bad)
			return BULLA_ECORRUPT;
	}
	return 0;
}

int commit_record_read(const uint8_t *p, size_t n, bool with_sigma, struct ledger_items *room,
		       struct commit_record *ret)
{
	struct rd r = rd_of(p, n);
	uint64_t n_items;
	int k;

	*ret = (struct commit_record){ .number = rd_varint(&r) };
	ret->time_ns = rd_u64(&r);
	n_items = rd_varint(&r);
	if (r.bad || n_items > BATCHES_MAX || n_items > r.left / ITEM_SIZE_MIN)
		return BULLA_ECORRUPT;
	if (!ledger_items_reserve(room, n_items))
		return -ENOMEM;
	for (size_t i = 0; i < n_items; i++) {
		room->at[i] = read_item(&r);
		/* Here none may be left out. */
		if (r.bad || root_is_absent(&room->at[i].root))
			return BULLA_ECORRUPT;
	}
	ret->items = room->at;
	ret->n_items = n_items;
	ret->n_events = rd_varint(&r);
	ret->events = r.p;
	k = commit_record_skip_events(&r, ret->n_events);
	if (k < 0)
		return k;
	ret->events_size = (size_t) (r.p - ret->events);
	ret->sigma = with_sigma ? rd_bytes(&r, KES_SIGMA_SIZE) : NULL;
	return r.bad || r.left > 0 ? BULLA_ECORRUPT : 0;
}

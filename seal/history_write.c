/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Making records, in the one form that history_parse.c reads.  A commit is written without its signature first: reading it
 * back is what says which message to sign, so nothing is ever signed that a reader would refuse.
 */

#include "seal/history-internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "bulla/error.h"

void history_write_header(uint64_t first, struct buf *to)
{
	uint8_t bytes[LEDGER_HEADER_SIZE];
	struct wr w = wr_of(bytes, sizeof bytes);

	wr_bytes(&w, history_magic, sizeof history_magic);
	wr_u32(&w, 0);
	wr_u32(&w, 0);
	wr_u64(&w, first);
	buf_append(to, bytes, w.len);
}

void history_write_keys(const struct kes *k, struct buf *to)
{
	uint8_t head[8 + 3];
	struct wr w = wr_of(head, sizeof head);

	wr_u64(&w, k->counter);
	wr_u8(&w, k->params.levels);
	wr_u8(&w, k->params.height);
	wr_u8(&w, (uint8_t) kes_renewed_from(k));
	buf_append(to, head, w.len);
	for (unsigned l = kes_renewed_from(k); l < k->params.levels; l++) {
		if (l > 0)
			buf_append(to, k->level[l].certificate, KES_SIGMA_SIZE);
		buf_append(to, &k->level[l].public.node[bottom_keys(&k->params)],
			   bottom_keys(&k->params) * KES_PUBLIC_SIZE);
	}
}

static int compare_items(const void *a, const void *b, void *arg)
{
	const struct batch_item *x = a, *y = b;
	const struct ledger_journal *jx = history_journal_at(arg, x->handle),
				    *jy = history_journal_at(arg, y->handle);

	assert(jx && jy);
	return id_compare(&jx->id, &jy->id);
}

static struct ledger_item item_of(const struct history *h, const struct batch_item *i,
				  uint64_t time_ns)
{
	const struct ledger_journal *j = history_journal_at(h, i->handle);

	assert(j);
	return (struct ledger_item){
		.handle = i->handle,
		.flags = i->recovered ? BATCH_RECOVERED : 0,
		.entries = i->entries,
		.bytes = i->bytes,
		.time_min = i->time_min - time_ns,
		.span = i->time_max - i->time_min,
		.mono = (uint64_t) i->mono_offset - (uint64_t) j->mono_offset,
		.root = i->root,
	};
}

enum { ITEM_SIZE_MAX = 6 * VARINT_SIZE_MAX + 1 + HASH_SIZE };

/* Where a record is to go; `events_size` are their bytes.  Its room is so much that nothing can be too long. */
static bool begin_record(struct buf *to, size_t n_items, size_t events_size, struct wr *ret)
{
	size_t room = 8 + 3 * VARINT_SIZE_MAX + n_items * ITEM_SIZE_MAX + events_size;

	if (!buf_room(to, room))
		return false;
	*ret = wr_of(to->data + to->len, room);
	return true;
}

static void write_head(const struct history *h, uint64_t time_ns, size_t n_items, struct wr *w)
{
	wr_varint(w, h->tree.size);
	wr_u64(w, time_ns);
	wr_varint(w, n_items);
}

static size_t events_size(const struct event *events, size_t n)
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++)
		size += 1 + VARINT_SIZE_MAX + events[i].len;
	return size;
}

static void write_events(const struct event *events, size_t n, struct wr *w)
{
	wr_varint(w, n);
	for (size_t i = 0; i < n; i++) {
		wr_u8(w, events[i].kind);
		wr_varint(w, events[i].len);
		wr_bytes(w, events[i].body, events[i].len);
	}
}

int history_write_commit(struct history *h, uint64_t time_ns, struct batch_item *items,
			 size_t n_items, const struct event *events, size_t n_events,
			 struct buf *to)
{
	struct wr w;

	if (n_items > BATCHES_MAX || n_events > EVENTS_MAX)
		return BULLA_ELIMIT;
	h->p.n_opened = 0;
	h->p.complete = false;
	for (size_t i = 0; i < n_events; i++)
		if (events[i].kind == EVENT_OPEN) {
			int r = history_parse_open(h, &events[i]);

			if (r < 0)
				return r;
		}
	for (size_t i = 0; i < n_items; i++)
		if (!history_journal_at(h, items[i].handle))
			return BULLA_EORDER;
	if (n_items > 1)
		qsort_r(items, n_items, sizeof *items, compare_items, h);
	if (!begin_record(to, n_items, events_size(events, n_events), &w))
		return -ENOMEM;
	write_head(h, time_ns, n_items, &w);
	for (size_t i = 0; i < n_items; i++) {
		struct ledger_item item = item_of(h, &items[i], time_ns);

		ledger_item_write(&item, &w);
	}
	write_events(events, n_events, &w);
	assert(!w.bad);
	buf_add(to, w.len);
	return 0;
}

int history_rewrite_commit(const struct history *h, const struct batch *batches, struct buf *to)
{
	const struct parsed *p = &h->p;
	size_t n = p->commit.n_batches;
	struct hash root = batches_root(batches, n);
	struct wr w;

	assert(p->complete && p->sigma);
	if (!hash_same(&root, &p->commit.batches_root))
		return BULLA_ETAMPERED;
	if (!begin_record(to, n, events_size(p->commit.events, p->commit.n_events) + KES_SIGMA_SIZE,
			  &w))
		return -ENOMEM;
	write_head(h, p->commit.time_ns, n, &w);
	for (size_t i = 0; i < n; i++) {
		const struct batch *b = &batches[i];
		struct ledger_item item = item_of(h,
						  &(struct batch_item){
							  .handle = p->handles[i],
							  .entries = b->entries,
							  .bytes = b->bytes,
							  .time_min = b->time_min,
							  .time_max = b->time_max,
							  .mono_offset = b->mono_offset,
							  .root = b->root,
							  .recovered = b->recovered,
						  },
						  p->commit.time_ns);

		ledger_item_write(&item, &w);
	}
	write_events(p->commit.events, p->commit.n_events, &w);
	wr_bytes(&w, p->sigma, KES_SIGMA_SIZE);
	assert(!w.bad);
	buf_add(to, w.len);
	return 0;
}

ssize_t history_seal_message(struct history *h, const uint8_t *p, size_t n,
			     char ret[SEAL_MESSAGE_SIZE_MAX])
{
	int r = history_parse_commit(h, p, n, false);

	return r < 0 ? r : (ssize_t) history_parsed_message(h, ret);
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Unsealed rows as they come in, from whoever reaches the port: each piece is checked as far as it can be, and waits in a ring for
 * followers.  Nothing of it is kept.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/archive-internal.h"
#include "base/cleanup.h"
#include "base/frame.h"
#include "bulla/error.h"

static void piece_free(struct live_piece *p)
{
	contexts_done(&p->contexts);
	free(p->frame);
	free(p);
}

void archive_release_piece(struct live_piece *p)
{
	if (--p->users == 0)
		piece_free(p);
}

static void drop_oldest(struct archive *a)
{
	struct live_piece *oldest = a->live[a->live_first++ % LIVE_MAX];

	a->live_bytes -= oldest->size;
	archive_release_piece(oldest);
}

void archive_drop_live(struct archive *a)
{
	while (a->live_first < a->live_next)
		drop_oldest(a);
}

/*
 * The journal that rows are of.  Only origins that have sealed something have any, and what was never sealed is bounded:
 * nobody vouches for it.  Called with the lock held.  @return -ENOENT where it is not to be known.
 */
static int64_t live_journal(struct archive *a, const struct id *origin, const struct id *journal)
{
	struct held_origin *o = archive_origin(a, origin);
	uint32_t before = a->n_journals;
	int64_t number;

	if (!o)
		return -ENOENT;
	if (o->live_journals >= LIVE_JOURNALS_MAX && archive_find_journal(a, origin, journal) < 0)
		return -ENOENT;
	number = archive_journal(a, origin, journal);
	if (number >= before) {
		o->live_journals++;
		a->journals[number]->live_only = true;
	}
	return number;
}

static int publish(struct archive *a, const struct id *origin, const struct id *journal,
		   struct live_piece *p)
{
	int64_t number;

	pthread_mutex_lock(&a->lock);
	number = live_journal(a, origin, journal);
	if (number < 0) {
		pthread_mutex_unlock(&a->lock);
		piece_free(p);
		return number == -ENOENT ? 0 : (int) number;
	}
	/* What a slow follower has not seen yet comes to it sealed. */
	while (a->live_first < a->live_next && (a->live_next - a->live_first >= LIVE_MAX ||
						a->live_bytes + p->size > LIVE_BYTES_MAX))
		drop_oldest(a);
	p->users = 1;
	p->journal = (uint32_t) number;
	p->number = a->live_next;
	a->live[a->live_next++ % LIVE_MAX] = p;
	a->live_bytes += p->size;
	pthread_cond_broadcast(&a->more);
	pthread_mutex_unlock(&a->lock);
	return 0;
}

/* The rows are what their head says: whoever follows counts by it. */
static int check_rows(const struct frame *f, const struct contexts *contexts, struct buf *raw)
{
	struct field fields[FIELDS_MAX];
	struct row_state state = { 0 };
	struct tail_rows rows;
	uint32_t context, n = 0;
	struct entry e;
	struct rd rd;
	int r;

	r = tail_rows_decode(f->payload, f->size, &rows);
	if (r >= 0)
		r = tail_rows_unpack(&rows, raw);
	if (r < 0)
		return r;
	rd = rd_of(raw->data, raw->len);
	while ((r = row_decode(&state, &rd, fields, &e, &context)) > 0) {
		if (context >= contexts->n)
			return BULLA_ECORRUPT;
		n++;
	}
	if (r < 0)
		return r;
	return n == rows.count && rows.first_seq <= UINT64_MAX - n ? 0 : BULLA_ECORRUPT;
}

static int on_rows(struct archive *a, const struct id *origin, const struct id *journal,
		   const struct contexts *contexts, const uint8_t *frame, size_t size)
{
	struct live_piece *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return -ENOMEM;
	p->frame = malloc(size);
	p->size = size + contexts->size;
	r = p->frame ? contexts_add_rest(&p->contexts, contexts) : -ENOMEM;
	if (r < 0) {
		piece_free(p);
		return r;
	}
	memcpy(p->frame, frame, size);
	p->frame_size = size;
	return publish(a, origin, journal, p);
}

static void contexts_clear(struct contexts *c)
{
	contexts_done(c);
}

int archive_live(struct archive *a, const struct id *origin, const uint8_t *body, size_t size)
{
	_cleanup_(contexts_clear) struct contexts contexts = { 0 };
	_cleanup_buf_ struct buf raw = { 0 };
	struct wire_batch head;
	bool begun = false;

	for (size_t at = 0; at < size;) {
		struct frame f;
		ssize_t n = frame_parse(body + at, size - at, TAIL_RECORD_MAX, &f);
		int64_t r = 0;

		if (n <= 0)
			return BULLA_ECORRUPT;
		if (f.type == WIRE_BATCH) {
			contexts_done(&contexts);
			r = wire_batch_decode(f.payload, f.size, &head);
			begun = true;
		} else if (f.type == TAIL_CONTEXT && begun) {
			r = contexts_add(&contexts, f.payload, f.size);
		} else if (f.type == TAIL_ROWS && begun) {
			r = check_rows(&f, &contexts, &raw);
			if (r >= 0)
				r = on_rows(a, origin, &head.journal, &contexts, body + at,
					    (size_t) n);
		} else {
			return BULLA_ECORRUPT;
		}
		if (r < 0)
			return (int) r;
		at += (size_t) n;
	}
	return 0;
}

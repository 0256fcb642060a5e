/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/tails.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

/* Journals. */

struct packed_journal *packed_journal_of(struct packed_tails *t, uint32_t handle)
{
	if (handle >= t->n) {
		uint32_t n = MAX_OF(2 * t->n, handle + 16);
		struct packed_journal *more = reallocarray(t->at, n, sizeof *more);

		if (!more)
			return NULL;
		memset(more + t->n, 0, (n - t->n) * sizeof *more);
		t->at = more;
		t->n = n;
	}
	return &t->at[handle];
}

int packed_tail_tenant(const struct packed_tails *t, const struct ledger_journal *j,
		       struct tenant *ret)
{
	_cleanup_(tail_reader_close) struct tail_reader tail = { .fd = -1 };
	struct tail_item item;
	char name[TAIL_NAME_SIZE];
	int r;

	tail_name(&j->id, name);
	r = tail_reader_open(&tail, t->state->journals, name);
	/* It comes before whatever the next frame is. */
	if (r >= 0)
		r = tail_reader_next(&tail, &item);
	if (tail.contexts.n == 0 || !hash_same(&tail.contexts.at[0].hash, &j->identity))
		return r < 0 ? r : BULLA_ETAMPERED;
	*ret = tenant_of(&tail.contexts);
	return 0;
}

/* Tails. */

static struct packed_tail *tail_of(struct packed_journal *journal)
{
	if (!journal->tail)
		journal->tail = calloc(1, sizeof *journal->tail);
	if (journal->tail && !journal->tail->begun) {
		journal->tail->tail.fd = -1;
		journal->tail->number = -1;
	}
	return journal->tail;
}

int packed_tail_open(struct packed_tails *t, struct packed_journal *journal,
		     const struct ledger_journal *j, struct packed_tail **ret)
{
	struct packed_tail *p = *ret = tail_of(journal);
	char name[TAIL_NAME_SIZE];
	int r;

	if (!p)
		return -ENOMEM;
	if (p->left_out || p->tail.fd >= 0)
		return 0;
	tail_name(&j->id, name);
	r = p->begun ? tail_reader_unpark(&p->tail, t->state->journals, name)
		     : tail_reader_open(&p->tail, t->state->journals, name);
	if (r < 0)
		return r;
	p->begun = true;
	return 0;
}

void packed_tail_park(struct packed_tail *p)
{
	if (p->begun && p->tail.fd >= 0)
		tail_reader_park(&p->tail);
}

void packed_tail_close(struct packed_journal *journal)
{
	struct packed_tail *p = journal->tail;

	if (p && p->begun)
		tail_reader_close(&p->tail);
	free(p);
	journal->tail = NULL;
}

void packed_tails_done(struct packed_tails *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		packed_tail_close(&t->at[i]);
	free(t->at);
	*t = (struct packed_tails){ 0 };
}

int packed_tail_next(struct packed_tail *p, uint64_t first_seq, struct tail_rows *ret)
{
	struct tail_item item;
	int r;

	while (p->after_hole <= first_seq) {
		r = tail_reader_next(&p->tail, &item);
		if (r == 0)
			return BULLA_ETRUNCATED;
		if (r < 0 && r > BULLA_ETRUNCATED)
			return r;
		if (r < 0 && tail_reader_resync(&p->tail) <= 0)
			return BULLA_ETAMPERED;
		if (r < 0)
			continue;
		if (item.type == TAIL_HOLE)
			p->after_hole = item.hole.next_seq;
		if (item.type != TAIL_ROWS || item.rows.first_seq < first_seq)
			continue;
		*ret = item.rows;
		return item.rows.first_seq == first_seq ? 0 : BULLA_ETAMPERED;
	}
	return -ENODATA;
}

bool packed_tail_is_damage(int error)
{
	return (error <= BULLA_ETRUNCATED && error != BULLA_ELIMIT) || error == -EIO ||
	       error == -ENOENT || error == -ELOOP || error == -EISDIR || error == -ENXIO;
}

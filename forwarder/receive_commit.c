/* SPDX-License-Identifier: Apache-2.0 */

/** A commit has come: are the batches that were staged before it those that it seals? */

#include <errno.h>

#include "bulla/error.h"
#include "forwarder/receive-internal.h"

/* Checking. */

static const struct ledger_journal *opened_by(const struct sealed_commit *c,
					      const struct id *journal, struct ledger_journal *room)
{
	for (uint16_t i = 0; i < c->commit.n_events; i++) {
		struct event_open open;

		if (c->commit.events[i].kind == EVENT_OPEN &&
		    event_open_decode(&c->commit.events[i], &open) == 0 &&
		    id_equal(&open.journal, journal)) {
			*room = (struct ledger_journal){
				.identity = open.identity,
				.seed_commitment = open.seed_commitment,
			};
			return room;
		}
	}
	return NULL;
}

/* The identity and the first seed are those that `open` sealed. */
static int check_identity(const struct receiver *r, const struct sealed_commit *c,
			  const struct staged *s)
{
	const struct contexts *contexts = draft_contexts(&s->draft);
	const struct seeds *seeds = draft_seeds(&s->draft);
	const struct ledger_journal *j;
	struct ledger_journal room;
	struct hash commitment;

	j = s->handle >= 0 ? history_journal(r->history, (uint32_t) s->handle)
			   : opened_by(c, &s->wire.journal, &room);
	if (!j)
		return BULLA_EORDER;
	if (contexts->n == 0 || seeds->n == 0)
		return -ENOKEY;
	commitment = seed_commitment(&s->wire.journal, seeds->at[0].seed);
	if (!hash_same(&contexts->at[0].hash, &j->identity) ||
	    !hash_same(&commitment, &j->seed_commitment))
		return BULLA_ETAMPERED;
	return 0;
}

static int check_batch(const struct receiver *r, const struct sealed_commit *c,
		       const struct staged *s, const struct batch *b, unsigned how)
{
	int k;

	if (!id_equal(&s->wire.journal, &b->journal) || s->wire.batch_no != b->batch_no)
		return BULLA_EORDER;
	if (s->wire.absent != ABSENT_NOT)
		return 0;
	if (s->first_seq != b->first_seq || s->entries != b->entries)
		return BULLA_ETAMPERED;
	if (how & RECEIVE_OWN)
		return 0;
	k = check_identity(r, c, s);
	if (k < 0 || s->packed)
		return k;
	if (!hash_same(&s->root, &b->root) || s->bytes != b->bytes || s->time_min != b->time_min ||
	    s->time_max != b->time_max || b->recovered != !!(s->wire.flags & WIRE_BATCH_RECOVERED))
		return BULLA_ETAMPERED;
	return 0;
}

/* Packed batches. */

static struct staged stage_packed(const struct receiver *r, const struct batch *b)
{
	struct staged s = {
		.wire = { .journal = b->journal, .batch_no = b->batch_no },
		.handle = history_find_journal(r->history, &b->journal),
	};

	draft_begin(&s.draft, s.handle >= 0 ? r->told[s.handle] : NULL, false);
	return s;
}

/* Whether what came is of batches of the commit, in their order. */
static bool is_part_of(const struct receiver *r, const struct sealed_commit *c)
{
	size_t n = 0;

	for (uint32_t i = 0; i < c->commit.n_batches && n < r->n_staged; i++)
		n += id_equal(&r->staged[n].wire.journal, &c->batches[i].journal);
	return n == r->n_staged;
}

/* Of batches that are packed not even a head need have come: from the back, put those in between. */
static int stage_missing(struct receiver *r, const struct sealed_commit *c)
{
	size_t n = r->n_staged;
	int k;

	if (!is_part_of(r, c))
		return BULLA_EORDER;
	k = receiver_grow(&r->staged, &r->staged_cap, c->commit.n_batches, sizeof *r->staged);
	if (k < 0)
		return k;
	for (size_t i = c->commit.n_batches; i > n; i--) {
		const struct batch *b = &c->batches[i - 1];

		if (n > 0 && id_equal(&r->staged[n - 1].wire.journal, &b->journal))
			r->staged[i - 1] = r->staged[--n];
		else
			r->staged[i - 1] = stage_packed(r, b);
	}
	r->n_staged = c->commit.n_batches;
	return 0;
}

/* What has no rows, and is not absent, is in segments as it was sealed. */
static int take_as_packed(struct receiver *r, const struct sealed_commit *c)
{
	int k = stage_missing(r, c);

	for (size_t i = 0; i < r->n_staged && k >= 0; i++) {
		struct staged *s = &r->staged[i];

		if (s->entries > 0 || s->wire.absent != ABSENT_NOT)
			continue;
		s->packed = true;
		s->first_seq = c->batches[i].first_seq;
		s->entries = c->batches[i].entries;
		k = staged_use_all(s);
	}
	return k;
}

/* Commits. */

static int offer_batch(struct receiver *r, struct staged *s, const struct batch *b,
		       struct received *to)
{
	int k = draft_settle(&s->draft);

	if (k < 0)
		return k;
	for (size_t n = s->rows_from; n < s->rows_to; n++) {
		r->rows[n].mono_offset = b->mono_offset;
		r->rows[n].has_mono = !b->recovered;
	}
	r->batches[to->n_batches++] = (struct received_batch){
		.journal = b->journal,
		.boot = b->boot,
		.contexts = draft_snapshot(&s->draft),
		.batch_no = b->batch_no,
		.first_seq = b->first_seq,
		.entries = b->entries,
		.mono_offset = b->mono_offset,
		.recovered = b->recovered,
		.leaf = batch_leaf_hash(b),
		.absent = s->wire.absent,
		.rows = s->rows_to > s->rows_from ? &r->rows[s->rows_from] : NULL,
		.n_rows = s->rows_to - s->rows_from,
	};
	to->entries += s->wire.absent == ABSENT_NOT ? b->entries : 0;
	to->absent += s->wire.absent != ABSENT_NOT;
	return 0;
}

int receiver_commit(struct receiver *r, const struct frame *f, unsigned how, struct received *ret)
{
	struct sealed_commit c;
	int k;

	receiver_end_batch(r);
	if (r->keys_pending && !r->keys_here)
		return BULLA_EORDER;
	k = history_preview(r->history, f->payload, f->size,
			    how & RECEIVE_OWN ? HISTORY_SKIP_SIGNATURE : HISTORY_CHECK_ALL, &c);
	if (k >= 0 && how & RECEIVE_PACKED)
		k = take_as_packed(r, &c);
	if (k >= 0 && c.commit.n_batches != r->n_staged)
		k = BULLA_EORDER;
	if (k >= 0)
		k = receiver_grow(&r->batches, &r->batches_cap, r->n_staged, sizeof *r->batches);
	if (k < 0)
		return k;
	*ret = (struct received){
		.number = c.commit.number,
		.time_ns = c.commit.time_ns,
		.leaf = c.leaf,
		.root = c.root,
		.batches = r->batches,
	};
	for (size_t i = 0; i < r->n_staged; i++) {
		k = check_batch(r, &c, &r->staged[i], &c.batches[i], how);
		if (k >= 0)
			k = offer_batch(r, &r->staged[i], &c.batches[i], ret);
		if (k < 0)
			return k;
	}
	r->record = sha256(f->payload, f->size);
	r->offered = true;
	return 1;
}

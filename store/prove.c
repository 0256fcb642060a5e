/* SPDX-License-Identifier: Apache-2.0 */

/** Of a state directory: the ledger is read up to the commit, the batch's entries are looked for in segments, and in the journal's tail. */

#include "store/prove.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "seal/ledger.h"
#include "store/proving.h"
#include "store/segment/batches.h"
#include "store/tail_reader.h"

struct place {
	const struct state *state;
	struct segment_batches *segments;
};

/* What packing left out of the ledger, segments have. */
static int find_root(void *arg, const struct batch *b, struct hash *ret)
{
	const struct place *p = arg;

	return segment_batches_root(p->segments, b, ret);
}

static int from_segment(const struct place *p, const struct batch *b, struct proved_entries *e)
{
	struct segment_group *g;
	uint32_t number;
	int r = segment_batches_find(p->segments, &b->journal, b->batch_no, &g, &number);

	return r < 0 ? r : proved_entries_group(e, b, g, number);
}

static int from_tail(const struct place *p, const struct batch *b, struct proved_entries *e)
{
	_cleanup_(tail_reader_close) struct tail_reader t = { .fd = -1 };
	char name[TAIL_NAME_SIZE];
	struct tail_item item;
	int r;

	tail_name(&b->journal, name);
	r = tail_reader_open(&t, p->state->journals, name);
	while (r >= 0 && e->n < b->entries) {
		r = tail_reader_next(&t, &item);
		if (r == 0)
			return BULLA_ETRUNCATED;
		if ((r == BULLA_ECORRUPT || r == BULLA_ETRUNCATED) && !t.refused) {
			r = tail_reader_resync(&t);
			if (r == 0)
				return BULLA_ECORRUPT;
			continue;
		}
		if (r < 0 || item.type != TAIL_ROWS || item.rows.first_seq < b->first_seq)
			continue;
		r = proved_entries_rows(e, b, seeds_of(&t.seeds, b->batch_no), &t.contexts,
					&item.rows);
	}
	return MIN_OF(r, 0);
}

static int find_entries(void *arg, const struct batch *b, struct proved_entries *e)
{
	int r = from_segment(arg, b, e);

	if (r >= 0 || r == -ENOMEM)
		return r;
	r = proved_entries_begin(e, b);
	return r < 0 ? r : from_tail(arg, b, e);
}

static int follow_ledger(struct proving *p, const struct state *s, const char **why)
{
	struct ledger_scan scan = { 0 };
	struct ledger l = { .fd = -1 };
	struct ledger_read read;
	int r = ledger_begin(&l, s->ledger, O_RDONLY);

	while (r == 0) {
		r = ledger_next(&l, proving_history(p), HISTORY_SKIP_SIGNATURE, &scan, &read);
		if (r == 0)
			break;
		if (r < 0)
			*why = "the ledger cannot be read that far";
		else
			r = read.type == LEDGER_COMMIT ? proving_commit(p, &read.commit) : 0;
	}
	ledger_close(&l);
	return MIN_OF(r, 0);
}

int prove_wish_entry(const struct batch *b, const struct id *journal, uint64_t seq,
		     struct prove_wish *ret)
{
	if (!id_equal(&b->journal, journal) || seq < b->first_seq ||
	    seq - b->first_seq >= b->entries)
		return 0;
	*ret = (struct prove_wish){ PROOF_ENTRY, (uint32_t) (seq - b->first_seq), true };
	return 1;
}

int prove(const struct state *s, const struct prove_options *o, const char **ret_why)
{
	struct place place = { .state = s };
	const struct prove_source source = { find_root, find_entries, &place };
	struct proving *p = NULL;
	int r = proving_new(&p, &source, o, ret_why);

	if (r >= 0)
		r = segment_batches_new(&place.segments, s);
	if (r >= 0)
		r = follow_ledger(p, s, ret_why);
	proving_free(p);
	segment_batches_free(place.segments);
	return r;
}

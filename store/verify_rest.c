/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What lies beyond the ledger: entries that no commit covers, and files that it does not know.
 *
 * An honest host leaves little of that.  While it runs, a batch that is cut and one that fills; after a crash the same,
 * until recovery has sealed them, cut off what is torn, and closed the journal.  A second batch is cut only when
 * the first is sealed, and nothing is written to a journal before its opening is: more than that says that the ledger was
 * cut off.
 */

#include "store/verify-internal.h"

#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "bulla/error.h"

enum {
	REST_RAW_MAX = 64 << 20, /* bytes of unsealed rows that are looked at */
	FOLLOWS_MAX = 1000,	 /* times that the ledger is followed for one journal */
};

struct rest {
	uint64_t entries;
	uint64_t received_max;
	uint64_t raw;	      /* bytes of rows */
	unsigned cuts;	      /* batches that were cut and are not in the ledger */
	bool unlawful;	      /* they do not decode, or do not continue what is sealed */
	bool hole;	      /* something is said to be packed that is not even sealed */
	bool refused;	      /* the end is a whole frame that says what none may */
	const char *identity; /* what is wrong with it, where no batch has shown that */
	struct problem at_end;
	uint64_t behind; /* entries in frames that are whole, behind one that is not */
};

static int take_rest(struct verifier *v, struct progress *p, const struct ledger_journal *j,
		     const struct tail_rows *rows, struct rest *ret)
{
	struct problem wrong = { 0 };
	struct rows_seen seen;
	int r = 0;

	ret->unlawful |= rows->first_seq != j->entries + ret->entries;
	ret->entries += rows->count;
	ret->raw += rows->raw_size;
	if (ret->raw > REST_RAW_MAX) {
		ret->unlawful = true;
		return 0;
	}
	r = verify_rows(v, &p->reader, rows, NULL, &seen, &wrong);
	ret->unlawful |= wrong.what != NULL;
	ret->received_max = MAX_OF(ret->received_max, seen.received_max);
	return r;
}

/* Where a reader is, to come back to. */
struct place {
	uint64_t offset;
	uint32_t n_contexts, n_seeds;
};

static struct place place_of(const struct tail_reader *t)
{
	return (struct place){ t->frames.offset, t->contexts.n, t->seeds.n };
}

static void go_back(struct tail_reader *t, const struct place *to)
{
	while (t->contexts.n > to->n_contexts)
		contexts_remove_last(&t->contexts);
	while (t->seeds.n > to->n_seeds)
		seeds_remove_last(&t->seeds);
	frame_reader_seek(&t->frames, to->offset);
}

/*
 * Behind a torn frame there may be whole ones: a crash can leave them, or what was in the torn one looks like it.  Who only reads
 * would show them, as not sealed; those that repeat what is sealed nobody takes for it.  Of a journal that is closed nobody has
 * left any.
 */
static int look_behind(struct tail_reader *t, const struct ledger_journal *j, struct rest *ret)
{
	struct place end = place_of(t);
	struct tail_item item;
	int r;

	while ((r = tail_reader_resync(t)) > 0)
		while ((r = tail_reader_next(t, &item)) > 0)
			if (item.type == TAIL_ROWS &&
			    (j->closed || item.rows.first_seq >= j->entries))
				ret->behind += item.rows.count;
	go_back(t, &end);
	return r == -ENOMEM ? r : 0;
}

static int read_rest(struct verifier *v, struct progress *p, const struct ledger_journal *j,
		     struct rest *ret)
{
	struct tail_item item;
	int r;

	*ret = (struct rest){ 0 };
	while ((r = tail_reader_next(&p->reader, &item)) > 0) {
		if (item.type == TAIL_BATCH)
			ret->cuts += item.batch.batch_no >= j->batches;
		else if (item.type == TAIL_HOLE)
			ret->hole = true;
		else
			r = take_rest(v, p, j, &item.rows, ret);
		if (r < 0)
			return r;
	}
	ret->identity = j->batches == 0 ? verify_identity(&p->reader, j) : NULL;
	ret->refused = p->reader.refused;
	if (r < 0)
		r = verify_stuck(&p->reader, r, &ret->at_end);
	return r < 0 || !ret->at_end.what || ret->refused ? r : look_behind(&p->reader, j, ret);
}

static bool is_young(const struct verifier *v, uint64_t received_ns)
{
	uint64_t now = verify_now(v), two_ticks = 2 * NS_PER_S;

	return v->options->running && received_ns <= now + two_ticks &&
	       received_ns + two_ticks >= now;
}

static void judge_entries(struct verifier *v, const struct ledger_journal *j,
			  const struct rest *rest)
{
	enum verdict verdict = VERDICT_UNSEALED;
	const char *what = "entries that no commit covers yet";

	if (rest->entries == 0 && rest->cuts == 0 && !rest->hole)
		return;
	if (rest->hole) {
		verdict = VERDICT_TAMPERED;
		what = "a hole behind all that is sealed";
	} else if (rest->entries > 0 && j->closed) {
		verdict = VERDICT_TAMPERED;
		what = "entries were added after the journal was closed";
	} else if (rest->cuts > 1) {
		/* The second batch is cut only after the first is sealed. */
		verdict = VERDICT_TAMPERED;
		what = "batches are missing in the ledger: its end was cut off";
	} else if (rest->entries == 0) {
		what = "a batch record without a batch";
	} else if (rest->unlawful) {
		what = "unsealed entries that do not continue the sealed ones";
	} else if (is_young(v, rest->received_max)) {
		verdict = VERDICT_NOTE;
	}
	v->report->unsealed_entries += rest->entries;
	verify_found_in(v, verdict, &j->id, NULL, NONE, NONE, what);
}

static void judge_rest(struct verifier *v, const struct ledger_journal *j, const struct rest *rest)
{
	const struct problem *end = &rest->at_end;
	char file[16 + TAIL_NAME_SIZE], name[TAIL_NAME_SIZE];

	tail_name(&j->id, name);
	snprintf(file, sizeof file, "journals/%s", name);
	if (rest->identity)
		verify_found_in(v, VERDICT_TAMPERED, &j->id, NULL, j->opened, NONE, rest->identity);
	if (end->what && end->verdict != VERDICT_TAMPERED)
		verify_found_in(v, end->verdict, &j->id, NULL, NONE, end->offset, end->what);
	else if (end->what && rest->refused)
		verify_found_in(v, VERDICT_UNSEALED, &j->id, NULL, NONE, end->offset, end->what);
	else if (end->what && rest->behind > 0)
		/* A crash leaves it, until recovery has been there. */
		verify_found(v,
			     &(struct finding){
				     .verdict = j->closed ? VERDICT_TAMPERED : VERDICT_NOTE,
				     .file = file,
				     .journal = &j->id,
				     .batch = NONE,
				     .commit = NONE,
				     .offset = end->offset,
				     .entries = rest->behind,
				     .what = j->closed ? "entries were added behind a damaged "
							 "frame after the journal was closed"
						       : "behind a damaged frame, never sealed; a "
							 "query that is not verified shows them",
			     });
	else if (end->what)
		verify_found_in(v, VERDICT_NOTE, &j->id, NULL, NONE, end->offset,
				"bytes after the last whole frame, never sealed");
	v->report->unsealed_entries += rest->behind;
	judge_entries(v, j, rest);
}

/* Read what is behind the sealed entries; what is sealed meanwhile is checked as such, and is none of it. */
static int find_rest(struct verifier *v, uint32_t handle, struct rest *ret)
{
	for (unsigned i = 0;; i++) {
		struct ledger_journal j = *history_journal(v->history, handle);
		struct progress *p = &v->at[handle];
		struct place before;
		int r = verify_reopen(v, handle);

		if (r < 0)
			return r;
		before = place_of(&p->reader);
		r = read_rest(v, p, &j, ret);
		if (r < 0 || j.closed || (ret->entries == 0 && ret->cuts == 0 && !ret->hole) ||
		    i == FOLLOWS_MAX)
			return r;
		go_back(&p->reader, &before);
		r = verify_follow_ledger(v);
		if (r < 0)
			return r;
		p = &v->at[handle];
		if (p->broken || p->done)
			*ret = (struct rest){ 0 };
		if (p->broken || p->done ||
		    history_journal(v->history, handle)->batches == j.batches)
			return 0;
	}
}

static int check_rest(struct verifier *v, uint32_t handle)
{
	struct problem wrong = { 0 };
	const struct ledger_journal *j;
	struct rest rest;
	int r;

	r = v->at[handle].gone ? -ENOENT : verify_reopen(v, handle);
	if (r == -ENOENT) {
		v->at[handle].gone = true;
		return 0;
	}
	if (r < 0) {
		v->at[handle].missing = true;
		j = history_journal(v->history, handle);
		r = verify_unreadable(r, &wrong);
		if (r >= 0)
			verify_found_in(v, wrong.verdict, &j->id, NULL, j->opened, NONE,
					wrong.what);
		return r;
	}
	r = find_rest(v, handle, &rest);
	if (r >= 0)
		judge_rest(v, history_journal(v->history, handle), &rest);
	return r;
}

int verify_tails_rest(struct verifier *v, uint32_t handle)
{
	const struct progress *p = &v->at[handle];
	int r = p->missing || p->broken || p->done ? 0 : check_rest(v, handle);

	/* Of a closed journal no more will be asked. */
	if (r >= 0 && history_journal(v->history, handle)->closed) {
		if (p->gaps.open && !p->done)
			verify_found_in(
				v, VERDICT_NOTE, &history_journal(v->history, handle)->id, NULL,
				NONE, NONE,
				"it ends within a gap: what was dropped last was not counted");
		tail_reader_close(&v->at[handle].reader);
		v->at[handle].done = true;
	}
	return r;
}

/* A tail goes when its journal is closed and segments have all of it, but for what was pruned. */
void verify_tails_absent(struct verifier *v, uint32_t handle)
{
	const struct ledger_journal *j = history_journal(v->history, handle);
	const struct progress *p = &v->at[handle];
	struct batch first = { 0 };

	if (p->absent_end > j->pruned_batches) {
		first.batch_no = MAX_OF(p->absent_first, j->pruned_batches);
		verify_found_in(v, VERDICT_TAMPERED, &j->id, &first,
				first.batch_no == p->absent_first ? p->absent_commit : NONE, NONE,
				v->segments.n_damaged > 0
					? "it is gone, and no segment that can be read has what is "
					  "missing"
				: p->gone ? "the file is missing"
					  : "no segment has what is missing here");
		/* How many of those that are not there were pruned is known by batch, not by entry. */
		v->report->lost_batches += p->absent_end - first.batch_no;
		if (first.batch_no == p->absent_first)
			v->report->lost_entries += p->absent_entries;
		return;
	}
	if (p->gone && (!j->closed || (j->batches == 0 && !j->pruned)))
		verify_found_in(v, VERDICT_TAMPERED, &j->id, NULL, j->opened, NONE,
				"the file is missing");
	v->report->pruned_batches += p->absent;
	v->report->pruned_entries += p->absent_entries;
}

/* Journals that the ledger does not know. */

/* What an unknown file holds: 1: records of batches; 0: entries; -ENOENT: nothing; another error. */
static int look_into(const struct verifier *v, const char *name)
{
	_cleanup_(tail_reader_close) struct tail_reader t = { .fd = -1 };
	struct tail_item item;
	bool entries = false;
	int r;

	r = tail_reader_open(&t, v->state->journals, name);
	/* Created, and the host stopped before that was on disk. */
	if (r == BULLA_ETRUNCATED)
		return -ENOENT;
	while (r >= 0 && (r = tail_reader_next(&t, &item)) > 0) {
		if (item.type == TAIL_BATCH)
			return 1;
		entries = true;
	}
	if (r < 0 && (t.refused || t.frames.offset == 0 || !verify_is_ours(r)))
		return r;
	return entries ? 0 : -ENOENT;
}

int verify_tails_known(void *arg, const struct id *journal, const char *name)
{
	struct verifier *v = arg;
	enum verdict verdict = VERDICT_UNSEALED;
	const char *what;
	int r;

	if (history_find_journal(v->history, journal) >= 0)
		return 0;
	r = look_into(v, name);
	if (r == -ENOMEM)
		return r;
	if (r != -ENOENT) {
		int k = verify_follow_ledger(v);

		if (k < 0 || history_find_journal(v->history, journal) >= 0)
			return k;
	}
	if (r == -ENOENT) {
		/* The host stopped before its opening was sealed: nothing was ever written to it. */
		verdict = VERDICT_NOTE;
		what = "a journal that was never opened, empty";
	} else if (r == 1) {
		/* A batch is cut only after the opening is sealed. */
		verdict = VERDICT_TAMPERED;
		what = "a journal with batches that the ledger does not know";
	} else {
		what = r == 0 ? "a journal that the ledger does not know"
			      : "a file that is no journal of this host's";
	}
	verify_found_in(v, verdict, journal, NULL, NONE, NONE, what);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * One pass over the ledger leads: every record is checked by the history, and each batch of each commit against its tail
 * (verify_tails.c).  A journal is done with when it is closed; what the others hold beyond the ledger is looked at last.
 *
 * The host may go on while we read.  Whatever looks as if the ledger lacked it is therefore looked at again after the
 * ledger has been followed to its end.
 */

#include "store/verify-internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "bulla/error.h"

const char *verdict_name(enum verdict v)
{
	static const char *const names[] = {
		[VERDICT_OK] = "OK",
		[VERDICT_NOTE] = "NOTE",
		[VERDICT_UNPINNED] = "UNPINNED",
		[VERDICT_UNSEALED] = "UNSEALED",
		[VERDICT_STALE] = "STALE",
		[VERDICT_INCOMPLETE] = "INCOMPLETE",
		[VERDICT_TAMPERED] = "TAMPERED",
	};

	return names[v];
}

int verdict_exit_status(enum verdict v)
{
	switch (v) {
	case VERDICT_TAMPERED:
		return 1;
	case VERDICT_INCOMPLETE:
	case VERDICT_STALE:
		return 3;
	case VERDICT_UNPINNED:
	case VERDICT_UNSEALED:
		return 4;
	default:
		return 0;
	}
}

void verify_found(struct verifier *v, const struct finding *f)
{
	if (f->verdict != VERDICT_NOTE)
		v->report->verdict = MAX_OF(v->report->verdict, f->verdict);
	if (v->options->found)
		v->options->found(v->options->arg, f);
}

void verify_found_at(struct verifier *v, enum verdict verdict, const char *file,
		     const struct id *journal, const struct batch *b, uint64_t commit,
		     uint64_t offset, const char *what)
{
	verify_found(v, &(struct finding){
				.verdict = verdict,
				.file = file,
				.journal = journal,
				.batch = b ? b->batch_no : NONE,
				.commit = commit,
				.offset = offset,
				.what = what,
			});
}

void verify_found_in(struct verifier *v, enum verdict verdict, const struct id *journal,
		     const struct batch *b, uint64_t commit, uint64_t offset, const char *what)
{
	char file[16 + TAIL_NAME_SIZE], name[TAIL_NAME_SIZE];

	tail_name(journal, name);
	snprintf(file, sizeof file, "journals/%s", name);
	verify_found_at(v, verdict, file, journal, b, commit, offset, what);
}

void verify_lose(struct verifier *v, const struct batch *b)
{
	v->report->lost_batches++;
	v->report->lost_entries += b->entries;
}

/* Commits. */

/* Whoever can write a file here can write a receipt, but not sign it. */
#define UNCHECKED ", if its receipt is genuine: no key of it was there to check that with"
#define CUT_OFF	  "an aggregator acknowledged more commits than are here: the end was cut off"

static void check_receipt(struct verifier *v, const struct sealed_commit *c)
{
	const struct verify_options *o = v->options;

	if (o->receipt_root && o->receipt_size == c->commit.number + 1 &&
	    !hash_same(o->receipt_root, &c->root))
		verify_found(v, &(struct finding){
					.verdict = VERDICT_TAMPERED,
					.file = "ledger",
					.batch = NONE,
					.commit = c->commit.number,
					.offset = NONE,
					.what = o->receipt_checked
							? "an aggregator acknowledged another "
							  "history"
							: "an aggregator acknowledged another "
							  "history" UNCHECKED,
				});
}

/* Nothing can come to a closed journal any more. */
static int check_closed(struct verifier *v, const struct commit *c)
{
	for (size_t i = 0; i < c->n_events; i++) {
		struct event_close close;
		int64_t handle;
		int r;

		if (c->events[i].kind != EVENT_CLOSE ||
		    event_close_decode(&c->events[i], &close) < 0)
			continue;
		handle = history_find_journal(v->history, &close.journal);
		assert(handle >= 0);
		r = verify_tails_reserve(v, (uint32_t) handle + 1);
		if (r >= 0)
			r = verify_tails_rest(v, (uint32_t) handle);
		if (r < 0)
			return r;
	}
	return 0;
}

/* @return 0 or an error. */
static int check_batches(struct verifier *v, struct sealed_commit c)
{
	int r = c.lacks_roots ? verify_roots(v, &c) : 1;

	if (r > 0)
		verify_roots_lost(v);
	if (r == 0)
		v->report->batches += c.commit.n_batches;
	for (uint32_t i = 0; i < c.commit.n_batches && r > 0; i++) {
		r = verify_tails_batch(v, &c, i);
		r = r < 0 ? r : 1;
	}
	return MIN_OF(r, 0);
}

static int check_commit(void *arg, const struct sealed_commit *c)
{
	struct verifier *v = arg;

	if (v->report->commits++ == 0)
		v->report->time_first = c->commit.time_ns;
	v->report->time_last = c->commit.time_ns;
	life_take(&v->report->life, &c->commit);
	verify_progress_tell(v);
	check_receipt(v, c);
	v->error = check_batches(v, *c);
	if (v->error == 0)
		v->error = check_closed(v, &c->commit);
	return v->error;
}

int verify_follow_ledger(struct verifier *v)
{
	int r;

	if (v->ledger.fd < 0 || v->scan.error != 0)
		return 0;
	r = ledger_catch_up(&v->ledger, v->history, HISTORY_CHECK_ALL, check_commit, v, &v->scan);
	if (v->error < 0)
		return v->error;
	/* An error code of ours is the record's fault, one of the system is not. */
	return r > BULLA_ETRUNCATED ? r : 0;
}

uint64_t verify_now(const struct verifier *v)
{
	return v->options->now_ns + (clock_monotonic_ns() - v->started);
}

/* The ledger. */

static void found_in_ledger(struct verifier *v, enum verdict verdict, uint64_t offset,
			    const char *what)
{
	char file[16 + LEDGER_NAME_SIZE], name[LEDGER_NAME_SIZE];

	ledger_name(v->ledger.first, name);
	snprintf(file, sizeof file, "ledger/%s", name);
	verify_found(v, &(struct finding){
				.verdict = verdict,
				.file = file,
				.batch = NONE,
				.commit = history_size(v->history),
				.offset = offset,
				.what = what,
			});
}

static const char *why_refused(int r)
{
	switch (r) {
	case BULLA_ESIG:
		return "the seal does not verify";
	case BULLA_EORDER:
		return "the record is not the continuation of what is before it";
	case BULLA_ETAMPERED:
		return "the ledger was begun by another key than the pinned one";
	case BULLA_EVERSION:
		return "a record of unknown kind or version";
	default:
		return "the record is malformed";
	}
}

/* Whether whole records lie behind the damage.  @return 1, also when there is too much to look at; 0; a negated errno. */
static int records_follow(struct verifier *v)
{
	enum { SEARCH_MIN = 64 << 20 };
	struct frame_reader reader;
	off_t size = lseek(v->ledger.fd, 0, SEEK_END);
	uint64_t budget = SEARCH_MIN + (uint64_t) MAX_OF(size, (off_t) 0);
	int r;

	frame_reader_init(&reader, v->ledger.fd, 0, LEDGER_RECORD_MAX);
	r = frame_reader_search(&reader, v->scan.end + FRAME_ALIGN, LEDGER_KEYS, LEDGER_COMMIT,
				&budget);
	frame_reader_done(&reader);
	return r == BULLA_ELIMIT ? 1 : r;
}

/* The header is written at once into one sector: a crash leaves all of it or zeroes. */
static int check_no_header(struct verifier *v)
{
	static const uint8_t zero[FRAME_HEADER_SIZE];
	uint8_t head[FRAME_HEADER_SIZE] = { 0 };
	ssize_t n = io_pread(v->ledger.fd, head, sizeof head, 0);
	int r;

	if (n < 0)
		return (int) n;
	r = records_follow(v);
	if (r < 0)
		return r;
	if (r > 0 || memcmp(head, zero, sizeof zero) != 0)
		found_in_ledger(v, VERDICT_TAMPERED, 0, "the header is damaged");
	else
		found_in_ledger(v, VERDICT_NOTE, 0, "nothing was ever sealed");
	return 0;
}

/* Files that begin behind the last commit are not reached: what lies between is missing, or was written meanwhile. */
static int check_beyond(struct verifier *v)
{
	int r;

	while ((r = ledger_has_beyond(&v->ledger, history_size(v->history))) > 0) {
		uint64_t before = history_size(v->history);

		r = verify_follow_ledger(v);
		if (r < 0)
			return r;
		if (history_size(v->history) == before) {
			found_in_ledger(v, VERDICT_TAMPERED, v->scan.end,
					"commits are missing before another file of the ledger");
			return 0;
		}
	}
	return r;
}

/* A frame that is not whole is what a crash leaves at the end, and only there: nothing whole may follow it. */
static int check_ledger_end(struct verifier *v)
{
	if (v->scan.error != 0) {
		found_in_ledger(v, VERDICT_TAMPERED, v->scan.end, why_refused(v->scan.error));
		return 0;
	}
	if (v->scan.end == 0 && v->ledger.first == 0)
		return check_no_header(v);
	while (v->scan.damaged_at != 0) {
		uint64_t end = v->scan.end;
		int r = records_follow(v);

		if (r == 0) {
			found_in_ledger(v, VERDICT_NOTE, end,
					"a torn record at the end, never acknowledged");
			break;
		}
		/* It may have been written while we read it. */
		if (r > 0)
			r = verify_follow_ledger(v);
		if (r < 0)
			return r;
		if (v->scan.end == end) {
			found_in_ledger(v, VERDICT_TAMPERED, end,
					"a record is damaged and others follow it");
			return 0;
		}
	}
	return check_beyond(v);
}

static int check_ledger(struct verifier *v)
{
	int r;

	r = ledger_begin(&v->ledger, v->state->ledger, O_RDONLY);
	if (r == -ENOENT) {
		found_in_ledger(v, VERDICT_UNSEALED, NONE, "there is no ledger");
		return 0;
	}
	if (r < 0)
		return r;
	r = verify_follow_ledger(v);
	return r < 0 ? r : check_ledger_end(v);
}

static void conclude(struct verifier *v)
{
	const struct verify_options *o = v->options;
	uint64_t size = history_size(v->history), now = verify_now(v);

	if (size > 0) {
		v->report->key = history_vkey(v->history);
		v->report->has_key = true;
		snprintf(v->report->host, sizeof v->report->host, "%s", history_host(v->history));
	}
	v->report->journals = history_n_journals(v->history);
	for (uint32_t i = 0; i < v->n; i++) {
		bool open = v->report->gaps.open | v->at[i].gaps.open;

		gaps_add(&v->report->gaps, &v->at[i].gaps);
		v->report->gaps.open = open;
	}
	if (o->receipt_size > size)
		found_in_ledger(v, VERDICT_TAMPERED, NONE,
				o->receipt_checked ? CUT_OFF : CUT_OFF UNCHECKED);
	if (o->max_age_ns > 0 && v->report->time_last < now &&
	    now - v->report->time_last > o->max_age_ns)
		found_in_ledger(v, VERDICT_STALE, NONE, "the last commit is older than --max-age");
	if (size == 0 && o->pin)
		found_in_ledger(v, VERDICT_TAMPERED, NONE, "a key is pinned, but nothing is here");
	if (!o->pin)
		verify_found(
			v,
			&(struct finding){
				.verdict = VERDICT_UNPINNED,
				.file = "ledger",
				.batch = NONE,
				.commit = NONE,
				.offset = NONE,
				.what = "no key is pinned: whoever replaced everything would not "
					"be noticed",
			});
}

static void verifier_done(struct verifier *v)
{
	verify_tails_done(v);
	verify_segments_done(v);
	free(v->batches);
	free(v->made);
	ledger_close(&v->ledger);
	history_free(v->history);
}

int verify_state(const struct state *s, const struct verify_options *options,
		 struct verify_report *ret)
{
	_cleanup_(verifier_done) struct verifier v = {
		.state = s,
		.options = options,
		.report = ret,
		.ledger.fd = -1,
		.started = clock_monotonic_ns(),
	};
	int r;

	*ret = (struct verify_report){ 0 };
	v.history = history_new();
	if (!v.history)
		return -ENOMEM;
	if (options->pin)
		history_pin(v.history, options->pin);
	verify_progress_begin(&v);
	r = verify_segments_open(&v, false);
	if (r >= 0)
		r = check_ledger(&v);
	if (r >= 0)
		r = state_each_journal(s, verify_tails_known, &v);
	/* There may be more of them by the time the last is reached. */
	for (uint32_t i = 0; r >= 0 && i < history_n_journals(v.history); i++) {
		r = verify_tails_reserve(&v, i + 1);
		if (r >= 0)
			r = verify_tails_rest(&v, i);
	}
	/* What was pruned while it was read is known by then. */
	if (r >= 0)
		r = verify_follow_ledger(&v);
	if (r < 0)
		return r;
	verify_roots_lost(&v);
	for (uint32_t i = 0; i < v.n; i++) {
		verify_segments_lost(&v, i);
		verify_tails_absent(&v, i);
	}
	verify_segments_rest(&v);
	conclude(&v);
	return 0;
}

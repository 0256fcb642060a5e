/* SPDX-License-Identifier: Apache-2.0 */

#include "query/seen.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "query/pins.h"
#include "query/seen-internal.h"
#include "store/segment/set.h"

void seen_finding(struct seen *s, const struct finding *f)
{
	if (f->verdict == VERDICT_NOTE || f->verdict <= s->worst)
		return;
	s->worst = f->verdict;
	snprintf(s->what, sizeof s->what, "%s: %s", f->file, f->what);
}

/* Its name came out of a directory that anybody may have written, and goes to a terminal. */
static void note_bad_receipt(struct seen *s, const struct receipt *r)
{
	char *name;

	if (s->n_bad_receipts++ >= SEEN_RECEIPTS)
		return;
	name = s->bad_receipts[s->n_bad_receipts - 1];
	snprintf(name, SEEN_FILE, "%.*s", SEEN_FILE - 1, r->file);
	for (char *p = name; *p; p++)
		if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 127)
			*p = '?';
}

int seen_receipt(void *arg, const struct receipt *r)
{
	struct seen *s = arg;
	uint32_t at = s->n_receipts;
	bool checked = r->checked;

	if (s->n_aggregators > 0) {
		checked = receipt_check(r, &s->origin, s->aggregators, s->n_aggregators) == 0;
		if (!checked) {
			note_bad_receipt(s, r);
			return 0;
		}
	}
	while (at > 0 && s->receipts[at - 1].size < r->size)
		at--;
	if (at == SEEN_RECEIPTS)
		return 0;
	s->n_receipts = MIN_OF(s->n_receipts + 1, (uint32_t) SEEN_RECEIPTS);
	memmove(&s->receipts[at + 1], &s->receipts[at],
		(s->n_receipts - at - 1) * sizeof *s->receipts);
	s->receipts[at] = *r;
	s->receipts[at].file = s->receipts[at].note = NULL;
	s->receipts[at].checked = checked;
	/* It came out of a file that anybody may have written, and goes to a terminal. */
	for (char *p = s->receipts[at].destination; *p; p++)
		if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 127)
			*p = '?';
	return 0;
}

int seen_aggregators(struct seen *s, const struct id *origin, const char *given)
{
	int r;

	s->origin = *origin;
	s->aggregator_given = given != NULL;
	r = given ? cosigner_parse(given, &s->aggregators[0])
		  : pins_aggregators(s->aggregators, SEEN_AGGREGATORS);
	if (r >= 0)
		s->n_aggregators = given ? 1 : (uint32_t) r;
	return MIN_OF(r, 0);
}

void seen_hold_to_receipts(const struct seen *s, struct verify_options *o)
{
	if (s->n_receipts == 0)
		return;
	o->receipt_size = s->receipts[0].size;
	o->receipt_root = &s->receipts[0].root;
	o->receipt_checked = s->receipts[0].checked;
}

static void receipt_found(finding_fn found, void *arg, const char *file, const char *what)
{
	found(arg, &(struct finding){
			   .verdict = VERDICT_INCOMPLETE,
			   .file = file,
			   .batch = NONE,
			   .commit = NONE,
			   .offset = NONE,
			   .what = what,
		   });
}

enum verdict seen_judge_receipts(const struct seen *s, finding_fn found, void *arg)
{
	bool lacks = s->aggregator_given && s->n_receipts == 0;
	char file[16 + SEEN_FILE];

	for (uint32_t i = 0; i < MIN_OF(s->n_bad_receipts, (uint32_t) SEEN_RECEIPTS); i++) {
		snprintf(file, sizeof file, RECEIPTS_DIR "/%s", s->bad_receipts[i]);
		receipt_found(found, arg, file,
			      "no aggregator whose key is known here has signed this receipt for "
			      "this host: it was changed or made up, and counts for nothing");
	}
	if (lacks)
		receipt_found(found, arg, RECEIPTS_DIR,
			      "there is no receipt of the aggregator whose key was given");
	return s->n_bad_receipts > 0 || lacks ? VERDICT_INCOMPLETE : VERDICT_OK;
}

struct vkey seen_later_key(const struct seen *s, const struct life_key *k)
{
	struct vkey key = s->report.key;

	memcpy(key.public_key, k->public_key, sizeof k->public_key);
	return key;
}

bool seen_is_up(const struct seen *s)
{
	return s->report.life.begun && s->report.life.up;
}

/* Words. */

static void put_time(struct buf *to, uint64_t time_ns)
{
	time_t second = (time_t) (time_ns / NS_PER_S);
	char text[64];
	struct tm tm;

	if (localtime_r(&second, &tm) &&
	    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %Z", &tm) > 0)
		buf_str(to, text);
}

static void span_text(uint64_t ns, char ret[32])
{
	uint64_t s = ns / NS_PER_S;

	if (s < 120)
		snprintf(ret, 32, "%" PRIu64 "s", s);
	else if (s < 7200)
		snprintf(ret, 32, "%" PRIu64 "min", s / 60);
	else if (s < 172800)
		snprintf(ret, 32, "%" PRIu64 "h %" PRIu64 "min", s / 3600, s / 60 % 60);
	else
		snprintf(ret, 32, "%" PRIu64 " days", s / 86400);
}

static uint64_t age(const struct seen *s, uint64_t time_ns)
{
	return s->now_ns > time_ns ? s->now_ns - time_ns : 0;
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

void seen_put_finding(const struct finding *f, struct buf *to)
{
	buf_printf(to, "%s: %s: ", verdict_name(f->verdict), f->file);
	/* The name of a tail says whose it is. */
	if (f->journal && text_starts(f->file, SEGMENTS_DIR)) {
		char id[2 * ID_SIZE + 1];

		text_hex(id, f->journal->b, ID_SIZE);
		buf_printf(to, "journal %s: ", id);
	}
	if (f->batches > 1)
		buf_printf(to, "batches %" PRIu64 " to %" PRIu64 ": ", f->batch,
			   f->batch + f->batches - 1);
	else if (f->batch != NONE)
		buf_printf(to, "batch %" PRIu64 ": ", f->batch);
	if (f->commit_last > 0)
		buf_printf(to, "commits %" PRIu64 " to %" PRIu64 ": ", f->commit, f->commit_last);
	else if (f->commit != NONE)
		buf_printf(to, "commit %" PRIu64 ": ", f->commit);
	if (f->offset != NONE)
		buf_printf(to, "at byte %" PRIu64 ": ", f->offset);
	if (f->entries > 0)
		buf_printf(to, "%" PRIu64 " entr%s: ", f->entries, f->entries == 1 ? "y" : "ies");
	buf_str(to, f->what);
}

static void put_key(const struct seen *s, struct buf *to)
{
	const struct life *l = &s->report.life;
	char key[VKEY_SIZE];

	vkey_write(&s->report.key, key);
	buf_printf(to, "host      %s\nkey       %s\n", s->report.host, key);
	for (uint32_t i = 0; i < l->n_keys; i++) {
		struct vkey later = seen_later_key(s, &l->keys[i]);

		vkey_write(&later, key);
		buf_printf(to,
			   "then      %s, from commit %" PRIu64 " on, as the key before it says\n",
			   key, l->keys[i].commit);
	}
	if (l->keys_counted > l->n_keys)
		buf_printf(to, "          (%" PRIu64 " keys between the first and these)\n",
			   l->keys_counted - l->n_keys);
	if (s->pin == SEEN_GIVEN)
		buf_str(to, "pinned    given with --key\n");
	else if (s->pin == SEEN_HERE)
		buf_printf(to, "pinned    on this host only, in %s\n", s->pins);
	else
		buf_str(to, "pinned    nowhere (`bulla keys` tells how)\n");
}

static void put_covers(const struct verify_report *v, struct buf *to)
{
	char size[16];

	text_size(size, v->bytes);
	buf_printf(to,
		   "covers    %" PRIu64 " entries (%s) of %u journals in %" PRIu64
		   " batches and %" PRIu64 " commits\n",
		   v->entries, size, v->journals, v->batches, v->commits);
	if (v->gaps.counted > 0) {
		text_size(size, v->gaps.bytes);
		buf_printf(to, "dropped   %" PRIu64 " entr%s (%s) in %" PRIu64 " gap%s\n",
			   v->gaps.entries, v->gaps.entries == 1 ? "y" : "ies", size,
			   v->gaps.counted, plural(v->gaps.counted));
	}
	if (v->pruned_batches > 0)
		buf_printf(to,
			   "pruned    %" PRIu64 " entries in %" PRIu64
			   " batches, as the ledger says\n",
			   v->pruned_entries, v->pruned_batches);
	if (v->lost_batches > 0)
		buf_printf(to,
			   "unproved  %" PRIu64 " entries in %" PRIu64
			   " batches, damaged or missing\n",
			   v->lost_entries, v->lost_batches);
	if (v->unsealed_entries > 0)
		buf_printf(to, "besides   %" PRIu64 " entries that no seal covers\n",
			   v->unsealed_entries);
}

static void put_spans(const struct life_spans *spans, struct buf *to)
{
	char text[32];

	if (spans->counted > spans->n)
		buf_printf(to, "          %" PRIu64 " earlier ones\n", spans->counted - spans->n);
	for (uint32_t i = 0; i < spans->n; i++) {
		const struct life_span *p = &spans->at[i];

		span_text(p->to_ns > p->from_ns ? p->to_ns - p->from_ns : 0, text);
		buf_str(to, "          ");
		put_time(to, p->from_ns);
		buf_str(to, " to ");
		put_time(to, p->to_ns);
		buf_printf(to, ", %s\n", text);
	}
}

static void put_life(const struct seen *s, struct buf *to)
{
	const struct life *l = &s->report.life;
	char text[32];

	if (s->report.commits == 0)
		return;
	buf_str(to, "from      ");
	put_time(to, s->report.time_first);
	buf_str(to, "\nto        ");
	put_time(to, s->report.time_last);
	span_text(age(s, s->report.time_last), text);
	buf_printf(to, "; that is %s ago%s\n", text,
		   seen_is_up(s) ? "" : ", and the host said that it stops");
	if (l->silences.counted > 0) {
		span_text(l->silences.total_ns, text);
		buf_printf(to,
			   "silent    %" PRIu64 " time%s, %s in all, in which the host had not "
			   "stopped and nothing was sealed\n",
			   l->silences.counted, plural(l->silences.counted), text);
		put_spans(&l->silences, to);
	}
	if (l->restarts.counted > 0) {
		buf_printf(to,
			   "broke off %" PRIu64 " time%s: the host began again without having "
			   "said that it stops\n",
			   l->restarts.counted, plural(l->restarts.counted));
		put_spans(&l->restarts, to);
	}
}

static void put_receipts(const struct seen *s, struct buf *to)
{
	char text[32];

	if (s->n_receipts == 0)
		buf_str(to, "receipt   none\n");
	for (uint32_t i = 0; i < s->n_receipts; i++) {
		const struct receipt *r = &s->receipts[i];

		span_text(age(s, r->time_ns), text);
		buf_printf(to, "receipt   %s has %" PRIu64 " commits, as it said %s ago%s\n",
			   r->destination, r->size, text,
			   r->checked ? ", signed" : "; its signature was not checked");
	}
}

void seen_put(const struct seen *s, struct buf *to)
{
	char weakest[SEEN_WORDS];

	if (s->report.has_key)
		put_key(s, to);
	put_covers(&s->report, to);
	put_life(s, to);
	put_receipts(s, to);
	seen_weakest(s, weakest);
	buf_printf(to, "weakest   %s\n", weakest);
}

/* The weakest point: what is wrong; then what could be without being noticed, the likeliest first. */

static bool weak_end(const struct seen *s, char ret[SEEN_WORDS])
{
	uint64_t old = age(s, s->report.time_last);
	char text[32];

	if (s->report.commits == 0 || old <= LIFE_SILENCE_S * NS_PER_S)
		return false;
	span_text(old, text);
	if (seen_is_up(s))
		snprintf(ret, SEEN_WORDS,
			 "the last commit is %s old, and the host did not say that it stops: it "
			 "crashed, or the end was cut off",
			 text);
	else if (s->n_receipts > 0 && s->receipts[0].size >= s->report.commits)
		return false;
	else
		snprintf(
			ret, SEEN_WORDS,
			"the last commit is %s old: if the host went on after it, that was cut off",
			text);
	return true;
}

static void weak_receipt(const struct seen *s, char ret[SEEN_WORDS])
{
	const struct receipt *r = &s->receipts[0];

	if (s->n_receipts == 0)
		snprintf(ret, SEEN_WORDS,
			 "no aggregator has acknowledged anything: an older copy of everything "
			 "would pass as well");
	else if (r->size < s->report.commits)
		snprintf(ret, SEEN_WORDS,
			 "the last %" PRIu64
			 " commits are acknowledged by no aggregator: a copy without them would "
			 "pass as well",
			 s->report.commits - r->size);
	else if (!r->checked)
		snprintf(ret, SEEN_WORDS,
			 "no key of an aggregator is known here: who owns the host can make its "
			 "receipts up");
	else
		snprintf(ret, SEEN_WORDS,
			 "what the host writes from now on, until it is sealed a second later");
}

void seen_weakest(const struct seen *s, char ret[SEEN_WORDS])
{
	if (s->worst > VERDICT_UNPINNED)
		snprintf(ret, SEEN_WORDS, "%.*s", SEEN_WORDS - 1, s->what);
	else if (s->pin == SEEN_NOWHERE)
		snprintf(ret, SEEN_WORDS,
			 "no key is pinned: whoever replaced everything would not be noticed");
	else if (s->report.unsealed_entries > 0)
		snprintf(ret, SEEN_WORDS,
			 "%" PRIu64 " entr%s that no seal covers yet can be changed unseen",
			 s->report.unsealed_entries, s->report.unsealed_entries == 1 ? "y" : "ies");
	else if (s->pin == SEEN_HERE)
		snprintf(ret, SEEN_WORDS,
			 "the key is pinned on this host only: who owns the host can replace it "
			 "and the logs together");
	else if (!weak_end(s, ret))
		weak_receipt(s, ret);
}

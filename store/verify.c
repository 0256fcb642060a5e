/* SPDX-License-Identifier: Apache-2.0 */

/**
 * One pass over the ledger leads.  For each batch of each commit the journal's tail is read on from where the last batch
 * ended, so every file is read once, from front to back.  At most READERS_OPEN tails are open at a time; a closed one
 * keeps its place, contexts and seeds.
 */

#include "store/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "bulla/error.h"
#include "seal/history.h"
#include "seal/ledger.h"
#include "store/batchroot.h"
#include "store/tail_reader.h"

enum { READERS_OPEN = 128 };

#define NONE UINT64_MAX

/* How far one journal has been read. */
struct progress {
	struct tail_reader reader; /* fd -1 while closed; its tables stay */
	uint64_t next_seq;
	uint64_t offset; /* where to go on */
	bool begun, broken;
};

struct verifier {
	const struct state *state;
	const struct verify_options *options;
	struct verify_report *report;
	struct history *history;
	struct progress *at; /* by handle */
	uint32_t n, cap;
	uint32_t open[READERS_OPEN]; /* handles + 1 of open readers, a ring */
	uint32_t turn;
	struct batchroot root;
	struct buf raw;
};

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

static void found(struct verifier *v, const struct finding *f)
{
	if (f->verdict != VERDICT_NOTE)
		v->report->verdict = MAX_OF(v->report->verdict, f->verdict);
	if (v->options->found)
		v->options->found(v->options->arg, f);
}

/* A finding about a batch, or about a journal where `b` is NULL. */
static void found_in(struct verifier *v, enum verdict verdict, const struct id *journal,
		     const struct batch *b, uint64_t commit, uint64_t offset, const char *what)
{
	char file[16 + TAIL_NAME_SIZE], name[TAIL_NAME_SIZE];

	tail_name(journal, name);
	snprintf(file, sizeof file, "journals/%s", name);
	found(v, &(struct finding){
			 .verdict = verdict,
			 .file = file,
			 .journal = journal,
			 .batch = b ? b->batch_no : NONE,
			 .commit = commit,
			 .offset = offset,
			 .what = what,
		 });
}

/* Readers. */

static void park(struct progress *p)
{
	p->offset = p->reader.frames.offset;
	close_fd(&p->reader.fd);
	frame_reader_done(&p->reader.frames);
}

static int reopen(struct verifier *v, uint32_t handle, const struct ledger_journal *j)
{
	struct progress *p = &v->at[handle];
	uint32_t *slot = &v->open[v->turn++ % READERS_OPEN];
	char name[TAIL_NAME_SIZE];
	int r;

	if (*slot != 0)
		park(&v->at[*slot - 1]);
	*slot = 0;
	tail_name(&j->id, name);
	if (!p->begun) {
		r = tail_reader_open(&p->reader, v->state->journals, name);
		if (r < 0)
			return r;
		p->begun = true;
	} else {
		p->reader.fd = openat(v->state->journals, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (p->reader.fd < 0)
			return -errno;
		frame_reader_init(&p->reader.frames, p->reader.fd, p->offset, TAIL_RECORD_MAX);
	}
	*slot = handle + 1;
	return 0;
}

static int grow(struct verifier *v, uint32_t n)
{
	uint32_t cap = v->cap ? v->cap : 16;
	struct progress *at;

	while (cap < n)
		cap *= 2;
	if (cap != v->cap) {
		at = reallocarray(v->at, cap, sizeof *at);
		if (!at)
			return -ENOMEM;
		v->at = at;
		v->cap = cap;
	}
	for (; v->n < n; v->n++) {
		memset(&v->at[v->n], 0, sizeof v->at[v->n]);
		v->at[v->n].reader.fd = -1;
	}
	return 0;
}

static const char *why_unreadable(int r)
{
	switch (r) {
	case -ENOENT:
		return "the file is missing";
	case BULLA_EVERSION:
		return "the file is of an unknown version";
	case BULLA_ETRUNCATED:
		return "the file is cut off before its first entry";
	default:
		return "the file cannot be read";
	}
}

/* Entries. */

static const char *check_rows(struct verifier *v, struct tail_reader *t,
			      const struct tail_rows *rows)
{
	uint64_t min = UINT64_MAX, max = 0;
	struct field fields[FIELDS_MAX];
	struct row_state state = { 0 };
	struct entry e;
	uint32_t context, n = 0;
	bool own_fields = false;
	struct rd rd;
	int r;

	if (tail_rows_unpack(rows, &v->raw) < 0)
		return "compressed rows do not unpack";
	rd = rd_of(v->raw.data, v->raw.len);
	while ((r = row_decode(&state, &rd, fields, &e, &context)) > 0) {
		if (context >= t->contexts.n)
			return "a row names an unknown context";
		e.context = t->contexts.at[context].hash;
		if (batchroot_add(&v->root, &e) < 0)
			return "out of memory";
		min = MIN_OF(min, e.time_ns);
		max = MAX_OF(max, e.time_ns);
		own_fields |= e.n_fields > 0;
		n++;
	}
	if (r < 0 || n != rows->count)
		return "rows do not decode";
	if (min != rows->time_min || max != rows->time_max || own_fields != rows->own_fields)
		return "the head of the frame is not its rows'";
	return NULL;
}

/* The first read of a tail: is it the journal that the ledger opened? */
static const char *check_identity(const struct tail_reader *t, const struct ledger_journal *j)
{
	struct hash commitment;

	if (!id_equal(&t->header.journal, &j->id) || !id_equal(&t->header.boot, &j->boot) ||
	    t->header.first_batch != 0 || t->header.first_seq != 0)
		return "the header is not this journal's";
	if (t->contexts.n == 0 || !hash_same(&t->contexts.at[0].hash, &j->identity))
		return "the identity is not the one that was sealed when the journal was opened";
	if (t->seeds.n == 0)
		return "the seed is missing";
	commitment = seed_commitment(&j->id, t->seeds.at[0].seed);
	if (!hash_same(&commitment, &j->seed_commitment))
		return "the seed is not the one that was sealed when the journal was opened";
	return NULL;
}

/* The root did not come out: was it ever the collector's, or did the content change since? */
static const char *explain_mismatch(struct tail_reader *t, const struct batch *b)
{
	struct tail_item item;

	if (b->recovered || tail_reader_next(t, &item) != 1 || item.type != TAIL_BATCH ||
	    item.batch.batch_no != b->batch_no)
		return "content does not match what was sealed";
	if (hash_same(&item.batch.root, &b->root))
		return "content changed after it was sealed";
	return "the sealed root never matched the journal";
}

/* Read the frames of one batch.  NULL: all of it was read and hashed. */
static const char *read_batch(struct verifier *v, struct progress *p, const struct batch *b,
			      const struct ledger_journal *j, uint64_t *ret_offset)
{
	struct tail_reader *t = &p->reader;
	bool begun = false;
	struct tail_item item;

	while (!begun || batchroot_count(&v->root) < b->entries) {
		const char *what;
		const uint8_t *seed;
		int r = tail_reader_next(t, &item);

		*ret_offset = t->frames.offset;
		if (r == 0)
			return "the file ends before this batch does";
		if (r < 0)
			return "a frame is damaged";
		if (item.type == TAIL_BATCH)
			continue;
		*ret_offset = item.offset;
		if (!begun) {
			what = b->batch_no == 0 ? check_identity(t, j) : NULL;
			seed = seeds_of(&t->seeds, b->batch_no);
			if (what || !seed)
				return what ? what : "the seed is missing";
			batchroot_begin(&v->root, seed, b->batch_no, b->recovered);
			begun = true;
		}
		if (item.rows.first_seq != p->next_seq + batchroot_count(&v->root)) {
			/* Left for the batch that it belongs to. */
			if (item.rows.first_seq > p->next_seq)
				frame_reader_seek(&t->frames, item.offset);
			return item.rows.first_seq > p->next_seq ? "entries are missing"
								 : "entries are repeated";
		}
		what = check_rows(v, t, &item.rows);
		if (what)
			return what;
	}
	return NULL;
}

static const char *compare_batch(struct verifier *v, struct progress *p, const struct batch *b)
{
	struct hash root;

	if (batchroot_count(&v->root) != b->entries)
		return "the number of entries is not the sealed one";
	root = batchroot_get(&v->root);
	if (!hash_same(&root, &b->root))
		return explain_mismatch(&p->reader, b);
	if (v->root.bytes != b->bytes || v->root.time_min != b->time_min ||
	    v->root.time_max != b->time_max)
		return "sizes or times are not the sealed ones";
	return NULL;
}

static int check_batch(struct verifier *v, const struct sealed_commit *c, uint32_t i)
{
	const struct batch *b = &c->batches[i];
	uint32_t handle = c->handles[i];
	const struct ledger_journal *j = history_journal(v->history, handle);
	struct progress *p;
	uint64_t offset = NONE;
	const char *what;
	int r;

	r = grow(v, handle + 1);
	if (r < 0)
		return r;
	p = &v->at[handle];
	v->report->batches++;
	if (p->reader.fd < 0 && !(p->broken && !p->begun)) {
		r = reopen(v, handle, j);
		if (r < 0) {
			p->broken = true;
			found_in(v, VERDICT_TAMPERED, &j->id, b, c->commit.number, NONE,
				 why_unreadable(r));
			return 0;
		}
	}
	if (p->reader.fd < 0)
		return 0;
	what = read_batch(v, p, b, j, &offset);
	if (!what)
		what = compare_batch(v, p, b);
	if (what) {
		found_in(v, VERDICT_TAMPERED, &j->id, b, c->commit.number, offset, what);
		p->broken = true;
		if (strcmp(what, "a frame is damaged") == 0)
			r = tail_reader_resync(&p->reader);
	} else {
		v->report->entries += b->entries;
		v->report->bytes += b->bytes;
	}
	p->next_seq = b->first_seq + b->entries;
	return 0;
}

static int check_commit(void *arg, const struct sealed_commit *c)
{
	struct verifier *v = arg;

	if (v->report->commits++ == 0)
		v->report->time_first = c->commit.time_ns;
	v->report->time_last = c->commit.time_ns;
	for (uint32_t i = 0; i < c->commit.n_batches; i++) {
		int r = check_batch(v, c, i);

		if (r < 0)
			return r;
	}
	return 0;
}

/* After the ledger: what the tails hold beyond it. */

static void check_rest(struct verifier *v, uint32_t handle)
{
	const struct ledger_journal *j = history_journal(v->history, handle);
	struct progress *p = &v->at[handle];
	uint64_t entries = 0, newest = 0;
	const char *what = NULL;
	struct tail_item item;
	bool young;
	int r;

	if (p->broken && !p->begun)
		return;
	if (p->reader.fd < 0) {
		r = reopen(v, handle, j);
		if (r < 0) {
			found_in(v, VERDICT_TAMPERED, &j->id, NULL, j->opened, NONE,
				 why_unreadable(r));
			return;
		}
	}
	while ((r = tail_reader_next(&p->reader, &item)) > 0)
		if (item.type == TAIL_ROWS && !p->broken) {
			entries += item.rows.count;
			newest = MAX_OF(newest, item.rows.time_max);
		}
	if (j->batches == 0)
		what = check_identity(&p->reader, j);
	if (what)
		found_in(v, VERDICT_TAMPERED, &j->id, NULL, j->opened, NONE, what);
	if (r < 0)
		found_in(v, VERDICT_NOTE, &j->id, NULL, NONE, p->reader.frames.offset,
			 "bytes after the last whole frame, never sealed");
	if (entries == 0)
		return;
	v->report->unsealed_entries += entries;
	young = v->options->running && !j->closed && newest + 2 * NS_PER_S > v->options->now_ns;
	found_in(v,
		 j->closed ? VERDICT_TAMPERED
		 : young   ? VERDICT_NOTE
			   : VERDICT_UNSEALED,
		 &j->id, NULL, NONE, NONE,
		 j->closed ? "entries were added after the journal was closed"
			   : "entries that no commit covers yet");
}

static int check_known(void *arg, const struct id *journal, const char *name)
{
	struct verifier *v = arg;
	struct tail_reader t;
	struct tail_item item;
	int r;

	if (history_find_journal(v->history, journal) >= 0)
		return 0;
	r = tail_reader_open(&t, v->state->journals, name);
	if (r >= 0) {
		while ((r = tail_reader_next(&t, &item)) > 0 && item.type != TAIL_ROWS)
			;
		tail_reader_close(&t);
	}
	/* Created, and the host stopped before its opening was sealed: nothing was ever written to it. */
	if (r <= 0)
		found_in(v, VERDICT_NOTE, journal, NULL, NONE, NONE,
			 "a journal that was never opened, empty");
	else
		found_in(v, VERDICT_UNSEALED, journal, NULL, NONE, NONE,
			 "a journal that the ledger does not know");
	return 0;
}

static void found_in_ledger(struct verifier *v, enum verdict verdict, uint64_t offset,
			    const char *what)
{
	found(v, &(struct finding){
			 .verdict = verdict,
			 .file = "ledger/" LEDGER_FILE,
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

/* A frame that is not whole is what a crash leaves at the end, and only there: nothing valid may follow it. */
static void check_ledger_end(struct verifier *v, struct ledger *l, const struct ledger_scan *scan)
{
	struct frame_reader reader;
	off_t size = lseek(l->fd, 0, SEEK_END);
	struct frame f;

	if (scan->damaged_at == 0)
		return;
	frame_reader_init(&reader, l->fd, 0, LEDGER_RECORD_MAX);
	for (uint64_t at = scan->damaged_at + FRAME_ALIGN; (off_t) at < size; at += FRAME_ALIGN) {
		frame_reader_seek(&reader, at);
		if (frame_reader_next(&reader, &f, NULL) == 1) {
			found_in_ledger(v, VERDICT_TAMPERED, scan->damaged_at,
					"a record is damaged and others follow it");
			frame_reader_done(&reader);
			return;
		}
	}
	frame_reader_done(&reader);
	found_in_ledger(v, VERDICT_NOTE, scan->damaged_at,
			"a torn record at the end, never acknowledged");
}

static void conclude(struct verifier *v)
{
	const struct verify_options *o = v->options;
	uint64_t size = history_size(v->history);

	for (uint32_t i = 0; i < v->n; i++)
		check_rest(v, i);
	if (size > 0) {
		v->report->key = history_vkey(v->history);
		v->report->has_key = true;
		snprintf(v->report->host, sizeof v->report->host, "%s", history_host(v->history));
	}
	v->report->journals = history_n_journals(v->history);
	if (o->receipt_size > size)
		found_in_ledger(v, VERDICT_TAMPERED, NONE,
				"an aggregator acknowledged more commits than are here: the end "
				"was cut off");
	if (o->max_age_ns > 0 && v->report->time_last + o->max_age_ns < o->now_ns)
		found_in_ledger(v, VERDICT_STALE, NONE, "the last commit is older than --max-age");
	if (size == 0 && o->pin)
		found_in_ledger(v, VERDICT_TAMPERED, NONE, "a key is pinned, but nothing is here");
	if (!o->pin)
		found(v, &(struct finding){
				 .verdict = VERDICT_UNPINNED,
				 .file = "ledger/" LEDGER_FILE,
				 .batch = NONE,
				 .commit = NONE,
				 .offset = NONE,
				 .what = "no key is pinned: whoever replaced everything would not "
					 "be noticed",
			 });
}

static void verifier_done(struct verifier *v)
{
	for (uint32_t i = 0; i < v->n; i++)
		tail_reader_close(&v->at[i].reader);
	free(v->at);
	batchroot_done(&v->root);
	buf_done(&v->raw);
	history_free(v->history);
}

int verify_state(const struct state *s, const struct verify_options *options,
		 struct verify_report *ret)
{
	_cleanup_(verifier_done) struct verifier v = { .state = s,
						       .options = options,
						       .report = ret };
	struct ledger ledger = { .fd = -1 };
	struct ledger_scan scan = { 0 };
	int r;

	*ret = (struct verify_report){ 0 };
	v.history = history_new();
	if (!v.history)
		return -ENOMEM;
	if (options->pin)
		history_pin(v.history, options->pin);
	ledger.fd = openat(s->ledger, LEDGER_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (ledger.fd < 0 && errno != ENOENT)
		return -errno;
	if (ledger.fd < 0) {
		found_in_ledger(&v, VERDICT_UNSEALED, NONE, "there is no ledger");
	} else {
		r = ledger_catch_up(&ledger, v.history, HISTORY_CHECK_ALL, check_commit, &v, &scan);
		if (r < 0 && scan.error == 0) {
			ledger_close(&ledger);
			return r;
		}
		if (scan.error != 0)
			found_in_ledger(&v, VERDICT_TAMPERED, scan.end, why_refused(scan.error));
		else
			check_ledger_end(&v, &ledger, &scan);
		ledger_close(&ledger);
	}
	r = grow(&v, history_n_journals(v.history));
	if (r >= 0)
		r = state_each_journal(s, check_known, &v);
	if (r < 0)
		return r;
	conclude(&v);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * For each batch of each commit the journal's tail is read on from where the last batch ended, so every file is read once,
 * from front to back.  As many tails are open at a time as the process may have files; a closed one keeps its place,
 * contexts and seeds.  Which one is closed is left to chance, because journals come round and round.
 *
 * What is not sealed by itself must agree with what is: a frame's head with its rows, a batch record with the batch.
 */

#include "store/verify-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "bulla/error.h"

enum {
	READERS_MIN = 8,
	READERS_MAX = 256,
	HOLE_SEARCHES_MAX = 16,	     /* of each tail: every one reads it from its beginning */
	READER_SIZE_MAX = 256 << 10, /* of the buffer that a reader keeps */
};

int verify_problem(struct problem *p, enum verdict verdict, uint64_t offset, const char *what)
{
	*p = (struct problem){ .verdict = verdict, .offset = offset, .what = what };
	return 0;
}

/* Readers. */

/* Half of the files that the process may have open; the other half is its own business. */
static int reserve_slots(struct verifier *v)
{
	struct rlimit files = { .rlim_cur = 2 * READERS_MAX };

	getrlimit(RLIMIT_NOFILE, &files);
	v->n_slots = (uint32_t) MIN_OF(files.rlim_cur / 2, (rlim_t) READERS_MAX);
	v->n_slots = MAX_OF(v->n_slots, (uint32_t) READERS_MIN);
	v->open = calloc(v->n_slots, sizeof *v->open);
	return v->open ? 0 : -ENOMEM;
}

static uint32_t free_slot(struct verifier *v)
{
	uint32_t slot = v->n_open;

	if (v->n_open < v->n_slots) {
		v->n_open++;
		return slot;
	}
	v->dice = v->dice * 1664525u + 1013904223u;
	slot = (v->dice >> 8) % v->n_slots;
	if (v->open[slot] != 0)
		tail_reader_park(&v->at[v->open[slot] - 1].reader);
	v->open[slot] = 0;
	return slot;
}

static int open_again(struct verifier *v, const struct ledger_journal *j, struct progress *p)
{
	char name[TAIL_NAME_SIZE];
	int r;

	tail_name(&j->id, name);
	if (!p->begun) {
		r = tail_reader_open(&p->reader, v->state->journals, name);
		p->begun = r >= 0;
		return r;
	}
	return tail_reader_unpark(&p->reader, v->state->journals, name);
}

int verify_reopen(struct verifier *v, uint32_t handle)
{
	const struct ledger_journal *j = history_journal(v->history, handle);
	struct progress *p = &v->at[handle];
	uint32_t slot;
	int r;

	if (p->reader.fd >= 0)
		return 0;
	slot = free_slot(v);
	r = open_again(v, j, p);
	while (r == -EMFILE && v->n_open > READERS_MIN) {
		/* Others have files open, too: do with fewer from now on. */
		v->n_slots = v->n_open;
		v->n_slots--;
		v->n_open--;
		if (slot == v->n_open)
			slot = free_slot(v);
		else if (v->open[v->n_open] != 0)
			tail_reader_park(&v->at[v->open[v->n_open] - 1].reader);
		r = open_again(v, j, p);
	}
	if (r >= 0)
		v->open[slot] = handle + 1;
	return r;
}

int verify_tails_reserve(struct verifier *v, uint32_t n)
{
	uint32_t cap = v->cap ? v->cap : 16;
	struct progress *at;

	if (!v->open && reserve_slots(v) < 0)
		return -ENOMEM;
	while (cap < n)
		cap *= 2;
	if (cap != v->cap) {
		at = reallocarray(v->at, cap, sizeof *at);
		if (!at)
			return -ENOMEM;
		v->at = at;
		v->cap = cap;
	}
	for (; v->n < n; v->n++)
		v->at[v->n] = (struct progress){ .reader.fd = -1 };
	return 0;
}

void verify_tails_done(struct verifier *v)
{
	for (uint32_t i = 0; i < v->n; i++)
		tail_reader_close(&v->at[i].reader);
	free(v->at);
	free(v->open);
	batchroot_done(&v->root);
	buf_done(&v->raw);
	buf_done(&v->kept);
}

int verify_unreadable(int r, struct problem *ret)
{
	switch (r) {
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
		return r;
	case -ENOENT:
		return verify_problem(ret, VERDICT_TAMPERED, NONE, "the file is missing");
	case -ELOOP:
	case -ENXIO:
	case -EISDIR:
		return verify_problem(ret, VERDICT_TAMPERED, NONE, "it is no regular file");
	case BULLA_EVERSION:
		return verify_problem(ret, VERDICT_TAMPERED, NONE,
				      "the file is of an unknown version");
	case BULLA_ETRUNCATED:
		return verify_problem(ret, VERDICT_TAMPERED, NONE,
				      "the file is cut off before its first entry");
	default:
		if (verify_is_ours(r))
			return verify_problem(ret, VERDICT_TAMPERED, 0, "the header is damaged");
		return verify_problem(ret, VERDICT_INCOMPLETE, NONE, "the file cannot be read");
	}
}

int verify_stuck(const struct tail_reader *t, int r, struct problem *ret)
{
	uint64_t at = t->frames.offset;

	if (r == -ENOMEM)
		return r;
	if (!verify_is_ours(r))
		verify_problem(ret, VERDICT_INCOMPLETE, at, "the file cannot be read");
	else if (r == BULLA_EVERSION)
		verify_problem(ret, VERDICT_TAMPERED, at, "a frame is of an unknown kind");
	else
		verify_problem(ret, VERDICT_TAMPERED, at,
			       t->refused ? "a frame says what none may" : "a frame is damaged");
	ret->stuck = true;
	return 0;
}

/* Entries. */

int verify_rows(struct verifier *v, struct tail_reader *t, const struct tail_rows *rows,
		struct batchroot *root, struct rows_seen *seen, struct problem *ret)
{
	_uninitialized_ struct field fields[FIELDS_MAX];
	struct row_state state = { 0 };
	struct entry e;
	uint32_t context;
	struct rd rd;
	int r;

	*seen = (struct rows_seen){ .time_min = UINT64_MAX };
	r = tail_rows_unpack(rows, &v->raw);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return verify_problem(ret, VERDICT_TAMPERED, NONE, "compressed rows do not unpack");
	rd = rd_of(v->raw.data, v->raw.len);
	while ((r = row_decode(&state, &rd, fields, &e, &context)) > 0) {
		if (context >= t->contexts.n)
			return verify_problem(ret, VERDICT_TAMPERED, NONE,
					      "a row names an unknown context");
		e.context = t->contexts.at[context].hash;
		if (root && batchroot_add(root, &e) < 0)
			return -ENOMEM;
		seen->time_min = MIN_OF(seen->time_min, e.time_ns);
		seen->time_max = MAX_OF(seen->time_max, e.time_ns);
		seen->received_max = MAX_OF(seen->received_max, e.received_ns);
		seen->own_fields |= e.n_fields > 0;
		gaps_see(&seen->gaps, &e);
		seen->n++;
	}
	if (r < 0 || seen->n != rows->count)
		return verify_problem(ret, VERDICT_TAMPERED, NONE, "rows do not decode");
	if (seen->time_min != rows->time_min || seen->time_max != rows->time_max ||
	    seen->own_fields != rows->own_fields)
		return verify_problem(ret, VERDICT_TAMPERED, NONE,
				      "the head of the frame is not its rows'");
	return 0;
}

const char *verify_identity(const struct tail_reader *t, const struct ledger_journal *j)
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

/* Begin to hash a batch whose first rows are at hand.  Where a hole comes first, that is not the journal's first batch. */
static void begin(struct verifier *v, struct progress *p, const struct batch *b,
		  const struct ledger_journal *j, struct problem *ret)
{
	const struct tail_reader *t = &p->reader;
	const uint8_t *seed = seeds_of(&t->seeds, b->batch_no);
	const char *what = p->identified ? NULL : verify_identity(t, j);

	p->identified = true;
	if (!what && !seed)
		what = "the seed is missing";
	if (what)
		verify_problem(ret, VERDICT_TAMPERED, NONE, what);
	else
		batchroot_begin(&v->root, seed, b->batch_no, b->recovered);
}

static int take_rows(struct verifier *v, struct progress *p, const struct batch *b,
		     const struct ledger_journal *j, const struct tail_item *item, uint64_t *count,
		     struct problem *ret)
{
	uint64_t want = b->first_seq + *count;
	struct rows_seen seen;
	int r;

	if (item->rows.first_seq != want) {
		/* Frames before belong to a batch that was given up, frames behind to one that is to come. */
		if (item->rows.first_seq < want)
			return p->astray ? 0
					 : verify_problem(ret, VERDICT_TAMPERED, item->offset,
							  "entries are repeated");
		frame_reader_seek(&p->reader.frames, item->offset);
		return verify_problem(ret, VERDICT_TAMPERED, item->offset, "entries are missing");
	}
	p->astray = false;
	if (*count == 0)
		begin(v, p, b, j, ret);
	if (ret->what)
		return 0;
	r = verify_rows(v, &p->reader, &item->rows, &v->root, &seen, ret);
	gaps_add(&v->gaps, &seen.gaps);
	*count += item->rows.count;
	if (ret->what)
		ret->offset = item->offset;
	return r < 0 || ret->what ? r : verify_keep_rows(v);
}

/* A batch that lies in a hole is for segments to have.  `p->hole_end` says then that it does. */
static int pass_hole(struct progress *p, const struct batch *b, uint64_t count,
		     const struct tail_item *item, struct problem *ret)
{
	if (count > 0 || item->hole.batches <= b->batch_no || item->hole.next_seq <= b->first_seq)
		return verify_problem(ret, VERDICT_TAMPERED, item->offset,
				      "a hole is out of place");
	p->hole_end = item->hole.batches;
	return 0;
}

/*
 * What looks damaged may have been hollowed out while it was read: the hole's frame lies before.  @return 0 or an errno; where
 * there is one it is no problem any more.
 */
static int look_for_hole(struct progress *p, const struct batch *b, struct problem *ret)
{
	struct frame_reader reader;
	struct tail_hole hole;
	struct frame f;
	int r;

	if (p->reader.fd < 0 || p->hole_searches++ >= HOLE_SEARCHES_MAX)
		return 0;
	frame_reader_init(&reader, p->reader.fd, 0, TAIL_RECORD_MAX);
	while ((r = frame_reader_next(&reader, &f, NULL)) > 0) {
		if (f.type != TAIL_HOLE)
			continue;
		if (tail_hole_decode(f.payload, f.size, &hole) < 0 || hole.end < reader.offset)
			break;
		frame_reader_seek(&reader, hole.end);
		if (hole.next_seq <= b->first_seq || hole.batches <= b->batch_no)
			continue;
		frame_reader_seek(&p->reader.frames, hole.end);
		p->hole_end = hole.batches;
		p->broken = p->astray = p->lost = false;
		*ret = (struct problem){ 0 };
		break;
	}
	frame_reader_done(&reader);
	return r == -ENOMEM ? r : 0;
}

/* Read and hash the frames of one batch. */
static int read_batch(struct verifier *v, struct progress *p, const struct batch *b,
		      const struct ledger_journal *j, struct problem *ret)
{
	struct tail_item item;
	uint64_t count = 0;

	verify_keep_none(v);
	while (count < b->entries) {
		int r = tail_reader_next(&p->reader, &item);

		if (r < 0)
			return verify_stuck(&p->reader, r, ret);
		if (r == 0) {
			verify_problem(ret, VERDICT_TAMPERED, p->reader.frames.offset,
				       "the file ends before this batch does");
			ret->stuck = true;
			return 0;
		}
		if (item.type == TAIL_HOLE)
			return pass_hole(p, b, count, &item, ret);
		if (item.type == TAIL_BATCH) {
			/* The host stopped between this cut and its seal, and more rows had come by then. */
			if (p->astray || (b->recovered && item.batch.batch_no == b->batch_no))
				continue;
			return verify_problem(ret, VERDICT_TAMPERED, item.offset,
					      item.batch.batch_no == b->batch_no
						      ? "entries are missing"
						      : "a batch record is out of place");
		}
		r = take_rows(v, p, b, j, &item, &count, ret);
		if (r < 0 || ret->what)
			return r;
	}
	if (count != b->entries)
		return verify_problem(ret, VERDICT_TAMPERED, NONE,
				      "the number of entries is not the sealed one");
	return 0;
}

/* The record that ended the batch, as the collector wrote it; `*ret_has` tells whether it is there. */
static int read_record(struct progress *p, struct tail_batch *ret_record, bool *ret_has,
		       struct problem *ret)
{
	struct tail_item item;
	int r = tail_reader_next(&p->reader, &item);

	*ret_has = r > 0 && item.type == TAIL_BATCH;
	if (*ret_has)
		*ret_record = item.batch;
	else if (r > 0)
		frame_reader_seek(&p->reader.frames, item.offset);
	return r < 0 ? verify_stuck(&p->reader, r, ret) : 0;
}

static int compare_batch(struct verifier *v, struct progress *p, const struct batch *b,
			 struct problem *ret)
{
	struct hash root = batchroot_get(&v->root);
	bool same = hash_same(&root, &b->root), has = false;
	struct tail_batch record;
	int r;

	if (same && (v->root.bytes != b->bytes || v->root.time_min != b->time_min ||
		     v->root.time_max != b->time_max))
		verify_problem(ret, VERDICT_TAMPERED, NONE,
			       "sizes or times are not the sealed ones");
	/* A recovered batch ends where the host stopped. */
	r = b->recovered ? 0 : read_record(p, &record, &has, ret);
	if (r < 0 || ret->what)
		return r;
	if (!same && (!has || record.batch_no != b->batch_no))
		return verify_problem(ret, VERDICT_TAMPERED, NONE,
				      "content does not match what was sealed");
	if (!same)
		return verify_problem(ret, VERDICT_TAMPERED, NONE,
				      hash_same(&record.root, &b->root)
					      ? "content changed after it was sealed"
					      : "the sealed root never matched the journal");
	if (b->recovered)
		return 0;
	if (!has || record.batch_no != b->batch_no || record.entries != b->entries ||
	    record.mono_offset != b->mono_offset || !hash_same(&record.root, &b->root))
		return verify_problem(ret, VERDICT_TAMPERED, p->reader.frames.offset,
				      "the batch record is not the sealed batch's");
	return 0;
}

/* After a problem: find the next frame that can be read. */
static int go_on(struct progress *p, const struct problem *found)
{
	int r = found->stuck ? tail_reader_resync(&p->reader) : 1;

	p->broken = p->astray = true;
	p->lost = r <= 0;
	return r == -ENOMEM ? r : 0;
}

/* The memory of a large frame goes back. */
static void shrink(struct tail_reader *t)
{
	uint64_t offset = t->frames.offset;

	if (t->frames.cap > READER_SIZE_MAX) {
		frame_reader_done(&t->frames);
		frame_reader_init(&t->frames, t->fd, offset, TAIL_RECORD_MAX);
	}
}

static int check_batch(struct verifier *v, struct progress *p, const struct batch *b,
		       const struct ledger_journal *j, struct problem *ret)
{
	int r;

	if (p->lost)
		return verify_problem(ret, VERDICT_TAMPERED, NONE, "it lies behind damage");
	r = read_batch(v, p, b, j, ret);
	if (r >= 0 && !ret->what && b->batch_no >= p->hole_end)
		r = compare_batch(v, p, b, ret);
	shrink(&p->reader);
	return r < 0 || !ret->what ? r : go_on(p, ret);
}

static void note_absent(struct progress *p, const struct batch *b, uint64_t commit)
{
	if (p->absent++ == 0) {
		p->absent_first = b->batch_no;
		p->absent_commit = commit;
	}
	p->absent_entries += b->entries;
	p->absent_end = b->batch_no + 1;
}

/* What is not in a tail is in segments, or nowhere.  @return 0 or an error. */
static int look_elsewhere(struct verifier *v, struct progress *p, const struct batch *b,
			  uint64_t commit)
{
	int r = verify_segments_have(v, b);

	if (r == 0)
		note_absent(p, b, commit);
	return MIN_OF(r, 0);
}

/* Check a batch in its tail.  @return 1: it is there and good; 0: it is not, or not in this place. */
static int check_in_tail(struct verifier *v, const struct sealed_commit *c, uint32_t i)
{
	const struct batch *b = &c->batches[i];
	const struct ledger_journal *j = history_journal(v->history, c->handles[i]);
	struct progress *p = &v->at[c->handles[i]];
	struct problem found = { 0 };
	int r;

	if (p->missing)
		return 0;
	r = p->gone ? -ENOENT : b->batch_no < p->hole_end ? 0 : verify_reopen(v, c->handles[i]);
	if (r == -ENOENT) {
		p->gone = true;
		return look_elsewhere(v, p, b, c->commit.number);
	}
	if (r < 0) {
		p->missing = true;
		r = verify_unreadable(r, &found);
	} else if (b->batch_no >= p->hole_end) {
		r = check_batch(v, p, b, j, &found);
	}
	if (r >= 0 && found.what && b->batch_no >= p->hole_end)
		r = look_for_hole(p, b, &found);
	if (r < 0)
		return r;
	if (!found.what && b->batch_no < p->hole_end)
		return look_elsewhere(v, p, b, c->commit.number);
	if (found.what)
		verify_found_in(v, found.verdict, &j->id, b, c->commit.number, found.offset,
				found.what);
	return !found.what;
}

int verify_tails_batch(struct verifier *v, const struct sealed_commit *c, uint32_t i)
{
	const struct batch *b = &c->batches[i];
	struct gaps gaps = { 0 };
	bool in_segment;
	int r, in_tail;

	r = verify_tails_reserve(v, c->handles[i] + 1);
	if (r < 0)
		return r;
	v->report->batches++;
	v->gaps = (struct gaps){ 0 };
	in_tail = check_in_tail(v, c, i);
	if (in_tail < 0)
		return in_tail;
	if (in_tail) {
		gaps = v->gaps;
		r = verify_give_tail(v, &v->at[c->handles[i]].reader, b,
				     history_journal(v->history, c->handles[i]), c->commit.number);
		if (r < 0)
			return r;
	}
	v->gaps = (struct gaps){ 0 };
	r = verify_segments_batch(v, c, i, in_tail, &in_segment);
	if (r < 0 || !(in_tail || in_segment))
		return r;
	v->report->entries += b->entries;
	v->report->bytes += b->bytes;
	gaps_add(&v->at[c->handles[i]].gaps, in_tail ? &gaps : &v->gaps);
	return 0;
}

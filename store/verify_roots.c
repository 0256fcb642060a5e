/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Roots that the ledger left out.
 *
 * A packed ledger (seal/packed.h) has the root of a batch only where no segment has its entries.  The others are made of the
 * entries again; then all of the commit's batches together must come to the root that was sealed.  Where they do not, none of
 * them is proved, and which of them it was cannot be said.
 *
 * A keeper may be pruning meanwhile: before it takes entries out of a segment, it writes their roots into the ledger's file.
 * So a root that nothing makes is looked for in the file that has the name by now.
 */

#include "store/verify-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/room.h"

/* Take the roots that a packed record has of a commit.  @return 1 when it has the commit, 0, an error. */
static int roots_of_record(struct packed_reader *packed, const struct frame *f,
			   const struct sealed_commit *c, struct batch *batches)
{
	struct commit_record record;
	int r = packed_begin(packed, f->payload, f->size);

	while (r >= 0 && (r = packed_next(packed, &record)) > 0) {
		if (record.number != c->commit.number)
			continue;
		for (size_t i = 0; i < record.n_items && i < c->commit.n_batches; i++)
			if (record.items[i].handle == c->handles[i] &&
			    root_is_absent(&batches[i].root))
				batches[i].root = record.items[i].root;
		return 1;
	}
	return r;
}

/* @return 0 or -ENOMEM; what the file lacks stays absent. */
static int roots_of_file(const struct verifier *v, const struct sealed_commit *c,
			 struct batch *batches)
{
	_cleanup_close_ int fd = -1;
	struct packed_reader packed = { 0 };
	char name[LEDGER_NAME_SIZE];
	struct frame_reader reader;
	struct frame f;
	int r;

	ledger_name(v->ledger.first, name);
	fd = io_open_regular(v->state->ledger, name, O_RDONLY);
	if (fd < 0)
		return 0;
	frame_reader_init(&reader, fd, 0, LEDGER_RECORD_MAX);
	while ((r = frame_reader_next(&reader, &f, NULL)) > 0) {
		if (f.type != LEDGER_PACKED)
			continue;
		r = roots_of_record(&packed, &f, c, batches);
		if (r != 0)
			break;
	}
	frame_reader_done(&reader);
	packed_done(&packed);
	return r == -ENOMEM ? r : 0;
}

/* @return how many could not be made, or an error. */
static int64_t make_roots(struct verifier *v, const struct sealed_commit *c)
{
	int64_t absent = 0;

	for (uint32_t i = 0; i < c->commit.n_batches; i++) {
		int r;

		v->made[i] = false;
		if (!root_is_absent(&v->batches[i].root))
			continue;
		r = verify_segments_root(v, &v->batches[i], c->commit.number, &v->batches[i].root);
		if (r < 0)
			return r;
		v->made[i] = r > 0;
		absent += r == 0;
	}
	return absent;
}

/* Their tails, where they have any, go on behind them. */
static int pass_over(struct verifier *v, const struct sealed_commit *c)
{
	for (uint32_t i = 0; i < c->commit.n_batches; i++) {
		int r = verify_tails_reserve(v, c->handles[i] + 1);

		if (r < 0)
			return r;
		v->at[c->handles[i]].astray = true;
	}
	return 0;
}

void verify_roots_lost(struct verifier *v)
{
	char file[16 + TAIL_NAME_SIZE], name[TAIL_NAME_SIZE];
	const struct lost *l = &v->lost;

	if (!l->what)
		return;
	tail_name(&v->lost_journal, name);
	snprintf(file, sizeof file, "journals/%s", name);
	verify_found(v, &(struct finding){
				.verdict = VERDICT_TAMPERED,
				.file = file,
				.journal = &v->lost_journal,
				.batch = l->batch,
				.commit = l->commit,
				.commit_last = l->commit_last > l->commit ? l->commit_last : 0,
				.offset = NONE,
				.entries = l->entries,
				.what = l->what,
			});
	v->lost = (struct lost){ 0 };
}

/* Commits that follow each other are told of as one, by the first batch that is missing. */
static void found_lost(struct verifier *v, const struct sealed_commit *c, bool absent)
{
	const char *what =
		absent ? "no segment has it, and nothing else of its commit can be proved without "
			 "it"
		       : "content changed after it was sealed, of this batch or of another one of "
			 "its commit";
	const struct batch *b = v->batches;
	struct lost *l = &v->lost;

	for (uint32_t i = 0; absent && i < c->commit.n_batches; i++)
		if (root_is_absent(&v->batches[i].root)) {
			b = &v->batches[i];
			break;
		}
	if (l->what != what || !absent || l->commit_last + 1 != c->commit.number)
		verify_roots_lost(v);
	if (!l->what) {
		*l = (struct lost){ .what = what,
				    .batch = b->batch_no,
				    .commit = c->commit.number };
		v->lost_journal = b->journal;
	}
	l->commit_last = c->commit.number;
	for (uint32_t i = 0; i < c->commit.n_batches; i++) {
		l->entries += v->batches[i].entries;
		verify_lose(v, &v->batches[i]);
	}
}

static int take_batches(struct verifier *v, const struct batch *batches, size_t n)
{
	while (v->batches_cap < n)
		if (!room_for(&v->batches, v->batches_cap, &v->batches_cap, sizeof *v->batches))
			return -ENOMEM;
	while (v->made_cap < n)
		if (!room_for(&v->made, v->made_cap, &v->made_cap, sizeof *v->made))
			return -ENOMEM;
	memcpy(v->batches, batches, n * sizeof *v->batches);
	return 0;
}

int verify_roots(struct verifier *v, struct sealed_commit *c)
{
	uint32_t n = c->commit.n_batches;
	int64_t absent;
	struct hash root;
	int r;

	r = take_batches(v, c->batches, n);
	if (r < 0)
		return r;
	absent = make_roots(v, c);
	if (absent > 0) {
		r = roots_of_file(v, c, v->batches);
		absent = r < 0 ? r : 0;
		for (uint32_t i = 0; absent >= 0 && i < n; i++)
			absent += root_is_absent(&v->batches[i].root);
	}
	if (absent < 0)
		return (int) absent;
	root = batches_root(v->batches, n);
	c->batches = v->batches;
	if (absent == 0 && hash_same(&root, &c->commit.batches_root))
		return 1;
	found_lost(v, c, absent > 0);
	return pass_over(v, c);
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What a segment is made of is what was sealed, and all of it: each batch of it is, hashed anew, the ledger's.
 */

#include "store/segment/build.h"

#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bulla/error.h"
#include "seal/ledger.h"
#include "store/row.h"
#include "store/segment/check.h"
#include "store/segment/segment.h"
#include "tests/builder.h"
#include "tests/surgery.h"

Suite(segment_build);

static char state_path_name[512];

static const char *make_state(struct builder *b)
{
	snprintf(state_path_name, sizeof state_path_name, "%s/state", tempdir());
	builder_init(b, state_path_name, (struct kes_params){ 2, 2 });
	for (size_t j = 0; j < 3; j++)
		builder_open(b, j % 2 ? "one" : "two");
	for (size_t i = 0; i < 30; i++) {
		builder_log_many(b, i % 3, 1 + i);
		builder_log(b, (i + 1) % 3, "GET / 200 from 10.0.0.1 in 12 ms");
		builder_commit(b);
	}
	builder_log_many(b, 0, 5);
	builder_flush(b, 0);
	builder_crash(b);
	builder_restart(b, true);
	builder_log_many(b, builder_open(b, "three"), 20);
	builder_commit(b);
	builder_end(b);
	return state_path_name;
}

/* The ledger's batches, to be crossed off. */
struct sealed {
	struct hash leaf[512];
	uint64_t commit[512];
	bool seen[512];
	size_t n;
};

static int note_batches(void *arg, const struct sealed_commit *c)
{
	struct sealed *s = arg;

	for (uint32_t i = 0; i < c->commit.n_batches; i++) {
		s->leaf[s->n] = batch_leaf_hash(&c->batches[i]);
		s->commit[s->n++] = c->commit.number;
	}
	return 0;
}

static struct sealed *read_sealed(const struct state *state)
{
	struct sealed *s = calloc(1, sizeof *s);
	struct history *h = history_new();
	struct ledger_scan scan = { 0 };
	struct ledger l;

	cr_assert(eq(int,
		     ledger_open(&l, state->ledger, O_RDONLY, h, HISTORY_CHECK_ALL, note_batches, s,
				 &scan),
		     0));
	ledger_close(&l);
	history_free(h);
	return s;
}

static void cross_off(struct sealed *s, const struct batch *b, uint64_t commit)
{
	struct hash leaf = batch_leaf_hash(b);

	for (size_t i = 0; i < s->n; i++) {
		if (!hash_same(&s->leaf[i], &leaf))
			continue;
		cr_expect(eq(u64, s->commit[i], commit));
		cr_expect(not(s->seen[i]));
		s->seen[i] = true;
		return;
	}
	cr_expect(false, "a batch that was not sealed: %llu of commit %llu",
		  (unsigned long long) b->batch_no, (unsigned long long) commit);
}

static void check_segment(const char *path, struct sealed *s)
{
	struct segment segment;

	cr_assert(eq(int, segment_open(&segment, open(path, O_RDONLY | O_CLOEXEC)), 0));
	for (uint32_t k = 0; k < segment.n_groups; k++) {
		struct segment_group g;

		cr_assert(eq(int, group_open(&g, &segment, k), 0));
		cr_assert(eq(int, group_need_all(&g), 0));
		for (uint32_t i = 0; i < g.ref->batches; i++) {
			struct batch b;

			cr_assert(eq(int, group_batch(&g, i, &b), 0));
			cross_off(s, &b, g.batches[i].commit);
		}
		group_close(&g);
	}
	segment_close(&segment);
}

struct all_made {
	struct segment_made at[64];
	size_t n;
};

static int note_made(void *arg, const struct segment_made *m)
{
	struct all_made *all = arg;

	cr_assert(lt(sz, all->n, 64));
	cr_expect(gt(u64, m->size, 0));
	all->at[all->n++] = *m;
	return 0;
}

static const char *segments_path(void)
{
	static char path[600];

	snprintf(path, sizeof path, "%s/segments", state_path_name);
	mkdir(path, 0755);
	return path;
}

/* Make segments of all that is sealed. */
static void build(const struct state *state, uint64_t entries_max, struct all_made *all)
{
	int dirfd = open(segments_path(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct segment_builder_options o = { .dirfd = dirfd,
					     .entries_max = entries_max,
					     .level = 3,
					     .made = note_made,
					     .arg = all };
	struct segment_builder *b;

	*all = (struct all_made){ 0 };
	cr_assert(eq(int, segment_builder_new(&b, state, &o), 0));
	cr_assert(eq(int, segment_builder_read(b), 0));
	cr_assert(eq(int, segment_builder_finish(b), 0));
	segment_builder_free(b);
	close(dirfd);
}

static void check_made(const struct all_made *all, struct sealed *s)
{
	for (size_t i = 0; i < all->n; i++) {
		char path[800];

		snprintf(path, sizeof path, "%s/%s", segments_path(), all->at[i].name);
		check_segment(path, s);
	}
}

Test(segment_build, a_segment_holds_what_was_sealed)
{
	struct all_made all;
	struct builder b;
	struct sealed *s;

	make_state(&b);
	s = read_sealed(&b.state);
	build(&b.state, 0, &all);
	check_made(&all, s);
	cr_assert(eq(sz, all.n, 1));
	cr_expect(eq(u64, all.at[0].batches, s->n));
	cr_expect(eq(u64, all.at[0].left_out, 0));
	cr_expect(eq(u32, all.at[0].journals, 4));
	for (size_t i = 0; i < s->n; i++)
		cr_expect(s->seen[i]);
	free(s);
	builder_done(&b);
}

Test(segment_build, segments_of_adjoining_commits_hold_all_between_them)
{
	struct all_made all;
	struct segment_set set;
	struct builder b;
	struct sealed *s;
	uint64_t batches = 0, end = 0;

	make_state(&b);
	s = read_sealed(&b.state);
	build(&b.state, 100, &all);
	cr_assert(gt(sz, all.n, 3));
	check_made(&all, s);
	for (size_t i = 0; i < all.n; i++) {
		cr_expect(eq(u64, all.at[i].first, end));
		end = all.at[i].end;
		batches += all.at[i].batches;
	}
	cr_expect(eq(u64, batches, s->n));
	cr_assert(eq(int, segment_set_open(&set, &b.state), 0));
	cr_expect(eq(u32, set.n, (uint32_t) all.n));
	cr_expect(eq(u32, set.n_damaged, 0));
	for (size_t i = 0; i < b.n; i++) {
		struct history *h = history_new();
		struct ledger_scan scan = { 0 };
		struct ledger l;
		uint64_t has;

		cr_assert(eq(int,
			     ledger_open(&l, b.state.ledger, O_RDONLY, h, HISTORY_SKIP_SIGNATURE,
					 NULL, NULL, &scan),
			     0));
		has = history_journal(h, (uint32_t) i)->batches;
		cr_expect(segment_set_has_all(&set, &history_journal(h, (uint32_t) i)->id, 0, has));
		cr_expect(not(segment_set_has_all(&set, &history_journal(h, (uint32_t) i)->id, 0,
						  has + 1)));
		ledger_close(&l);
		history_free(h);
	}
	cr_expect(not(segment_set_is_stale(&set, &b.state)));
	segment_set_close(&set);
	free(s);
	builder_done(&b);
}

/* The longer one counts, wherever it comes in the directory. */
Test(segment_build, of_segments_that_overlap_the_longest_counts)
{
	struct all_made parts, whole;
	struct segment_set set;
	struct builder b;

	make_state(&b);
	build(&b.state, 100, &parts);
	cr_assert(eq(int, segment_set_open(&set, &b.state), 0));
	build(&b.state, 0, &whole);
	cr_expect(segment_set_is_stale(&set, &b.state));
	segment_set_close(&set);
	cr_assert(eq(int, segment_set_open(&set, &b.state), 0));
	cr_assert(eq(u32, set.n, 1));
	cr_expect(eq(str, set.files[0].name, whole.at[0].name));
	segment_set_close(&set);
	builder_done(&b);
}

static void flip(const char *file, off_t at)
{
	int fd = open(file, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	cr_assert(ge(int, fd, 0), "%s", file);
	cr_assert(eq(sz, (size_t) pread(fd, &byte, 1, at), 1));
	byte ^= 4;
	cr_assert(eq(sz, (size_t) pwrite(fd, &byte, 1, at), 1));
	close(fd);
}

/* Flip a bit of the content of a tail's n-th rows frame. */
static void damage_rows(const char *file, size_t n)
{
	struct tail_reader t;
	struct tail_item item;

	cr_assert(eq(int, tail_reader_open(&t, AT_FDCWD, file), 0));
	for (size_t i = 0; i < n;) {
		cr_assert(eq(int, tail_reader_next(&t, &item), 1));
		i += item.type == TAIL_ROWS;
	}
	tail_reader_close(&t);
	flip(file, (off_t) item.offset + 60);
}

Test(segment_build, what_is_damaged_is_not_carried_on)
{
	struct all_made all;
	struct builder b;
	struct sealed *s;
	char tail[64], file[800];
	size_t whole, seen = 0;

	make_state(&b);
	builder_tail(&b, 1, tail);
	snprintf(file, sizeof file, "%s/%s", state_path_name, tail);
	damage_rows(file, 3);
	s = read_sealed(&b.state);
	build(&b.state, 0, &all);
	check_made(&all, s);
	cr_assert(eq(sz, all.n, 1));
	cr_expect(gt(u64, all.at[0].left_out, 0));
	cr_expect(eq(u64, all.at[0].batches + all.at[0].left_out, s->n));
	for (size_t i = 0; i < s->n; i++)
		seen += s->seen[i];
	cr_expect(eq(u64, seen, all.at[0].batches));
	/* In smaller segments what lies behind the damage is taken again. */
	whole = all.at[0].batches;
	memset(s->seen, 0, sizeof s->seen);
	build(&b.state, 100, &all);
	check_made(&all, s);
	seen = 0;
	for (size_t i = 0; i < s->n; i++)
		seen += s->seen[i];
	cr_expect(gt(sz, seen, whole));
	cr_expect(lt(sz, seen, s->n));
	free(s);
	builder_done(&b);
}

Test(segment_build, a_missing_tail_is_left_out)
{
	struct all_made all;
	struct builder b;
	struct sealed *s;
	char tail[64], file[800];

	make_state(&b);
	builder_tail(&b, 0, tail);
	snprintf(file, sizeof file, "%s/%s", state_path_name, tail);
	cr_assert(eq(int, unlink(file), 0));
	s = read_sealed(&b.state);
	build(&b.state, 0, &all);
	check_made(&all, s);
	cr_assert(eq(sz, all.n, 1));
	cr_expect(eq(u32, all.at[0].journals, 3));
	cr_expect(eq(u64, all.at[0].batches + all.at[0].left_out, s->n));
	free(s);
	builder_done(&b);
}

enum forgery { OTHER_WORD, LONGER };

/* Change the entries of a tail's n-th rows frame, as one would who knows checksums. */
static void forge_rows(const struct builder *b, size_t journal, size_t n, enum forgery how)
{
	static struct surgery s;
	static uint8_t room[1 << 16], message[1 << 12];
	static struct field fields[FIELDS_MAX];
	struct row_state from = { 0 }, to = { 0 };
	struct buf raw = { 0 }, forged = { 0 };
	struct wr w = wr_of(room, sizeof room);
	struct tail_rows head;
	struct entry e;
	uint32_t context;
	struct rd r;
	char tail[64];
	size_t at;

	builder_tail(b, journal, tail);
	surgery_open(&s, state_path_name, tail);
	at = surgery_find(&s, TAIL_ROWS, n);
	surgery_rows(&s, at, &head, &raw);
	r = rd_of(raw.data, raw.len);
	while (row_decode(&from, &r, fields, &e, &context) > 0) {
		memset(message, 'x', sizeof message);
		e.message = message;
		e.message_len += how == LONGER;
		row_encode(&to, &e, context, &w);
	}
	buf_append(&forged, room, w.len);
	surgery_set_rows(&s, at, &head, &forged);
	surgery_close(&s);
	buf_done(&raw);
	buf_done(&forged);
}

/* What has good checksums is known for another only when it is hashed: batches before it are kept, those behind it come later. */
Test(segment_build, what_was_forged_is_not_carried_on)
{
	struct all_made all;
	struct builder b;
	struct sealed *s;
	size_t seen = 0, whole;

	make_state(&b);
	forge_rows(&b, 1, 6, OTHER_WORD);
	s = read_sealed(&b.state);
	build(&b.state, 0, &all);
	check_made(&all, s);
	cr_assert(eq(sz, all.n, 1));
	cr_expect(gt(u64, all.at[0].left_out, 0));
	cr_expect(eq(u64, all.at[0].batches + all.at[0].left_out, s->n));
	cr_expect(eq(u32, all.at[0].journals, 4));
	for (size_t i = 0; i < s->n; i++)
		seen += s->seen[i];
	cr_expect(eq(u64, seen, all.at[0].batches));
	whole = seen;
	memset(s->seen, 0, sizeof s->seen);
	build(&b.state, 100, &all);
	check_made(&all, s);
	for (size_t i = seen = 0; i < s->n; i++)
		seen += s->seen[i];
	cr_expect(gt(sz, seen, whole));
	cr_expect(lt(sz, seen, s->n));
	free(s);
	builder_done(&b);
}

Test(segment_build, no_more_is_read_than_was_sealed)
{
	struct all_made all;
	struct builder b;
	struct sealed *s;

	make_state(&b);
	forge_rows(&b, 2, 4, LONGER);
	s = read_sealed(&b.state);
	build(&b.state, 0, &all);
	check_made(&all, s);
	cr_assert(eq(sz, all.n, 1));
	cr_expect(gt(u64, all.at[0].left_out, 0));
	cr_expect(eq(u64, all.at[0].batches + all.at[0].left_out, s->n));
	free(s);
	builder_done(&b);
}

/* Nothing is made of what was forged alone, and nobody stops for that: what comes later is in the segment that does. */
Test(segment_build, where_nothing_is_as_it_was_sealed_nothing_is_made)
{
	struct all_made all;
	struct builder b;
	size_t j;

	snprintf(state_path_name, sizeof state_path_name, "%s/state", tempdir());
	builder_init(&b, state_path_name, (struct kes_params){ 2, 2 });
	j = builder_open(&b, "one");
	builder_log_many(&b, j, 40);
	builder_commit(&b);
	builder_log_many(&b, j, 10);
	builder_commit(&b);
	builder_end(&b);
	forge_rows(&b, j, 0, OTHER_WORD);
	build(&b.state, 0, &all);
	cr_expect(eq(sz, all.n, 0));
	build(&b.state, 30, &all);
	cr_assert(eq(sz, all.n, 1));
	cr_expect(eq(u64, all.at[0].first, 0));
	cr_expect(eq(u64, all.at[0].batches, 1));
	cr_expect(eq(u64, all.at[0].entries, 10));
	cr_expect(eq(u64, all.at[0].left_out, 1));
	builder_done(&b);
}

/* Who takes tails away relies on this. */
Test(segment_build, a_segment_that_gives_back_something_else_is_found)
{
	struct sealed_batch none = { 0 };
	struct all_made all;
	struct builder b;
	char path[800];

	make_state(&b);
	build(&b.state, 0, &all);
	snprintf(path, sizeof path, "%s/%s", segments_path(), all.at[0].name);
	cr_expect(eq(int, segment_check(AT_FDCWD, path, &none, 0), BULLA_ECORRUPT));
	flip(path, 500);
	cr_expect(eq(int, segment_check(AT_FDCWD, path, &none, 0), BULLA_ECORRUPT));
	builder_done(&b);
}

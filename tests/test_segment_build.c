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
#include <unistd.h>

#include "bulla/error.h"
#include "seal/ledger.h"
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
		cr_assert(group_need_batches(&g) == 0 && group_need_rows(&g) == 0 &&
			  group_need_times(&g) == 0 && group_need_fields(&g) == 0 &&
			  group_need_templates(&g) == 0);
		for (uint32_t i = 0; i < g.ref->batches; i++) {
			struct batch b;

			cr_assert(eq(int, group_batch(&g, i, &b), 0));
			cross_off(s, &b, g.batches[i].commit);
		}
		group_close(&g);
	}
	segment_close(&segment);
}

static void build(const struct state *state, const char *path, uint64_t first, uint64_t end,
		  struct segment_made *made)
{
	struct segment_order order = { first, end, path, AT_FDCWD, 3 };

	cr_assert(eq(int, segment_build(state, &order, made), 0));
	cr_expect(gt(u64, made->size, 0));
}

Test(segment_build, a_segment_holds_what_was_sealed)
{
	struct segment_made made;
	struct builder b;
	struct sealed *s;
	char path[600];

	snprintf(path, sizeof path, "%s/all.segment", tempdir());
	make_state(&b);
	s = read_sealed(&b.state);
	build(&b.state, path, 0, UINT64_MAX, &made);
	check_segment(path, s);
	cr_expect(eq(u64, made.batches, s->n));
	cr_expect(eq(u32, made.journals, 4));
	for (size_t i = 0; i < s->n; i++)
		cr_expect(s->seen[i]);
	free(s);
	builder_done(&b);
}

Test(segment_build, segments_of_adjoining_commits_hold_all_between_them)
{
	struct segment_made made;
	struct builder b;
	struct sealed *s;
	char path[600];
	uint64_t batches = 0;

	make_state(&b);
	s = read_sealed(&b.state);
	for (uint64_t first = 0, n = 0; n < 100; first = made.end, n++) {
		snprintf(path, sizeof path, "%s/%llu.segment", tempdir(),
			 (unsigned long long) first);
		build(&b.state, path, first, first + 7, &made);
		check_segment(path, s);
		batches += made.batches;
		if (made.end < first + 7)
			break;
	}
	cr_expect(eq(u64, batches, s->n));
	free(s);
	builder_done(&b);
}

Test(segment_build, what_is_damaged_is_not_carried_on)
{
	struct segment_order order = { 0, UINT64_MAX, NULL, AT_FDCWD, 3 };
	struct segment_made made;
	struct builder b;
	char path[600], tail[64], file[700];
	uint8_t byte;
	int fd;

	snprintf(path, sizeof path, "%s/x.segment", tempdir());
	order.name = path;
	make_state(&b);
	builder_tail(&b, 1, tail);
	snprintf(file, sizeof file, "%s/%s", state_path_name, tail);
	fd = open(file, O_RDWR | O_CLOEXEC);
	cr_assert(ge(int, fd, 0), "%s", file);
	cr_assert(eq(sz, (size_t) pread(fd, &byte, 1, 700), 1));
	byte ^= 4;
	cr_assert(eq(sz, (size_t) pwrite(fd, &byte, 1, 700), 1));
	close(fd);
	cr_expect(eq(int, segment_build(&b.state, &order, &made), BULLA_ETAMPERED));
	cr_expect(eq(int, access(path, F_OK), -1));
	cr_expect(eq(int, unlink(file), 0));
	cr_expect(eq(int, segment_build(&b.state, &order, &made), -ENOENT));
	builder_done(&b);
}

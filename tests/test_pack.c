/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A packer copies what lies in a state directory, byte for byte, from any commit on; and whatever has become of the tails,
 * every commit can be packed so that a receiver takes it.
 */

#include "forwarder/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "bulla/error.h"
#include "forwarder/receive.h"
#include "seal/ledger.h"
#include "tests/builder.h"
#include "tests/harness.h"
#include "tests/packing.h"

Suite(pack);

static const struct pack_options plain, full = { .full = true };

static struct packer *open_packer(const struct builder *b, uint64_t *ret_commits)
{
	struct packer *p = NULL;

	cr_assert(eq(int, packer_new(&p, &b->state), 0));
	cr_assert(eq(int, packer_size(p, ret_commits), 0));
	return p;
}

/* Two journals, four commits with batches; they may go on. */
static void begin_open(struct builder *b)
{
	size_t web, db;

	builder_init(b, tempdir(), (struct kes_params){ 2, 2 });
	web = builder_open(b, "web");
	db = builder_open(b, "db");
	for (unsigned i = 0; i < 4; i++) {
		builder_log_many(b, web, 3);
		builder_flush(b, web);
		builder_log_many(b, web, 2);
		builder_log_many(b, db, 1);
		builder_commit(b);
	}
}

static void begin_small(struct builder *b)
{
	begin_open(b);
	builder_end(b);
}

/* Everything from commit 0 on. */
static void pack_all(const struct builder *b, const struct pack_options *o, struct buf *body)
{
	uint64_t commits;
	struct packer *p = open_packer(b, &commits);

	for (uint64_t i = 0; i < commits; i++)
		cr_assert(eq(int, packer_next(p, o, body), 1), "commit %d", (int) i);
	cr_expect(eq(int, packer_next(p, o, body), 0));
	packer_free(p);
}

/* Feed a receiver.  @return commits that it took. */
static uint64_t take(struct receiver *r, const struct buf *body, uint64_t *ret_entries,
		     uint64_t *ret_absent, int *ret_error)
{
	*ret_error = 0;
	for (size_t at = 0; at < body->len && *ret_error == 0;) {
		struct received c;
		struct frame f;
		ssize_t n = frame_parse(body->data + at, body->len - at, WIRE_RECORD_MAX, &f);

		cr_assert(gt(i64, n, 0));
		*ret_error = receiver_frame(r, &f, at, RECEIVE_VERIFY, &c);
		if (*ret_error == 1) {
			*ret_entries += c.entries;
			*ret_absent += c.absent;
			*ret_error = receiver_accept(r);
		}
		at += (size_t) n;
	}
	receiver_reset(r);
	return history_size(receiver_history(r));
}

/* Frames of a file or of a body that are of one of these types, for one journal or all. */
static void frames_of(const struct buf *from, uint32_t low, uint32_t high, const struct id *journal,
		      struct buf *to)
{
	bool wanted = !journal;

	for (size_t at = 0; at < from->len;) {
		struct frame f;
		ssize_t n = frame_parse(from->data + at, from->len - at, WIRE_RECORD_MAX, &f);

		if (n <= 0)
			break;
		if (f.type == WIRE_BATCH && journal)
			wanted = memcmp(f.payload, journal->b, ID_SIZE) == 0;
		if (f.type >= low && f.type <= high && wanted)
			wire_frame(to, f.type, f.payload, f.size);
		at += (size_t) n;
	}
}

static void expect_same(const struct buf *a, const struct buf *b, const char *what, size_t i)
{
	cr_assert(eq(sz, a->len, b->len), "%s %zu", what, i);
	cr_assert(eq(int, memcmp(a->data, b->data, a->len), 0), "%s %zu", what, i);
}

Test(pack, what_lies_in_the_directory_is_copied)
{
	_cleanup_buf_ struct buf body = { 0 };
	struct builder b;

	builder_story(&b, tempdir());
	pack_all(&b, &plain, &body);
	for (size_t i = 0; i < b.n; i++) {
		_cleanup_buf_ struct buf tail = { 0 }, want = { 0 }, got = { 0 };
		char name[64];

		builder_tail(&b, i, name);
		builder_load(b.path, name, &tail);
		frames_of(&tail, TAIL_ROWS, TAIL_ROWS, NULL, &want);
		frames_of(&body, TAIL_ROWS, TAIL_ROWS, &b.journal[i].id, &got);
		expect_same(&got, &want, "rows of journal", i);
		buf_clear(&want);
		buf_clear(&got);
		frames_of(&tail, TAIL_SEED, TAIL_SEED, NULL, &want);
		frames_of(&body, TAIL_SEED, TAIL_SEED, &b.journal[i].id, &got);
		/* What no batch needed is not sent. */
		cr_assert(le(sz, got.len, want.len));
		cr_expect(eq(int, memcmp(got.data, want.data, got.len), 0), "seeds of journal %zu",
			  i);
	}
	builder_done(&b);
}

Test(pack, records_of_the_ledger_are_copied)
{
	_cleanup_buf_ struct buf body = { 0 }, ledger = { 0 };
	size_t at = 0;
	struct builder b;

	builder_story(&b, tempdir());
	pack_all(&b, &plain, &body);
	builder_load(b.path, "ledger/" LEDGER_FILE, &ledger);
	for (size_t from = 0; from < ledger.len;) {
		struct frame l, f = { 0 };
		ssize_t n = frame_parse(ledger.data + from, ledger.len - from, WIRE_RECORD_MAX, &l);

		if (n <= 0)
			break;
		from += (size_t) n;
		if (l.type == LEDGER_HEADER)
			continue;
		while (f.type != WIRE_KEYS && f.type != WIRE_COMMIT) {
			n = frame_parse(body.data + at, body.len - at, WIRE_RECORD_MAX, &f);
			cr_assert(gt(i64, n, 0));
			at += (size_t) n;
		}
		cr_expect(eq(u32, f.type, l.type == LEDGER_KEYS ? WIRE_KEYS : WIRE_COMMIT));
		cr_assert(eq(u32, f.size, l.size));
		cr_expect(eq(int, memcmp(f.payload, l.payload, l.size), 0));
	}
	cr_expect(eq(sz, at, body.len));
	builder_done(&b);
}

/* Whoever starts in the middle, or goes back, packs the same bytes as one who came all the way. */
Test(pack, from_any_commit_it_is_the_same)
{
	enum { COMMITS_MAX = 64 };
	struct buf piece[COMMITS_MAX] = { 0 };
	struct hash root[COMMITS_MAX];
	_cleanup_buf_ struct buf body = { 0 };
	uint64_t commits, dice = 1;
	struct packer *p;
	struct builder b;

	builder_story(&b, tempdir());
	p = open_packer(&b, &commits);
	cr_assert(le(u64, commits, COMMITS_MAX));
	for (uint64_t i = 0; i < commits; i++) {
		root[i] = packer_root(p);
		cr_assert(eq(u64, packer_position(p), i));
		cr_assert(eq(int, packer_next(p, &plain, &piece[i]), 1));
	}
	for (unsigned round = 0; round < 100; round++) {
		uint64_t at = random_u64(&dice) % commits;
		struct hash got;

		if (round % 4 == 0) {
			packer_free(p);
			p = open_packer(&b, &commits);
		}
		cr_assert(eq(int, packer_seek(p, at), 0));
		got = packer_root(p);
		cr_expect(eq(int, memcmp(&got, &root[at], sizeof got), 0), "commit %d", (int) at);
		for (; at < commits && random_u64(&dice) % 4 > 0; at++) {
			buf_clear(&body);
			cr_assert(eq(int, packer_next(p, &plain, &body), 1));
			expect_same(&body, &piece[at], "commit", at);
		}
	}
	cr_expect(eq(int, packer_seek(p, commits), 0));
	cr_expect(eq(int, packer_seek(p, commits + 1), -ENOENT));
	packer_free(p);
	for (uint64_t i = 0; i < commits; i++)
		buf_done(&piece[i]);
	builder_done(&b);
}

Test(pack, a_whole_list_begins_with_the_identity)
{
	_cleanup_buf_ struct buf body = { 0 };
	uint64_t commits, wholes = 0;
	struct packer *p;
	struct builder b;

	begin_small(&b);
	p = open_packer(&b, &commits);
	for (uint64_t i = 0; i < commits; i++) {
		bool first = false;

		buf_clear(&body);
		cr_assert(eq(int, packer_next(p, &full, &body), 1));
		for (size_t at = 0; at < body.len;) {
			struct wire_batch head;
			struct frame f;

			at += (size_t) frame_parse(body.data + at, body.len - at, WIRE_RECORD_MAX,
						   &f);
			if (first)
				cr_expect(eq(u32, f.type, TAIL_CONTEXT), "commit %d", (int) i);
			first = f.type == WIRE_BATCH;
			if (!first)
				continue;
			wholes++;
			cr_assert(eq(int, wire_batch_decode(f.payload, f.size, &head), 0));
			cr_expect(eq(u32, head.flags, WIRE_BATCH_ALL));
		}
	}
	cr_expect(eq(u64, wholes, 8));
	packer_free(p);
	builder_done(&b);
}

Test(pack, more_journals_than_may_be_open)
{
	enum { JOURNALS = 100 };
	_cleanup_buf_ struct buf body = { 0 };
	struct receiver *r = receiver_new();
	uint64_t entries = 0, absent = 0;
	struct builder b;
	int error;

	builder_init(&b, tempdir(), (struct kes_params){ 4, 4 });
	for (size_t i = 0; i < JOURNALS; i++)
		builder_open(&b, "one of many");
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < JOURNALS; i++)
			builder_log(&b, i, "a line");
		builder_commit(&b);
	}
	pack_all(&b, &plain, &body);
	take(r, &body, &entries, &absent, &error);
	cr_expect(eq(int, error, 0));
	cr_expect(eq(u64, entries, 3 * JOURNALS));
	cr_expect(eq(u64, absent, 0));
	receiver_free(r);
	builder_done(&b);
}

Test(pack, what_comes_later_is_seen)
{
	_cleanup_buf_ struct buf body = { 0 };
	struct receiver *r = receiver_new();
	uint64_t commits, before = 0, entries = 0, absent = 0;
	struct packer *p;
	struct builder b;
	size_t web;
	int error;

	builder_init(&b, tempdir(), (struct kes_params){ 2, 2 });
	web = builder_open(&b, "web");
	p = open_packer(&b, &commits);
	for (unsigned i = 0; i < 40; i++) {
		builder_log(&b, web, "a line");
		if (i % 3 == 0)
			builder_flush(&b, web);
		builder_commit(&b);
		before = commits;
		cr_assert(eq(int, packer_size(p, &commits), 0));
		cr_expect(ge(u64, commits, before + 1));
		while (packer_position(p) < commits)
			cr_assert(eq(int, packer_next(p, &plain, &body), 1));
		cr_expect(eq(int, packer_next(p, &plain, &body), 0));
	}
	cr_expect(eq(u64, take(r, &body, &entries, &absent, &error), commits));
	cr_expect(eq(u64, entries, 40));
	packer_free(p);
	receiver_free(r);
	builder_done(&b);
}

Test(pack, a_ledger_that_is_being_written_gives_its_whole_commits)
{
	_cleanup_buf_ struct buf ledger = { 0 }, all = { 0 };
	uint64_t last = 0;
	struct builder b;

	begin_small(&b);
	pack_all(&b, &plain, &all);
	builder_load(b.path, "ledger/" LEDGER_FILE, &ledger);
	for (size_t n = 0; n <= ledger.len; n += n + 64 < ledger.len ? 113 : 7) {
		_cleanup_buf_ struct buf body = { 0 };
		struct packer *p = NULL;
		uint64_t commits = 0, got = 0;
		int r;

		builder_store(b.path, "ledger/" LEDGER_FILE, ledger.data, n);
		r = packer_new(&p, &b.state);
		if (r < 0)
			continue;
		cr_assert(eq(int, packer_size(p, &commits), 0), "%zu bytes", n);
		while ((r = packer_next(p, &plain, &body)) == 1)
			got++;
		cr_expect(eq(int, r, 0), "%zu bytes", n);
		cr_expect(eq(u64, got, commits), "%zu bytes", n);
		cr_expect(ge(u64, commits, last), "%zu bytes", n);
		last = commits;
		/* No keys ahead of their commit. */
		cr_assert(le(sz, body.len, all.len));
		cr_expect(eq(int, body.len ? memcmp(body.data, all.data, body.len) : 0, 0),
			  "%zu bytes", n);
		packer_free(p);
	}
	cr_expect(gt(u64, last, 5));
	builder_done(&b);
}

/* One bad block never stops a host: a careful packer packs what a receiver takes. */

struct outcome {
	uint64_t commits, entries, absent;
};

static struct outcome ship_carefully(const struct builder *b, bool whole)
{
	struct pack_options o = { .full = whole, .careful = true };
	struct outcome got = { 0 };
	struct receiver *r = receiver_new();
	uint64_t commits;
	struct packer *p = open_packer(b, &commits);

	for (uint64_t i = 0; i < commits; i++) {
		_cleanup_buf_ struct buf body = { 0 };
		int error;

		cr_assert(eq(int, packer_next(p, &o, &body), 1), "commit %d", (int) i);
		got.commits = take(r, &body, &got.entries, &got.absent, &error);
		/* It lacks what an absent batch would have told. */
		if (error == -ENOKEY && !whole) {
			buf_clear(&body);
			cr_assert(eq(int, packer_seek(p, i), 0));
			cr_assert(eq(int,
				     packer_next(p, &(struct pack_options){ true, true }, &body),
				     1));
			got.commits = take(r, &body, &got.entries, &got.absent, &error);
		}
		cr_assert(eq(int, error, 0), "commit %d", (int) i);
	}
	cr_assert(eq(u64, got.commits, commits));
	packer_free(p);
	receiver_free(r);
	return got;
}

Test(pack, whatever_becomes_of_a_tail_every_commit_is_taken)
{
	_cleanup_buf_ struct buf tail = { 0 };
	uint64_t least = UINT64_MAX;
	struct builder b;
	char name[64];

	begin_small(&b);
	builder_tail(&b, 0, name);
	builder_load(b.path, name, &tail);
	while (tail.len > 0 && tail.data[tail.len - 1] == 0)
		tail.len--;
	for (size_t at = 0; at < tail.len; at += 5) {
		struct outcome got;

		tail.data[at] ^= (uint8_t) (1u << at % 8);
		builder_store(b.path, name, tail.data, tail.len);
		tail.data[at] ^= (uint8_t) (1u << at % 8);
		got = ship_carefully(&b, at % 2);
		/* The other journal has four; of this one what is whole. */
		cr_expect(ge(u64, got.entries, 4), "byte %zu", at);
		least = MIN_OF(least, got.entries);
	}
	for (size_t n = 0; n < tail.len; n += 17) {
		builder_store(b.path, name, tail.data, n);
		cr_expect(ge(u64, ship_carefully(&b, n % 2).entries, 4), "%zu bytes", n);
	}
	cr_expect(eq(u64, least, 4));
	builder_done(&b);
}

Test(pack, a_tail_that_is_gone_is_absent)
{
	struct outcome got;
	struct builder b;
	char name[64];

	begin_small(&b);
	builder_tail(&b, 0, name);
	cr_assert(eq(int, unlinkat(b.state.journals, strchr(name, '/') + 1, 0), 0));
	got = ship_carefully(&b, false);
	cr_expect(eq(u64, got.entries, 4));
	cr_expect(eq(u64, got.absent, 4));
	builder_done(&b);
}

/* Segments. */

static void remove_tail(const struct builder *b, size_t journal)
{
	char name[64];

	builder_tail(b, journal, name);
	if (unlinkat(b->state.journals, strchr(name, '/') + 1, 0) < 0)
		cr_assert(eq(int, errno, ENOENT));
}

Test(pack, what_segments_have_is_sent_without_its_tails)
{
	struct outcome want, got;
	struct builder b;

	builder_story(&b, tempdir());
	want = ship_carefully(&b, false);
	pack_segments(&b, 40, true);
	for (size_t i = 0; i < b.n; i++)
		remove_tail(&b, i);
	for (int whole = 0; whole < 2; whole++) {
		got = ship_carefully(&b, whole);
		cr_expect(eq(u64, got.commits, want.commits));
		cr_expect(eq(u64, got.entries, want.entries));
		cr_expect(eq(u64, got.absent, want.absent));
	}
	builder_done(&b);
}

/* Tails take over where segments end, and segments stand in for what is damaged in a tail. */
Test(pack, segments_stand_in_for_damage)
{
	_cleanup_buf_ struct buf tail = { 0 };
	struct outcome got;
	struct builder b;
	char name[64];

	begin_open(&b);
	pack_segments(&b, 0, true);
	builder_log_many(&b, 0, 7);
	builder_end(&b);
	builder_tail(&b, 0, name);
	builder_load(b.path, name, &tail);
	for (size_t at = 0; at < tail.len / 2; at += 7) {
		tail.data[at] ^= (uint8_t) (1u << at % 8);
		builder_store(b.path, name, tail.data, tail.len);
		tail.data[at] ^= (uint8_t) (1u << at % 8);
		got = ship_carefully(&b, at % 2);
		cr_expect(ge(u64, got.entries, 24), "byte %zu", at);
		cr_expect(le(u64, got.absent, 1), "byte %zu", at);
	}
	builder_done(&b);
}

/* A forwarder that is at work while the keeper packs and takes tails away. */
Test(pack, tails_may_go_while_it_runs)
{
	struct receiver *r = receiver_new();
	uint64_t commits, entries = 0, absent = 0;
	struct builder b;
	struct packer *p;

	begin_small(&b);
	p = open_packer(&b, &commits);
	for (uint64_t i = 0; i < commits; i++) {
		_cleanup_buf_ struct buf body = { 0 };
		int error;

		if (i == 2) {
			pack_segments(&b, 0, true);
			remove_tail(&b, 0);
			remove_tail(&b, 1);
		}
		cr_assert(eq(int, packer_next(p, &plain, &body), 1));
		cr_expect(eq(u64, take(r, &body, &entries, &absent, &error), i + 1));
		cr_assert(eq(int, error, 0), "commit %d", (int) i);
	}
	cr_expect(eq(u64, entries, 24));
	cr_expect(eq(u64, absent, 0));
	packer_free(p);
	receiver_free(r);
	builder_done(&b);
}

/* What was pruned is said to be. */
Test(pack, what_was_pruned_is_absent_for_that)
{
	_cleanup_buf_ struct buf body = { 0 };
	struct builder b;
	size_t pruned = 0;

	begin_open(&b);
	builder_close(&b, 0);
	pack_segments(&b, 0, true);
	builder_prune(&b, 0, 3);
	cr_expect(eq(int, merge_segments(&b, 0, 1), 1));
	remove_tail(&b, 0);
	cr_expect(eq(u64, ship_carefully(&b, false).absent, 3));
	pack_all(&b, &plain, &body);
	for (size_t at = 0; at < body.len;) {
		struct wire_batch head;
		struct frame f;
		ssize_t n = frame_parse(body.data + at, body.len - at, WIRE_RECORD_MAX, &f);

		cr_assert(gt(i64, n, 0));
		at += (size_t) n;
		if (f.type != WIRE_BATCH)
			continue;
		cr_assert(eq(int, wire_batch_decode(f.payload, f.size, &head), 0));
		pruned += head.absent == ABSENT_PRUNED;
		cr_expect(ne(int, (int) head.absent, (int) ABSENT_DAMAGED));
	}
	cr_expect(eq(sz, pruned, 3));
	builder_done(&b);
}

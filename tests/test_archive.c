/* SPDX-License-Identifier: Apache-2.0 */

/**
 * An archive holds what it has acknowledged, once and in order: whatever is sent twice, overlapping, with holes, damaged or
 * forked, whatever the disk does, and after every start again.
 */

#include "aggregator/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "bulla/error.h"
#include "forwarder/pack.h"
#include "tests/archiving.h"
#include "tests/disk.h"
#include "tests/harness.h"

Suite(archive);

/* Two journals in few commits, so that every step and many bytes can be tried. */
static void tell_small(struct builder *b)
{
	size_t web, db;

	builder_init(b, tempdir(), (struct kes_params){ 2, 2 });
	web = builder_open(b, "web");
	db = builder_open(b, "db");
	for (unsigned i = 0; i < 4; i++) {
		builder_log_many(b, web, 2);
		builder_log_many(b, db, 1);
		builder_commit(b);
	}
}

static void begin(struct fixture *f)
{
	log_setup("test", LOG_LEVEL_ERR);
	*f = (struct fixture){ .entries = 12 };
	tell_small(&f->b);
	begin_packing(f);
	f->store = tempdir();
	open_archive(f);
}

static void end(struct fixture *f)
{
	archive_close(f->archive);
	packer_free(f->packer);
	builder_done(&f->b);
}

static struct hash root_at(const struct fixture *f, uint64_t size)
{
	cr_assert(eq(int, packer_seek(f->packer, size), 0));
	return packer_root(f->packer);
}

/* The head is at `size`, with our root and a receipt that says so. */
static void expect_head(struct fixture *f, uint64_t size, size_t when)
{
	struct hash want = root_at(f, size);
	struct cosigner who;
	struct wire_head h;
	uint64_t time_s;

	cr_assert(eq(int, archive_head(f->archive, &f->origin, &h), 0));
	cr_assert(eq(u64, h.received, size), "at %zu", when);
	cr_expect(eq(u64, h.durable, size), "at %zu", when);
	cr_assert(eq(int, cosigner_parse(h.key, &who), 0));
	cr_expect(eq(int, strcmp(who.name, "central"), 0));
	if (size == 0) {
		cr_expect(eq(int, *h.receipt, 0), "at %zu", when);
		return;
	}
	cr_expect(eq(int, memcmp(&h.root, &want, sizeof want), 0), "at %zu", when);
	cr_expect(eq(int,
		     cosign_check(&who, h.receipt, strlen(h.receipt), &f->origin, size, &want,
				  &time_s),
		     0),
		  "at %zu", when);
}

static void expect_all(struct fixture *f, size_t when)
{
	expect_head(f, f->commits, when);
	cr_expect(eq(u64, entries_found(f), f->entries), "at %zu", when);
}

Test(archive, commits_are_taken_in_any_pieces)
{
	for (uint64_t piece = 1; piece <= 8; piece++) {
		struct fixture f;
		uint64_t from = 0;

		begin(&f);
		expect_head(&f, 0, piece);
		for (; from < f.commits; from += piece) {
			uint64_t to = MIN_OF(from + piece, f.commits) - 1;

			cr_assert(eq(int, put(&f, from, to), PUT_ACCEPTED));
			expect_head(&f, to + 1, piece);
		}
		expect_all(&f, piece);
		reopen(&f);
		expect_all(&f, piece);
		end(&f);
		harness_teardown();
	}
}

Test(archive, what_comes_again_changes_nothing)
{
	struct wire_head before, after;
	struct fixture f;

	begin(&f);
	cr_assert(eq(int, put(&f, 0, f.commits - 1), PUT_ACCEPTED));
	cr_assert(eq(int, archive_head(f.archive, &f.origin, &before), 0));
	for (uint64_t from = 0; from < f.commits; from++)
		for (uint64_t to = from; to < f.commits; to++)
			cr_expect(eq(int, put(&f, from, to), PUT_ACCEPTED), "%d to %d", (int) from,
				  (int) to);
	expect_all(&f, 0);
	/* Not even a new receipt. */
	cr_assert(eq(int, archive_head(f.archive, &f.origin, &after), 0));
	cr_expect(eq(int, strcmp(before.receipt, after.receipt), 0));
	reopen(&f);
	expect_all(&f, 1);
	end(&f);
}

Test(archive, what_overlaps_goes_on_behind_it)
{
	for (uint64_t from = 0; from <= 3; from++) {
		struct fixture f;

		begin(&f);
		cr_assert(eq(int, put(&f, 0, 2), PUT_ACCEPTED));
		cr_expect(eq(int, put(&f, from, f.commits - 1), PUT_ACCEPTED), "from %d",
			  (int) from);
		expect_all(&f, from);
		reopen(&f);
		expect_all(&f, from);
		end(&f);
		harness_teardown();
	}
}

Test(archive, a_hole_is_not_jumped_over)
{
	struct fixture f;

	begin(&f);
	cr_expect(eq(int, put(&f, 1, 2), PUT_REWIND));
	expect_head(&f, 0, 0);
	cr_assert(eq(int, put(&f, 0, 1), PUT_ACCEPTED));
	cr_expect(eq(int, put(&f, 3, 4), PUT_REWIND));
	expect_head(&f, 2, 1);
	end(&f);
}

Test(archive, a_body_is_the_range_that_it_says)
{
	_cleanup_buf_ struct buf body = { 0 };
	struct fixture f;

	begin(&f);
	pack(&f, 0, 2, (struct pack_options){ 0 }, &body);
	cr_expect(eq(int, put_body(&f, 2, 1, &body), PUT_REFUSED));
	cr_expect(eq(int, put_body(&f, 0, WIRE_COMMITS_MAX, &body), PUT_REFUSED));
	expect_head(&f, 0, 0);
	/* What is whole before the refusal is kept, and the head says so. */
	cr_expect(eq(int, put_body(&f, 0, 1, &body), PUT_REFUSED));
	expect_head(&f, 3, 1);
	cr_expect(eq(int, put_body(&f, 0, 3, &body), PUT_REFUSED));
	expect_head(&f, 3, 2);
	buf_clear(&body);
	cr_expect(eq(int, put_body(&f, 3, 3, &body), PUT_REFUSED));
	expect_head(&f, 3, 3);
	cr_expect(eq(int, put(&f, 3, f.commits - 1), PUT_ACCEPTED));
	expect_all(&f, 4);
	end(&f);
}

Test(archive, a_cut_body_keeps_whole_commits_and_goes_on)
{
	_cleanup_buf_ struct buf body = { 0 };
	struct fixture f;

	begin(&f);
	pack(&f, 0, f.commits - 1, (struct pack_options){ 0 }, &body);
	for (size_t n = 0; n < body.len; n += body.len / 97) {
		struct buf part = { .data = body.data, .len = n };
		struct wire_head h;

		cr_expect(eq(int, put_body(&f, 0, f.commits - 1, &part), PUT_REFUSED), "%zu bytes",
			  n);
		cr_assert(eq(int, archive_head(f.archive, &f.origin, &h), 0));
		expect_head(&f, h.received, n);
	}
	cr_expect(eq(int, put_body(&f, 0, f.commits - 1, &body), PUT_ACCEPTED));
	expect_all(&f, body.len);
	end(&f);
}

Test(archive, an_origin_is_known_by_its_own_genesis_only)
{
	struct fixture f, other;
	struct wire_head h;
	struct id own;

	begin(&f);
	begin(&other);
	other.archive = archive_close(other.archive);
	/* Another's commits under this name. */
	own = f.origin;
	f.origin = other.origin;
	cr_expect(eq(int, put(&f, 0, f.commits - 1), PUT_REFUSED));
	cr_assert(eq(int, archive_head(f.archive, &f.origin, &h), 0));
	cr_expect(eq(u64, h.received, 0));
	f.origin = own;
	cr_expect(eq(int, put(&f, 0, 3), PUT_ACCEPTED));
	/* Nor do another's go on where this one has come to. */
	other.archive = f.archive;
	other.origin = own;
	cr_expect(eq(int, put(&other, 4, other.commits - 1), PUT_REFUSED));
	cr_expect(eq(int, put(&other, 2, other.commits - 1), PUT_FORK));
	expect_head(&f, 4, 0);
	cr_expect(eq(int, put(&f, 4, f.commits - 1), PUT_ACCEPTED));
	reopen(&f);
	expect_all(&f, 0);
	packer_free(other.packer);
	builder_done(&other.b);
	end(&f);
}

/* Forks. */

/* Another history that has the first commits in common: what a copied key makes. */
static void fork_host(struct fixture *f, struct fixture *ret)
{
	const char *path = tempdir();

	*ret = (struct fixture){ .archive = f->archive, .origin = f->origin };
	builder_crash(&f->b);
	builder_copy(f->b.path, path);
	builder_init(&ret->b, path, f->b.params);
	builder_commit(&ret->b);
	builder_commit(&ret->b);
	begin_packing(ret);
	builder_start(&f->b, true);
	builder_commit(&f->b);
	cr_assert(eq(int, packer_size(f->packer, &f->commits), 0));
}

static bool kept_fork(const struct fixture *f, unsigned n, const struct buf *want)
{
	_cleanup_close_ int dir = open(f->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_buf_ struct buf got = { 0 };
	char hex[2 * ID_SIZE + 1], name[96];

	text_hex(hex, f->origin.b, ID_SIZE);
	snprintf(name, sizeof name, "forks/%s-%u", hex, n);
	return io_read_file(dir, name, 1 << 20, &got) == 0 && got.len == want->len &&
	       memcmp(got.data, want->data, got.len) == 0;
}

Test(archive, two_histories_are_both_kept_up_to_a_bound_and_the_first_goes_on)
{
	_cleanup_buf_ struct buf body = { 0 };
	struct fixture f, other;
	uint64_t common;

	begin(&f);
	common = f.commits;
	fork_host(&f, &other);
	cr_assert(eq(int, put(&f, 0, common), PUT_ACCEPTED));
	pack(&other, 0, common, (struct pack_options){ 0 }, &body);
	for (unsigned i = 0; i < 10; i++) {
		cr_expect(eq(int, put_body(&other, 0, common, &body), PUT_FORK));
		/* As many as somebody may look at. */
		cr_expect(eq(int, kept_fork(&f, i, &body), i < 8), "fork %u", i);
	}
	/* What they have in common is no fork. */
	cr_expect(eq(int, put(&other, 0, common - 1), PUT_ACCEPTED));
	cr_expect(eq(int, put(&f, common + 1, f.commits - 1), PUT_ACCEPTED));
	expect_all(&f, 0);
	reopen(&f);
	other.archive = f.archive;
	expect_all(&f, 1);
	cr_expect(eq(int, put(&other, common, common), PUT_FORK));
	packer_free(other.packer);
	builder_done(&other.b);
	end(&f);
}

/* Several who send the same. */

/* A forwarder: it knows what it was told last, which may be long past. */
struct sending {
	struct fixture f;
	uint64_t next;
};

/* Ask, or send some from where it believes the head to be. */
static void send_some(struct sending *s, uint64_t *seed)
{
	uint64_t to = s->next + random_u64(seed) % 4;
	struct wire_head h;
	int r = PUT_REWIND;

	if (random_u64(seed) % 3 > 0 && s->next < s->f.commits)
		r = put(&s->f, s->next, MIN_OF(to, s->f.commits - 1));
	cr_assert(r == PUT_ACCEPTED || r == PUT_REWIND, "%d", r);
	cr_assert(eq(int, archive_head(s->f.archive, &s->f.origin, &h), 0));
	if (random_u64(seed) % 2 > 0)
		s->next = h.received;
	cr_assert(le(u64, h.received, s->f.commits));
}

Test(archive, forwarders_of_one_origin_at_once_make_one_history)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct sending s[3] = { 0 };
		uint64_t dice = seed;

		begin(&s[0].f);
		for (size_t i = 1; i < ELEMENTS(s); i++) {
			s[i].f = s[0].f;
			s[i].f.packer = NULL;
			begin_packing(&s[i].f);
		}
		for (unsigned step = 0; step < 60; step++)
			send_some(&s[random_u64(&dice) % ELEMENTS(s)], &dice);
		for (size_t i = 0; i < ELEMENTS(s); i++)
			cr_expect(eq(int, put(&s[i].f, 0, s[i].f.commits - 1), PUT_ACCEPTED));
		expect_all(&s[0].f, seed);
		for (size_t i = 1; i < ELEMENTS(s); i++)
			packer_free(s[i].f.packer);
		reopen(&s[0].f);
		expect_all(&s[0].f, seed);
		end(&s[0].f);
		harness_teardown();
	}
}

/* How many there may be. */

Test(archive, origins_are_bounded_and_the_next_one_leaves_no_trace)
{
	struct fixture f[3];
	struct wire_head h;

	archive_origins_max = 2;
	for (size_t i = 0; i < ELEMENTS(f); i++) {
		begin(&f[i]);
		if (i > 0)
			archive_close(f[i].archive);
		f[i].archive = f[0].archive;
	}
	for (size_t i = 0; i < 2; i++)
		cr_expect(eq(int, put(&f[i], 0, 3), PUT_ACCEPTED), "origin %zu", i);
	for (int again = 0; again < 2; again++) {
		_cleanup_buf_ struct buf body = { 0 };
		struct put_result result;

		pack(&f[2], 0, f[2].commits - 1, (struct pack_options){ 0 }, &body);
		cr_assert(eq(int,
			     archive_put(f[0].archive, &f[2].origin, 0, f[2].commits - 1, body.data,
					 body.len, &result),
			     0));
		cr_expect(eq(int, (int) result.status, PUT_OVERLOAD));
		cr_expect(eq(int, strcmp(result.why, "too many origins"), 0));
		cr_assert(eq(int, archive_head(f[0].archive, &f[2].origin, &h), 0));
		cr_expect(eq(u64, h.received, 0));
		/* Those that are known go on. */
		cr_expect(eq(int, put(&f[again], 4, f[again].commits - 1), PUT_ACCEPTED));
		cr_expect(eq(u64, entries_found(&f[0]),
			     f[0].entries + (again > 0 ? f[1].entries : 3)));
		reopen(&f[0]);
		f[1].archive = f[2].archive = f[0].archive;
	}
	archive_close(f[0].archive);
	for (size_t i = 0; i < ELEMENTS(f); i++) {
		packer_free(f[i].packer);
		builder_done(&f[i].b);
	}
}

/* Absent batches and missing contexts. */

static void damage_tail(const struct fixture *f, size_t journal, struct buf *ret_whole)
{
	_cleanup_buf_ struct buf bad = { 0 };
	char name[64];

	builder_tail(&f->b, journal, name);
	builder_load(f->b.path, name, ret_whole);
	buf_append(&bad, ret_whole->data, ret_whole->len);
	memset(bad.data + 64, 0x55, bad.len - 64);
	builder_store(f->b.path, name, bad.data, bad.len);
}

Test(archive, a_batch_may_be_absent_and_what_it_told_is_asked_for)
{
	_cleanup_buf_ struct buf whole = { 0 }, body = { 0 }, text = { 0 };
	uint64_t half = 4;
	struct fixture f;
	char name[64];

	begin(&f);
	damage_tail(&f, 0, &whole);
	pack(&f, 0, half - 1, (struct pack_options){ .careful = true }, &body);
	cr_assert(eq(int, put_body(&f, 0, half - 1, &body), PUT_ACCEPTED));
	expect_head(&f, half, 0);
	cr_assert(eq(int, archive_status(f.archive, &text), 0));
	/* The tail is read again; but the packer has lost its place in it, as one that was started anew would not. */
	builder_tail(&f.b, 0, name);
	builder_store(f.b.path, name, whole.data, whole.len);
	begin_packing(&f);
	/* Pack what is there already, so that the contexts count as told. */
	buf_clear(&body);
	pack(&f, 0, half - 1, (struct pack_options){ 0 }, &body);
	buf_clear(&body);
	cr_assert(eq(int, packer_next(f.packer, &(struct pack_options){ 0 }, &body), 1));
	cr_expect(eq(int, put_body(&f, half, half, &body), PUT_CONTEXTS));
	expect_head(&f, half, 1);
	buf_clear(&body);
	pack(&f, half, half, (struct pack_options){ .full = true }, &body);
	cr_expect(eq(int, put_body(&f, half, half, &body), PUT_ACCEPTED));
	reopen(&f);
	expect_head(&f, half + 1, 2);
	cr_expect(lt(u64, entries_found(&f), f.entries));
	cr_expect(gt(u64, entries_found(&f), 0));
	end(&f);
}

/* The disk. */

/* Send all in three pieces.  @return what was acknowledged, or an error of the archive. */
static int64_t send_all(struct fixture *f)
{
	const uint64_t ends[] = { 2, 4, f->commits };
	uint64_t from = 0;

	for (size_t i = 0; i < ELEMENTS(ends); i++) {
		int r = put(f, from, ends[i] - 1);

		if (r != PUT_ACCEPTED)
			return (int64_t) from;
		from = ends[i];
	}
	return (int64_t) from;
}

Test(archive, what_was_acknowledged_outlives_a_power_cut_at_every_step)
{
	struct fixture f;
	size_t steps = SIZE_MAX;

	begin(&f);
	archive_close(f.archive);
	for (size_t at = 0; at <= steps; at++)
		for (int cut = 0; cut < N_CUTS; cut++) {
			struct wire_head h;
			int64_t kept;
			char store[600];

			snprintf(store, sizeof store, "%s/%zu-%d", f.b.path, at, cut);
			f.store = store;
			open_archive(&f);
			disk_begin();
			disk_stop_at(at);
			kept = send_all(&f);
			if (steps == SIZE_MAX && disk_steps() <= at)
				steps = at;
			disk_cut((enum disk_cut) cut);
			reopen(&f);
			cr_assert(eq(int, archive_head(f.archive, &f.origin, &h), 0));
			cr_expect(ge(u64, h.received, (uint64_t) kept), "step %zu, cut %d", at,
				  cut);
			if (h.received > 0)
				expect_head(&f, h.received, at);
			cr_assert(eq(i64, send_all(&f), (int64_t) f.commits), "step %zu, cut %d",
				  at, cut);
			expect_all(&f, at);
			archive_close(f.archive);
		}
	cr_expect(gt(sz, steps, 5));
	packer_free(f.packer);
	builder_done(&f.b);
}

/* Some commits of the body are kept, the next finds no room: what is said of the first must be true of them. */
Test(archive, a_full_disk_refuses_and_goes_on_when_there_is_room)
{
	for (size_t at = 0; at < 15; at++) {
		struct fixture f;
		struct wire_head h;
		int r;

		begin(&f);
		disk_begin();
		disk_fail_at(at, 1, ENOSPC);
		r = put(&f, 0, f.commits - 1);
		cr_expect(disk_steps() > at, "step %zu", at);
		cr_assert(eq(int, archive_head(f.archive, &f.origin, &h), 0));
		if (r == PUT_OVERLOAD) {
			expect_head(&f, h.received, at);
			cr_expect(eq(int, put(&f, h.received, f.commits - 1), PUT_ACCEPTED),
				  "step %zu", at);
			expect_all(&f, at);
		} else {
			/* The sync: nothing can be promised any more. */
			cr_expect(eq(int, r, -ENOSPC), "step %zu", at);
			cr_expect(eq(u64, h.received, 0), "step %zu", at);
		}
		disk_end();
		reopen(&f);
		cr_expect(eq(i64, send_all(&f), (int64_t) f.commits), "step %zu", at);
		expect_all(&f, at);
		end(&f);
		harness_teardown();
	}
}

Test(archive, a_damaged_lane_is_filled_again)
{
	_cleanup_buf_ struct buf whole = { 0 };
	struct fixture f;
	char name[64];

	begin(&f);
	cr_assert(eq(int, put(&f, 0, f.commits - 1), PUT_ACCEPTED));
	snprintf(name, sizeof name, "lanes/%02u/%020d.open", lane_of(&f.origin), 0);
	builder_load(f.store, name, &whole);
	for (size_t at = 0; at < whole.len; at += whole.len / 61) {
		struct wire_head h;

		f.archive = archive_close(f.archive);
		whole.data[at] ^= 0x10;
		builder_store(f.store, name, whole.data, whole.len);
		whole.data[at] ^= 0x10;
		open_archive(&f);
		cr_assert(eq(int, archive_head(f.archive, &f.origin, &h), 0));
		cr_expect(lt(u64, h.received, f.commits), "byte %zu", at);
		if (h.received > 0)
			expect_head(&f, h.received, at);
		cr_assert(eq(int, put(&f, h.received, f.commits - 1), PUT_ACCEPTED), "byte %zu",
			  at);
		expect_all(&f, at);
		reopen(&f);
		expect_all(&f, at);
	}
	end(&f);
}

Test(archive, one_process_has_it_open)
{
	struct archive *second = NULL;
	struct fixture f;

	begin(&f);
	cr_expect(eq(int, archive_open(&second, f.store, "central"), -EBUSY));
	cr_expect(eq(int, archive_open(&second, tempdir(), "no name"), -EINVAL));
	cr_expect(second == NULL);
	end(&f);
}

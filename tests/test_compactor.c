/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Packing changes no answer: whatever the disk does, whoever reads meanwhile, whatever is damaged or sent again.
 */

#include "aggregator/compactor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aggregator/archive-internal.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "bulla/error.h"
#include "tests/archiving.h"
#include "tests/disk.h"
#include "tests/harness.h"

Suite(compactor);

static const struct compactor_options full_ones = { .age_ns = UINT64_MAX, .level = 1 },
				      all_of_it = { .age_ns = 0, .level = 1 };

/* Questions. */

static const char *const questions[][9] = {
	{ "output", "json" },
	{ "output", "export" },
	{ "output", "verbose", "reverse", "1" },
	{ "output", "short", "limit", "5", "newest", "1" },
	{ "output", "json", "match", "_STREAM=stderr" },
	{ "output", "json", "match", "_CONTAINER_NAME=web", "match", "PRIORITY=3" },
	{ "output", "json", "match", "CODE_LINE.lt=500" },
	{ "output", "cat", "grep", "error.*user" },
	{ "field", "_CONTAINER_NAME" },
	{ "names", "1" },
	{ "count-by", "_CONTAINER_NAME" },
	{ "count-by", "CODE_LINE" },
	{ "histogram", "1000000000" },
};

static void ask_all(struct archive *a, bool all, struct buf *to)
{
	for (size_t i = 0; i < (all ? ELEMENTS(questions) : 1); i++) {
		buf_printf(to, "-- %zu\n", i);
		ask(a, questions[i], to);
	}
	cr_assert(not(to->bad));
}

/* A host with several journals, and what its aggregator answered before anything was packed. */

struct story {
	struct fixture f;
	bool brief; /* only the first question is asked */
	struct buf told;
};

static void tell(struct builder *b, const char *path, unsigned n)
{
	size_t web, db, short_lived;

	builder_init(b, path, (struct kes_params){ 2, 3 });
	web = builder_open(b, "web");
	db = builder_open(b, "db");
	for (unsigned i = 0; i < n; i++) {
		builder_log_many(b, web, 1 + i % 3);
		if (i % 2 == 0)
			builder_log_many(b, db, 2);
		builder_commit(b);
	}
	short_lived = builder_open(b, "job");
	builder_log_many(b, short_lived, 3);
	builder_close(b, short_lived);
	builder_log_many(b, web, 2);
	builder_commit(b);
}

static void put_all(struct fixture *f)
{
	for (uint64_t i = 0; i < f->commits; i++)
		cr_assert(eq(int, put(f, i, i), PUT_ACCEPTED), "commit %d", (int) i);
}

static void begin_with(struct story *s, uint64_t object_size)
{
	log_setup("test", LOG_LEVEL_ERR);
	lane_object_size = object_size;
	begin_packing(&s->f);
	s->f.store = tempdir();
	open_archive(&s->f);
	put_all(&s->f);
	ask_all(s->f.archive, !s->brief, &s->told);
}

static void begin(struct story *s, unsigned commits, uint64_t object_size)
{
	*s = (struct story){ 0 };
	tell(&s->f.b, tempdir(), commits);
	begin_with(s, object_size);
}

/* The same for tests that try every step: two objects, and one question. */
static void begin_brief(struct story *s)
{
	*s = (struct story){ .brief = true };
	tell(&s->f.b, tempdir(), 2);
	begin_with(s, 1000);
}

static void end(struct story *s)
{
	if (s->f.archive)
		archive_close(s->f.archive);
	packer_free(s->f.packer);
	builder_done(&s->f.b);
	buf_done(&s->told);
}

static void expect_told(struct story *s, size_t when)
{
	_cleanup_buf_ struct buf text = { 0 };

	ask_all(s->f.archive, !s->brief, &text);
	cr_assert(eq(sz, text.len, s->told.len), "at %zu", when);
	cr_assert(eq(int, memcmp(text.data, s->told.data, text.len), 0), "at %zu", when);
}

static struct compactor_round pack_round(struct story *s, const struct compactor_options *o)
{
	struct compactor_round done;

	cr_assert(eq(int, compactor_round(s->f.archive, o, NULL, &done), 0));
	return done;
}

enum kind { OBJECTS, UNDER_WAY, RESTS };

/* Files in lanes. */
static unsigned count_files(const struct story *s, enum kind kind)
{
	unsigned n = 0;

	for (unsigned lane = 0; lane < LANES; lane++) {
		_cleanup_closedir_ DIR *dir = NULL;
		const struct dirent *e;
		char path[600];

		snprintf(path, sizeof path, "%s/lanes/%02u", s->f.store, lane);
		dir = opendir(path);
		cr_assert(dir != NULL);
		while ((e = readdir(dir)) != NULL) {
			const char *suffix = strchr(e->d_name, '.');

			n += *e->d_name != '.' &&
			     kind == (!suffix			     ? OBJECTS
				      : strcmp(suffix, ".open") == 0 ? UNDER_WAY
								     : RESTS);
		}
	}
	return n;
}

Test(compactor, answers_are_the_same_before_and_after)
{
	struct compactor_round done;
	struct story s;

	begin(&s, 12, 1500);
	done = pack_round(&s, &full_ones);
	cr_expect(gt(u64, done.objects, 2));
	cr_expect(eq(u64, done.objects, done.segments));
	cr_expect(eq(u64, done.left_out, 0));
	expect_told(&s, 1);
	/* Of complete objects only the rests are left, and one object is under way. */
	cr_expect(eq(uint, count_files(&s, RESTS), (unsigned) done.objects));
	cr_expect(eq(uint, count_files(&s, OBJECTS), 0));
	cr_expect(eq(uint, count_files(&s, UNDER_WAY), LANES));
	reopen(&s.f);
	expect_told(&s, 2);
	done = pack_round(&s, &full_ones);
	cr_expect(eq(u64, done.objects, 0));
	done = pack_round(&s, &all_of_it);
	cr_expect(eq(u64, done.objects, 1));
	expect_told(&s, 3);
	reopen(&s.f);
	expect_told(&s, 4);
	end(&s);
}

static void expect_same_head(struct story *s, const struct wire_head *want)
{
	struct wire_head h;

	cr_assert(eq(int, archive_head(s->f.archive, &s->f.origin, &h), 0));
	cr_expect(eq(u64, h.durable, want->durable));
	cr_expect(eq(int, memcmp(&h.root, &want->root, sizeof h.root), 0));
}

Test(compactor, what_comes_after_packing_continues_what_is_packed)
{
	_cleanup_buf_ struct buf body = { 0 };
	struct wire_head head;
	struct story s;

	begin(&s, 6, 1);
	pack_round(&s, &all_of_it);
	cr_assert(eq(int, archive_head(s.f.archive, &s.f.origin, &head), 0));
	reopen(&s.f);
	expect_same_head(&s, &head);
	/* The journals go on, with contexts and seeds that only rests tell of. */
	builder_log_many(&s.f.b, 0, 5);
	builder_commit(&s.f.b);
	begin_packing(&s.f);
	pack(&s.f, 0, s.f.commits - 2, (struct pack_options){ 0 }, &body);
	buf_clear(&body);
	cr_assert(eq(int, packer_next(s.f.packer, &(struct pack_options){ 0 }, &body), 1));
	cr_assert(eq(int, put_body(&s.f, s.f.commits - 1, s.f.commits - 1, &body), PUT_ACCEPTED));
	buf_clear(&s.told);
	ask_all(s.f.archive, !s.brief, &s.told);
	pack_round(&s, &all_of_it);
	expect_told(&s, 0);
	reopen(&s.f);
	expect_told(&s, 1);
	end(&s);
}

Test(compactor, what_recovery_sealed_is_packed_as_such)
{
	struct story s = { 0 };

	builder_story(&s.f.b, tempdir());
	begin_with(&s, 2000);
	cr_expect(memmem(s.told.data, s.told.len, "web", 3) != NULL);
	pack_round(&s, &all_of_it);
	expect_told(&s, 0);
	reopen(&s.f);
	expect_told(&s, 1);
	end(&s);
}

static void tell_tenants(struct builder *b)
{
	static const char *const tenants[] = { NULL, "blue", "green", "blue" };

	builder_init(b, tempdir(), (struct kes_params){ 2, 3 });
	for (size_t i = 0; i < ELEMENTS(tenants); i++) {
		b->tenant = tenants[i];
		builder_open(b, "web");
	}
	for (unsigned i = 0; i < 6; i++) {
		for (size_t j = 0; j < ELEMENTS(tenants); j++)
			builder_log_many(b, j, 2);
		builder_commit(b);
	}
}

/* A batch that has another leaf than it should stays as it is; it costs no other. */
Test(compactor, what_is_not_what_was_sealed_stays_in_the_rest)
{
	struct compactor_round done;
	struct held_object *o;
	struct story s;
	size_t n;

	begin(&s, 6, 1 << 20);
	cr_assert(eq(uint, s.f.archive->n_objects, 1));
	o = &s.f.archive->objects[0];
	n = o->n_batches;
	o->batches[3].leaf.b[7] ^= 1;
	o->batches[n - 1].leaf.b[0] ^= 1;
	done = pack_round(&s, &all_of_it);
	cr_expect(eq(u64, done.objects, 1));
	cr_expect(eq(u64, done.left_out, 2));
	expect_told(&s, 0);
	cr_expect(eq(uint, count_files(&s, OBJECTS), 0));
	reopen(&s.f);
	expect_told(&s, 1);
	/* It is not tried again. */
	cr_expect(eq(u64, pack_round(&s, &all_of_it).objects, 0));
	expect_told(&s, 2);
	end(&s);
}

/* A segment that is gone is missed. */
Test(compactor, what_is_in_no_segment_is_told)
{
	struct story s;
	char command[1024];

	begin(&s, 6, 1 << 20);
	pack_round(&s, &all_of_it);
	s.f.archive = archive_close(s.f.archive);
	snprintf(command, sizeof command, "rm %s/segments/*/*.segment", s.f.store);
	cr_assert(eq(int, system(command), 0));
	open_archive(&s.f);
	cr_expect(eq(u64, entries_found(&s.f), 0));
	cr_expect(gt(u64, s.f.archive->objects[0].lost, 0));
	end(&s);
}

/* One that a newer version wrote is not used, not removed, and nothing is packed into its place. */
Test(compactor, a_newer_segment_is_left_alone)
{
	struct story s;
	char command[1024];

	begin(&s, 6, 1 << 20);
	pack_round(&s, &all_of_it);
	s.f.archive = archive_close(s.f.archive);
	snprintf(command, sizeof command,
		 "cd %s/segments/%02u && printf '\\1' | dd of=$(ls) bs=1 seek=12 conv=notrunc "
		 "status=none && cksum * >../../sums",
		 s.f.store, lane_of(&s.f.origin));
	cr_assert(eq(int, system(command), 0));
	open_archive(&s.f);
	cr_expect(eq(u32, s.f.archive->n_damaged, 1));
	cr_expect(eq(u64, entries_found(&s.f), 0));
	cr_expect(zero(u64, pack_round(&s, &all_of_it).segments));
	snprintf(command, sizeof command, "cd %s/segments/%02u && cksum * | cmp -s - ../../sums",
		 s.f.store, lane_of(&s.f.origin));
	cr_expect(eq(int, system(command), 0));
	/* The newer version finds all of it. */
	s.f.archive = archive_close(s.f.archive);
	snprintf(command, sizeof command,
		 "cd %s/segments/%02u && printf '\\0' | dd of=$(ls) bs=1 seek=12 conv=notrunc "
		 "status=none",
		 s.f.store, lane_of(&s.f.origin));
	cr_assert(eq(int, system(command), 0));
	open_archive(&s.f);
	expect_told(&s, 0);
	end(&s);
}

/* Both a merge that was not finished and a round that was repeated leave two with the same entries. */
Test(compactor, of_two_segments_with_the_same_entries_one_counts)
{
	struct story s;
	char command[1024];

	begin(&s, 6, 1 << 20);
	pack_round(&s, &all_of_it);
	s.f.archive = archive_close(s.f.archive);
	snprintf(command, sizeof command,
		 "cd %s/segments/%02u && cp *-0000.segment %020d-%020d-0007.segment", s.f.store,
		 lane_of(&s.f.origin), 0, 1);
	cr_assert(eq(int, system(command), 0));
	open_archive(&s.f);
	expect_told(&s, 0);
	cr_expect(eq(uint, s.f.archive->newest->segments.n, 1));
	reopen(&s.f);
	expect_told(&s, 1);
	end(&s);
}

/* What was sent again after damage is packed already. */
Test(compactor, what_comes_again_after_damage_is_not_seen_twice)
{
	_cleanup_buf_ struct buf rest = { 0 };
	struct story s;
	char name[64];

	begin(&s, 8, 1500);
	pack_round(&s, &all_of_it);
	s.f.archive = archive_close(s.f.archive);
	snprintf(name, sizeof name, "lanes/%02u/%020d.rest", lane_of(&s.f.origin), 0);
	builder_load(s.f.store, name, &rest);
	for (size_t at = 0; at < rest.len; at += 1 + rest.len / 23) {
		struct wire_head h;

		rest.data[at] ^= 4;
		builder_store(s.f.store, name, rest.data, rest.len);
		rest.data[at] ^= 4;
		open_archive(&s.f);
		/* Segments do not depend on it. */
		expect_told(&s, at);
		cr_assert(eq(int, archive_head(s.f.archive, &s.f.origin, &h), 0));
		/* Later what was sent again is behind it. */
		cr_expect(at > 0 || h.durable < s.f.commits, "byte %zu", at);
		for (uint64_t i = h.durable; i < s.f.commits; i++)
			cr_assert(eq(int, put(&s.f, i, i), PUT_ACCEPTED), "byte %zu, commit %d", at,
				  (int) i);
		expect_told(&s, at);
		pack_round(&s, &all_of_it);
		expect_told(&s, at);
		reopen(&s.f);
		expect_told(&s, at);
		s.f.archive = archive_close(s.f.archive);
	}
	end(&s);
}

/* Each segment says whose it is, and has nobody else's journals. */
static void expect_tenants(const struct view *v)
{
	static const uint32_t journals[] = { 2, 1, 1 };
	static const char *const names[] = { "blue", TENANT_DEFAULT, "green" };

	cr_assert(eq(uint, v->segments.n, 3));
	for (uint32_t i = 0; i < 3; i++) {
		const struct segment *segment = &v->held[i]->segment;

		cr_expect(eq(int, strcmp(segment->tenant.name, names[i]), 0), "segment %u", i);
		cr_expect(eq(uint, segment->n_journals, journals[i]), "segment %u", i);
		for (uint32_t k = 0; k < segment->n_journals; k++) {
			struct tenant t = tenant_of(&segment->journals[k].contexts);

			cr_expect(eq(int, tenant_compare(&t, &segment->tenant), 0), "segment %u",
				  i);
		}
	}
}

Test(compactor, a_segment_has_one_tenant)
{
	struct compactor_round done;
	struct story s = { 0 };

	tell_tenants(&s.f.b);
	begin_with(&s, 1 << 20);
	done = pack_round(&s, &all_of_it);
	cr_expect(eq(u64, done.objects, 1));
	cr_expect(eq(u64, done.segments, 3));
	expect_tenants(s.f.archive->newest);
	expect_told(&s, 0);
	reopen(&s.f);
	expect_told(&s, 1);
	end(&s);
}

/* Origins that share a lane, and ids of journals. */

static void begin_second(struct story *s, struct fixture *ret)
{
	const char *parent = tempdir();

	/* A host may well come into another lane: founded anew until it does not. */
	for (unsigned i = 0;; i++) {
		char path[600];

		snprintf(path, sizeof path, "%s/%u", parent, i);
		*ret = (struct fixture){ .archive = s->f.archive, .store = s->f.store };
		tell(&ret->b, path, 5);
		begin_packing(ret);
		if (lane_of(&ret->origin) == lane_of(&s->f.origin))
			return;
		packer_free(ret->packer);
		builder_done(&ret->b);
	}
}

Test(compactor, origins_of_one_lane_are_packed_together)
{
	struct compactor_round done;
	struct fixture second;
	struct story s;

	begin(&s, 5, 1 << 20);
	begin_second(&s, &second);
	put_all(&second);
	buf_clear(&s.told);
	ask_all(s.f.archive, !s.brief, &s.told);
	done = pack_round(&s, &all_of_it);
	cr_expect(eq(u64, done.objects, 1));
	cr_expect(eq(u64, done.segments, 1));
	expect_told(&s, 0);
	reopen(&s.f);
	expect_told(&s, 1);
	packer_free(second.packer);
	builder_done(&second.b);
	end(&s);
}

/* Readers. */

struct reader {
	struct story *story;
	struct buf text;
	bool packed;
	struct compactor_options options;
};

/* In the middle of an answer, all is packed. */
static int pack_meanwhile(void *arg, const void *data, size_t n)
{
	struct reader *r = arg;

	buf_append(&r->text, data, n);
	if (!r->packed) {
		r->packed = true;
		cr_expect(ge(u64, pack_round(r->story, &all_of_it).objects, 2));
	}
	return 0;
}

Test(compactor, a_query_that_is_under_way_sees_each_entry_once)
{
	_cleanup_buf_ struct buf want = { 0 };
	static const char *const json[] = { "output", "json", NULL };
	struct reader r = { 0 };
	struct request request;
	struct answer answer;
	struct story s;
	char why[256];

	/* An answer is written in pieces of 64 KiB. */
	begin(&s, 2, 20000);
	for (unsigned i = 0; i < 30; i++) {
		builder_log_many(&s.f.b, 0, 50);
		builder_commit(&s.f.b);
	}
	begin_packing(&s.f);
	put_all(&s.f);
	ask(s.f.archive, json, &want);
	cr_assert(gt(sz, want.len, 4 * ANSWER_PIECE));
	r.story = &s;
	cr_assert(eq(int, request_init(&request), 0));
	cr_assert(eq(int, request_set(&request, "output", "json", why), 0));
	answer_init(&answer, &request, pack_meanwhile, &r);
	cr_expect(eq(int, archive_query(s.f.archive, &answer, NULL, NULL), 0));
	cr_expect(r.packed);
	cr_assert(eq(sz, r.text.len, want.len));
	cr_expect(eq(int, memcmp(r.text.data, want.data, want.len), 0));
	/* What it has held is let go with it. */
	cr_expect(gt(uint, count_files(&s, OBJECTS), 0));
	pack_round(&s, &all_of_it);
	cr_expect(eq(uint, count_files(&s, OBJECTS), 0));
	answer_done(&answer);
	request_done(&request);
	buf_done(&r.text);
	end(&s);
}

static int count_lines(void *arg, const void *data, size_t n)
{
	uint64_t *lines = arg;

	for (size_t i = 0; i < n; i++)
		*lines += ((const char *) data)[i] == '\n';
	return 0;
}

Test(compactor, who_follows_sees_what_was_packed_before_it_was_shown)
{
	struct archive_follower *follower;
	struct request request;
	struct answer answer;
	uint64_t lines = 0;
	struct story s;
	char why[256];

	begin(&s, 3, 1);
	cr_assert(eq(int, request_init(&request), 0));
	cr_assert(eq(int, request_set(&request, "output", "json", why), 0));
	request.follow = true;
	answer_init(&answer, &request, count_lines, &lines);
	cr_assert(eq(int, archive_follow(s.f.archive, &answer, &follower), 0));
	builder_log_many(&s.f.b, 0, 5);
	builder_commit(&s.f.b);
	builder_log_many(&s.f.b, 1, 2);
	builder_commit(&s.f.b);
	begin_packing(&s.f);
	put_all(&s.f);
	pack_round(&s, &all_of_it);
	cr_expect(eq(int, archive_follow_step(follower, 0, NULL), 0));
	cr_expect(eq(u64, lines, 7));
	cr_expect(eq(int, archive_follow_step(follower, 0, NULL), 0));
	cr_expect(eq(u64, lines, 7));
	archive_unfollow(follower);
	answer_done(&answer);
	request_done(&request);
	end(&s);
}

/* Not one that came between the beginning of following and the question that comes first. */
Test(compactor, who_asks_and_follows_sees_each_entry_once)
{
	struct archive_follower *follower;
	struct request request;
	struct answer answer;
	uint64_t lines = 0, held;
	struct story s;
	char why[256];

	begin(&s, 3, 1);
	held = entries_found(&s.f);
	cr_assert(eq(int, request_init(&request), 0));
	cr_assert(eq(int, request_set(&request, "output", "json", why), 0));
	request.follow = true;
	answer_init(&answer, &request, count_lines, &lines);
	cr_assert(eq(int, archive_follow(s.f.archive, &answer, &follower), 0));
	builder_log_many(&s.f.b, 0, 5);
	builder_commit(&s.f.b);
	begin_packing(&s.f);
	put_all(&s.f);
	cr_expect(eq(int, archive_query(s.f.archive, &answer, follower, NULL), 0));
	cr_expect(eq(u64, lines, held + 5));
	cr_expect(eq(int, archive_follow_step(follower, 0, NULL), 0));
	cr_expect(eq(u64, lines, held + 5));
	archive_unfollow(follower);
	answer_done(&answer);
	request_done(&request);
	end(&s);
}

/* The disk. */

/* A copy of a store in which nothing is packed. */
static void copy_store(const struct story *s, const char *from, const char *to)
{
	_cleanup_closedir_ DIR *dir = NULL;
	_cleanup_buf_ struct buf bytes = { 0 };
	const struct dirent *e;
	char path[700], name[320];

	cr_assert(eq(int, mkdir(to, 0700), 0));
	snprintf(path, sizeof path, "%s/lanes", to);
	cr_assert(eq(int, mkdir(path, 0700), 0));
	snprintf(path, sizeof path, "%s/lanes/%02u", to, lane_of(&s->f.origin));
	cr_assert(eq(int, mkdir(path, 0700), 0));
	builder_load(from, "key", &bytes);
	builder_store(to, "key", bytes.data, bytes.len);
	snprintf(path, sizeof path, "%s/lanes/%02u", from, lane_of(&s->f.origin));
	dir = opendir(path);
	cr_assert(dir != NULL);
	while ((e = readdir(dir)) != NULL) {
		if (*e->d_name == '.')
			continue;
		snprintf(name, sizeof name, "lanes/%02u/%s", lane_of(&s->f.origin), e->d_name);
		buf_clear(&bytes);
		builder_load(from, name, &bytes);
		builder_store(to, name, bytes.data, bytes.len);
	}
}

Test(compactor, a_power_cut_at_every_step_loses_and_doubles_nothing, .timeout = 300)
{
	size_t steps = SIZE_MAX;
	const char *full;
	struct story s;

	begin_brief(&s);
	full = s.f.store;
	s.f.archive = archive_close(s.f.archive);
	for (size_t at = 0; at <= steps; at++)
		for (int cut = 0; cut < N_CUTS; cut++) {
			/* Of the three that tear one at each step. */
			if (cut > CUT_LOSES_ALL && at % 3 != (size_t) cut % 3)
				continue;
			struct compactor_round done;
			char store[600];

			snprintf(store, sizeof store, "%s/%zu-%d", s.f.b.path, at, cut);
			copy_store(&s, full, store);
			s.f.store = store;
			open_archive(&s.f);
			disk_begin();
			disk_stop_at(at);
			(void) !compactor_round(s.f.archive, &all_of_it, NULL, &done);
			if (steps == SIZE_MAX && disk_steps() <= at)
				steps = at;
			s.f.archive = archive_close(s.f.archive);
			disk_cut((enum disk_cut) cut);
			open_archive(&s.f);
			expect_told(&s, at);
			done = pack_round(&s, &all_of_it);
			cr_expect(eq(u64, done.left_out, 0), "step %zu, cut %d", at, cut);
			expect_told(&s, at);
			cr_expect(eq(uint, count_files(&s, OBJECTS), 0), "step %zu, cut %d", at,
				  cut);
			s.f.archive = archive_close(s.f.archive);
		}
	cr_expect(gt(sz, steps, 30));
	end(&s);
}

/* What fails once is done the next time, or after the next start; and nobody sees anything of it. */
static void fail_everywhere(int error)
{
	size_t steps = SIZE_MAX;
	const char *full;
	struct story s;

	begin_brief(&s);
	full = s.f.store;
	s.f.archive = archive_close(s.f.archive);
	for (size_t at = 0; at <= steps; at++) {
		struct compactor_round done;
		char store[600];

		snprintf(store, sizeof store, "%s/%zu", s.f.b.path, at);
		copy_store(&s, full, store);
		s.f.store = store;
		open_archive(&s.f);
		disk_begin();
		disk_fail_at(at, 1, error);
		(void) !compactor_round(s.f.archive, &all_of_it, NULL, &done);
		if (steps == SIZE_MAX && disk_steps() <= at)
			steps = at;
		disk_end();
		expect_told(&s, at);
		(void) !compactor_round(s.f.archive, &all_of_it, NULL, &done);
		expect_told(&s, at);
		reopen(&s.f);
		expect_told(&s, at);
		pack_round(&s, &all_of_it);
		expect_told(&s, at);
		cr_expect(eq(uint, count_files(&s, OBJECTS), 0), "step %zu", at);
		s.f.archive = archive_close(s.f.archive);
	}
	end(&s);
}

Test(compactor, a_full_disk_at_any_step_is_waited_for, .timeout = 300)
{
	fail_everywhere(ENOSPC);
}

Test(compactor, an_error_of_the_disk_at_any_step_costs_nothing, .timeout = 300)
{
	fail_everywhere(EIO);
}

/* Damage. */

static void object_path(const struct story *s, uint64_t seq, const char *suffix, char ret[64])
{
	snprintf(ret, 64, "lanes/%02u/%020d%s", lane_of(&s->f.origin), (int) seq, suffix);
}

/* What is read of an object whose bytes have changed behind the archive's back is not packed as if it were whole. */
Test(compactor, every_changed_byte_of_an_object_costs_no_more_than_before, .timeout = 300)
{
	_cleanup_buf_ struct buf whole = { 0 };
	const char *full;
	struct story s;
	char name[64];

	begin(&s, 4, 1 << 20);
	cr_assert(eq(u64, pack_round(&s, &full_ones).objects, 0));
	full = s.f.store;
	object_path(&s, 0, ".open", name);
	builder_load(full, name, &whole);
	s.f.archive = archive_close(s.f.archive);
	for (size_t at = 0; at < whole.len; at += 1 + whole.len / 199) {
		_cleanup_buf_ struct buf before = { 0 }, after = { 0 };
		static const char *const json[] = { "output", "json", NULL };
		char store[600];

		snprintf(store, sizeof store, "%s/%zu", s.f.b.path, at);
		copy_store(&s, full, store);
		s.f.store = store;
		open_archive(&s.f);
		whole.data[at] ^= 0x20;
		builder_store(store, name, whole.data, whole.len);
		whole.data[at] ^= 0x20;
		ask(s.f.archive, json, &before);
		pack_round(&s, &all_of_it);
		ask(s.f.archive, json, &after);
		cr_expect(eq(sz, before.len, after.len), "byte %zu", at);
		cr_expect(eq(int, memcmp(before.data, after.data, before.len), 0), "byte %zu", at);
		s.f.archive = archive_close(s.f.archive);
	}
	end(&s);
}

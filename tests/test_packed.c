/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Segments change nothing but the size: every query answers the same, byte for byte, whether a host's entries are in tails,
 * in segments, or half here and half there; and what is changed in a segment is found.
 */

#include "query/catalog.h"

#include "tests/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "bulla/error.h"
#include "query/request.h"
#include "seal/origin.h"
#include "store/receipts.h"
#include "store/segment/build.h"
#include "store/segment/plan.h"
#include "store/segment/replace.h"
#include "store/tail_hollow.h"
#include "tests/builder.h"
#include "tests/packing.h"

Suite(packed);

/* A host: journals that overlap, one that goes on, one that a crash ended; the later ones may be another tenant's. */
static void make_host(struct builder *b, const char *path, const char *tenant)
{
	builder_init(b, path, (struct kes_params){ 2, 4 });
	for (size_t j = 0; j < 4; j++) {
		b->tenant = j < 2 ? NULL : tenant;
		builder_open(b, j % 2 ? "web" : "db");
	}
	for (size_t i = 0; i < 25; i++) {
		char text[80];

		builder_log_many(b, i % 4, 1 + i * 3 % 40);
		snprintf(text, sizeof text, "GET /item/%zu 200 from 10.0.0.%zu in %zu ms", i, i % 7,
			 i * 13);
		builder_log(b, (i + 1) % 4, text);
		builder_commit(b);
	}
	builder_close(b, 1);
	builder_log_many(b, 2, 7);
	builder_flush(b, 2);
	builder_crash(b);
	builder_restart(b, true);
	builder_log_many(b, builder_open(b, "later"), 30);
	builder_commit(b);
	builder_log_many(b, 4, 5);
	builder_commit(b);
}

static int append(void *arg, const void *data, size_t n)
{
	buf_append(arg, data, n);
	return 0;
}

/* The answer to one query, as bytes. */
static void ask(const struct state *state, const char *const *words, struct buf *to)
{
	struct local_catalog catalog;
	struct request request;
	struct answer a;
	char why[256];

	buf_clear(to);
	cr_assert(eq(int, request_init(&request), 0));
	request.query.threads = 3;
	for (; *words; words += 2)
		cr_assert(eq(int, request_set(&request, words[0], words[1], why), 0), "%s %s",
			  words[0], words[1]);
	cr_assert(eq(int, local_catalog_build(&catalog, state), 0));
	cr_assert(eq(int, local_catalog_read_seals(&catalog), 0));
	answer_init(&a, &request, append, to);
	cr_expect(eq(int, answer_query(&a, &catalog.catalog), 0));
	cr_expect(eq(u64, a.stats.frames_damaged, 0));
	cr_expect(eq(u32, catalog.n_unusable, 0));
	answer_done(&a);
	local_catalog_done(&catalog);
	request_done(&request);
}

static const char *const queries[][12] = {
	{ "output", "export", NULL },
	{ "output", "json", "reverse", "1", NULL },
	{ "output", "export", "limit", "10", NULL },
	{ "output", "export", "limit", "7", "newest", "1", NULL },
	{ "output", "export", "match", "container=web", NULL },
	{ "output", "export", "match", "container=web", "limit", "3", "newest", "1", NULL },
	{ "output", "export", "match", "_STREAM=stderr", "match", "container=db", NULL },
	{ "output", "export", "match", "msg=GET /item/3 200 from 10.0.0.3 in 39 ms", NULL },
	{ "output", "export", "grep", "item/1[0-9]", NULL },
	{ "output", "export", "grep", "item", "limit", "2", "newest", "1", NULL },
	{ "output", "export", "priority", "err", NULL },
	{ "output", "export", "match", "container!=web", "grep", "200", NULL },
	{ "output", "export", "match", "nothing=here", NULL },
	{ "field", "_CONTAINER_NAME", NULL },
	{ "names", "1", NULL },
	{ "count-by", "container", NULL },
	{ "count-by", "level", "output", "json", NULL },
	{ "count-by", "msg", "limit", "5", NULL },
	{ "count-by", "_NO_SUCH_FIELD", "grep", "item", NULL },
	{ "count-by", "_CONTAINER_NAME", "grep", "200", NULL },
	{ "count-by", "_CONTAINER_NAME", "grep", "nowhere", NULL },
	{ "count-by", "PRIORITY", "grep", "(?i)ITEM", "match", "container=web", NULL },
	{ "histogram", "1000000000", "grep", "item/1", "priority", "0..5", NULL },
	{ "histogram", "3000000000", NULL },
	{ "histogram", "1000000000", NULL },
	{ "histogram", "1500000000", "output", "json", NULL },
	{ "histogram", "60000000000", NULL },
	{ "histogram", "1000000000", "match", "container=web", "grep", "item/1[0-9]", NULL },
};

static void compare(const struct state *a, const struct state *b, const char *what)
{
	struct buf x = { 0 }, y = { 0 };

	for (size_t i = 0; i < ELEMENTS(queries); i++) {
		ask(a, queries[i], &x);
		ask(b, queries[i], &y);
		cr_expect(eq(sz, x.len, y.len), "%s, query %zu", what, i);
		cr_expect(x.len == y.len && (x.len == 0 || memcmp(x.data, y.data, x.len) == 0),
			  "%s, query %zu", what, i);
		if (i == 0)
			cr_expect(gt(sz, x.len, 10000));
	}
	buf_done(&x);
	buf_done(&y);
}

static struct builder host;
static char path[512], copy[600];

static void make_both_for(struct state *ret, const char *tenant)
{
	snprintf(path, sizeof path, "%s/host", tempdir());
	make_host(&host, path, tenant);
	snprintf(copy, sizeof copy, "%s-copy", path);
	builder_copy(path, copy);
	cr_assert(eq(int, state_open(ret, copy, false), 0));
}

static void make_both(struct state *ret)
{
	make_both_for(ret, NULL);
}

static void check_verified(enum verdict worst)
{
	struct vkey pin = builder_pin(&host);
	struct verified v = { 0 };

	builder_verify(path, &pin, &v);
	cr_expect(eq(int, v.error, 0));
	cr_expect(le(int, (int) v.report.verdict, (int) worst), "%.*s", (int) v.findings.len,
		  (const char *) v.findings.data);
	verified_done(&v);
}

Test(packed, every_query_answers_as_before)
{
	struct state before;

	make_both(&before);
	cr_expect(gt(u64, pack_segments(&host, 150, false), 0));
	check_verified(VERDICT_NOTE);
	compare(&before, &host.state, "half of it");
	pack_segments(&host, 0, true);
	check_verified(VERDICT_NOTE);
	compare(&before, &host.state, "all of it");
	state_close(&before);
	builder_done(&host);
}

/* What comes behind the segments is found as well. */
Test(packed, a_journal_goes_on_in_its_tail)
{
	struct state before;

	make_both(&before);
	state_close(&before);
	pack_segments(&host, 0, true);
	builder_log(&host, 4, "one more, behind the segment");
	builder_commit(&host);
	builder_log(&host, 4, "and one that nobody sealed");
	builder_flush(&host, 4);
	check_verified(VERDICT_UNSEALED);
	{
		static const char *const last[] = { "output", "cat", "newest", "1",
						    "limit",  "2",   NULL };
		struct buf b = { 0 };

		ask(&host.state, last, &b);
		buf_char(&b, '\0');
		cr_expect(strcmp((char *) b.data,
				 "one more, behind the segment\nand one that nobody sealed\n") ==
			  0);
		buf_done(&b);
	}
	builder_done(&host);
}

Test(packed, a_host_that_ships_keeps_what_is_not_acknowledged)
{
	struct receipt receipt = { .destination = "http://127.0.0.1:1", .size = 3 };
	struct state before;

	make_both(&before);
	state_close(&before);
	cr_assert(eq(int, receipts_keep(&host.state, &receipt, "x", 1), 0));
	pack_segments(&host, 0, true);
	check_verified(VERDICT_NOTE);
	builder_done(&host);
}

/* Merging. */

Test(packed, merged_it_answers_as_before)
{
	struct state before;
	uint32_t n;

	make_both(&before);
	pack_segments(&host, 60, true);
	n = count_segments(&host);
	cr_assert(gt(u32, n, 5));
	/* So many that other threads are called in. */
	compare(&before, &host.state, "in pieces");
	cr_expect(eq(int, merge_segments(&host, 1, 3), 1));
	cr_expect(eq(u32, count_segments(&host), n - 2));
	check_verified(VERDICT_NOTE);
	compare(&before, &host.state, "some merged");
	cr_expect(eq(int, merge_segments(&host, 0, n - 2), 1));
	cr_expect(eq(u32, count_segments(&host), 1));
	check_verified(VERDICT_NOTE);
	compare(&before, &host.state, "all merged");
	cr_expect(eq(int, merge_segments(&host, 0, 1), 1));
	check_verified(VERDICT_NOTE);
	compare(&before, &host.state, "made anew");
	state_close(&before);
	builder_done(&host);
}

Test(packed, tenants_change_nothing)
{
	struct state before;

	make_both_for(&before, "web");
	compare(&before, &host.state, "in tails");
	pack_segments(&host, 60, false);
	check_verified(VERDICT_NOTE);
	compare(&before, &host.state, "half packed");
	pack_segments(&host, 0, true);
	cr_expect(gt(u32, count_segments(&host), 3));
	check_verified(VERDICT_NOTE);
	compare(&before, &host.state, "packed");
	state_close(&before);
	builder_done(&host);
}

static int ask_in_vain(void *arg, const void *data, size_t n)
{
	(void) arg;
	(void) data;
	(void) n;
	return -EPIPE;
}

/* Whichever thread meets it. */
Test(packed, a_query_that_fails_fails_with_threads)
{
	/* A pattern that tries each way to part a message that ends with s; and a reader that goes away. */
	static const struct {
		const char *grep;
		int r;
	} cases[] = { { "^(([^s]+)+)+$", BULLA_ELIMIT }, { "item", -EPIPE } };
	struct state before;

	make_both(&before);
	pack_segments(&host, 60, true);
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		for (unsigned threads = 1; threads <= 4; threads++) {
			struct local_catalog catalog;
			struct request request;
			struct answer a;
			char why[256];

			cr_assert(eq(int, request_init(&request), 0));
			request.query.threads = threads;
			cr_assert(eq(int, request_set(&request, "grep", cases[i].grep, why), 0));
			cr_assert(eq(int, local_catalog_build(&catalog, &host.state), 0));
			answer_init(&a, &request, ask_in_vain, NULL);
			cr_expect(eq(int, answer_query(&a, &catalog.catalog), cases[i].r), "%u",
				  threads);
			answer_done(&a);
			local_catalog_done(&catalog);
			request_done(&request);
		}
	}
	state_close(&before);
	builder_done(&host);
}

/* A kill between the new one's name and the removal of the others leaves both. */
Test(packed, what_is_merged_may_still_be_there)
{
	struct state before;
	char command[2000];

	make_both(&before);
	pack_segments(&host, 60, true);
	snprintf(command, sizeof command, "cp -a %s/segments %s/kept", path, path);
	cr_assert(eq(int, system(command), 0));
	cr_expect(eq(int, merge_segments(&host, 0, 3), 1));
	snprintf(command, sizeof command, "cp -an %s/kept/. %s/segments && rm -r %s/kept", path,
		 path, path);
	cr_assert(eq(int, system(command), 0));
	check_verified(VERDICT_NOTE);
	compare(&before, &host.state, "with both");
	state_close(&before);
	builder_done(&host);
}

static struct verify_report expect_pruned(uint64_t batches)
{
	struct vkey pin = builder_pin(&host);
	struct verified v = { 0 };
	struct verify_report report;

	builder_verify(path, &pin, &v);
	cr_expect(eq(int, v.error, 0));
	cr_expect(le(int, (int) v.report.verdict, (int) VERDICT_NOTE), "%.*s", (int) v.findings.len,
		  (const char *) v.findings.data);
	cr_expect(eq(u64, v.report.pruned_batches, batches));
	report = v.report;
	verified_done(&v);
	return report;
}

/* What is pruned may be there or not, and nothing else may be missing. */
Test(packed, what_was_pruned_is_not_missed)
{
	const struct history *h;
	struct state before;
	struct buf answer = { 0 };
	static const char *const all[] = { "output", "cat", NULL };
	uint64_t batches, entries;

	make_both(&before);
	state_close(&before);
	pack_segments(&host, 100, true);
	entries = expect_pruned(0).entries;
	h = origin_history(host.origin);
	batches = history_journal(h, 1)->batches;
	cr_assert(gt(u64, batches, 5));
	builder_prune(&host, 1, 3);
	expect_pruned(0);
	cr_expect(eq(int, merge_segments(&host, 0, 1), 1));
	expect_pruned(3);
	builder_prune(&host, 1, batches);
	expect_pruned(3);
	for (uint32_t i = 0; i < count_segments(&host); i++)
		cr_expect(ge(int, merge_segments(&host, i, 1), 0));
	cr_expect(
		eq(u64, expect_pruned(batches).entries + history_journal(h, 1)->entries, entries));
	ask(&host.state, all, &answer);
	cr_expect(gt(sz, answer.len, 1000));
	buf_done(&answer);
	builder_done(&host);
}

Test(packed, what_was_not_pruned_is_missed)
{
	struct verified v = { 0 };
	struct state before;
	struct vkey pin;

	make_both(&before);
	state_close(&before);
	pack_segments(&host, 100, true);
	builder_prune(&host, 1, 3);
	for (uint32_t i = count_segments(&host); i-- > 0;) {
		struct segment_set set;
		char file[800];

		cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
		snprintf(file, sizeof file, "%s/segments/%s", path, set.files[i].name);
		segment_set_close(&set);
		cr_assert(eq(int, unlink(file), 0));
	}
	pin = builder_pin(&host);
	builder_verify(path, &pin, &v);
	cr_expect(verified_says(&v, VERDICT_TAMPERED, "the file is missing"));
	verified_done(&v);
	builder_done(&host);
}

/* Tails of journals that go on. */

enum { LONG_BATCHES = 400 };

/* One journal, long enough for its tail to be hollowed out. */
static void make_long(struct builder *b, const char *at)
{
	builder_init(b, at, (struct kes_params){ 3, 3 });
	builder_open(b, "web");
	for (int i = 0; i < LONG_BATCHES; i++) {
		char text[400];

		builder_log_many(b, 0, 3);
		snprintf(text, sizeof text, "%0300d%llx", i,
			 (unsigned long long) i * 0x9e3779b97f4a7c15);
		builder_log(b, 0, text);
		builder_commit(b);
	}
}

static uint64_t hollow_out(const struct builder *b, uint64_t batches)
{
	uint64_t bytes;

	cr_assert(eq(int,
		     tail_hollow(b->state.journals, &b->journal[0].id, batches, NULL, NULL, &bytes),
		     0));
	return bytes;
}

static uint64_t blocks_of(const struct builder *b, size_t journal)
{
	char name[64], file[800];
	struct stat st;

	builder_tail(b, journal, name);
	snprintf(file, sizeof file, "%s/%s", b->path, name);
	cr_assert(eq(int, stat(file, &st), 0));
	return (uint64_t) st.st_blocks * 512;
}

static void make_hollow(struct state *before)
{
	snprintf(path, sizeof path, "%s/host", tempdir());
	make_long(&host, path);
	snprintf(copy, sizeof copy, "%s-copy", path);
	builder_copy(path, copy);
	cr_assert(eq(int, state_open(before, copy, false), 0));
	pack_segments(&host, 0, true);
}

/* Another collector takes over. */
static void go_on_anew(struct builder *b, size_t journal)
{
	const struct ledger_journal *j =
		history_journal(origin_history(b->origin), (uint32_t) journal);

	tail_writer_close(&b->journal[journal].tail);
	cr_assert(eq(int,
		     tail_writer_open(&b->journal[journal].tail, b->state.journals, &j->id,
				      j->batches, j->entries),
		     0));
}

Test(packed, a_tail_is_hollowed_out_while_it_is_written)
{
	struct state before;
	uint64_t was, bytes;

	make_hollow(&before);
	was = blocks_of(&host, 0);
	bytes = hollow_out(&host, LONG_BATCHES / 2);
	cr_expect(gt(u64, bytes, was / 8));
	check_verified(VERDICT_NOTE);
	compare(&before, &host.state, "half hollow");
	bytes = hollow_out(&host, LONG_BATCHES - 2);
	cr_expect(gt(u64, bytes, was / 3));
	cr_expect(le(u64, blocks_of(&host, 0), was - bytes + 4096));
	check_verified(VERDICT_NOTE);
	compare(&before, &host.state, "hollow");
	cr_expect(eq(u64, hollow_out(&host, LONG_BATCHES - 2), bytes));
	state_close(&before);
	/* Its writer notices nothing, nor does who goes on with it. */
	builder_log_many(&host, 0, 5);
	builder_commit(&host);
	check_verified(VERDICT_NOTE);
	go_on_anew(&host, 0);
	builder_log_many(&host, 0, 5);
	builder_commit(&host);
	check_verified(VERDICT_NOTE);
	builder_log_many(&host, 0, 2);
	builder_flush(&host, 0);
	builder_crash(&host);
	builder_restart(&host, true);
	check_verified(VERDICT_NOTE);
	pack_segments(&host, 0, true);
	check_verified(VERDICT_NOTE);
	cr_expect(eq(u32, count_segments(&host), 2));
	builder_done(&host);
}

/* Who verifies meanwhile finds nothing wrong. */
Test(packed, a_tail_is_hollowed_out_while_it_is_verified)
{
	struct state before;
	pid_t child;
	int status = -1;

	make_hollow(&before);
	state_close(&before);
	child = fork();
	cr_assert(ge(int, child, 0));
	if (child == 0) {
		uint64_t bytes;

		for (uint64_t batches = 20; batches < LONG_BATCHES - 2; batches += 2) {
			if (tail_hollow(host.state.journals, &host.journal[0].id, batches, NULL,
					NULL, &bytes) < 0)
				_exit(1);
			usleep(2000);
		}
		_exit(0);
	}
	while (waitpid(child, &status, WNOHANG) == 0)
		check_verified(VERDICT_NOTE);
	cr_expect(eq(int, status, 0));
	check_verified(VERDICT_NOTE);
	builder_done(&host);
}

/* The frame of a hole is there and its space not given back yet. */
Test(packed, a_hole_that_is_half_made_is_whole)
{
	_cleanup_buf_ struct buf whole = { 0 }, hollow = { 0 };
	struct state before;
	char name[64];

	make_hollow(&before);
	builder_tail(&host, 0, name);
	builder_load(host.path, name, &whole);
	hollow_out(&host, LONG_BATCHES - 2);
	builder_load(host.path, name, &hollow);
	for (size_t i = 0; i + 4096 <= whole.len; i += 4096)
		if (hollow.data[i] == 0 && memcmp(hollow.data + i, hollow.data + i + 1, 4095) == 0)
			memcpy(hollow.data + i, whole.data + i, 4096);
	builder_store(host.path, name, hollow.data, whole.len);
	check_verified(VERDICT_NOTE);
	compare(&before, &host.state, "not given back");
	cr_expect(gt(u64, hollow_out(&host, LONG_BATCHES - 2), 4096));
	check_verified(VERDICT_NOTE);
	state_close(&before);
	builder_done(&host);
}

/* What a segment has lost meanwhile stays in the tail. */
Test(packed, nothing_is_hollowed_out_for_a_segment_that_is_not_whole)
{
	struct replaced replaced;
	struct segment_set set;
	struct state before;
	char file[800];
	uint8_t byte;
	int fd;

	make_hollow(&before);
	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	snprintf(file, sizeof file, "%s/segments/%s", path, set.files[0].name);
	fd = open(file, O_RDWR | O_CLOEXEC);
	cr_assert(eq(i64, pread(fd, &byte, 1, 100), 1));
	byte ^= 1;
	cr_assert(eq(i64, pwrite(fd, &byte, 1, 100), 1));
	/* As if it had been there for long. */
	cr_assert(
		eq(int, futimens(fd, (struct timespec[2]){ { .tv_sec = 1 }, { .tv_sec = 1 } }), 0));
	cr_assert(eq(int,
		     segment_hollow_tails(&host.state, origin_history(host.origin), 10, &replaced),
		     0));
	cr_expect(zero(u64, replaced.bytes));
	cr_expect(eq(str, replaced.damaged, set.files[0].name));
	byte ^= 1;
	cr_assert(eq(i64, pwrite(fd, &byte, 1, 100), 1));
	cr_assert(
		eq(int, futimens(fd, (struct timespec[2]){ { .tv_sec = 1 }, { .tv_sec = 1 } }), 0));
	cr_assert(eq(int,
		     segment_hollow_tails(&host.state, origin_history(host.origin), 10, &replaced),
		     0));
	cr_expect(gt(u64, replaced.bytes, 0));
	cr_expect(eq(int, replaced.damaged[0], 0));
	close(fd);
	segment_set_close(&set);
	check_verified(VERDICT_NOTE);
	compare(&before, &host.state, "hollow");
	state_close(&before);
	builder_done(&host);
}

/* A hole that no segment has the content of is no excuse. */
Test(packed, what_is_hollowed_out_must_be_packed)
{
	struct verified v = { 0 };
	struct segment_set set;
	struct state before;
	struct vkey pin;
	char file[800];

	make_hollow(&before);
	state_close(&before);
	hollow_out(&host, LONG_BATCHES - 2);
	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	snprintf(file, sizeof file, "%s/segments/%s", path, set.files[0].name);
	segment_set_close(&set);
	cr_assert(eq(int, unlink(file), 0));
	pin = builder_pin(&host);
	builder_verify(path, &pin, &v);
	cr_expect(eq(int, v.error, 0));
	cr_expect(verified_says(&v, VERDICT_TAMPERED, "no segment has what is missing here"));
	verified_done(&v);
	builder_done(&host);
}

/* Holes that lie: back, nowhere, over what they do not lead behind. */
Test(packed, a_hole_that_lies_is_found)
{
	const struct tail_hole lies[] = {
		{ 0, 10, 10 },
		{ UINT64_MAX - 7, 4 * LONG_BATCHES, LONG_BATCHES },
		{ 8192, 4 * LONG_BATCHES, 3 },
		{ 8192, 3, LONG_BATCHES },
	};
	_cleanup_buf_ struct buf whole = { 0 };
	struct state before;
	struct vkey pin;
	char name[64];

	make_hollow(&before);
	state_close(&before);
	pin = builder_pin(&host);
	builder_tail(&host, 0, name);
	builder_load(host.path, name, &whole);
	for (size_t i = 0; i < ELEMENTS(lies); i++) {
		uint8_t frame[64] = { 0 };
		struct wr w = wr_of(frame + FRAME_HEADER_SIZE, TAIL_HOLE_SIZE);
		_cleanup_buf_ struct buf bytes = { 0 };
		struct verified v = { 0 };
		struct frame f;
		size_t at = 0;

		buf_append(&bytes, whole.data, whole.len);
		/* In the place of the 20th frame. */
		for (int k = 0; k < 20; k++)
			at += (size_t) frame_parse(whole.data + at, whole.len - at, TAIL_RECORD_MAX,
						   &f);
		tail_hole_encode(&lies[i], &w);
		memcpy(bytes.data + at, frame, frame_finish(frame, TAIL_HOLE, TAIL_HOLE_SIZE));
		builder_store(host.path, name, bytes.data, bytes.len);
		builder_verify(path, &pin, &v);
		cr_expect(eq(int, v.error, 0));
		cr_expect(eq(int, (int) v.report.verdict, VERDICT_TAMPERED), "lie %zu", i);
		verified_done(&v);
	}
	builder_done(&host);
}

/* A segment of a format that does not exist yet: nobody reads it, and nobody takes it away or writes over it. */
Test(packed, a_newer_segment_is_left_alone)
{
	_cleanup_buf_ struct buf before = { 0 }, after = { 0 };
	uint32_t first = 0, n = 0;
	struct segment_set set;
	struct state copied;
	char file[800];
	int dirfd, fd;

	make_both(&copied);
	state_close(&copied);
	pack_segments(&host, 100, true);
	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	cr_assert(gt(u32, set.n, 3));
	snprintf(file, sizeof file, "segments/%s", set.files[1].name);
	segment_set_close(&set);
	dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(dirfd, file, O_RDWR | O_CLOEXEC);
	cr_assert(eq(i64, pwrite(fd, "\1", 1, 12), 1));
	close(fd);
	builder_load(path, file, &before);
	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	cr_expect(eq(int, set.files[1].error, BULLA_EVERSION));
	cr_expect(eq(u32, set.n_damaged, 1));
	/* However long the day is over. */
	while (plan_merge(&set, UINT64_MAX, UINT64_MAX, &first, &n)) {
		cr_assert(first > 1 || first + n <= 1);
		segment_set_close(&set);
		cr_assert(eq(int, merge_segments(&host, first, n), 1));
		cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	}
	cr_expect(eq(u32, set.n, 3));
	segment_set_close(&set);
	builder_load(path, file, &after);
	cr_expect(eq(sz, after.len, before.len));
	cr_expect(eq(int, memcmp(after.data, before.data, before.len), 0));
	close(dirfd);
	builder_done(&host);
}

/* Changed bytes. */

static void flip(const char *file, size_t bit)
{
	_cleanup_close_ int fd = open(file, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	cr_assert(eq(i64, pread(fd, &byte, 1, (off_t) (bit / 8)), 1));
	byte ^= (uint8_t) (1 << bit % 8);
	cr_assert(eq(i64, pwrite(fd, &byte, 1, (off_t) (bit / 8)), 1));
}

/* All of a segment counts, but for the flags that mean nothing. */
Test(packed, a_bit_that_is_changed_in_a_segment_is_found)
{
	struct vkey pin;
	struct segment_set set;
	struct state before;
	struct verified v = { 0 };
	struct stat st;
	char file[800];

	make_both(&before);
	state_close(&before);
	pack_segments(&host, 0, true);
	pin = builder_pin(&host);
	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	cr_assert(eq(u32, set.n, 1));
	snprintf(file, sizeof file, "%s/segments/%s", path, set.files[0].name);
	segment_set_close(&set);
	cr_assert(eq(int, stat(file, &st), 0));
	for (size_t bit = 0; bit < 8 * (size_t) st.st_size; bit += 173) {
		if (bit / 8 >= 8 && bit / 8 < 12)
			continue;
		flip(file, bit);
		builder_verify(path, &pin, &v);
		cr_expect(eq(int, v.error, 0));
		cr_expect(eq(int, (int) v.report.verdict, VERDICT_TAMPERED), "bit %zu", bit);
		cr_expect(memmem(v.findings.data, v.findings.len, "segments/", 9) != NULL,
			  "bit %zu", bit);
		verified_done(&v);
		flip(file, bit);
	}
	check_verified(VERDICT_NOTE);
	/* Without it the tails that it replaced are missing. */
	cr_assert(eq(int, unlink(file), 0));
	builder_verify(path, &pin, &v);
	cr_expect(verified_says(&v, VERDICT_TAMPERED, "the file is missing"));
	verified_done(&v);
	builder_done(&host);
}

/* A segment of another host's, under a name that fits. */
Test(packed, a_foreign_segment_is_found)
{
	char other[600], from[800], to[800];
	struct segment_set set;
	struct builder b;
	struct vkey pin;
	struct state before;
	struct verified v = { 0 };

	make_both(&before);
	state_close(&before);
	pack_segments(&host, 0, true);
	pin = builder_pin(&host);
	snprintf(other, sizeof other, "%s/other", tempdir());
	make_host(&b, other, NULL);
	pack_segments(&b, 0, true);
	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	snprintf(to, sizeof to, "%s/segments/%s", path, set.files[0].name);
	snprintf(from, sizeof from, "%s/segments/%s", other, set.files[0].name);
	segment_set_close(&set);
	cr_assert(eq(int, rename(from, to), 0));
	builder_verify(path, &pin, &v);
	cr_expect(verified_says(&v, VERDICT_TAMPERED,
				"it has batches that the ledger does not know"));
	cr_expect(verified_says(&v, VERDICT_TAMPERED, "the file is missing"));
	verified_done(&v);
	builder_done(&b);
	builder_done(&host);
}

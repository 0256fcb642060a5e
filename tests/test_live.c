/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Rows that nothing vouches for, which anybody may push: they are shown to who follows, as not sealed, and nowhere else.  What a host
 * then seals is shown in any case; and who was shown something else is told.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/pending.h"
#include "base/cleanup.h"
#include "base/frame.h"
#include "base/log.h"
#include "bulla/error.h"
#include "store/format.h"
#include "store/row.h"
#include "store/tail_reader.h"
#include "tests/archiving.h"
#include "tests/harness.h"

Suite(live);

static int append(void *arg, const void *data, size_t n)
{
	buf_append(arg, data, n);
	return 0;
}

static unsigned count(const struct buf *text, const char *word)
{
	unsigned n = 0;

	for (size_t i = 0; i + strlen(word) <= text->len; i++)
		n += memcmp(text->data + i, word, strlen(word)) == 0;
	return n;
}

/* A commit as if its rows were pushed: without keys, seeds and what seals it. */
static void as_unsealed(const struct buf *body, struct buf *to)
{
	for (size_t at = 0; at < body->len;) {
		struct frame f;
		ssize_t n = frame_parse(body->data + at, body->len - at, WIRE_RECORD_MAX, &f);

		cr_assert(gt(i64, n, 0));
		if (f.type == WIRE_BATCH || f.type == TAIL_CONTEXT || f.type == TAIL_ROWS)
			buf_append(to, body->data + at, (size_t) n);
		at += (size_t) n;
	}
}

/* Pushed rows that somebody has changed: messages with this number, or all, are made up. */
static void forge(const struct buf *pushed, uint64_t seq, const char *message, struct buf *to)
{
	for (size_t at = 0; at < pushed->len;) {
		_uninitialized_ struct field fields[FIELDS_MAX];
		_cleanup_buf_ struct buf raw = { 0 }, rows = { 0 }, frame = { 0 };
		struct row_state from = { 0 }, state = { 0 };
		struct tail_rows head;
		uint32_t context;
		struct entry e;
		struct frame f;
		struct rd rd;
		struct wr w;
		ssize_t n = frame_parse(pushed->data + at, pushed->len - at, WIRE_RECORD_MAX, &f);

		cr_assert(gt(i64, n, 0));
		if (f.type != TAIL_ROWS) {
			buf_append(to, pushed->data + at, (size_t) n);
			at += (size_t) n;
			continue;
		}
		at += (size_t) n;
		cr_assert(eq(int, tail_rows_decode(f.payload, f.size, &head), 0));
		cr_assert(eq(int, tail_rows_unpack(&head, &raw), 0));
		cr_assert(buf_room(&rows, 2 * raw.len + 4096) != NULL);
		w = wr_of(rows.data, rows.cap);
		rd = rd_of(raw.data, raw.len);
		for (uint64_t k = head.first_seq; row_decode(&from, &rd, fields, &e, &context) > 0;
		     k++) {
			if (seq == UINT64_MAX || k == seq) {
				e.message = (const uint8_t *) message;
				e.message_len = (uint32_t) strlen(message);
			}
			row_encode(&state, &e, context, &w);
		}
		buf_add(&rows, w.len);
		head.raw_size = head.data_size = (uint32_t) rows.len;
		head.codec = 0;
		cr_assert(buf_room(&frame, TAIL_ROWS_HEAD_MAX + rows.len) != NULL);
		w = wr_of(frame.data, frame.cap);
		tail_rows_encode_head(&head, &w);
		buf_add(&frame, w.len);
		buf_append(&frame, rows.data, rows.len);
		wire_frame(to, TAIL_ROWS, frame.data, frame.len);
	}
	cr_assert(not(to->bad));
}

/* A host, of whose last commit but one all is at the aggregator, and somebody who follows there. */
struct following {
	struct fixture f;
	struct request request;
	struct answer answer;
	struct archive_follower *follower;
	struct follow_told told;
	struct buf shown, body, pushed;
	uint64_t next; /* commit */
};

static void begin(struct following *x, const char *const *keys)
{
	char why[256];
	size_t web;

	log_setup("test", LOG_LEVEL_ERR);
	*x = (struct following){ 0 };
	builder_init(&x->f.b, tempdir(), (struct kes_params){ 2, 2 });
	web = builder_open(&x->f.b, "web");
	builder_log_many(&x->f.b, web, 2);
	builder_commit(&x->f.b);
	for (unsigned i = 0; i < 3; i++) {
		builder_log_many(&x->f.b, web, 3);
		builder_log(&x->f.b, web, "an honest line");
		builder_commit(&x->f.b);
	}
	begin_packing(&x->f);
	x->f.store = tempdir();
	open_archive(&x->f);
	x->next = x->f.commits - 3;
	cr_assert(eq(int, put(&x->f, 0, x->next - 1), PUT_ACCEPTED));
	cr_assert(eq(int, request_init(&x->request), 0));
	cr_assert(eq(int, request_set(&x->request, "output", "json", why), 0));
	for (; keys && keys[0]; keys += 2)
		cr_assert(eq(int, request_set(&x->request, keys[0], keys[1], why), 0));
	x->request.follow = true;
	answer_init(&x->answer, &x->request, append, &x->shown);
	cr_assert(eq(int, archive_follow(x->f.archive, &x->answer, &x->follower), 0));
	cr_assert(eq(int, archive_query(x->f.archive, &x->answer, x->follower, NULL), 0));
	buf_clear(&x->shown);
}

static void end(struct following *x)
{
	archive_unfollow(x->follower);
	answer_done(&x->answer);
	request_done(&x->request);
	buf_done(&x->told.findings);
	buf_done(&x->told.doubts);
	buf_done(&x->shown);
	buf_done(&x->body);
	buf_done(&x->pushed);
	archive_close(x->f.archive);
	packer_free(x->f.packer);
	builder_done(&x->f.b);
}

/* The rows of the next commit as they are pushed. */
static void next_rows(struct following *x)
{
	buf_clear(&x->body);
	buf_clear(&x->pushed);
	pack(&x->f, x->next, x->next, (struct pack_options){ .full = true }, &x->body);
	as_unsealed(&x->body, &x->pushed);
}

static void step(struct following *x)
{
	buf_clear(&x->shown);
	buf_clear(&x->told.findings);
	buf_clear(&x->told.doubts);
	cr_assert(eq(int, archive_follow_step(x->follower, 0, &x->told), 0));
}

static void push(struct following *x, const struct buf *rows)
{
	cr_assert(eq(int, archive_live(x->f.archive, &x->f.origin, rows->data, rows->len), 0));
	step(x);
}

static void seal(struct following *x)
{
	cr_assert(eq(int, put(&x->f, x->next, x->next), PUT_ACCEPTED));
	x->next++;
	step(x);
}

static void expect(const struct following *x, unsigned lines, unsigned corrected, unsigned findings,
		   unsigned doubts)
{
	cr_expect(eq(u32, count(&x->shown, "\n"), lines));
	cr_expect(eq(u32, count(&x->shown, "\"__CORRECTED\":\"yes\""), corrected));
	cr_expect(eq(u32, count(&x->told.findings, "\n"), findings));
	cr_expect(eq(u32, count(&x->told.doubts, "\n"), doubts));
}

Test(live, what_was_sealed_as_it_was_shown_is_not_shown_again)
{
	struct following x;

	begin(&x, NULL);
	for (unsigned i = 0; i < 3; i++) {
		next_rows(&x);
		push(&x, &x.pushed);
		expect(&x, 4, 0, 0, 0);
		cr_expect(eq(u32, count(&x.shown, "\"__SEALED\":\"no\""), 4));
		push(&x, &x.pushed);
		expect(&x, 0, 0, 0, 0);
		seal(&x);
		expect(&x, 0, 0, 0, 0);
	}
	end(&x);
}

Test(live, a_made_up_row_is_found_when_its_number_is_sealed)
{
	struct following x;

	begin(&x, NULL);
	/* Some of the rows, then all of them; an honest push behind it changes nothing. */
	for (unsigned i = 0; i < 2; i++) {
		_cleanup_buf_ struct buf forged = { 0 };

		next_rows(&x);
		forge(&x.pushed, i == 0 ? 3 : UINT64_MAX, "nobody wrote this", &forged);
		push(&x, &forged);
		expect(&x, 4, 0, 0, 0);
		cr_expect(eq(u32, count(&x.shown, "nobody wrote this"), i == 0 ? 1 : 4));
		push(&x, &x.pushed);
		expect(&x, 0, 0, 0, 0);
		seal(&x);
		expect(&x, i == 0 ? 1 : 4, i == 0 ? 1 : 4, 1, 0);
		cr_expect(eq(u32, count(&x.shown, "nobody wrote this"), 0));
		cr_expect(eq(u32, count(&x.shown, "\"__SEALED\":\"yes\""), i == 0 ? 1 : 4));
	}
	/* It goes on as if nothing had been. */
	next_rows(&x);
	push(&x, &x.pushed);
	expect(&x, 4, 0, 0, 0);
	seal(&x);
	expect(&x, 0, 0, 0, 0);
	end(&x);
}

Test(live, formats_with_all_fields_tell_what_was_corrected)
{
	static const char *const formats[][2] = {
		{ "export", "\n__CORRECTED=yes\n" },
		{ "verbose", "__CORRECTED=yes\n" },
		{ "short", "CORRECTED" },
	};

	for (size_t i = 0; i < ELEMENTS(formats); i++) {
		const char *const keys[] = { "output", formats[i][0], NULL };
		_cleanup_buf_ struct buf forged = { 0 };
		struct following x;

		begin(&x, keys);
		next_rows(&x);
		forge(&x.pushed, 3, "nobody wrote this", &forged);
		push(&x, &forged);
		cr_expect(eq(u32, count(&x.shown, formats[i][1]), 0), "%s", formats[i][0]);
		seal(&x);
		cr_expect(eq(u32, count(&x.shown, formats[i][1]), i < 2), "%s", formats[i][0]);
		cr_expect(gt(sz, x.shown.len, 0));
		end(&x);
		harness_teardown();
	}
}

/* Numbers that are taken in advance, over several commits, with a push of their own for each journal's end. */
Test(live, rows_pushed_ahead_displace_nothing)
{
	_cleanup_buf_ struct buf ahead = { 0 };
	struct following x;

	begin(&x, NULL);
	for (unsigned i = 0; i < 3; i++) {
		next_rows(&x);
		buf_clear(&ahead);
		forge(&x.pushed, UINT64_MAX, "nobody wrote this", &ahead);
		push(&x, &ahead);
		expect(&x, 4, 0, 0, 0);
		x.next++;
	}
	x.next -= 3;
	for (unsigned i = 0; i < 3; i++) {
		seal(&x);
		expect(&x, 4, 4, 1, 0);
		cr_expect(eq(u32, count(&x.shown, "an honest line"), 1));
	}
	end(&x);
}

/* Who asks for some lines is shown what was sealed in the place of one that he was shown, and is not kept from others. */
Test(live, what_does_not_match_is_held_against_it_as_well)
{
	static const char *const honest[] = { "grep", "honest", NULL }, *const nobody[] = {
		"grep", "nobody", NULL
	};
	const char *const *keys[] = { honest, nobody };

	for (unsigned i = 0; i < 2; i++) {
		_cleanup_buf_ struct buf forged = { 0 };
		struct following x;

		begin(&x, keys[i]);
		next_rows(&x);
		forge(&x.pushed, UINT64_MAX, "nobody wrote this", &forged);
		push(&x, &forged);
		expect(&x, i == 0 ? 0 : 4, 0, 0, 0);
		seal(&x);
		expect(&x, i == 0 ? 1 : 4, i == 0 ? 0 : 4, i, 0);
		cr_expect(eq(u32, count(&x.shown, "an honest line"), 1));
		end(&x);
		harness_teardown();
	}
}

Test(live, what_is_never_sealed_is_told_and_forgotten)
{
	uint64_t wait = archive_pending_wait_ns;
	struct following x;

	begin(&x, NULL);
	next_rows(&x);
	push(&x, &x.pushed);
	expect(&x, 4, 0, 0, 0);
	step(&x);
	expect(&x, 0, 0, 0, 0);
	archive_pending_wait_ns = 1;
	/* The next look is still a while off, by the time that was. */
	archive_unfollow(x.follower);
	cr_assert(eq(int, archive_follow(x.f.archive, &x.answer, &x.follower), 0));
	push(&x, &x.pushed);
	expect(&x, 4, 0, 0, 1);
	step(&x);
	expect(&x, 0, 0, 0, 0);
	archive_pending_wait_ns = wait;
	/* It was told that nothing vouched for these: sealed, they are shown. */
	seal(&x);
	expect(&x, 4, 0, 0, 0);
	end(&x);
}

Test(live, what_cannot_be_remembered_is_shown_once_it_is_sealed)
{
	uint64_t max = archive_pending_max;
	struct following x;

	archive_pending_max = 5;
	begin(&x, NULL);
	next_rows(&x);
	push(&x, &x.pushed);
	expect(&x, 4, 0, 0, 0);
	x.next++;
	next_rows(&x);
	push(&x, &x.pushed);
	expect(&x, 0, 0, 0, 0);
	x.next--;
	seal(&x);
	expect(&x, 0, 0, 0, 0);
	seal(&x);
	expect(&x, 4, 0, 0, 0);
	next_rows(&x);
	push(&x, &x.pushed);
	expect(&x, 4, 0, 0, 0);
	seal(&x);
	expect(&x, 0, 0, 0, 0);
	archive_pending_max = max;
	end(&x);
}

/* Rows of many journals, or those that are left of many, take no more room than they are worth. */
Test(live, what_is_remembered_is_as_large_as_what_there_is)
{
	struct pending p = { 0 };

	cr_assert(eq(int, pending_reserve(&p, 7, 1), 0));
	cr_expect(le(sz, p.cap, 4));
	pending_add(&p, 0);
	cr_assert(eq(int, pending_reserve(&p, 8, 50000), 0));
	for (uint64_t i = 1; i <= 50000; i++)
		pending_add(&p, i);
	for (uint64_t seq = 7; seq <= 50007; seq += 1000) {
		cr_expect(eq(u64, pending_forget(&p, seq), 0));
		cr_expect(le(sz, p.cap, 8 * (size_t) (p.end - p.first) + 16));
		cr_assert(ne(ptr, pending_of(&p, seq), NULL));
		cr_expect(eq(u64, pending_of(&p, seq)->digest, seq - 7));
		cr_expect(eq(u64, pending_of(&p, 50007)->digest, 50000));
	}
	cr_assert(eq(int, pending_reserve(&p, 0, 100), 0));
	pending_add(&p, 50001);
	cr_expect(eq(u64, pending_of(&p, 50008)->digest, 50001));
	pending_done(&p);
}

Test(live, unsealed_rows_are_shown_to_followers_only)
{
	_cleanup_buf_ struct buf body = { 0 }, pushed = { 0 }, shown = { 0 };
	struct archive_follower *follower;
	struct fixture f = { 0 };
	struct wire_head h;
	struct request request;
	struct answer answer;
	char why[256];
	size_t web;

	log_setup("test", LOG_LEVEL_ERR);
	builder_init(&f.b, tempdir(), (struct kes_params){ 2, 2 });
	web = builder_open(&f.b, "web");
	builder_log_many(&f.b, web, 2);
	builder_commit(&f.b);
	builder_log_many(&f.b, web, 3);
	builder_commit(&f.b);
	begin_packing(&f);
	f.store = tempdir();
	open_archive(&f);
	cr_assert(eq(int, put(&f, 0, f.commits - 2), PUT_ACCEPTED));
	pack(&f, f.commits - 1, f.commits - 1, (struct pack_options){ .full = true }, &body);
	as_unsealed(&body, &pushed);
	cr_assert(eq(int, request_init(&request), 0));
	cr_assert(eq(int, request_set(&request, "output", "json", why), 0));
	request.follow = true;
	answer_init(&answer, &request, append, &shown);
	cr_assert(eq(int, archive_follow(f.archive, &answer, &follower), 0));
	cr_assert(eq(int, archive_query(f.archive, &answer, follower, NULL), 0));
	cr_expect(eq(u32, count(&shown, "\n"), 2));
	buf_clear(&shown);
	cr_assert(eq(int, archive_live(f.archive, &f.origin, pushed.data, pushed.len), 0));
	cr_assert(eq(int, archive_follow_step(follower, 0, NULL), 0));
	cr_expect(eq(u32, count(&shown, "\n"), 3));
	cr_expect(eq(u32, count(&shown, "\"__SEALED\":\"no\""), 3));
	/* To a question they are no answer, and nothing is acknowledged by them. */
	cr_expect(eq(u64, entries_found(&f), 2));
	cr_assert(eq(int, archive_head(f.archive, &f.origin, &h), 0));
	cr_expect(eq(u64, h.received, f.commits - 1));
	archive_unfollow(follower);
	answer_done(&answer);
	request_done(&request);
	reopen(&f);
	cr_expect(eq(u64, entries_found(&f), 2));
	cr_expect(eq(int, put(&f, f.commits - 1, f.commits - 1), PUT_ACCEPTED));
	cr_expect(eq(u64, entries_found(&f), 5));
	archive_close(f.archive);
	packer_free(f.packer);
	builder_done(&f.b);
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Rows that nothing vouches for, which anybody may push: they are shown to who follows, as not sealed, and nowhere else.
 */

#include <string.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "base/log.h"
#include "bulla/error.h"
#include "store/format.h"
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
	cr_assert(eq(int, archive_follow_step(follower, 0), 0));
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

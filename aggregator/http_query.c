/* SPDX-License-Identifier: Apache-2.0 */

/** What readers ask: queries, who follows, and proofs. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/http-internal.h"
#include "aggregator/question.h"
#include "base/cleanup.h"
#include "bulla/error.h"

enum { FOLLOW_STEP_MS = 500 };

/* Queries. */

struct asked {
	struct request request;
	struct http_stream *stream; /* while it is answered */
};

static int to_stream(void *arg, const void *data, size_t n)
{
	const struct asked *a = arg;

	return n > 0 ? http_stream_put(a->stream, ANSWER_TEXT, data, n) : 0;
}

static int ask(struct asked *a, struct answer *answer, struct archive_follower *f)
{
	_cleanup_buf_ struct buf damage = { 0 };
	int r = archive_query(http_stream_server(a->stream)->archive, answer, f, &damage);

	return r < 0 ? r : http_stream_tell(a->stream, ANSWER_DAMAGE, &damage);
}

static int follow(struct asked *a, struct answer *answer, struct archive_follower *f)
{
	struct follow_told told = { 0 };
	int r = ask(a, answer, f);

	while (r >= 0) {
		r = archive_follow_step(f, FOLLOW_STEP_MS, &told);
		if (r >= 0)
			r = http_stream_tell(a->stream, ANSWER_FINDING, &told.findings);
		if (r >= 0)
			r = http_stream_tell(a->stream, ANSWER_DAMAGE, &told.doubts);
		buf_clear(&told.findings);
		buf_clear(&told.doubts);
		if (http_stream_hung_up(a->stream))
			r = -EPIPE;
	}
	buf_done(&told.findings);
	buf_done(&told.doubts);
	return r;
}

static int answer_asked(void *arg, struct http_stream *stream)
{
	struct archive *archive = http_stream_server(stream)->archive;
	struct archive_follower *f = NULL;
	struct asked *a = arg;
	struct answer answer;
	int r = 0;

	a->stream = stream;
	answer_init(&answer, &a->request, to_stream, a);
	if (a->request.follow)
		r = archive_follow(archive, &answer, &f);
	if (r >= 0)
		r = a->request.follow ? follow(a, &answer, f) : ask(a, &answer, NULL);
	archive_unfollow(f);
	answer_done(&answer);
	return r;
}

static void asked_free(void *arg)
{
	struct asked *a = arg;

	request_done(&a->request);
	free(a);
}

static int set_asked(void *arg, const char *key, const void *value, size_t n, char *why)
{
	struct asked *a = arg;

	return request_set_bytes(&a->request, key, value, n, why);
}

enum MHD_Result http_query(struct http_server *s, struct MHD_Connection *c, bool follows)
{
	static const struct http_work work = { answer_asked, asked_free };
	struct asked *a = calloc(1, sizeof *a);
	char why[256];
	int r;

	if (!a || request_init(&a->request) < 0) {
		free(a);
		return http_say(c, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
	}
	a->request.follow = follows;
	r = http_read_keys(c, set_asked, a, why);
	if (r < 0) {
		asked_free(a);
		return http_say_no(c, r, why);
	}
	return http_stream(s, c, output_content_type(a->request.output.format), &work, a);
}

/* Proofs. */

static int give_proof(void *arg, const struct buf *file)
{
	struct http_stream *stream = arg;

	if (file->len > ANSWER_PROOF_MAX)
		return BULLA_ELIMIT;
	return http_stream_hung_up(stream)
		       ? -EPIPE
		       : http_stream_put(stream, ANSWER_PROOF, file->data, file->len);
}

static int answer_question(void *arg, struct http_stream *stream)
{
	_cleanup_buf_ struct buf line = { 0 };
	const char *why;
	int r = archive_prove(http_stream_server(stream)->archive, arg, give_proof, stream, &why);

	if (r >= 0 || r == -EPIPE || r == -ESHUTDOWN)
		return r;
	/* What cannot be proved is said, in place of a proof. */
	buf_printf(&line, "%s\n",
		   why		 ? why
		   : r == -EBUSY ? "too many proofs are being made; try again"
				 : bulla_strerror(r));
	return http_stream_tell(stream, ANSWER_DAMAGE, &line);
}

static void question_free(void *arg)
{
	question_done(arg);
	free(arg);
}

static int set_question(void *arg, const char *key, const void *value, size_t n, char *why)
{
	return question_set(arg, key, value, n, why);
}

enum MHD_Result http_prove(struct http_server *s, struct MHD_Connection *c)
{
	static const struct http_work work = { answer_question, question_free };
	struct question *q = calloc(1, sizeof *q);
	char why[256];
	int r;

	if (!q || question_init(q) < 0) {
		free(q);
		return http_say(c, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
	}
	r = http_read_keys(c, set_question, q, why);
	if (r >= 0)
		r = question_check(q, why);
	if (r < 0) {
		question_free(q);
		return http_say_no(c, r, why);
	}
	return http_stream(s, c, NULL, &work, q);
}

/* SPDX-License-Identifier: Apache-2.0 */

/** Answers to readers.  They may be long: a worker writes into a pipe, the connection's thread reads from it. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aggregator/http-internal.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/pieces.h"
#include "bulla/error.h"

enum { THREAD_STACK = 512 << 10, FOLLOW_STEP_MS = 500 };

struct worker {
	struct http_server *server;
	struct request request;
	bool follow;
	int out, in; /* ends of the pipe */
	int socket;  /* of the connection: who hangs up ends the worker */
	bool pieces; /* the answer is in pieces, because that was asked for */
	struct MHD_Response *response;
	atomic_uint damaged; /* places that may be missing in the answer */
	atomic_bool failed;
	atomic_int users; /* the worker's thread and the response */
};

static void worker_release(struct worker *w)
{
	if (atomic_fetch_sub(&w->users, 1) != 1)
		return;
	request_done(&w->request);
	free(w);
}

static int put_piece(const struct worker *w, enum answer_piece kind, const void *data, size_t n)
{
	uint8_t head[ANSWER_PIECE_HEAD];
	int r = 0;

	if (w->pieces) {
		answer_piece_encode(kind, (uint32_t) n, head);
		r = io_write(w->out, head, sizeof head);
	}
	return r < 0 ? r : io_write(w->out, data, n);
}

static int to_pipe(void *arg, const void *data, size_t n)
{
	return n > 0 ? put_piece(arg, ANSWER_TEXT, data, n) : 0;
}

/* Say what may be missing.  Who has not asked for pieces is told how many places there are, behind the answer. */
static int put_damage(struct worker *w, const struct buf *damage)
{
	const char *at = (const char *) damage->data, *end = at ? at + damage->len : NULL;
	int r = damage->bad ? -ENOMEM : 0;

	for (const char *line = at; line < end && r >= 0; line = at) {
		at = memchr(line, '\n', (size_t) (end - line));
		at = at ? at + 1 : end;
		w->damaged++;
		if (w->pieces)
			r = put_piece(w, ANSWER_DAMAGE, line, (size_t) (at - line));
	}
	return r;
}

static int ask(struct worker *w, struct answer *answer, struct archive_follower *f)
{
	_cleanup_buf_ struct buf damage = { 0 };
	int r = archive_query(w->server->archive, answer, f, &damage);

	return r < 0 ? r : put_damage(w, &damage);
}

/* Nobody reads the pipe any more; or its reader waits for us, and the peer it reads for is gone. */
static bool hung_up(const struct worker *w)
{
	struct pollfd p[] = {
		{ .fd = w->out },
		{ .fd = w->socket, .events = POLLRDHUP },
	};

	return poll(p, ELEMENTS(p), 0) > 0 &&
	       ((p[0].revents & POLLERR) || (p[1].revents & (POLLRDHUP | POLLHUP | POLLERR)));
}

static int follow(struct worker *w, struct answer *answer, struct archive_follower *f)
{
	int r = ask(w, answer, f);

	while (r >= 0) {
		r = archive_follow_step(f, FOLLOW_STEP_MS);
		if (hung_up(w))
			r = -EPIPE;
	}
	return r;
}

static void *work(void *arg)
{
	struct archive_follower *f = NULL;
	struct worker *w = arg;
	struct answer answer;
	int r = 0;

	answer_init(&answer, &w->request, to_pipe, w);
	if (w->follow)
		r = archive_follow(w->server->archive, &answer, &f);
	if (r >= 0)
		r = w->follow ? follow(w, &answer, f) : ask(w, &answer, NULL);
	archive_unfollow(f);
	answer_done(&answer);
	if (r < 0 && r != -EPIPE && r != -ESHUTDOWN)
		log_error_code(r, "a query failed");
	/* Who follows is told by a broken connection that this was not the end of the logs. */
	w->failed = r < 0;
	close(w->out);
	atomic_fetch_sub(&w->server->workers, 1);
	worker_release(w);
	return NULL;
}

static ssize_t read_pipe(void *arg, uint64_t position, char *to, size_t n)
{
	struct worker *w = arg;
	char number[16];
	ssize_t got;

	(void) position;
	do
		got = read(w->in, to, n);
	while (got < 0 && errno == EINTR);
	if (got > 0)
		return got;
	if (got == 0 && !w->pieces && w->damaged > 0) {
		snprintf(number, sizeof number, "%u", w->damaged);
		MHD_add_response_footer(w->response, ANSWER_DAMAGE_TRAILER, number);
	}
	/* An answer that broke off must not look like a whole one. */
	return got < 0 || w->failed ? MHD_CONTENT_READER_END_WITH_ERROR
				    : MHD_CONTENT_READER_END_OF_STREAM;
}

static void free_pipe(void *arg)
{
	struct worker *w = arg;

	close(w->in);
	worker_release(w);
}

static int start_worker(struct worker *w)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int pair[2], r;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	w->in = pair[0];
	w->out = pair[1];
	w->users = 2;
	atomic_fetch_add(&w->server->workers, 1);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, THREAD_STACK);
	r = pthread_create(&thread, &attributes, work, w);
	pthread_attr_destroy(&attributes);
	if (r != 0) {
		atomic_fetch_sub(&w->server->workers, 1);
		close(pair[0]);
		close(pair[1]);
	}
	return -r;
}

struct key_reader {
	struct request *request;
	char why[256];
	int r;
};

/* A key or a value may hold any byte, a zero too: it is as long as it is. */
static enum MHD_Result read_key(void *arg, enum MHD_ValueKind kind, const char *key,
				size_t key_size, const char *value, size_t value_size)
{
	struct key_reader *k = arg;

	(void) kind;
	if (strlen(key) != key_size) {
		snprintf(k->why, sizeof k->why, "unknown key %.100s", key);
		k->r = -ENOENT;
	} else {
		k->r = request_set_bytes(k->request, key, value ? value : "",
					 value ? value_size : 0, k->why);
	}
	return k->r < 0 ? MHD_NO : MHD_YES;
}

static bool wants_pieces(struct MHD_Connection *c)
{
	const char *accept =
		MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);

	return accept && strcmp(accept, ANSWER_PIECES_TYPE) == 0;
}

static enum MHD_Result respond(struct worker *w, struct MHD_Connection *c)
{
	enum MHD_Result result;

	MHD_add_response_header(w->response, MHD_HTTP_HEADER_CONTENT_TYPE,
				w->pieces ? ANSWER_PIECES_TYPE
					  : output_content_type(w->request.output.format));
	MHD_add_response_header(w->response, "X-Accel-Buffering", "no");
	if (!w->pieces)
		MHD_add_response_header(w->response, MHD_HTTP_HEADER_TRAILER,
					ANSWER_DAMAGE_TRAILER);
	result = MHD_queue_response(c, MHD_HTTP_OK, w->response);
	MHD_destroy_response(w->response);
	return result;
}

enum MHD_Result http_query(struct http_server *s, struct MHD_Connection *c, bool follows)
{
	struct worker *w = calloc(1, sizeof *w);
	struct key_reader k = { 0 };

	if (!w || request_init(&w->request) < 0) {
		free(w);
		return http_say(c, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
	}
	w->server = s;
	w->pieces = wants_pieces(c);
	w->follow = w->request.follow = follows;
	w->socket = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	k.request = &w->request;
	MHD_get_connection_values_n(c, MHD_GET_ARGUMENT_KIND, read_key, &k);
	if (k.r >= 0)
		k.r = start_worker(w);
	if (k.r < 0) {
		request_done(&w->request);
		free(w);
		return http_say(c, *k.why ? MHD_HTTP_BAD_REQUEST : MHD_HTTP_SERVICE_UNAVAILABLE,
				*k.why ? k.why : bulla_strerror(k.r));
	}
	w->response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, ANSWER_PIECE, read_pipe,
							w, free_pipe);
	if (!w->response) {
		free_pipe(w);
		return MHD_NO;
	}
	return respond(w, c);
}

/* SPDX-License-Identifier: Apache-2.0 */

/** Answers that may be long: a worker writes into a pipe, the connection's thread reads from it. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aggregator/http-internal.h"
#include "base/io.h"
#include "base/log.h"
#include "bulla/error.h"

enum { THREAD_STACK = 512 << 10 };

struct http_stream {
	struct http_server *server;
	const struct http_work *work;
	void *arg;
	int out, in; /* ends of the pipe */
	int socket;  /* of the connection: who hangs up ends the worker */
	bool pieces; /* the answer is in pieces */
	struct MHD_Response *response;
	atomic_uint damaged; /* places that may be missing in the answer */
	atomic_bool failed;
	atomic_int users; /* the worker's thread and the response */
};

static void stream_release(struct http_stream *s)
{
	if (atomic_fetch_sub(&s->users, 1) != 1)
		return;
	s->work->done(s->arg);
	free(s);
}

int http_stream_put(struct http_stream *s, enum answer_piece kind, const void *data, size_t n)
{
	uint8_t head[ANSWER_PIECE_HEAD];
	int r = 0;

	if (s->pieces) {
		answer_piece_encode(kind, (uint32_t) n, head);
		r = io_write(s->out, head, sizeof head);
	}
	return r < 0 ? r : io_write(s->out, data, n);
}

int http_stream_tell(struct http_stream *s, enum answer_piece kind, const struct buf *lines)
{
	const char *at = (const char *) lines->data, *end = at ? at + lines->len : NULL;
	int r = lines->bad ? -ENOMEM : 0;

	for (const char *line = at; line < end && r >= 0; line = at) {
		at = memchr(line, '\n', (size_t) (end - line));
		at = at ? at + 1 : end;
		s->damaged++;
		if (s->pieces)
			r = http_stream_put(s, kind, line, (size_t) (at - line));
	}
	return r;
}

bool http_stream_hung_up(const struct http_stream *s)
{
	struct pollfd p[] = {
		{ .fd = s->out },
		{ .fd = s->socket, .events = POLLRDHUP },
	};

	return poll(p, ELEMENTS(p), 0) > 0 &&
	       ((p[0].revents & POLLERR) || (p[1].revents & (POLLRDHUP | POLLHUP | POLLERR)));
}

struct http_server *http_stream_server(const struct http_stream *s)
{
	return s->server;
}

static void *work(void *arg)
{
	struct http_stream *s = arg;
	int r = s->work->run(s->arg, s);

	if (r < 0 && r != -EPIPE && r != -ESHUTDOWN)
		log_error_code(r, "a query failed");
	/* Who follows is told by a broken connection that this was not the end of the logs. */
	s->failed = r < 0;
	close(s->out);
	atomic_fetch_sub(&s->server->workers, 1);
	stream_release(s);
	return NULL;
}

static ssize_t read_pipe(void *arg, uint64_t position, char *to, size_t n)
{
	struct http_stream *s = arg;
	char number[16];
	ssize_t got;

	(void) position;
	do
		got = read(s->in, to, n);
	while (got < 0 && errno == EINTR);
	if (got > 0)
		return got;
	if (got == 0 && !s->pieces && s->damaged > 0) {
		snprintf(number, sizeof number, "%u", s->damaged);
		MHD_add_response_footer(s->response, ANSWER_DAMAGE_TRAILER, number);
	}
	/* An answer that broke off must not look like a whole one. */
	return got < 0 || s->failed ? MHD_CONTENT_READER_END_WITH_ERROR
				    : MHD_CONTENT_READER_END_OF_STREAM;
}

static void free_pipe(void *arg)
{
	struct http_stream *s = arg;

	close(s->in);
	stream_release(s);
}

static int start(struct http_stream *s)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int pair[2], r;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	s->in = pair[0];
	s->out = pair[1];
	s->users = 2;
	atomic_fetch_add(&s->server->workers, 1);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, THREAD_STACK);
	r = pthread_create(&thread, &attributes, work, s);
	pthread_attr_destroy(&attributes);
	if (r != 0) {
		atomic_fetch_sub(&s->server->workers, 1);
		close(pair[0]);
		close(pair[1]);
	}
	return -r;
}

static bool wants_pieces(struct MHD_Connection *c)
{
	const char *accept =
		MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);

	return accept && strcmp(accept, ANSWER_PIECES_TYPE) == 0;
}

static enum MHD_Result respond(struct http_stream *s, struct MHD_Connection *c, const char *type)
{
	enum MHD_Result result;

	MHD_add_response_header(s->response, MHD_HTTP_HEADER_CONTENT_TYPE,
				s->pieces ? ANSWER_PIECES_TYPE : type);
	MHD_add_response_header(s->response, "X-Accel-Buffering", "no");
	if (!s->pieces)
		MHD_add_response_header(s->response, MHD_HTTP_HEADER_TRAILER,
					ANSWER_DAMAGE_TRAILER);
	result = MHD_queue_response(c, MHD_HTTP_OK, s->response);
	MHD_destroy_response(s->response);
	return result;
}

enum MHD_Result http_stream(struct http_server *server, struct MHD_Connection *c, const char *type,
			    const struct http_work *w, void *arg)
{
	struct http_stream *s = calloc(1, sizeof *s);
	int r = s ? 0 : -ENOMEM;

	if (s) {
		s->server = server;
		s->work = w;
		s->arg = arg;
		s->pieces = !type || wants_pieces(c);
		s->socket =
			MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		r = start(s);
	}
	if (r < 0) {
		w->done(arg);
		free(s);
		return http_say(c, MHD_HTTP_SERVICE_UNAVAILABLE, bulla_strerror(r));
	}
	s->response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, ANSWER_PIECE, read_pipe,
							s, free_pipe);
	if (!s->response) {
		free_pipe(s);
		return MHD_NO;
	}
	return respond(s, c, type);
}

/* Keys. */

struct key_reader {
	http_set_fn set;
	void *arg;
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
		k->r = k->set(k->arg, key, value ? value : "", value ? value_size : 0, k->why);
	}
	return k->r < 0 ? MHD_NO : MHD_YES;
}

int http_read_keys(struct MHD_Connection *c, http_set_fn set, void *arg, char why[256])
{
	struct key_reader k = { .set = set, .arg = arg };

	MHD_get_connection_values_n(c, MHD_GET_ARGUMENT_KIND, read_key, &k);
	memcpy(why, k.why, sizeof k.why);
	return k.r;
}

enum MHD_Result http_say_no(struct MHD_Connection *c, int r, const char *why)
{
	return http_say(c, *why ? MHD_HTTP_BAD_REQUEST : MHD_HTTP_SERVICE_UNAVAILABLE,
			*why ? why : bulla_strerror(r));
}

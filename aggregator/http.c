/* SPDX-License-Identifier: Apache-2.0 */

#include "aggregator/http-internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "bulla/error.h"

enum {
	CONNECTIONS_MAX = 1024,
	CONNECTION_MEMORY = 64 << 10,
	THREAD_STACK = 512 << 10,
	CONNECTION_TIMEOUT_S = 60, /* without a byte */
	BODY_TIME_MAX_S = 120,	   /* of one upload, however it trickles */
	BODIES_MAX = 512 << 20,	   /* of all uploads together */
	INTEREST_WAIT_MAX_MS = 30000,
	RETRY_AFTER_S = 1,
};

/* One request. */
struct call {
	struct http_server *server;
	uint8_t *body;
	size_t size, cap;
	bool too_much, too_long;
	uint64_t until_ns;
};

/* Plain answers. */

static enum MHD_Result answer_text(struct MHD_Connection *c, unsigned status, const char *type,
				   const void *text, size_t n)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(n, (void *) (uintptr_t) text,
								 MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result;
	char seconds[8];

	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (status == MHD_HTTP_SERVICE_UNAVAILABLE) {
		snprintf(seconds, sizeof seconds, "%d", RETRY_AFTER_S);
		MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
	}
	result = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return result;
}

enum MHD_Result http_say(struct MHD_Connection *c, unsigned status, const char *sentence)
{
	char text[512];
	int n = snprintf(text, sizeof text, "%s\n", sentence);

	return answer_text(c, status, "text/plain; charset=utf-8", text,
			   MIN_OF((size_t) n, sizeof text - 1));
}

static enum MHD_Result answer_head(struct call *call, struct MHD_Connection *c, unsigned status,
				   const struct id *origin)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct wire_head h;

	if (archive_head(call->server->archive, origin, &h) < 0)
		return http_say(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no head");
	wire_head_write(&h, &text);
	if (text.bad)
		return http_say(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory");
	return answer_text(c, status, "application/json", text.data, text.len);
}

/* The origins' side. */

static enum MHD_Result on_put(struct call *call, struct MHD_Connection *c, const struct id *origin,
			      const char *range)
{
	struct put_result result;
	char text[64], *dash;
	uint64_t from, to;
	int r;

	snprintf(text, sizeof text, "%s", range);
	dash = strchr(text, '-');
	if (!dash)
		return http_say(c, MHD_HTTP_BAD_REQUEST, "commits/{from}-{to} is wanted");
	*dash = '\0';
	if (text_to_u64(text, &from) < 0 || text_to_u64(dash + 1, &to) < 0)
		return http_say(c, MHD_HTTP_BAD_REQUEST, "commits/{from}-{to} is wanted");
	if (call->too_long)
		return http_say(c, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large");
	if (call->too_much)
		return http_say(c, MHD_HTTP_SERVICE_UNAVAILABLE, "too much at once");
	r = archive_put(call->server->archive, origin, from, to, call->body, call->size, &result);
	if (r < 0) {
		log_error_code(r, "the archive cannot be written; nothing more is acknowledged");
		call->server->broken = true;
		return http_say(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "the archive is broken");
	}
	if (result.status == PUT_ACCEPTED || result.status == PUT_REWIND)
		return answer_head(call, c, result.status, origin);
	return http_say(c, result.status, result.why);
}

static enum MHD_Result on_interest(struct call *call, struct MHD_Connection *c)
{
	const char *wait = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "wait");
	uint64_t ms = 0;
	bool interest;

	if (wait && text_to_u64(wait, &ms) < 0)
		return http_say(c, MHD_HTTP_BAD_REQUEST, "wait is a number of milliseconds");
	interest = archive_wait_interest(call->server->archive,
					 (unsigned) MIN_OF(ms, INTEREST_WAIT_MAX_MS));
	return answer_text(c, MHD_HTTP_OK, "application/json",
			   interest ? "{\"interest\":true}\n" : "{\"interest\":false}\n",
			   interest ? 18 : 19);
}

static enum MHD_Result on_live(struct call *call, struct MHD_Connection *c, const struct id *origin)
{
	int r = call->too_much || call->too_long
			? BULLA_ELIMIT
			: archive_live(call->server->archive, origin, call->body, call->size);

	if (r < 0)
		return http_say(c, MHD_HTTP_UNPROCESSABLE_CONTENT, bulla_strerror(r));
	return on_interest(call, c);
}

static enum MHD_Result on_origin(struct call *call, struct MHD_Connection *c, const char *method,
				 const char *path)
{
	size_t n = strcspn(path, "/");
	struct id origin;

	if (text_unhex(path, n, origin.b, ID_SIZE) < 0)
		return http_say(c, MHD_HTTP_BAD_REQUEST, "an origin is 32 hex digits");
	path += n;
	if (*path == '\0' && strcmp(method, "GET") == 0)
		return answer_head(call, c, MHD_HTTP_OK, &origin);
	if (text_starts(path, "/commits/") && strcmp(method, "PUT") == 0)
		return on_put(call, c, &origin, path + strlen("/commits/"));
	if (strcmp(path, "/interest") == 0 && strcmp(method, "GET") == 0)
		return on_interest(call, c);
	if (strcmp(path, "/live") == 0 && strcmp(method, "POST") == 0)
		return on_live(call, c, &origin);
	return http_say(c, MHD_HTTP_NOT_FOUND, "no such thing here");
}

static enum MHD_Result on_status(struct call *call, struct MHD_Connection *c)
{
	_cleanup_buf_ struct buf text = { 0 };

	if (archive_status(call->server->archive, &text) < 0)
		return http_say(c, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
	return answer_text(c, MHD_HTTP_OK, "text/plain; charset=utf-8", text.data, text.len);
}

static enum MHD_Result on_key(struct call *call, struct MHD_Connection *c)
{
	struct id nobody = { 0 };
	struct wire_head h;

	if (archive_head(call->server->archive, &nobody, &h) < 0)
		return MHD_NO;
	return http_say(c, MHD_HTTP_OK, h.key);
}

static enum MHD_Result dispatch(struct call *call, struct MHD_Connection *c, const char *method,
				const char *url)
{
	static const char origins[] = "/v1/origins/";

	if (text_starts(url, origins))
		return on_origin(call, c, method, url + strlen(origins));
	if (strcmp(method, "GET") != 0)
		return http_say(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET here");
	if (strcmp(url, "/v1/query") == 0)
		return http_query(call->server, c, false);
	if (strcmp(url, "/v1/tail") == 0)
		return http_query(call->server, c, true);
	if (strcmp(url, "/v1/prove") == 0)
		return http_prove(call->server, c);
	if (strcmp(url, "/v1/status") == 0)
		return on_status(call, c);
	if (strcmp(url, "/v1/key") == 0)
		return on_key(call, c);
	return http_say(c, MHD_HTTP_NOT_FOUND, "no such thing here");
}

/* Bodies. */

static void take_body(struct call *call, const char *data, size_t n)
{
	struct http_server *s = call->server;

	if (call->too_much || call->too_long)
		return;
	if (call->size + n > call->cap) {
		size_t cap = MAX_OF(call->cap * 2, MAX_OF(call->size + n, (size_t) 64 << 10));
		uint8_t *more;

		cap = MIN_OF(cap, (size_t) WIRE_BODY_MAX);
		if (call->size + n > cap) {
			call->too_long = true;
			return;
		}
		more = atomic_fetch_add(&s->body_bytes, cap - call->cap) + cap > BODIES_MAX
			       ? NULL
			       : realloc(call->body, cap);
		if (!more) {
			atomic_fetch_sub(&s->body_bytes, cap - call->cap);
			call->too_much = true;
			return;
		}
		call->body = more;
		call->cap = cap;
	}
	memcpy(call->body + call->size, data, n);
	call->size += n;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *n, void **state)
{
	struct call *call = *state;

	(void) version;
	if (!call) {
		call = calloc(1, sizeof *call);
		if (!call)
			return MHD_NO;
		call->server = arg;
		call->until_ns = clock_monotonic_ns() + BODY_TIME_MAX_S * NS_PER_S;
		*state = call;
		return MHD_YES;
	}
	if (*n > 0) {
		if (clock_monotonic_ns() > call->until_ns)
			return MHD_NO;
		take_body(call, data, *n);
		*n = 0;
		return MHD_YES;
	}
	return dispatch(call, c, method, url);
}

static void on_completed(void *arg, struct MHD_Connection *c, void **state,
			 enum MHD_RequestTerminationCode why)
{
	struct call *call = *state;

	(void) arg;
	(void) c;
	(void) why;
	if (!call)
		return;
	atomic_fetch_sub(&call->server->body_bytes, call->cap);
	free(call->body);
	free(call);
	*state = NULL;
}

/* Starting and stopping. */

static int resolve(const char *listen_on, struct addrinfo **ret)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	char text[256], *host = text, *port;
	size_t n;

	if (snprintf(text, sizeof text, "%s", listen_on) >= (int) sizeof text)
		return -ENAMETOOLONG;
	port = strrchr(text, ':');
	if (!port)
		return -EINVAL;
	*port++ = '\0';
	n = strlen(host);
	if (n > 1 && host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		host++;
	}
	return getaddrinfo(*host ? host : NULL, port, &hints, ret) == 0 ? 0 : -EINVAL;
}

static int listen_at(const char *listen_on, uint16_t *ret_port)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_storage bound;
	socklen_t size = sizeof bound;
	struct addrinfo *a;
	int one = 1, r;

	r = resolve(listen_on, &a);
	if (r < 0)
		return r;
	fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	r = fd < 0 ? -errno : 0;
	if (r >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
		       bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0))
		r = -errno;
	freeaddrinfo(a);
	if (r < 0 || getsockname(fd, (struct sockaddr *) &bound, &size) < 0)
		return r < 0 ? r : -errno;
	*ret_port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *) &bound)->sin6_port
						      : ((struct sockaddr_in *) &bound)->sin_port);
	return TAKE_FD(fd);
}

int http_server_start(struct http_server **ret, struct archive *a, const char *listen_on,
		      uint16_t *ret_port)
{
	struct http_server *s;
	int fd = listen_at(listen_on, ret_port);

	if (fd < 0)
		return fd;
	s = calloc(1, sizeof *s);
	if (!s) {
		close(fd);
		return -ENOMEM;
	}
	s->archive = a;
	s->daemon = MHD_start_daemon(
		MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0,
		NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned) CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_MEMORY,
		MHD_OPTION_THREAD_STACK_SIZE, (size_t) THREAD_STACK, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned) CONNECTION_TIMEOUT_S, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
		MHD_OPTION_END);
	if (!s->daemon) {
		close(fd);
		free(s);
		return -EIO;
	}
	*ret = s;
	return 0;
}

struct http_server *http_server_stop(struct http_server *s)
{
	if (!s)
		return NULL;
	/* Whoever waits for arrivals is let go first, or the connections' threads would not end. */
	archive_shut_down(s->archive);
	MHD_stop_daemon(s->daemon);
	while (atomic_load(&s->workers) > 0)
		usleep(1000);
	free(s);
	return NULL;
}

bool http_server_broken(const struct http_server *s)
{
	return atomic_load(&s->broken);
}

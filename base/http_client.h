/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_HTTP_CLIENT_H
#define BULLA_BASE_HTTP_CLIENT_H

/**
 * HTTP/1.1 requests over one kept-alive connection (libcurl).
 *
 * Only http:// on loopback and other addresses the user names; no proxies from the environment, no redirects.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/text.h"

struct http_client;

_must_check_ int http_client_new(struct http_client **ret);
struct http_client *http_client_free(struct http_client *c);
static inline void http_client_freep(struct http_client **c)
{
	http_client_free(*c);
}

/**
 * Whether requests can be made below this address: http://HOST[:PORT][/PATH], and nothing else in it.
 *
 * @return 0; -EINVAL, and `*ret_why` is the reason, a text that is never freed; -ENOMEM.
 */
_must_check_ int http_client_check_url(const char *url, const char **ret_why);

/** Takes a piece of the body.  @return 0, or < 0 to break off. */
typedef int (*http_body_fn)(void *arg, const void *data, size_t n);

struct http_request {
	const char *method; /* GET, PUT, POST */
	const char *url;
	const void *body; /* or NULL */
	size_t body_size;
	const char *content_type;
	const char *accept; /* media type, or NULL */
	long timeout_s;	    /* of the whole exchange; 0: none */
	/* The answer's body goes to `write` where the status is 200 and it is given, else to `text`. */
	http_body_fn write;
	void *arg;
	size_t text_max; /* of `text`; more is an error */
};

struct http_answer {
	long status;
	long retry_after_s; /* of 503, or 0 */
	char type[64];	    /* its media type; known when `write` is called */
	struct buf text;    /* owned; buf_done() */
};

/** The text of an answer as a sentence (text_sentence()). */
const char *http_answer_sentence(const struct http_answer *a, char ret[TEXT_SENTENCE_SIZE]);

/**
 * @return 0 when an answer came, whatever its status; the error of `write`; -ECONNREFUSED, BULLA_EHOST, -ETIMEDOUT,
 *         -EPIPE (broken off), BULLA_ELIMIT (too long), BULLA_EPARSE (a bad URL), -EIO.
 */
_must_check_ int http_client_do(struct http_client *c, const struct http_request *q,
				struct http_answer *ret);

/** Break off whatever is under way, from another thread; the client answers -ECANCELED from then on. */
void http_client_stop(struct http_client *c);

#endif

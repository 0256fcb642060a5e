/* SPDX-License-Identifier: Apache-2.0 */

#include "base/http_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "bulla/error.h"

struct http_client {
	CURL *curl;
	atomic_bool stopped;
};

/* One exchange. */
struct exchange {
	CURL *curl;
	const struct http_request *request;
	struct http_answer *answer;
	int error; /* of the receiver */
};

int http_client_new(struct http_client **ret)
{
	struct http_client *c = calloc(1, sizeof *c);

	if (!c)
		return -ENOMEM;
	c->curl = curl_easy_init();
	if (!c->curl) {
		free(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

struct http_client *http_client_free(struct http_client *c)
{
	if (c)
		curl_easy_cleanup(c->curl);
	free(c);
	return NULL;
}

static bool has_part(CURLU *u, CURLUPart part)
{
	char *text = NULL;
	bool has = curl_url_get(u, part, &text, 0) == CURLUE_OK;

	curl_free(text);
	return has;
}

int http_client_check_url(const char *url, const char **ret_why)
{
	static const char scheme[] = "http://";
	const char *why = NULL;
	CURLU *u;

	if (strncasecmp(url, "https://", 8) == 0)
		why = "TLS is not supported yet";
	else if (strncasecmp(url, scheme, STRLEN(scheme)) != 0)
		why = "an address begins with http://";
	if (why) {
		*ret_why = why;
		return -EINVAL;
	}
	u = curl_url();
	if (!u)
		return -ENOMEM;
	if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK)
		why = "not an address";
	else if (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD))
		why = "names and passwords are not sent";
	else if (has_part(u, CURLUPART_QUERY) || has_part(u, CURLUPART_FRAGMENT))
		why = "an address without ? and # is wanted";
	curl_url_cleanup(u);
	if (why)
		*ret_why = why;
	return why ? -EINVAL : 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	const char *type = NULL;
	long status = 0;

	n *= size;
	curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
	if (curl_easy_getinfo(x->curl, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK && type)
		snprintf(x->answer->type, sizeof x->answer->type, "%s", type);
	if (x->request->write && status == 200) {
		x->error = x->request->write(x->request->arg, data, n);
		return x->error < 0 ? 0 : n;
	}
	if (x->answer->text.len + n > x->request->text_max) {
		x->error = BULLA_ELIMIT;
		return 0;
	}
	buf_append(&x->answer->text, data, n);
	return n;
}

static int code_of(CURLcode code)
{
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_COULDNT_CONNECT:
		return -ECONNREFUSED;
	case CURLE_COULDNT_RESOLVE_HOST:
		return BULLA_EHOST;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return BULLA_EPARSE;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_ABORTED_BY_CALLBACK:
		return -ECANCELED;
	case CURLE_PARTIAL_FILE:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
		return -EPIPE;
	default:
		return -EIO;
	}
}

/* Called about once a second, and whenever something moves. */
static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct http_client *client = arg;

	(void) a;
	(void) b;
	(void) c;
	(void) d;
	return atomic_load(&client->stopped);
}

void http_client_stop(struct http_client *c)
{
	atomic_store(&c->stopped, true);
}

static void set_up(CURL *c, const struct http_request *q, struct exchange *x)
{
	/* Everything but the connection is forgotten between requests. */
	curl_easy_reset(c);
	curl_easy_setopt(c, CURLOPT_URL, q->url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 10L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, q->timeout_s);
	curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 2L << 20);
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
	if (q->body) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) q->body_size);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body);
	}
}

const char *http_answer_sentence(const struct http_answer *a, char ret[TEXT_SENTENCE_SIZE])
{
	return text_sentence(a->text.data, a->text.len, ret);
}

static struct curl_slist *headers_of(const struct http_request *q)
{
	/* No round trip to ask whether the body is welcome. */
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	char line[128];

	if (q->content_type) {
		snprintf(line, sizeof line, "Content-Type: %s", q->content_type);
		headers = curl_slist_append(headers, line);
	}
	if (q->accept) {
		snprintf(line, sizeof line, "Accept: %s", q->accept);
		headers = curl_slist_append(headers, line);
	}
	return headers;
}

int http_client_do(struct http_client *c, const struct http_request *q, struct http_answer *ret)
{
	struct exchange x = { .curl = c->curl, .request = q, .answer = ret };
	struct curl_slist *headers;
	curl_off_t retry = 0;
	CURLcode code;

	*ret = (struct http_answer){ 0 };
	set_up(c->curl, q, &x);
	curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, c);
	curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
	headers = headers_of(q);
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
	code = curl_easy_perform(c->curl);
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &ret->status);
	curl_easy_getinfo(c->curl, CURLINFO_RETRY_AFTER, &retry);
	ret->retry_after_s = (long) retry;
	curl_slist_free_all(headers);
	if (x.error < 0)
		return x.error;
	if (ret->text.bad)
		return -ENOMEM;
	return code_of(code);
}

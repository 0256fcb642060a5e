/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The aggregator over its wire: requests that are none are told so, and bytes arrive as they were sent.  (crowd.c has many
 * at once.)
 */

#include "aggregator/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/http_client.h"
#include "base/log.h"
#include "base/text.h"
#include "bulla/error.h"
#include "forwarder/pack.h"
#include "tests/builder.h"
#include "tests/harness.h"

Suite(http);

struct fixture {
	struct archive *archive;
	struct http_server *server;
	char base[64];
};

static void begin(struct fixture *f)
{
	uint16_t port;

	log_setup("test", LOG_LEVEL_ERR);
	cr_assert(eq(int, archive_open(&f->archive, tempdir(), "central"), 0));
	cr_assert(eq(int, http_server_start(&f->server, f->archive, "127.0.0.1:0", &port), 0));
	snprintf(f->base, sizeof f->base, "http://127.0.0.1:%u", port);
}

static void end(struct fixture *f)
{
	cr_expect(not(http_server_broken(f->server)));
	http_server_stop(f->server);
	archive_close(f->archive);
}

/* @return the status, and the text of the answer with a zero behind it. */
static long ask(struct http_client *c, const struct fixture *f, const char *method,
		const char *path, const struct buf *body, struct buf *text)
{
	_cleanup_buf_ struct buf url = { 0 };
	struct http_request q = { .method = method, .timeout_s = 30, .text_max = 1 << 20 };
	struct http_answer a;
	int r;

	buf_printf(&url, "%s%s", f->base, path);
	buf_char(&url, '\0');
	q.url = (const char *) url.data;
	if (body) {
		q.body = body->data;
		q.body_size = body->len;
	}
	r = http_client_do(c, &q, &a);
	buf_clear(text);
	buf_append(text, a.text.data, a.text.len);
	buf_char(text, '\0');
	buf_done(&a.text);
	return r < 0 ? r : a.status;
}

static long get(const struct fixture *f, const char *path, struct buf *text)
{
	struct http_client *c;
	long status;

	cr_assert(eq(int, http_client_new(&c), 0));
	status = ask(c, f, "GET", path, NULL, text);
	http_client_free(c);
	return status;
}

/* A host and its commits as bodies. */

struct host {
	struct builder b;
	struct packer *packer;
	struct id origin;
	uint64_t commits, entries;
};

static void found(struct host *h, unsigned rounds)
{
	size_t web;

	*h = (struct host){ 0 };
	builder_init(&h->b, tempdir(), (struct kes_params){ 3, 3 });
	web = builder_open(&h->b, "web");
	for (unsigned i = 0; i < rounds; i++) {
		builder_log(&h->b, web, "a");
		builder_log(&h->b, web, "ab");
		builder_commit(&h->b);
		h->entries += 2;
	}
	cr_assert(eq(int, packer_new(&h->packer, &h->b.state), 0));
	cr_assert(eq(int, packer_size(h->packer, &h->commits), 0));
	cr_assert(eq(int, packer_origin(h->packer, &h->origin), 0));
}

static void host_done(struct host *h)
{
	packer_free(h->packer);
	builder_done(&h->b);
}

static int origin_path(const struct host *h, char ret[128])
{
	char hex[2 * ID_SIZE + 1];

	text_hex(hex, h->origin.b, ID_SIZE);
	return snprintf(ret, 128, "/v1/origins/%s", hex);
}

static long put(struct http_client *c, const struct fixture *f, struct host *h, uint64_t from,
		uint64_t to, struct buf *text)
{
	_cleanup_buf_ struct buf body = { 0 };
	char path[128];
	int n = origin_path(h, path), r = packer_seek(h->packer, from);

	for (uint64_t i = from; i <= to && r >= 0; i++)
		r = packer_next(h->packer, &(struct pack_options){ 0 }, &body);
	if (r < 0)
		return r;
	snprintf(path + n, sizeof path - (size_t) n, "/commits/%u-%u", (unsigned) from,
		 (unsigned) to);
	return ask(c, f, "PUT", path, &body, text);
}

static void put_all(const struct fixture *f, struct host *h)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct http_client *c;
	struct wire_head head;

	cr_assert(eq(int, http_client_new(&c), 0));
	cr_assert(eq(long, put(c, f, h, 0, h->commits - 1, &text), 201));
	cr_assert(eq(int, wire_head_parse((const char *) text.data, text.len - 1, &head), 0));
	cr_expect(eq(u64, head.received, h->commits));
	http_client_free(c);
}

static size_t lines_of(const struct buf *text)
{
	size_t n = 0;

	for (size_t i = 0; i < text->len; i++)
		n += text->data[i] == '\n';
	return n;
}

Test(http, what_is_no_request_is_told_so)
{
	static const struct {
		const char *path;
		long want;
	} rows[] = {
		{ "/", 404 },
		{ "/v1/", 404 },
		{ "/v1/origins/", 400 },
		{ "/v1/origins/00", 400 },
		{ "/v1/origins/0123456789abcdef0123456789abcdeg", 400 },
		{ "/v1/origins/0123456789abcdef0123456789abcdef/other", 404 },
		{ "/v1/origins/0123456789abcdef0123456789abcdef", 200 },
		{ "/v1/origins/0123456789abcdef0123456789abcdef/interest?wait=x", 400 },
		{ "/v1/origins/0123456789abcdef0123456789abcdef/interest?wait=0", 200 },
		{ "/v1/query?no-such-key=1", 400 },
		{ "/v1/query?limit=ten", 400 },
		{ "/v1/query?limit", 400 },
		{ "/v1/query?match=", 400 },
		{ "/v1/query", 200 },
		{ "/v1/status", 200 },
		{ "/v1/key", 200 },
	};
	_cleanup_buf_ struct buf text = { 0 };
	struct fixture f;

	begin(&f);
	for (size_t i = 0; i < ELEMENTS(rows); i++)
		cr_expect(eq(long, get(&f, rows[i].path, &text), rows[i].want), "%s", rows[i].path);
	end(&f);
}

/* A value that was cut at its zero byte would be another question, and its answer a wrong one. */
Test(http, what_an_answer_says_does_not_act_on_a_terminal)
{
	static const char hostile[] = "\033]0;x\007it is \xc2\x9b"
				      "full\r\0\x7f\nand more\n";
	struct http_answer a = { .text = { .data = (uint8_t *) (uintptr_t) hostile,
					   .len = sizeof hostile - 1 } };
	uint8_t much[2 * TEXT_SENTENCE_SIZE];
	char said[TEXT_SENTENCE_SIZE];

	cr_expect(eq(int, strcmp(http_answer_sentence(&a, said), "?]0;x?it is ??full???"), 0));
	memset(much, 'x', sizeof much);
	a.text.data = much;
	for (size_t n = TEXT_SENTENCE_SIZE - 2; n <= TEXT_SENTENCE_SIZE; n++) {
		a.text.len = n;
		cr_expect(eq(sz, strlen(http_answer_sentence(&a, said)),
			     MIN_OF(n, (size_t) TEXT_SENTENCE_SIZE - 1)));
	}
	a.text = (struct buf){ 0 };
	cr_expect(eq(int, *http_answer_sentence(&a, said), 0));
}

Test(http, a_zero_byte_in_a_question_is_a_byte)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct fixture f;
	struct host h;

	begin(&f);
	found(&h, 3);
	put_all(&f, &h);
	cr_expect(eq(long, get(&f, "/v1/query?output=json&match=MESSAGE%3Da", &text), 200));
	cr_expect(eq(sz, lines_of(&text), 3));
	cr_expect(eq(long, get(&f, "/v1/query?output=json&match=MESSAGE%3Da%00", &text), 200));
	cr_expect(eq(sz, lines_of(&text), 0));
	cr_expect(eq(long, get(&f, "/v1/query?output=json&match=MESSAGE%3Da%00b", &text), 200));
	cr_expect(eq(sz, lines_of(&text), 0));
	cr_expect(eq(long, get(&f, "/v1/query?output=json&limit=1", &text), 200));
	cr_expect(eq(sz, lines_of(&text), 1));
	cr_expect(eq(long, get(&f, "/v1/query?output=json&limit=1%00", &text), 400));
	cr_expect(eq(long, get(&f, "/v1/query?output=json&limit%00=1", &text), 400));
	cr_expect(eq(long, get(&f, "/v1/query?output=json&grep=a%00b", &text), 400));
	host_done(&h);
	end(&f);
}

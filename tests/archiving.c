/* SPDX-License-Identifier: Apache-2.0 */

/** Behind archiving.h. */

#include "tests/archiving.h"

#include "base/cleanup.h"
#include "tests/harness.h"

void open_archive(struct fixture *f)
{
	cr_assert(eq(int, archive_open(&f->archive, f->store, "central"), 0));
}

void reopen(struct fixture *f)
{
	f->archive = archive_close(f->archive);
	open_archive(f);
}

void begin_packing(struct fixture *f)
{
	packer_free(f->packer);
	cr_assert(eq(int, packer_new(&f->packer, &f->b.state), 0));
	cr_assert(eq(int, packer_size(f->packer, &f->commits), 0));
	cr_assert(eq(int, packer_origin(f->packer, &f->origin), 0));
}

void pack(const struct fixture *f, uint64_t from, uint64_t to, struct pack_options o,
	  struct buf *body)
{
	cr_assert(eq(int, packer_seek(f->packer, from), 0));
	for (uint64_t i = from; i <= to; i++)
		cr_assert(eq(int, packer_next(f->packer, &o, body), 1), "commit %d", (int) i);
}

int put_body(struct fixture *f, uint64_t from, uint64_t to, const struct buf *body)
{
	struct put_result result;
	int r = archive_put(f->archive, &f->origin, from, to, body->data, body->len, &result);

	return r < 0 ? r : (int) result.status;
}

int put(struct fixture *f, uint64_t from, uint64_t to)
{
	_cleanup_buf_ struct buf body = { 0 };

	pack(f, from, to, (struct pack_options){ 0 }, &body);
	return put_body(f, from, to, &body);
}

static int append(void *arg, const void *data, size_t n)
{
	buf_append(arg, data, n);
	return 0;
}

static int drop(void *arg, const void *data, size_t n)
{
	(void) arg;
	(void) data;
	(void) n;
	return 0;
}

void ask_damage(struct archive *a, struct buf *to)
{
	struct request request;
	struct answer answer;

	cr_assert(eq(int, request_init(&request), 0));
	answer_init(&answer, &request, drop, NULL);
	cr_expect(eq(int, archive_query(a, &answer, NULL, to), 0));
	answer_done(&answer);
	request_done(&request);
	buf_char(to, '\0');
	cr_assert(not(to->bad));
}

void ask(struct archive *a, const char *const *keys, struct buf *to)
{
	struct request request;
	struct answer answer;
	char why[256];

	cr_assert(eq(int, request_init(&request), 0));
	for (; keys[0]; keys += 2)
		cr_assert(eq(int, request_set(&request, keys[0], keys[1], why), 0), "%s", keys[0]);
	answer_init(&answer, &request, append, to);
	cr_expect(eq(int, archive_query(a, &answer, NULL, NULL), 0));
	answer_done(&answer);
	request_done(&request);
	cr_assert(not(to->bad));
}

uint64_t entries_found(struct fixture *f)
{
	static const char *const json[] = { "output", "json", NULL };
	_cleanup_buf_ struct buf text = { 0 };
	uint64_t lines = 0;

	ask(f->archive, json, &text);
	for (size_t i = 0; i < text.len; i++)
		lines += text.data[i] == '\n';
	return lines;
}

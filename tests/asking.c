/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/asking.h"

#include "tests/harness.h"

#include "query/checked.h"
#include "query/request.h"

static int append(void *arg, const void *data, size_t n)
{
	struct buf *to = arg;

	buf_append(to, data, n);
	return to->bad ? -1 : 0;
}

static void make_request(struct request *ret, const char *const *words)
{
	char why[256];

	cr_assert(eq(int, request_init(ret), 0));
	for (; *words; words += 2)
		cr_assert(eq(int, request_set(ret, words[0], words[1], why), 0), "%s %s", words[0],
			  words[1]);
}

unsigned ask_plain(const char *path, const char *const *words, struct buf *to)
{
	struct local_catalog catalog;
	struct request request;
	struct state state;
	struct answer a;
	unsigned damaged;

	make_request(&request, words);
	cr_assert(eq(int, state_open(&state, path, false), 0));
	cr_assert(eq(int, local_catalog_build(&catalog, &state), 0));
	damaged = local_catalog_read_seals(&catalog) < 0;
	answer_init(&a, &request, append, to);
	cr_assert(eq(int, answer_query(&a, &catalog.catalog), 0));
	damaged += (unsigned) (a.stats.frames_damaged + catalog.n_damaged) + catalog.n_unusable;
	answer_done(&a);
	local_catalog_done(&catalog);
	state_close(&state);
	request_done(&request);
	return damaged;
}

int ask_checked(const char *path, const char *const *words, struct verify_options options,
		size_t size_max, struct buf *to, struct verify_report *ret)
{
	struct checking checking = { .options = &options, .size_max = size_max };
	struct request request;
	struct state state;
	struct answer a;
	int r;

	make_request(&request, words);
	cr_assert(eq(int, state_open(&state, path, false), 0));
	checking.state = &state;
	answer_init(&a, &request, append, to);
	r = checked_query(&checking, &a, ret);
	answer_done(&a);
	state_close(&state);
	request_done(&request);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "bench/ask.h"

#include "bench/measure.h"
#include "query/catalog.h"
#include "query/request.h"

static int swallow(void *arg, const void *data, size_t n)
{
	uint64_t *bytes = arg;

	(void) data;
	*bytes += n;
	return 0;
}

struct asked ask(const struct state *state, const char *const *words, size_t n, unsigned threads)
{
	struct local_catalog catalog;
	struct request request;
	struct answer answer;
	struct asked ret;
	uint64_t start = bench_cpu_ns(), wall = bench_wall_ns(), built, bytes = 0;
	char why[256];

	must(request_init(&request), "request");
	request.query.threads = threads;
	for (size_t i = 0; i + 1 < n && words[i]; i += 2)
		must(request_set(&request, words[i], words[i + 1], why), words[i]);
	must(local_catalog_build(&catalog, state), "catalog");
	built = bench_cpu_ns();
	answer_init(&answer, &request, swallow, &bytes);
	must(answer_query(&answer, &catalog.catalog), "query");
	must(answer.stats.frames_damaged > 0 ? -1 : 0, "damage");
	ret.query_ms = (double) (bench_cpu_ns() - built) / 1e6;
	ret.ms = (double) (bench_cpu_ns() - start) / 1e6;
	ret.rows = answer.stats.rows_matched;
	ret.wall_ms = (double) (bench_wall_ns() - wall) / 1e6;
	answer_done(&answer);
	local_catalog_done(&catalog);
	request_done(&request);
	return ret;
}

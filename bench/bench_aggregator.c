/* SPDX-License-Identifier: Apache-2.0 */

/**
 * aggregator: what an aggregator holds of a host at log pace, before and after it has packed it: bytes, the cost of packing and
 * of starting, and what queries cost.
 *
 * All in one process and on one thread: commits are received as a PUT brings them, and questions asked as a GET asks.
 */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aggregator/archive.h"
#include "aggregator/compactor.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "bench/pace.h"
#include "forwarder/pack.h"

static const struct question {
	const char *what;
	const char *words[7];
} questions[] = {
	{ "newest 100", { "newest", "1", "limit", "100" } },
	{ "newest 100 of a container",
	  { "match", "_CONTAINER_NAME=service-7", "newest", "1", "limit", "100" } },
	{ "a word that is nowhere", { "grep", "qzabsentword" } },
	{ "a regular expression", { "grep", "took [0-9]{4} ms.*timeout" } },
	{ "how many of each container", { "count-by", "container" } },
	{ "how many in each ten seconds", { "histogram", "10000000000" } },
	{ "everything as JSON", { "output", "json" } },
};

enum { BODY = 4 << 20, COMMITS_AT_ONCE = 256 };

struct aggregator {
	const struct bench *b;
	char path[300];
	struct archive *archive;
};

static void start(struct aggregator *a)
{
	must(archive_open(&a->archive, a->path, "bench"), "open the store");
}

/* What a start costs. */
static double start_again(struct aggregator *a)
{
	struct samples s = { 0 };
	double ms;

	for (unsigned i = 0; i <= a->b->runs; i++) {
		uint64_t before;

		archive_close(a->archive);
		before = bench_cpu_ns();
		start(a);
		if (i > 0)
			samples_add(&s, (double) (bench_cpu_ns() - before) / 1e6);
	}
	ms = samples_median(&s);
	samples_done(&s);
	return ms;
}

/* Receive all commits of the host.  @return CPU seconds. */
static double receive(struct aggregator *a, const struct state *host)
{
	_cleanup_buf_ struct buf body = { 0 };
	struct packer *packer;
	struct id origin;
	uint64_t commits, from = 0, spent = 0;

	must(packer_new(&packer, host), "read the host");
	must(packer_size(packer, &commits), "read the host");
	must(packer_origin(packer, &origin), "read the host");
	must(packer_seek(packer, 0), "read the host");
	while (from < commits) {
		struct put_result result;
		uint64_t to = from, before;

		buf_clear(&body);
		while (to < commits && body.len < BODY && to - from < COMMITS_AT_ONCE) {
			must(packer_next(packer, &(struct pack_options){ 0 }, &body),
			     "read the host");
			to++;
		}
		before = bench_cpu_ns();
		must(archive_put(a->archive, &origin, from, to - 1, body.data, body.len, &result),
		     "receive");
		spent += bench_cpu_ns() - before;
		must(result.status == PUT_ACCEPTED ? 0 : -1, result.why);
		from = to;
	}
	packer_free(packer);
	return (double) spent / 1e9;
}

/* Bytes of all files below a directory. */
static double size_of(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = NULL;
	const struct dirent *e;
	double sum = 0;

	if (fd < 0)
		return 0;
	dir = fdopendir(fd);
	must(dir ? 0 : -1, name);
	while ((e = readdir(dir)) != NULL) {
		struct stat st;

		if (*e->d_name == '.')
			continue;
		must(fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW), e->d_name);
		sum += S_ISDIR(st.st_mode) ? size_of(fd, e->d_name) : (double) st.st_size;
	}
	return sum;
}

static int swallow(void *arg, const void *data, size_t n)
{
	uint64_t *bytes = arg;

	(void) data;
	*bytes += n;
	return 0;
}

/* @return CPU milliseconds. */
static double ask(const struct aggregator *a, const struct question *q, uint64_t *ret_bytes)
{
	struct samples s = { 0 };
	double ms;

	for (unsigned i = 0; i <= a->b->runs; i++) {
		struct request request;
		struct answer answer;
		uint64_t before = bench_cpu_ns();
		char why[256];

		*ret_bytes = 0;
		must(request_init(&request), "request");
		for (size_t k = 0; k < ELEMENTS(q->words) && q->words[k]; k += 2)
			must(request_set(&request, q->words[k], q->words[k + 1], why), q->words[k]);
		answer_init(&answer, &request, swallow, ret_bytes);
		must(archive_query(a->archive, &answer, NULL, NULL), "query");
		must(answer.stats.frames_damaged > 0 ? -1 : 0, "damage");
		answer_done(&answer);
		request_done(&request);
		if (i > 0)
			samples_add(&s, (double) (bench_cpu_ns() - before) / 1e6);
	}
	ms = samples_median(&s);
	samples_done(&s);
	return ms;
}

/* Pack all, and tell what it costs. */
static void pack(const struct aggregator *a, double receiving)
{
	struct compactor_options o = { .age_ns = 0, .level = 9 };
	struct compactor_round done;
	uint64_t before = bench_cpu_ns();
	double n = (double) a->b->n, seconds;
	char more[128];

	must(compactor_round(a->archive, &o, NULL, &done), "pack");
	must(done.entries == a->b->n && done.left_out == 0 ? 0 : -1, "not all was packed");
	seconds = (double) (bench_cpu_ns() - before) / 1e9;
	snprintf(more, sizeof more, ", \"segments\": %llu", (unsigned long long) done.segments);
	bench_print(a->b,
		    &(struct result){ "aggregator",
				      "pack lanes: hashed, written, read back and hashed, level 9",
				      n / seconds, "entries/CPU-s", n / receiving,
				      "receiving the same, verified", true, more });
}

static void tell_size(const struct aggregator *a, double before)
{
	double lanes = size_of(a->b->dirfd, "store/lanes"),
	       segments = size_of(a->b->dirfd, "store/segments"), n = (double) a->b->n;
	char more[128];

	snprintf(more, sizeof more, ", \"segments\": %.4g, \"rests\": %.4g", segments / n,
		 lanes / n);
	bench_print(a->b, &(struct result){ "aggregator", "what an entry takes, packed",
					    (lanes + segments) / n, "bytes/entry", before / n,
					    "lanes as they were received", false, more });
}

int main(int argc, char **argv)
{
	struct state host = { .root = -1, .seal = -1 };
	double times[ELEMENTS(questions)], receiving, starting, size;
	uint64_t bytes[ELEMENTS(questions)];
	struct aggregator a = { 0 };
	struct pace p;
	struct bench b;

	bench_begin(&b, argc, argv);
	log_setup("bench", LOG_LEVEL_ERR);
	pace_play(&p, &b, 10);
	host.root = b.dirfd;
	host.journals = p.journals;
	host.ledger = p.ledger;
	a.b = &b;
	snprintf(a.path, sizeof a.path, "%s/store", b.dir);
	start(&a);
	receiving = receive(&a, &host);
	size = size_of(b.dirfd, "store/lanes");
	starting = start_again(&a);
	for (size_t i = 0; i < ELEMENTS(questions); i++)
		times[i] = ask(&a, &questions[i], &bytes[i]);
	pack(&a, receiving);
	tell_size(&a, size);
	bench_print(&b,
		    &(struct result){ "aggregator", "starting, packed", start_again(&a), "CPU-ms",
				      starting, "lanes as they were received", false, NULL });
	for (size_t i = 0; i < ELEMENTS(questions); i++) {
		uint64_t now;
		double ms = ask(&a, &questions[i], &now);

		must(now == bytes[i] ? 0 : -1, "another answer than before");
		bench_print(&b, &(struct result){ "aggregator", questions[i].what, ms, "CPU-ms",
						  times[i], "lanes as they were received", false,
						  NULL });
	}
	archive_close(a.archive);
	pace_done(&p);
	return 0;
}

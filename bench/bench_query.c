/* SPDX-License-Identifier: Apache-2.0 */

/**
 * query: what a query costs on a host's log at log pace, packed, beside the same query on the tails that it was packed from.
 *
 * Each is asked as the command does it, from nothing: what there is to read is looked at, then the question answered.  CPU
 * time is that of one thread; `wall` is what passes when two may work at it.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bench/ask.h"
#include "bench/pace.h"
#include "store/segment/build.h"
#include "store/segment/replace.h"

static const struct question {
	const char *what;
	const char *words[9];
} questions[] = {
	{ "newest 100", { "newest", "1", "limit", "100" } },
	{ "newest 100 of a container",
	  { "match", "_CONTAINER_NAME=service-7", "newest", "1", "limit", "100" } },
	{ "a word that is nowhere", { "grep", "qzabsentword" } },
	{ "a word that is there once", { "grep", "xyzzyneedleonce" } },
	{ "a substring, newest 100", { "grep", "onnecti", "newest", "1", "limit", "100" } },
	{ "a regular expression", { "grep", "took [0-9]{4} ms.*timeout" } },
	{ "how many of each container", { "count-by", "container" } },
	{ "how many in each ten seconds", { "histogram", "10000000000" } },
	{ "everything as JSON", { "output", "json" } },
};

static struct asked ask_often(const struct bench *b, const struct state *state,
			      const struct question *q)
{
	struct samples all = { 0 }, query = { 0 }, wall = { 0 };
	struct asked a = { 0 };

	for (unsigned i = 0; i <= b->runs; i++) {
		a = ask(state, q->words, ELEMENTS(q->words), 2);
		if (i > 0)
			samples_add(&wall, a.wall_ms);
		a = ask(state, q->words, ELEMENTS(q->words), 1);
		if (i == 0)
			continue;
		samples_add(&all, a.ms);
		samples_add(&query, a.query_ms);
	}
	a.ms = samples_median(&all);
	a.query_ms = samples_median(&query);
	samples_done(&all);
	samples_done(&query);
	a.wall_ms = samples_median(&wall);
	samples_done(&wall);
	return a;
}

static void pack(const struct bench *b, const struct state *state)
{
	struct segment_builder_options o = { .dirfd = bench_fresh_dir(b, "segments"), .level = 3 };
	struct segment_builder *builder;
	struct replaced replaced;

	must(segment_builder_new(&builder, state, &o), "pack");
	must(segment_builder_read(builder), "pack");
	must(segment_builder_finish(builder), "pack");
	must(segment_replace_tails(state, segment_builder_history(builder), &replaced),
	     "take tails away");
	must(replaced.tails > 0 ? 0 : -1, "no tail was taken away");
	segment_builder_free(builder);
	close(o.dirfd);
}

int main(int argc, char **argv)
{
	struct asked tails[ELEMENTS(questions)];
	struct state state = { .root = -1, .seal = -1 };
	struct pace p;
	struct bench b;

	bench_begin(&b, argc, argv);
	pace_play(&p, &b, 10);
	state.root = open(b.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(state.root, b.dir);
	state.journals = p.journals;
	state.ledger = p.ledger;
	for (size_t i = 0; i < ELEMENTS(questions); i++)
		tails[i] = ask_often(&b, &state, &questions[i]);
	pack(&b, &state);
	for (size_t i = 0; i < ELEMENTS(questions); i++) {
		struct asked a = ask_often(&b, &state, &questions[i]);
		char more[128];

		must(a.rows == tails[i].rows ? 0 : -1, "other entries found than in tails");
		snprintf(more, sizeof more, ", \"matches\": %llu, \"query\": %.3g, \"wall\": %.3g",
			 (unsigned long long) a.rows, a.query_ms, a.wall_ms);
		bench_print(&b,
			    &(struct result){ "query", questions[i].what, a.ms, "CPU-ms",
					      tails[i].ms, "the same from tails", false, more });
	}
	close(state.root);
	pace_done(&p);
	return 0;
}

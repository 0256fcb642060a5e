/* SPDX-License-Identifier: Apache-2.0 */

/**
 * commit-latency and the sealer's part of hash-share: origin_commit() on disk, beside one pwrite() and fdatasync() of as
 * many bytes into a file that has its space already.  The two take turns, so that what else the disk does hits both.
 *
 * A commit is three such writes, one after the other: the ledger, then each of the two copies of the key, so that a seed
 * that has signed is nowhere any more.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "bench/measure.h"
#include "seal/origin.h"

enum { COMMITS = 1500, COMMITS_TINY = 20, JOURNALS = 256, PLAIN_SIZE = 512 };

struct sealing {
	struct origin *origin;
	int plain;
	uint64_t now_ns, plain_at;
};

static void open_journals(struct sealing *s, const struct bench *b)
{
	static uint8_t body[JOURNALS][EVENT_SIZE_MAX];
	struct event events[JOURNALS];

	for (uint32_t i = 0; i < JOURNALS; i++) {
		struct event_open open = { .journal = bench_journal_id(i) };
		struct wr w = wr_of(body[i], sizeof body[i]);

		event_open_encode(&open, &w);
		events[i] = (struct event){ EVENT_OPEN, (uint16_t) w.len, body[i] };
	}
	must(origin_commit(s->origin, s->now_ns, NULL, 0, events, JOURNALS), "open journals");
	(void) b;
}

static void sealing_begin(struct sealing *s, const struct bench *b)
{
	struct origin_config config = { .host = "bench",
					.boot = { { 1 } },
					.params = { .levels = 4, .height = 8 } };
	int key = bench_fresh_dir(b, "key"), ledger = bench_fresh_dir(b, "ledger");
	int plain = bench_fresh_dir(b, "plain");
	bool unclean;

	*s = (struct sealing){ .now_ns = 1763884800000000000ull };
	must(origin_open(&s->origin, key, ledger, &config), "found an origin");
	must(origin_begin(s->origin, s->now_ns, &unclean), "begin");
	open_journals(s, b);
	s->plain = openat(plain, "plain", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	must(s->plain, "plain file");
	/* Written once, as a ledger's space is not: the least that any durable append can cost. */
	must(io_preallocate(s->plain, 4 << 20), "allocate");
	must(io_sync(s->plain), "fdatasync");
	close(plain);
}

static void commit_once(struct sealing *s, size_t n_items)
{
	struct batch_item item[JOURNALS];

	for (uint32_t i = 0; i < n_items; i++)
		item[i] = (struct batch_item){ .handle = i,
					       .entries = 7,
					       .bytes = 1400,
					       .time_min = s->now_ns - 900000000,
					       .time_max = s->now_ns - 1000000,
					       .mono_offset = -1234567890123,
					       .root = { { (uint8_t) i, 1 } } };
	s->now_ns += 1000000000;
	must(origin_commit(s->origin, s->now_ns, item, n_items, NULL, 0), "commit");
}

static void plain_once(struct sealing *s)
{
	static const uint8_t bytes[PLAIN_SIZE] = { 1 };

	must(io_pwrite(s->plain, bytes, sizeof bytes, s->plain_at), "pwrite");
	must(io_sync(s->plain), "fdatasync");
	s->plain_at = (s->plain_at + sizeof bytes) % (4 << 20);
}

struct costs {
	struct samples wall, cpu;
};

static void measure(struct costs *c, struct sealing *s, size_t n_items)
{
	uint64_t cpu = bench_cpu_ns(), wall = bench_wall_ns();

	if (n_items > 0)
		commit_once(s, n_items);
	else
		plain_once(s);
	samples_add(&c->wall, (double) (bench_wall_ns() - wall) / 1e3);
	samples_add(&c->cpu, (double) (bench_cpu_ns() - cpu) / 1e3);
}

static double mean(const struct samples *s)
{
	double sum = 0;

	for (size_t i = 0; i < s->n; i++)
		sum += s->at[i];
	return sum / (double) s->n;
}

static void report(struct bench *b, size_t n_items, size_t n)
{
	struct costs ours = { 0 }, plain = { 0 };
	struct sealing s;
	char what[64], more[192];

	sealing_begin(&s, b);
	for (size_t i = 0; i < 10 + n; i++) {
		if (i == 10) { /* warm */
			ours.wall.n = ours.cpu.n = plain.wall.n = plain.cpu.n = 0;
		}
		measure(&ours, &s, n_items);
		measure(&plain, &s, 0);
	}
	b->n = n;
	b->runs = 1;
	snprintf(what, sizeof what, "commit of %zu batch%s", n_items, n_items == 1 ? "" : "es");
	snprintf(more, sizeof more,
		 ", \"p50\": %.6g, \"p99\": %.6g, \"max\": %.6g, \"baseline_p99\": %.6g",
		 samples_quantile(&ours.wall, 0.5), samples_quantile(&ours.wall, 0.99),
		 samples_quantile(&ours.wall, 1), samples_quantile(&plain.wall, 0.99));
	bench_print(b, &(struct result){ "commit-latency", what, samples_median(&ours.wall), "us",
					 samples_median(&plain.wall), "pwrite+fdatasync", false,
					 more });
	/* The mean: once in 256 commits the key grows a new tree, and that is part of the price. */
	snprintf(more, sizeof more, ", \"p50\": %.6g", samples_median(&ours.cpu));
	bench_print(b, &(struct result){ "hash-share", what, mean(&ours.cpu), "CPU-us/commit",
					 mean(&plain.cpu), "pwrite+fdatasync", false, more });
	samples_done(&ours.wall);
	samples_done(&ours.cpu);
	samples_done(&plain.wall);
	samples_done(&plain.cpu);
	origin_close(s.origin);
	close(s.plain);
}

int main(int argc, char **argv)
{
	struct bench b;
	size_t n;

	bench_begin(&b, argc, argv);
	n = b.tiny ? COMMITS_TINY : COMMITS;
	report(&b, 1, n);
	report(&b, JOURNALS, n / 4);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "bench/ingest.h"

#include <unistd.h>

enum { STAGE = 1 << 20, BATCH = 1 << 20, BATCH_ENTRIES = 1 << 16 };

static void cut_if(struct tail_writer *t, struct ingest_cost *cost, bool last)
{
	must(tail_writer_flush(t), "append");
	if (tail_writer_open_entries(t) == 0)
		return;
	if (!last && tail_writer_open_bytes(t) < BATCH &&
	    tail_writer_open_entries(t) < BATCH_ENTRIES)
		return;
	must(tail_writer_cut(t, 0), "cut a batch");
	tail_writer_sealed(t);
	cost->batches++;
}

struct ingest_cost ingest_all(const struct bench *b)
{
	struct ingest_cost cost = { 0 };
	int dirfd = bench_fresh_dir(b, "ingest");
	struct tail_writer t;
	uint64_t cpu, wall;
	uint32_t context;

	bench_open_journal(b, &t, dirfd, 0, &context);
	cpu = bench_cpu_ns();
	wall = bench_wall_ns();
	for (size_t i = 0; i < b->n; i++) {
		struct entry e = { .time_ns = wall,
				   .received_ns = wall,
				   .message = b->lines[i].p,
				   .message_len = b->lines[i].n,
				   .priority = 6 };

		must(tail_writer_add(&t, &e, context), "add an entry");
		if (tail_writer_staged(&t) >= STAGE)
			cut_if(&t, &cost, false);
	}
	cut_if(&t, &cost, true);
	cost.cpu_ns = bench_cpu_ns() - cpu;
	cost.wall_ns = bench_wall_ns() - wall;
	cost.bytes = t.end;
	tail_writer_close(&t);
	close(dirfd);
	return cost;
}

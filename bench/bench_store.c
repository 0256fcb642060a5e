/* SPDX-License-Identifier: Apache-2.0 */

/** store-ingest: entries into a durable tail, in one process, beside write() and fdatasync() of the same bytes. */

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "bench/ingest.h"

enum { CHUNK = 1 << 20 };

/* Raw bytes, made durable as often as a busy journal is. */
static uint64_t write_all(const struct bench *b)
{
	int dirfd = bench_fresh_dir(b, "plain");
	int fd = openat(dirfd, "lines", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	uint64_t cpu = bench_cpu_ns();

	must(fd, "plain file");
	for (size_t at = 0; at < b->size; at += CHUNK) {
		must(io_write(fd, b->bytes + at, MIN_OF(b->size - at, (size_t) CHUNK)), "write");
		must(io_sync(fd), "fdatasync");
	}
	cpu = bench_cpu_ns() - cpu;
	close(fd);
	close(dirfd);
	return cpu;
}

int main(int argc, char **argv)
{
	struct samples ours = { 0 }, wall = { 0 }, plain = { 0 };
	struct bench b;
	char more[96];

	bench_begin(&b, argc, argv);
	for (unsigned i = 0; i <= b.runs; i++) {
		struct ingest_cost cost = ingest_all(&b);
		uint64_t cpu = write_all(&b);

		if (i == 0)
			continue;
		samples_add(&ours, (double) b.n / ((double) cost.cpu_ns / 1e9));
		samples_add(&wall, (double) b.n / ((double) cost.wall_ns / 1e9));
		samples_add(&plain, (double) b.n / ((double) cpu / 1e9));
	}
	snprintf(more, sizeof more, ", \"wall\": %.6g", samples_median(&wall));
	bench_print(&b, &(struct result){ "store-ingest", "add, flush and cut in one process",
					  samples_median(&ours), "entries/CPU-s",
					  samples_median(&plain), "write+fdatasync per MiB", true,
					  more });
	samples_done(&ours);
	samples_done(&wall);
	samples_done(&plain);
	return 0;
}

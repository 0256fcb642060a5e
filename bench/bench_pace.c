/* SPDX-License-Identifier: Apache-2.0 */

/**
 * bytes-per-entry at log pace: tails and ledger.  Bytes are counted to the end of what is used; what is allocated ahead is
 * told apart.
 *
 * Run it with --dir on a memory file system: the sizes are the same, and 150,000 fdatasyncs take no time.
 */

#include <inttypes.h>
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zstd.h>

#include "base/io.h"
#include "bench/pace.h"

/* Bytes of a file up to its last one that is not zero, and those that it occupies. */
struct sizes {
	double used, disk;
};

static void add_ledger(int dirfd, struct sizes *sizes)
{
	struct buf b = { 0 };
	struct stat st;

	must(fstatat(dirfd, "00000000000000000000.ledger", &st, 0) < 0 ? -1 : 0, "ledger");
	must(io_read_file(dirfd, "00000000000000000000.ledger", SIZE_MAX, &b), "ledger");
	while (b.len > 0 && b.data[b.len - 1] == 0)
		b.len--;
	sizes->used += (double) b.len;
	sizes->disk += (double) st.st_blocks * 512;
	buf_done(&b);
}

static void add_tails(const struct pace *p, struct sizes *sizes)
{
	struct stat st;

	for (uint32_t i = 0; i < p->b->sources; i++) {
		must(fstat(p->source[i].tail.fd, &st), "tail");
		sizes->used += (double) p->source[i].tail.end;
		sizes->disk += (double) st.st_blocks * 512;
	}
}

/* Raw lines by general compressors: nothing of identity, time or seals in them. */
static double zstd3_bytes(const struct bench *b)
{
	size_t room = ZSTD_compressBound(b->size);
	void *to = malloc(room);
	size_t n;

	must(to ? 0 : -1, "memory");
	n = ZSTD_compress(to, room, b->bytes, b->size, 3);
	free(to);
	must(ZSTD_isError(n) ? -1 : 0, "zstd");
	return (double) n;
}

static double lz4_bytes(const struct bench *b)
{
	int room = LZ4_compressBound((int) b->size);
	char *to = malloc((size_t) room);
	int n;

	must(to ? 0 : -1, "memory");
	n = LZ4_compress_default((const char *) b->bytes, to, (int) b->size, room);
	free(to);
	must(n > 0 ? 0 : -1, "lz4");
	return (double) n;
}

static void run(const struct bench *b, const char *what, uint64_t linger_ms, double zstd,
		double lz4)
{
	struct pace p;
	struct sizes tails = { 0 }, seals = { 0 };
	double n = (double) b->n;
	char more[320];

	pace_play(&p, b, linger_ms);
	add_tails(&p, &tails);
	add_ledger(p.ledger, &seals);
	snprintf(more, sizeof more,
		 ", \"tail\": %.4g, \"ledger\": %.4g, \"on_disk\": %.4g, \"entries_per_frame\": "
		 "%.3g, "
		 "\"entries_per_batch\": %.3g, \"batches_per_commit\": %.4g, \"sources\": %" PRIu32,
		 tails.used / n, seals.used / n, (tails.disk + seals.disk) / n,
		 n / (double) p.frames, n / (double) p.batches,
		 (double) p.batches / (double) p.commits, b->sources);
	bench_print(b, &(struct result){ "bytes-per-entry", what, (tails.used + seals.used) / n,
					 "bytes/entry", zstd / n, "zstd -3 of the raw lines", false,
					 more });
	bench_print(b, &(struct result){ "bytes-per-entry", what, (tails.used + seals.used) / n,
					 "bytes/entry", lz4 / n, "lz4 of the raw lines", false,
					 more });
	pace_done(&p);
}

int main(int argc, char **argv)
{
	struct bench b;
	double zstd, lz4;

	bench_begin(&b, argc, argv);
	b.runs = 1;
	zstd = zstd3_bytes(&b);
	lz4 = lz4_bytes(&b);
	run(&b, "log pace, frames 10 ms apart", 10, zstd, lz4);
	run(&b, "log pace, one frame a tick", 1000, zstd, lz4);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * bytes-per-entry at log pace: every line at its own time, from its own source, sealed by ticks of one second.
 *
 * Nothing waits for a clock: the collectors' rules are followed in the lines' own time.  A collector that is not busy lets
 * LINGER_MS pass between two frames; at each whole second all dirty journals are cut and one commit is sealed.  Bytes are
 * counted to the end of what is used; what is allocated ahead is told apart.
 *
 * Run it with --dir on a memory file system: the sizes are the same, and 150,000 fdatasyncs take no time.
 */

#include <inttypes.h>
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/io.h"
#include "bench/measure.h"
#include "seal/origin.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

enum { EVENTS_AT_ONCE = 1024 };

struct source {
	struct tail_writer tail;
	uint32_t context;
	uint64_t not_before; /* the next frame */
	uint32_t *waiting;   /* lines in the pipe */
	uint32_t n_waiting, cap_waiting;
};

struct pace {
	const struct bench *b;
	struct source *source;
	struct batch_item *item;
	struct origin *origin;
	uint64_t linger_ns, tick;
	uint64_t frames, batches, commits;
};

static void commit_events(struct pace *p, uint8_t kind, uint64_t now)
{
	struct event events[EVENTS_AT_ONCE];
	uint8_t(*body)[160] = calloc(EVENTS_AT_ONCE, sizeof *body);
	uint32_t n = 0;

	must(body ? 0 : -1, "memory");
	for (uint32_t i = 0; i < p->b->sources; i++) {
		struct wr w = wr_of(body[n], sizeof body[n]);
		struct id id = bench_journal_id(i);

		if (kind == EVENT_OPEN)
			event_open_encode(&(struct event_open){ .journal = id }, &w);
		else
			event_close_encode(&(struct event_close){ id, p->source[i].tail.batch_no,
								  p->source[i].tail.next_seq },
					   &w);
		events[n] = (struct event){ kind, (uint16_t) w.len, body[n] };
		n++;
		if (n < EVENTS_AT_ONCE && i + 1 < p->b->sources)
			continue;
		must(origin_commit(p->origin, now, NULL, 0, events, n), "events");
		n = 0;
	}
	free(body);
}

/* One step of the collector: what waits in the pipe becomes a frame. */
static void step(struct pace *p, struct source *s, uint64_t now)
{
	for (uint32_t i = 0; i < s->n_waiting; i++) {
		const struct line *l = &p->b->lines[s->waiting[i]];
		struct entry e = { .time_ns = now,
				   .received_ns = now,
				   .message = l->p,
				   .message_len = l->n,
				   .priority = 6 };

		must(tail_writer_add(&s->tail, &e, s->context), "add an entry");
	}
	tail_writer_consumed(&s->tail, 0, s->tail.open.bytes);
	must(tail_writer_flush(&s->tail), "append");
	s->n_waiting = 0;
	s->not_before = now + p->linger_ns;
	p->frames++;
}

static void step_if_due(struct pace *p, struct source *s, uint64_t now)
{
	if (s->n_waiting > 0 && s->not_before <= now)
		step(p, s, s->not_before);
}

static void arrive(struct pace *p, uint32_t line)
{
	const struct line *l = &p->b->lines[line];
	struct source *s = &p->source[l->source];

	step_if_due(p, s, l->time_ns);
	if (s->n_waiting == s->cap_waiting) {
		s->cap_waiting = s->cap_waiting ? 2 * s->cap_waiting : 16;
		s->waiting = reallocarray(s->waiting, s->cap_waiting, sizeof *s->waiting);
		must(s->waiting ? 0 : -1, "memory");
	}
	s->waiting[s->n_waiting++] = line;
	if (s->not_before <= l->time_ns)
		step(p, s, l->time_ns);
}

static void tick(struct pace *p, uint64_t now, bool last)
{
	size_t n = 0;

	for (uint32_t i = 0; i < p->b->sources; i++) {
		struct source *s = &p->source[i];

		step_if_due(p, s, last ? UINT64_MAX : now);
		if (tail_writer_open_entries(&s->tail) == 0)
			continue;
		must(tail_writer_cut(&s->tail, -123456789), "cut a batch");
		p->item[n++] = (struct batch_item){ .handle = i,
						    .entries = s->tail.cut.entries,
						    .bytes = s->tail.cut.bytes,
						    .time_min = s->tail.cut.time_min,
						    .time_max = s->tail.cut.time_max,
						    .mono_offset = s->tail.cut.mono_offset,
						    .root = s->tail.cut.root };
		tail_writer_sealed(&s->tail);
	}
	p->batches += n;
	if (n == 0)
		return;
	must(origin_commit(p->origin, now, p->item, n, NULL, 0), "commit");
	p->commits++;
}

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

static void open_all(struct pace *p, int journals, int key, int ledger)
{
	struct origin_config config = { .host = "bench",
					.boot = { { 1 } },
					.params = { .levels = 4, .height = 8 } };
	uint64_t now = p->b->lines[0].time_ns / NS_PER_S * NS_PER_S;
	bool unclean;

	p->source = calloc(p->b->sources, sizeof *p->source);
	p->item = calloc(p->b->sources, sizeof *p->item);
	must(p->source && p->item ? 0 : -1, "memory");
	must(origin_open(&p->origin, key, ledger, &config), "found an origin");
	must(origin_begin(p->origin, now, &unclean), "begin");
	for (uint32_t i = 0; i < p->b->sources; i++)
		bench_open_journal(&p->source[i].tail, journals, i, &p->source[i].context);
	commit_events(p, EVENT_OPEN, now);
	p->tick = now + NS_PER_S;
}

static void close_all(struct pace *p)
{
	for (uint32_t i = 0; i < p->b->sources; i++) {
		tail_writer_close(&p->source[i].tail);
		free(p->source[i].waiting);
	}
	origin_close(p->origin);
	free(p->source);
	free(p->item);
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
	int journals = bench_fresh_dir(b, "journals"), key = bench_fresh_dir(b, "key");
	int ledger = bench_fresh_dir(b, "ledger");
	struct pace p = { .b = b, .linger_ns = linger_ms * NS_PER_MS };
	struct sizes tails = { 0 }, seals = { 0 };
	double n = (double) b->n;
	char more[320];

	open_all(&p, journals, key, ledger);
	for (size_t i = 0; i < b->n; i++) {
		while (b->lines[i].time_ns >= p.tick) {
			tick(&p, p.tick, false);
			p.tick += NS_PER_S;
		}
		arrive(&p, (uint32_t) i);
	}
	tick(&p, p.tick + NS_PER_S, true);
	commit_events(&p, EVENT_CLOSE, p.tick + NS_PER_S);
	add_tails(&p, &tails);
	add_ledger(ledger, &seals);
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
	close_all(&p);
	close(journals);
}

int main(int argc, char **argv)
{
	struct bench b;
	struct rlimit files;
	double zstd, lz4;

	bench_begin(&b, argc, argv);
	must(b.sources > 0 ? 0 : -1, "lines without times: --when is missing");
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	b.runs = 1;
	zstd = zstd3_bytes(&b);
	lz4 = lz4_bytes(&b);
	run(&b, "log pace, frames 10 ms apart", 10, zstd, lz4);
	run(&b, "log pace, one frame a tick", 1000, zstd, lz4);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * segment-...: a host's log at log pace made into a segment: its size, what making it costs, reading it back, and finding
 * words in it, beside zstd of the raw lines and the same finder over them.
 *
 * Run it with --dir on a memory file system, as the pace benchmark.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bench/pace.h"
#include "seal/ledger.h"
#include "store/segment/build.h"
#include "store/segment/merge.h"
#include "store/segment/plan.h"
#include "store/segment/roots.h"
#include "store/segment/search.h"

static const char name[] = "x.segment";

/* Raw lines by a general compressor. */
struct plain {
	double bytes, entries_per_s;
};

static struct plain compress_plain(const struct bench *b, int level)
{
	size_t room = ZSTD_compressBound(b->size), n;
	void *to = malloc(room);
	uint64_t cpu = bench_cpu_ns();

	must(to ? 0 : -1, "memory");
	n = ZSTD_compress(to, room, b->bytes, b->size, level);
	cpu = bench_cpu_ns() - cpu;
	free(to);
	must(ZSTD_isError(n) ? -1 : 0, "zstd");
	return (struct plain){ (double) n, (double) b->n / ((double) cpu / 1e9) };
}

/* A copy of the ledger, which nobody appends to any more. */
static int copy_ledger(const struct bench *b, const struct pace *p)
{
	int dirfd = bench_fresh_dir(b, "ledger-packed");
	uint64_t *firsts = NULL;
	int64_t n = ledger_files(p->ledger, &firsts);

	must(n < 0 ? (int) n : 0, "ledger");
	for (int64_t i = 0; i < n; i++) {
		char file[LEDGER_NAME_SIZE];
		struct buf content = { 0 };

		ledger_name(firsts[i], file);
		must(io_read_file(p->ledger, file, SIZE_MAX, &content), file);
		must(io_replace_file(dirfd, file, content.data, content.len, 0600), file);
		buf_done(&content);
	}
	free(firsts);
	return dirfd;
}

/* What the ledger takes when what the segments below a directory have is left out of it. */
static double ledger_bytes(const struct bench *b, const struct pace *p, int root,
			   const struct history *h)
{
	struct state state = { .root = root, .seal = -1, .ledger = copy_ledger(b, p) };
	struct roots_packer *packer;
	struct roots_packed packed;
	struct segment_set set;
	uint64_t *firsts = NULL;
	int64_t n = ledger_files(state.ledger, &firsts);
	double bytes = 0;

	must(segment_set_open(&set, &state), "open segments");
	must(roots_packer_new(&packer, &state), "pack the ledger");
	must(roots_pack(packer, &set, h, set.files[set.n - 1].end, &packed), "pack the ledger");
	roots_packer_free(packer);
	segment_set_close(&set);
	for (int64_t i = 0; i < n; i++) {
		char file[LEDGER_NAME_SIZE];
		struct stat st;

		ledger_name(firsts[i], file);
		must(fstatat(state.ledger, file, &st, 0), file);
		bytes += (double) st.st_size;
	}
	free(firsts);
	close(state.ledger);
	return bytes;
}

static int note_made(void *arg, const struct segment_made *m)
{
	*(struct segment_made *) arg = *m;
	return 0;
}

static void build(const struct bench *b, const struct pace *p, int dirfd, int level)
{
	struct state state = {
		.root = -1, .seal = -1, .journals = p->journals, .ledger = p->ledger
	};
	struct plain plain = compress_plain(b, level);
	struct segment_made made = { .size = 0 };
	struct segment_builder_options o = {
		.dirfd = dirfd, .level = level, .made = note_made, .arg = &made
	};
	struct segment_builder *builder;
	double n = (double) b->n, seals;
	uint64_t cpu;
	char what[64], more[160];
	int root = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	cpu = bench_cpu_ns();
	must(segment_builder_new(&builder, &state, &o), "build a segment");
	must(segment_builder_read(builder), "build a segment");
	must(segment_builder_finish(builder), "build a segment");
	cpu = bench_cpu_ns() - cpu;
	seals = ledger_bytes(b, p, root, segment_builder_history(builder));
	close(root);
	segment_builder_free(builder);
	must(renameat(dirfd, made.name, dirfd, name), "rename");
	snprintf(what, sizeof what, "log pace, level %d", level);
	snprintf(more, sizeof more, ", \"segment\": %.4g, \"ledger\": %.4g", (double) made.size / n,
		 seals / n);
	bench_print(b, &(struct result){ "segment-bytes", what, ((double) made.size + seals) / n,
					 "bytes/entry", plain.bytes / n,
					 "zstd of the raw lines, same level", false, more });
	bench_print(b, &(struct result){ "segment-build", what, n / ((double) cpu / 1e9),
					 "entries/CPU-s", plain.entries_per_s,
					 "zstd of the raw lines, same level", true, NULL });
}

/* Small segments, merged as the keeper does it while they come. */

struct keeping {
	struct state state;
	const struct segment_builder *builder;
	struct merge_options merge;
	uint64_t now_ns, limit;
	uint64_t merged, written, cpu,
		made; /* entries and bytes of merges, their time, bytes of packing */
};

static void merge_once(struct keeping *k, const struct segment_set *set, uint32_t first, uint32_t n)
{
	struct segment_made made;
	uint64_t cpu = bench_cpu_ns();

	must(segment_merge(set, first, n, segment_builder_history(k->builder), &k->merge, &made),
	     "merge");
	k->cpu += bench_cpu_ns() - cpu;
	k->merged += made.entries;
	k->written += made.size;
}

static int merge_some(void *arg, const struct segment_made *m)
{
	struct keeping *k = arg;
	bool any = true;

	if (m)
		k->made += m->size;
	while (any) {
		struct segment_set set;
		uint32_t first, n;

		must(segment_set_open(&set, &k->state), "open segments");
		any = plan_merge(&set, k->now_ns, k->limit, &first, &n);
		if (any)
			merge_once(k, &set, first, n);
		segment_set_close(&set);
	}
	return 0;
}

static uint64_t size_of_all(const struct keeping *k)
{
	struct segment_set set;
	uint64_t size = 0;

	must(segment_set_open(&set, &k->state), "open segments");
	for (uint32_t i = 0; i < set.n; i++)
		size += set.files[i].segment.size;
	segment_set_close(&set);
	return size;
}

static void merging(const struct bench *b, const struct pace *p, int level)
{
	int root = bench_fresh_dir(b, "merging"), dirfd;
	struct keeping k = {
		.state = { .root = root, .seal = -1, .journals = p->journals, .ledger = p->ledger },
		.limit = UINT64_MAX,
	};
	struct segment_builder_options o = {
		.entries_max = b->n / 20, .level = 9, .made = merge_some, .arg = &k
	};
	struct plain plain = compress_plain(b, level);
	struct segment_builder *builder;
	double n = (double) b->n, seals, size;
	char what[64], more[160];

	must(mkdirat(root, SEGMENTS_DIR, 0700) < 0 ? -errno : 0, "mkdir");
	dirfd = openat(root, SEGMENTS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	k.merge = (struct merge_options){ dirfd, level };
	o.dirfd = dirfd;
	must(segment_builder_new(&builder, &k.state, &o), "build segments");
	k.builder = builder;
	must(segment_builder_read(builder), "build segments");
	must(segment_builder_finish(builder), "build segments");
	/* The day is over. */
	k.now_ns = UINT64_MAX;
	merge_some(&k, NULL);
	size = (double) size_of_all(&k);
	seals = ledger_bytes(b, p, root, segment_builder_history(builder));
	segment_builder_free(builder);
	snprintf(what, sizeof what, "twenty, merged as they come, level %d", level);
	snprintf(more, sizeof more,
		 ", \"segment\": %.4g, \"ledger\": %.4g, \"write_amplification\": %.3g", size / n,
		 seals / n, (double) (k.made + k.written) / size);
	bench_print(b, &(struct result){ "segment-bytes", what, (size + seals) / n, "bytes/entry",
					 plain.bytes / n, "zstd of the raw lines, same level",
					 false, more });
	bench_print(b, &(struct result){ "segment-merge", what,
					 (double) k.merged / ((double) k.cpu / 1e9),
					 "entries/CPU-s", plain.entries_per_s,
					 "zstd of the raw lines, same level", true, NULL });
	close(dirfd);
	close(root);
}

static uint64_t read_all(const struct segment *s)
{
	_cleanup_free_ struct field *fields = reallocarray(NULL, FIELDS_MAX, sizeof *fields);
	struct buf message = { 0 };
	uint64_t bytes = 0;

	must(fields ? 0 : -1, "memory");
	for (uint32_t k = 0; k < s->n_groups; k++) {
		struct segment_group g;

		must(group_open(&g, s, k), "group");
		must(group_need_batches(&g), "batches");
		must(group_need_rows(&g), "rows");
		must(group_need_received(&g), "times");
		must(group_need_fields(&g), "fields");
		must(group_need_templates(&g), "templates");
		for (uint32_t i = 0; i < g.ref->batches; i++)
			for (uint32_t row = 0; row < g.batches[i].entries; row++) {
				struct entry e;

				must(group_entry(&g, g.batches[i].first_row + row,
						 &s->journals[g.batches[i].journal], &message,
						 fields, &e),
				     "entry");
				bytes += e.message_len;
			}
		group_close(&g);
	}
	buf_done(&message);
	return bytes;
}

static void reading(const struct bench *b, const struct segment *s)
{
	struct samples ours = { 0 }, plain = { 0 };

	for (unsigned i = 0; i <= b->runs; i++) {
		uint64_t cpu = bench_cpu_ns(), bytes;
		volatile uint64_t newlines = 0;

		bytes = read_all(s);
		cpu = bench_cpu_ns() - cpu;
		must(bytes > 0 ? 0 : -1, "nothing was read");
		if (i > 0)
			samples_add(&ours, (double) b->n / ((double) cpu / 1e9));
		cpu = bench_cpu_ns();
		for (const uint8_t *p = b->bytes;
		     (p = memchr(p, '\n', (size_t) (b->bytes + b->size - p))); p++)
			newlines = newlines + 1;
		cpu = bench_cpu_ns() - cpu;
		if (i > 0)
			samples_add(&plain, (double) b->n / ((double) cpu / 1e9));
	}
	bench_print(b,
		    &(struct result){ "segment-read", "every entry, whole", samples_median(&ours),
				      "entries/CPU-s", samples_median(&plain),
				      "memchr over the raw lines", true, NULL });
	samples_done(&ours);
	samples_done(&plain);
}

static int64_t search(const struct segment *s, const struct needle *n)
{
	struct needle_plan plan;
	int64_t found = 0;

	must(needle_plan_make(&plan, n), "plan");
	for (uint32_t k = 0; k < s->n_groups; k++) {
		struct segment_group g;
		uint64_t *hits;
		int64_t r;

		must(group_open(&g, s, k), "group");
		hits = calloc((g.rows + 63) / 64, sizeof *hits);
		must(hits ? 0 : -1, "memory");
		r = group_search(&g, &plan, hits);
		must(r < 0 ? (int) r : 0, "search");
		found += r;
		free(hits);
		group_close(&g);
	}
	needle_plan_done(&plan);
	return found;
}

static int64_t search_raw(const struct bench *b, const struct needle *n)
{
	struct finder f;
	int64_t found = 0;

	finder_init(&f, n->p, n->n, n->any_case);
	for (size_t i = 0; i < b->n; i++)
		found += finder_find(&f, b->lines[i].p, b->lines[i].n) != NULL;
	return found;
}

/* The fastest that there is where nothing is found: one pass over all bytes. */
static void searching(const struct bench *b, const struct segment *s, const char *what,
		      const char *word, bool any_case)
{
	struct needle n = { (const uint8_t *) word, strlen(word), any_case, NULL };
	struct samples ours = { 0 }, plain = { 0 };
	int64_t found = 0, expected = search_raw(b, &n);
	char more[64];

	for (unsigned i = 0; i <= b->runs; i++) {
		uint64_t start = bench_cpu_ns();

		found = search(s, &n);
		if (i > 0)
			samples_add(&ours, (double) (bench_cpu_ns() - start) / 1e6);
		start = bench_cpu_ns();
		must(search_raw(b, &n) == expected ? 0 : -1, "raw");
		if (i > 0)
			samples_add(&plain, (double) (bench_cpu_ns() - start) / 1e6);
	}
	must(found == expected ? 0 : -1, "other lines found than there are");
	snprintf(more, sizeof more, ", \"matches\": %lld", (long long) found);
	bench_print(b, &(struct result){ "segment-search", what, samples_median(&ours), "CPU-ms",
					 samples_median(&plain), "the same over each raw line",
					 false, more });
	samples_done(&ours);
	samples_done(&plain);
}

int main(int argc, char **argv)
{
	struct segment s;
	struct pace p;
	struct bench b;
	int dirfd;

	bench_begin(&b, argc, argv);
	dirfd = bench_fresh_dir(&b, "segments");
	pace_play(&p, &b, 10);
	build(&b, &p, dirfd, 9);
	build(&b, &p, dirfd, 3);
	merging(&b, &p, 9);
	merging(&b, &p, 19);
	pace_done(&p);
	must(segment_open(&s, openat(dirfd, name, O_RDONLY | O_CLOEXEC)), "open the segment");
	reading(&b, &s);
	searching(&b, &s, "a word that is nowhere", "qzabsentword", false);
	searching(&b, &s, "a word that is there once", "xyzzyneedleonce", false);
	searching(&b, &s, "a substring", "onnecti", false);
	searching(&b, &s, "a word in any case", "ERROR", true);
	segment_close(&s);
	close(dirfd);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "bench/measure.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench/workload.h"
#include "bulla/error.h"

enum { LINES_OWN = 200000, LINES_TINY = 2000, RUNS = 5 };

/* What stands beside each line of a corpus, in the host's byte order. */
struct when {
	uint64_t time_ns;
	uint32_t source, unused;
};

void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, bulla_strerror(r));
	exit(1);
}

static void *must_alloc(void *p)
{
	must(p ? 0 : -ENOMEM, "memory");
	return p;
}

/* Directories. */

static char dir_to_remove[256];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void) st;
	(void) type;
	(void) ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void remove_at_exit(void)
{
	remove_tree(dir_to_remove);
}

static void make_dir(struct bench *b, const char *parent)
{
	snprintf(b->dir, sizeof b->dir, "%s/bench-XXXXXX", parent);
	if (!mkdtemp(b->dir))
		must(-errno, b->dir);
	memcpy(dir_to_remove, b->dir, sizeof b->dir);
	atexit(remove_at_exit);
	b->dirfd = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(b->dirfd < 0 ? -errno : 0, b->dir);
}

int bench_fresh_dir(const struct bench *b, const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof path, "%s/%s", b->dir, name);
	remove_tree(path);
	if (mkdir(path, 0700) < 0)
		must(-errno, path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(fd < 0 ? -errno : 0, path);
	return fd;
}

/* Input. */

static uint8_t *read_all(const char *path, size_t *ret_size)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	uint8_t *p;

	if (!f || fstat(fileno(f), &st) < 0)
		must(-errno, path);
	p = must_alloc(malloc((size_t) st.st_size + 1));
	if (fread(p, 1, (size_t) st.st_size, f) != (size_t) st.st_size)
		must(-EIO, path);
	fclose(f);
	*ret_size = (size_t) st.st_size;
	return p;
}

static void cut_lines(struct bench *b, size_t n_max)
{
	const uint8_t *p = b->bytes, *end = b->bytes + b->size, *newline;
	size_t cap = 0;

	while (b->n < n_max && (newline = memchr(p, '\n', (size_t) (end - p)))) {
		if (b->n == cap) {
			cap = cap ? 2 * cap : 1 << 16;
			b->lines = must_alloc(reallocarray(b->lines, cap, sizeof *b->lines));
		}
		b->lines[b->n++] = (struct line){ .p = p, .n = (uint32_t) (newline - p) };
		p = newline + 1;
	}
	b->size = (size_t) (p - b->bytes);
}

static void read_when(struct bench *b, const char *path)
{
	size_t size;
	struct when *when = (struct when *) (void *) read_all(path, &size);

	must(size / sizeof *when < b->n ? BULLA_ETRUNCATED : 0, path);
	for (size_t i = 0; i < b->n; i++) {
		b->lines[i].time_ns = when[i].time_ns;
		b->lines[i].source = when[i].source;
		b->sources = MAX_OF(b->sources, when[i].source + 1);
	}
	free(when);
}

static void read_images(struct bench *b, const char *path)
{
	size_t size;
	char *p = (char *) read_all(path, &size);

	p[size] = '\0';
	b->images = must_alloc(calloc(b->sources, sizeof *b->images));
	for (uint32_t i = 0; i < b->sources; i++) {
		b->images[i] = strsep(&p, "\n");
		must(b->images[i] && b->images[i][0] ? 0 : BULLA_ETRUNCATED, path);
	}
}

static void make_lines(struct bench *b, size_t n)
{
	struct workload *w = must_alloc(malloc(sizeof *w));
	struct buf bytes = { 0 };
	size_t at = 0;

	b->lines = must_alloc(reallocarray(NULL, n, sizeof *b->lines));
	workload_init(w, n, false);
	for (; b->n < n; b->n++) {
		workload_next(w, &bytes);
		b->lines[b->n] = (struct line){ NULL, (uint32_t) (bytes.len - at - 1), w->source,
						w->time_ns };
		at = bytes.len;
	}
	must(bytes.bad ? -ENOMEM : 0, "lines");
	at = 0;
	for (size_t i = 0; i < n; i++) {
		b->lines[i].p = bytes.data + at;
		at += b->lines[i].n + 1;
	}
	b->bytes = bytes.data;
	b->size = bytes.len;
	b->sources = WORKLOAD_SOURCES;
	free(w);
}

void bench_begin(struct bench *b, int argc, char **argv)
{
	static const struct option options[] = {
		{ "corpus", required_argument, NULL, 'c' },
		{ "name", required_argument, NULL, 'N' },
		{ "when", required_argument, NULL, 'w' },
		{ "images", required_argument, NULL, 'i' },
		{ "runs", required_argument, NULL, 'r' },
		{ "dir", required_argument, NULL, 'd' },
		{ "tiny", no_argument, NULL, 't' },
		{ 0 },
	};
	const char *file = NULL, *when = NULL, *images = NULL, *dir = ".";
	size_t n = 0;
	int c;

	*b = (struct bench){ .corpus = "own", .runs = RUNS };
	while ((c = getopt_long(argc, argv, "n:", options, NULL)) != -1) {
		if (c == 'c')
			file = optarg;
		else if (c == 'N')
			b->corpus = optarg;
		else if (c == 'w')
			when = optarg;
		else if (c == 'i')
			images = optarg;
		else if (c == 'r')
			b->runs = (unsigned) strtoul(optarg, NULL, 10);
		else if (c == 'd')
			dir = optarg;
		else if (c == 't')
			b->tiny = true;
		else if (c == 'n')
			n = strtoul(optarg, NULL, 10);
		else
			exit(2);
	}
	must(sodium_init(), "libsodium");
	must(b->runs == 0 ? -EINVAL : 0, "--runs");
	if (file) {
		b->bytes = read_all(file, &b->size);
		cut_lines(b, n ? n : SIZE_MAX);
	} else {
		make_lines(b, n ? n : b->tiny ? LINES_TINY : LINES_OWN);
	}
	if (when)
		read_when(b, when);
	if (images)
		read_images(b, images);
	must(b->n == 0 ? -ENODATA : 0, "input");
	make_dir(b, dir);
}

/* Journals. */

struct id bench_journal_id(uint32_t number)
{
	struct id id = { { 0xbe } };

	memcpy(id.b + 4, &number, sizeof number);
	return id;
}

static int compare(const void *a, const void *b)
{
	return field_compare(a, b);
}

static struct field field_of(const char *name, const char *value)
{
	return (struct field){ .name = (const uint8_t *) name,
			       .name_len = (uint8_t) strlen(name),
			       .value = (const uint8_t *) value,
			       .value_len = (uint32_t) strlen(value) };
}

/* The leaf of an identity such as `bulla run` writes for a container. */
static void identity_leaf(uint32_t number, const char *image, struct buf *to)
{
	char name[32] = "", cgroup[64] = "", pod[48] = "", id[65] = "";
	struct field f[] = {
		field_of("_HOSTNAME", "node-07.example.org"),
		field_of("_MACHINE_ID", "4c4c4544004d3610805ac4c04f4d3532"),
		field_of("_BOOT_ID", "8a1f7c3e5b2d49f0a6c4e8d1b3f5a7c9"),
		field_of("_RUNTIME_SCOPE", "system"),
		field_of("_ATTRIBUTION", "channel"),
		field_of("_CONTAINER_NAME", name),
		field_of("_CONTAINER_ID", id),
		field_of("_IMAGE_NAME", image),
		field_of("_POD", pod),
		field_of("_NAMESPACE", "production"),
		field_of("_SYSTEMD_CGROUP", cgroup),
		field_of("_SYSTEMD_UNIT", "kubepods.slice"),
		field_of("_TENANT", "default"),
		field_of("_UID", "1000"),
		field_of("_GID", "1000"),
		field_of("SYSLOG_IDENTIFIER", name),
	};
	struct context c = { .fields = f, .n_fields = ELEMENTS(f) };
	struct wr w;

	snprintf(name, sizeof name, "service-%" PRIu32, number);
	snprintf(pod, sizeof pod, "service-%" PRIu32 "-6d4b75cb6d-x%04" PRIx32, number, number);
	snprintf(cgroup, sizeof cgroup, "/kubepods.slice/pod%08" PRIx32 "/service.scope", number);
	for (size_t i = 0; i < 8; i++)
		snprintf(id + 8 * i, 9, "%08" PRIx32, (number + 1) * (uint32_t) (2654435761u + i));
	for (size_t i = 0; i < ELEMENTS(f); i++)
		f[i].value_len = (uint32_t) strlen((const char *) f[i].value);
	qsort(f, ELEMENTS(f), sizeof *f, compare);
	must_alloc(buf_room(to, context_leaf_size(&c)));
	w = wr_of(to->data, context_leaf_size(&c));
	context_encode(&c, &w);
	assert(!w.bad);
	buf_add(to, w.len);
}

void bench_open_journal(const struct bench *b, struct tail_writer *t, int dirfd, uint32_t number,
			uint32_t *ret_context)
{
	const struct field out[] = { field_of("_STREAM", "stdout"),
				     field_of("_TRANSPORT", "stdout") };
	const uint8_t seed[SEED_SIZE] = { 1 };
	struct id id = bench_journal_id(number), boot = { { 1 } };
	struct buf leaf = { 0 };
	int64_t context;

	identity_leaf(number,
		      b->images ? b->images[number] : "registry.example.org/team/service:2026.11.3",
		      &leaf);
	must(tail_create(dirfd, &id, &boot, leaf.data, leaf.len, seed), "create a journal");
	must(tail_writer_open(t, dirfd, &id, 0, 0), "open a journal");
	context = tail_writer_context(t, 0, out, ELEMENTS(out));
	must(context < 0 ? (int) context : 0, "context");
	*ret_context = (uint32_t) context;
	buf_done(&leaf);
}

/* Measuring. */

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

uint64_t bench_wall_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t bench_cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void samples_add(struct samples *s, double value)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 64;
		s->at = must_alloc(reallocarray(s->at, s->cap, sizeof *s->at));
	}
	s->at[s->n++] = value;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

double samples_quantile(struct samples *s, double q)
{
	assert(s->n > 0);
	qsort(s->at, s->n, sizeof *s->at, compare_doubles);
	return s->at[(size_t) lround(q * (double) (s->n - 1))];
}

void samples_done(struct samples *s)
{
	free(s->at);
	*s = (struct samples){ 0 };
}

void bench_print(const struct bench *b, const struct result *r)
{
	printf("{\"bench\": \"%s\", \"what\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", "
	       "\"baseline\": %.6g, \"ratio\": %.4g, \"against\": \"%s\", \"better\": \"%s\", "
	       "\"n\": %zu, \"runs\": %u, \"corpus\": \"%s\"%s}\n",
	       r->bench, r->what, r->value, r->unit, r->baseline, r->value / r->baseline,
	       r->against, r->higher_is_better ? "higher" : "lower", b->n, b->runs, b->corpus,
	       r->more ? r->more : "");
	fflush(stdout);
}

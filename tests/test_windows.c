/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Windows of a segment: what some commits had, divided by app into row groups, and counted by second.  Whatever is divided
 * how, every commit is in one window, every journal in one group of it; and what the footer says of it is found out to be a lie.
 */

#include "store/segment/writer.h"

#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/io.h"
#include "bulla/error.h"
#include "query/exec.h"
#include "query/histogram.h"
#include "store/segment/check.h"
#include "store/segment/set.h"
#include "store/verify.h"
#include "tests/builder.h"
#include "tests/packing.h"

Suite(windows);

/* Staging. */

/* Journals by number: what app each is of. */
struct apps {
	const char *of[8];
	struct staging_key keys[8];
};

static const struct staging_key *key_of(const void *arg, uint32_t journal)
{
	const struct apps *a = arg;

	return &a->keys[journal];
}

static void make_keys(struct apps *a)
{
	for (uint8_t i = 0; i < 8; i++)
		if (a->of[i])
			a->keys[i] = (struct staging_key){ { (const uint8_t *) a->of[i],
							     (uint32_t) strlen(a->of[i]) },
							   { { i } } };
}

/* One batch; each row says whose it is. */
static void stage(struct staging *s, uint32_t journal, uint32_t origin, uint64_t commit,
		  uint64_t time_ns, size_t rows)
{
	struct staged_batch b = { .journal = journal, .origin = origin, .commit = commit };
	char text[32];
	struct entry e = { .message = (const uint8_t *) text };

	cr_assert(eq(int, staging_batch(s, &b), 0));
	for (size_t i = 0; i < rows; i++) {
		e.message_len = (uint32_t) snprintf(text, sizeof text, "%u %zu", journal, i);
		e.time_ns = time_ns + i;
		cr_assert(eq(int, staging_add(s, &e, journal), 0));
	}
}

/* The rows of each group, as text. */
static void groups_of(struct staging *s, const struct apps *a, size_t rows, char *to, size_t size)
{
	struct staged_group g = { 0 };
	size_t n = 0;

	cr_assert(eq(int, staging_order(s, key_of, a), 0));
	to[0] = '\0';
	while (staging_next(s, key_of, a, rows, &g)) {
		size_t seen = 0;

		for (size_t i = 0; i < g.n_batches; i++)
			seen += g.batches[i].n_rows;
		cr_expect(eq(sz, seen, g.n_rows));
		n += (size_t) snprintf(to + n, size - n, "%zu ", g.n_rows);
	}
}

Test(windows, a_group_ends_between_apps)
{
	struct {
		struct apps apps;
		size_t rows[8];
		const char *want;
	} cases[] = {
		{ { .of = { "a", "b", "c" } }, { 3, 3, 3 }, "9 " },
		{ { .of = { "a", "b", "c" } }, { 10, 10, 10 }, "10 10 10 " },
		{ { .of = { "a", "b", "c" } }, { 6, 6, 6 }, "12 6 " },
		{ { .of = { "a", "a", "b" } }, { 15, 4, 1 }, "19 1 " },
		/* Many of one app, between journals. */
		{ { .of = { "a", "a", "a", "b" } }, { 12, 12, 12, 1 }, "24 12 1 " },
		/* One journal never is. */
		{ { .of = { "a", "b" } }, { 500, 1 }, "500 1 " },
		/* Nobody knows of what app: that is one, too, and none that is alike. */
		{ { .of = { "", "", "", "b" } }, { 30, 30, 30, 10 }, "90 10 " },
		{ { .of = { "" } }, { 0 }, "" },
	};

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct staging s = { 0 };
		char got[200];

		make_keys(&cases[i].apps);
		for (uint32_t j = 0; j < 8; j++)
			if (cases[i].rows[j] > 0)
				stage(&s, j, 0, 1, 0, cases[i].rows[j]);
		groups_of(&s, &cases[i].apps, 10, got, sizeof got);
		cr_expect(eq(str, got, (char *) cases[i].want), "%zu", i);
		staging_done(&s);
	}
}

/* Every row says what it said. */
static void expect_rows(const struct staging *s)
{
	char text[32];

	for (size_t i = 0; i < s->n_batches; i++)
		for (uint32_t k = 0; k < s->batches[i].n_rows; k++) {
			const struct staged_row *row = &s->rows[s->batches[i].first_row + k];

			snprintf(text, sizeof text, "%u %u", s->batches[i].journal, k);
			cr_expect(eq(u32, row->message_len, (uint32_t) strlen(text)));
			cr_expect(zero(int, memcmp(s->bytes.data + row->at, text, strlen(text))));
		}
}

Test(windows, the_newest_go_to_a_window_of_their_own)
{
	struct staging s = { 0 }, last = { 0 };

	/* By journal, as who reads tails has them. */
	for (uint32_t j = 0; j < 3; j++)
		for (uint64_t c = 0; c < 20; c++)
			stage(&s, j, 0, 100 + c, 1000 * c + j, 5);
	cr_assert(eq(int, staging_split(&s, 31, &last), 0));
	/* Two commits have thirty rows: the third from the end goes with them, as a whole. */
	cr_expect(eq(sz, last.n_rows, 45));
	cr_expect(eq(sz, s.n_rows, 255));
	for (size_t i = 0; i < s.n_batches; i++)
		cr_expect(lt(u64, s.batches[i].commit, 117));
	for (size_t i = 0; i < last.n_batches; i++)
		cr_expect(ge(u64, last.batches[i].commit, 117));
	expect_rows(&s);
	expect_rows(&last);
	staging_done(&last);
	/* Where they are most of all there is, they stay. */
	cr_assert(eq(int, staging_split(&s, 200, &last), 0));
	cr_expect(zero(sz, last.n_rows));
	cr_expect(eq(sz, s.n_rows, 255));
	staging_done(&s);
	cr_assert(eq(int, staging_split(&s, 10, &last), 0));
	cr_expect(zero(sz, last.n_rows));
	staging_done(&last);
	staging_done(&s);
}

/* Numbers of one origin say nothing of another's; a clock that went back takes no commit apart. */
Test(windows, each_origin_is_divided_at_a_commit_of_its_own)
{
	struct staging s = { 0 }, last = { 0 };

	for (uint64_t c = 0; c < 20; c++) {
		stage(&s, 0, 0, 5 + c, 1000 * c, 4);
		stage(&s, 1, 1, 9000 + c, 1000 * c + 500, 4);
		stage(&s, 2, 0, 5 + c, c == 3 ? 5000 : 10 * c, 4);
	}
	cr_assert(eq(int, staging_split(&s, 16, &last), 0));
	cr_expect(eq(sz, last.n_rows, 24));
	for (size_t i = 0; i < last.n_batches; i++)
		cr_expect(ge(u64, last.batches[i].commit, last.batches[i].origin ? 9018 : 23));
	expect_rows(&s);
	expect_rows(&last);
	staging_done(&last);
	staging_done(&s);
}

/* Files. */

enum { COMMITS = 40 };

static struct builder host;
static struct segment_set set;
static struct segment *segment;

/* Three images, two journals each; a window is full with some commits. */
static void make_host(void)
{
	static char path[512];

	segment_window_bytes = 12000;
	snprintf(path, sizeof path, "%s/host", tempdir());
	builder_init(&host, path, (struct kes_params){ 2, 4 });
	for (size_t i = 0; i < 6; i++)
		builder_open(&host, i % 3 == 0 ? "web" : i % 3 == 1 ? "db" : "queue");
	for (size_t c = 0; c < COMMITS; c++) {
		for (size_t i = 0; i < 6; i++)
			if ((c + i) % 4 > 0)
				builder_log_many(&host, i, 9 + (c * i) % 7);
		host.now_ns += c % 9 * NS_PER_S / 3;
		builder_commit(&host);
	}
	for (size_t i = 0; i < 6; i++)
		builder_close(&host, i);
	pack_segments(&host, 0, true);
	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	cr_assert(eq(u32, set.n, 1));
	segment = &set.files[0].segment;
}

static void done(void)
{
	segment_set_close(&set);
	builder_done(&host);
}

/* Of a segment: which commits each window has, and which group each journal. */
static void expect_divided(const struct segment *s)
{
	uint64_t last_commit = 0;

	cr_assert(ge(u32, s->n_windows, 3));
	for (uint32_t w = 0; w < s->n_windows; w++) {
		const struct window_ref *window = &s->windows[w];
		uint64_t end = last_commit;
		uint64_t seen = 0;

		for (uint32_t i = window->first; i < window->end; i++) {
			uint64_t here = 0;
			struct segment_group g;

			cr_expect(eq(u32, s->groups[i].window, w));
			cr_assert(eq(int, group_open(&g, s, i), 0));
			cr_assert(eq(int, group_need_batches(&g), 0));
			for (uint32_t k = 0; k < g.ref->batches; k++) {
				cr_expect(gt(u64, g.batches[k].commit, last_commit));
				end = MAX_OF(end, g.batches[k].commit);
				here |= UINT64_C(1) << g.batches[k].journal;
			}
			cr_expect(zero(u64, seen & here), "a journal in two groups");
			seen |= here;
			group_close(&g);
		}
		last_commit = end;
	}
}

Test(windows, every_commit_is_in_one_and_every_journal_in_one_group_of_it)
{
	struct segment_set merged;
	uint64_t at;

	make_host();
	expect_divided(segment);
	cr_expect(gt(u32, segment->n_groups, 2 * segment->n_windows));
	cr_expect(eq(int, segment_check_content(segment, &at), 0));
	/* Written anew, commit by commit. */
	cr_assert(eq(int, merge_segments(&host, 0, 1), 1));
	cr_assert(eq(int, segment_set_open(&merged, &host.state), 0));
	expect_divided(&merged.files[0].segment);
	cr_expect(eq(u32, merged.files[0].segment.n_windows, segment->n_windows));
	segment_set_close(&merged);
	done();
}

Test(windows, a_group_has_journals_of_its_ranks_only)
{
	make_host();
	for (uint32_t i = 0; i < segment->n_groups; i++) {
		struct group_ref *ref = &segment->groups[i], told = *ref;
		struct segment_group g;

		cr_expect(lt(u32, ref->rank_last - ref->rank_first, 6));
		for (int lie = 0; lie < 3; lie++) {
			*ref = told;
			ref->rank_first += lie == 1;
			ref->rank_last -= lie == 2 && ref->rank_last > 0;
			cr_assert(eq(int, group_open(&g, segment, i), 0));
			cr_expect(eq(int, group_need_batches(&g),
				     lie == 0 || (lie == 2 && told.rank_last == 0)
					     ? 0
					     : BULLA_ECORRUPT));
			group_close(&g);
		}
		*ref = told;
	}
	done();
}

/* Counts. */

static int times_of(void *arg, const struct glimpse *g)
{
	struct histogram *h = arg;

	return g->histogram ? histogram_add_all(h, g->histogram)
			    : histogram_add(h, g->time_ns, g->n);
}

static int add_up(void *arg, const struct time_span *s)
{
	*(uint64_t *) arg += s->times * (s->number * 31 + 7);
	return 0;
}

/* How many there are in each span, as one number, and how many groups were read for it. */
static uint64_t ask(const struct segment_set *segments, uint64_t span_ns, uint64_t since_ns,
		    uint64_t *ret_read)
{
	struct catalog catalog = { .segments = segments };
	struct query q = { .since_ns = since_ns, .until_ns = UINT64_MAX, .limit = UINT64_MAX };
	struct query_stats stats;
	struct histogram h;
	struct tally t = { .span_ns = span_ns, .entries = times_of, .arg = &h };
	uint64_t sum = 0;

	cr_assert(eq(int, match_new(&q.match), 0));
	histogram_begin(&h, span_ns);
	cr_assert(eq(int, query_tally(&catalog, &q, &t, &stats), 0));
	cr_assert(eq(int, histogram_each(&h, add_up, &sum), 0));
	cr_expect(zero(u64, stats.frames_damaged));
	*ret_read = stats.frames_read;
	histogram_done(&h);
	match_free(q.match);
	return sum;
}

Test(windows, a_histogram_of_seconds_is_read_from_the_footer)
{
	static const uint64_t spans[] = { NS_PER_S,	   2 * NS_PER_S, 10 * NS_PER_S,
					  3600 * NS_PER_S, NS_PER_S / 2, NS_PER_S * 3 / 2 };
	uint64_t middle;

	make_host();
	middle = segment->groups[segment->windows[segment->n_windows / 2].first].time_max;
	for (size_t i = 0; i < ELEMENTS(spans); i++)
		for (int part = 0; part < 2; part++) {
			uint64_t span[100], read, none, want, got;
			uint32_t n = segment->n_windows;

			got = ask(&set, spans[i], part ? middle : 0, &read);
			cr_expect(eq(int, read == 0, spans[i] % NS_PER_S == 0 && !part), "%zu", i);
			cr_expect(gt(u64, segment->n_groups, part ? read : 0));
			/* As if nobody had counted. */
			for (uint32_t w = 0; w < n && n <= 100; w++) {
				cr_expect(eq(u64, segment->windows[w].span_s, 1));
				span[w] = segment->windows[w].span_s;
				segment->windows[w].span_s = 0;
			}
			want = ask(&set, spans[i], part ? middle : 0, &none);
			cr_expect(gt(u64, none, 0));
			cr_expect(eq(u64, got, want), "%zu", i);
			for (uint32_t w = 0; w < n; w++)
				segment->windows[w].span_s = span[w];
		}
	done();
}

static int add_up_spans(void *arg, const struct time_span *s)
{
	uint64_t *times = arg;

	cr_assert(lt(u64, s->number, 2));
	times[s->number] += s->times;
	return 0;
}

/* A span may be of centuries, and then what is before it seems to be in it. */
Test(windows, what_is_before_a_span_is_not_in_it)
{
	static const uint64_t half = UINT64_C(1) << 63;
	const uint64_t time_ns[] = { half + 11, 5, half + 10, half + 9, UINT64_MAX, 0 };
	uint64_t times[2] = { 0 };
	struct histogram h;

	histogram_begin(&h, half + 10);
	cr_assert(eq(int, histogram_add(&h, time_ns, ELEMENTS(time_ns)), 0));
	cr_assert(eq(int, histogram_each(&h, add_up_spans, times), 0));
	cr_expect(eq(u64, times[0], 3));
	cr_expect(eq(u64, times[1], 3));
	histogram_done(&h);
}

/* Times that go to and fro take no more memory than spans that there are, and too many of these are refused. */
Test(windows, a_histogram_is_as_large_as_its_spans_are_many)
{
	const uint64_t to_and_fro[] = { 0, HISTOGRAM_PLACES };
	struct histogram h;
	uint64_t sum = 0;
	int r = 0;

	histogram_begin(&h, 1);
	for (int i = 0; i < 3 * HISTOGRAM_SPANS_MAX; i++)
		cr_assert(eq(int, histogram_add(&h, to_and_fro, 2), 0));
	cr_expect(le(sz, h.n_more, (size_t) 2 * HISTOGRAM_SPANS_MAX));
	cr_assert(eq(int, histogram_each(&h, add_up, &sum), 0));
	cr_expect(
		eq(u64, sum, 3 * (uint64_t) HISTOGRAM_SPANS_MAX * (7 + HISTOGRAM_PLACES * 31 + 7)));
	histogram_done(&h);
	histogram_begin(&h, 1);
	for (uint64_t i = 0; r >= 0 && i < 4 * HISTOGRAM_SPANS_MAX; i++)
		r = histogram_add(&h, &i, 1);
	cr_expect(eq(int, r, -E2BIG));
	histogram_done(&h);
}

/* Write another footer, which tells of one row more in the last second but one, and of one less in the last. */
static void lie_of_counts(void)
{
	_cleanup_free_ uint8_t *footer = NULL;
	struct block_scratch scratch = { 0 };
	uint8_t trailer[SEGMENT_TRAILER_SIZE];
	char path[700];
	struct block_ref ref = { 0 };
	struct wr w = wr_of(trailer, sizeof trailer);
	struct rd r = rd_of(trailer, sizeof trailer);
	int fd;

	snprintf(path, sizeof path, "%s/segments/%s", host.path, set.files[0].name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert(eq(i64,
		     pread(fd, trailer, sizeof trailer, (off_t) (segment->size - sizeof trailer)),
		     sizeof trailer));
	ref.offset = rd_u64(&r);
	ref.stored = rd_u32(&r);
	ref.raw = rd_u32(&r);
	ref.crc = rd_u32(&r);
	cr_assert(eq(int, block_read(fd, &ref, &scratch, &footer), 0));
	block_scratch_done(&scratch);
	cr_assert(footer[ref.raw - 1] > 0 && footer[ref.raw - 1] < 0x80);
	cr_assert(footer[ref.raw - 2] < 0x7f);
	footer[ref.raw - 1]--;
	footer[ref.raw - 2]++;
	wr_u64(&w, ref.offset);
	wr_u32(&w, ref.raw);
	wr_u32(&w, ref.raw);
	wr_u32(&w, crc32c(0, footer, ref.raw));
	wr_bytes(&w, SEGMENT_MAGIC, 8);
	cr_assert(eq(int, io_pwrite(fd, footer, ref.raw, ref.offset), 0));
	cr_assert(eq(int, io_pwrite(fd, trailer, sizeof trailer, ref.offset + ref.raw), 0));
	cr_assert(eq(int, ftruncate(fd, (off_t) (ref.offset + ref.raw + sizeof trailer)), 0));
	close(fd);
}

static void find_lie(void *arg, const struct finding *f)
{
	*(bool *) arg |= f->verdict == VERDICT_TAMPERED && strstr(f->what, "histograms");
}

Test(windows, counts_that_lie_are_found)
{
	struct segment_set now;
	struct verify_report report;
	bool found = false;
	struct verify_options o = { .found = find_lie, .now_ns = UINT64_C(1) << 62, .arg = &found };
	uint64_t at;

	make_host();
	cr_assert(eq(int, verify_state(&host.state, &o, &report), 0));
	cr_expect(ne(int, report.verdict, VERDICT_TAMPERED));
	lie_of_counts();
	cr_assert(eq(int, segment_set_open(&now, &host.state), 0));
	cr_assert(eq(int, now.files[0].error, 0));
	cr_expect(eq(int, segment_check_content(&now.files[0].segment, &at), BULLA_ECORRUPT));
	segment_set_close(&now);
	cr_assert(eq(int, verify_state(&host.state, &o, &report), 0));
	cr_expect(eq(int, report.verdict, VERDICT_TAMPERED));
	cr_expect(found);
	done();
}

/* Memory. */

/* Fields and variables may take next to nothing of the file: of all groups of a window there are no more than it may have. */
Test(windows, values_have_their_limit_in_all_groups_together)
{
	struct verified v = { 0 };
	uint64_t most = 0;

	make_host();
	for (uint32_t w = 0; w < segment->n_windows; w++) {
		uint64_t values = 0;

		for (uint32_t i = segment->windows[w].first; i < segment->windows[w].end; i++) {
			struct segment_group g;

			cr_assert(eq(int, group_open(&g, segment, i), 0));
			cr_assert(eq(int, group_need_all(&g), 0));
			cr_expect(gt(u64, group_values(&g), 0));
			values += group_values(&g);
			group_drop_rows(&g);
			cr_expect(zero(u64, group_values(&g)));
			cr_expect(eq(ptr, g.time, NULL));
			cr_expect(ne(ptr, g.batches, NULL));
			cr_expect(eq(int, group_need_all(&g), 0));
			group_close(&g);
		}
		most = MAX_OF(most, values);
	}
	segment_window_values = most - 1;
	builder_verify(host.path, NULL, &v);
	cr_expect(eq(int, v.report.verdict, VERDICT_TAMPERED));
	cr_expect(verified_says(&v, VERDICT_TAMPERED, "a row group is damaged: none of its"));
	cr_expect(gt(u64, v.report.lost_entries, 0));
	cr_expect(lt(u64, v.report.lost_entries, v.report.entries));
	cr_expect(eq(int, merge_segments(&host, 0, 1), BULLA_ELIMIT));
	segment_window_values = most;
	builder_verify(host.path, NULL, &v);
	cr_expect(ne(int, v.report.verdict, VERDICT_TAMPERED));
	cr_expect(eq(int, merge_segments(&host, 0, 1), 1));
	verified_done(&v);
	done();
}

/* Where rows are few and far between, longer spans are counted, or none. */
Test(windows, spans_are_as_long_as_makes_them_few)
{
	static const struct {
		uint64_t apart_s;
		uint64_t want;
	} cases[] = { { 0, 1 }, { 1, 60 }, { 7, 600 }, { 100, 3600 }, { 3600, 0 } };

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct contexts contexts = { 0 };
		struct seeds seeds = { 0 };
		struct segment_source source = { .contexts = &contexts, .seeds = &seeds };
		struct entry e = { .message = (const uint8_t *) "x", .message_len = 1 };
		struct segment_writer w;
		struct segment s;
		char path[600];

		snprintf(path, sizeof path, "%s/%zu.segment", tempdir(), i);
		cr_assert(eq(int, segment_writer_open(&w, AT_FDCWD, path, 3), 0));
		cr_assert(eq(i64, segment_writer_origin(&w, &(struct id){ "one" }, 0), 0));
		cr_assert(eq(i64, segment_writer_journal(&w, &source), 0));
		cr_assert(eq(int, segment_writer_batch(&w, 0, 1, 0, 0), 0));
		for (uint64_t k = 0; k < 1000; k++) {
			e.time_ns = e.received_ns = (1000000 + k * cases[i].apart_s) * NS_PER_S;
			cr_assert(eq(int, segment_writer_add(&w, &e, 0), 0));
		}
		cr_assert(gt(i64, segment_writer_finish(&w, NULL, 0), 0));
		segment_writer_close(&w);
		cr_assert(eq(int, segment_open(&s, open(path, O_RDONLY | O_CLOEXEC)), 0));
		cr_expect(eq(u64, s.windows[0].span_s, cases[i].want), "%zu", i);
		segment_close(&s);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What is damaged in a segment costs what needs it, and nothing else: everybody who reads goes on, and names the place.
 */

#include "query/catalog.h"

#include "tests/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "query/request.h"
#include "seal/origin.h"
#include "store/segment/check.h"
#include "store/segment/damaged.h"
#include "store/segment/merge.h"
#include "store/segment/replace.h"
#include "store/segment/writer.h"
#include "store/verify.h"
#include "tests/builder.h"
#include "tests/packing.h"

Suite(damaged);

enum { COMMITS = 9, LINES = 12, BULK = 192 << 10, IN_A_GROUP = 3 };

static struct builder host;
static char path[512], file[800];
static struct segment_set set; /* before anything was damaged */
static const struct segment *segment;

/* Two journals, one of them with much in each commit, so that a few commits make a row group. */
static void make_host(void)
{
	static char bulk[BULK];
	uint64_t dice = 1;

	segment_window_bytes = IN_A_GROUP * BULK;
	snprintf(path, sizeof path, "%s/host", tempdir());
	builder_init(&host, path, (struct kes_params){ 2, 3 });
	builder_open(&host, "web");
	builder_open(&host, "db");
	for (int c = 0; c < COMMITS; c++) {
		for (int i = 0; i < LINES; i++) {
			char text[80];

			snprintf(text, sizeof text, "GET /item/%d 200 from host-%d.example.org",
				 c * LINES + i, i % 5);
			builder_log(&host, (size_t) i % 2, text);
		}
		for (size_t i = 0; i + 8 < sizeof bulk; i += 8) {
			dice = dice * 6364136223846793005u + 1442695040888963407u;
			snprintf(bulk + i, 9, "%08x", (unsigned) (dice >> 40));
		}
		memcpy(bulk, "bulk", 4);
		builder_log(&host, 1, bulk);
		builder_commit(&host);
	}
	builder_close(&host, 0);
	builder_close(&host, 1);
	pack_segments(&host, 0, true);
	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	cr_assert(eq(u32, set.n, 1));
	segment = &set.files[0].segment;
	cr_assert(ge(u32, segment->n_groups, 3));
	snprintf(file, sizeof file, "%s/segments/%s", path, set.files[0].name);
}

static void done(void)
{
	segment_set_close(&set);
	builder_done(&host);
}

/* Change a byte, or back. */
static void flip(uint64_t offset)
{
	_cleanup_close_ int fd = open(file, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	cr_assert(eq(i64, pread(fd, &byte, 1, (off_t) offset), 1));
	byte ^= 0x20;
	cr_assert(eq(i64, pwrite(fd, &byte, 1, (off_t) offset), 1));
}

static int append(void *arg, const void *data, size_t n)
{
	buf_append(arg, data, n);
	return 0;
}

/* What a query gives, and what it met. */
struct said {
	struct buf text;
	struct query_stats stats;
	uint32_t unusable;
	struct segment_file first; /* its error */
};

/* `grep` may be NULL; the messages are what is given. */
static void ask(const char *word, const char *value, unsigned threads, struct said *ret)
{
	struct local_catalog catalog;
	struct request request;
	struct answer a;
	char why[256];

	buf_clear(&ret->text);
	cr_assert(eq(int, request_init(&request), 0));
	request.query.threads = threads;
	if (word)
		cr_assert(eq(int, request_set(&request, word, value, why), 0));
	cr_assert(eq(int, request_set(&request, "output", "cat", why), 0));
	cr_assert(eq(int, local_catalog_build(&catalog, &host.state), 0));
	answer_init(&a, &request, append, &ret->text);
	cr_expect(eq(int, answer_query(&a, &catalog.catalog), 0));
	ret->stats = a.stats;
	ret->unusable = catalog.n_unusable;
	for (uint32_t i = 0; i < a.stats.n_damage; i++)
		cr_expect(a.stats.damage[i].segment == &catalog.segments.files[0].segment);
	if (catalog.segments.n > 0)
		ret->first = catalog.segments.files[0];
	buf_char(&ret->text, '\0');
	answer_done(&a);
	local_catalog_done(&catalog);
	request_done(&request);
}

static uint32_t count(const struct buf *text, const char *what)
{
	uint32_t n = 0;

	for (const char *p = (const char *) text->data; (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

static uint32_t count_rows(const struct segment *s, uint32_t but)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n_groups; i++)
		n += i == but ? 0 : s->groups[i].rows;
	return n;
}

/* Whatever block of a group is damaged, the other groups are there. */
static void expect_rest(uint32_t group, const struct block_ref *b, unsigned threads,
			struct said *said)
{
	static const struct {
		const char *word, *value;
		bool rows; /* of entries */
	} queries[] = { { NULL, NULL, true },
			{ "grep", "GET|bulk", true },
			{ "grep", "example.org", false },
			{ "match", "container=web", false },
			{ "count-by", "container", false },
			{ "histogram", "1000000000", false } };
	uint32_t rest = count_rows(segment, group);

	for (size_t i = 0; i < ELEMENTS(queries); i++) {
		uint32_t n;

		ask(queries[i].word, queries[i].value, threads, said);
		cr_expect(zero(u32, said->unusable));
		for (uint32_t k = 0; k < said->stats.n_damage; k++) {
			cr_expect(eq(u64, said->stats.damage[k].offset, b->offset),
				  "group %u kind %u query %zu", group, b->kind, i);
			cr_expect(eq(int, said->stats.damage[k].error, BULLA_ECORRUPT));
		}
		cr_expect(eq(u64, said->stats.frames_damaged, said->stats.n_damage));
		if (!queries[i].rows)
			continue;
		/* Tokens only make it slower. */
		n = count(&said->text, "\n");
		cr_expect(n >= rest && n <= count_rows(segment, UINT32_MAX),
			  "group %u kind %u query %zu: %u of %u", group, b->kind, i, n, rest);
		if (b->kind == BLOCK_TOKENS || b->kind == BLOCK_WHOLE)
			cr_expect(gt(u32, n, rest), "group %u kind %u query %zu", group, b->kind,
				  i);
		if (b->kind != BLOCK_TOKENS)
			cr_expect(eq(u32, said->stats.n_damage, 1), "group %u kind %u query %zu",
				  group, b->kind, i);
	}
}

Test(damaged, a_block_hides_nothing_but_what_needs_it)
{
	struct said said = { .text = { 0 } };

	make_host();
	ask(NULL, NULL, 1, &said);
	cr_expect(zero(u64, said.stats.frames_damaged));
	cr_expect(eq(u32, count(&said.text, "\n"), count_rows(segment, UINT32_MAX)));
	for (uint32_t i = 1; i < segment->n_groups; i++)
		for (uint32_t k = 0; k < segment->groups[i].n_blocks; k++) {
			const struct block_ref *b = &segment->groups[i].blocks[k];

			flip(b->offset + b->stored / 2);
			expect_rest(i, b, 1, &said);
			expect_rest(i, b, 3, &said);
			flip(b->offset + b->stored / 2);
		}
	buf_done(&said.text);
	done();
}

Test(damaged, templates_hide_messages_that_have_one)
{
	struct said said = { .text = { 0 } };

	make_host();
	flip(template_table_part(segment->templates, 0)->offset);
	ask(NULL, NULL, 1, &said);
	cr_expect(eq(u32, said.stats.n_damage, 1));
	cr_expect(eq(u64, said.stats.damage[0].offset,
		     template_table_part(segment->templates, 0)->offset));
	/* Where nobody needs messages, nothing is missing. */
	ask("count-by", "container", 1, &said);
	cr_expect(zero(u64, said.stats.frames_damaged));
	cr_expect(eq(u32, count(&said.text, " web\n"), 1));
	buf_done(&said.text);
	done();
}

/* What verify says of a place, and of what is not proved because of it. */
struct proved {
	struct verify_report report;
	uint64_t offset;
	uint32_t places;		  /* damaged blocks that were named */
	uint64_t entries, batches, lines; /* not proved, by line */
	uint32_t others;
};

static void take_finding(void *arg, const struct finding *f)
{
	struct proved *p = arg;

	if (f->verdict != VERDICT_TAMPERED)
		return;
	cr_expect(memcmp(f->file, "segments/", 9) == 0, "%s", f->file);
	if (f->journal && f->entries > 0) {
		p->lines++;
		p->entries += f->entries;
		p->batches += f->batches;
	} else if (f->offset == p->offset) {
		p->places++;
	} else {
		p->others++;
	}
}

static void prove(uint64_t offset, struct proved *ret)
{
	struct vkey pin = builder_pin(&host);
	struct verify_options o = {
		.pin = &pin, .now_ns = host.now_ns, .found = take_finding, .arg = ret
	};

	*ret = (struct proved){ .offset = offset };
	cr_assert(eq(int, verify_state(&host.state, &o, &ret->report), 0));
}

Test(damaged, a_file_that_is_no_segment_is_named)
{
	uint64_t size = 0;
	struct said said = { .text = { 0 } };
	struct stat st;

	make_host();
	cr_assert(eq(int, stat(file, &st), 0));
	size = (uint64_t) st.st_size;
	flip(size - 1);
	ask(NULL, NULL, 1, &said);
	cr_expect(eq(u32, said.unusable, 1));
	cr_expect(eq(int, said.first.error, BULLA_ETRUNCATED));
	cr_expect(eq(u64, said.first.error_at, size - SEGMENT_TRAILER_SIZE));
	flip(size - 1);
	flip(12);
	ask(NULL, NULL, 1, &said);
	cr_expect(eq(int, said.first.error, BULLA_EVERSION));
	cr_expect(zero(u64, said.first.error_at));
	flip(12);
	cr_assert(eq(int, truncate(file, (off_t) size / 2), 0));
	ask(NULL, NULL, 1, &said);
	cr_expect(eq(int, said.first.error, BULLA_ETRUNCATED));
	cr_expect(zero(u32, said.stats.n_damage));
	buf_done(&said.text);
	done();
}

static void expect_proof(uint32_t group, const struct block_ref *b, uint64_t all)
{
	uint32_t rows = segment->groups[group].rows;
	struct proved p;

	prove(b->offset, &p);
	cr_expect(eq(int, (int) p.report.verdict, VERDICT_TAMPERED));
	cr_expect(eq(u32, p.places, 1), "group %u kind %u", group, b->kind);
	cr_expect(zero(u32, p.others), "group %u kind %u", group, b->kind);
	cr_expect(eq(u64, p.report.entries + p.report.lost_entries, all), "group %u kind %u", group,
		  b->kind);
	cr_expect(eq(u64, p.report.lost_entries, p.entries), "group %u kind %u", group, b->kind);
	cr_expect(eq(u64, p.report.lost_batches, p.batches), "group %u kind %u", group, b->kind);
	if (b->kind == BLOCK_TOKENS)
		cr_expect(zero(u64, p.entries), "group %u", group);
	else if (b->kind <= BLOCK_VARIABLES)
		cr_expect(eq(u64, p.entries, rows), "group %u kind %u", group, b->kind);
	else
		cr_expect(p.entries > 0 && p.entries <= rows, "group %u kind %u", group, b->kind);
	/* Two journals, so two lines. */
	cr_expect(le(u64, p.lines, 2), "group %u kind %u", group, b->kind);
}

Test(damaged, verify_proves_the_rest_and_tells_what_it_cannot)
{
	struct proved p;
	uint64_t all;

	make_host();
	prove(0, &p);
	cr_assert(eq(int, (int) p.report.verdict, VERDICT_OK));
	cr_expect(zero(u64, p.report.lost_entries));
	all = p.report.entries;
	for (uint32_t k = 0; k < segment->groups[1].n_blocks; k++) {
		const struct block_ref *b = &segment->groups[1].blocks[k];

		flip(b->offset + b->stored / 2);
		expect_proof(1, b, all);
		flip(b->offset + b->stored / 2);
	}
	/* Two groups that tell nothing at all, with one between them. */
	flip(segment->groups[0].blocks[0].offset);
	flip(segment->groups[segment->n_groups - 1].blocks[0].offset);
	prove(segment->groups[0].blocks[0].offset, &p);
	cr_expect(eq(u32, p.places + p.others, 2));
	cr_expect(eq(u64, p.report.entries + p.entries, all));
	cr_expect(gt(u64, p.report.entries, 0));
	done();
}

/* Keeping. */

static uint32_t told_damaged, told_whole;

static void note_told(void *arg, const struct segment_file *f, int error, uint64_t at)
{
	(void) arg;
	(void) at;
	cr_expect(eq(str, (char *) f->name, set.files[0].name));
	told_damaged += error < 0;
	told_whole += error == 0;
}

/* The segments as a keeper finds them. */
static void look(struct segment_set *now)
{
	int dirfd = openat(host.state.root, SEGMENTS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	told_damaged = told_whole = 0;
	cr_assert(eq(int, segment_set_open(now, &host.state), 0));
	cr_assert(eq(int, damaged_look(dirfd, now, note_told, NULL), 0));
	close(dirfd);
}

Test(damaged, without_seeds_all_is_shown_and_nothing_proved)
{
	struct said said = { .text = { 0 } };
	struct segment_set now;
	uint64_t at, found;
	struct proved p;

	make_host();
	/* They lie before the templates. */
	flip(template_table_part(segment->templates, 0)->offset - 1);
	ask(NULL, NULL, 1, &said);
	cr_expect(zero(u32, said.unusable));
	cr_expect(zero(u64, said.stats.frames_damaged));
	cr_expect(eq(u32, count(&said.text, "\n"), count_rows(segment, UINT32_MAX)));
	cr_expect(eq(int, said.first.error, 0));
	look(&now);
	cr_expect(now.files[0].marked);
	cr_assert(lt(int, now.files[0].segment.seeds_error, 0));
	at = now.files[0].segment.seeds_at;
	cr_expect(lt(int, segment_check_content(&now.files[0].segment, &found), 0));
	cr_expect(eq(u64, found, at));
	segment_set_close(&now);
	prove(at, &p);
	cr_expect(eq(int, (int) p.report.verdict, VERDICT_TAMPERED));
	cr_expect(eq(u32, p.places, 1));
	cr_expect(zero(u32, p.others));
	cr_expect(zero(u64, p.report.entries));
	cr_expect(eq(u64, p.entries, count_rows(segment, UINT32_MAX)));
	cr_expect(eq(u64, p.lines, 2));
	buf_done(&said.text);
	done();
}

static const struct id *web(void)
{
	return &host.journal[0].id;
}

/* A file that is older than what was changed in it. */
static void make_older(const char *name)
{
	const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	char mark[1000];

	snprintf(mark, sizeof mark, "%s%s", file, name);
	cr_assert(eq(int, utimensat(AT_FDCWD, mark, times, 0), 0));
}

Test(damaged, a_segment_is_marked_and_looked_at_again)
{
	struct segment_set now;
	char mark[1000];

	make_host();
	snprintf(mark, sizeof mark, "%s" SEGMENT_DAMAGED, file);
	look(&now);
	cr_expect(segment_file_is_sound(&now.files[0]));
	cr_expect(segment_set_has_all(&now, web(), 0, COMMITS));
	segment_set_close(&now);
	flip(12);
	look(&now);
	cr_expect(eq(int, access(mark, F_OK), -1), "a newer one is not marked");
	segment_set_close(&now);
	flip(12);
	flip(0);
	look(&now);
	cr_expect(eq(u32, told_damaged, 1));
	cr_expect(now.files[0].marked && access(mark, F_OK) == 0);
	segment_set_close(&now);
	look(&now);
	cr_expect(zero(u32, told_damaged));
	segment_set_close(&now);
	/* Nothing relies on it, even where it can be read. */
	flip(0);
	cr_assert(eq(int, segment_set_open(&now, &host.state), 0));
	cr_expect(now.files[0].error == 0 && now.files[0].marked);
	cr_expect(not(segment_set_has_all(&now, web(), 0, COMMITS)));
	segment_set_close(&now);
	make_older(SEGMENT_DAMAGED);
	look(&now);
	cr_expect(eq(u32, told_whole, 1));
	cr_expect(eq(int, access(mark, F_OK), -1));
	cr_expect(segment_set_has_all(&now, web(), 0, COMMITS));
	segment_set_close(&now);
	/* The mark of one that is gone. */
	flip(0);
	look(&now);
	segment_set_close(&now);
	cr_assert(eq(int, unlink(file), 0));
	look(&now);
	cr_expect(eq(int, access(mark, F_OK), -1));
	segment_set_close(&now);
	done();
}

Test(damaged, nothing_goes_for_a_segment_that_is_not_whole)
{
	struct replaced replaced;
	char tail[64], from[700], to[700];
	_cleanup_buf_ struct buf kept = { 0 };
	struct segment_set now;

	make_host();
	/* The tail comes back, as if it had waited for an aggregator. */
	builder_tail(&host, 0, tail);
	builder_store(path, tail, "x", 1);
	flip(segment->groups[1].blocks[3].offset);
	cr_assert(eq(int,
		     segment_replace_tails(&host.state, origin_history(host.origin), &replaced),
		     0));
	cr_expect(zero(u64, replaced.tails));
	cr_expect(eq(u64, replaced.kept, 1));
	cr_expect(eq(str, replaced.damaged, set.files[0].name));
	/* Nor does what a larger one contains. */
	cr_assert(eq(int, segment_set_open(&now, &host.state), 0));
	snprintf(from, sizeof from, "%s/segments/%020d-%020d.default.segment", path, 1, 2);
	snprintf(to, sizeof to, "%s/segments", path);
	builder_load(path, tail, &kept);
	cr_assert(eq(int, symlink("nowhere", from), 0));
	{
		int dirfd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		struct stat st;

		cr_expect(eq(int, segment_set_sweep(&now, dirfd), 0));
		cr_expect(eq(int, lstat(from, &st), 0));
		segment_set_close(&now);
		flip(segment->groups[1].blocks[3].offset);
		cr_assert(eq(int, segment_set_open(&now, &host.state), 0));
		cr_expect(eq(int, segment_set_sweep(&now, dirfd), 0));
		cr_expect(eq(int, lstat(from, &st), -1));
		close(dirfd);
	}
	segment_set_close(&now);
	cr_assert(eq(int,
		     segment_replace_tails(&host.state, origin_history(host.origin), &replaced),
		     0));
	cr_expect(eq(u64, replaced.tails, 1));
	done();
}

/* What says less than it has is as bad as what cannot be read. */
Test(damaged, no_entry_is_left_out_of_a_merge)
{
	struct merge_options o = { .level = 3 };
	struct segment_made made;
	struct segment_set now;
	uint64_t at;

	make_host();
	o.dirfd = openat(host.state.root, SEGMENTS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert(eq(int, segment_set_open(&now, &host.state), 0));
	cr_expect(eq(int, segment_check_content(&now.files[0].segment, &at), 0));
	for (uint32_t lost = 0; lost < segment->n_groups; lost++) {
		struct segment *s = &now.files[0].segment;
		struct window_ref *w = &s->windows[s->groups[lost].window], whole = *w;

		/* One group is not told of, nor those before it in its window. */
		w->first = lost + 1;
		cr_expect(eq(int, segment_merge(&now, 0, 1, origin_history(host.origin), &o, &made),
			     BULLA_ECORRUPT),
			  "%u", lost);
		*w = whole;
	}
	segment_set_close(&now);
	flip(segment->groups[1].blocks[2].offset);
	cr_assert(eq(int, segment_set_open(&now, &host.state), 0));
	cr_expect(eq(int, segment_check_content(&now.files[0].segment, &at), BULLA_ECORRUPT));
	cr_expect(eq(u64, at, segment->groups[1].blocks[2].offset));
	cr_expect(eq(int, segment_merge(&now, 0, 1, origin_history(host.origin), &o, &made),
		     BULLA_ECORRUPT));
	segment_set_close(&now);
	cr_assert(eq(int, segment_set_open(&now, &host.state), 0));
	cr_expect(eq(u32, now.n, 1));
	cr_expect(eq(str, now.files[0].name, set.files[0].name));
	segment_set_close(&now);
	close(o.dirfd);
	done();
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Segments of several tenants: nothing that is one tenant's gets into another's, however the keeper was interrupted, and what is
 * packed once is not packed again.
 */

#include "store/segment/build.h"

#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "bulla/error.h"
#include "seal/ledger.h"
#include "store/segment/hand.h"
#include "store/segment/merge.h"
#include "store/segment/plan.h"
#include "tests/builder.h"

Suite(segment_tenants);

enum { SEALED_MAX = 4096 };

static const uint64_t day_ns = UINT64_C(24) * 60 * 60 * NS_PER_S;
static char at[512];
static struct builder host;

/* Batches, as they were sealed. */
struct sealed {
	struct hash leaf[SEALED_MAX];
	unsigned seen[SEALED_MAX];
	size_t n;
};

static int note_batches(void *arg, const struct sealed_commit *c)
{
	struct sealed *s = arg;

	for (uint32_t i = 0; i < c->commit.n_batches; i++) {
		cr_assert(lt(sz, s->n, SEALED_MAX));
		s->leaf[s->n++] = batch_leaf_hash(&c->batches[i]);
	}
	return 0;
}

static struct sealed *read_sealed(void)
{
	struct sealed *s = calloc(1, sizeof *s);
	struct history *h = history_new();
	struct ledger_scan scan = { 0 };
	struct ledger l;

	cr_assert(eq(int,
		     ledger_open(&l, host.state.ledger, O_RDONLY, h, HISTORY_SKIP_SIGNATURE,
				 note_batches, s, &scan),
		     0));
	ledger_close(&l);
	history_free(h);
	return s;
}

static void cross_off(struct sealed *s, const struct hash *leaf)
{
	for (size_t i = 0; i < s->n; i++)
		if (hash_same(&s->leaf[i], leaf)) {
			s->seen[i]++;
			return;
		}
	cr_expect(false, "a batch that was not sealed");
}

/* All of a file is its tenant's, and of one day. */
static void check_file(const struct segment_file *f, struct sealed *s)
{
	cr_assert(eq(int, f->error, 0), "%s", f->name);
	cr_expect(eq(int, tenant_compare(&f->tenant, &f->segment.tenant), 0));
	cr_expect(eq(u64, segment_day(f->segment.origins[0].time_first),
		     segment_day(f->segment.origins[0].time_last)));
	for (uint32_t i = 0; i < f->segment.n_journals; i++) {
		struct tenant t = tenant_of(&f->segment.journals[i].contexts);

		cr_expect(eq(int, tenant_compare(&t, &f->tenant), 0), "%s", f->name);
	}
	for (uint32_t k = 0; k < f->segment.n_groups; k++) {
		struct segment_group g;

		cr_assert(eq(int, group_open(&g, &f->segment, k), 0));
		cr_assert(eq(int, group_need_all(&g), 0));
		for (uint32_t i = 0; i < g.ref->batches; i++) {
			struct hash leaf;
			struct batch b;

			cr_assert(eq(int, group_batch(&g, i, &b), 0));
			leaf = batch_leaf_hash(&b);
			cross_off(s, &leaf);
			cr_expect(g.batches[i].commit >= f->first && g.batches[i].commit < f->end);
		}
		group_close(&g);
	}
}

/* @return how many of the sealed batches are in a segment; none is in two. */
static size_t check_all(void)
{
	struct sealed *s = read_sealed();
	struct segment_set set;
	size_t seen = 0;

	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	for (uint32_t i = 0; i < set.n; i++)
		check_file(&set.files[i], s);
	for (size_t i = 0; i < s->n; i++) {
		cr_expect(le(u32, s->seen[i], 1), "batch %zu", i);
		seen += s->seen[i];
	}
	segment_set_close(&set);
	free(s);
	return seen;
}

static size_t count_sealed(void)
{
	struct sealed *s = read_sealed();
	size_t n = s->n;

	free(s);
	return n;
}

static int open_dir(void)
{
	char path[600];

	snprintf(path, sizeof path, "%s/segments", at);
	mkdir(path, 0755);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int add_made(void *arg, const struct segment_made *m)
{
	struct segment_made *all = arg;

	all->batches += m->batches;
	all->left_out += m->left_out;
	all->first++; /* how many */
	return 0;
}

/* Pack what is not packed.  @return in `first` how many segments were made, with sums. */
static struct segment_made pack(uint64_t entries_max)
{
	struct segment_made all = { .first = 0 };
	struct segment_builder_options o = {
		.entries_max = entries_max, .level = 3, .made = add_made, .arg = &all
	};
	struct segment_builder *b;
	struct segment_set set;

	o.dirfd = open_dir();
	o.packed = &set;
	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	cr_assert(eq(int, segment_builder_new(&b, &host.state, &o), 0));
	segment_set_close(&set);
	cr_assert(eq(int, segment_builder_read(b), 0));
	cr_assert(eq(int, segment_builder_finish(b), 0));
	segment_builder_free(b);
	close(o.dirfd);
	return all;
}

/* Three tenants, who take turns, and one who comes late; two days. */
static void make_host(void)
{
	static const char *const tenants[] = { NULL, "web", "db.eu-1", "web" };

	snprintf(at, sizeof at, "%s/host", tempdir());
	builder_init(&host, at, (struct kes_params){ 2, 4 });
	for (size_t j = 0; j < ELEMENTS(tenants); j++) {
		host.tenant = tenants[j];
		builder_open(&host, "same name");
	}
	for (size_t i = 0; i < 40; i++) {
		if (i == 25)
			host.now_ns += day_ns;
		for (size_t j = 0; j < ELEMENTS(tenants); j++)
			if ((i + j) % 4 != 0)
				builder_log_many(&host, j, 1 + (i * 7 + j) % 20);
		builder_commit(&host);
	}
	host.tenant = "late";
	builder_log_many(&host, builder_open(&host, "late"), 10);
	builder_commit(&host);
	builder_close(&host, 1);
}

/* Remove the files of a tenant, or the n-th of it alone.  @return how many went. */
static unsigned remove_files(const char *tenant, int64_t number)
{
	struct segment_set set;
	int dirfd = open_dir();
	unsigned n = 0, seen = 0;

	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	for (uint32_t i = 0; i < set.n; i++) {
		if (strcmp(set.files[i].tenant.name, tenant) != 0)
			continue;
		if (number < 0 || seen++ == number) {
			cr_assert(eq(int, unlinkat(dirfd, set.files[i].name, 0), 0));
			n++;
		}
	}
	segment_set_close(&set);
	close(dirfd);
	return n;
}

Test(segment_tenants, each_has_segments_of_its_own)
{
	struct segment_made all;
	struct segment_set set;
	uint64_t end = 0;

	make_host();
	all = pack(0);
	cr_expect(eq(u64, all.left_out, 0));
	cr_expect(eq(sz, check_all(), count_sealed()));
	/* Two days of three tenants, and one of the late one; those of a tenant adjoin. */
	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	cr_expect(eq(u32, set.n, 7));
	cr_expect(eq(u32, set.n_damaged, 0));
	for (uint32_t i = 0; i < set.n; i++) {
		bool same = i > 0 &&
			    tenant_compare(&set.files[i - 1].tenant, &set.files[i].tenant) == 0;

		cr_expect(eq(u64, set.files[i].first, same ? end : 0), "%s", set.files[i].name);
		end = set.files[i].end;
	}
	segment_set_close(&set);
	all = pack(0);
	cr_expect(eq(u64, all.first, 0));
	builder_done(&host);
}

Test(segment_tenants, each_fills_its_own)
{
	make_host();
	cr_expect(gt(u64, pack(60).first, 12));
	cr_expect(eq(sz, check_all(), count_sealed()));
	builder_done(&host);
}

/* A kill between two names: one tenant's segment is there, another's is not. */
Test(segment_tenants, what_one_lacks_is_packed_and_nothing_else)
{
	struct segment_made all;

	make_host();
	all = pack(100);
	cr_expect(gt(u64, all.first, 7));
	cr_assert(gt(u32, remove_files("web", -1), 2));
	cr_expect(lt(sz, check_all(), count_sealed()));
	all = pack(0);
	cr_expect(eq(u64, all.first, 2));
	cr_expect(eq(u64, all.left_out, 0));
	cr_expect(eq(sz, check_all(), count_sealed()));
	builder_done(&host);
}

/* A file that is gone from among others is made again out of what tails have. */
Test(segment_tenants, holes_are_filled)
{
	struct segment_made all;

	make_host();
	pack(50);
	for (int64_t i = 0; i < 3; i++)
		cr_assert(eq(u32, remove_files("db.eu-1", i), 1));
	all = pack(0);
	cr_expect(gt(u64, all.batches, 3));
	cr_expect(eq(u64, all.left_out, 0));
	cr_expect(eq(sz, check_all(), count_sealed()));
	cr_expect(eq(u64, pack(0).first, 0));
	builder_done(&host);
}

Test(segment_tenants, what_was_pruned_is_not_packed_again)
{
	size_t all;

	make_host();
	pack(0);
	all = count_sealed();
	builder_prune(&host, 1, 20);
	cr_assert(gt(u32, remove_files("web", -1), 0));
	cr_expect(gt(u64, pack(0).first, 0));
	cr_expect(eq(sz, check_all(), all - 20));
	builder_done(&host);
}

/* More than there is room for at once. */
Test(segment_tenants, there_may_be_many)
{
	enum { TENANTS = HANDS_MAX + 20 };
	struct segment_made all;

	snprintf(at, sizeof at, "%s/host", tempdir());
	builder_init(&host, at, (struct kes_params){ 3, 4 });
	for (int j = 0; j < TENANTS; j++) {
		char name[16];

		snprintf(name, sizeof name, "t%d", j);
		host.tenant = name;
		builder_open(&host, name);
	}
	host.tenant = NULL;
	for (int i = 0; i < 4; i++) {
		for (size_t j = 0; j < TENANTS; j++)
			builder_log_many(&host, j, 1 + j % 3);
		builder_commit(&host);
	}
	all = pack(0);
	cr_expect(ge(u64, all.first, (uint64_t) TENANTS));
	cr_expect(eq(u64, all.left_out, 0));
	cr_expect(eq(sz, check_all(), count_sealed()));
	cr_expect(eq(sz, count_sealed(), 4u * TENANTS));
	builder_done(&host);
}

/* Merging. */

static int merge(uint32_t first, uint32_t n)
{
	struct merge_options o = { .dirfd = open_dir(), .level = 3 };
	struct segment_made made;
	struct segment_set set;
	int r;

	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	r = segment_merge(&set, first, n, origin_history(host.origin), &o, &made);
	segment_set_close(&set);
	close(o.dirfd);
	return r;
}

Test(segment_tenants, tenants_are_not_merged)
{
	uint32_t first, n, merges = 0;
	struct segment_set set;

	make_host();
	pack(40);
	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	for (uint32_t i = 1; i < set.n; i++)
		if (tenant_compare(&set.files[i - 1].tenant, &set.files[i].tenant) != 0)
			cr_expect(eq(int, merge(i - 1, 2), -EINVAL), "%u", i);
	while (plan_merge(&set, UINT64_MAX, UINT64_MAX, &first, &n)) {
		segment_set_close(&set);
		cr_assert(eq(int, merge(first, n), 1));
		cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
		merges++;
	}
	cr_expect(ge(u32, merges, 6));
	cr_expect(eq(u32, set.n, 7));
	segment_set_close(&set);
	cr_expect(eq(sz, check_all(), count_sealed()));
	builder_done(&host);
}

/* Names. */

Test(segment_tenants, names_say_commits_and_tenant)
{
	static const struct tenant web = { "web" }, odd = { "a.segment" };
	uint64_t first = 1, end = 1;
	char name[SEGMENT_NAME_SIZE];
	struct tenant t;

	segment_name(&web, 7, 12, name);
	cr_expect(eq(str, name, (char *) "00000000000000000007-00000000000000000012.web.segment"));
	cr_expect(eq(int, segment_name_parse(name, &t, &first, &end), 0));
	cr_expect(eq(u64, first, 7));
	cr_expect(eq(u64, end, 12));
	cr_expect(eq(str, t.name, (char *) "web"));
	segment_name(&odd, 0, UINT64_MAX, name);
	cr_expect(eq(int, segment_name_parse(name, &t, &first, &end), 0));
	cr_expect(eq(str, t.name, (char *) "a.segment"));
}

#define COMMITS "00000000000000000007-00000000000000000012"

Test(segment_tenants, other_names_are_none)
{
	static const char *const names[] = {
		"",
		".segment",
		COMMITS ".segment",
		COMMITS "..segment",
		COMMITS "...segment",
		COMMITS ".../x.segment",
		COMMITS "..hidden.segment",
		COMMITS ".Web.segment",
		COMMITS ".web.segment.damaged",
		COMMITS ".web",
		COMMITS "-web.segment",
		"00000000000000000012-00000000000000000007.web.segment",
		"00000000000000000007-00000000000000000007.web.segment",
		"0000000000000000007-00000000000000000012.web.segment",
		"99999999999999999999-00000000000000000012.web.segment",
		COMMITS
		".123456789012345678901234567890123456789012345678901234567890abcde.segment",
	};
	uint64_t first, end;
	struct tenant t;

	for (size_t i = 0; i < ELEMENTS(names); i++)
		cr_expect(eq(int, segment_name_parse(names[i], &t, &first, &end), -EINVAL), "%s",
			  names[i]);
}

/* Forgery. */

/* Make a file say that it is another tenant's; names are as long as each other. */
static void forge(const char *name, const char *to)
{
	static uint8_t footer[1 << 16], stored_bytes[1 << 16];
	uint8_t trailer[SEGMENT_TRAILER_SIZE];
	int dirfd = open_dir(), fd = openat(dirfd, name, O_RDWR | O_CLOEXEC);
	off_t size = lseek(fd, 0, SEEK_END);
	struct rd r = rd_of(trailer, sizeof trailer);
	struct wr w = wr_of(trailer, sizeof trailer);
	uint64_t offset;
	uint32_t stored, raw;

	cr_assert(eq(i64, pread(fd, trailer, sizeof trailer, size - (off_t) sizeof trailer),
		     SEGMENT_TRAILER_SIZE));
	offset = rd_u64(&r);
	stored = rd_u32(&r);
	raw = rd_u32(&r);
	cr_assert(raw <= sizeof footer && stored <= sizeof footer);
	cr_assert(eq(i64, pread(fd, stored_bytes, stored, (off_t) offset), stored));
	if (stored == raw)
		memcpy(footer, stored_bytes, raw);
	else
		cr_assert(
			eq(sz, ZSTD_decompress(footer, sizeof footer, stored_bytes, stored), raw));
	cr_assert(eq(u8, footer[0], (uint8_t) strlen(to)));
	memcpy(footer + 1, to, strlen(to));
	cr_assert(eq(i64, pwrite(fd, footer, raw, (off_t) offset), raw));
	wr_u64(&w, offset);
	wr_u32(&w, raw);
	wr_u32(&w, raw);
	wr_u32(&w, crc32c(0, footer, raw));
	wr_bytes(&w, SEGMENT_MAGIC, 8);
	cr_assert(eq(i64, pwrite(fd, trailer, sizeof trailer, (off_t) (offset + raw)),
		     SEGMENT_TRAILER_SIZE));
	cr_assert(eq(int, ftruncate(fd, (off_t) (offset + raw + SEGMENT_TRAILER_SIZE)), 0));
	close(fd);
	close(dirfd);
}

/* The first file of a tenant, as another's: by its footer, by its name, or both. */
static void move_file(const char *from, const char *to, bool footer, bool rename_it)
{
	struct tenant t;
	char name[SEGMENT_NAME_SIZE], other[SEGMENT_NAME_SIZE];
	struct segment_set set;
	int dirfd = open_dir();
	uint32_t i = 0;

	cr_assert(eq(int, tenant_parse(to, strlen(to), &t), 0));
	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	while (strcmp(set.files[i].tenant.name, from) != 0)
		i++;
	strcpy(name, set.files[i].name);
	segment_name(&t, set.files[i].first, set.files[i].end, other);
	segment_set_close(&set);
	if (footer)
		forge(name, to);
	if (rename_it)
		cr_assert(eq(int, renameat(dirfd, name, dirfd, other), 0));
	close(dirfd);
}

Test(segment_tenants, a_name_that_the_footer_denies_is_damage)
{
	struct segment_set set;

	for (int i = 0; i < 2; i++) {
		make_host();
		pack(0);
		move_file("web", "wab", i == 0, i == 1);
		cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
		cr_expect(eq(u32, set.n_damaged, 1));
		cr_expect(eq(u32, set.n, 7));
		segment_set_close(&set);
		builder_done(&host);
	}
}

/* A journal that lies among another tenant's is found, and not merged with those. */
Test(segment_tenants, a_journal_in_another_tenants_segment_is_found)
{
	struct verified v = { 0 };
	struct segment_set set;
	struct vkey pin;
	uint32_t i = 0;

	make_host();
	pack(0);
	pin = builder_pin(&host);
	builder_verify(at, &pin, &v);
	cr_expect(le(int, (int) v.report.verdict, (int) VERDICT_NOTE), "%s", v.findings.data);
	move_file("web", "wab", true, true);
	builder_verify(at, &pin, &v);
	cr_expect(eq(int, (int) v.report.verdict, (int) VERDICT_TAMPERED));
	cr_expect(verified_says(&v, VERDICT_TAMPERED,
				"the journal is another tenant's than the segment"));
	verified_done(&v);
	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	cr_expect(eq(u32, set.n_damaged, 0));
	while (strcmp(set.files[i].tenant.name, "wab") != 0)
		i++;
	segment_set_close(&set);
	cr_expect(eq(int, merge(i, 1), BULLA_ECORRUPT));
	builder_done(&host);
}

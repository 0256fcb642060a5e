/* SPDX-License-Identifier: Apache-2.0 */

/** A ledger without the roots that segments give back: proved as before, shipped as before, and no lie in it passes. */

#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/frame.h"
#include "bulla/error.h"
#include "forwarder/pack.h"
#include "seal/ledger.h"
#include "seal/packed.h"
#include "store/receipts.h"
#include "store/segment/roots.h"
#include "tests/builder.h"
#include "tests/packing.h"

/* A disk that fails: with the content of files, or with names. */
static bool content_fails, names_fail;

int fdatasync(int fd)
{
	errno = EIO;
	return content_fails ? -1 : (int) syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	errno = EIO;
	return names_fail ? -1 : (int) syscall(SYS_fsync, fd);
}

TestSuite(roots, .fini = harness_teardown, .timeout = 300);

static struct verified verdict;

/* Two journals that are closed and one that goes on, in files of few commits. */
static void make_host(struct builder *b)
{
	size_t web, db, cron;

	ledger_file_size = 12 << 10;
	builder_init(b, tempdir(), (struct kes_params){ 2, 4 });
	web = builder_open(b, "web");
	db = builder_open(b, "db");
	cron = builder_open(b, "cron");
	for (unsigned i = 0; i < 60; i++) {
		builder_log_many(b, web, 1 + i % 7);
		if (i % 3 == 0)
			builder_log_many(b, db, 2);
		builder_log(b, cron, "tick");
		builder_commit(b);
	}
	builder_close(b, web);
	builder_close(b, db);
	for (unsigned i = 0; i < 60; i++) {
		builder_log_many(b, cron, 1 + i % 5);
		builder_commit(b);
	}
}

static struct roots_packed pack_ledger(const struct builder *b)
{
	struct roots_packed packed;
	struct roots_packer *p;
	struct segment_set set;

	cr_assert(eq(int, segment_set_open(&set, &b->state), 0));
	cr_assert(eq(int, roots_packer_new(&p, &b->state), 0));
	cr_assert(eq(int,
		     roots_pack(p, &set, origin_history(b->origin),
				set.n > 0 ? set.files[set.n - 1].end : 0, &packed),
		     0));
	roots_packer_free(p);
	segment_set_close(&set);
	return packed;
}

static enum verdict verdict_of(const struct builder *b)
{
	struct vkey pin = builder_pin(b);

	builder_verify(b->path, &pin, &verdict);
	cr_assert(eq(int, verdict.error, 0));
	return verdict.report.verdict;
}

static void ship(const struct builder *b, struct buf *to)
{
	struct packer *p;
	uint64_t size;
	int r;

	cr_assert(eq(int, packer_new(&p, &b->state), 0));
	cr_assert(eq(int, packer_size(p, &size), 0));
	while ((r = packer_next(p, &(struct pack_options){ 0 }, to)) > 0)
		;
	cr_assert(eq(int, r, 0));
	cr_expect(eq(u64, packer_position(p), size));
	packer_free(p);
}

static void done(struct builder *b)
{
	verified_done(&verdict);
	builder_done(b);
}

Test(roots, what_segments_have_is_left_out_and_proved_as_before)
{
	struct roots_packed packed;
	struct verify_report before;
	struct builder b;

	make_host(&b);
	pack_segments(&b, 50, true);
	cr_assert(eq(int, verdict_of(&b), VERDICT_OK), "%s", (char *) verdict.findings.data);
	before = verdict.report;
	packed = pack_ledger(&b);
	cr_expect(gt(u64, packed.files, 1));
	cr_expect(lt(u64, packed.bytes, packed.bytes_before));
	cr_assert(eq(int, verdict_of(&b), VERDICT_OK), "%s", (char *) verdict.findings.data);
	cr_expect(eq(u64, verdict.report.entries, before.entries));
	cr_expect(eq(u64, verdict.report.batches, before.batches));
	cr_expect(eq(u64, verdict.report.commits, before.commits));
	/* Once more there is nothing to do. */
	packed = pack_ledger(&b);
	cr_expect(zero(u64, packed.files));
	/* The sealer goes on behind it. */
	builder_crash(&b);
	builder_restart(&b, true);
	cr_expect(le(int, verdict_of(&b), VERDICT_NOTE), "%s", (char *) verdict.findings.data);
	done(&b);
}

Test(roots, what_is_shipped_is_what_was_sealed)
{
	_cleanup_buf_ struct buf before = { 0 }, after = { 0 };
	struct builder b;

	make_host(&b);
	pack_segments(&b, 0, true);
	ship(&b, &before);
	cr_assert(gt(u64, pack_ledger(&b).files, 1));
	ship(&b, &after);
	cr_expect(eq(sz, before.len, after.len));
	cr_expect(zero(int, memcmp(before.data, after.data, before.len)));
	done(&b);
}

/* Have everything pruned that comes before a journal's batch, as the keeper does it. */
static void prune(struct builder *b, size_t journal, uint64_t batches, bool keep)
{
	struct segment_set set;

	builder_prune(b, journal, batches);
	cr_assert(eq(int, segment_set_open(&set, &b->state), 0));
	for (uint32_t i = 0; keep && i < set.n; i++)
		cr_assert(
			eq(int,
			   roots_keep(&b->state, &set.files[i].segment, origin_history(b->origin)),
			   0));
	for (uint32_t i = set.n; i-- > 0;)
		cr_assert(ge(int, merge_segments(b, i, 1), 0));
	segment_set_close(&set);
}

Test(roots, those_of_what_is_pruned_come_back)
{
	struct builder b;

	make_host(&b);
	pack_segments(&b, 50, true);
	cr_assert(gt(u64, pack_ledger(&b).files, 1));
	prune(&b, 0, 33, true);
	cr_assert(eq(int, verdict_of(&b), VERDICT_OK), "%s", (char *) verdict.findings.data);
	cr_expect(eq(u64, verdict.report.pruned_batches, 33));
	prune(&b, 1, 10, true);
	cr_assert(eq(int, verdict_of(&b), VERDICT_OK), "%s", (char *) verdict.findings.data);
	cr_expect(eq(u64, verdict.report.pruned_batches, 43));
	done(&b);
}

/* @return how many segments have roots that could not be kept. */
static unsigned count_failures(const struct builder *b)
{
	struct segment_set set;
	unsigned n = 0;

	cr_assert(eq(int, segment_set_open(&set, &b->state), 0));
	for (uint32_t i = 0; i < set.n; i++) {
		int r = roots_keep(&b->state, &set.files[i].segment, origin_history(b->origin));

		cr_expect(r == 0 || r == -EIO, "%s", bulla_strerror(r));
		n += r < 0;
	}
	segment_set_close(&set);
	return n;
}

/* Or they would be taken out of the segment, and be nowhere. */
Test(roots, those_that_could_not_be_kept_are_told)
{
	struct builder b;

	make_host(&b);
	pack_segments(&b, 50, true);
	cr_assert(gt(u64, pack_ledger(&b).files, 1));
	builder_prune(&b, 0, 33);
	content_fails = true;
	cr_expect(gt(u32, count_failures(&b), 0));
	content_fails = false;
	names_fail = true;
	cr_expect(gt(u32, count_failures(&b), 0));
	/* By now each file has its roots, under a name that may be on no disk. */
	cr_expect(gt(u32, count_failures(&b), 0));
	names_fail = false;
	cr_expect(eq(u32, count_failures(&b), 0));
	prune(&b, 1, 10, true);
	cr_assert(eq(int, verdict_of(&b), VERDICT_OK), "%s", (char *) verdict.findings.data);
	done(&b);
}

Test(roots, without_them_nothing_of_a_commit_is_proved)
{
	struct builder b;

	make_host(&b);
	pack_segments(&b, 50, true);
	cr_assert(gt(u64, pack_ledger(&b).files, 1));
	prune(&b, 0, 33, false);
	cr_expect(eq(int, verdict_of(&b), VERDICT_TAMPERED));
	cr_expect(verified_says(&verdict, VERDICT_TAMPERED,
				"no segment has it, and nothing else of its commit can be proved "
				"without it"));
	done(&b);
}

Test(roots, what_no_segment_has_is_kept)
{
	char tail[64];
	_cleanup_buf_ struct buf content = { 0 };
	struct builder b;

	make_host(&b);
	/* Damage in a tail leaves its journal out of the segment from there on. */
	builder_tail(&b, 1, tail);
	builder_load(b.path, tail, &content);
	content.data[1500] ^= 1;
	builder_store(b.path, tail, content.data, content.len);
	pack_segments(&b, 0, true);
	cr_assert(gt(u64, pack_ledger(&b).files, 1));
	cr_expect(eq(int, verdict_of(&b), VERDICT_TAMPERED));
	cr_expect(not(verified_says(&verdict, VERDICT_TAMPERED,
				    "no segment has it, and nothing else of its commit can be "
				    "proved without it")),
		  "%s", (char *) verdict.findings.data);
	done(&b);
}

/* A destination says that it has these commits. */
static void keep_receipt(const struct builder *b, uint64_t size)
{
	struct receipt r = { .destination = "http://a", .size = size, .time_ns = 1 };
	char note[256];

	snprintf(note, sizeof note, "bulla/x\n%llu\n%s\n", (unsigned long long) size,
		 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
	cr_assert(eq(int, receipts_keep(&b->state, &r, note, strlen(note)), 0));
}

Test(roots, nothing_is_packed_that_a_destination_does_not_have)
{
	struct builder b;
	uint64_t first;

	make_host(&b);
	pack_segments(&b, 0, true);
	keep_receipt(&b, 3);
	cr_expect(zero(u64, pack_ledger(&b).files));
	keep_receipt(&b, 100);
	first = pack_ledger(&b).files;
	cr_expect(gt(u64, first, 0));
	keep_receipt(&b, history_size(origin_history(b.origin)));
	cr_expect(gt(u64, pack_ledger(&b).files, 0));
	cr_assert(eq(int, verdict_of(&b), VERDICT_OK), "%s", (char *) verdict.findings.data);
	done(&b);
}

/* Every bit of a packed file, with checksums that are right: nothing is believed that was not sealed. */
Test(roots, every_flipped_bit_of_a_packed_ledger_is_found)
{
	_cleanup_buf_ struct buf file = { 0 };
	unsigned found = 0, harmless = 0;
	struct builder b;

	make_host(&b);
	pack_segments(&b, 0, true);
	cr_assert(gt(u64, pack_ledger(&b).files, 1));
	builder_load(b.path, "ledger/" LEDGER_FILE, &file);
	for (size_t bit = 13; bit < file.len * 8; bit += 409) {
		_cleanup_buf_ struct buf bad = { 0 };
		struct frame f;
		ssize_t space;

		buf_append(&bad, file.data, file.len);
		bad.data[bit / 8] ^= (uint8_t) (1 << bit % 8);
		for (size_t at = 0; (space = frame_parse(file.data + at, file.len - at,
							 LEDGER_RECORD_MAX, &f)) > 0;
		     at += (size_t) space)
			if (bit / 8 >= at + FRAME_HEADER_SIZE && bit / 8 < at + (size_t) space)
				frame_finish(bad.data + at, f.type, f.size);
		if (memcmp(bad.data, file.data, file.len) == 0)
			continue;
		builder_store(b.path, "ledger/" LEDGER_FILE, bad.data, bad.len);
		if (verdict_of(&b) == VERDICT_TAMPERED) {
			found++;
			continue;
		}
		harmless++;
		cr_expect(eq(u64, bit, UINT64_MAX), "not found: %s",
			  verdict.findings.len ? (char *) verdict.findings.data : "");
	}
	cr_expect(gt(uint, found, 100));
	cr_expect(zero(uint, harmless));
	builder_store(b.path, "ledger/" LEDGER_FILE, file.data, file.len);
	cr_expect(eq(int, verdict_of(&b), VERDICT_OK));
	done(&b);
}

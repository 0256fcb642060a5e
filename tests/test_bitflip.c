/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Every single bit of a state directory, flipped: verify finds it, or every entry reads as before and the bit lies where
 * the format says that nothing vouches for it (docs/format.md, "What is not authenticated").
 *
 * (A host that has more than tails: test_mutations.c.)
 *
 * Then the same with thousands of random mutations at a time, checksums repaired and not.  BULLA_LONG=1 makes ten times as
 * many.
 */

#include "tests/builder.h"
#include "tests/harness.h"
#include "tests/surgery.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "base/io.h"
#include "seal/ledger.h"
#include "store/format.h"

TestSuite(bitflip, .fini = harness_teardown, .timeout = 600);

#define LEDGER "ledger/" LEDGER_FILE

enum { FILES = 3, BLANK_KEPT = 128 };

static struct {
	char path[600];
	struct vkey pin;
	const char *name[FILES]; /* of files that verify reads */
	char tail[2][64];
	struct buf content[FILES];
	uint64_t vouched[FILES]; /* for bytes before this one */
	struct buf entries;
	uint64_t receipt; /* commits that an aggregator vouches for; 0: none */
} bed;

static struct surgery surgery;
static struct verified verdict;

/* Where the last frame of the file begins, and where it ends. */
static void ends_of(const char *name, uint64_t *ret_last, uint64_t *ret_end)
{
	*ret_last = *ret_end = 0;
	surgery_open(&surgery, bed.path, name);
	for (size_t i = 0; i < surgery.n; i++) {
		*ret_last = *ret_end;
		*ret_end += frame_space(surgery.piece[i].payload.len);
	}
	surgery_done(&surgery);
}

/* One journal closed by its collector, one by recovery, a new key, and as little of everything as there can be. */
static void make_bed(void)
{
	struct builder b;
	uint64_t last, end;
	size_t web, db;

	setenv("TMPDIR", builder_parent(), 1);
	snprintf(bed.path, sizeof bed.path, "%s", tempdir());
	builder_init(&b, bed.path, (struct kes_params){ 2, 1 });
	bed.pin = builder_pin(&b);
	web = builder_open(&b, "web");
	db = builder_open(&b, "db");
	builder_log_many(&b, web, 2);
	builder_log(&b, db, "sealed");
	builder_commit(&b);
	builder_close(&b, web);
	builder_log(&b, db, "not sealed when the host stopped");
	builder_flush(&b, db);
	builder_tail(&b, web, bed.tail[0]);
	builder_tail(&b, db, bed.tail[1]);
	builder_crash(&b);
	builder_restart(&b, true);
	builder_end(&b);
	builder_done(&b);
	bed.name[0] = LEDGER;
	bed.name[1] = bed.tail[0];
	bed.name[2] = bed.tail[1];
	for (unsigned i = 0; i < FILES; i++) {
		ends_of(bed.name[i], &last, &end);
		/* The last record says `down`: without it the ledger is what a crash before it leaves. */
		bed.vouched[i] = i == 0 ? last : end;
		builder_load(bed.path, bed.name[i], &bed.content[i]);
		/* Of the space ahead a little is enough. */
		bed.content[i].len = MIN_OF(bed.content[i].len, end + BLANK_KEPT);
		builder_store(bed.path, bed.name[i], bed.content[i].data, bed.content[i].len);
	}
	cr_assert(eq(int, builder_dump(bed.path, &bed.entries), 0));
	builder_verify(bed.path, &bed.pin, &verdict);
	cr_assert(eq(int, verdict.report.verdict, VERDICT_OK), "%s",
		  (char *) verdict.findings.data);
}

static void unmake_bed(void)
{
	verified_done(&verdict);
	for (unsigned i = 0; i < FILES; i++)
		buf_done(&bed.content[i]);
	buf_done(&bed.entries);
}

static void restore(unsigned file)
{
	builder_store(bed.path, bed.name[file], bed.content[file].data, bed.content[file].len);
}

/* Whether verify takes the directory as it is; then the entries must be the same. */
static bool passes(void)
{
	_cleanup_buf_ struct buf now = { 0 };

	builder_verify_with(bed.path,
			    (struct verify_options){ .pin = &bed.pin, .receipt_size = bed.receipt },
			    &verdict);
	cr_assert(eq(int, verdict.error, 0));
	if (verdict.report.verdict != VERDICT_OK)
		return false;
	cr_assert(eq(int, builder_dump(bed.path, &now), 0));
	cr_assert(eq(sz, now.len, bed.entries.len));
	cr_assert(eq(int, memcmp(now.data, bed.entries.data, now.len), 0));
	return true;
}

static void flip_all_of(unsigned file)
{
	_cleanup_close_ int dir = open(bed.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	size_t n = bed.content[file].len, passed = 0;

	fd = openat(dir, bed.name[file], O_RDWR | O_CLOEXEC);
	cr_assert(ge(int, fd, 0));
	for (size_t bit = 0; bit < 8 * n; bit++) {
		uint8_t byte = bed.content[file].data[bit / 8], flipped = byte;

		flipped ^= (uint8_t) (1 << bit % 8);
		cr_assert(eq(int, io_pwrite(fd, &flipped, 1, bit / 8), 0));
		if (passes()) {
			passed++;
			cr_expect(ge(sz, bit / 8, bed.vouched[file]),
				  "%s: bit %zu of byte %zu passes", bed.name[file], bit % 8,
				  bit / 8);
		}
		cr_assert(eq(int, io_pwrite(fd, &byte, 1, bit / 8), 0));
	}
	printf("bitflip: %s: %zu flips, %zu of them behind what is vouched for\n", bed.name[file],
	       8 * n, passed);
}

Test(bitflip, every_bit_of_the_ledger)
{
	make_bed();
	flip_all_of(0);
	unmake_bed();
}

Test(bitflip, every_bit_of_the_tails)
{
	make_bed();
	flip_all_of(1);
	flip_all_of(2);
	unmake_bed();
}

/* Random mutations. */

static uint64_t dice;

static size_t roll(size_t n)
{
	return (size_t) (random_u64(&dice) % n);
}

/* Bytes overwritten, moved, cut, doubled or blanked, wherever it hits. */
static void mutate_bytes(struct buf *b)
{
	size_t n, at, from;

	for (size_t times = 1 + roll(4); times > 0 && b->len > 16; times--) {
		n = 1 + roll(roll(2) ? 8 : 200);
		n = MIN_OF(n, b->len / 2);
		at = roll(b->len - n);
		from = roll(b->len - n);
		switch (roll(6)) {
		case 0:
			b->data[at] ^= (uint8_t) (1 << roll(8));
			break;
		case 1:
			random_fill(&dice, b->data + at, n);
			break;
		case 2:
			memmove(b->data + at, b->data + from, n);
			break;
		case 3:
			memset(b->data + at, 0, n);
			break;
		case 4:
			b->len = at;
			break;
		default:
			memmove(b->data + at, b->data + at + n, b->len - at - n);
			b->len -= n;
		}
	}
}

/* Whole frames changed, dropped, doubled and swapped, their checksums right; or taken from another file. */
static void mutate_frames(unsigned file)
{
	static struct surgery other;

	surgery_open(&surgery, bed.path, bed.name[file]);
	for (size_t times = 1 + roll(3); times > 0 && surgery.n > 0; times--) {
		size_t at = roll(surgery.n);
		struct piece *p = &surgery.piece[at];

		switch (roll(5)) {
		case 0:
			if (p->payload.len > 0)
				p->payload.data[roll(p->payload.len)] ^= (uint8_t) (1 << roll(8));
			break;
		case 1:
			surgery_remove(&surgery, at);
			break;
		case 2:
			surgery_insert(&surgery, roll(surgery.n + 1), p->type, p->payload.data,
				       p->payload.len);
			break;
		case 3:
			surgery_swap(&surgery, at, roll(surgery.n));
			break;
		default:
			surgery_open(&other, bed.path, bed.name[roll(FILES)]);
			if (other.n > 0) {
				p = &other.piece[roll(other.n)];
				surgery_insert(&surgery, at, p->type, p->payload.data,
					       p->payload.len);
			}
			surgery_done(&other);
		}
	}
	surgery_close(&surgery);
}

static void mutate(unsigned file)
{
	_cleanup_buf_ struct buf b = { 0 };

	if (roll(2)) {
		mutate_frames(file);
		return;
	}
	buf_append(&b, bed.content[file].data, bed.content[file].len);
	mutate_bytes(&b);
	builder_store(bed.path, bed.name[file], b.data, b.len);
}

Test(bitflip, random_mutations)
{
	const char *longer = getenv("BULLA_LONG");
	unsigned n = longer && *longer ? 100000 : 10000, passed = 0;

	make_bed();
	dice = 0x42b011a;
	/* A ledger and tails that are cut off to fit are what a host that stopped earlier leaves; only a receipt tells. */
	bed.receipt = verdict.report.commits;
	for (unsigned i = 0; i < n; i++) {
		uint64_t seed = dice;
		unsigned first = (unsigned) roll(FILES), second = (unsigned) roll(FILES);

		mutate(first);
		if (roll(3) == 0)
			mutate(second);
		/* passes() asserts that what passes is the same. */
		if (passes())
			passed++;
		cr_expect(lt(uint, passed, n / 4), "too much passes; seed %llx",
			  (unsigned long long) seed);
		restore(first);
		restore(second);
	}
	printf("bitflip: %u mutations, %u of them changed nothing that is vouched for\n", n,
	       passed);
	unmake_bed();
}

/* The key file is the sealer's own: verify does not read it. */
Test(bitflip, the_key_is_none_of_verifys_business)
{
	_cleanup_buf_ struct buf key = { 0 };

	make_bed();
	builder_load(bed.path, "seal/key", &key);
	dice = 7;
	for (unsigned i = 0; i < 200; i++) {
		key.data[roll(key.len)] ^= (uint8_t) (1 << roll(8));
		builder_store(bed.path, "seal/key", key.data, key.len);
		cr_assert(passes());
	}
	unmake_bed();
}

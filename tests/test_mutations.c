/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A host with all that there is: tails, one of them with a hole, segments, a ledger of several files, some of them packed, a crash,
 * new keys.  Whatever is done to its files, verify finds it, or every answer is as before.
 *
 * First each single bit.  Then several things at once: ranges swapped, doubled, zeroed, cut out and spliced in, within a file,
 * between files, from another host, and from an earlier time of this one.  All of it again as a forger does it, whom no checksum
 * stops.  Of the bits every 97th is flipped, unless BULLA_LONG
 * is set; then it is all of them, and a hundred thousand mutations.  BULLA_SEED takes other dice.
 */

#include "tests/asking.h"
#include "tests/builder.h"
#include "tests/forger.h"
#include "tests/harness.h"
#include "tests/packing.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "base/io.h"
#include "seal/ledger.h"
#include "store/segment/roots.h"
#include "store/tail_hollow.h"
#include "store/tail_reader.h"

TestSuite(mutations, .fini = harness_teardown, .timeout = 6 * 3600);

enum { FILES_MAX = 64, BLANK_KEPT = 64, STRIDE = 97, FEW = 2000, MANY = 100000 };

struct file {
	char name[128]; /* below the host's directory */
	struct buf content;
	/* Of a tail: */
	uint64_t hole, hole_end; /* behind the frame that tells of it; 0: none */
	uint64_t end;		 /* behind its last frame */
};

struct files {
	char path[600];
	struct file at[FILES_MAX];
	unsigned n;
};

enum { QUESTIONS = 4, CHECKED_EVERY = 8 };

/* The first is everything; the others are for what only searches read. */
static const char *const questions[QUESTIONS][6] = {
	{ "output", "export", NULL },
	{ "output", "cat", "grep", "slow|late", NULL },
	{ "output", "cat", "match", "msg=checkpoint", NULL },
	{ "output", "json", "match", "container=web", NULL },
};

static struct {
	struct files now, before, other; /* the host; earlier; another host, alike */
	struct vkey pin;
	struct id boot; /* of its first run */
	struct buf answers[QUESTIONS];
	uint64_t receipt;
} bed;

static struct verify_report report;

/* Making it. */

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct file *) a)->name, ((const struct file *) b)->name);
}

/* Of the space ahead of the end a little is enough. */
static void trim(const char *path, struct file *f)
{
	size_t n = f->content.len;

	while (n > 0 && f->content.data[n - 1] == 0)
		n--;
	f->content.len = MIN_OF(f->content.len, n + BLANK_KEPT);
	builder_store(path, f->name, f->content.data, f->content.len);
}

/* Where a tail has its hole.  Not all of that is zero: space is given back by the block. */
static void find_hole(const char *path, struct file *f)
{
	_cleanup_(tail_reader_close) struct tail_reader t = { .fd = -1 };
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct tail_item item;

	if (!strstr(f->name, ".tail"))
		return;
	cr_assert(eq(int, tail_reader_open(&t, dir, f->name), 0));
	while (tail_reader_next(&t, &item) > 0)
		if (item.type == TAIL_HOLE) {
			f->hole = item.offset + frame_space(TAIL_HOLE_SIZE);
			f->hole_end = item.hole.end;
		}
	f->end = t.frames.offset;
}

static void load(struct files *to, const char *path)
{
	static const char *const folders[] = { "ledger", "journals", "segments" };

	memset(to, 0, sizeof *to);
	snprintf(to->path, sizeof to->path, "%s", path);
	for (size_t i = 0; i < ELEMENTS(folders); i++) {
		_cleanup_closedir_ DIR *dir = NULL;
		char below[700];
		struct dirent *e;

		snprintf(below, sizeof below, "%s/%s", path, folders[i]);
		dir = opendir(below);
		while (dir && (e = readdir(dir)) != NULL) {
			struct file *f = &to->at[to->n];

			if (e->d_type != DT_REG)
				continue;
			cr_assert(lt(uint, ++to->n, FILES_MAX));
			snprintf(f->name, sizeof f->name, "%s/%.100s", folders[i], e->d_name);
			builder_load(path, f->name, &f->content);
			trim(path, f);
			find_hole(path, f);
		}
	}
	qsort(to->at, to->n, sizeof *to->at, compare_names);
}

static void unload(struct files *f)
{
	for (unsigned i = 0; i < f->n; i++)
		buf_done(&f->at[i].content);
}

static void pack(struct builder *b)
{
	struct roots_packed packed;
	struct roots_packer *p;
	struct segment_set set;

	pack_segments(b, 12, true);
	cr_assert(eq(int, segment_set_open(&set, &b->state), 0));
	cr_assert(gt(u32, set.n, 1));
	cr_assert(eq(int, roots_packer_new(&p, &b->state), 0));
	cr_assert(eq(
		int,
		roots_pack(p, &set, origin_history(b->origin), set.files[set.n - 1].end, &packed),
		0));
	cr_assert(gt(u64, packed.files, 0));
	roots_packer_free(p);
	segment_set_close(&set);
}

/* Enough of it for a hole, and nothing that compresses. */
static void log_long(struct builder *b, size_t journal)
{
	char text[4001];

	for (size_t i = 0; i + 1 < sizeof text; i++)
		text[i] = "0123456789abcdef"[random_u64(&b->dice) % 16];
	text[sizeof text - 1] = '\0';
	builder_log(b, journal, text);
}

/* `before` may be NULL: a place to copy the host to at some time before its end. */
static struct vkey make_host(const char *path, const char *before, struct id *ret_boot)
{
	struct builder b;
	size_t web, db, cron, late;
	uint64_t hollow;
	struct vkey pin;

	builder_init(&b, path, (struct kes_params){ 2, 2 });
	pin = builder_pin(&b);
	*ret_boot = b.boot;
	web = builder_open(&b, "web");
	db = builder_open(&b, "db");
	cron = builder_open(&b, "cron");
	for (unsigned i = 0; i < 6; i++) {
		builder_log_many(&b, web, 1 + i % 4);
		builder_log(&b, db, i % 2 ? "checkpoint" : "slow query");
		log_long(&b, cron);
		builder_commit(&b);
	}
	builder_close(&b, web);
	builder_close(&b, db);
	pack(&b);
	cr_assert(eq(int,
		     tail_hollow(b.state.journals, &b.journal[cron].id, 6, NULL, NULL, &hollow),
		     0));
	cr_assert(gt(u64, hollow, 0));
	if (before)
		builder_copy(path, before);
	late = builder_open(&b, "late");
	for (unsigned i = 0; i < 3; i++) {
		builder_log_many(&b, cron, 2);
		builder_log(&b, late, "late");
		builder_commit(&b);
	}
	builder_log(&b, late, "not sealed when the host stopped");
	builder_flush(&b, late);
	builder_crash(&b);
	builder_restart(&b, true);
	builder_end(&b);
	builder_done(&b);
	return pin;
}

static bool passes(void);

/* Ids, seeds and keys are the same each time, so that a seed of the dice leads to the same place again. */
static void same_chance(void *to, size_t n)
{
	static uint64_t chance = 1;

	random_fill(&chance, to, n);
}

static const char *name_of_chance(void)
{
	return "the same each time";
}

static void make_chance_same(void)
{
	static struct randombytes_implementation same = { .implementation_name = name_of_chance,
							  .buf = same_chance };

	cr_assert(eq(int, randombytes_set_implementation(&same), 0));
}

static void make_bed(void)
{
	char path[600], other[600], before[600];
	const char *dir;
	uint64_t bytes = 0;
	struct id boot;

	setenv("TMPDIR", builder_parent(), 1);
	ledger_file_size = 1 << 10;
	make_chance_same();
	dir = tempdir();
	snprintf(path, sizeof path, "%s/host", dir);
	snprintf(before, sizeof before, "%s/before", dir);
	snprintf(other, sizeof other, "%s/other", dir);
	bed.pin = make_host(path, before, &bed.boot);
	make_host(other, NULL, &boot);
	load(&bed.now, path);
	load(&bed.before, before);
	load(&bed.other, other);
	for (unsigned q = 0; q < QUESTIONS; q++) {
		cr_assert(eq(u32, ask_plain(path, questions[q], &bed.answers[q]), 0));
		cr_assert(gt(sz, bed.answers[q].len, 0), "%u", q);
	}
	cr_assert(passes());
	bed.receipt = report.commits;
	for (unsigned i = 0; i < bed.now.n; i++)
		bytes += bed.now.at[i].content.len;
	printf("mutations: a host of %u files, %llu bytes, %llu commits, %llu entries\n", bed.now.n,
	       (unsigned long long) bytes, (unsigned long long) report.commits,
	       (unsigned long long) report.entries);
}

static void unmake_bed(void)
{
	unload(&bed.now);
	unload(&bed.before);
	unload(&bed.other);
	for (unsigned q = 0; q < QUESTIONS; q++)
		buf_done(&bed.answers[q]);
}

/* Looking. */

static char missed[80]; /* it passed, and something is not as before: what */

static bool is_answer(const struct buf *b, unsigned q)
{
	return b->len == bed.answers[q].len && memcmp(b->data, bed.answers[q].data, b->len) == 0;
}

static enum verdict verdict(void)
{
	struct verify_options o = { .pin = &bed.pin, .receipt_size = bed.receipt };
	struct state state;
	int r = state_open(&state, bed.now.path, false);

	cr_assert(eq(int, r, 0));
	r = verify_state(&state, &o, &report);
	state_close(&state);
	cr_assert(eq(int, r, 0));
	return report.verdict;
}

/* What a plain query answers is what it was; else `missed` says what is not. */
static void ask_all(void)
{
	*missed = '\0';
	for (unsigned q = 0; q < QUESTIONS; q++) {
		_cleanup_buf_ struct buf plain = { 0 };

		ask_plain(bed.now.path, questions[q], &plain);
		if (!is_answer(&plain, q))
			snprintf(missed, sizeof missed, "question %u is answered otherwise", q);
	}
}

/*
 * Whether verify takes the directory as it is; then all answers must be what they were.  What a verified query shows must be so in
 * any case, which tests/test_checked.c looks at.
 */
static bool passes(void)
{
	struct verify_options o = { .pin = &bed.pin, .receipt_size = bed.receipt };
	static unsigned times;

	if (verdict() != VERDICT_OK)
		return false;
	ask_all();
	/* That is another verify. */
	if (times++ % CHECKED_EVERY == 0) {
		_cleanup_buf_ struct buf checked = { 0 };

		cr_assert(eq(int, ask_checked(bed.now.path, questions[0], o, 0, &checked, &report),
			     0));
		if (report.verdict != VERDICT_OK || !is_answer(&checked, 0))
			snprintf(missed, sizeof missed, "a verified query says %s",
				 verdict_name(report.verdict));
	}
	return true;
}

static bool is_long(void)
{
	const char *longer = getenv("BULLA_LONG");

	return longer && *longer;
}

/* Bits. */

/* Whether a place is in a hole, or in space ahead of the end. */
static bool is_blank(const struct file *f, size_t at)
{
	size_t from = at < BLANK_KEPT ? 0 : at - BLANK_KEPT / 2,
	       to = MIN_OF(f->content.len, at + BLANK_KEPT / 2);

	while (from < to && f->content.data[from] == 0)
		from++;
	return from == to || (at >= f->hole && at < f->hole_end);
}

static size_t flip_in(const struct file *f, size_t first, size_t stride, size_t *passed,
		      size_t *loud)
{
	_cleanup_close_ int dir = open(bed.now.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	size_t n = 0, harmless = 0;

	fd = openat(dir, f->name, O_RDWR | O_CLOEXEC);
	cr_assert(ge(int, fd, 0));
	for (size_t bit = first; bit < 8 * f->content.len; bit += stride) {
		uint8_t byte = f->content.data[bit / 8], flipped = byte;
		bool blank = is_blank(f, bit / 8);

		/* Nobody looks there: a few are enough.  There is no checksum to forge either. */
		if (blank && (!is_long() || forger_at_work) && bit / stride % 32 != 0)
			continue;
		n++;
		flipped ^= (uint8_t) (1 << bit % 8);
		cr_assert(eq(int, io_pwrite(fd, &flipped, 1, bit / 8), 0));
		if (passes()) {
			harmless++;
			*loud += !blank;
			if (!blank && getenv("BULLA_TELL"))
				printf("mutations: %s: bit %zu of byte %zu is harmless\n", f->name,
				       bit % 8, bit / 8);
			cr_expect(zero(int, *missed), "%s: bit %zu of byte %zu is missed: %s",
				  f->name, bit % 8, bit / 8, missed);
		}
		cr_assert(eq(int, io_pwrite(fd, &byte, 1, bit / 8), 0));
	}
	printf("mutations: %s: %zu flips, %zu of them harmless\n", f->name, n, harmless);
	*passed += harmless;
	return n;
}

static void flip_all(void)
{
	size_t n = 0, passed = 0, loud = 0, stride = is_long() ? 1 : STRIDE;

	make_bed();
	for (unsigned i = 0; i < bed.now.n; i++)
		n += flip_in(&bed.now.at[i], stride > 1 ? i : 0, stride, &passed, &loud);
	printf("mutations: %zu flips, %zu harmless, %zu of these not in blank space; the others "
	       "found\n",
	       n, passed, loud);
	/* What format.md lists, and the ends of what is blank. */
	cr_expect(lt(sz, loud, n / 20));
	unmake_bed();
}

Test(mutations, each_bit_that_is_flipped_is_found_or_harmless)
{
	flip_all();
}

Test(mutations, each_bit_that_is_forged_is_found_or_harmless)
{
	forger_at_work = true;
	flip_all();
}

/*
 * What is told of a journal beside its entries: the head of a tail whose first batches are in a hole, and what a segment says of
 * batches whose roots the ledger leaves out.  Nothing is hashed there that would give it away.
 */
Test(mutations, the_boot_that_files_tell_is_compared)
{
	unsigned tails = 0, segments = 0;

	forger_at_work = true;
	make_bed();
	for (unsigned i = 0; i < bed.now.n; i++) {
		const struct file *f = &bed.now.at[i];
		const uint8_t *at = memmem(f->content.data, f->content.len, bed.boot.b, ID_SIZE);
		_cleanup_buf_ struct buf b = { 0 };

		if (!at || strncmp(f->name, "ledger", 6) == 0)
			continue;
		buf_append(&b, f->content.data, f->content.len);
		b.data[at - f->content.data + 3] ^= 1;
		builder_store(bed.now.path, f->name, b.data, b.len);
		cr_expect(eq(int, verdict(), VERDICT_TAMPERED), "%s", f->name);
		builder_store(bed.now.path, f->name, f->content.data, f->content.len);
		tails += f->hole > 0;
		segments += strncmp(f->name, "segments", 8) == 0;
	}
	cr_expect(gt(u32, tails, 0));
	cr_expect(gt(u32, segments, 0));
	unmake_bed();
}

/* What a segment says at its end of what it has: who reads tails besides passes over what is said to be there. */
Test(mutations, what_a_segment_says_at_its_end_is_compared)
{
	enum { END = 480 };
	size_t n = 0, passed = 0, loud = 0;

	forger_at_work = true;
	make_bed();
	for (unsigned i = 0; i < bed.now.n; i++)
		if (strncmp(bed.now.at[i].name, "segments", 8) == 0)
			n += flip_in(&bed.now.at[i], 8 * (bed.now.at[i].content.len - END),
				     is_long() ? 1 : 5, &passed, &loud);
	cr_expect(gt(sz, n, 0));
	unmake_bed();
}

/* The first frame of rows of a tail. */
static bool find_rows(const struct buf *tail, size_t *ret_at, size_t *ret_space)
{
	struct frame f;
	ssize_t space;

	for (size_t at = 0;
	     (space = frame_parse(tail->data + at, tail->len - at, TAIL_RECORD_MAX, &f)) > 0;
	     at += (size_t) space)
		if (f.type == TAIL_ROWS) {
			*ret_at = at;
			*ret_space = (size_t) space;
			return true;
		}
	return false;
}

/* An attacker's way to have sealed entries shown twice, or others by their numbers. */
Test(mutations, what_is_repeated_behind_a_torn_frame_is_not_shown)
{
	unsigned n = 0, n_found = 0, n_passed = 0;

	make_bed();
	for (unsigned i = 0; i < bed.now.n; i++) {
		const struct buf *content = &bed.now.at[i].content;
		_cleanup_buf_ struct buf b = { 0 };
		size_t at, space;

		if (!strstr(bed.now.at[i].name, ".tail") || !find_rows(content, &at, &space))
			continue;
		buf_append(&b, content->data, (size_t) bed.now.at[i].end);
		buf_append(&b, "torntorn", 8);
		buf_append(&b, content->data + at, space);
		builder_store(bed.now.path, bed.now.at[i].name, b.data, b.len);
		/* That it is there shows, where the journal is closed. */
		n_found += verdict() == VERDICT_TAMPERED;
		n_passed += verdict() == VERDICT_OK;
		ask_all();
		cr_expect(zero(int, *missed), "%s: %s", bed.now.at[i].name, missed);
		builder_store(bed.now.path, bed.now.at[i].name, content->data, content->len);
		n++;
	}
	cr_expect(gt(u32, n_found, 0));
	cr_expect(eq(u32, n, n_found + n_passed));
	unmake_bed();
}

/* Mutations. */

static uint64_t dice;

static size_t roll(size_t n)
{
	return n == 0 ? 0 : (size_t) (random_u64(&dice) % n);
}

static const struct file *pick(void)
{
	const struct files *f = roll(4) == 0 ? &bed.other : roll(4) == 0 ? &bed.before : &bed.now;

	return &f->at[roll(f->n)];
}

/* Insert a range of another file, or of this one, in place of a range here. */
static void splice_in(struct buf *b, const struct buf *from, size_t cut)
{
	_cleanup_buf_ struct buf made = { 0 };
	size_t at = roll(b->len + 1), start = roll(from->len + 1), n = roll(from->len - start + 1);

	cut = MIN_OF(cut, b->len - at);
	/* As often as not it lies in the same place there, and is as long. */
	if (roll(2) && at + cut <= from->len) {
		start = at;
		n = cut;
	}
	buf_append(&made, b->data, at);
	buf_append(&made, from->data + start, n);
	buf_append(&made, b->data + at + cut, b->len - at - cut);
	buf_clear(b);
	buf_append(b, made.data, made.len);
	cr_assert(not(b->bad));
}

static void swap_ranges(struct buf *b)
{
	size_t n = roll(b->len / 2), at = roll(b->len - 2 * n + 1),
	       with = at + n + roll(b->len - at - 2 * n + 1);

	for (size_t i = 0; i < n; i++) {
		uint8_t swap = b->data[at + i];

		b->data[at + i] = b->data[with + i];
		b->data[with + i] = swap;
	}
}

static void mutate_content(struct buf *b)
{
	size_t length = roll(2) ? 64 : 1024, n = roll(MIN_OF(length, b->len) + 1),
	       at = roll(b->len - n + 1);

	switch (roll(7)) {
	case 0:
		swap_ranges(b);
		break;
	case 1:
		b->len = roll(b->len + 1);
		break;
	case 2:
		splice_in(b, &(struct buf){ .data = b->data + at, .len = n }, 0);
		break;
	case 3:
		splice_in(b, &pick()->content, roll(n + 1));
		break;
	case 4:
		memset(b->data + at, 0, n);
		break;
	case 5:
		random_fill(&dice, b->data + at, n);
		break;
	default:
		for (size_t i = roll(4) + 1; i > 0 && b->len > 0; i--)
			b->data[roll(b->len)] ^= (uint8_t) (1 << roll(8));
	}
}

/* Whole files: gone, or with the content of others. */
static void mutate_file(unsigned i)
{
	char path[800];

	if (roll(3) == 0) {
		snprintf(path, sizeof path, "%s/%s", bed.now.path, bed.now.at[i].name);
		unlink(path);
	} else {
		const struct buf *content = &pick()->content;

		builder_store(bed.now.path, bed.now.at[i].name, content->data, content->len);
	}
}

/* @return a bit for each file that was touched. */
static uint64_t mutate(void)
{
	uint64_t touched = 0;

	for (size_t times = 1 + roll(4); times > 0; times--) {
		unsigned i = (unsigned) roll(bed.now.n);
		_cleanup_buf_ struct buf b = { 0 };

		touched |= UINT64_C(1) << i;
		if (roll(12) == 0) {
			mutate_file(i);
			continue;
		}
		buf_append(&b, bed.now.at[i].content.data, bed.now.at[i].content.len);
		for (size_t k = 1 + roll(3); k > 0 && b.len > 0; k--)
			mutate_content(&b);
		builder_store(bed.now.path, bed.now.at[i].name, b.data, b.len);
	}
	return touched;
}

static void restore(uint64_t touched)
{
	for (unsigned i = 0; i < bed.now.n; i++)
		if (touched >> i & 1)
			builder_store(bed.now.path, bed.now.at[i].name, bed.now.at[i].content.data,
				      bed.now.at[i].content.len);
}

/* BULLA_KEEP is a directory that such a host is copied to, for who looks into it. */
static void keep_missed(void)
{
	const char *to = getenv("BULLA_KEEP");
	char path[800];
	static unsigned n;

	if (!*missed || !to)
		return;
	snprintf(path, sizeof path, "%s/missed-%u", to, n++);
	builder_copy(bed.now.path, path);
	snprintf(path, sizeof path, "%s/whole", to);
	builder_copy(bed.now.path, path);
	for (unsigned i = 0; i < bed.now.n; i++)
		builder_store(path, bed.now.at[i].name, bed.now.at[i].content.data,
			      bed.now.at[i].content.len);
}

static void mutate_many(void)
{
	const char *seed = getenv("BULLA_SEED");
	unsigned n = is_long() ? MANY : FEW, passed = 0;

	make_bed();
	dice = seed ? strtoull(seed, NULL, 0) : 0x5eed;
	for (unsigned i = 0; i < n; i++) {
		uint64_t before = dice, touched = mutate();

		if (passes()) {
			passed++;
			cr_expect(zero(int, *missed), "BULLA_SEED=0x%llx is missed: %s",
				  (unsigned long long) before, missed);
			keep_missed();
		}
		restore(touched);
	}
	printf("mutations: %u of several at once, %u of them harmless, the others found\n", n,
	       passed);
	cr_expect(lt(uint, passed, n / 4));
	unmake_bed();
}

Test(mutations, several_at_once_are_found_or_harmless)
{
	mutate_many();
}

Test(mutations, several_forged_at_once_are_found_or_harmless)
{
	forger_at_work = true;
	mutate_many();
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Whatever the moment of a crash, the origin goes on from it and nothing that was acknowledged is lost; whatever else
 * happened to its two files, it refuses and touches nothing.
 */

#include "seal/origin.h"

#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame.h"
#include "base/io.h"
#include "bulla/error.h"
#include "tests/disk.h"

Suite(origin);

static const struct kes_params flat = { 1, 2 }, deep = { 2, 1 }, roomy = { 1, 6 };
static int key_dir, ledger_dir;
static uint64_t now_ns;

static void open_dirs(void)
{
	const char *path = tempdir();

	key_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert(ge(int, key_dir, 0));
	cr_assert(eq(int, mkdirat(key_dir, "ledger", 0700), 0));
	ledger_dir = openat(key_dir, "ledger", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert(ge(int, ledger_dir, 0));
	now_ns = 1700000000 * NS_PER_S;
}

static void close_dirs(void)
{
	close(ledger_dir);
	close(key_dir);
}

static void empty_dirs(void)
{
	unlinkat(key_dir, "key", 0);
	unlinkat(key_dir, ".key.new", 0);
	unlinkat(ledger_dir, "next", 0);
	for (uint64_t first = 0; first < 64; first++) {
		char name[LEDGER_NAME_SIZE];

		ledger_name(first, name);
		unlinkat(ledger_dir, name, 0);
	}
}

static int open_origin(struct origin **o, struct kes_params p)
{
	return origin_open(
		o, key_dir, ledger_dir,
		&(struct origin_config){ .host = "host", .params = p, .boot = { "boot" } });
}

/* Commit number `c` of the story: it opens a journal and has a batch of every journal so far. */
static int commit(struct origin *o, uint64_t c)
{
	struct batch_item items[64];
	uint8_t body[128];
	struct wr w = wr_of(body, sizeof body);
	struct event_open open = { .journal = { "journal  " } };
	struct event event = { EVENT_OPEN, 0, body };

	open.journal.b[8] = (uint8_t) c;
	event_open_encode(&open, &w);
	event.len = (uint16_t) w.len;
	for (uint32_t i = 0; i < c; i++)
		items[i] = (struct batch_item){
			.handle = i, .entries = (uint32_t) c, .bytes = c, .root = { { 1 } }
		};
	now_ns += NS_PER_S;
	return origin_commit(o, now_ns, items, c, &event, 1);
}

/* Read all of the ledger as anybody can, every seal checked. */
static uint64_t check_ledger(struct vkey *ret_key)
{
	struct history *h = history_new();
	struct ledger l;
	struct ledger_scan scan;
	uint64_t size;

	cr_assert(eq(int,
		     ledger_open(&l, ledger_dir, O_RDONLY, h, HISTORY_CHECK_ALL, NULL, NULL, &scan),
		     0));
	ledger_close(&l);
	size = history_size(h);
	if (size > 0)
		*ret_key = history_vkey(h);
	history_free(h);
	return size;
}

static void expect_equal_slots(void)
{
	static uint8_t bytes[8192];
	_cleanup_close_ int fd = openat(key_dir, "key", O_RDONLY | O_CLOEXEC);

	cr_assert(eq(i64, io_pread(fd, bytes, sizeof bytes, 0), (ssize_t) sizeof bytes));
	cr_expect(eq(int, memcmp(bytes, bytes + 4096, 4096), 0));
}

Test(origin, a_reserve_is_kept_behind_what_readers_see)
{
	enum { RESERVE = 1 << 20 };
	struct origin_config config = { .host = "host", .params = flat, .reserve = RESERVE };
	_cleanup_(origin_closep) struct origin *o = NULL;
	struct stat st;
	bool unclean;
	off_t size;

	open_dirs();
	cr_assert(zero(int, origin_open(&o, key_dir, ledger_dir, &config)));
	cr_assert(zero(int, origin_begin(o, now_ns, &unclean)));
	cr_assert(zero(int, fstatat(ledger_dir, LEDGER_FILE, &st, 0)));
	size = st.st_size;
	cr_expect(le(i64, size, 512 << 10), "readers see it");
	if (st.st_blocks * 512 < size)
		cr_skip_test("this file system does not allocate ahead");
	cr_expect(ge(i64, st.st_blocks * 512, size + RESERVE));
	o = origin_close(o);
	/* What opening cuts off goes first into the reserve. */
	cr_assert(zero(int, origin_open(&o, key_dir, ledger_dir, &config)));
	cr_assert(zero(int, fstatat(ledger_dir, LEDGER_FILE, &st, 0)));
	cr_expect(ge(i64, st.st_blocks * 512, st.st_size + RESERVE));
	cr_expect(eq(i64, st.st_size, size));
	close_dirs();
}

/* A whole life, as far as the disk goes along. */

enum { COMMITS = 5 };

struct life {
	uint64_t acknowledged; /* commits */
	bool ended;
	struct vkey key; /* of the acknowledged genesis */
};

static struct life live(struct kes_params p)
{
	_cleanup_(origin_closep) struct origin *o = NULL;
	struct life life = { 0 };
	bool unclean;

	if (open_origin(&o, p) < 0 || origin_begin(o, now_ns, &unclean) < 0)
		return life;
	life.acknowledged = 1;
	life.key = history_vkey(origin_history(o));
	for (uint64_t c = 1; c < COMMITS; c++) {
		if (commit(o, c) < 0)
			return life;
		life.acknowledged++;
	}
	if (origin_end(o, now_ns) < 0)
		return life;
	life.acknowledged++;
	life.ended = true;
	return life;
}

static void expect_life_goes_on(const struct life *life, struct kes_params p, const char *why,
				size_t at)
{
	struct origin *o = NULL;
	struct vkey key = { 0 };
	bool unclean;
	uint64_t size;
	int r;

	r = open_origin(&o, p);
	cr_assert(eq(int, r, 0), "%s at step %zu", why, at);
	size = history_size(origin_history(o));
	cr_expect(size >= life->acknowledged && size <= life->acknowledged + 1,
		  "%s at step %zu: %llu commits, %llu acknowledged", why, at,
		  (unsigned long long) size, (unsigned long long) life->acknowledged);
	r = origin_begin(o, now_ns, &unclean);
	cr_assert(eq(int, r, 0), "%s at step %zu", why, at);
	if (size == life->acknowledged)
		cr_expect(eq(int, unclean, size > 0 && !life->ended), "%s at step %zu", why, at);
	r = origin_commit(o, now_ns, NULL, 0, NULL, 0);
	cr_assert(eq(int, r, 0), "%s at step %zu", why, at);
	r = origin_end(o, now_ns);
	cr_assert(eq(int, r, 0), "%s at step %zu", why, at);
	origin_close(o);
	cr_expect(eq(u64, check_ledger(&key), size + 3), "%s at step %zu", why, at);
	if (life->acknowledged > 0)
		cr_expect(eq(int, memcmp(&key, &life->key, sizeof key), 0), "%s at step %zu", why,
			  at);
	expect_equal_slots();
}

static size_t count_steps(struct kes_params p)
{
	struct life life;
	size_t steps;

	disk_begin();
	life = live(p);
	steps = disk_steps();
	disk_end();
	cr_assert(life.ended);
	expect_life_goes_on(&life, p, "no crash", steps);
	empty_dirs();
	return steps;
}

static void crash_everywhere(struct kes_params p)
{
	static const char *const name[N_CUTS] = { "all kept", "unsynced lost", "torn end",
						  "torn beginning", "all torn" };
	size_t steps;

	open_dirs();
	steps = count_steps(p);
	cr_assert(gt(sz, steps, 40));
	for (size_t at = 0; at <= steps; at++)
		for (int cut = 0; cut < N_CUTS; cut++) {
			struct life life;

			disk_begin();
			disk_stop_at(at);
			life = live(p);
			disk_cut((enum disk_cut) cut);
			expect_life_goes_on(&life, p, name[cut], at);
			empty_dirs();
		}
	close_dirs();
}

Test(origin, a_crash_at_any_step_costs_nothing_acknowledged_with_one_level)
{
	crash_everywhere(flat);
}

Test(origin, a_crash_at_any_step_costs_nothing_acknowledged_with_two_levels)
{
	crash_everywhere(deep);
}

Test(origin, a_crash_at_any_step_costs_nothing_acknowledged_with_a_file_for_each_commit)
{
	ledger_file_size = 1;
	crash_everywhere(flat);
}

/* Where one may lock what is asked for, and not a page more, nothing stops for want of it. */
Test(origin, what_is_locked_is_never_more_than_is_tried)
{
	const rlim_t max = (rlim_t) origin_locked_max();
	bool root = geteuid() == 0;

	cr_assert(zero(int, setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ max, max })));
	if (root)
		cr_assert(zero(int, seteuid(65534)));
	cr_expect(zero(int, origin_try_locking()));
	crash_everywhere(flat);
	if (root)
		cr_assert(zero(int, seteuid(0)));
}

/* Two crashes in a row: the second while the first is being recovered from. */
static void crash_twice(size_t first_at, size_t second_at)
{
	struct life first, second;
	struct origin *o = NULL;
	struct vkey key = { 0 };
	bool unclean;
	uint64_t least;

	disk_begin();
	disk_stop_at(first_at);
	first = live(deep);
	disk_cut(CUT_TEARS_LAST);
	disk_begin();
	disk_stop_at(second_at);
	second = live(deep);
	disk_cut(second_at % 2 ? CUT_LOSES_ALL : CUT_TEARS_LAST_FIRST);
	least = first.acknowledged + second.acknowledged;
	cr_assert(eq(int, open_origin(&o, deep), 0), "steps %zu, %zu", first_at, second_at);
	cr_expect(ge(u64, history_size(origin_history(o)), least), "steps %zu, %zu", first_at,
		  second_at);
	cr_assert(eq(int, origin_begin(o, now_ns, &unclean), 0), "steps %zu, %zu", first_at,
		  second_at);
	cr_assert(eq(int, origin_end(o, now_ns), 0), "steps %zu, %zu", first_at, second_at);
	origin_close(o);
	cr_expect(ge(u64, check_ledger(&key), least + 2), "steps %zu, %zu", first_at, second_at);
	if (first.acknowledged > 0)
		cr_expect(eq(int, memcmp(&key, &first.key, sizeof key), 0), "steps %zu, %zu",
			  first_at, second_at);
	empty_dirs();
}

Test(origin, a_crash_while_recovering_costs_nothing_acknowledged)
{
	size_t steps;

	open_dirs();
	steps = count_steps(deep);
	for (size_t at = 0; at <= steps; at += 5)
		for (size_t again = 0; again < 14; again++)
			crash_twice(at, again);
	close_dirs();
}

/* A sync fails, and the sealer stops; the next one finds in memory what is on no disk, and then the power goes. */
static void fail_then_crash(size_t first_at, size_t second_at)
{
	struct life first, second;
	struct origin *o = NULL;
	bool unclean;
	uint64_t size;
	int r;

	disk_begin();
	disk_fail_at(first_at, 1, EIO);
	first = live(deep);
	disk_stop_at(disk_steps() + second_at);
	second = live(deep);
	disk_cut(CUT_LOSES_ALL);
	r = open_origin(&o, deep);
	cr_assert(eq(int, r, 0), "steps %zu, %zu", first_at, second_at);
	size = history_size(origin_history(o));
	cr_expect(ge(u64, size, first.acknowledged + second.acknowledged), "steps %zu, %zu",
		  first_at, second_at);
	cr_assert(eq(int, origin_begin(o, now_ns, &unclean), 0), "steps %zu, %zu", first_at,
		  second_at);
	origin_close(o);
	empty_dirs();
}

Test(origin, a_crash_after_a_failed_sync_and_a_new_start_costs_nothing_acknowledged)
{
	size_t steps;

	open_dirs();
	steps = count_steps(deep);
	for (size_t at = 0; at <= steps; at++)
		for (size_t again = 0; again < 24; again++)
			fail_then_crash(at, again);
	close_dirs();
}

/* Failures that one lives through. */

/* Do something that may fail as often as it takes. */
static int insist(struct origin *o, int r, int (*again)(struct origin *o, uint64_t c), uint64_t c)
{
	for (int tries = 0; r < 0 && tries < 5; tries++)
		r = origin_is_pending(o) ? origin_retry(o) : again(o, c);
	return r;
}

static int begin(struct origin *o, uint64_t c)
{
	bool unclean;

	(void) c;
	return origin_begin(o, now_ns, &unclean);
}

static int end(struct origin *o, uint64_t c)
{
	(void) c;
	return origin_end(o, now_ns);
}

static void fail_everywhere(struct kes_params p, int error, size_t n)
{
	size_t steps, founded;

	open_dirs();
	steps = count_steps(p);
	for (size_t at = 0; at <= steps; at++) {
		struct life life = { COMMITS + 1, true, { { { 0 } }, { 0 } } };
		struct origin *o = NULL;
		int r = -1;

		disk_begin();
		disk_fail_at(at, n, error);
		for (int tries = 0; r < 0 && tries < 5; tries++)
			r = open_origin(&o, p);
		cr_assert(eq(int, r, 0), "step %zu", at);
		/* A founding that failed begins anew, with another key. */
		founded = disk_steps();
		cr_assert(eq(int, insist(o, begin(o, 0), begin, 0), 0), "step %zu", at);
		for (uint64_t c = 1; c < COMMITS; c++)
			cr_assert(eq(int, insist(o, commit(o, c), commit, c), 0), "step %zu", at);
		cr_assert(eq(int, insist(o, end(o, 0), end, 0), 0), "step %zu", at);
		cr_expect(not(origin_is_pending(o)));
		cr_expect(eq(int, origin_retry(o), -ENOENT));
		/* A file that could not be begun is begun anew, for another commit. */
		if (at >= founded && ledger_file_size > 1)
			cr_expect(not(disk_saw_other_bytes()), "step %zu", at);
		life.key = history_vkey(origin_history(o));
		origin_close(o);
		disk_end();
		expect_life_goes_on(&life, p, "failure", at);
		empty_dirs();
	}
	close_dirs();
}

Test(origin, a_failing_step_is_repeated_with_the_same_bytes)
{
	fail_everywhere(deep, ENOSPC, 1);
	fail_everywhere(flat, EIO, 2);
}

Test(origin, a_failing_step_is_repeated_with_a_file_for_each_commit)
{
	ledger_file_size = 1;
	fail_everywhere(flat, ENOSPC, 1);
	fail_everywhere(flat, EIO, 2);
}

Test(origin, a_crash_after_a_failure_costs_nothing_acknowledged)
{
	size_t steps;

	open_dirs();
	steps = count_steps(deep);
	for (size_t at = 0; at <= steps; at++) {
		struct life life;

		/* The commit that fails stays pending, and the power goes while it is. */
		disk_begin();
		disk_fail_at(at, 1, ENOSPC);
		life = live(deep);
		disk_cut(CUT_LOSES_ALL);
		expect_life_goes_on(&life, deep, "failed", at);
		empty_dirs();
	}
	close_dirs();
}

Test(origin, nothing_else_is_accepted_while_a_commit_is_pending)
{
	struct origin *o;
	bool unclean;

	open_dirs();
	cr_assert(eq(int, open_origin(&o, roomy), 0));
	cr_assert(eq(int, origin_begin(o, now_ns, &unclean), 0));
	disk_begin();
	disk_fail_at(0, 2, ENOSPC);
	cr_expect(eq(int, commit(o, 1), -ENOSPC));
	cr_expect(origin_is_pending(o));
	cr_expect(eq(int, commit(o, 1), -EBUSY));
	cr_expect(eq(int, origin_begin(o, now_ns, &unclean), -EBUSY));
	cr_expect(eq(int, origin_end(o, now_ns), -EBUSY));
	cr_expect(eq(int, origin_retry(o), -ENOSPC));
	cr_expect(eq(u64, history_size(origin_history(o)), 1));
	cr_expect(eq(int, origin_retry(o), 0));
	cr_expect(eq(u64, history_size(origin_history(o)), 2));
	cr_expect(not(origin_is_pending(o)));
	cr_expect(not(disk_saw_other_bytes()));
	disk_end();
	origin_close(o);
	close_dirs();
}

Test(origin, a_full_disk_does_not_stop_commits_at_once)
{
	struct origin *o;
	bool unclean;
	int r = 0;
	uint64_t c = 1;

	open_dirs();
	cr_assert(eq(int, open_origin(&o, roomy), 0));
	cr_assert(eq(int, origin_begin(o, now_ns, &unclean), 0));
	/* Close and open again: the reserve is still there. */
	origin_close(o);
	cr_assert(eq(int, open_origin(&o, roomy), 0));
	disk_begin();
	disk_is_full(true);
	cr_assert(eq(int, origin_begin(o, now_ns, &unclean), 0));
	for (; c < 40 && r >= 0; c++)
		r = commit(o, c);
	cr_expect(eq(int, r, 0));
	disk_end();
	origin_close(o);
	close_dirs();
}

Test(origin, what_cannot_be_committed_leaves_no_trace)
{
	struct origin *o;
	struct event *events = calloc(EVENTS_MAX, sizeof *events);
	struct batch_item item = { .handle = 9, .entries = 1 };
	bool unclean;

	open_dirs();
	for (size_t i = 0; i < EVENTS_MAX; i++)
		events[i].kind = EVENT_HEARTBEAT;
	cr_assert(eq(int, open_origin(&o, flat), 0));
	cr_assert(eq(int, origin_begin(o, now_ns, &unclean), 0));
	/* The limit is the same for the last seal of a key, which needs an event itself. */
	for (int i = 0; i < 4; i++) {
		cr_expect(eq(int, origin_commit(o, now_ns, &item, 1, NULL, 0), BULLA_EORDER));
		cr_expect(eq(int, origin_commit(o, now_ns, NULL, 0, events, EVENTS_MAX),
			     BULLA_ELIMIT));
		cr_expect(not(origin_is_pending(o)));
		cr_expect(eq(int, origin_commit(o, now_ns, NULL, 0, events, EVENTS_MAX - 1), 0));
	}
	cr_expect(eq(u64, history_size(origin_history(o)), 5));
	origin_close(o);
	free(events);
	close_dirs();
}

/* Other things that happen to files. */

struct files {
	struct buf key, ledger;
};

static void read_all(int dir, const char *name, struct buf *to)
{
	int r;

	buf_clear(to);
	r = io_read_file(dir, name, 1 << 24, to);
	cr_assert(r == 0 || r == -ENOENT);
}

static void snapshot(struct files *f)
{
	read_all(key_dir, "key", &f->key);
	read_all(ledger_dir, LEDGER_FILE, &f->ledger);
}

static void restore_key(const struct files *f)
{
	cr_assert(eq(int, io_replace_file(key_dir, "key", f->key.data, f->key.len, 0600), 0));
}

static void restore_ledger(const struct files *f, size_t len)
{
	cr_assert(eq(int, io_replace_file(ledger_dir, LEDGER_FILE, f->ledger.data, len, 0600), 0));
}

static void files_done(struct files *f)
{
	buf_done(&f->key);
	buf_done(&f->ledger);
}

/* Opening is refused with `error`, and neither file is changed. */
static void expect_refusal(int error, const char *why)
{
	struct files before = { 0 }, after = { 0 };
	struct origin *o = NULL;

	snapshot(&before);
	cr_expect(eq(int, open_origin(&o, roomy), error), "%s", why);
	cr_expect(eq(ptr, o, NULL), "%s", why);
	snapshot(&after);
	cr_expect(eq(sz, before.key.len, after.key.len), "%s", why);
	cr_expect(eq(sz, before.ledger.len, after.ledger.len), "%s", why);
	cr_expect(before.key.len == 0 ||
			  memcmp(before.key.data, after.key.data, before.key.len) == 0,
		  "%s", why);
	cr_expect(before.ledger.len == 0 ||
			  memcmp(before.ledger.data, after.ledger.data, before.ledger.len) == 0,
		  "%s", why);
	files_done(&before);
	files_done(&after);
	origin_close(o);
}

/* Found an origin and commit up to `size`; the files after each commit are in f[commit]. */
static void make(struct files *f, uint64_t size)
{
	struct origin *o;
	bool unclean;

	cr_assert(eq(int, open_origin(&o, roomy), 0));
	cr_assert(eq(int, origin_begin(o, now_ns, &unclean), 0));
	snapshot(&f[0]);
	for (uint64_t c = 1; c < size; c++) {
		cr_assert(eq(int, commit(o, c), 0));
		snapshot(&f[c]);
	}
	origin_close(o);
}

enum { SIZE = 5 };

static struct files history_of_files[SIZE], *const past = history_of_files;

static void make_past(void)
{
	open_dirs();
	make(past, SIZE);
}

static void forget_past(void)
{
	for (size_t i = 0; i < SIZE; i++)
		files_done(&past[i]);
	close_dirs();
}

Test(origin, an_older_key_is_refused_unless_it_is_what_a_crash_leaves)
{
	struct origin *o;

	make_past();
	for (size_t i = 0; i + 2 < SIZE; i++) {
		restore_key(&past[i]);
		expect_refusal(BULLA_EORDER, "an old key");
	}
	restore_key(&past[SIZE - 2]);
	cr_assert(eq(int, open_origin(&o, roomy), 0));
	cr_expect(eq(u64, history_size(origin_history(o)), SIZE));
	origin_close(o);
	forget_past();
}

Test(origin, a_shorter_ledger_is_refused)
{
	make_past();
	for (size_t i = 0; i + 1 < SIZE; i++) {
		restore_ledger(&past[i], past[i].ledger.len);
		expect_refusal(BULLA_EORDER, "an old ledger");
	}
	for (size_t len = 0; len < 600; len++) {
		restore_ledger(&past[SIZE - 1], len);
		expect_refusal(BULLA_EORDER, "a cut ledger");
	}
	forget_past();
}

Test(origin, a_damaged_ledger_is_refused_and_kept)
{
	size_t end, n = 0;
	struct buf *bytes;

	make_past();
	bytes = &past[SIZE - 1].ledger;
	for (end = bytes->len; end > 0 && bytes->data[end - 1] == 0; end--)
		continue;
	for (size_t at = 0; at < end; at += 13, n++) {
		bytes->data[at] ^= 0x20;
		restore_ledger(&past[SIZE - 1], bytes->len);
		expect_refusal(BULLA_EORDER, "a flipped bit");
		bytes->data[at] ^= 0x20;
	}
	cr_expect(gt(sz, n, 50));
	forget_past();
}

Test(origin, one_file_without_the_other_is_refused)
{
	make_past();
	unlinkat(ledger_dir, LEDGER_FILE, 0);
	expect_refusal(-ENOENT, "a key without ledger");
	restore_ledger(&past[SIZE - 1], past[SIZE - 1].ledger.len);
	unlinkat(key_dir, "key", 0);
	expect_refusal(-ENOENT, "a ledger without key");
	forget_past();
}

Test(origin, a_fresh_key_does_not_wipe_a_ledger_whose_beginning_is_damaged)
{
	struct files fresh = { 0 };
	struct buf *bytes;
	struct origin *o;

	make_past();
	bytes = &past[SIZE - 1].ledger;
	empty_dirs();
	cr_assert(eq(int, open_origin(&o, roomy), 0));
	origin_close(o);
	snapshot(&fresh);
	bytes->data[20] ^= 1;
	restore_ledger(&past[SIZE - 1], bytes->len);
	expect_refusal(BULLA_EORDER, "a fresh key");
	bytes->data[20] ^= 1;
	restore_ledger(&past[SIZE - 1], bytes->len);
	expect_refusal(BULLA_EORDER, "a fresh key");
	restore_ledger(&past[0], past[0].ledger.len);
	expect_refusal(BULLA_EORDER, "a fresh key and a genesis");
	files_done(&fresh);
	forget_past();
}

Test(origin, the_key_of_another_origin_is_refused)
{
	static struct files other[SIZE];

	make_past();
	empty_dirs();
	make(other, SIZE);
	/* As far as the counts go these are the right ones. */
	for (size_t i = 0; i < SIZE; i++) {
		restore_ledger(&past[i], past[i].ledger.len);
		restore_key(&other[i]);
		expect_refusal(BULLA_EORDER, "another's key");
		if (i > 0) {
			restore_key(&other[i - 1]);
			expect_refusal(BULLA_EORDER, "another's key, one behind");
		}
	}
	for (size_t i = 0; i < SIZE; i++)
		files_done(&other[i]);
	forget_past();
}

Test(origin, a_key_with_other_seeds_is_refused)
{
	struct buf *key;

	make_past();
	key = &past[SIZE - 1].key;
	/* Offsets as in docs/format.md: head of the slot, head of the key, number of seeds, place, seed. */
	key->data[40 + 12 + 2 + 2 + 5] ^= 1;
	struct hash sum = sha256(key->data, 4096 - HASH_SIZE);

	memcpy(key->data + 4096 - HASH_SIZE, sum.b, HASH_SIZE);
	memcpy(key->data + 4096, key->data, 4096);
	restore_key(&past[SIZE - 1]);
	expect_refusal(BULLA_EORDER, "other seeds");
	forget_past();
}

Test(origin, one_process_at_a_time_seals)
{
	struct origin *o;

	make_past();
	cr_assert(eq(int, open_origin(&o, roomy), 0));
	expect_refusal(-EBUSY, "a second sealer");
	origin_close(o);
	cr_assert(eq(int, open_origin(&o, roomy), 0));
	origin_close(o);
	forget_past();
}

Test(origin, what_a_crash_left_behind_the_end_is_zeroed)
{
	struct buf *bytes;
	struct origin *o;
	struct files after = { 0 };
	size_t end;

	make_past();
	bytes = &past[SIZE - 1].ledger;
	for (end = bytes->len; end > 0 && bytes->data[end - 1] == 0; end--)
		continue;
	end = ALIGN_UP(end, (size_t) FRAME_ALIGN);
	/* A header that did not arrive, with a payload that did. */
	memset(bytes->data + end + FRAME_HEADER_SIZE, 0xee, 5000);
	restore_ledger(&past[SIZE - 1], bytes->len);
	cr_assert(eq(int, open_origin(&o, roomy), 0));
	cr_expect(eq(u64, history_size(origin_history(o)), SIZE));
	origin_close(o);
	snapshot(&after);
	cr_expect(eq(sz, after.ledger.len, bytes->len));
	for (size_t i = end; i < after.ledger.len; i++)
		cr_assert(eq(u8, after.ledger.data[i], 0), "byte %zu", i);
	files_done(&after);
	forget_past();
}

/* Used seeds. */

/* The seed that the next seal will take, out of the key's file. */
static bool next_seed(uint8_t ret[KES_SEED_SIZE])
{
	struct files f = { 0 };
	struct kes *k = kes_new();
	const struct kes_secret_tree *s;
	struct rd r;
	bool any;

	snapshot(&f);
	r = rd_of(f.key.data + 40, 4096 - 40);
	cr_assert(eq(int, kes_load(k, &r), 0));
	s = &k->secret[k->params.levels - 1];
	any = s->n > 0;
	if (any)
		memcpy(ret, s->seed[s->n - 1], KES_SEED_SIZE);
	kes_free(k);
	files_done(&f);
	return any;
}

Test(origin, a_used_seed_is_in_no_file_afterwards)
{
	uint8_t seed[KES_SEED_SIZE];
	struct origin *o;
	struct files f = { 0 };
	bool unclean;
	int n = 0;

	open_dirs();
	cr_assert(eq(int, open_origin(&o, deep), 0));
	cr_assert(eq(int, origin_begin(o, now_ns, &unclean), 0));
	for (uint64_t c = 1; c < 9; c++) {
		bool any = next_seed(seed);

		cr_assert(eq(int, commit(o, c), 0));
		/* When a tree is used up the next seed is not drawn yet. */
		if (!any)
			continue;
		n++;
		snapshot(&f);
		cr_expect(eq(ptr, memmem(f.key.data, f.key.len, seed, sizeof seed), NULL),
			  "commit %llu", (unsigned long long) c);
		cr_expect(eq(ptr, memmem(f.ledger.data, f.ledger.len, seed, sizeof seed), NULL));
	}
	cr_expect(gt(int, n, 2));
	origin_close(o);
	files_done(&f);
	close_dirs();
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What lane_sync() has returned for is found again, whatever happens to the disk; what lane_append() has refused is not;
 * damage costs the block that it hits and no other.
 */

#include "aggregator/lane.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "base/io.h"
#include "forwarder/wire.h"
#include "tests/disk.h"
#include "tests/harness.h"

Suite(lane);

enum { LANE = 3, BLOCKS_MAX = 64 };

static const struct id origin = { { LANE, 1, 2 } };

/* A lane and what was found when it was opened. */

struct found {
	uint64_t commit, seq, offset;
	size_t size;
	bool doubtful;
};

struct fixture {
	const char *path;
	struct objstore store;
	struct lane lane;
	struct found found[BLOCKS_MAX];
	size_t n;
	size_t damaged, nobodys;
	int error; /* what note_block() returns */
};

/* The frames of a commit; each has a size and bytes of its own. */
static void content(uint64_t commit, struct buf *to)
{
	uint8_t bytes[64];

	buf_clear(to);
	for (uint64_t i = 0; i <= commit % 3; i++) {
		memset(bytes, (int) (commit + i), sizeof bytes);
		wire_frame(to, WIRE_COMMIT, bytes, 1 + (commit * 7 + i) % sizeof bytes);
	}
	cr_assert(not(to->bad));
}

static int note_block(void *arg, const struct lane *l, const struct lane_block *b)
{
	_cleanup_buf_ struct buf want = { 0 };
	struct fixture *f = arg;

	cr_assert(l == &f->lane);
	if (b->damaged) {
		f->damaged++;
		f->nobodys += b->nobodys;
		cr_expect(b->nobodys || id_equal(&b->origin, &origin));
		return 0;
	}
	cr_assert(lt(sz, f->n, BLOCKS_MAX));
	cr_expect(id_equal(&b->origin, &origin));
	content(b->commit, &want);
	cr_expect(eq(sz, b->size, want.len), "commit %d", (int) b->commit);
	cr_expect(eq(int, memcmp(b->frames, want.data, want.len), 0), "commit %d", (int) b->commit);
	f->found[f->n++] = (struct found){ b->commit, b->seq, b->offset, b->size, b->doubtful };
	return f->error;
}

static int try_open(struct fixture *f)
{
	int r = objstore_open(&f->store, f->path);

	f->n = f->damaged = f->nobodys = 0;
	if (r < 0)
		return r;
	r = lane_open(&f->lane, &f->store, LANE, note_block, f);
	if (r < 0) {
		lane_close(&f->lane);
		objstore_close(&f->store);
	}
	return r;
}

static void open_lane(struct fixture *f)
{
	cr_assert(eq(int, try_open(f), 0));
}

static void close_lane(struct fixture *f)
{
	lane_close(&f->lane);
	objstore_close(&f->store);
}

static void begin(struct fixture *f)
{
	*f = (struct fixture){ .path = tempdir() };
	open_lane(f);
}

static int append(struct fixture *f, uint64_t commit, struct found *ret)
{
	_cleanup_buf_ struct buf frames = { 0 };

	content(commit, &frames);
	*ret = (struct found){ .commit = commit, .size = frames.len };
	return lane_append(&f->lane, &origin, commit, frames.data, frames.len, &ret->seq,
			   &ret->offset);
}

static void append_all(struct fixture *f, uint64_t n, struct found *ret)
{
	for (uint64_t i = 0; i < n; i++)
		cr_assert(eq(int, append(f, i, &ret[i]), 0), "commit %d", (int) i);
	cr_assert(eq(int, lane_sync(&f->lane), 0));
}

static void file_name(uint64_t seq, bool open, char ret[64])
{
	snprintf(ret, 64, "lanes/%02d/%020d%s", LANE, (int) seq, open ? ".open" : "");
}

static bool is_there(const struct fixture *f, uint64_t seq, bool open)
{
	char name[64];

	file_name(seq, open, name);
	return faccessat(f->store.root, name, F_OK, 0) == 0;
}

/* Overwrite the object under way of a closed lane. */
static void put_object(const struct fixture *f, const uint8_t *bytes, size_t n)
{
	char path[512], name[64];
	_cleanup_close_ int fd = -1;

	file_name(0, true, name);
	snprintf(path, sizeof path, "%s/%s", f->path, name);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	cr_assert(ge(int, fd, 0));
	cr_assert(eq(int, io_write(fd, bytes, n), 0));
}

static void get_object(const struct fixture *f, struct buf *to)
{
	_cleanup_close_ int dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[64];

	file_name(0, true, name);
	cr_assert(eq(int, io_read_file(dir, name, 1 << 20, to), 0));
}

/* The commits that were found are these. */
static void expect_commits(const struct fixture *f, const uint64_t *want, size_t n, size_t when)
{
	cr_expect(eq(sz, f->n, n), "at %zu", when);
	for (size_t i = 0; i < n && i < f->n; i++)
		cr_expect(eq(u64, f->found[i].commit, want[i]), "at %zu, block %zu", when, i);
}

static const uint64_t counted[BLOCKS_MAX] = {
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
};

Test(lane, blocks_are_found_where_they_were_put)
{
	_cleanup_buf_ struct buf want = { 0 };
	struct found put[10];
	struct fixture f;

	lane_object_size = 300;
	begin(&f);
	append_all(&f, 10, put);
	close_lane(&f);
	open_lane(&f);
	expect_commits(&f, counted, 10, 0);
	for (size_t i = 0; i < 10; i++) {
		_cleanup_close_ int fd = lane_read(&f.lane, put[i].seq, false);
		uint8_t bytes[1024];

		cr_expect(eq(u64, f.found[i].seq, put[i].seq), "block %zu", i);
		cr_expect(eq(u64, f.found[i].offset, put[i].offset), "block %zu", i);
		cr_expect(not(f.found[i].doubtful), "block %zu", i);
		content(i, &want);
		cr_assert(eq(i64, io_pread(fd, bytes, want.len, put[i].offset), (int64_t) want.len),
			  "block %zu", i);
		cr_expect(eq(int, memcmp(bytes, want.data, want.len), 0), "block %zu", i);
	}
	close_lane(&f);
}

Test(lane, an_object_is_published_when_it_is_full)
{
	struct found put;
	struct fixture f;
	uint64_t commit = 0;

	begin(&f);
	lane_object_size = 200;
	while (f.lane.end < lane_object_size)
		cr_assert(eq(int, append(&f, commit++, &put), 0));
	/* Not before the next block wants room. */
	cr_expect(is_there(&f, 0, true));
	cr_expect(not(is_there(&f, 0, false)));
	cr_expect(eq(u64, put.seq, 0));
	cr_assert(eq(int, append(&f, commit, &put), 0));
	cr_expect(eq(u64, put.seq, 1));
	cr_expect(is_there(&f, 0, false));
	cr_expect(not(is_there(&f, 0, true)));
	cr_expect(is_there(&f, 1, true));
	close_lane(&f);
}

Test(lane, a_name_that_is_taken_is_not_used_again)
{
	struct found put;
	struct fixture f;
	char name[64];
	int fd;

	begin(&f);
	lane_object_size = 1;
	cr_assert(eq(int, append(&f, 0, &put), 0));
	file_name(0, false, name);
	fd = openat(f.store.root, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(ge(int, fd, 0));
	close(fd);
	cr_expect(eq(int, append(&f, 1, &put), -EEXIST));
	close_lane(&f);
}

/* Cut off, or zeroes where the file was made longer before its content came. */
static void torn(bool zeroes)
{
	_cleanup_buf_ struct buf whole = { 0 };
	struct found put[3], more;
	struct fixture f;

	begin(&f);
	append_all(&f, 3, put);
	close_lane(&f);
	get_object(&f, &whole);
	for (size_t n = 0; n <= whole.len; n++) {
		uint8_t *copy = exact_copy(whole.data, whole.len);
		size_t kept = 0;

		while (kept < 3 && put[kept].offset + put[kept].size <= n)
			kept++;
		memset(copy + n, 0, whole.len - n);
		put_object(&f, copy, zeroes ? whole.len : n);
		free(copy);
		open_lane(&f);
		/* Padding is zeroes anyway. */
		if (zeroes && f.n > kept)
			kept = f.n;
		expect_commits(&f, counted, kept, n);
		cr_expect(eq(u64, f.lane.end, kept ? put[kept - 1].offset + put[kept - 1].size : 0),
			  "cut at %zu", n);
		cr_assert(eq(int, append(&f, kept, &more), 0), "cut at %zu", n);
		cr_assert(eq(int, lane_sync(&f.lane), 0), "cut at %zu", n);
		close_lane(&f);
		open_lane(&f);
		expect_commits(&f, counted, kept + 1, n);
		cr_expect(not(f.found[kept].doubtful), "cut at %zu", n);
		close_lane(&f);
	}
}

Test(lane, a_torn_end_is_cut_off_at_every_byte)
{
	torn(false);
}

Test(lane, an_end_of_zeroes_is_cut_off_at_every_byte)
{
	torn(true);
}

Test(lane, every_changed_byte_costs_its_block_and_no_other)
{
	_cleanup_buf_ struct buf whole = { 0 };
	struct found put[3];
	struct fixture f;

	begin(&f);
	append_all(&f, 3, put);
	close_lane(&f);
	get_object(&f, &whole);
	for (size_t at = 0; at < whole.len; at++) {
		size_t hit = 0, n = 0;
		uint64_t want[3];

		while (put[hit].offset + put[hit].size <= at)
			hit++;
		for (uint64_t i = 0; i < 3; i++)
			if (i != hit)
				want[n++] = i;
		whole.data[at] ^= (uint8_t) (1u << at % 8);
		put_object(&f, whole.data, whole.len);
		whole.data[at] ^= (uint8_t) (1u << at % 8);
		open_lane(&f);
		expect_commits(&f, want, n, at);
		/* What lies behind damage has to prove itself. */
		for (size_t i = 0; i < f.n; i++)
			cr_expect(eq(int, f.found[i].doubtful, f.found[i].commit > hit),
				  "byte %zu, block %zu", at, i);
		/* Damage in the middle stays for a person to look at; at the end it is as if torn. */
		cr_expect(eq(u64, f.lane.end, hit == 2 ? put[1].offset + put[1].size : whole.len),
			  "byte %zu", at);
		/* And is told, with whose it was if that can be read still. */
		cr_expect(eq(sz, f.damaged, hit < 2 ? 1 : 0), "byte %zu", at);
		cr_expect(eq(sz, f.nobodys, hit < 2 && at < put[hit].offset ? 1 : 0), "byte %zu",
			  at);
		close_lane(&f);
	}
}

Test(lane, an_error_of_the_reader_ends_the_opening)
{
	struct found put[3];
	struct fixture f;

	begin(&f);
	append_all(&f, 3, put);
	close_lane(&f);
	f.error = -ENOMEM;
	cr_expect(eq(int, try_open(&f), -ENOMEM));
	cr_expect(eq(sz, f.n, 1));
	f.error = 0;
	open_lane(&f);
	expect_commits(&f, counted, 3, 0);
	close_lane(&f);
}

/* A lane on a bad disk. */

enum { STORY = 12 };

/* Append and sync until something fails.  @return commits that are acknowledged; `*ret_tried` that were appended at all. */
static uint64_t live(struct fixture *f, uint64_t *ret_tried)
{
	uint64_t kept = 0, i = 0;
	struct found put;

	for (; i < STORY && append(f, i, &put) >= 0; i++) {
		/* Now and then two wait for one sync. */
		if (i % 3 == 1)
			continue;
		if (lane_sync(&f->lane) < 0)
			break;
		kept = i + 1;
	}
	*ret_tried = MIN_OF(i + 1, (uint64_t) STORY);
	return kept;
}

Test(lane, what_was_acknowledged_outlives_a_power_cut_at_every_step)
{
	size_t steps = SIZE_MAX;

	lane_object_size = 150;
	for (size_t at = 0; at <= steps; at++)
		for (int cut = 0; cut < N_CUTS; cut++) {
			struct fixture f = { .path = tempdir() };
			uint64_t kept = 0, tried = 0;
			struct found put;

			disk_begin();
			disk_stop_at(at);
			if (try_open(&f) >= 0) {
				kept = live(&f, &tried);
				close_lane(&f);
			}
			if (steps == SIZE_MAX && disk_steps() <= at)
				steps = at;
			disk_cut((enum disk_cut) cut);
			open_lane(&f);
			cr_expect(ge(u64, f.n, kept), "step %zu, cut %d", at, cut);
			cr_expect(le(u64, f.n, tried), "step %zu, cut %d", at, cut);
			expect_commits(&f, counted, f.n, at);
			for (uint64_t seq = 0; seq < f.lane.seq && cut == CUT_KEEPS_ALL; seq++)
				cr_expect(not(is_there(&f, seq, true)), "step %zu", at);
			cr_assert(eq(int, append(&f, f.n, &put), 0), "step %zu, cut %d", at, cut);
			cr_assert(eq(int, lane_sync(&f.lane), 0), "step %zu, cut %d", at, cut);
			kept = f.n + 1;
			close_lane(&f);
			open_lane(&f);
			expect_commits(&f, counted, kept, at);
			close_lane(&f);
			harness_teardown();
		}
	cr_expect(gt(sz, steps, STORY));
}

/* A full disk refuses, and takes the same again when there is room: nothing is lost, doubled or out of order. */
static void fill(size_t at, size_t n_steps)
{
	struct fixture f = { .path = tempdir() };
	uint64_t refused = 0;

	disk_begin();
	open_lane(&f);
	disk_fail_at(disk_steps() + at, n_steps, ENOSPC);
	for (uint64_t i = 0; i < STORY;) {
		struct found put;
		int r = append(&f, i, &put);

		cr_assert(r == 0 || r == -ENOSPC, "step %zu: %d", at, r);
		cr_assert(lt(u64, refused, n_steps + 1), "step %zu", at);
		if (r < 0)
			refused++;
		else
			i++;
	}
	cr_expect(ge(int, lane_sync(&f.lane), 0), "step %zu", at);
	disk_cut(CUT_LOSES_ALL);
	close_lane(&f);
	open_lane(&f);
	expect_commits(&f, counted, STORY, at);
	for (size_t i = 0; i < f.n; i++)
		cr_expect(not(f.found[i].doubtful), "step %zu, block %zu", at, i);
	close_lane(&f);
	harness_teardown();
}

Test(lane, a_full_disk_refuses_and_goes_on_when_there_is_room)
{
	/* Without syncs in between but those of full objects: steps are writes, cuts, names. */
	lane_object_size = 1 << 20;
	for (size_t at = 0; at < 2 * STORY; at++)
		for (size_t n = 1; n <= 4; n++)
			fill(at, n);
}

/* Making the next object fails at any of its steps; only a sync of content that failed is for ever. */
Test(lane, a_full_disk_between_two_objects_is_waited_for)
{
	lane_object_size = 1;
	for (size_t n = 1; n <= 6; n++) {
		struct fixture f = { .path = tempdir() };
		uint64_t commits = 1;
		struct found put;

		disk_begin();
		open_lane(&f);
		cr_assert(eq(int, append(&f, 0, &put), 0));
		cr_assert(eq(int, lane_sync(&f.lane), 0));
		/* The sync before the publishing comes first. */
		disk_fail_at(disk_steps() + 1, n, ENOSPC);
		for (size_t i = 0; i <= n && commits < 2; i++)
			commits += append(&f, 1, &put) >= 0;
		cr_expect(eq(u64, commits, 2), "%zu failures", n);
		cr_expect(eq(u64, put.seq, 1), "%zu failures", n);
		cr_expect(eq(int, lane_sync(&f.lane), 0), "%zu failures", n);
		disk_cut(CUT_LOSES_ALL);
		close_lane(&f);
		open_lane(&f);
		expect_commits(&f, counted, 2, n);
		close_lane(&f);
	}
}

/* The kernel says it once; a second sync would succeed with the content lost. */
Test(lane, after_a_failed_sync_nothing_is_taken)
{
	struct found put;
	struct fixture f;

	begin(&f);
	cr_assert(eq(int, append(&f, 0, &put), 0));
	disk_begin();
	disk_fail_at(0, 1, EIO);
	cr_expect(eq(int, lane_sync(&f.lane), -EIO));
	cr_expect(eq(int, lane_sync(&f.lane), -EIO));
	cr_expect(eq(int, append(&f, 1, &put), -EIO));
	disk_end();
	close_lane(&f);
	open_lane(&f);
	expect_commits(&f, counted, f.n, 0);
	cr_expect(eq(int, append(&f, f.n, &put), 0));
	close_lane(&f);
}

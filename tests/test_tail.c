/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What is appended to a tail comes back, in order and as it was; whatever is cut off or flipped, no other entry ever does.
 * A writer that was killed anywhere is followed by one that goes on where it was.
 */

#include "store/tail_writer.h"

#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"
#include "seal/tree.h"

Suite(tail);

static const struct id journal = { "journal of tests" }, boot = { "boot of tests..." };
static const uint8_t first_seed[SEED_SIZE] = "first seed";

/* The disk, as this program sees it: syncs fail when told to, and what is written is noted. */

static int sync_error;
static unsigned n_syncs;
static off_t written_from;

int fdatasync(int fd)
{
	n_syncs++;
	if (sync_error) {
		errno = sync_error;
		return -1;
	}
	return (int) syscall(SYS_fdatasync, fd);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t offset)
{
	written_from = MIN_OF(written_from, offset);
	return syscall(SYS_pwrite64, fd, p, n, offset);
}

/* A tail of its own in a directory of its own. */

struct bench {
	int dir;
	char name[TAIL_NAME_SIZE];
	struct tail_writer t;
	uint32_t context;
	uint64_t batches, entries; /* sealed */
	uint64_t next;		   /* number in the messages */
};

static size_t identity(uint8_t leaf[256])
{
	static const struct field f = { (const uint8_t *) "_NAME", (const uint8_t *) "test", 4, 5 };
	struct wr w = wr_of(leaf, 256);

	context_encode(&(struct context){ .fields = &f, .n_fields = 1 }, &w);
	return w.len;
}

static void bench_open(struct bench *b)
{
	static const struct field f = { (const uint8_t *) "_STREAM", (const uint8_t *) "out", 3,
					7 };
	int64_t k;

	cr_assert(eq(int, tail_writer_open(&b->t, b->dir, &journal, b->batches, b->entries), 0),
		  "%d batches, %d entries", (int) b->batches, (int) b->entries);
	k = tail_writer_context(&b->t, 0, &f, 1);
	cr_assert(eq(i64, k, 1));
	b->context = 1;
	b->next = b->t.next_seq;
}

static void bench_init(struct bench *b)
{
	const char *path = getenv("TMPDIR") ? tempdir() : NULL;
	uint8_t leaf[256];

	if (!path) {
		if (access("/dev/shm", W_OK) == 0)
			setenv("TMPDIR", "/dev/shm", 1);
		path = tempdir();
	}
	*b = (struct bench){ .dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	cr_assert(ge(int, b->dir, 0));
	tail_name(&journal, b->name);
	cr_assert(
		eq(int, tail_create(b->dir, &journal, &boot, leaf, identity(leaf), first_seed), 0));
	bench_open(b);
}

static void bench_done(struct bench *b)
{
	tail_writer_close(&b->t);
	close(b->dir);
}

static int try_log(struct bench *b)
{
	char message[64];
	struct entry e = { .time_ns = 1000000 + b->next * 1000 - b->next % 7 * 5000,
			   .received_ns = 1000000 + b->next * 1000,
			   .message = (const uint8_t *) message,
			   .priority = (uint8_t) (b->next % 8) };
	int r;

	e.message_len = (uint32_t) snprintf(message, sizeof message, "entry %d %.*s", (int) b->next,
					    (int) (b->next % 13), "aaaaaaaaaaaaaaa");
	r = tail_writer_add(&b->t, &e, b->context);
	b->next += r == 0;
	return r;
}

static void log_entries(struct bench *b, unsigned n)
{
	while (n-- > 0)
		cr_assert(eq(int, try_log(b), 0));
}

static void flush(struct bench *b)
{
	tail_writer_consumed(&b->t, 0, b->t.next_seq * 100);
	tail_writer_consumed(&b->t, 1, b->t.next_seq * 7);
	cr_assert(eq(int, tail_writer_flush(&b->t), 0));
}

static void cut(struct bench *b)
{
	flush(b);
	cr_assert(eq(int, tail_writer_cut(&b->t, -5), 0));
}

static void sealed(struct bench *b)
{
	b->batches = b->t.cut.batch_no + 1;
	b->entries = b->t.cut.first_seq + b->t.cut.entries;
	tail_writer_sealed(&b->t);
}

/* Reading it all: entries as numbers, out of their messages. */

struct reading {
	uint64_t entries; /* of whole frames from the front */
	unsigned batches;
	int end; /* how it ended */
	uint64_t end_at;
};

static void expect_entry(const struct entry *e, uint64_t seq)
{
	char want[64];
	int n = snprintf(want, sizeof want, "entry %d %.*s", (int) seq, (int) (seq % 13),
			 "aaaaaaaaaaaaaaa");

	cr_assert(eq(u32, e->message_len, (uint32_t) n), "entry %d", (int) seq);
	cr_assert(eq(int, memcmp(e->message, want, (size_t) n), 0), "entry %d", (int) seq);
	cr_assert(eq(u8, e->priority, (uint8_t) (seq % 8)));
	cr_assert(eq(u64, e->received_ns, 1000000 + seq * 1000));
	cr_assert(eq(u64, e->time_ns, 1000000 + seq * 1000 - seq % 7 * 5000));
}

static int read_rows(const struct tail_rows *rows, struct buf *raw)
{
	struct field fields[FIELDS_MAX];
	struct row_state s = { 0 };
	uint64_t seq = rows->first_seq;
	struct entry e;
	uint32_t context;
	struct rd rd;
	int r = tail_rows_unpack(rows, raw);

	if (r < 0)
		return r;
	rd = rd_of(raw->data, raw->len);
	while ((r = row_decode(&s, &rd, fields, &e, &context)) > 0) {
		expect_entry(&e, seq++);
		cr_assert(eq(u32, context, 1));
	}
	cr_assert(eq(int, r, 0));
	cr_assert(eq(u64, seq, rows->first_seq + rows->count));
	return 0;
}

/* With `over`, step over damage and read what is behind it. */
static struct reading read_tail(int dir, const char *name, bool over)
{
	_cleanup_(tail_reader_close) struct tail_reader t = { .fd = -1 };
	_cleanup_buf_ struct buf raw = { 0 };
	struct reading got = { 0 };
	struct tail_item item;
	int r = tail_reader_open(&t, dir, name);

	while (r >= 0) {
		r = tail_reader_next(&t, &item);
		got.end_at = t.frames.offset;
		if (r < 0 && over && tail_reader_resync(&t) == 1) {
			r = 0;
			over = t.contexts.n == 2;
			if (over)
				continue;
			break;
		}
		if (r <= 0)
			break;
		if (item.type == TAIL_BATCH)
			got.batches++;
		else
			r = read_rows(&item.rows, &raw);
		if (item.type == TAIL_ROWS && item.rows.first_seq == got.entries)
			got.entries += item.rows.count;
	}
	got.end = r;
	return got;
}

static void load(struct bench *b, struct buf *to)
{
	cr_assert(eq(int, io_read_file(b->dir, b->name, 64 << 20, to), 0));
}

static void store(struct bench *b, const uint8_t *p, size_t n, size_t size)
{
	_cleanup_close_ int fd = openat(b->dir, b->name, O_WRONLY | O_TRUNC | O_CLOEXEC);

	cr_assert(eq(int, io_write(fd, p, n), 0));
	cr_assert(eq(int, ftruncate(fd, (off_t) size), 0));
}

/* Round trips. */

Test(tail, what_is_written_is_read)
{
	struct bench b;
	struct reading got;

	bench_init(&b);
	for (unsigned i = 0; i < 40; i++) {
		log_entries(&b, 1 + i * i % 50);
		flush(&b);
		got = read_tail(b.dir, b.name, false);
		cr_expect(eq(u64, got.entries, b.next), "visible before it is cut");
		log_entries(&b, i % 3);
		cut(&b);
		sealed(&b);
	}
	got = read_tail(b.dir, b.name, false);
	cr_expect(eq(int, got.end, 0));
	cr_expect(eq(u64, got.entries, b.next));
	cr_expect(eq(uint, got.batches, 40));
	cr_expect(eq(u64, got.end_at, b.t.end));
	bench_done(&b);
}

Test(tail, a_closed_tail_has_no_space_to_spare)
{
	struct reading got;
	struct bench b;
	struct stat st;

	bench_init(&b);
	log_entries(&b, 20);
	cut(&b);
	sealed(&b);
	cr_assert(eq(int, fstat(b.t.fd, &st), 0));
	cr_expect(gt(u64, (uint64_t) st.st_size, b.t.end));
	tail_writer_end(&b.t);
	cr_assert(eq(int, fstat(b.t.fd, &st), 0));
	cr_expect(eq(u64, (uint64_t) st.st_size, b.t.end));
	got = read_tail(b.dir, b.name, false);
	cr_expect(eq(u64, got.entries, b.next));
	cr_expect(eq(uint, got.batches, 1));
	bench_done(&b);
}

Test(tail, a_tail_is_created_once_and_whole)
{
	struct bench b;
	uint8_t leaf[256];
	size_t n = identity(leaf);
	struct id other = { "another journal" };
	char name[TAIL_NAME_SIZE];

	bench_init(&b);
	cr_expect(eq(int, tail_create(b.dir, &journal, &boot, leaf, n, first_seed), -EEXIST));
	leaf[2] = 1; /* an identity has no parent */
	cr_expect(eq(int, tail_create(b.dir, &other, &boot, leaf, n, first_seed), BULLA_ECORRUPT));
	leaf[2] = 0;
	cr_expect(lt(int, tail_create(b.dir, &other, &boot, leaf, n - 1, first_seed), 0));
	sync_error = EIO;
	cr_expect(eq(int, tail_create(b.dir, &other, &boot, leaf, n, first_seed), -EIO));
	sync_error = 0;
	tail_name(&other, name);
	cr_expect(eq(int, faccessat(b.dir, name, F_OK, 0), -1), "something was left");
	cr_expect(eq(int, tail_create(b.dir, &other, &boot, leaf, n, first_seed), 0));
	bench_done(&b);
}

/* What a new tail's writer writes is what one writes that has opened it. */
Test(tail, a_new_tail_goes_on_without_being_opened)
{
	struct id other = { "another journal" };
	struct buf created = { 0 }, opened = { 0 };
	uint8_t leaf[256];
	struct bench b;

	bench_init(&b);
	log_entries(&b, 30);
	cut(&b);
	load(&b, &opened);
	tail_writer_close(&b.t);
	cr_assert(eq(int, unlinkat(b.dir, b.name, 0), 0));
	cr_assert(eq(
		int,
		tail_writer_create(&b.t, b.dir, &journal, &boot, leaf, identity(leaf), first_seed),
		0));
	cr_expect(eq(u64, b.t.durable, 0));
	cr_assert(eq(int, tail_writer_sync(&b.t), 0));
	cr_expect(eq(u64, b.t.durable, b.t.end));
	cr_assert(eq(i64,
		     tail_writer_context(&b.t, 0,
					 &(struct field){ (const uint8_t *) "_STREAM",
							  (const uint8_t *) "out", 3, 7 },
					 1),
		     1));
	b.next = 0;
	log_entries(&b, 30);
	cut(&b);
	load(&b, &created);
	cr_assert(eq(sz, created.len, opened.len));
	cr_expect(eq(int, memcmp(created.data, opened.data, created.len), 0));
	cr_expect(lt(int,
		     tail_writer_create(&(struct tail_writer){ 0 }, b.dir, &other, &boot, leaf,
					identity(leaf) - 1, first_seed),
		     0));
	buf_done(&created);
	buf_done(&opened);
	bench_done(&b);
}

/* Two that take turns with one scratch write what they would have written alone. */
Test(tail, what_frames_are_made_with_may_go_from_writer_to_writer)
{
	struct id other = { "another journal" };
	struct bench b, c;
	struct reading got;
	uint8_t leaf[256];

	bench_init(&b);
	c = b;
	tail_name(&other, c.name);
	cr_assert(
		eq(int,
		   tail_writer_create(&c.t, c.dir, &other, &boot, leaf, identity(leaf), first_seed),
		   0));
	cr_assert(eq(i64,
		     tail_writer_context(&c.t, 0,
					 &(struct field){ (const uint8_t *) "_STREAM",
							  (const uint8_t *) "out", 3, 7 },
					 1),
		     1));
	tail_writer_take_scratch(&b.t, &b.t);
	for (unsigned i = 0; i < 5; i++) {
		log_entries(&b, 40);
		tail_writer_take_scratch(&b.t, &c.t);
		flush(&b);
		log_entries(&c, 30);
		tail_writer_take_scratch(&c.t, &b.t);
		cut(&c);
		sealed(&c);
	}
	cr_expect(eq(ptr, b.t.stage.lz4, NULL));
	cut(&b);
	got = read_tail(b.dir, b.name, false);
	cr_expect(eq(u64, got.entries, 200));
	got = read_tail(c.dir, c.name, false);
	cr_expect(eq(u64, got.entries, 150));
	cr_expect(eq(uint, got.batches, 5));
	tail_writer_close(&c.t);
	bench_done(&b);
}

Test(tail, every_truncation_gives_a_prefix)
{
	_cleanup_buf_ struct buf whole = { 0 };
	uint64_t last = 0;
	struct bench b;

	bench_init(&b);
	for (unsigned i = 0; i < 4; i++) {
		log_entries(&b, 5);
		flush(&b);
		log_entries(&b, 2);
		cut(&b);
		sealed(&b);
	}
	load(&b, &whole);
	for (size_t n = 0; n <= b.t.end; n++) {
		struct reading got;

		store(&b, whole.data, n, n);
		got = read_tail(b.dir, b.name, false);
		cr_expect(ge(u64, got.entries, last), "cut at %zu", n);
		cr_expect(le(u64, got.entries, b.next));
		cr_expect(got.end == 0 || got.end == BULLA_ETRUNCATED, "cut at %zu: %d", n,
			  got.end);
		last = got.entries;
	}
	cr_expect(eq(u64, last, b.next));
	bench_done(&b);
}

/* read_rows() asserts that what is read is what was written. */
Test(tail, no_flipped_bit_gives_another_entry)
{
	_cleanup_buf_ struct buf whole = { 0 };
	unsigned shorter = 0;
	struct bench b;
	size_t end;

	bench_init(&b);
	for (unsigned i = 0; i < 3; i++) {
		log_entries(&b, 4);
		cut(&b);
		sealed(&b);
	}
	load(&b, &whole);
	end = b.t.end;
	for (size_t bit = 0; bit < 8 * end; bit++) {
		struct reading got;

		whole.data[bit / 8] ^= (uint8_t) (1 << bit % 8);
		store(&b, whole.data, end, end);
		got = read_tail(b.dir, b.name, true);
		cr_expect(le(u64, got.entries, b.next), "bit %zu", bit);
		shorter += got.entries < b.next || got.batches < 3;
		whole.data[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	cr_expect(eq(uint, shorter, (unsigned) (8 * end)), "a flip went unseen");
	bench_done(&b);
}

/* Going on. */

/* Root of a batch out of the file, by its recorded number and place. */
static void expect_cut_is_true(struct bench *b)
{
	_cleanup_(tail_reader_close) struct tail_reader t = { .fd = -1 };
	_cleanup_(batchroot_done) struct batchroot root = { 0 };
	_cleanup_buf_ struct buf raw = { 0 };
	const struct batch *c = &b->t.cut;
	struct tail_item item;
	struct hash h;

	cr_assert(eq(int, tail_reader_open(&t, b->dir, b->name), 0));
	while (tail_reader_next(&t, &item) > 0) {
		struct field fields[FIELDS_MAX];
		struct row_state s = { 0 };
		struct entry e;
		uint32_t context;
		struct rd rd;

		if (item.type != TAIL_ROWS || item.rows.first_seq < c->first_seq ||
		    item.rows.first_seq >= c->first_seq + c->entries)
			continue;
		if (item.rows.first_seq == c->first_seq)
			batchroot_begin(&root, seeds_of(&t.seeds, c->batch_no), c->batch_no, false);
		cr_assert(eq(int, tail_rows_unpack(&item.rows, &raw), 0));
		rd = rd_of(raw.data, raw.len);
		while (row_decode(&s, &rd, fields, &e, &context) > 0) {
			e.context = t.contexts.at[context].hash;
			cr_assert(eq(int, batchroot_add(&root, &e), 0));
		}
	}
	cr_assert(eq(u64, batchroot_count(&root), c->entries));
	h = batchroot_get(&root);
	cr_assert(eq(int, memcmp(h.b, c->root.b, HASH_SIZE), 0), "batch %d", (int) c->batch_no);
	cr_expect(eq(u64, root.bytes, c->bytes));
	cr_expect(eq(u64, root.time_min, c->time_min));
	cr_expect(eq(u64, root.time_max, c->time_max));
}

/* Seal a pending cut, then cut and seal what fills; every root must be that of the file. */
static void seal_all(struct bench *b)
{
	if (b->t.cut_pending) {
		expect_cut_is_true(b);
		sealed(b);
	}
	if (tail_writer_open_entries(&b->t) > 0) {
		cut(b);
		expect_cut_is_true(b);
		sealed(b);
	}
}

Test(tail, a_killed_writer_is_followed_at_every_byte)
{
	_cleanup_buf_ struct buf whole = { 0 };
	uint64_t sealed_end, end, last[2] = { 0 };
	struct bench b, c;

	bench_init(&b);
	for (unsigned i = 0; i < 3; i++) {
		log_entries(&b, 3);
		flush(&b);
		log_entries(&b, 2);
		cut(&b);
		sealed(&b);
	}
	sealed_end = b.t.end;
	log_entries(&b, 3);
	cut(&b);
	log_entries(&b, 2);
	flush(&b);
	log_entries(&b, 2);
	flush(&b);
	end = b.t.end;
	load(&b, &whole);
	tail_writer_close(&b.t);
	for (size_t n = sealed_end; n <= end; n++)
		for (unsigned blank = 0; blank <= 1; blank++) {
			struct reading got;
			uint64_t kept;

			c = b;
			store(&c, whole.data, n, blank ? whole.len : n);
			kept = read_tail(c.dir, c.name, false).entries;
			cr_expect(ge(u64, kept, last[blank]));
			bench_open(&c);
			cr_assert(eq(u64, c.t.next_seq, kept), "cut at %zu", n);
			cr_assert(eq(u64, c.t.n_channels, 2));
			cr_expect(eq(u64, c.t.channel[0].consumed, kept * 100), "cut at %zu", n);
			seal_all(&c);
			log_entries(&c, 2);
			flush(&c);
			seal_all(&c);
			got = read_tail(c.dir, c.name, false);
			cr_assert(eq(int, got.end, 0), "cut at %zu", n);
			cr_assert(eq(u64, got.entries, kept + 2), "cut at %zu", n);
			tail_writer_close(&c.t);
			last[blank] = kept;
		}
	for (size_t n = 0; n < sealed_end; n += 3) {
		struct tail_writer t;
		int r;

		store(&b, whole.data, n, n);
		r = tail_writer_open(&t, b.dir, &journal, b.batches, b.entries);
		if (r == 0) /* all but the last batch record */
			tail_writer_close(&t);
		cr_expect(r < 0 || n >= sealed_end - frame_space(TAIL_BATCH_SIZE),
			  "sealed entries were cut off at %zu", n);
	}
	close(b.dir);
}

Test(tail, a_pending_cut_is_found_again)
{
	struct batch before;
	struct bench b;

	bench_init(&b);
	log_entries(&b, 10);
	cut(&b);
	before = b.t.cut;
	log_entries(&b, 3);
	flush(&b);
	tail_writer_close(&b.t);
	bench_open(&b);
	cr_assert(b.t.cut_pending);
	cr_expect(eq(u64, b.t.cut.batch_no, before.batch_no));
	cr_expect(eq(u64, b.t.cut.first_seq, before.first_seq));
	cr_expect(eq(u32, b.t.cut.entries, before.entries));
	cr_expect(eq(i64, b.t.cut.mono_offset, before.mono_offset));
	expect_cut_is_true(&b);
	cr_expect(eq(u32, tail_writer_open_entries(&b.t), 3));
	/* Had the sealer got it, there would be none. */
	tail_writer_close(&b.t);
	b.batches = 1;
	b.entries = 10;
	bench_open(&b);
	cr_expect(not(b.t.cut_pending));
	cr_expect(eq(u64, b.t.batch_no, 1));
	cr_expect(eq(u32, tail_writer_open_entries(&b.t), 3));
	bench_done(&b);
}

Test(tail, seeds_change_every_256_batches_and_with_restarts_anywhere)
{
	struct bench b;

	bench_init(&b);
	for (unsigned i = 0; i < 2 * SEED_BATCHES + 3; i++) {
		bool edge = i % SEED_BATCHES <= 1 || i % SEED_BATCHES >= SEED_BATCHES - 2;

		log_entries(&b, 1);
		flush(&b);
		if (edge) {
			tail_writer_close(&b.t);
			bench_open(&b);
		}
		cut(&b);
		log_entries(&b, 1);
		flush(&b);
		/* Killed with a cut pending and the next batch begun: its rows are salted with the new seed. */
		if (edge) {
			tail_writer_close(&b.t);
			bench_open(&b);
			cr_assert(b.t.cut_pending);
		}
		expect_cut_is_true(&b);
		sealed(&b);
		if (edge) {
			tail_writer_close(&b.t);
			bench_open(&b);
		}
		cr_assert(eq(u32, b.t.seeds.n, 1 + (i + 1) / SEED_BATCHES), "batch %u", i);
	}
	bench_done(&b);
}

/* The seed of batch 256 is written before batch 255 is cut. */
Test(tail, a_seed_may_come_before_the_cut_that_did_not)
{
	_cleanup_buf_ struct buf whole = { 0 };
	struct bench b;

	bench_init(&b);
	for (unsigned i = 0; i < SEED_BATCHES - 1; i++) {
		log_entries(&b, 1);
		cut(&b);
		sealed(&b);
	}
	log_entries(&b, 2);
	cut(&b);
	cr_assert(eq(u32, b.t.seeds.n, 2));
	load(&b, &whole);
	store(&b, whole.data, b.t.end - frame_space(TAIL_BATCH_SIZE), whole.len);
	tail_writer_close(&b.t);
	bench_open(&b);
	cr_assert(not(b.t.cut_pending));
	for (unsigned i = 0; i < 2; i++) {
		log_entries(&b, 1);
		cut(&b);
		expect_cut_is_true(&b);
		sealed(&b);
	}
	cr_expect(eq(u32, b.t.seeds.n, 2));
	bench_done(&b);
}

Test(tail, a_seed_for_later_batches_only_is_refused)
{
	struct tail_writer t;
	uint8_t frame[64];
	struct bench b;
	uint64_t at;

	bench_init(&b);
	at = frame_space(TAIL_HEADER_SIZE) + frame_space(b.t.contexts.at[0].leaf_size);
	memset(frame, 5, sizeof frame);
	cr_assert(eq(
		int,
		io_pwrite(b.t.fd, frame, frame_finish(frame, TAIL_SEED, TAIL_SEED_RECORD_SIZE), at),
		0));
	cr_expect(eq(int, tail_writer_open(&t, b.dir, &journal, 0, 0), BULLA_ECORRUPT));
	bench_done(&b);
}

Test(tail, what_a_killed_writer_left_is_synced_before_it_is_told)
{
	struct bench b;
	uint64_t rows_at;

	bench_init(&b);
	log_entries(&b, 3);
	cut(&b);
	sealed(&b);
	rows_at = b.t.end;
	log_entries(&b, 3);
	cut(&b);
	tail_writer_close(&b.t);
	n_syncs = 0;
	written_from = INT64_MAX;
	bench_open(&b);
	cr_assert(b.t.cut_pending);
	cr_expect(ge(uint, n_syncs, 1), "a pending cut came back unsynced");
	cr_expect(eq(u64, (uint64_t) written_from, rows_at), "and was not written again");
	/* With nothing unsealed there is nothing to do. */
	sealed(&b);
	tail_writer_close(&b.t);
	n_syncs = 0;
	bench_open(&b);
	cr_expect(eq(uint, n_syncs, 0));
	sync_error = EIO;
	log_entries(&b, 1);
	flush(&b);
	tail_writer_close(&b.t);
	cr_expect(eq(int, tail_writer_open(&b.t, b.dir, &journal, b.batches, b.entries), -EIO));
	sync_error = 0;
	bench_open(&b);
	cr_expect(eq(u32, tail_writer_open_entries(&b.t), 1));
	bench_done(&b);
}

Test(tail, a_tail_of_another_journal_is_not_gone_on_with)
{
	static const struct id other = { "another journal." };
	char name[TAIL_NAME_SIZE];
	struct tail_writer t;
	struct bench b;

	bench_init(&b);
	tail_name(&other, name);
	cr_assert(eq(int, linkat(b.dir, b.name, b.dir, name, 0), 0));
	cr_expect(eq(int, tail_writer_open(&t, b.dir, &other, 0, 0), BULLA_ECORRUPT));
	cr_assert(eq(int, unlinkat(b.dir, name, 0), 0));
	cr_expect(eq(int, tail_writer_open(&t, b.dir, &other, 0, 0), -ENOENT));
	cr_assert(eq(int, mkfifoat(b.dir, name, 0600), 0));
	cr_expect(eq(int, tail_writer_open(&t, b.dir, &other, 0, 0), -ENXIO), "and does not hang");
	bench_done(&b);
}

Test(tail, a_whole_frame_of_nonsense_is_not_cut_off)
{
	_cleanup_close_ int fd = -1;
	uint8_t frame[64] = { 0 };
	struct tail_writer t;
	struct bench b;
	struct stat st;
	uint64_t end;

	bench_init(&b);
	log_entries(&b, 2);
	flush(&b);
	end = b.t.end;
	fd = openat(b.dir, b.name, O_WRONLY | O_CLOEXEC);
	cr_assert(eq(int, io_pwrite(fd, frame, frame_finish(frame, TAIL_SEED, 3), end), 0));
	cr_expect(eq(int, tail_writer_open(&t, b.dir, &journal, 0, 0), BULLA_ECORRUPT));
	cr_assert(eq(int, io_pwrite(fd, frame, frame_finish(frame, 0x77, 3), end), 0));
	cr_expect(eq(int, tail_writer_open(&t, b.dir, &journal, 0, 0), BULLA_EVERSION));
	cr_assert(eq(int, fstat(fd, &st), 0));
	cr_expect(gt(u64, (uint64_t) st.st_size, end), "it was cut off");
	bench_done(&b);
}

/* When the disk does not. */

/* No file grows beyond this; 0: as ever. */
static void limit_files(uint64_t size)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	cr_assert(eq(int, getrlimit(RLIMIT_FSIZE, &limit), 0));
	limit.rlim_cur = size ? size : limit.rlim_max;
	cr_assert(eq(int, setrlimit(RLIMIT_FSIZE, &limit), 0));
}

/* With the reserve. */
static void fill_allocated(struct bench *b, size_t leave)
{
	while (b->t.allocated - b->t.end > leave) {
		log_entries(b, 1);
		cr_assert(eq(int, tail_writer_flush_reserved(&b->t), 0));
	}
}

Test(tail, rows_leave_the_reserve_to_what_must_be_said)
{
	static const struct field f = { (const uint8_t *) "_STREAM", (const uint8_t *) "err", 3,
					7 };
	struct bench b;
	int r = 0;

	bench_init(&b);
	limit_files(b.t.allocated);
	while (r == 0) {
		cr_expect(ge(u64, b.t.allocated - b.t.end, TAIL_RESERVE), "at %d", (int) b.t.end);
		log_entries(&b, 1);
		r = tail_writer_flush(&b.t);
	}
	cr_expect(ge(u64, b.t.allocated - b.t.end, TAIL_RESERVE));
	cr_expect(lt(u64, b.t.allocated - b.t.end, TAIL_RESERVE + 200), "no less is used");
	cr_expect(lt(int, tail_writer_make_room(&b.t, 1000), 0));
	cr_expect(eq(i64, tail_writer_context(&b.t, 0, &f, 1), 2));
	cr_expect(eq(int, tail_writer_flush_reserved(&b.t), 0));
	cr_expect(eq(int, tail_writer_sync(&b.t), 0));
	cr_expect(eq(int, tail_writer_cut(&b.t, 0), 0));
	expect_cut_is_true(&b);
	sealed(&b);
	limit_files(0);
	cr_expect(eq(int, tail_writer_make_room(&b.t, 1000), 0));
	log_entries(&b, 1);
	cut(&b);
	expect_cut_is_true(&b);
	bench_done(&b);
}

Test(tail, what_is_unstaged_was_never_there)
{
	struct bench b;

	/* Around the sizes at which leaves are hashed. */
	for (unsigned n = 1; n < 3 * LEAVES_AT_ONCE; n += n < 4 ? 1 : 20) {
		uint64_t bytes;

		bench_init(&b);
		log_entries(&b, n);
		flush(&b);
		bytes = tail_writer_open_bytes(&b.t);
		log_entries(&b, 2 * n);
		tail_writer_unstage(&b.t);
		tail_writer_unstage(&b.t);
		b.next -= 2 * n;
		cr_expect(eq(u64, tail_writer_staged(&b.t), 0));
		cr_expect(eq(u32, tail_writer_open_entries(&b.t), n), "%u", n);
		cr_expect(eq(u64, tail_writer_open_bytes(&b.t), bytes), "%u", n);
		log_entries(&b, n);
		cut(&b);
		expect_cut_is_true(&b);
		sealed(&b);
		cr_expect(eq(u64, read_tail(b.dir, b.name, false).entries, 2 * n), "%u", n);
		bench_done(&b);
	}
}

Test(tail, what_cannot_be_appended_changes_nothing)
{
	static const struct field f = { (const uint8_t *) "_STREAM", (const uint8_t *) "err", 3,
					7 };
	struct bench b;
	uint64_t end, seq;
	struct reading got;

	bench_init(&b);
	fill_allocated(&b, 48);
	limit_files(b.t.allocated);
	end = b.t.end;
	seq = b.t.next_seq;
	for (unsigned i = 0; i < 5; i++)
		cr_expect(lt(i64, tail_writer_context(&b.t, 0, &f, 1), 0));
	cr_expect(eq(u32, b.t.contexts.n, 2), "a context that is not in the file");
	log_entries(&b, 30);
	for (unsigned i = 0; i < 5; i++)
		cr_expect(lt(int, tail_writer_flush(&b.t), 0));
	cr_expect(eq(u64, b.t.end, end));
	cr_expect(eq(u64, read_tail(b.dir, b.name, false).entries, seq));
	limit_files(0);
	cr_expect(eq(i64, tail_writer_context(&b.t, 0, &f, 1), 2));
	flush(&b);
	got = read_tail(b.dir, b.name, false);
	cr_expect(eq(int, got.end, 0));
	cr_expect(eq(u64, got.entries, seq + 30));
	cut(&b);
	expect_cut_is_true(&b);
	bench_done(&b);
}

Test(tail, a_cut_that_finds_no_room_can_be_repeated)
{
	struct bench b;

	bench_init(&b);
	/* The last batch before the seed changes: two records are to be written. */
	for (unsigned i = 0; i < SEED_BATCHES - 1; i++) {
		log_entries(&b, 1);
		cut(&b);
		sealed(&b);
	}
	for (size_t leave = 8; leave < 200; leave += 24) {
		fill_allocated(&b, leave);
		if (tail_writer_open_entries(&b.t) > 0 && b.t.allocated - b.t.end >= 8)
			break;
	}
	limit_files(b.t.allocated);
	for (unsigned i = 0; i < 3; i++) {
		cr_expect(lt(int, tail_writer_cut(&b.t, 0), 0));
		cr_expect(not(b.t.cut_pending));
	}
	limit_files(0);
	cr_assert(eq(int, tail_writer_cut(&b.t, 0), 0));
	expect_cut_is_true(&b);
	sealed(&b);
	cr_expect(eq(u32, b.t.seeds.n, 2), "one seed, however often it was tried");
	log_entries(&b, 3);
	cut(&b);
	expect_cut_is_true(&b);
	sealed(&b);
	tail_writer_close(&b.t);
	bench_open(&b);
	cr_expect(eq(int, read_tail(b.dir, b.name, false).end, 0));
	bench_done(&b);
}

Test(tail, after_a_failed_sync_everything_is_written_again)
{
	uint64_t rows_at, end;
	struct bench b;

	bench_init(&b);
	log_entries(&b, 3);
	cut(&b);
	sealed(&b);
	rows_at = b.t.end;
	log_entries(&b, 100);
	flush(&b);
	end = b.t.end;
	sync_error = ENOSPC;
	for (unsigned i = 0; i < 3; i++) {
		cr_expect(eq(int, tail_writer_cut(&b.t, 0), -ENOSPC));
		cr_expect(not(b.t.cut_pending));
		cr_expect(eq(u64, b.t.end, end), "a batch record that was never durable stays");
	}
	sync_error = 0;
	written_from = INT64_MAX;
	cr_assert(eq(int, tail_writer_cut(&b.t, 0), 0));
	cr_expect(eq(u64, (uint64_t) written_from, rows_at));
	expect_cut_is_true(&b);
	sealed(&b);
	written_from = INT64_MAX;
	log_entries(&b, 1);
	end = b.t.end;
	cut(&b);
	cr_expect(eq(u64, (uint64_t) written_from, end), "once is enough");
	cr_expect(eq(uint, read_tail(b.dir, b.name, false).batches, 3));
	bench_done(&b);
}

/* Who was killed after a failed sync cannot tell: contexts that no row of its own came behind are written again as well. */
Test(tail, after_a_failed_sync_and_a_new_start_so_are_contexts)
{
	struct field f = { .name = (const uint8_t *) "TID",
			   .name_len = 3,
			   .value = (const uint8_t *) "7",
			   .value_len = 1 };
	struct bench b;
	uint64_t end;

	bench_init(&b);
	log_entries(&b, 3);
	cut(&b);
	sealed(&b);
	end = b.t.end;
	cr_assert(gt(i64, tail_writer_context(&b.t, 0, &f, 1), 0));
	tail_writer_close(&b.t);
	written_from = INT64_MAX;
	bench_open(&b);
	cr_expect(eq(u64, (uint64_t) written_from, end));
	bench_done(&b);
}

/* Limits. */

Test(tail, entries_that_no_reader_would_take_are_refused)
{
	struct field f[2] = { { (const uint8_t *) "B", (const uint8_t *) "", 0, 1 },
			      { (const uint8_t *) "A", (const uint8_t *) "", 0, 1 } };
	struct entry e = { .fields = f, .n_fields = 2 };
	struct bench b;

	bench_init(&b);
	cr_expect(eq(int, tail_writer_add(&b.t, &e, 1), BULLA_ENOTCANON));
	e.n_fields = 1;
	e.flags = ENTRY_RECOVERED;
	cr_expect(eq(int, tail_writer_add(&b.t, &e, 1), BULLA_ENOTCANON));
	cr_expect(eq(u64, b.t.next_seq, 0));
	e.flags = 0;
	cr_expect(eq(int, tail_writer_add(&b.t, &e, 1), 0));
	cr_expect(eq(u64, b.t.next_seq, 1));
	bench_done(&b);
}

Test(tail, an_entry_of_the_largest_size_goes_beside_little_or_alone)
{
	struct bench b;
	uint8_t *big = malloc(ENTRY_SIZE_MAX + 1);
	struct entry e = { .message = big, .message_len = ENTRY_SIZE_MAX + 1 };
	uint64_t dice = 1;
	_cleanup_(tail_reader_close) struct tail_reader t = { .fd = -1 };
	_cleanup_buf_ struct buf raw = { 0 };
	struct tail_item item;

	cr_assert(big != NULL);
	random_fill(&dice, big, ENTRY_SIZE_MAX + 1); /* lz4 gains nothing */
	bench_init(&b);
	cr_expect(eq(int, tail_writer_add(&b.t, &e, 1), BULLA_ENOTCANON));
	e.message_len = ENTRY_SIZE_MAX;
	cr_assert(eq(int, tail_writer_add(&b.t, &e, 1), 0));
	e.message_len = 1 << 19;
	cr_assert(eq(int, tail_writer_add(&b.t, &e, 1), 0));
	cr_assert(eq(int, tail_writer_add(&b.t, &e, 1), -ENOBUFS));
	cr_expect(eq(u64, b.t.next_seq, 2), "nothing was staged");
	cr_assert(eq(int, tail_writer_flush(&b.t), 0));
	cr_assert(eq(int, tail_writer_add(&b.t, &e, 1), 0));
	cr_assert(eq(int, tail_writer_flush(&b.t), 0));
	cr_assert(eq(int, tail_reader_open(&t, b.dir, b.name), 0));
	for (unsigned i = 0; i < 2; i++) {
		cr_assert(eq(int, tail_reader_next(&t, &item), 1));
		cr_expect(eq(u32, item.rows.count, 2 - i));
		cr_expect(eq(int, tail_rows_unpack(&item.rows, &raw), 0));
	}
	cr_expect(eq(int, tail_reader_next(&t, &item), 0));
	bench_done(&b);
	free(big);
}

Test(tail, rows_that_do_not_unpack_to_their_size_are_refused)
{
	uint8_t bomb[1000] = { 0x1f, 'x', 1, 0 };
	_cleanup_buf_ struct buf raw = { 0 };
	struct tail_rows rows = {
		.raw_size = ROWS_RAW_MAX, .codec = ROWS_LZ4, .data = bomb, .data_size = sizeof bomb
	};

	memset(bomb + 4, 0xff, sizeof bomb - 4);
	cr_expect(eq(int, tail_rows_unpack(&rows, &raw), BULLA_ECORRUPT));
	rows.raw_size = 10;
	cr_expect(eq(int, tail_rows_unpack(&rows, &raw), BULLA_ECORRUPT));
	rows.codec = ROWS_RAW;
	cr_expect(eq(int, tail_rows_unpack(&rows, &raw), BULLA_ECORRUPT));
	rows.data_size = 0;
	cr_expect(eq(int, tail_rows_unpack(&rows, &raw), BULLA_ECORRUPT));
	rows.raw_size = 0;
	cr_expect(eq(int, tail_rows_unpack(&rows, &raw), 0));
}

/* Records. */

Test(tail, heads_that_promise_too_much_are_refused)
{
	struct tail_rows good = { .count = 2, .raw_size = 12, .time_max = 1 }, got;
	static const char *const names[] = { "count of 0", "count beyond the bytes", "raw size",
					     "times",	   "wrapping seq",	     "codec" };

	for (unsigned i = 0; i <= ELEMENTS(names); i++) {
		struct tail_rows rows = good;
		uint8_t head[ROWS_HEADER_MAX];
		struct wr w = wr_of(head, sizeof head);
		int r;

		rows.count = i == 0 ? 0 : i == 1 ? 3 : 2;
		rows.raw_size = i == 2 ? ROWS_RAW_MAX + 1 : 12;
		rows.time_min = i == 3 ? 2 : 0;
		rows.first_seq = i == 4 ? UINT64_MAX - 1 : 0;
		rows.codec = i == 5 ? 2 : 0;
		tail_rows_encode_head(&rows, &w);
		r = tail_rows_decode(head, w.len, &got);
		if (i < ELEMENTS(names))
			cr_expect(lt(int, r, 0), "%s", names[i]);
		else
			cr_expect(eq(int, r, 0));
		for (size_t n = 0; n < w.len; n++)
			cr_expect(lt(int, tail_rows_decode(head, n, &got), 0));
	}
}

Test(tail, seeds_ascend_and_are_found)
{
	struct seeds s = { 0 };

	cr_expect(eq(ptr, (void *) seeds_of(&s, 0), NULL));
	for (uint64_t i = 0; i < 50; i++) {
		struct tail_seed seed = { .first_batch = 10 + 3 * i, .seed = { (uint8_t) i } };

		cr_assert(eq(int, seeds_add(&s, &seed), 0));
		cr_expect(eq(int, seeds_add(&s, &seed), BULLA_ECORRUPT), "twice");
	}
	cr_expect(eq(ptr, (void *) seeds_of(&s, 9), NULL));
	for (uint64_t b = 10; b < 200; b++) {
		const uint8_t *seed = seeds_of(&s, b);

		cr_assert(seed != NULL);
		cr_expect(eq(u8, seed[0], (uint8_t) MIN_OF((b - 10) / 3, (uint64_t) 49)));
	}
	seeds_remove_last(&s);
	cr_expect(eq(u8, seeds_of(&s, 1000)[0], 48));
	seeds_done(&s);
}

Test(tail, other_headers_are_not_taken)
{
	struct tail_header h = { .journal = journal, .boot = boot }, got;
	uint8_t bytes[TAIL_HEADER_SIZE + 1] = { 0 };
	struct wr w = wr_of(bytes, sizeof bytes);

	tail_header_encode(&h, &w);
	cr_assert(eq(sz, w.len, TAIL_HEADER_SIZE));
	cr_expect(eq(int, tail_header_decode(bytes, w.len, &got), 0));
	cr_expect(eq(int, tail_header_decode(bytes, w.len + 1, &got), BULLA_ECORRUPT));
	for (size_t n = 0; n < w.len; n++)
		cr_expect(eq(int, tail_header_decode(bytes, n, &got), BULLA_ECORRUPT));
	bytes[8] = 1; /* a compatible feature */
	cr_expect(eq(int, tail_header_decode(bytes, w.len, &got), 0));
	for (size_t i = 12; i < 16; i++) {
		bytes[i] = 0x80;
		cr_expect(eq(int, tail_header_decode(bytes, w.len, &got), BULLA_EVERSION));
		bytes[i] = 0;
	}
	bytes[7] = '2';
	cr_expect(eq(int, tail_header_decode(bytes, w.len, &got), BULLA_EVERSION));
}

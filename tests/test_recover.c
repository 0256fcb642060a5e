/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What a dead writer left durable and unsealed becomes one batch, which verify takes; what is not that journal's, or never
 * was lawful, does not.
 */

#include "store/recover.h"

#include "tests/builder.h"
#include "tests/harness.h"
#include "tests/surgery.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bulla/error.h"

Suite(recover);

static unsigned n_syncs;
static int sync_error;

int fdatasync(int fd)
{
	n_syncs++;
	errno = sync_error;
	return sync_error ? -1 : (int) syscall(SYS_fdatasync, fd);
}

/* What was written since written_from was set to INT64_MAX. */
static off_t written_from, written_to;

ssize_t pwrite(int fd, const void *p, size_t n, off_t offset)
{
	written_from = MIN_OF(written_from, offset);
	written_to = MAX_OF(written_to, offset + (off_t) n);
	return syscall(SYS_pwrite64, fd, p, n, offset);
}

static struct builder b;
static size_t web;
static uint64_t sealed_end; /* offset behind the last sealed batch */
static struct vkey pin;
static char tail[64];
static struct surgery surgery;

/* Two sealed batches of `web`, one cut, and two frames of the next. */
static void make(void)
{
	struct batch_item unsealed;

	setenv("TMPDIR", builder_parent(), 1);
	builder_init(&b, tempdir(), (struct kes_params){ 2, 2 });
	pin = builder_pin(&b);
	web = builder_open(&b, "web");
	for (unsigned i = 0; i < 2; i++) {
		builder_log_many(&b, web, 3);
		builder_commit(&b);
	}
	sealed_end = b.journal[web].tail.end;
	builder_log_many(&b, web, 4);
	builder_cut(&b, web, &unsealed);
	for (unsigned i = 0; i < 2; i++) {
		builder_log_many(&b, web, 5);
		builder_flush(&b, web);
	}
	builder_tail(&b, web, tail);
}

static struct ledger_journal sealed(void)
{
	return *history_journal(origin_history(b.origin), 0);
}

static int recover(struct batch_item *ret)
{
	struct ledger_journal j = sealed();
	uint64_t cut;

	return recover_batch(b.state.journals, &j, ret, &cut);
}

Test(recover, cut_and_filling_rows_become_one_batch)
{
	struct verified v = { 0 };
	struct batch_item item;

	make();
	n_syncs = 0;
	cr_assert(eq(int, recover(&item), 1));
	cr_expect(ge(uint, n_syncs, 1), "sealed without being durable");
	cr_expect(eq(u32, item.entries, 14));
	cr_expect(item.recovered);
	cr_expect(le(u64, item.time_min, item.time_max));
	builder_crash(&b);
	builder_verify(b.path, &pin, &v);
	cr_expect(eq(int, v.report.verdict, VERDICT_UNSEALED));
	builder_restart(&b, true);
	builder_verify(b.path, &pin, &v);
	cr_expect(eq(int, v.report.verdict, VERDICT_OK), "%s", (char *) v.findings.data);
	cr_expect(eq(u64, v.report.entries, 20));
	cr_expect(eq(u64, v.report.unsealed_entries, 0));
	verified_done(&v);
	builder_done(&b);
}

Test(recover, every_torn_end_leaves_what_is_whole)
{
	_cleanup_buf_ struct buf whole = { 0 };
	uint64_t ends[8], end = 0;
	unsigned n_ends = 0, k = 0;
	struct batch_item item;

	make();
	surgery_open(&surgery, b.path, tail);
	for (size_t i = 0; i < surgery.n; i++) {
		end += frame_space(surgery.piece[i].payload.len);
		if (surgery.piece[i].type == TAIL_ROWS)
			ends[n_ends++] = end;
	}
	surgery_close(&surgery);
	cr_assert(eq(uint, n_ends, 5));
	builder_load(b.path, tail, &whole);
	for (size_t n = ends[1]; n <= whole.len; n++) {
		static const uint32_t entries[] = { 0, 4, 9, 14 };
		int r;

		while (k < 3 && n >= ends[2 + k])
			k++;
		builder_store(b.path, tail, whole.data, n);
		r = recover(&item);
		cr_assert(eq(int, r, k > 0), "cut at %zu", n);
		if (r > 0)
			cr_expect(eq(u32, item.entries, entries[k]), "cut at %zu", n);
	}
	for (size_t n = 0; n < ends[1]; n += 5) {
		builder_store(b.path, tail, whole.data, n);
		cr_expect(lt(int, recover(&item), 0), "sealed entries are missing at %zu", n);
	}
	builder_done(&b);
}

/* A disk writes in what order it likes; and what is torn is not always rows. */
Test(recover, what_stands_behind_a_torn_frame_is_cut_off)
{
	struct verified v = { 0 };
	_cleanup_buf_ struct buf whole = { 0 }, left = { 0 };
	struct batch_item item;

	make();
	surgery_open(&surgery, b.path, tail);
	/* The rows that were cut, their batch's record, rows, rows. */
	for (size_t torn = surgery.n - 4, end = 0; torn < surgery.n; torn++) {
		struct ledger_journal j = sealed();
		uint64_t cut = 0;

		end = 0;
		for (size_t i = 0; i < torn; i++)
			end += frame_space(surgery.piece[i].payload.len);
		buf_clear(&whole);
		builder_load(b.path, tail, &whole);
		whole.data[end + FRAME_HEADER_SIZE] ^= 1;
		builder_store(b.path, tail, whole.data, whole.len);
		if (torn + 1 < surgery.n) {
			builder_verify(b.path, &pin, &v);
			cr_expect(le(int, v.report.verdict, VERDICT_UNSEALED));
			cr_expect(verified_says(&v, VERDICT_NOTE, "behind a damaged frame"));
		}
		n_syncs = 0;
		cr_expect(eq(int, recover_batch(b.state.journals, &j, &item, &cut),
			     torn > surgery.n - 4));
		cr_expect(eq(u64, cut, whole.len - end));
		cr_expect(ge(uint, n_syncs, 1), "not durable");
		buf_clear(&left);
		builder_load(b.path, tail, &left);
		cr_expect(eq(sz, left.len, end));
		cr_expect(zero(int, memcmp(left.data, whole.data, end)));
		/* Again: nothing is left to do, but it may not have been durable. */
		n_syncs = 0;
		cr_expect(ge(int, recover_batch(b.state.journals, &j, &item, &cut), 0));
		cr_expect(zero(u64, cut));
		cr_expect(ge(uint, n_syncs, 1), "not durable");
		whole.data[end + FRAME_HEADER_SIZE] ^= 1;
		builder_store(b.path, tail, whole.data, whole.len);
	}
	surgery_done(&surgery);
	verified_done(&v);
	builder_done(&b);
}

Test(recover, of_what_was_torn_a_closed_journal_has_nothing)
{
	struct verified v = { 0 };
	_cleanup_buf_ struct buf whole = { 0 };

	make();
	builder_load(b.path, tail, &whole);
	whole.data[sealed_end + FRAME_HEADER_SIZE] ^= 1;
	builder_store(b.path, tail, whole.data, whole.len);
	builder_crash(&b);
	builder_restart(&b, true);
	builder_verify(b.path, &pin, &v);
	cr_expect(eq(int, v.report.verdict, VERDICT_OK), "%s", (char *) v.findings.data);
	cr_expect(eq(u64, v.report.unsealed_entries, 0));
	/* What comes there now was put there. */
	builder_store(b.path, tail, whole.data, whole.len);
	builder_verify(b.path, &pin, &v);
	cr_expect(eq(int, v.report.verdict, VERDICT_TAMPERED));
	cr_expect(verified_says(&v, VERDICT_TAMPERED, "entries were added behind a damaged frame"),
		  "%s", (char *) v.findings.data);
	verified_done(&v);
	builder_done(&b);
}

Test(recover, nothing_unsealed_is_nothing_to_seal)
{
	struct batch_item item;

	setenv("TMPDIR", builder_parent(), 1);
	builder_init(&b, tempdir(), (struct kes_params){ 2, 2 });
	web = builder_open(&b, "web");
	cr_expect(eq(int, recover(&item), 0), "not a single entry");
	builder_log(&b, web, "x");
	builder_commit(&b);
	cr_expect(eq(int, recover(&item), 0), "all sealed");
	builder_done(&b);
}

Test(recover, what_cannot_be_made_durable_is_not_sealed)
{
	struct batch_item item;

	make();
	sync_error = EIO;
	cr_expect(eq(int, recover(&item), -EIO));
	sync_error = 0;
	builder_done(&b);
}

Test(recover, what_a_failed_sync_may_have_given_up_is_written_again)
{
	_cleanup_buf_ struct buf before = { 0 }, after = { 0 };
	struct batch_item item;

	make();
	builder_load(b.path, tail, &before);
	written_from = INT64_MAX;
	written_to = 0;
	cr_assert(eq(int, recover(&item), 1));
	cr_expect(eq(u64, (uint64_t) written_from, sealed_end));
	cr_expect(eq(u64, (uint64_t) written_to, b.journal[web].tail.end));
	builder_load(b.path, tail, &after);
	cr_expect(eq(sz, before.len, after.len));
	cr_expect(eq(int, memcmp(before.data, after.data, before.len), 0), "as it was");
	builder_done(&b);
}

/* A writer whose sync had failed, and which then was killed, may have written a context in vain that later rows name. */
Test(recover, so_is_a_context_before_the_first_unsealed_row)
{
	struct field f = { .name = (const uint8_t *) "TID",
			   .name_len = 3,
			   .value = (const uint8_t *) "7",
			   .value_len = 1 };
	struct batch_item item;

	setenv("TMPDIR", builder_parent(), 1);
	builder_init(&b, tempdir(), (struct kes_params){ 2, 2 });
	web = builder_open(&b, "web");
	builder_log_many(&b, web, 3);
	builder_commit(&b);
	sealed_end = b.journal[web].tail.end;
	cr_assert(gt(i64, tail_writer_context(&b.journal[web].tail, 0, &f, 1), 0));
	builder_log(&b, web, "unsealed");
	builder_flush(&b, web);
	written_from = INT64_MAX;
	cr_assert(eq(int, recover(&item), 1));
	cr_expect(eq(u64, (uint64_t) written_from, sealed_end));
	builder_done(&b);
}

Test(recover, another_journals_tail_is_refused)
{
	struct ledger_journal j;
	struct batch_item item;
	struct id stranger = { "a stranger" };
	uint64_t cut;

	make();
	j = sealed();
	j.identity.b[3] ^= 1;
	cr_expect(eq(int, recover_batch(b.state.journals, &j, &item, &cut), BULLA_ECORRUPT));
	j = sealed();
	j.entries -= 1;
	cr_expect(eq(int, recover_batch(b.state.journals, &j, &item, &cut), BULLA_ECORRUPT));
	j = sealed();
	j.id = stranger;
	cr_expect(eq(int, recover_batch(b.state.journals, &j, &item, &cut), -ENOENT));
	/* The header says whose it is. */
	surgery_open(&surgery, b.path, tail);
	surgery.piece[0].payload.data[16] ^= 1;
	surgery_close(&surgery);
	cr_expect(eq(int, recover(&item), BULLA_ECORRUPT));
	builder_done(&b);
}

Test(recover, frames_that_were_never_lawful_are_not_sealed)
{
	struct batch_item item;

	for (unsigned i = 0; i < 3; i++) {
		static const int want[] = { BULLA_ECORRUPT, BULLA_EVERSION, BULLA_ECORRUPT };
		struct piece *p;

		make();
		surgery_open(&surgery, b.path, tail);
		p = &surgery.piece[surgery_find(&surgery, TAIL_ROWS, 2)];
		if (i == 0)
			surgery_insert(&surgery, surgery.n, TAIL_SEED, "x", 1);
		else if (i == 1)
			surgery_insert(&surgery, surgery.n, 0x77, "x", 1);
		else
			surgery_insert(&surgery, surgery.n, TAIL_ROWS, p->payload.data,
				       p->payload.len); /* a seq again */
		surgery_close(&surgery);
		cr_expect(eq(int, recover(&item), want[i]), "case %u", i);
		builder_done(&b);
	}
}

Test(recover, more_than_a_crash_can_leave_is_refused)
{
	char *line = malloc((1 << 20) + 1);
	struct batch_item item;

	cr_assert(line != NULL);
	memset(line, 'x', 1 << 20);
	line[1 << 20] = '\0';
	make();
	for (unsigned i = 0; i < 7; i++) {
		builder_log(&b, web, line);
		builder_flush(&b, web);
	}
	cr_expect(eq(int, recover(&item), 1));
	builder_log(&b, web, line);
	builder_flush(&b, web);
	cr_expect(eq(int, recover(&item), BULLA_ELIMIT));
	free(line);
	builder_done(&b);
}

Test(recover, a_journal_that_is_written_is_left_alone)
{
	_cleanup_close_ int first = -1;
	struct id stranger = { "a stranger" };

	make();
	first = recover_lock(b.state.journals, &b.journal[web].id);
	cr_assert(ge(int, first, 0));
	cr_expect(eq(int, recover_lock(b.state.journals, &b.journal[web].id), -EWOULDBLOCK));
	cr_expect(eq(int, recover_lock(b.state.journals, &stranger), -ENOENT));
	builder_done(&b);
}

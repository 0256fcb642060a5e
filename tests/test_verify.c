/* SPDX-License-Identifier: Apache-2.0 */

/**
 * An untouched directory is OK; whatever was changed, removed, added or cut off is found and named.  One row per finding
 * and attack: what is done to a copy of the directory, and what verify must say of it.
 */

#include "store/verify.h"

#include "tests/builder.h"
#include "tests/harness.h"
#include "tests/surgery.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame.h"
#include "seal/ledger.h"
#include "store/format.h"
#include "store/gaps.h"

Suite(verify);

#define LEDGER "ledger/" LEDGER_FILE

/* The directory that is attacked: `web` has 5 batches of 2 frames and is closed, `db` has 3 and is open, all sealed. */
struct bed {
	struct builder b;
	struct vkey pin;
	size_t web, db;
	char path[600], work[640]; /* the original, and the copy to be attacked */
	char web_tail[64], db_tail[64];
	struct verify_options options; /* for this case */
};

static struct bed bed;
static struct surgery surgery; /* large */

static void make_bed(void)
{
	struct builder *b = &bed.b;
	const char *dir;

	setenv("TMPDIR", builder_parent(), 1);
	dir = tempdir();
	snprintf(bed.path, sizeof bed.path, "%s/original", dir);
	builder_init(b, bed.path, (struct kes_params){ 2, 2 });
	bed.web = builder_open(b, "web");
	bed.db = builder_open(b, "db");
	for (unsigned i = 0; i < 5; i++) {
		builder_log_many(b, bed.web, 3);
		builder_flush(b, bed.web);
		builder_log(b, bed.web, "GET /index.html from 10.0.0.1");
		builder_log_many(b, bed.web, 2);
		if (i < 3)
			builder_log_many(b, bed.db, 4);
		builder_commit(b);
	}
	builder_close(b, bed.web);
	builder_tail(b, bed.web, bed.web_tail);
	builder_tail(b, bed.db, bed.db_tail);
	bed.pin = builder_pin(b);
}

static void fresh_copy(void)
{
	static unsigned n;

	snprintf(bed.work, sizeof bed.work, "%s.%u", bed.path, n++);
	builder_copy(bed.path, bed.work);
	bed.options = (struct verify_options){ .pin = &bed.pin };
}

struct attack {
	const char *name;
	void (*change)(void);
	enum verdict verdict;
	const char *what; /* one of the findings, its beginning */
};

static void check(const struct attack *a)
{
	struct verified v = { 0 };

	fresh_copy();
	if (a->change)
		a->change();
	builder_verify_with(bed.work, bed.options, &v);
	cr_expect(eq(int, v.error, 0), "%s", a->name);
	cr_expect(
		eq(str, (char *) verdict_name(v.report.verdict), (char *) verdict_name(a->verdict)),
		"%s: %s", a->name, (char *) v.findings.data);
	if (a->what)
		cr_expect(verified_says(&v, a->verdict, a->what), "%s: %s instead of %s", a->name,
			  (char *) v.findings.data, a->what);
	verified_done(&v);
}

static void check_all(const struct attack *a, size_t n)
{
	make_bed();
	for (size_t i = 0; i < n; i++)
		check(&a[i]);
	builder_done(&bed.b);
}

static void cut_web(void)
{
	surgery_open(&surgery, bed.work, bed.web_tail);
}

static size_t rows(size_t nth)
{
	return surgery_find(&surgery, TAIL_ROWS, nth);
}

/* Frames moved about, each with its right checksum. */

static void drop_rows(void)
{
	cut_web();
	surgery_remove(&surgery, rows(3));
	surgery_close(&surgery);
}

static void drop_last_rows(void)
{
	cut_web();
	surgery_remove(&surgery, rows(9));
	surgery_close(&surgery);
}

static void repeat_rows(void)
{
	struct piece *p;

	cut_web();
	p = &surgery.piece[rows(3)];
	surgery_insert(&surgery, rows(4), TAIL_ROWS, p->payload.data, p->payload.len);
	surgery_close(&surgery);
}

static void swap_rows(void)
{
	cut_web();
	surgery_swap(&surgery, rows(2), rows(3));
	surgery_close(&surgery);
}

static void swap_batches(void)
{
	cut_web();
	surgery_swap(&surgery, rows(2), rows(4));
	surgery_swap(&surgery, rows(3), rows(5));
	surgery_close(&surgery);
}

static void rows_of_another_journal(void)
{
	static struct surgery other;
	struct piece *p;

	cut_web();
	surgery_open(&other, bed.work, bed.db_tail);
	p = &other.piece[surgery_find(&other, TAIL_ROWS, 0)];
	surgery_insert(&surgery, rows(0), TAIL_ROWS, p->payload.data, p->payload.len);
	surgery_remove(&surgery, rows(1));
	surgery_done(&other);
	surgery_close(&surgery);
}

static void drop_record(void)
{
	cut_web();
	surgery_remove(&surgery, surgery_find(&surgery, TAIL_BATCH, 2));
	surgery_close(&surgery);
}

static void drop_last_record(void)
{
	cut_web();
	surgery_remove(&surgery, surgery_find(&surgery, TAIL_BATCH, 4));
	surgery_close(&surgery);
}

static void repeat_record(void)
{
	size_t at;

	cut_web();
	at = surgery_find(&surgery, TAIL_BATCH, 2);
	surgery_insert(&surgery, at, TAIL_BATCH, surgery.piece[at].payload.data, TAIL_BATCH_SIZE);
	surgery_close(&surgery);
}

static void change_record(size_t byte)
{
	cut_web();
	surgery.piece[surgery_find(&surgery, TAIL_BATCH, 1)].payload.data[byte] ^= 1;
	surgery_close(&surgery);
}

static void change_record_number(void)
{
	change_record(0);
}

static void change_record_entries(void)
{
	change_record(8);
}

static void change_record_offset(void)
{
	change_record(12);
}

static void change_record_root(void)
{
	change_record(20);
}

static void drop_stream_context(void)
{
	cut_web();
	surgery_remove(&surgery, surgery_find(&surgery, TAIL_CONTEXT, 2));
	surgery_close(&surgery);
}

static void swap_stream_contexts(void)
{
	cut_web();
	surgery_swap(&surgery, surgery_find(&surgery, TAIL_CONTEXT, 1),
		     surgery_find(&surgery, TAIL_CONTEXT, 2));
	surgery_close(&surgery);
}

static void change_context(void)
{
	struct buf *p;

	cut_web();
	p = &surgery.piece[surgery_find(&surgery, TAIL_CONTEXT, 1)].payload;
	p->data[p->len - 1] ^= 1;
	surgery_close(&surgery);
}

static void drop_seed(void)
{
	cut_web();
	surgery_remove(&surgery, surgery_find(&surgery, TAIL_SEED, 0));
	surgery_close(&surgery);
}

static void change_seed(void)
{
	cut_web();
	surgery.piece[surgery_find(&surgery, TAIL_SEED, 0)].payload.data[20] ^= 1;
	surgery_close(&surgery);
}

static void another_seed_for_later(void)
{
	uint8_t seed[TAIL_SEED_RECORD_SIZE] = { 2 };

	cut_web();
	surgery_insert(&surgery, rows(4), TAIL_SEED, seed, sizeof seed);
	surgery_close(&surgery);
}

static void unknown_kind(void)
{
	cut_web();
	surgery_insert(&surgery, rows(4), 0x77, "x", 1);
	surgery_close(&surgery);
}

static void unlawful_frame(void)
{
	cut_web();
	surgery_insert(&surgery, rows(4), TAIL_CONTEXT, "x", 1);
	surgery_close(&surgery);
}

static void end_after_frame(void)
{
	size_t keep;

	cut_web();
	keep = rows(7);
	while (surgery.n > keep)
		surgery_remove(&surgery, surgery.n - 1);
	surgery_close(&surgery);
}

Test(verify, frames_are_where_they_were)
{
	static const struct attack attacks[] = {
		{ "nothing", NULL, VERDICT_OK, NULL },
		{ "rows dropped", drop_rows, VERDICT_TAMPERED, "entries are missing" },
		{ "last rows dropped", drop_last_rows, VERDICT_TAMPERED, "entries are missing" },
		{ "rows repeated", repeat_rows, VERDICT_TAMPERED, "entries are repeated" },
		{ "rows swapped", swap_rows, VERDICT_TAMPERED, "entries are missing" },
		{ "batches swapped", swap_batches, VERDICT_TAMPERED, "entries are missing" },
		{ "rows of another journal", rows_of_another_journal, VERDICT_TAMPERED, NULL },
		{ "record dropped", drop_record, VERDICT_TAMPERED, "the batch record is not" },
		{ "last record dropped", drop_last_record, VERDICT_TAMPERED,
		  "the batch record is not" },
		{ "record repeated", repeat_record, VERDICT_TAMPERED, "a batch record is out" },
		{ "record's number", change_record_number, VERDICT_TAMPERED,
		  "the batch record is not" },
		{ "record's entries", change_record_entries, VERDICT_TAMPERED,
		  "the batch record is not" },
		{ "record's offset", change_record_offset, VERDICT_TAMPERED,
		  "the batch record is not" },
		{ "record's root", change_record_root, VERDICT_TAMPERED,
		  "the batch record is not" },
		{ "context dropped", drop_stream_context, VERDICT_TAMPERED, NULL },
		{ "contexts swapped", swap_stream_contexts, VERDICT_TAMPERED,
		  "content changed after it was sealed" },
		{ "context changed", change_context, VERDICT_TAMPERED,
		  "content changed after it was sealed" },
		{ "seed dropped", drop_seed, VERDICT_TAMPERED, "the seed is missing" },
		{ "seed changed", change_seed, VERDICT_TAMPERED, "the seed is not the one" },
		{ "another seed", another_seed_for_later, VERDICT_TAMPERED,
		  "content changed after it was sealed" },
		{ "unknown kind", unknown_kind, VERDICT_TAMPERED, "a frame is of an unknown kind" },
		{ "unlawful frame", unlawful_frame, VERDICT_TAMPERED,
		  "a frame says what none may" },
		{ "end cut off at a frame", end_after_frame, VERDICT_TAMPERED,
		  "the file ends before this batch does" },
	};

	check_all(attacks, ELEMENTS(attacks));
}

/* Content changed and written back in order. */

static struct tail_rows head;
static struct buf raw;

static void open_rows(size_t nth)
{
	cut_web();
	surgery_rows(&surgery, rows(nth), &head, &raw);
}

static void close_rows(size_t nth)
{
	surgery_set_rows(&surgery, rows(nth), &head, &raw);
	surgery_close(&surgery);
	buf_done(&raw);
}

static void recompress(void)
{
	open_rows(3);
	close_rows(3);
}

static uint8_t *in_rows(const char *text)
{
	uint8_t *at = memmem(raw.data, raw.len, text, strlen(text));

	cr_assert(at != NULL);
	return at;
}

static void change_message(void)
{
	open_rows(3);
	*in_rows("10.0.0.1") = '2';
	close_rows(3);
}

static void change_message_and_record(void)
{
	change_message();
	change_record_root();
}

static void change_stream(void)
{
	open_rows(3);
	/* The first byte of a frame's rows is its first row's context. */
	raw.data[0] = raw.data[0] == 1 ? 2 : 1;
	close_rows(3);
}

static void change_priority(void)
{
	open_rows(3);
	raw.data[1] ^= 1;
	close_rows(3);
}

static void name_no_context(void)
{
	open_rows(3);
	raw.data[0] = 9;
	close_rows(3);
}

static void shorten_rows(void)
{
	open_rows(3);
	raw.len -= 1;
	close_rows(3);
}

static void spoil_compression(void)
{
	cut_web();
	surgery.piece[rows(3)].payload.len -= 1;
	surgery_close(&surgery);
}

static void change_head(unsigned what)
{
	open_rows(3);
	head.time_min -= what == 0;
	head.time_max += what == 1;
	head.own_fields ^= what == 2;
	head.count -= what == 3;
	head.first_seq += what == 4;
	head.channel[0].consumed += what == 5;
	head.n_channels -= what == 6;
	close_rows(3);
}

static void change_time_min(void)
{
	change_head(0);
}

static void change_time_max(void)
{
	change_head(1);
}

static void hide_fields(void)
{
	change_head(2);
}

static void hide_an_entry(void)
{
	change_head(3);
}

static void change_seq(void)
{
	change_head(4);
}

static void change_consumed(void)
{
	change_head(5);
}

static void drop_channel(void)
{
	change_head(6);
}

/* The first entry of one frame becomes the last of the frame before it. */
static void move_frame_border(void)
{
	struct tail_rows first;
	_cleanup_buf_ struct buf before = { 0 };

	cut_web();
	surgery_rows(&surgery, rows(2), &first, &before);
	surgery_rows(&surgery, rows(3), &head, &raw);
	first.count += head.count;
	first.time_min = MIN_OF(first.time_min, head.time_min);
	first.time_max = MAX_OF(first.time_max, head.time_max);
	first.own_fields |= head.own_fields;
	/* Times are deltas to the row before: decode and encode anew. */
	{
		static struct field fields[FIELDS_MAX];
		struct row_state from = { 0 }, to = { 0 };
		_cleanup_buf_ struct buf joined = { 0 };
		struct rd a = rd_of(before.data, before.len), b = rd_of(raw.data, raw.len);
		struct entry e;
		uint32_t context;
		struct wr w;

		cr_assert(buf_room(&joined, 2 * (before.len + raw.len)) != NULL);
		w = wr_of(joined.data, joined.cap);
		while (row_decode(&from, &a, fields, &e, &context) > 0)
			row_encode(&to, &e, context, &w);
		from = (struct row_state){ 0 };
		while (row_decode(&from, &b, fields, &e, &context) > 0)
			row_encode(&to, &e, context, &w);
		buf_add(&joined, w.len);
		surgery_set_rows(&surgery, rows(2), &first, &joined);
	}
	surgery_remove(&surgery, rows(3));
	surgery_close(&surgery);
	buf_done(&raw);
}

Test(verify, content_is_what_was_sealed)
{
	static const struct attack attacks[] = {
		{ "message", change_message, VERDICT_TAMPERED,
		  "content changed after it was sealed" },
		{ "message and record", change_message_and_record, VERDICT_TAMPERED,
		  "the sealed root never matched the journal" },
		{ "stream", change_stream, VERDICT_TAMPERED, "content changed after" },
		{ "priority", change_priority, VERDICT_TAMPERED, "content changed after" },
		{ "no such context", name_no_context, VERDICT_TAMPERED,
		  "a row names an unknown context" },
		{ "rows cut", shorten_rows, VERDICT_TAMPERED, "rows do not decode" },
		{ "compressed rows cut", spoil_compression, VERDICT_TAMPERED,
		  "compressed rows do not unpack" },
		{ "head: earliest", change_time_min, VERDICT_TAMPERED, "the head of the frame" },
		{ "head: latest", change_time_max, VERDICT_TAMPERED, "the head of the frame" },
		{ "head: fields", hide_fields, VERDICT_TAMPERED, "the head of the frame" },
		{ "head: count", hide_an_entry, VERDICT_TAMPERED, "rows do not decode" },
		{ "head: seq", change_seq, VERDICT_TAMPERED, "entries are missing" },
	};

	check_all(attacks, ELEMENTS(attacks));
}

/* What may be changed: the entries stay what they are. */
Test(verify, how_entries_are_packed_is_not_sealed)
{
	static const struct attack attacks[] = {
		{ "another codec", recompress, VERDICT_OK, NULL },
		{ "another border of frames", move_frame_border, VERDICT_OK, NULL },
		{ "bytes consumed of a channel", change_consumed, VERDICT_OK, NULL },
		{ "a channel less", drop_channel, VERDICT_OK, NULL },
	};
	_cleanup_buf_ struct buf before = { 0 }, after = { 0 };

	make_bed();
	cr_assert(eq(int, builder_dump(bed.path, &before), 0));
	for (size_t i = 0; i < ELEMENTS(attacks); i++) {
		check(&attacks[i]);
		buf_clear(&after);
		cr_assert(eq(int, builder_dump(bed.work, &after), 0));
		cr_assert(eq(sz, before.len, after.len), "%s", attacks[i].name);
		cr_expect(eq(int, memcmp(before.data, after.data, after.len), 0), "%s",
			  attacks[i].name);
	}
	builder_done(&bed.b);
}

/* Files. */

static int work_dir(void)
{
	return open(bed.work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void remove_file(const char *name)
{
	_cleanup_close_ int dir = work_dir();

	cr_assert(eq(int, unlinkat(dir, name, 0), 0));
}

static void remove_tail(void)
{
	remove_file(bed.web_tail);
}

static void remove_open_tail(void)
{
	remove_file(bed.db_tail);
}

static void replace_tail(void)
{
	_cleanup_close_ int dir = work_dir();

	cr_assert(eq(int, renameat(dir, bed.db_tail, dir, bed.web_tail), 0));
}

/* The other journal's tail, with a header that says otherwise. */
static void replace_content(void)
{
	_cleanup_buf_ struct buf header = { 0 };

	cut_web();
	buf_append(&header, surgery.piece[0].payload.data, surgery.piece[0].payload.len);
	surgery_done(&surgery);
	surgery_open(&surgery, bed.work, bed.db_tail);
	memcpy(surgery.piece[0].payload.data, header.data, header.len);
	snprintf(surgery.name, sizeof surgery.name, "%s", bed.web_tail);
	surgery_close(&surgery);
}

static void tail_is_fifo(void)
{
	_cleanup_close_ int dir = work_dir();

	remove_tail();
	cr_assert(eq(int, mkfifoat(dir, bed.web_tail, 0600), 0));
}

static void tail_is_link(void)
{
	_cleanup_close_ int dir = work_dir();

	cr_assert(eq(int, renameat(dir, bed.web_tail, dir, "elsewhere"), 0));
	cr_assert(eq(int, symlinkat("../elsewhere", dir, bed.web_tail), 0));
}

static void tail_is_empty(void)
{
	builder_store(bed.work, bed.web_tail, "", 0);
}

static void change_header(size_t byte, uint8_t bits)
{
	cut_web();
	surgery.piece[0].payload.data[byte] ^= bits;
	surgery_close(&surgery);
}

static void lower_version(void)
{
	change_header(7, 1);
}

static void set_incompatible_flag(void)
{
	change_header(12, 1);
}

static void set_compatible_flag(void)
{
	change_header(8, 1);
}

static void change_header_boot(void)
{
	change_header(32, 1);
}

static void change_header_seq(void)
{
	change_header(56, 1);
}

static void flip_header(void)
{
	_cleanup_buf_ struct buf b = { 0 };

	builder_load(bed.work, bed.web_tail, &b);
	b.data[20] ^= 4;
	builder_store(bed.work, bed.web_tail, b.data, b.len);
}

static void plant(size_t keep, bool upper)
{
	static const struct id stranger = { { 1, 2, 3, 4 } };
	char name[64] = "journals/", tail[TAIL_NAME_SIZE];

	tail_name(&stranger, tail);
	strcat(name, tail);
	if (upper)
		strcpy(name, "journals/x.tail");
	surgery_open(&surgery, bed.work, bed.db_tail);
	while (surgery.n > keep)
		surgery_remove(&surgery, surgery.n - 1);
	snprintf(surgery.name, sizeof surgery.name, "%s", name);
	surgery_close(&surgery);
}

static void plant_empty_journal(void)
{
	plant(5, false);
}

static void plant_entries(void)
{
	plant(6, false);
}

static void plant_batches(void)
{
	plant(7, false);
}

static void plant_other_name(void)
{
	plant(7, true);
}

static void plant_garbage(void)
{
	builder_store(bed.work, "journals/00112233445566778899aabbccddeeff.tail",
		      "twelve bytes of garbage, and more", 33);
}

static void plant_nothing(void)
{
	builder_store(bed.work, "journals/00112233445566778899aabbccddeeff.tail", "\0\0\0", 3);
}

Test(verify, files_are_the_journals)
{
	static const struct attack attacks[] = {
		{ "removed", remove_tail, VERDICT_TAMPERED, "the file is missing" },
		{ "removed while open", remove_open_tail, VERDICT_TAMPERED, "the file is missing" },
		{ "replaced by another's", replace_tail, VERDICT_TAMPERED,
		  "the header is not this journal's" },
		{ "content of another", replace_content, VERDICT_TAMPERED,
		  "the identity is not the one" },
		{ "a FIFO", tail_is_fifo, VERDICT_TAMPERED, "it is no regular file" },
		{ "a link", tail_is_link, VERDICT_TAMPERED, "it is no regular file" },
		{ "empty", tail_is_empty, VERDICT_TAMPERED, "the file is cut off" },
		{ "version lowered", lower_version, VERDICT_TAMPERED,
		  "the file is of an unknown version" },
		{ "incompatible flag", set_incompatible_flag, VERDICT_TAMPERED,
		  "the file is of an unknown version" },
		{ "compatible flag", set_compatible_flag, VERDICT_OK, NULL },
		{ "another boot", change_header_boot, VERDICT_TAMPERED,
		  "the header is not this journal's" },
		{ "another first seq", change_header_seq, VERDICT_TAMPERED,
		  "the header is not this journal's" },
		{ "damaged header", flip_header, VERDICT_TAMPERED, "the header is damaged" },
		{ "unknown, never used", plant_empty_journal, VERDICT_OK, NULL },
		{ "unknown, with entries", plant_entries, VERDICT_UNSEALED,
		  "a journal that the ledger does not know" },
		{ "unknown, with batches", plant_batches, VERDICT_TAMPERED,
		  "a journal with batches that the ledger does not know" },
		{ "no name of a journal", plant_other_name, VERDICT_OK, NULL },
		{ "garbage", plant_garbage, VERDICT_UNSEALED, "a file that is no journal" },
		{ "blank", plant_nothing, VERDICT_OK, NULL },
	};

	check_all(attacks, ELEMENTS(attacks));
}

/* Ends. */

static void append_rows(const char *tail, unsigned n, bool torn)
{
	_cleanup_buf_ struct buf b = { 0 };

	surgery_open(&surgery, bed.work, tail);
	for (unsigned i = 0; i < n; i++) {
		struct piece *p = &surgery.piece[rows(0)];

		surgery_insert(&surgery, surgery.n, TAIL_ROWS, p->payload.data, p->payload.len);
	}
	surgery_close(&surgery);
	if (!torn)
		return;
	builder_load(bed.work, tail, &b);
	builder_store(bed.work, tail, b.data, b.len - 9);
}

static void append_to_closed(void)
{
	append_rows(bed.web_tail, 1, false);
}

static void append_torn_to_closed(void)
{
	append_rows(bed.web_tail, 1, true);
}

static void append_to_open(void)
{
	append_rows(bed.db_tail, 1, false);
}

static void append_torn_to_open(void)
{
	append_rows(bed.db_tail, 1, true);
}

/* Rows in a whole frame behind one that is not. */
static void append_behind_torn(const char *tail, uint64_t first_seq)
{
	_cleanup_buf_ struct buf b = { 0 };
	size_t behind = 0;

	surgery_open(&surgery, bed.work, tail);
	surgery_rows(&surgery, rows(0), &head, &raw);
	head.first_seq = first_seq;
	for (unsigned i = 0; i < 2; i++) {
		surgery_insert(&surgery, surgery.n, TAIL_ROWS, "", 0);
		surgery_set_rows(&surgery, surgery.n - 1, &head, &raw);
		behind += frame_space(surgery.piece[surgery.n - 1].payload.len);
	}
	surgery_close(&surgery);
	builder_load(bed.work, tail, &b);
	b.data[b.len - behind + FRAME_HEADER_SIZE + 2] ^= 1;
	builder_store(bed.work, tail, b.data, b.len);
}

static void append_behind_torn_to_closed(void)
{
	append_behind_torn(bed.web_tail, 10000);
}

static void append_behind_torn_to_open(void)
{
	append_behind_torn(bed.db_tail, 10000);
}

static void repeat_behind_torn(void)
{
	append_behind_torn(bed.db_tail, 0);
}

static void repeat_behind_torn_to_closed(void)
{
	append_behind_torn(bed.web_tail, 0);
}

static void append_nonsense(void)
{
	surgery_open(&surgery, bed.work, bed.db_tail);
	surgery_insert(&surgery, surgery.n, TAIL_SEED, "x", 1);
	surgery_close(&surgery);
}

static void append_record(void)
{
	size_t at;

	surgery_open(&surgery, bed.work, bed.db_tail);
	at = surgery_find(&surgery, TAIL_BATCH, 2);
	surgery.piece[at].payload.data[0]++;
	surgery_insert(&surgery, surgery.n, TAIL_BATCH, surgery.piece[at].payload.data,
		       TAIL_BATCH_SIZE);
	surgery.piece[at].payload.data[0]--;
	surgery_close(&surgery);
}

/* That is what a crash can leave, so it is no finding; but it is told. */
Test(verify, what_stands_behind_a_torn_frame_is_told)
{
	struct verified v = { 0 };

	make_bed();
	fresh_copy();
	append_behind_torn(bed.db_tail, 10000);
	builder_verify_with(bed.work, bed.options, &v);
	cr_expect(eq(int, v.report.verdict, VERDICT_OK));
	cr_expect(gt(u64, v.report.unsealed_entries, 0));
	cr_expect(verified_says(&v, VERDICT_NOTE, "behind a damaged frame, never sealed"), "%s",
		  (char *) v.findings.data);
	verified_done(&v);
	builder_done(&bed.b);
}

Test(verify, nothing_was_added_unsealed)
{
	static const struct attack attacks[] = {
		{ "entries after the close", append_to_closed, VERDICT_TAMPERED,
		  "entries were added after the journal was closed" },
		{ "torn bytes after the close", append_torn_to_closed, VERDICT_OK, NULL },
		{ "unsealed entries", append_to_open, VERDICT_UNSEALED,
		  "unsealed entries that do not continue" },
		{ "torn bytes", append_torn_to_open, VERDICT_OK, NULL },
		{ "behind torn bytes", append_behind_torn_to_open, VERDICT_OK, NULL },
		{ "behind torn bytes after the close", append_behind_torn_to_closed,
		  VERDICT_TAMPERED, "entries were added behind a damaged frame" },
		/* That no reader shows: mutations/what_is_repeated_behind_a_torn_frame_is_not_shown. */
		{ "repeated behind torn bytes", repeat_behind_torn, VERDICT_OK, NULL },
		{ "repeated behind torn bytes after the close", repeat_behind_torn_to_closed,
		  VERDICT_TAMPERED, "entries were added behind a damaged frame" },
		{ "nonsense", append_nonsense, VERDICT_UNSEALED, "a frame says what none may" },
		{ "a record alone", append_record, VERDICT_UNSEALED,
		  "a batch record without a batch" },
	};

	check_all(attacks, ELEMENTS(attacks));
}

/* Unsealed entries of an honest writer, looked at by a clock. */
Test(verify, fresh_entries_of_a_running_host_are_a_note)
{
	static const struct {
		bool running;
		int64_t seconds; /* after the entries */
		enum verdict verdict;
	} cases[] = {
		{ true, 0, VERDICT_OK },
		{ true, 1, VERDICT_OK },
		{ true, 3, VERDICT_UNSEALED },
		{ true, -3, VERDICT_UNSEALED },
		{ true, -1, VERDICT_OK },
		{ false, 0, VERDICT_UNSEALED },
		{ true, 100000, VERDICT_UNSEALED },
	};
	struct verified v = { 0 };

	make_bed();
	builder_log_many(&bed.b, bed.db, 3);
	builder_flush(&bed.b, bed.db);
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct verify_options o = { .pin = &bed.pin, .running = cases[i].running };

		o.now_ns = bed.b.now_ns + (uint64_t) (cases[i].seconds * (int64_t) NS_PER_S);
		builder_verify_with(bed.path, o, &v);
		cr_expect(eq(int, v.report.verdict, cases[i].verdict), "case %zu: %s", i,
			  (char *) v.findings.data);
		cr_expect(eq(u64, v.report.unsealed_entries, 3));
	}
	verified_done(&v);
	builder_done(&bed.b);
}

/* Damage. */

Test(verify, damage_is_told_of_the_batch_that_it_hit)
{
	_cleanup_buf_ struct buf b = { 0 };
	struct verified v = { 0 };

	make_bed();
	for (unsigned kind = 0; kind < 3; kind++) {
		uint8_t *at;

		fresh_copy();
		buf_clear(&b);
		builder_load(bed.work, bed.web_tail, &b);
		/* The third batch's record is behind its two frames. */
		at = memmem(b.data, b.len, (uint8_t[]){ TAIL_BATCH, 0, 0, 0 }, 4);
		for (unsigned i = 0; i < 2; i++)
			at = memmem(at + 1, b.len - (size_t) (at + 1 - b.data),
				    (uint8_t[]){ TAIL_BATCH, 0, 0, 0 }, 4);
		if (kind == 0)
			at[-20] ^= 1; /* in the rows */
		else if (kind == 1)
			memset(at - 60, 0, 40); /* a hole */
		else
			at[20] ^= 1; /* in the record */
		builder_store(bed.work, bed.web_tail, b.data, b.len);
		builder_verify(bed.work, &bed.pin, &v);
		cr_expect(eq(int, v.report.verdict, VERDICT_TAMPERED), "kind %u", kind);
		cr_expect(eq(u64, v.report.batches, 8));
		cr_expect(eq(u64, v.report.entries, 3 * 4 + 4 * 6), "kind %u: %s", kind,
			  (char *) v.findings.data);
	}
	verified_done(&v);
	builder_done(&bed.b);
}

/* The ledger. */

static void remove_ledger(void)
{
	remove_file(LEDGER);
}

static void remove_ledger_unpinned(void)
{
	remove_file(LEDGER);
	bed.options.pin = NULL;
}

static void no_pin(void)
{
	bed.options.pin = NULL;
}

static struct vkey other_key;

static void wrong_key(void)
{
	other_key = bed.pin;
	other_key.public_key[5] ^= 1;
	bed.options.pin = &other_key;
}

static void wrong_origin(void)
{
	other_key = bed.pin;
	other_key.origin.b[5] ^= 1;
	bed.options.pin = &other_key;
}

static void flip_ledger(size_t at)
{
	_cleanup_buf_ struct buf b = { 0 };

	builder_load(bed.work, LEDGER, &b);
	b.data[at] ^= 1;
	builder_store(bed.work, LEDGER, b.data, b.len);
}

static void flip_ledger_header(void)
{
	flip_ledger(3);
}

static void flip_ledger_middle(void)
{
	flip_ledger(1000);
}

static void change_seal(void)
{
	size_t at;

	surgery_open(&surgery, bed.work, LEDGER);
	at = surgery_find(&surgery, LEDGER_COMMIT, 5);
	surgery.piece[at].payload.data[surgery.piece[at].payload.len - 1] ^= 1;
	surgery_close(&surgery);
}

static void drop_commit(void)
{
	surgery_open(&surgery, bed.work, LEDGER);
	surgery_remove(&surgery, surgery_find(&surgery, LEDGER_COMMIT, 5));
	surgery_close(&surgery);
}

static void unknown_record(void)
{
	surgery_open(&surgery, bed.work, LEDGER);
	surgery_insert(&surgery, surgery.n, 9, "x", 1);
	surgery_close(&surgery);
}

static void malformed_record(void)
{
	surgery_open(&surgery, bed.work, LEDGER);
	surgery_insert(&surgery, surgery.n, LEDGER_COMMIT, "x", 1);
	surgery_close(&surgery);
}

static void tear_ledger(void)
{
	_cleanup_buf_ struct buf b = { 0 };
	size_t size;

	surgery_open(&surgery, bed.work, LEDGER);
	size = surgery.piece[surgery.n - 1].payload.len;
	surgery_close(&surgery);
	builder_load(bed.work, LEDGER, &b);
	memset(b.data + b.len - size / 2, 0, size / 2);
	builder_store(bed.work, LEDGER, b.data, b.len);
}

static void blank_ledger(void)
{
	builder_store(bed.work, LEDGER, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	bed.options.pin = NULL;
}

static void stale(void)
{
	bed.options.max_age_ns = 3600 * NS_PER_S;
}

static void receipt_for_more(void)
{
	bed.options.receipt_size = 100;
}

static void receipt_for_this(void)
{
	bed.options.receipt_size = 3;
}

static struct hash other_root;

static void receipt_for_another(void)
{
	bed.options.receipt_size = 3;
	bed.options.receipt_root = &other_root;
}

Test(verify, the_ledger_is_the_one_that_was_sealed)
{
	static const struct attack attacks[] = {
		{ "removed", remove_ledger, VERDICT_TAMPERED, "a key is pinned, but nothing" },
		{ "removed, no pin", remove_ledger_unpinned, VERDICT_TAMPERED,
		  "a journal with batches that the ledger" },
		{ "no pin", no_pin, VERDICT_UNPINNED, "no key is pinned" },
		{ "wrong key", wrong_key, VERDICT_TAMPERED, "the ledger was begun by another" },
		{ "wrong origin", wrong_origin, VERDICT_TAMPERED, "the ledger was begun by" },
		{ "header flipped", flip_ledger_header, VERDICT_TAMPERED, "the header is damaged" },
		{ "record flipped", flip_ledger_middle, VERDICT_TAMPERED,
		  "a record is damaged and others follow it" },
		{ "seal changed", change_seal, VERDICT_TAMPERED, "the seal does not verify" },
		{ "commit dropped", drop_commit, VERDICT_TAMPERED,
		  "the record is not the continuation" },
		{ "unknown record", unknown_record, VERDICT_TAMPERED, "a record of unknown kind" },
		{ "malformed record", malformed_record, VERDICT_TAMPERED,
		  "the record is malformed" },
		{ "torn last record", tear_ledger, VERDICT_OK, NULL },
		{ "blank", blank_ledger, VERDICT_TAMPERED,
		  "a journal with batches that the ledger" },
		{ "old", stale, VERDICT_STALE, "the last commit is older" },
		{ "receipt for more", receipt_for_more, VERDICT_TAMPERED,
		  "an aggregator acknowledged more" },
		{ "receipt for this", receipt_for_this, VERDICT_OK, NULL },
		{ "receipt for another", receipt_for_another, VERDICT_TAMPERED,
		  "an aggregator acknowledged another history" },
	};

	check_all(attacks, ELEMENTS(attacks));
}

/* A batch whose seals are gone: how many of `web` and `db` does a ledger of so many records know? */
static uint64_t batches_known(const char *path)
{
	struct verified v = { 0 };
	uint64_t n;

	builder_verify(path, NULL, &v);
	n = v.report.batches;
	verified_done(&v);
	return n;
}

Test(verify, a_ledger_cut_at_any_record_is_noticed)
{
	struct verified v = { 0 };
	size_t records;

	make_bed();
	fresh_copy();
	surgery_open(&surgery, bed.work, LEDGER);
	records = surgery.n;
	surgery_done(&surgery);
	for (size_t keep = records - 1; keep > 0; keep--) {
		struct verify_options o = { .pin = &bed.pin };
		uint64_t lost;

		fresh_copy();
		surgery_open(&surgery, bed.work, LEDGER);
		while (surgery.n > keep)
			surgery_remove(&surgery, surgery.n - 1);
		surgery_close(&surgery);
		lost = 8 - batches_known(bed.work);
		builder_verify_with(bed.work, o, &v);
		/* Two batches of one journal: the second was cut only when the first was sealed. */
		if (lost >= 3)
			cr_expect(eq(int, v.report.verdict, VERDICT_TAMPERED), "%zu: %s", keep,
				  (char *) v.findings.data);
		else if (lost > 0)
			cr_expect(ge(int, v.report.verdict, VERDICT_UNSEALED), "%zu", keep);
		o.receipt_size = bed.b.origin ? history_size(origin_history(bed.b.origin)) : 0;
		builder_verify_with(bed.work, o, &v);
		/* A keys record alone is no commit. */
		if (v.report.commits < o.receipt_size)
			cr_expect(eq(int, v.report.verdict, VERDICT_TAMPERED), "%zu", keep);
	}
	verified_done(&v);
	builder_done(&bed.b);
}

Test(verify, a_ledger_torn_at_any_byte_of_its_last_record_is_no_tampering)
{
	_cleanup_buf_ struct buf b = { 0 };
	struct verified v = { 0 };
	size_t start = 0, end;

	make_bed();
	fresh_copy();
	surgery_open(&surgery, bed.work, LEDGER);
	for (size_t i = 0; i + 1 < surgery.n; i++)
		start += frame_space(surgery.piece[i].payload.len);
	end = start + frame_space(surgery.piece[surgery.n - 1].payload.len);
	surgery_close(&surgery);
	builder_load(bed.work, LEDGER, &b);
	for (size_t n = start; n < end; n++)
		for (unsigned blank = 0; blank <= 1; blank++) {
			_cleanup_buf_ struct buf torn = { 0 };

			buf_append(&torn, b.data, n);
			if (blank) {
				memset(buf_room(&torn, 5000), 0, 5000);
				buf_add(&torn, 5000);
			}
			builder_store(bed.work, LEDGER, torn.data, torn.len);
			builder_verify(bed.work, &bed.pin, &v);
			cr_expect(eq(int, v.report.verdict, VERDICT_OK), "%zu: %s", n,
				  (char *) v.findings.data);
		}
	verified_done(&v);
	builder_done(&bed.b);
}

Test(verify, an_older_copy_of_everything_needs_a_receipt)
{
	struct verify_options o;
	struct verified v = { 0 };
	uint64_t size;

	make_bed();
	fresh_copy();
	builder_log_many(&bed.b, bed.db, 3);
	builder_commit(&bed.b);
	size = history_size(origin_history(bed.b.origin));
	builder_verify(bed.work, &bed.pin, &v);
	cr_expect(eq(int, v.report.verdict, VERDICT_OK), "the stated limit");
	o = (struct verify_options){ .pin = &bed.pin, .receipt_size = size };
	builder_verify_with(bed.work, o, &v);
	cr_expect(eq(int, v.report.verdict, VERDICT_TAMPERED));
	verified_done(&v);
	builder_done(&bed.b);
}

Test(verify, one_file_rolled_back_is_found)
{
	const char *files[2];
	struct verified v = { 0 };
	char older[700];

	make_bed();
	files[0] = bed.db_tail;
	files[1] = LEDGER;
	snprintf(older, sizeof older, "%s.older", bed.path);
	builder_copy(bed.path, older);
	for (unsigned i = 0; i < 3; i++) {
		builder_log_many(&bed.b, bed.db, 3);
		builder_commit(&bed.b);
	}
	for (size_t i = 0; i < ELEMENTS(files); i++) {
		_cleanup_buf_ struct buf b = { 0 };

		fresh_copy();
		builder_load(older, files[i], &b);
		builder_store(bed.work, files[i], b.data, b.len);
		builder_verify(bed.work, &bed.pin, &v);
		cr_expect(eq(int, v.report.verdict, VERDICT_TAMPERED), "%s", files[i]);
	}
	verified_done(&v);
	builder_done(&bed.b);
}

/* A collector or sealer that lies. */

Test(verify, what_was_sealed_must_be_true)
{
	static const char *const says[] = {
		NULL,
		"the sealed root never matched the journal",
		"sizes or times are not the sealed ones",
		"sizes or times are not the sealed ones",
		"sizes or times are not the sealed ones",
		"the number of entries is not the sealed one",
		"entries are missing",
	};
	struct verified v = { 0 };

	setenv("TMPDIR", builder_parent(), 1);
	for (unsigned i = 0; i < ELEMENTS(says); i++) {
		struct builder *b = &bed.b;
		struct batch_item item;
		struct vkey pin;
		size_t j;

		builder_init(b, tempdir(), (struct kes_params){ 2, 2 });
		j = builder_open(b, "liar");
		builder_log_many(b, j, 4);
		builder_cut(b, j, &item);
		item.root.b[0] ^= i == 1;
		item.bytes += i == 2;
		item.time_min -= i == 3;
		item.time_max += i == 4;
		item.entries -= i == 5;
		item.entries += i == 6;
		cr_assert(eq(int, origin_commit(b->origin, b->now_ns, &item, 1, NULL, 0), 0));
		pin = builder_pin(b);
		builder_verify(b->path, &pin, &v);
		cr_expect(eq(int, v.report.verdict, says[i] ? VERDICT_TAMPERED : VERDICT_OK),
			  "case %u: %s", i, (char *) v.findings.data);
		if (says[i])
			cr_expect(verified_says(&v, VERDICT_TAMPERED, says[i]), "case %u: %s", i,
				  (char *) v.findings.data);
		builder_done(b);
	}
	verified_done(&v);
}

/* Recovered batches, new keys, many journals. */

Test(verify, a_story_with_everything_in_it_is_ok)
{
	struct verified v = { 0 };
	struct builder b;
	struct vkey pin;

	setenv("TMPDIR", builder_parent(), 1);
	builder_story(&b, tempdir());
	builder_verify(b.path, NULL, &v);
	cr_expect(eq(int, v.report.verdict, VERDICT_UNPINNED));
	cr_assert(v.report.has_key);
	pin = v.report.key;
	builder_verify(b.path, &pin, &v);
	cr_expect(eq(int, v.report.verdict, VERDICT_OK), "%s", (char *) v.findings.data);
	cr_expect(eq(str, v.report.host, (char *) "builder.example"));
	cr_expect(eq(u32, v.report.journals, 3));
	cr_expect(eq(u64, v.report.unsealed_entries, 0));
	verified_done(&v);
	builder_done(&b);
}

static struct field field_of(const char *name, const char *value)
{
	return (struct field){ (const uint8_t *) name, (const uint8_t *) value,
			       (uint32_t) strlen(value), (uint8_t) strlen(name) };
}

/* An entry about a gap; `entries` NULL: where it begins. */
static void log_gap(struct builder *b, size_t journal, const char *entries, const char *bytes)
{
	struct field begin[] = { field_of(GAP_REASON, "disk-full") };
	struct field end[] = { field_of(GAP_BYTES, entries ? bytes : ""),
			       field_of(GAP_ENTRIES, entries ? entries : "") };
	struct entry e = {
		.time_ns = b->now_ns,
		.received_ns = b->now_ns,
		.flags = ENTRY_GAP,
		.fields = entries ? end : begin,
		.n_fields = entries ? 2 : 1,
	};

	cr_assert(zero(int, tail_writer_add(&b->journal[journal].tail, &e, 0)));
}

Test(verify, what_was_dropped_is_counted)
{
	static const struct {
		const char *entries, *bytes;
		uint64_t counted, want_entries, want_bytes;
		bool open;
	} steps[] = {
		{ NULL, NULL, 0, 0, 0, true },
		{ "10", "100", 1, 10, 100, false },
		{ "1", "none", 2, 11, 100, false },
		{ "many", "5", 2, 11, 100, true },
		{ "00000000000000000000000000001", "5", 2, 11, 100, true },
		{ "18446744073709551615", "1", 3, UINT64_MAX, 101, false },
		{ NULL, NULL, 3, UINT64_MAX, 101, true },
	};
	const struct entry liar = { .message = (const uint8_t *) GAP_ENTRIES "=5",
				    .message_len = sizeof GAP_ENTRIES + 1 };
	struct verified v = { 0 };
	struct gaps g = { 0 };

	make_bed();
	gaps_see(&g, &liar);
	cr_expect(not(g.open));
	for (size_t i = 0; i < ELEMENTS(steps); i++) {
		log_gap(&bed.b, bed.db, steps[i].entries, steps[i].bytes);
		builder_flush(&bed.b, bed.db);
		builder_log_many(&bed.b, bed.db, 3);
		builder_commit(&bed.b);
		cr_assert(zero(
			int, gaps_of_tail(&g, bed.b.state.journals, &bed.b.journal[bed.db].id, 0)));
		builder_verify(bed.path, &bed.pin, &v);
		cr_expect(eq(u64, g.counted, steps[i].counted), "%zu", i);
		cr_expect(eq(u64, g.entries, steps[i].want_entries), "%zu", i);
		cr_expect(eq(u64, g.bytes, steps[i].want_bytes), "%zu", i);
		cr_expect(eq(int, g.open, steps[i].open), "%zu", i);
		cr_expect(eq(int, memcmp(&g, &v.report.gaps, sizeof g), 0), "%zu", i);
		cr_expect(eq(int, v.report.verdict, VERDICT_OK), "%zu", i);
		verified_done(&v);
	}
	builder_end(&bed.b);
	builder_verify(bed.path, &bed.pin, &v);
	cr_expect(verified_says(&v, VERDICT_NOTE, "it ends within a gap"), "%.*s",
		  (int) v.findings.len, (char *) v.findings.data);
	cr_expect(eq(int, v.report.verdict, VERDICT_OK));
	verified_done(&v);
	builder_done(&bed.b);
}

Test(verify, journals_may_be_more_than_open_files)
{
	enum { JOURNALS = 90, FILES = 64 };
	struct rlimit limit, few;
	struct verified v = { 0 };
	struct builder b;
	struct vkey pin;

	setenv("TMPDIR", builder_parent(), 1);
	builder_init(&b, tempdir(), (struct kes_params){ 3, 8 });
	for (unsigned i = 0; i < JOURNALS; i++) {
		char name[16];

		snprintf(name, sizeof name, "j%u", i);
		builder_open(&b, name);
	}
	for (unsigned k = 0; k < 6; k++) {
		for (unsigned i = 0; i < JOURNALS; i++)
			if ((i + k) % 3 > 0)
				builder_log_many(&b, i, 1 + i % 4);
		builder_commit(&b);
	}
	pin = builder_pin(&b);
	builder_crash(&b);
	cr_assert(eq(int, getrlimit(RLIMIT_NOFILE, &limit), 0));
	few = (struct rlimit){ FILES, limit.rlim_max };
	cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &few), 0));
	builder_verify(b.path, &pin, &v);
	cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &limit), 0));
	cr_expect(eq(int, v.error, 0));
	cr_expect(eq(int, v.report.verdict, VERDICT_OK), "%s", (char *) v.findings.data);
	cr_expect(eq(u64, v.report.batches, 6 * JOURNALS * 2 / 3));
	verified_done(&v);
	builder_done(&b);
}

/* A host at work, in a process of its own, until it is killed. */
_Noreturn static void work(struct builder *b)
{
	for (unsigned i = 0; i < 1000000; i++) {
		if (i % 20 == 0 && b->n < BUILDER_JOURNALS_MAX) {
			char name[16];

			if (b->n > 1)
				builder_close(b, b->n - 2);
			snprintf(name, sizeof name, "j%u", i);
			builder_open(b, name);
		}
		b->now_ns = clock_realtime_ns();
		builder_log_many(b, b->n - 1, 1 + i % 7);
		builder_flush(b, b->n - 1);
		builder_log_many(b, b->n - 1, 1);
		builder_flush(b, b->n - 1);
		b->now_ns = clock_realtime_ns() - NS_PER_S;
		builder_commit(b);
		usleep(1000);
	}
	_exit(1);
}

Test(verify, a_host_at_work_is_no_tampering)
{
	struct verified v = { 0 };
	uint64_t commits = 0;
	struct builder b;
	struct vkey pin;
	pid_t child;
	int status;

	setenv("TMPDIR", builder_parent(), 1);
	builder_init(&b, tempdir(), (struct kes_params){ 3, 8 });
	builder_open(&b, "first");
	pin = builder_pin(&b);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		work(&b);
	}
	/* The directory grows all the while: on a slow machine fewer rounds see as much of it. */
	uint64_t enough = clock_monotonic_ns() + 15 * NS_PER_S;

	for (unsigned i = 0; i < 100 && (i < 3 || clock_monotonic_ns() < enough); i++) {
		struct verify_options o = { .pin = &pin, .running = true };

		o.now_ns = clock_realtime_ns();
		builder_verify_with(b.path, o, &v);
		cr_assert(eq(int, v.error, 0));
		cr_assert(eq(int, v.report.verdict, VERDICT_OK), "round %u: %s", i,
			  (char *) v.findings.data);
		cr_assert(ge(u64, v.report.commits, commits));
		commits = v.report.commits;
	}
	cr_expect(gt(u64, commits, 1), "nobody worked");
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	cr_expect(eq(int, status, SIGKILL), "it ended by itself");
	verified_done(&v);
	builder_done(&b);
}

/* What cannot be read. */

Test(verify, what_is_no_state_directory_is_an_error)
{
	struct verified v = { 0 };
	const char *dir = tempdir();

	builder_verify(dir, NULL, &v);
	cr_expect(eq(int, v.error, -ENOENT));
	make_bed();
	fresh_copy();
	remove_file(LEDGER);
	{
		_cleanup_close_ int at = work_dir();

		cr_assert(eq(int, mkdirat(at, LEDGER, 0700), 0));
	}
	builder_verify(bed.work, &bed.pin, &v);
	cr_expect(eq(int, v.error, -EISDIR));
	verified_done(&v);
	builder_done(&bed.b);
}

Test(verify, exit_status_is_as_documented)
{
	static const int want[] = { 0, 0, 4, 4, 3, 3, 1 };

	for (int v = VERDICT_OK; v <= VERDICT_TAMPERED; v++) {
		cr_expect(eq(int, verdict_exit_status((enum verdict) v), want[v]));
		cr_expect(verdict_name((enum verdict) v) != NULL);
	}
}

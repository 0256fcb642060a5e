/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A verified query: on a whole directory it answers as a plain one does, whatever the directory is made of; of a changed one it
 * shows nothing that is not as it was sealed, at whichever moment it is changed.
 */

#include "query/checked.h"

#include "tests/asking.h"
#include "tests/builder.h"
#include "tests/forger.h"
#include "tests/harness.h"
#include "tests/packing.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/text.h"
#include "seal/ledger.h"
#include "store/segment/roots.h"

Suite(checked);

enum kind { TAILS, SEGMENTS, HALF, PACKED, KINDS };

static struct builder host;
static struct vkey pin;
static struct verify_report report;

static void pack_ledger(void)
{
	struct roots_packed packed;
	struct roots_packer *p;
	struct segment_set set;

	cr_assert(eq(int, segment_set_open(&set, &host.state), 0));
	cr_assert(eq(int, roots_packer_new(&p, &host.state), 0));
	cr_assert(eq(
		int,
		roots_pack(p, &set, origin_history(host.origin), set.files[set.n - 1].end, &packed),
		0));
	cr_assert(gt(u64, packed.files, 0));
	roots_packer_free(p);
	segment_set_close(&set);
}

/* Three journals, one of which goes on after packing, and a crash, all of it sealed in the end. */
static void make_host(enum kind kind, unsigned rounds)
{
	size_t web, db, cron;

	setenv("TMPDIR", builder_parent(), 1);
	ledger_file_size = 3 << 10;
	builder_init(&host, tempdir(), (struct kes_params){ 2, 4 });
	pin = builder_pin(&host);
	web = builder_open(&host, "web");
	db = builder_open(&host, "db");
	cron = builder_open(&host, "cron");
	for (unsigned i = 0; i < rounds; i++) {
		builder_log_many(&host, web, 1 + i % 4);
		if (i % 3 == 0)
			builder_log_many(&host, db, 2);
		builder_log(&host, cron, "tick");
		builder_commit(&host);
	}
	builder_close(&host, web);
	builder_close(&host, db);
	if (kind == HALF)
		pack_segments(&host, 0, true);
	for (unsigned i = 0; i < rounds / 2; i++) {
		builder_log_many(&host, cron, 1 + i % 3);
		builder_commit(&host);
	}
	builder_log(&host, cron, "not sealed when the host stopped");
	builder_flush(&host, cron);
	builder_crash(&host);
	builder_restart(&host, true);
	if (kind == SEGMENTS || kind == PACKED)
		pack_segments(&host, kind == PACKED ? 0 : 40, true);
	if (kind == PACKED)
		pack_ledger();
}

static void unmake_host(void)
{
	builder_done(&host);
}

static int ask(const char *path, const char *const *words, size_t size_max, struct buf *to)
{
	buf_clear(to);
	return ask_checked(path, words, (struct verify_options){ .pin = &pin }, size_max, to,
			   &report);
}

static const char *const queries[][10] = {
	{ "output", "export", NULL },
	{ "output", "json", "reverse", "1", NULL },
	{ "output", "verbose", "limit", "10", NULL },
	{ "output", "export", "limit", "7", "newest", "1", NULL },
	{ "output", "export", "limit", "7", "reverse", "1", "newest", "1", NULL },
	{ "output", "short", "match", "container=web", NULL },
	{ "output", "cat", "match", "container=web", "match", "+", "match", "container=db", NULL },
	{ "output", "export", "grep", "1", "limit", "5", NULL },
	{ "output", "export", "priority", "3", NULL },
	{ "output", "export", "match", "container=nobody", NULL },
	{ "field", "_CONTAINER_NAME", NULL },
	{ "field", "MESSAGE", "limit", "3", "newest", "1", NULL },
	{ "names", "1", NULL },
};

static void expect_same(const char *const *words, size_t size_max, unsigned q)
{
	_cleanup_buf_ struct buf plain = { 0 }, checked = { 0 };

	cr_assert(eq(u32, ask_plain(host.path, words, &plain), 0), "query %u", q);
	cr_assert(eq(int, ask(host.path, words, size_max, &checked), 0), "query %u", q);
	cr_expect(eq(int, report.verdict, VERDICT_OK), "query %u", q);
	cr_assert(eq(sz, plain.len, checked.len), "query %u", q);
	cr_expect(plain.len == 0 || memcmp(plain.data, checked.data, plain.len) == 0, "query %u",
		  q);
}

static void expect_plain_answers(enum kind kind)
{
	make_host(kind, 24);
	for (unsigned q = 0; q < ELEMENTS(queries); q++) {
		expect_same(queries[q], 0, q);
		expect_same(queries[q], 2000, q);
	}
	unmake_host();
}

Test(checked, answers_are_those_of_a_plain_query_of_tails)
{
	expect_plain_answers(TAILS);
}

Test(checked, answers_are_those_of_a_plain_query_of_segments)
{
	expect_plain_answers(SEGMENTS);
}

Test(checked, answers_are_those_of_a_plain_query_of_both)
{
	expect_plain_answers(HALF);
}

Test(checked, answers_are_those_of_a_plain_query_with_a_packed_ledger)
{
	expect_plain_answers(PACKED);
}

Test(checked, times_are_limits_that_are_met)
{
	_cleanup_buf_ struct buf text = { 0 };
	char since[24], until[24];
	const char *const words[] = { "output", "export", "since", since, "until", until, NULL };

	make_host(HALF, 24);
	cr_assert(eq(int, ask(host.path, queries[0], 0, &text), 0));
	for (unsigned i = 0; i < 8; i++) {
		uint64_t span = report.time_last - report.time_first;

		snprintf(since, sizeof since, "%llu",
			 (unsigned long long) (report.time_first + i * span / 8));
		snprintf(until, sizeof until, "%llu",
			 (unsigned long long) (report.time_first + (i + 2) * span / 8));
		expect_same(words, 0, i);
	}
	unmake_host();
}

Test(checked, what_is_not_sealed_is_not_shown)
{
	static const char *const cat[] = { "output", "cat", NULL };
	_cleanup_buf_ struct buf text = { 0 };
	struct builder b;
	size_t web;

	builder_init(&b, tempdir(), (struct kes_params){ 2, 2 });
	pin = builder_pin(&b);
	web = builder_open(&b, "web");
	builder_log(&b, web, "sealed");
	builder_commit(&b);
	builder_log(&b, web, "not sealed");
	builder_flush(&b, web);
	cr_assert(eq(int, ask(b.path, cat, 0, &text), 0));
	cr_expect(eq(int, report.verdict, VERDICT_UNSEALED));
	cr_expect(eq(sz, text.len, 7));
	cr_expect(eq(int, strncmp((char *) text.data, "sealed\n", 7), 0));
	builder_done(&b);
}

Test(checked, a_key_is_what_it_is_held_to)
{
	_cleanup_buf_ struct buf text = { 0 };

	make_host(TAILS, 6);
	cr_assert(eq(
		int,
		ask_checked(host.path, queries[0], (struct verify_options){ 0 }, 0, &text, &report),
		0));
	cr_expect(eq(int, report.verdict, VERDICT_UNPINNED));
	cr_expect(gt(sz, text.len, 0));
	pin.public_key[3] ^= 1;
	cr_assert(eq(int, ask(host.path, queries[0], 0, &text), 0));
	cr_expect(eq(int, report.verdict, VERDICT_TAMPERED));
	cr_expect(zero(sz, text.len));
	unmake_host();
}

/* What may be shown: the lines of the whole answer, in their order. */
static bool is_part_of(const struct buf *part, const struct buf *whole)
{
	size_t at = 0;

	for (size_t i = 0; i < part->len;) {
		const uint8_t *line = part->data + i, *end = memchr(line, '\n', part->len - i);
		size_t n;
		bool found = false;

		if (!end)
			return false;
		n = (size_t) (end - line) + 1;
		while (!found && at < whole->len) {
			const uint8_t *other = whole->data + at;
			const uint8_t *stop = memchr(other, '\n', whole->len - at);
			size_t size = (size_t) (stop - other) + 1;

			found = size == n && memcmp(line, other, n) == 0;
			at += size;
		}
		if (!found)
			return false;
		i += n;
	}
	return true;
}

static const char *const all_as_json[] = { "output", "json", NULL };

/* Flip bytes of a file, one at a time, and ask. */
static void flip_in(const char *name, size_t step, const struct buf *whole, unsigned *shown)
{
	_cleanup_buf_ struct buf content = { 0 }, text = { 0 };
	_cleanup_close_ int dir = open(host.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;

	builder_load(host.path, name, &content);
	fd = openat(dir, name, O_RDWR | O_CLOEXEC);
	for (size_t at = step / 2; at < content.len; at += step) {
		uint8_t flipped = content.data[at];

		flipped ^= (uint8_t) (1 << at % 8);
		cr_assert(eq(int, io_pwrite(fd, &flipped, 1, at), 0));
		cr_assert(eq(int, ask(host.path, all_as_json, 0, &text), 0), "%s: %zu", name, at);
		cr_assert(is_part_of(&text, whole), "%s: %zu: %.*s", name, at, (int) text.len,
			  (char *) text.data);
		if (report.verdict == VERDICT_OK)
			cr_expect(eq(sz, text.len, whole->len), "%s: %zu", name, at);
		*shown += text.len > 0 && text.len < whole->len;
		cr_assert(eq(int, io_pwrite(fd, &content.data[at], 1, at), 0));
	}
}

typedef void (*file_fn)(void *arg, const char *name);

static void each_file(file_fn each, void *arg)
{
	static const char *const folders[] = { "ledger", "journals", "segments" };
	char path[700], name[300];

	for (size_t i = 0; i < ELEMENTS(folders); i++) {
		_cleanup_closedir_ DIR *dir = NULL;
		struct dirent *e;

		snprintf(path, sizeof path, "%s/%s", host.path, folders[i]);
		dir = opendir(path);
		while (dir && (e = readdir(dir)) != NULL) {
			if (e->d_type != DT_REG || strstr(e->d_name, ".reserve"))
				continue;
			snprintf(name, sizeof name, "%s/%s", folders[i], e->d_name);
			each(arg, name);
		}
	}
}

struct flipping {
	struct buf whole;
	size_t step;
	unsigned shown;
};

static void flip_each(void *arg, const char *name)
{
	struct flipping *f = arg;

	flip_in(name, f->step, &f->whole, &f->shown);
}

static void expect_flips_harmless(enum kind kind)
{
	struct flipping f = { .step = getenv("BULLA_LONG") ? 3 : 251 };

	/* No checksum is in the way of who forges. */
	forger_at_work = true;
	make_host(kind, 9);
	cr_assert(eq(int, ask(host.path, all_as_json, 0, &f.whole), 0));
	cr_assert(eq(int, report.verdict, VERDICT_OK));
	each_file(flip_each, &f);
	/* Damage hides what it must, and no more. */
	cr_expect(gt(u32, f.shown, 0));
	buf_done(&f.whole);
	unmake_host();
}

Test(checked, a_flipped_byte_never_shows_a_changed_entry_of_a_tail)
{
	expect_flips_harmless(TAILS);
}

Test(checked, a_flipped_byte_never_shows_a_changed_entry_of_a_segment)
{
	expect_flips_harmless(HALF);
}

Test(checked, a_flipped_byte_never_shows_a_changed_entry_of_a_packed_ledger)
{
	expect_flips_harmless(PACKED);
}

/* While it is read: whatever is given is what was sealed. */

struct game {
	struct buf whole, seen; /* entries as text */
	uint64_t dice;
	unsigned calls, every;
	bool spoil;
};

static void spoil_file(void *arg, const char *name)
{
	_cleanup_close_ int dir = open(host.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct game *g = arg;
	off_t size;

	fd = openat(dir, name, O_RDWR | O_CLOEXEC);
	size = lseek(fd, 0, SEEK_END);
	for (unsigned i = 0; i < 3 && size > 0; i++) {
		uint64_t at = random_u64(&g->dice) % (uint64_t) size;
		uint8_t byte = (uint8_t) random_u64(&g->dice);

		cr_assert(eq(int, io_pwrite(fd, &byte, 1, at), 0));
	}
}

static int note_entry(void *arg, const struct sealed_entry *e)
{
	struct game *g = arg;
	char hex[2 * ID_SIZE + 1];

	text_hex(hex, e->batch->journal.b, ID_SIZE);
	buf_printf(&g->seen, "%s %llu %llu %u:", hex, (unsigned long long) e->seq,
		   (unsigned long long) e->entry->time_ns, e->entry->priority);
	buf_append(&g->seen, e->entry->message, e->entry->message_len);
	for (int64_t k = e->context; k >= 0; k = e->contexts->at[k].parent) {
		text_hex(hex, e->contexts->at[k].leaf, ID_SIZE);
		buf_printf(&g->seen, " %s", hex);
	}
	buf_char(&g->seen, '\n');
	if (g->spoil && ++g->calls % g->every == 0)
		each_file(spoil_file, g);
	return 0;
}

static enum verdict play(struct game *g)
{
	struct verify_options o = { .pin = &pin, .entry = note_entry, .arg = g };
	struct state state;

	cr_assert(eq(int, state_open(&state, host.path, false), 0));
	cr_assert(eq(int, verify_state(&state, &o, &report), 0));
	state_close(&state);
	return report.verdict;
}

static void change_while_it_is_read(enum kind kind)
{
	const char *copies = tempdir();
	char original[512];
	struct game g = { 0 };

	forger_at_work = true;
	make_host(kind, 12);
	snprintf(original, sizeof original, "%s", host.path);
	cr_assert(eq(int, play(&g), VERDICT_OK));
	buf_append(&g.whole, g.seen.data, g.seen.len);
	g.spoil = true;
	for (unsigned i = 0; i < 60; i++) {
		snprintf(host.path, sizeof host.path, "%.480s/%u", copies, i);
		builder_copy(original, host.path);
		buf_clear(&g.seen);
		g.dice = i;
		g.calls = 0;
		g.every = 1 + i % 7;
		play(&g);
		cr_assert(is_part_of(&g.seen, &g.whole), "%u: %.*s", i, (int) g.seen.len,
			  (char *) g.seen.data);
	}
	buf_done(&g.seen);
	buf_done(&g.whole);
	unmake_host();
}

Test(checked, what_is_changed_while_a_tail_is_read_is_not_shown)
{
	change_while_it_is_read(TAILS);
}

Test(checked, what_is_changed_while_a_segment_is_read_is_not_shown)
{
	change_while_it_is_read(HALF);
}

Test(checked, what_is_changed_while_a_packed_ledger_is_read_is_not_shown)
{
	change_while_it_is_read(PACKED);
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A segment that was written once is read as it was written, for ever: golden/lines.segment has what write_lines() would
 * write today.  And what is of a format that does not exist yet is refused as such, and left alone.
 */

#include "store/segment/segment.h"

#include "tests/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "bulla/error.h"
#include "store/segment/check.h"
#include "store/segment/writer.h"

Suite(segment_golden);

#define GOLDEN GOLDEN_DIR "/lines.segment"

/* Of every kind of variable, and of what is none; # is the round. */
static const char *const forms[] = {
	"GET /item/# HTTP/1.1 200 from 10.0.3.17",
	"user 0# has logged in",
	"2026-01-05T10:00:00.00#Z starting",
	"Jan  5 10:00:00 host app[#]: ready",
	"1767603600 #",
	"request 3d4a83ea-09f3-4e88-5b71-c3d4e5f6a7b# done",
	"trace=4BF92F3577B34DA6A3CE929D0E0E473#",
	"pointer 0xdeadbeef0# at deadbeef",
	"word#word and w-o-r-d, \"quoted\"",
	"{\"level\":\"info\",\"n\":#,\"ok\":true}",
	"always the same",
	"",
	"\xff\xfe not UTF-8 # \x01",
	"18446744073709551615 -1 007 #",
};

enum { ROUNDS = 7, JOURNALS = 2 };

struct story {
	struct contexts contexts[JOURNALS];
	struct seeds seeds[JOURNALS];
};

static void add_context(struct contexts *c, const char *name, const char *value)
{
	struct field f = { (const uint8_t *) name, (const uint8_t *) value,
			   (uint32_t) strlen(value), (uint8_t) strlen(name) };
	struct context context = { .fields = &f, .n_fields = 1 };
	uint8_t leaf[400];
	struct wr w = wr_of(leaf, sizeof leaf);

	if (c->n > 0)
		context.parent = c->at[0].hash;
	context_encode(&context, &w);
	cr_assert(ge(i64, contexts_add(c, leaf, w.len), 0));
}

static void begin_journals(struct story *s, struct segment_writer *w)
{
	for (uint32_t j = 0; j < JOURNALS; j++) {
		struct segment_source source = {
			.id = { { (uint8_t) (1 + j) } },
			.boot = { "golden boot" },
			.first_batch = 3 * j,
			.first_seq = 100 * j,
			.contexts = &s->contexts[j],
			.seeds = &s->seeds[j],
		};
		struct tail_seed seed = { .seed = { (uint8_t) j } };

		add_context(&s->contexts[j], "_IMAGE_NAME", j ? "example.org/db:1" : "web");
		add_context(&s->contexts[j], "_STREAM", "stdout");
		cr_assert(eq(int, seeds_add(&s->seeds[j], &seed), 0));
		cr_assert(eq(i64, segment_writer_journal(w, &source), j));
	}
}

static void write_entry(struct segment_writer *w, uint32_t j, unsigned round, size_t form)
{
	char text[200];
	int n = snprintf(text, sizeof text, "%s", forms[form]);
	uint64_t time = UINT64_C(1767607200000000000) + round * UINT64_C(1000000007) + form;
	struct field fields[] = {
		{ (const uint8_t *) "CODE_LINE", (const uint8_t *) "42", 2, 9 },
		{ (const uint8_t *) "USER", (const uint8_t *) text, (uint32_t) n, 4 },
	};
	struct entry e = {
		.time_ns = time,
		.received_ns = time + form % 3,
		.message = (const uint8_t *) text,
		.message_len = (uint32_t) n,
		.priority = (uint8_t) (form % 8),
		.flags = form % 5 == 0 ? ENTRY_NO_NEWLINE : 0,
		.fields = fields,
		.n_fields = form % 6 == 1 ? 2 : 0,
	};

	for (char *p = text; (p = strchr(p, '#'));)
		*p = (char) ('0' + round);
	cr_assert(eq(int, segment_writer_add(w, &e, (form + j) % 2), 0));
}

static void write_lines(const char *path)
{
	struct story s = { 0 };
	struct segment_writer w;

	/* Two windows, and in each a group for each image. */
	segment_group_rows = 1;
	cr_assert(eq(int, segment_writer_open(&w, AT_FDCWD, path, 3), 0));
	cr_assert(eq(i64, segment_writer_origin(&w, &(struct id){ "golden origin" }, 5), 0));
	begin_journals(&s, &w);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (uint32_t j = 0; j < JOURNALS; j++) {
			cr_assert(eq(int,
				     segment_writer_batch(&w, j, 5 + round,
							  round == 6 ? BATCH_RECOVERED : 0,
							  -(int64_t) round),
				     0));
			for (size_t form = 0; form < ELEMENTS(forms); form++)
				write_entry(&w, j, round, form);
		}
		segment_writer_when(&w, 0, UINT64_C(1767607200000000000) + round);
		cr_assert(eq(int, segment_writer_end_commit(&w), 0));
		if (round == ROUNDS / 2)
			cr_assert(eq(int, segment_writer_flush(&w), 0));
	}
	segment_writer_covers(&w, 0, 5 + ROUNDS);
	cr_assert(gt(i64, segment_writer_finish(&w, NULL, 0), 0));
	segment_writer_close(&w);
	for (uint32_t j = 0; j < JOURNALS; j++) {
		contexts_done(&s.contexts[j]);
		seeds_done(&s.seeds[j]);
	}
}

/* Everything that a segment says, as text. */
static char *dump(const char *path)
{
	static struct field fields[FIELDS_MAX];
	struct buf message = { 0 };
	struct segment s;
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	cr_assert(eq(int, segment_open(&s, open(path, O_RDONLY | O_CLOEXEC)), 0));
	fprintf(to, "%.16s %llu-%llu %llu-%llu\n", (const char *) s.origins[0].id.b,
		(unsigned long long) s.origins[0].first, (unsigned long long) s.origins[0].end,
		(unsigned long long) s.origins[0].time_first,
		(unsigned long long) s.origins[0].time_last);
	for (uint32_t k = 0; k < s.n_groups; k++) {
		struct segment_group g;
		bool lies;

		cr_assert(eq(int, group_open(&g, &s, k), 0));
		cr_assert(eq(int, group_need_all(&g), 0));
		cr_expect(eq(int, group_check_index(&g, &lies), 0));
		cr_expect(not(lies));
		for (uint32_t i = 0; i < g.ref->batches; i++) {
			const struct group_batch *b = &g.batches[i];
			struct batch batch;

			cr_assert(eq(int, group_batch(&g, i, &batch), 0));
			fprintf(to, "batch %u %llu %llu %u %u ", b->journal,
				(unsigned long long) b->commit, (unsigned long long) b->batch_no,
				b->entries, b->flags);
			for (int h = 0; h < HASH_SIZE; h++)
				fprintf(to, "%02x", batch.root.b[h]);
			fputc('\n', to);
			for (uint32_t row = 0; row < b->entries; row++) {
				struct entry e;

				cr_assert(eq(int,
					     group_entry(&g, b->first_row + row,
							 &s.journals[b->journal], &message, fields,
							 &e),
					     0));
				fprintf(to, "%llu %llu %u %u %u [%.*s]\n",
					(unsigned long long) e.time_ns,
					(unsigned long long) e.received_ns, e.priority, e.flags,
					e.n_fields, (int) e.message_len, (const char *) e.message);
			}
		}
		group_close(&g);
	}
	segment_close(&s);
	buf_done(&message);
	fclose(to);
	return text;
}

Test(segment_golden, what_was_written_once_is_read_as_ever)
{
	char path[4096], *want, *got;

	snprintf(path, sizeof path, "%s/lines.segment", tempdir());
	write_lines(path);
	want = dump(path);
	got = dump(GOLDEN);
	cr_expect(gt(sz, strlen(want), 10000));
	cr_expect(eq(str, got, want));
	free(want);
	free(got);
}

static int open_with(size_t at, uint8_t value)
{
	struct buf b = { 0 };
	int fd = memfd_create("segment", MFD_CLOEXEC), r;
	struct segment s;

	cr_assert(eq(int, io_read_file(AT_FDCWD, GOLDEN, 1 << 20, &b), 0));
	b.data[at] |= value;
	cr_assert(eq(int, io_write(fd, b.data, b.len), 0));
	r = segment_open(&s, fd);
	if (r >= 0)
		segment_close(&s);
	buf_done(&b);
	return r;
}

/* Compatible flags are for whoever knows them; of the others each means that this program cannot read it. */
Test(segment_golden, what_is_newer_is_refused_as_such)
{
	for (size_t bit = 0; bit < 32; bit++) {
		uint8_t value = (uint8_t) (1 << bit % 8);

		cr_expect(eq(int, open_with(8 + bit / 8, value), 0), "bit %zu", bit);
		cr_expect(eq(int, open_with(12 + bit / 8, value), BULLA_EVERSION), "bit %zu", bit);
	}
}

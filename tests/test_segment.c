/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A segment gives back every entry of every batch, in its place and with the same root; damaged, it says so.
 */

#include "store/segment/segment.h"

#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/io.h"
#include "bulla/error.h"
#include "store/batchroot.h"
#include "store/segment/check.h"
#include "store/segment/writer.h"

Suite(segment);

enum { JOURNALS = 5, COMMITS = 40, ENTRIES = 3000 };

static const struct field stdout_field = { (const uint8_t *) "_STREAM", (const uint8_t *) "stdout",
					   6, 7 };

/* What was written, to compare with. */
struct written {
	struct contexts contexts[JOURNALS];
	struct seeds seeds[JOURNALS];
	struct id id[JOURNALS];
	struct one_batch {
		uint32_t journal, entries;
		uint64_t batch_no, first_seq, commit;
		struct hash root;
	} batch[COMMITS * JOURNALS];
	size_t n;
	uint8_t *file;
	size_t size;
};

static struct written *made;

static void add_context(struct contexts *c, const struct field *f, uint16_t n, bool child)
{
	struct context x = { .fields = f, .n_fields = n };
	uint8_t leaf[512];
	struct wr w = wr_of(leaf, sizeof leaf);

	if (child)
		x.parent = c->at[0].hash;
	context_encode(&x, &w);
	cr_assert(ge(i64, contexts_add(c, leaf, w.len), 0));
}

static void make_journal(struct written *m, uint32_t j, uint64_t *seed, struct segment_writer *w)
{
	char name[16];
	int len = snprintf(name, sizeof name, "app-%u", j % 3);
	struct field image = { (const uint8_t *) "_IMAGE_NAME", (const uint8_t *) name,
			       (uint32_t) len, 11 };
	struct tail_seed s = { 0 };

	for (size_t i = 0; i < ID_SIZE; i++)
		m->id[j].b[i] = (uint8_t) random_u64(seed);
	add_context(&m->contexts[j], &image, 1, false);
	add_context(&m->contexts[j], &stdout_field, 1, true);
	memset(s.seed, (int) j, sizeof s.seed);
	cr_assert(eq(int, seeds_add(&m->seeds[j], &s), 0));
	cr_assert(
		eq(i64,
		   segment_writer_journal(w, &(struct segment_source){ .id = m->id[j],
								       .first_batch = 7,
								       .first_seq = 1000 * j,
								       .contexts = &m->contexts[j],
								       .seeds = &m->seeds[j] }),
		   j));
}

/* An entry of the kinds that there are: like others, unlike any, empty, with fields. */
static struct entry make_entry(uint8_t *room, size_t max, struct field *fields, uint64_t *seed)
{
	uint64_t r = random_u64(seed), time = 1767603600000000000 + r % 60000000000;
	struct entry e = { .time_ns = time, .received_ns = time + r % 3, .priority = r % 8 };
	int n = 0;

	if (r % 7 == 0) {
		for (; n < 20; n++)
			room[n] = (uint8_t) random_u64(seed);
	} else if (r % 11 != 0) {
		n = snprintf(
			(char *) room, max, "GET /item/%u from 10.0.%u.%u took %u ms id=%08x%08x",
			(unsigned) (r % 50), (unsigned) (r >> 9) % 256, (unsigned) (r >> 20) % 256,
			(unsigned) (r >> 30) % 4000, (unsigned) (r >> 32), (unsigned) r);
	}
	e.message = room;
	e.message_len = (uint32_t) n;
	e.flags = r % 5 == 0 ? ENTRY_NO_NEWLINE : 0;
	e.fields = fields;
	if (r % 13 == 0) {
		fields[0] = (struct field){ (const uint8_t *) "CODE_LINE", (const uint8_t *) "42",
					    2, 9 };
		fields[1] = (struct field){ (const uint8_t *) "CODE_LINE", room, 3, 9 };
		fields[2] = (struct field){ (const uint8_t *) "USER", NULL, 0, 4 };
		e.n_fields = 3;
	}
	return e;
}

static void write_batch(struct written *m, uint32_t j, uint64_t commit, uint64_t next[2],
			uint64_t *seed, struct segment_writer *w)
{
	struct one_batch *b = &m->batch[m->n++];
	struct batchroot root = { 0 };
	struct field fields[3];
	uint8_t room[200];

	*b = (struct one_batch){
		j,	   1 + (uint32_t) (random_u64(seed) % (2 * ENTRIES / COMMITS)),
		next[0]++, next[1],
		commit,	   { { 0 } }
	};
	next[1] += b->entries;
	batchroot_begin(&root, m->seeds[j].at[0].seed, b->batch_no, false);
	cr_assert(eq(int, segment_writer_batch(w, j, commit, 0, -(int64_t) commit), 0));
	for (uint32_t i = 0; i < b->entries; i++) {
		struct entry e = make_entry(room, sizeof room, fields, seed);
		uint32_t context = (uint32_t) (random_u64(seed) % 2);

		e.context = m->contexts[j].at[context].hash;
		cr_assert(eq(int, segment_writer_add(w, &e, context), 0));
		cr_assert(eq(int, batchroot_add(&root, &e), 0));
	}
	b->root = batchroot_get(&root);
	batchroot_done(&root);
}

static void read_file(struct written *m, const char *path)
{
	struct buf b = { 0 };

	cr_assert(eq(int, io_read_file(AT_FDCWD, path, 64 << 20, &b), 0));
	m->file = b.data;
	m->size = b.len;
}

static void setup(void)
{
	uint64_t seed = 5, next[JOURNALS][2];
	struct segment_writer w;
	char path[4096];
	int64_t size;

	made = calloc(1, sizeof *made);
	snprintf(path, sizeof path, "%s/x.segment", tempdir());
	cr_assert(eq(int, segment_writer_open(&w, AT_FDCWD, path, 3), 0));
	cr_assert(eq(i64, segment_writer_origin(&w, &(struct id){ "one" }, 0), 0));
	for (uint32_t j = 0; j < JOURNALS; j++) {
		make_journal(made, j, &seed, &w);
		next[j][0] = 7;
		next[j][1] = 1000 * j;
	}
	for (uint64_t c = 0; c < COMMITS; c++) {
		for (uint32_t j = 0; j < JOURNALS; j++)
			if (random_u64(&seed) % 3)
				write_batch(made, j, 100 + c, next[j], &seed, &w);
		cr_assert(eq(int, segment_writer_end_commit(&w), 0));
	}
	size = segment_writer_finish(&w, NULL, 0);
	segment_writer_close(&w);
	read_file(made, path);
	cr_assert(eq(i64, size, (int64_t) made->size));
}

static void teardown(void)
{
	for (uint32_t j = 0; j < JOURNALS; j++) {
		contexts_done(&made->contexts[j]);
		seeds_done(&made->seeds[j]);
	}
	free(made->file);
	free(made);
}

static int memory_file(const uint8_t *p, size_t n)
{
	int fd = memfd_create("segment", MFD_CLOEXEC);

	cr_assert(ge(int, fd, 0));
	cr_assert(eq(int, io_write(fd, p, n), 0));
	return fd;
}

static int need_all(struct segment_group *g)
{
	int (*const needs[])(struct segment_group *) = { group_need_batches, group_need_rows,
							 group_need_received, group_need_fields,
							 group_need_templates };
	_cleanup_free_ uint8_t *tokens = NULL;
	struct rd bytes;
	int r = group_tokens(g, &tokens, &bytes);

	for (size_t i = 0; r >= 0 && i < ELEMENTS(needs); i++)
		r = needs[i](g);
	return r;
}

static int root_of(struct segment_group *g, const struct group_batch *b, struct hash *ret)
{
	struct segment_journal *j = &g->segment->journals[b->journal];
	const uint8_t *seed = seeds_of(&j->seeds, b->batch_no);
	static struct field fields[FIELDS_MAX];
	struct batchroot root = { 0 };
	struct buf message = { 0 };
	int r = seed ? 0 : BULLA_ECORRUPT;

	if (r >= 0)
		r = contexts_hash_all(&j->contexts);
	if (seed)
		batchroot_begin(&root, seed, b->batch_no, false);
	for (uint32_t i = 0; r >= 0 && i < b->entries; i++) {
		struct entry e;

		r = group_entry(g, b->first_row + i, j, &message, fields, &e);
		if (r < 0)
			break;
		e.context = j->contexts.at[g->context[b->first_row + i]].hash;
		r = batchroot_add(&root, &e);
	}
	if (r >= 0)
		*ret = batchroot_get(&root);
	batchroot_done(&root);
	buf_done(&message);
	return r;
}

static const struct one_batch *find(const struct id *journal, uint64_t batch_no)
{
	for (size_t i = 0; i < made->n; i++)
		if (id_equal(&made->id[made->batch[i].journal], journal) &&
		    made->batch[i].batch_no == batch_no)
			return &made->batch[i];
	return NULL;
}

/* @return how many batches have the content that they had, or the first error. */
static int count_right(int fd)
{
	struct segment s;
	int right = 0, r;

	r = segment_open(&s, fd);
	if (r < 0)
		return r;
	for (uint32_t k = 0; r >= 0 && k < s.n_groups; k++) {
		struct segment_group g;

		r = group_open(&g, &s, k);
		if (r >= 0)
			r = need_all(&g);
		for (uint32_t i = 0; r >= 0 && i < g.ref->batches; i++) {
			const struct group_batch *b = &g.batches[i];
			const struct one_batch *want =
				find(&s.journals[b->journal].id, b->batch_no);
			struct hash root;

			r = root_of(&g, b, &root);
			if (r >= 0)
				right += want && hash_same(&root, &want->root) &&
					 want->commit == b->commit &&
					 want->first_seq == b->first_seq &&
					 b->mono_offset == -(int64_t) want->commit;
		}
		group_close(&g);
	}
	segment_close(&s);
	return r < 0 ? r : right;
}

Test(segment, gives_back_what_was_written, .init = setup, .fini = teardown)
{
	cr_expect(eq(int, count_right(memory_file(made->file, made->size)), (int) made->n));
	cr_expect(gt(sz, made->n, COMMITS));
}

Test(segment, a_file_that_was_cut_is_no_segment, .init = setup, .fini = teardown)
{
	for (size_t n = 0; n < made->size; n += n < 64 || n + 64 > made->size ? 1 : 97) {
		int r = count_right(memory_file(made->file, n));

		cr_expect(r == BULLA_ETRUNCATED || r == BULLA_ECORRUPT, "cut at %zu: %d", n, r);
	}
}

/* The checksums find it; with them out of the way the roots would. */
Test(segment, a_flipped_bit_is_found, .init = setup, .fini = teardown)
{
	uint64_t seed = 9;

	for (int i = 0; i < 600; i++) {
		size_t bit = random_u64(&seed) % (8 * made->size);
		int r;

		made->file[bit / 8] ^= (uint8_t) (1 << bit % 8);
		r = count_right(memory_file(made->file, made->size));
		cr_expect(r < (int) made->n || bit / 8 / 4 == 2, "bit %zu: %d", bit, r);
		made->file[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
}

/* Everything that a group has.  @return where it failed, UINT64_MAX where it did not. */
static uint64_t failed_at(const struct segment *s, uint32_t number)
{
	struct segment_group g;
	uint64_t at;
	bool lies;
	int r;

	cr_assert(eq(int, group_open(&g, s, number), 0));
	r = need_all(&g);
	if (r >= 0)
		r = group_check_index(&g, &lies);
	for (int i = 0; r < 0 && i < 3; i++) {
		cr_expect(segment_is_damage(r));
		/* It does not get better by trying. */
		cr_expect(lt(int, g.template_of ? group_check_index(&g, &lies) : need_all(&g), 0));
	}
	at = r < 0 ? group_where(&g) : UINT64_MAX;
	group_close(&g);
	return at;
}

static void expect_named(const struct block_ref *b, uint32_t number)
{
	struct segment s;

	made->file[b->offset + b->stored / 2] ^= 0x10;
	cr_assert(eq(int, segment_open(&s, memory_file(made->file, made->size)), 0));
	for (uint32_t i = 0; i < s.n_groups; i++)
		cr_expect(eq(u64, failed_at(&s, i),
			     i == number || number == UINT32_MAX ? b->offset : UINT64_MAX),
			  "group %u, kind %u", i, b->kind);
	segment_close(&s);
	made->file[b->offset + b->stored / 2] ^= 0x10;
}

Test(segment, what_is_damaged_is_named, .init = setup, .fini = teardown)
{
	struct segment s;

	cr_assert(eq(int, segment_open(&s, memory_file(made->file, made->size)), 0));
	for (uint32_t i = 0; i < s.n_groups; i++)
		for (uint32_t k = 0; k < s.groups[i].n_blocks; k++)
			expect_named(&s.groups[i].blocks[k], i);
	for (uint32_t i = 0; template_table_part(s.templates, i); i++)
		expect_named(template_table_part(s.templates, i), UINT32_MAX);
	segment_close(&s);
}

Test(segment, why_it_cannot_be_opened_has_a_place, .init = setup, .fini = teardown)
{
	uint64_t at, end = made->size - SEGMENT_TRAILER_SIZE, footer = 0;
	struct segment s;

	for (int i = 8; i-- > 0;)
		footer = footer << 8 | made->file[end + (uint64_t) i];
	made->file[0] ^= 1;
	cr_expect(eq(int, segment_open_at(&s, memory_file(made->file, made->size), &at),
		     BULLA_ECORRUPT));
	cr_expect(eq(u64, at, 0));
	made->file[0] ^= 1;
	made->file[footer + 3] ^= 1;
	cr_expect(eq(int, segment_open_at(&s, memory_file(made->file, made->size), &at),
		     BULLA_ECORRUPT));
	cr_expect(eq(u64, at, footer));
	made->file[footer + 3] ^= 1;
	/* An offset that leads anywhere is the trailer's fault. */
	made->file[end + 7] ^= 1;
	cr_expect(eq(int, segment_open_at(&s, memory_file(made->file, made->size), &at),
		     BULLA_ECORRUPT));
	cr_expect(eq(u64, at, end));
	made->file[end + 7] ^= 1;
	cr_expect(eq(int, segment_open_at(&s, memory_file(made->file, made->size - 1), &at),
		     BULLA_ETRUNCATED));
	cr_expect(eq(u64, at, end - 1));
	/* The table before the footer. */
	made->file[footer - 1] ^= 1;
	cr_expect(lt(int, count_right(memory_file(made->file, made->size)), (int) made->n));
	made->file[footer - 1] ^= 1;
}

Test(segment, newer_flags_are_refused_as_newer, .init = setup, .fini = teardown)
{
	made->file[12] = 1;
	cr_expect(eq(int, count_right(memory_file(made->file, made->size)), BULLA_EVERSION));
	made->file[12] = 0;
	made->file[8] = 1; /* compatible: somebody else's business */
	cr_expect(eq(int, count_right(memory_file(made->file, made->size)), (int) made->n));
}

Test(segment, the_same_name_is_not_taken_twice)
{
	struct segment_writer w;
	char path[4096];
	struct stat st;
	int64_t size;

	snprintf(path, sizeof path, "%s/x.segment", tempdir());
	cr_assert(eq(int, segment_writer_open(&w, AT_FDCWD, path, 3), 0));
	cr_assert(eq(i64, segment_writer_origin(&w, &(struct id){ "one" }, 0), 0));
	size = segment_writer_finish(&w, NULL, 0);
	segment_writer_close(&w);
	cr_assert(eq(int, stat(path, &st), 0));
	cr_expect(eq(i64, size, (int64_t) st.st_size));
	cr_expect(eq(int, segment_writer_open(&w, AT_FDCWD, path, 3), -EEXIST));
	cr_expect(eq(int, count_right(open(path, O_RDONLY | O_CLOEXEC)), 0));
}

/* A name that leads elsewhere is no name: it would become part of a file's. */
Test(segment, a_footer_names_a_lawful_tenant)
{
	static const char *const names[] = { "web", "",	   "..",  "../../etc/cron.d/x",
					     "a/b", "Web", "a\nb" };

	for (size_t i = 0; i < ELEMENTS(names); i++) {
		int fd, r = i == 0 ? 0 : BULLA_ECORRUPT;
		struct segment_writer w;
		struct segment s;
		char path[4096];

		snprintf(path, sizeof path, "%s/%zu.segment", tempdir(), i);
		cr_assert(eq(int, segment_writer_open(&w, AT_FDCWD, path, 3), 0));
		strcpy(w.tenant.name, names[i]);
		cr_assert(eq(i64, segment_writer_origin(&w, &(struct id){ "one" }, 0), 0));
		/* The writer reads it as well. */
		cr_expect(eq(i64, MIN_OF(segment_writer_finish(&w, NULL, 0), INT64_C(0)), r));
		segment_writer_close(&w);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		cr_expect(eq(int, segment_open(&s, fd), r), "%s", names[i]);
		if (r == 0)
			cr_expect(eq(str, s.tenant.name, (char *) names[i]));
		segment_close(&s);
	}
}

/* What searchers are told. */

static int check_group(struct segment_group *g)
{
	bool lies;
	int r = group_check_index(g, &lies);

	return r >= 0 && lies ? BULLA_ECORRUPT : r;
}

static int check_index(const struct segment *s, uint32_t number, bool shorten)
{
	struct segment_group g;
	int r;

	cr_assert(eq(int, group_open(&g, s, number), 0));
	cr_assert(eq(int, need_all(&g), 0));
	for (uint32_t i = 0; shorten && i < g.n_columns; i++)
		g.columns[i].len_max -= g.columns[i].len_max != UINT32_MAX;
	r = check_group(&g);
	group_close(&g);
	return r;
}

Test(segment, an_empty_variable_is_found, .init = setup, .fini = teardown)
{
	struct segment_group g;
	struct segment s;
	struct variable_column *words = NULL;

	cr_assert(eq(int, segment_open(&s, memory_file(made->file, made->size)), 0));
	cr_assert(eq(int, group_open(&g, &s, 0), 0));
	cr_assert(eq(int, need_all(&g), 0));
	cr_assert(eq(int, check_group(&g), 0));
	for (uint32_t t = 0; t < g.n_templates && !words; t++)
		for (unsigned i = 0; i < g.templates[t].n && !words; i++) {
			cr_assert(eq(int, group_need_column(&g, &g.templates[t], i), 0));
			if (g.templates[t].columns[i].texts)
				words = &g.templates[t].columns[i];
		}
	cr_assert(words != NULL);
	/* As a writer would have it that says it is empty. */
	words->texts[0].len = 0;
	words->len_min = 0;
	cr_expect(eq(int, check_group(&g), BULLA_ECORRUPT));
	group_close(&g);
	segment_close(&s);
}

static struct block_ref *tokens_of(struct segment *s, uint32_t number)
{
	for (uint32_t i = 0; i < s->groups[number].n_blocks; i++)
		if (s->groups[number].blocks[i].kind == BLOCK_TOKENS)
			return &s->groups[number].blocks[i];
	return NULL;
}

Test(segment, a_token_that_is_denied_is_found, .init = setup, .fini = teardown)
{
	_cleanup_free_ uint8_t *block = NULL;
	struct segment_group g;
	struct segment s;
	struct block_ref *ref;
	struct rd bytes;
	int cleared = 0;

	cr_assert(eq(int, segment_open(&s, memory_file(made->file, made->size)), 0));
	cr_assert(eq(int, check_index(&s, 0, false), 0));
	cr_assert(eq(int, check_index(&s, 0, true), BULLA_ECORRUPT));
	cr_assert(eq(int, group_open(&g, &s, 0), 0));
	cr_assert(eq(int, group_tokens(&g, &block, &bytes), 1));
	group_close(&g);
	/* The block as it would be, behind the end of the file. */
	ref = tokens_of(&s, 0);
	cr_assert(ref != NULL);
	ref->offset = made->size;
	ref->stored = ref->raw;
	for (uint32_t bit = 16; bit < 8 * ref->raw; bit += 1 + bit % 37) {
		if (!(block[bit / 8] >> bit % 8 & 1))
			continue;
		block[bit / 8] ^= (uint8_t) (1 << bit % 8);
		ref->crc = crc32c(0, block, ref->raw);
		cr_assert(eq(int, io_pwrite(s.fd, block, ref->raw, ref->offset), 0));
		cr_expect(eq(int, check_index(&s, 0, false), BULLA_ECORRUPT), "bit %u", bit);
		block[bit / 8] ^= (uint8_t) (1 << bit % 8);
		if (++cleared == 40)
			break;
	}
	cr_expect(ge(int, cleared, 5));
	segment_close(&s);
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: segment_open(), group_need_...(), group_entry(), group_search(), group_check_index(), group_source_open().
 *
 * The input is the blocks of a segment, u8 kind, u16 length, bytes; the frame around them, with checksums that hold, is put
 * together here, so that what is read behind the checksums is reached.  Kinds 0 to 2 are the tables, of templates each a part behind
 * its varint number, and 13 parts of these templates' kinds; 11 begins another group with u16 rows, u16 batches, u8 whether it is of the same window, u8 first rank, u8 further
 * ranks, and 12 are its tokens; 0 in a group is what the footer says of its window's counts.  Whatever it is, it is read to its end without harm, a row in
 * which a needle is found has it, and what cannot be read has a place in the file, is noted, and does not get better by trying.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/io.h"
#include "fuzz/fuzz.h"
#include "query/source.h"
#include "store/segment/check.h"
#include "store/segment/search.h"

FUZZ_HAS_ENTRANCE;

/* Tables, the kind that begins a group, and its tokens. */
enum { JOURNALS, SEEDS, TEMPLATES, NEW_GROUP = 11, TOKENS = 12, KINDS = 13 };

/* Lines of the footer. */
struct lines {
	struct buf text;
	uint64_t n;
};

static void put_line(struct buf *to, const uint8_t *p, size_t n)
{
	uint32_t crc = crc32c(0, p, n);

	buf_varint(to, n);
	buf_varint(to, n);
	buf_append(to, &crc, 4);
}

/* A footer while it is put together. */
struct footer {
	struct buf tables;
	struct lines templates, kinds, groups, windows;
	/* The group at hand, until the next begins, and the window that it is of. */
	struct buf lines, tokens, counts;
	uint64_t rows, batches, rank, ranks, offset, n_blocks, in_window;
};

static void end_window(struct footer *f)
{
	if (f->in_window > 0) {
		buf_varint(&f->windows.text, f->in_window);
		if (f->counts.len > 0)
			buf_append(&f->windows.text, f->counts.data, f->counts.len);
		else
			buf_varint(&f->windows.text, 0);
		f->windows.n++;
	}
	buf_clear(&f->counts);
	f->in_window = 0;
}

/* They lie behind the group's other blocks, if it has any. */
static void put_tokens(struct footer *f, struct buf *file)
{
	buf_varint(&f->groups.text, f->tokens.len > 0 ? file->len : 0);
	put_line(&f->groups.text, f->tokens.data, f->tokens.len);
	buf_append(file, f->tokens.data, f->tokens.len);
}

static void end_group(struct footer *f, struct buf *file)
{
	uint64_t times[] = { 0, UINT64_MAX };

	if (f->rows > 0) {
		buf_varint(&f->groups.text, f->rank);
		buf_varint(&f->groups.text, f->ranks);
		buf_varint(&f->groups.text, f->rows);
		buf_varint(&f->groups.text, f->batches);
		buf_append(&f->groups.text, times, sizeof times);
		buf_varint(&f->groups.text, f->offset);
		buf_varint(&f->groups.text, f->n_blocks);
		buf_append(&f->groups.text, f->lines.data, f->lines.len);
		put_tokens(f, file);
		f->groups.n++;
		f->in_window++;
	}
	buf_clear(&f->lines);
	buf_clear(&f->tokens);
	f->rows = f->n_blocks = 0;
}

static void begin_group(struct footer *f, struct rd r, struct buf *file, uint64_t journals)
{
	end_group(f, file);
	f->rows = rd_u16(&r);
	f->batches = r.left >= 2 ? rd_u16(&r) : 1;
	if (rd_u8(&r) == 0)
		end_window(f);
	f->rank = r.left > 0 ? rd_u8(&r) : 0;
	f->ranks = r.left > 0 ? rd_u8(&r) : MAX_OF(journals, UINT64_C(1)) - 1;
	f->offset = file->len;
}

/* What a part has of so many templates. */
static void put_part(struct lines *to, uint64_t offset, struct rd r)
{
	uint64_t left = r.left;

	buf_varint(&to->text, rd_varint(&r));
	buf_varint(&to->text, offset + left - r.left);
	put_line(&to->text, r.p, r.left);
	to->n++;
}

static void put_table(struct footer *f, uint8_t kind, uint64_t offset, struct rd r)
{
	if (kind == TEMPLATES || kind == KINDS) {
		put_part(kind == TEMPLATES ? &f->templates : &f->kinds, offset, r);
		return;
	}
	buf_varint(&f->tables, offset);
	put_line(&f->tables, r.p, r.left);
}

static void put_lines(struct lines *l, struct buf *file)
{
	buf_varint(file, l->n);
	buf_append(file, l->text.data, l->text.len);
	buf_done(&l->text);
}

static void put_footer(struct footer *f, struct buf *file)
{
	end_window(f);
	buf_append(file, "\7" TENANT_DEFAULT, 1 + STRLEN(TENANT_DEFAULT));
	buf_append(file, "\1an origin's id..\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
		   1 + ID_SIZE + 2 + 16);
	buf_append(file, f->tables.data, f->tables.len);
	put_lines(&f->templates, file);
	put_lines(&f->kinds, file);
	put_lines(&f->groups, file);
	put_lines(&f->windows, file);
	buf_done(&f->tables);
	buf_done(&f->lines);
	buf_done(&f->tokens);
	buf_done(&f->counts);
}

static void put_trailer(struct buf *file, uint64_t offset)
{
	uint32_t size = (uint32_t) (file->len - offset);
	uint32_t crc = crc32c(0, file->data + offset, size);

	buf_append(file, &offset, 8);
	buf_append(file, &size, 4);
	buf_append(file, &size, 4);
	buf_append(file, &crc, 4);
	buf_append(file, SEGMENT_MAGIC, 8);
}

static void build(struct buf *file, struct rd r)
{
	struct footer f = { 0 };
	uint64_t offset, journals = 1;

	buf_append(file, SEGMENT_MAGIC "\0\0\0\0\0\0\0", SEGMENT_HEADER_SIZE);
	while (r.left > 3) {
		uint8_t kind = rd_u8(&r) % (KINDS + 1);
		uint16_t n = rd_u16(&r);
		struct rd block;

		n = (uint16_t) MIN_OF(n, r.left);
		block = rd_of(rd_bytes(&r, n), n);
		if (kind == NEW_GROUP) {
			begin_group(&f, block, file, journals);
			continue;
		}
		if (kind == KINDS || (kind <= TEMPLATES && f.rows == 0)) {
			put_table(&f, kind, file->len, block);
			if (kind == JOURNALS)
				journals = rd_varint(&(struct rd){ block.p, block.left, false });
		} else if (kind == JOURNALS || kind == TOKENS) {
			buf_append(kind == TOKENS ? &f.tokens : &f.counts, block.p, n);
			continue;
		} else {
			buf_char(&f.lines, (char) kind);
			put_line(&f.lines, block.p, n);
			f.n_blocks++;
		}
		buf_append(file, block.p, n);
	}
	end_group(&f, file);
	offset = file->len;
	put_footer(&f, file);
	put_trailer(file, offset);
}

static void read_group(const struct segment *s, uint32_t number)
{
	static struct field fields[FIELDS_MAX];
	struct segment_group g;
	struct buf message = { 0 };
	struct entry e;

	if (group_open(&g, s, number) >= 0 && group_need_batches(&g) >= 0 &&
	    group_need_rows(&g) >= 0 && group_need_received(&g) >= 0 &&
	    group_need_fields(&g) >= 0 && group_need_templates(&g) >= 0) {
		for (uint32_t i = 0; i < g.ref->batches; i++)
			for (uint32_t k = 0; k < MIN_OF(g.batches[i].entries, 1000u); k++)
				if (group_entry(&g, g.batches[i].first_row + k,
						&s->journals[g.batches[i].journal], &message,
						fields, &e) < 0)
					break;
	}
	buf_done(&message);
	group_close(&g);
}

/* All made at once, they are what they are one by one. */
static void compare_messages(struct segment_group *g)
{
	uint32_t n = MIN_OF(g->rows, 1000u);
	struct buf all = { 0 }, scratch = { 0 };
	struct text message;
	size_t *end = calloc(n, sizeof *end), from = 0;
	bool known = true;

	assert(end);
	if (group_need_times(g) < 0 || group_need_templates(g) < 0)
		n = 0;
	for (uint32_t i = 0; i < n && known; i++) {
		known = group_message(g, i, &scratch, &message) >= 0;
		if (known)
			buf_append(&all, message.p, message.len);
		end[i] = all.len;
	}
	assert(group_need_messages(g, NULL) < 0 || known);
	for (uint32_t i = 0; i < n && known; from = end[i++]) {
		assert(group_message(g, i, &scratch, &message) >= 0);
		assert(message.len == end[i] - from);
		assert(message.len == 0 || memcmp(message.p, all.data + from, message.len) == 0);
	}
	free(end);
	buf_done(&all);
	buf_done(&scratch);
}

static void search_group(const struct segment *s, uint32_t number, const char *word, bool any_case)
{
	struct needle needle = { (const uint8_t *) word, strlen(word), any_case, NULL };
	struct needle_plan plan;
	struct segment_group g;
	struct buf scratch = { 0 };
	struct text message;
	uint64_t *hits;
	bool lies;

	assert(group_open(&g, s, number) >= 0);
	assert(needle_plan_make(&plan, &needle) >= 0);
	hits = calloc(((size_t) g.rows + 63) / 64, sizeof *hits);
	assert(hits);
	if (group_search(&g, &plan, hits) > 0 && group_need_times(&g) >= 0)
		for (uint32_t i = 0; i < g.rows; i++)
			if (hits[i / 64] >> i % 64 & 1 &&
			    group_message(&g, i, &scratch, &message) >= 0)
				assert(finder_find(&plan.finder, message.p, message.len));
	compare_messages(&g);
	if (group_need_all(&g) >= 0)
		(void) !group_check_index(&g, &lies);
	free(hits);
	buf_done(&scratch);
	needle_plan_done(&plan);
	group_close(&g);
}

/* The entries of a source, to its end; those that cannot be read are passed over. */
static int drain(void *arg, struct source *s)
{
	uint64_t *n = arg;
	struct shown shown;
	int r;

	do {
		r = s->shown(s, &shown);
		assert(r == 0 || r == BULLA_ECORRUPT);
		assert(r == 0 || s->stats->frames_damaged > 0);
	} while (++*n < 10000 && s->next(s) > 0);
	s->free(s);
	return 0;
}

/* All of it, as it is read before it is called damaged. */
static void check(const struct segment *s)
{
	uint64_t at, again;
	int r = segment_check_content(s, &at);

	assert(r == 0 || segment_is_damage(r));
	assert(segment_check_content(s, &again) == r && again == at);
	assert(r == 0 || at < s->size);
}

static void query_group(const struct segment *s, uint32_t number, const char *pattern)
{
	struct query q = { .until_ns = UINT64_MAX, .limit = UINT64_MAX };
	struct query_stats stats = { 0 };
	struct searched searched;
	uint64_t n = 0;
	struct opening o = { .query = &q, .stats = &stats, .each = drain, .arg = &n };
	char why[256];

	assert(match_new(&q.match) >= 0);
	if (pattern)
		assert(match_set_grep(q.match, pattern, why) >= 0);
	assert(searched_init(&searched, s, &q) >= 0);
	for (int i = 0; i < 2; i++, o.backward = true)
		if (group_source_open(&o, &searched, number) < 0)
			break;
	for (uint32_t i = 0; i < stats.n_damage; i++)
		assert(stats.damage[i].segment == s && stats.damage[i].offset < s->size);
	searched_done(&searched);
	match_free(q.match);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf file = { 0 };
	struct segment s;
	int fd;

	build(&file, rd_of(data, size));
	fd = memfd_create("segment", MFD_CLOEXEC);
	assert(fd >= 0 && io_write(fd, file.data, file.len) == 0);
	buf_done(&file);
	if (segment_open(&s, fd) < 0)
		return 0;
	fuzz_count_let_in();
	for (uint32_t i = 0; i < s.n_groups; i++) {
		read_group(&s, i);
		search_group(&s, i, "a", true);
		search_group(&s, i, "1", false);
		search_group(&s, i, "line of", false);
		query_group(&s, i, NULL);
		query_group(&s, i, "line [a-z]");
	}
	check(&s);
	segment_close(&s);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A needle is found in exactly those messages that have it, wherever in them it lies.
 */

#include "store/segment/search.h"

#include "tests/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "bulla/error.h"
#include "store/segment/writer.h"

Suite(segment_search);

enum { LINES = 1500, LINE_SIZE = 1000 };

static char line[LINES][LINE_SIZE];

static void make_lines(uint64_t seed)
{
	for (size_t i = 0; i < LINES; i++) {
		uint64_t r = random_u64(&seed), s = random_u64(&seed);
		unsigned a = (unsigned) (r % 300), b = (unsigned) (r >> 32) % 100;

		switch (s % 12) {
		case 0:
			snprintf(line[i], LINE_SIZE,
				 "GET /api/v%u/Item/%u HTTP/1.1 took %u.%03u ms", a % 3, b, a, b);
			break;
		case 1:
			snprintf(line[i], LINE_SIZE,
				 "2026-01-05T09:%02u:%02u.%03uZ login of user%u from 10.%u.0.%u",
				 a % 60, b % 60, a, b, a % 250, b);
			break;
		case 2:
			snprintf(line[i], LINE_SIZE, "trace=%08x%08x span=%04X pod=web-%xa1b2-%u",
				 (unsigned) r, (unsigned) s, (unsigned) (r % 65536), a, b);
			break;
		case 3:
			snprintf(line[i], LINE_SIZE, "\tat com.example.Shop%c.run(Shop.java:%u)",
				 (char) ('A' + b % 20), a);
			break;
		case 4:
			snprintf(line[i], LINE_SIZE, "ratio 1.%u.%u.%u and 007%u", a, b, a, b);
			break;
		case 5:
			snprintf(line[i], LINE_SIZE, "3d4a83ea-09f3-4e88-%04x-c3d4e5f6%04x is %s",
				 a, b, b % 2 ? "UP" : "Down");
			break;
		case 6:
			line[i][0] = '\0';
			break;
		case 7:
			for (int k = 0; k < 12; k++)
				line[i][k] = (char) (32 + random_u64(&seed) % 90);
			line[i][12] = '\0';
			break;
		case 8:
			snprintf(line[i], LINE_SIZE,
				 "10.1.%u.%u - - [%02u/Mar/2026:09:%02u:%02u +0000] \"GET /Item/%u",
				 a % 250, b, 1 + a % 28, a % 60, b % 60, a);
			break;
		case 9:
			snprintf(line[i], LINE_SIZE, "layer sha256:%032x%016llx%016llx pulled", a,
				 (unsigned long long) r, (unsigned long long) s);
			break;
		case 10:
			snprintf(line[i], LINE_SIZE, "Jan %2u 09:%02u:%02u abcd%ubeef said Hello%s",
				 1 + b % 28, a % 60, b % 60, a, b % 3 ? "World" : "");
			break;
		default:
			snprintf(line[i], LINE_SIZE, "nothing changes here");
		}
	}
}

static void write_lines(const char *path)
{
	struct contexts contexts = { 0 };
	struct seeds seeds = { 0 };
	struct segment_source source = { .contexts = &contexts, .seeds = &seeds };
	struct segment_writer w;

	cr_assert(eq(int, segment_writer_open(&w, AT_FDCWD, path, 3), 0));
	cr_assert(eq(i64, segment_writer_origin(&w, &(struct id){ "one" }, 0), 0));
	cr_assert(eq(i64, segment_writer_journal(&w, &source), 0));
	cr_assert(eq(int, segment_writer_batch(&w, 0, 0, 0, 0), 0));
	for (size_t i = 0; i < LINES; i++) {
		struct entry e = { .time_ns = 1767603600000000000 + i * 1000003,
				   .message = (const uint8_t *) line[i],
				   .message_len = (uint32_t) strlen(line[i]) };

		cr_assert(eq(int, segment_writer_add(&w, &e, 0), 0));
	}
	cr_assert(gt(i64, segment_writer_finish(&w, NULL, 0), 0));
	segment_writer_close(&w);
}

static bool has(const char *hay, const struct needle *n)
{
	size_t len = strlen(hay);

	for (size_t i = 0; i + n->n <= len; i++)
		if (n->any_case ? strncasecmp(hay + i, (const char *) n->p, n->n) == 0
				: memcmp(hay + i, n->p, n->n) == 0)
			return true;
	return false;
}

/* Whether the needle is there, and behind it what must follow. */
static bool goes_on(const char *hay, const struct needle *n)
{
	const uint8_t *p = (const uint8_t *) hay;
	size_t len = strlen(hay);

	for (size_t i = 0; n->sequel && i + n->n <= len; i++)
		if (memcmp(p + i, n->p, n->n) == 0 &&
		    sequel_is_over(n->sequel, sequel_over(n->sequel, sequel_begin(n->sequel),
							  p + i + n->n, len - i - n->n)))
			return true;
	return !n->sequel && has(hay, n);
}

/* @return how many lines have the needle and were not found, because what must follow it does not. */
static int expect_found(const struct segment *s, const struct needle *n)
{
	uint64_t hits[(LINES + 63) / 64];
	struct needle_plan plan;
	struct segment_group g;
	int64_t found, want = 0;
	int refused = 0;

	cr_assert(eq(int, needle_plan_make(&plan, n), 0));
	cr_assert(eq(int, group_open(&g, s, 0), 0));
	found = group_search(&g, &plan, hits);
	for (size_t i = 0; i < LINES; i++) {
		bool is = goes_on(line[i], n), may = has(line[i], n),
		     got = hits[i / 64] >> i % 64 & 1;

		want += got;
		refused += may && !got;
		cr_expect(le(int, is, got), "\"%.*s\" in \"%s\"", (int) n->n, n->p, line[i]);
		cr_expect(le(int, got, may), "\"%.*s\" in \"%s\"", (int) n->n, n->p, line[i]);
	}
	cr_expect(eq(i64, found, want));
	group_close(&g);
	needle_plan_done(&plan);
	return refused;
}

/* So many words that their columns are cut into parts. */
static void make_long_lines(uint64_t seed)
{
	static const char *const names[] = { "first", "second", "third",  "fourth",
					     "fifth", "sixth",	"seventh" };

	for (size_t i = 0; i < LINES; i++) {
		int n = snprintf(line[i], LINE_SIZE, "%s: job-7a%ub-", names[i % 7],
				 (unsigned) i % 10);

		for (; n < LINE_SIZE - 40; n++)
			line[i][n] = (char) ('a' + random_u64(&seed) % 26);
		snprintf(line[i] + n, (size_t) (LINE_SIZE - n), " of /srv/%u/x",
			 (unsigned) i % 100);
	}
}

static void open_made_lines(struct segment *s)
{
	char path[600];

	snprintf(path, sizeof path, "%s/lines.segment", tempdir());
	write_lines(path);
	cr_assert(eq(int, segment_open(s, open(path, O_RDONLY | O_CLOEXEC)), 0));
	cr_assert(gt(u32, template_table_size(s->templates), 5));
}

static void open_lines(struct segment *s, uint64_t seed)
{
	make_lines(seed);
	open_made_lines(s);
}

static void look_for_pieces(const struct segment *s, uint64_t seed, int n_pieces)
{
	for (int i = 0; i < n_pieces; i++) {
		const char *from = line[random_u64(&seed) % LINES];
		size_t len = strlen(from), at = len ? random_u64(&seed) % len : 0;
		struct needle n = { (const uint8_t *) from + at,
				    1 + random_u64(&seed) % (i % 4 ? 24 : 90),
				    random_u64(&seed) % 3 == 0, NULL };

		n.n = MIN_OF(n.n, len - at);
		if (n.n > 0)
			expect_found(s, &n);
	}
}

Test(segment_search, any_piece_of_any_line_is_found)
{
	struct segment s;

	open_lines(&s, 21);
	look_for_pieces(&s, 21, 800);
	segment_close(&s);
}

/* Two digits lie in one byte, and a piece may begin in the middle of it. */
Test(segment_search, any_digits_of_identifiers_are_found)
{
	uint64_t seed = 26;
	int looked = 0;
	struct segment s;

	open_lines(&s, 26);
	for (int i = 0; i < 3000 && looked < 400; i++) {
		const char *from = line[random_u64(&seed) % LINES];
		size_t at = random_u64(&seed) % (strlen(from) + 1), digits;
		struct needle n = { (const uint8_t *) from + at, 0, random_u64(&seed) % 2, NULL };

		digits = strspn(from + at, "0123456789abcdefABCDEF");
		if (digits < 3)
			continue;
		n.n = 3 + random_u64(&seed) % (digits - 2);
		expect_found(&s, &n);
		looked++;
	}
	cr_expect(eq(int, looked, 400));
	expect_found(&s, &(struct needle){ (const uint8_t *) "0f0", 3, false, NULL });
	expect_found(&s, &(struct needle){ (const uint8_t *) "F0F0", 4, true, NULL });
	segment_close(&s);
}

Test(segment_search, words_in_several_parts_are_found)
{
	struct segment s;
	uint32_t parts = 0;

	make_long_lines(24);
	open_made_lines(&s);
	for (uint32_t i = 0; i < s.groups[0].n_blocks; i++)
		parts += s.groups[0].blocks[i].kind == BLOCK_WORDS;
	cr_expect(ge(u32, parts, 2));
	look_for_pieces(&s, 24, 150);
	segment_close(&s);
}

Test(segment_search, what_is_nowhere_is_not_found)
{
	static const char *const words[] = {
		"absent",	   "GET /api/v9", "09:61", "nothing changes here!",    "Nothing",
		"trace==",	   "10.0.0.1.",	  "\1D",   "2026-01-05T09:00:00.0000", "take",
		"(Shop.java:300)",
	};
	struct segment s;

	open_lines(&s, 22);
	for (size_t i = 0; i < ELEMENTS(words); i++)
		expect_found(&s, &(struct needle){ (const uint8_t *) words[i], strlen(words[i]),
						   false, NULL });
	expect_found(&s, &(struct needle){ (const uint8_t *) "NOTHING CHANGES", 15, true, NULL });
	segment_close(&s);
}

Test(segment_search, a_needle_longer_than_what_is_planned)
{
	static uint8_t large[400];
	struct segment s;

	memset(large, '7', sizeof large);
	open_lines(&s, 23);
	expect_found(&s, &(struct needle){ large, sizeof large, false, NULL });
	segment_close(&s);
}

/* What follows in a line, said more or less exactly. */
static size_t parts_of(const char *p, uint64_t *seed, struct sequel_part *parts)
{
	size_t n = 0, max = random_u64(seed) % 40;

	for (; *p && n < max; p++) {
		struct sequel_part *part = &parts[n];
		uint64_t r = random_u64(seed);

		*part = (struct sequel_part){ .again = r % 16 == 0, .optional = r % 16 == 1 };
		if (*p >= '0' && *p <= '9') {
			bits_set(part->set.bytes, '0', '9' + 1);
			part->again |= r >> 8 & 1;
		} else if (r >> 8 & 3) {
			bit_set(part->set.bytes, (uint8_t) *p);
		} else {
			bits_set(part->set.bytes, 0, 256);
			part->again = part->optional = r >> 16 & 1;
		}
		n++;
	}
	return n;
}

Test(segment_search, a_needle_is_found_where_it_may_be_followed_as_it_must)
{
	struct segment s;
	int refused = 0, other = 0;
	uint64_t seed = 25;

	open_lines(&s, 25);
	for (int i = 0; i < 1500; i++) {
		const char *from = line[random_u64(&seed) % LINES];
		size_t len = strlen(from), at = len ? random_u64(&seed) % len : 0;
		struct sequel_part parts[40];
		struct sequel sequel;
		struct needle n = { (const uint8_t *) from + at, 1 + random_u64(&seed) % 12, false,
				    &sequel };

		n.n = MIN_OF(n.n, len - at);
		if (n.n == 0)
			continue;
		sequel_init(&sequel, parts, parts_of(from + at + n.n, &seed, parts));
		refused += expect_found(&s, &n);
		n.sequel = NULL;
		other += expect_found(&s, &n);
	}
	cr_expect(gt(int, refused, 20000), "%d", refused);
	cr_expect(eq(int, other, 0));
	segment_close(&s);
}

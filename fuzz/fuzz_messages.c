/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: template_take(), messages_add(), messages_encode(), and the reader of what they made.
 *
 * The input is lines, each preceded by a byte that moves the clock.  What comes back out of the segment is the same lines.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "store/segment/check.h"
#include "store/segment/segment.h"
#include "store/segment/tokens.h"
#include "store/segment/writer.h"

enum { LINES_MAX = 4096 };

struct line {
	const uint8_t *p;
	size_t n;
	uint64_t time_ns;
};

static struct line lines[LINES_MAX];

static size_t split(const uint8_t *p, size_t n)
{
	uint64_t time = 1767603600000000000;
	size_t k = 0;

	while (n > 0 && k < LINES_MAX) {
		const uint8_t *end = memchr(p, '\n', n);
		size_t len = end ? (size_t) (end - p) : n;

		time += p[0] * UINT64_C(1000003);
		lines[k++] = (struct line){ len > 0 ? p + 1 : p, len > 0 ? len - 1 : 0, time };
		n -= len + (end != NULL);
		p += len + (end != NULL);
	}
	return k;
}

static void write_all(const char *path, size_t n)
{
	struct contexts contexts = { 0 };
	struct seeds seeds = { 0 };
	struct segment_source source = { .contexts = &contexts, .seeds = &seeds };
	struct segment_writer w;

	assert(segment_writer_open(&w, AT_FDCWD, path, 1) == 0);
	assert(segment_writer_origin(&w, &(struct id){ "one" }, 0) == 0);
	assert(segment_writer_journal(&w, &source) == 0);
	assert(segment_writer_batch(&w, 0, 0, 0, 0) == 0);
	for (size_t i = 0; i < n; i++) {
		struct entry e = { .time_ns = lines[i].time_ns,
				   .message = lines[i].p,
				   .message_len = (uint32_t) lines[i].n };

		assert(segment_writer_add(&w, &e, 0) == 0);
	}
	assert(segment_writer_finish(&w, NULL, 0) > 0);
	segment_writer_close(&w);
}

static void expect_messages(struct segment_group *g, size_t n)
{
	struct buf scratch = { 0 };

	for (size_t i = 0; i < n; i++) {
		struct text message;

		assert(group_message(g, (uint32_t) i, &scratch, &message) == 0);
		assert(message.len == lines[i].n);
		assert(message.len == 0 || memcmp(message.p, lines[i].p, message.len) == 0);
	}
	buf_done(&scratch);
}

/* Every value and every message looked at, whatever stands beside it. */
static void gather_line(struct tokens *t, const struct line *line, bool whole)
{
	static struct taken taken;
	struct timetext_base base = { 0 };

	tokens_add_digits(t, line->p, line->n);
	tokens_add_uuids(t, line->p, line->n);
	if (whole) {
		tokens_add(t, TOKENS_WHOLE, line->p, line->n);
		return;
	}
	timetext_base_set(&base, line->time_ns);
	assert(template_take(&taken, line->p, line->n, &base));
	for (unsigned i = 0; i < taken.n; i++) {
		size_t from = taken.variables[i].at;

		tokens_add_value(t, line->p, line->n, from, from + taken.variables[i].len);
	}
}

static void expect_tokens(struct segment_group *g, size_t n)
{
	struct tokens t = { 0 };
	uint8_t *raw = NULL;
	struct rd block;

	assert(tokens_begin(&t) == 0);
	for (size_t i = 0; i < n; i++)
		gather_line(&t, &lines[i], g->template_of[i] == 0);
	assert(group_tokens(g, &raw, &block) == 1);
	assert(tokens_check(&t, block.p, block.left) == 0);
	tokens_done(&t);
	free(raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	struct segment s;
	struct segment_group g;
	bool lies;
	size_t n = split(data, size);

	if (n == 0)
		return 0;
	snprintf(path, sizeof path, "/dev/shm/fuzz_messages-%d", (int) getpid());
	write_all(path, n);
	assert(segment_open(&s, open(path, O_RDONLY | O_CLOEXEC)) == 0);
	unlink(path);
	assert(group_open(&g, &s, 0) == 0 && group_need_times(&g) == 0 &&
	       group_need_templates(&g) == 0);
	/* One by one, and all at once; what the writer tells searchers is what a reader gathers. */
	expect_messages(&g, n);
	assert(group_check_index(&g, &lies) == 0 && !lies);
	expect_messages(&g, n);
	expect_tokens(&g, n);
	group_close(&g);
	segment_close(&s);
	return 0;
}

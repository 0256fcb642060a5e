/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: split_next().
 *
 * Fed in any pieces, a stream gives the lines that a slow and simple splitter finds in the whole of it, and joined together they
 * are the stream.  The first byte is the limit, the second how the stream is cut.
 */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "collector/split.h"
#include "fuzz/fuzz.h"

struct want {
	const uint8_t *p;
	size_t n, size_max, at;
};

/* The next line of the whole stream, byte by byte. */
static void expect_line(struct want *w, const struct line *l)
{
	size_t len = 0;

	while (w->at + len < w->n && len < w->size_max && w->p[w->at + len] != '\n')
		len++;
	assert(l->n == len);
	assert(memcmp(l->p, w->p + w->at, len) == 0);
	w->at += len;
	if (w->at < w->n && w->p[w->at] == '\n') {
		assert(!l->continued && !l->no_newline);
		w->at++;
	} else if (w->at < w->n) {
		assert(l->continued && !l->no_newline && len == w->size_max);
	} else {
		assert(l->no_newline && !l->continued);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct want want;
	size_t taken = 0, upto = 0;
	uint32_t step;

	if (size < 2)
		return 0;
	want = (struct want){ data + 2, size - 2, 1u + data[0], 0 };
	step = data[1];
	while (taken < want.n || upto < want.n) {
		struct splitter s;
		struct line l;
		uint8_t *alone;

		step = step * 1103515245u + 12345u;
		upto += 1 + (step >> 16) % (2 * want.size_max);
		if (upto > want.n)
			upto = want.n;
		/* What is seen lies alone: nothing behind it may be looked at. */
		alone = malloc(upto - taken + 1);
		assert(alone);
		memcpy(alone, want.p + taken, upto - taken);
		s = (struct splitter){ alone, upto - taken, want.size_max, upto == want.n };
		while (split_next(&s, &l))
			expect_line(&want, &l);
		assert(s.left <= want.size_max);
		taken = upto - s.left;
		assert(taken == want.at);
		free(alone);
	}
	assert(want.at == want.n);
	return 0;
}

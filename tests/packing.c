/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/packing.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "seal/origin.h"
#include "store/segment/build.h"
#include "store/segment/merge.h"
#include "store/segment/replace.h"
#include "store/segment/writer.h"
#include "tests/harness.h"

enum { GROUP_ROWS_SMALL = 8 };

static int open_segments(const struct builder *b)
{
	char path[600];

	snprintf(path, sizeof path, "%s/segments", b->path);
	mkdir(path, 0755);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

uint64_t pack_segments(const struct builder *b, uint64_t entries_max, bool all)
{
	struct segment_builder_options o = { .entries_max = entries_max, .level = 3 };
	struct segment_builder *s;
	struct replaced replaced;
	struct segment_set set;

	/* So that windows have several groups, where journals are of several images. */
	segment_group_rows = GROUP_ROWS_SMALL;
	cr_assert(eq(int, segment_set_open(&set, &b->state), 0));
	o.packed = &set;
	o.dirfd = open_segments(b);
	cr_assert(eq(int, segment_builder_new(&s, &b->state, &o), 0));
	segment_set_close(&set);
	cr_assert(eq(int, segment_builder_read(s), 0));
	if (all)
		cr_assert(eq(int, segment_builder_finish(s), 0));
	cr_assert(eq(int, segment_replace_tails(&b->state, segment_builder_history(s), &replaced),
		     0));
	segment_builder_free(s);
	close(o.dirfd);
	return replaced.tails;
}

int merge_segments(const struct builder *b, uint32_t first, uint32_t n)
{
	struct merge_options o = { .dirfd = open_segments(b), .level = 3 };
	struct segment_made made;
	struct segment_set set;
	int r;

	cr_assert(eq(int, segment_set_open(&set, &b->state), 0));
	r = segment_merge(&set, first, n, origin_history(b->origin), &o, &made);
	segment_set_close(&set);
	close(o.dirfd);
	return r;
}

uint32_t count_segments(const struct builder *b)
{
	struct segment_set set;
	uint32_t n;

	cr_assert(eq(int, segment_set_open(&set, &b->state), 0));
	n = set.n;
	cr_expect(eq(u32, set.n_damaged, 0));
	segment_set_close(&set);
	return n;
}

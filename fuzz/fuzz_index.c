/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: rows_index_build(), rows_ref_read().
 *
 * Whatever a tail holds, the index ends inside it; frames lie behind each other and do not overlap; a frame that is read
 * and unpacked holds rows or is refused; indexing again says the same.  With an odd first byte, checksums are made right first: no engine guesses them.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/frame.h"
#include "fuzz/fuzz.h"
#include "store/row.h"
#include "store/tail_index.h"

static void mend(uint8_t *p, size_t n)
{
	struct rd r = rd_of(p, n);

	for (;;) {
		uint8_t *at = p + (n - r.left);
		uint32_t size = rd_u32(&r), type = rd_u32(&r);

		if (r.bad || size > TAIL_RECORD_MAX || frame_space(size) > r.left + 8)
			return;
		frame_finish(at, type, size);
		rd_bytes(&r, frame_space(size) - 8);
	}
}

static void check_rows(int fd, const struct rows_ref *ref)
{
	struct field fields[FIELDS_MAX];
	struct buf frame = { 0 }, raw = { 0 };
	struct row_state state = { 0 };
	struct tail_rows rows;
	struct entry e;
	uint32_t context;
	struct rd rd;

	if (rows_ref_read(fd, ref, &frame, &rows) == 0 && tail_rows_unpack(&rows, &raw) == 0) {
		assert(raw.len == rows.raw_size);
		rd = rd_of(raw.data, raw.len);
		while (row_decode(&state, &rd, fields, &e, &context) > 0)
			assert(row_is_lawful(&e));
	}
	buf_done(&frame);
	buf_done(&raw);
}

static int build(int fd, struct rows_index *i, struct tail_reader *t)
{
	*i = (struct rows_index){ 0 };
	*t = (struct tail_reader){ .fd = fd };
	frame_reader_init(&t->frames, fd, 0, TAIL_RECORD_MAX);
	return rows_index_build(i, t);
}

static void done(struct rows_index *i, struct tail_reader *t)
{
	rows_index_done(i);
	contexts_done(&t->contexts);
	seeds_done(&t->seeds);
	frame_reader_done(&t->frames);
}

static void check_index(int fd, size_t size)
{
	struct rows_index i, again;
	struct tail_reader t, u;
	uint64_t end = 0;
	int r = build(fd, &i, &t);

	for (size_t k = 0; r == 0 && k < i.n; k++) {
		assert(i.at[k].offset >= end && i.at[k].offset % FRAME_ALIGN == 0);
		end = i.at[k].offset + i.at[k].space;
		assert(end <= size && i.at[k].count > 0);
		assert(i.at[k].time_min <= i.at[k].time_max);
		check_rows(fd, &i.at[k]);
	}
	if (r == 0) {
		assert(t.frames.offset >= end && t.frames.offset <= size);
		assert(i.n_uncut <= i.n);
		/* The same again is the same. */
		assert(build(fd, &again, &u) == 0);
		assert(again.n == i.n && again.n_damaged == i.n_damaged);
		assert(u.frames.offset == t.frames.offset && u.contexts.n == t.contexts.n);
		done(&again, &u);
	}
	done(&i, &t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;
	ssize_t n;
	int fd;

	if (size == 0)
		return 0;
	copy = malloc(size);
	fd = memfd_create("tail", MFD_CLOEXEC);
	assert(copy && fd >= 0);
	memcpy(copy, data + 1, size - 1);
	if (data[0] & 1)
		mend(copy, size - 1);
	n = pwrite(fd, copy, size - 1, 0);
	assert(n == (ssize_t) size - 1);
	check_index(fd, size - 1);
	close(fd);
	free(copy);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A file of frames is read to where it is whole, wherever it is cut and whoever is appending; a search finds the next whole
 * frame and does not let itself be kept busy.
 */

#include "base/framefile.h"

#include "tests/harness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"

Suite(framefile);

enum { LIMIT = 1 << 20, TYPE = 0x14 };

static int memory_file(const struct buf *content)
{
	int fd = memfd_create("frames", MFD_CLOEXEC);

	cr_assert(ge(int, fd, 0));
	cr_assert(eq(int, io_write(fd, content->data, content->len), 0));
	return fd;
}

static void add_frame(struct buf *b, uint32_t type, size_t size, uint8_t fill)
{
	uint8_t *at = buf_room(b, frame_space(size));

	cr_assert(at != NULL);
	memset(at + FRAME_HEADER_SIZE, fill, size);
	buf_add(b, frame_finish(at, type, (uint32_t) size));
}

/* Read to the end.  @return the frames read; `*ret` is how it ended. */
static unsigned read_all(int fd, int *ret)
{
	struct frame_reader r;
	struct frame f;
	unsigned n = 0;

	frame_reader_init(&r, fd, 0, LIMIT);
	while ((*ret = frame_reader_next(&r, &f, NULL)) > 0)
		n++;
	frame_reader_done(&r);
	return n;
}

Test(framefile, frames_of_all_sizes_come_back_in_order)
{
	static const size_t sizes[] = { 0, 1, 12, 4096, 262144, 262132, 300000, LIMIT, 5, 700000 };
	_cleanup_buf_ struct buf b = { 0 };
	_cleanup_close_ int fd = -1;
	struct frame_reader r;
	uint64_t offset, want = 0;
	struct frame f;

	for (size_t i = 0; i < ELEMENTS(sizes); i++)
		add_frame(&b, TYPE + (uint32_t) i, sizes[i], (uint8_t) (i + 1));
	fd = memory_file(&b);
	frame_reader_init(&r, fd, 0, LIMIT);
	for (size_t i = 0; i < ELEMENTS(sizes); i++) {
		cr_assert(eq(int, frame_reader_next(&r, &f, &offset), 1), "frame %zu", i);
		cr_expect(eq(u64, offset, want), "frame %zu", i);
		cr_expect(eq(u32, f.type, TYPE + (uint32_t) i));
		cr_assert(eq(u32, f.size, (uint32_t) sizes[i]));
		for (size_t k = 0; k < f.size; k++)
			cr_assert(eq(u8, f.payload[k], (uint8_t) (i + 1)), "frame %zu", i);
		want += frame_space(sizes[i]);
	}
	cr_expect(eq(int, frame_reader_next(&r, &f, NULL), 0));
	frame_reader_done(&r);
}

Test(framefile, a_cut_file_ends_with_its_last_whole_frame)
{
	_cleanup_buf_ struct buf b = { 0 };
	_cleanup_close_ int fd = -1;
	size_t ends[5];
	int r;

	for (size_t i = 0; i < ELEMENTS(ends); i++) {
		add_frame(&b, TYPE, 10 * i + 1, 7);
		ends[i] = b.len;
	}
	fd = memory_file(&b);
	for (size_t n = b.len; n-- > 0;) {
		unsigned whole = 0;

		cr_assert(eq(int, ftruncate(fd, (off_t) n), 0));
		while (whole < ELEMENTS(ends) && ends[whole] <= n)
			whole++;
		cr_expect(eq(uint, read_all(fd, &r), whole), "%zu bytes", n);
		if (n > 0 && (whole == 0 || ends[whole - 1] != n))
			cr_expect(eq(int, r, BULLA_ETRUNCATED), "%zu bytes", n);
		else
			cr_expect(eq(int, r, 0), "%zu bytes", n);
	}
}

Test(framefile, what_is_appended_is_seen_by_the_next_call)
{
	_cleanup_buf_ struct buf b = { 0 };
	_cleanup_close_ int fd = -1;
	struct frame_reader r;
	struct frame f;
	size_t first;

	add_frame(&b, TYPE, 100, 1);
	first = b.len;
	add_frame(&b, TYPE, 200, 2);
	fd = memory_file(&(struct buf){ .data = b.data, .len = first });
	frame_reader_init(&r, fd, 0, LIMIT);
	cr_assert(eq(int, frame_reader_next(&r, &f, NULL), 1));
	cr_expect(eq(int, frame_reader_next(&r, &f, NULL), 0));
	cr_assert(eq(int, ftruncate(fd, 4096), 0), "space ahead");
	cr_expect(eq(int, frame_reader_next(&r, &f, NULL), 0));
	cr_assert(eq(int, io_pwrite(fd, b.data + first, 50, first), 0));
	cr_expect(lt(int, frame_reader_next(&r, &f, NULL), 0), "half of it");
	cr_assert(eq(int, io_pwrite(fd, b.data + first, b.len - first, first), 0));
	cr_assert(eq(int, frame_reader_next(&r, &f, NULL), 1));
	cr_expect(eq(u32, f.size, 200));
	frame_reader_done(&r);
}

/* The end of the first piece that is read is long past when it is reached. */
Test(framefile, what_was_read_ahead_and_written_since_is_seen)
{
	_cleanup_buf_ struct buf b = { 0 };
	_cleanup_close_ int fd = -1;
	struct frame_reader r;
	struct frame f;
	size_t first;

	add_frame(&b, TYPE, 100, 1);
	first = b.len;
	add_frame(&b, TYPE, 200, 2);
	fd = memory_file(&(struct buf){ .data = b.data, .len = first });
	cr_assert(eq(int, ftruncate(fd, 4096), 0), "space ahead");
	frame_reader_init(&r, fd, 0, LIMIT);
	cr_assert(eq(int, frame_reader_next(&r, &f, NULL), 1));
	cr_assert(eq(int, io_pwrite(fd, b.data, b.len, 0), 0));
	cr_assert(eq(int, frame_reader_next(&r, &f, NULL), 1));
	cr_expect(eq(u32, f.size, 200));
	frame_reader_done(&r);
}

Test(framefile, a_search_finds_the_next_whole_frame)
{
	static const size_t gaps[] = { 8, 16, 4096, 262136, 262144, 262152, 600000 };

	for (size_t i = 0; i < ELEMENTS(gaps); i++)
		for (size_t size = 0; size < 400000; size = size * 3 + 50) {
			_cleanup_buf_ struct buf b = { 0 };
			_cleanup_close_ int fd = -1;
			uint64_t budget = 1 << 24, offset;
			struct frame_reader r;
			struct frame f;

			cr_assert(buf_room(&b, gaps[i]) != NULL);
			memset(b.data, 0xee, gaps[i]);
			buf_add(&b, gaps[i]);
			add_frame(&b, TYPE + 1, 20, 3); /* of another type: not wanted */
			add_frame(&b, TYPE, size, 4);
			fd = memory_file(&b);
			frame_reader_init(&r, fd, 0, LIMIT);
			cr_assert(eq(int, frame_reader_search(&r, 0, TYPE, TYPE, &budget), 1),
				  "gap %zu size %zu", gaps[i], size);
			cr_assert(eq(int, frame_reader_next(&r, &f, &offset), 1));
			cr_expect(eq(u64, offset, gaps[i] + frame_space(20)));
			cr_expect(
				eq(int, frame_reader_search(&r, r.offset, TYPE, TYPE, &budget), 0));
			cr_expect(eq(u64, r.offset, b.len), "nothing found, and the reader moved");
			frame_reader_done(&r);
		}
}

Test(framefile, a_file_that_looks_like_frames_everywhere_is_given_up)
{
	enum { SIZE = 8 << 20 };
	_cleanup_buf_ struct buf b = { 0 };
	_cleanup_close_ int fd = -1;
	uint64_t budget = 64 << 20;
	struct frame_reader r;
	uint8_t *p = buf_room(&b, SIZE);

	cr_assert(p != NULL);
	for (size_t i = 0; i < SIZE; i += 8)
		memcpy(p + i, (uint32_t[2]){ LIMIT - 1, TYPE }, 8);
	buf_add(&b, SIZE);
	fd = memory_file(&b);
	frame_reader_init(&r, fd, 0, LIMIT);
	cr_expect(eq(int, frame_reader_search(&r, 0, TYPE, TYPE, &budget), BULLA_ELIMIT));
	cr_expect(lt(u64, budget, LIMIT));
	cr_expect(eq(u64, r.offset, 0));
	frame_reader_done(&r);
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: tail_reader_*(), tail_rows_unpack(), row_decode(), contexts_*(), seeds_*(), over a whole file.
 *
 * Whatever the bytes are: reading ends; offsets only grow; rows unpack to what their head says or not at all; context
 * numbers lead to contexts whose chains end at the identity; records encode to the bytes that were read.  An odd first byte
 * has checksums made right.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bulla/error.h"
#include "fuzz/files.h"
#include "fuzz/fuzz.h"
#include "store/tail_reader.h"

FUZZ_HAS_ENTRANCE;

static void check_chain(const struct contexts *c, uint32_t number)
{
	unsigned steps = 0;

	assert(contexts_find(c, &c->at[number].hash) == number);
	for (int64_t i = number; i >= 0; i = c->at[i].parent) {
		assert(c->at[i].parent < i && steps++ <= CONTEXT_DEPTH_MAX);
		if (c->at[i].parent < 0)
			assert(i == 0);
	}
}

static void check_rows(const struct tail_reader *t, const struct tail_rows *rows)
{
	static struct field fields[FIELDS_MAX];
	static struct buf raw;
	struct row_state s = { 0 };
	uint32_t context, n = 0;
	struct entry e;
	struct rd r;

	if (tail_rows_unpack(rows, &raw) < 0)
		return;
	assert(raw.len == rows->raw_size);
	r = rd_of(raw.data, raw.len);
	while (row_decode(&s, &r, fields, &e, &context) > 0) {
		if (context < t->contexts.n)
			check_chain(&t->contexts, context);
		n++;
	}
	assert(n <= raw.len / ROW_SIZE_MIN);
	if (n > 0)
		fuzz_count_let_in();
}

static void check_record(const struct tail_batch *b)
{
	uint8_t bytes[TAIL_BATCH_SIZE];
	struct tail_batch again;
	struct wr w = wr_of(bytes, sizeof bytes);

	tail_batch_encode(b, &w);
	assert(!w.bad && w.len == sizeof bytes);
	assert(tail_batch_decode(bytes, w.len, &again) == 0);
	assert(again.batch_no == b->batch_no && again.entries == b->entries && b->entries > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tail_reader t;
	struct tail_item item;
	uint64_t last = 0;
	uint8_t *file;
	int fd, r;

	if (size == 0)
		return 0;
	file = files_copy(data + 1, size - 1, data[0] & 1);
	fd = memfd_create("tail", MFD_CLOEXEC);
	assert(fd >= 0);
	r = io_write(fd, file, size - 1);
	assert(r == 0);
	free(file);
	r = tail_reader_open_fd(&t, fd);
	while (r >= 0) {
		r = tail_reader_next(&t, &item);
		if (r > 0) {
			assert(item.offset >= last && item.offset < size);
			last = item.offset + 1;
			if (item.type == TAIL_ROWS)
				check_rows(&t, &item.rows);
			else if (item.type == TAIL_BATCH)
				check_record(&item.batch);
			else
				assert(t.frames.offset == item.hole.end &&
				       item.hole.end > item.offset);
		} else if (r == 0 || tail_reader_resync(&t) <= 0) {
			break;
		} else {
			assert(t.frames.offset >= last);
			last = t.frames.offset;
			r = 0;
		}
	}
	tail_reader_close(&t);
	return 0;
}

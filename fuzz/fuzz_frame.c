/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: frame_parse(), frame_finish().
 *
 * Whatever parses is finished again to the very bytes that were read.  A frame that parses says
 * ETRUNCATED (or looks like blank space) at every shorter length, and ELIMIT under a smaller
 * limit.  The input is a row of frames, as in a file.  An engine does not guess checksums: with
 * an odd first byte they are made right first.
 */

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/frame.h"
#include "bulla/error.h"
#include "fuzz/fuzz.h"

enum { LIMIT = 1 << 16 };

/* Give each frame in the row the checksum and padding that its content asks for. */
static void mend(uint8_t *p, size_t n)
{
	struct rd r = rd_of(p, n);

	for (;;) {
		uint8_t *at = p + (n - r.left);
		uint32_t size = rd_u32(&r), type = rd_u32(&r);

		if (r.bad || size > LIMIT || frame_space(size) > r.left + 8)
			return;
		frame_finish(at, type, size);
		rd_bytes(&r, frame_space(size) - 8);
	}
}

static void check_frame(const uint8_t *p, size_t space, const struct frame *f)
{
	uint8_t *again = malloc(space);
	struct frame unused;
	ssize_t r;

	assert(again);
	assert(f->type != 0);
	assert(f->payload == p + FRAME_HEADER_SIZE);
	assert(space == frame_space(f->size));
	memset(again, 0xee, space);
	memcpy(again + FRAME_HEADER_SIZE, f->payload, f->size);
	assert(frame_finish(again, f->type, f->size) == space);
	assert(memcmp(again, p, space) == 0);
	r = frame_parse(p, space - 1, LIMIT, &unused);
	assert(r == BULLA_ETRUNCATED);
	if (f->size > 0) {
		r = frame_parse(p, space, f->size - 1, &unused);
		assert(r == BULLA_ELIMIT);
	}
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame f;
	uint8_t *row;
	size_t at = 0;
	ssize_t r;

	if (size == 0)
		return 0;
	row = malloc(size);
	assert(row);
	memcpy(row, data + 1, size - 1);
	if (data[0] & 1)
		mend(row, size - 1);
	while ((r = frame_parse(row + at, size - 1 - at, LIMIT, &f)) > 0) {
		check_frame(row + at, (size_t) r, &f);
		at += (size_t) r;
		assert(at <= size - 1);
	}
	assert(r == 0 || r == BULLA_ETRUNCATED || r == BULLA_ELIMIT || r == BULLA_ECORRUPT);
	free(row);
	return 0;
}

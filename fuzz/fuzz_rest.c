/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: rest_write(), on an object of a lane that may hold anything.
 *
 * Byte 0: whether checksums are made right, and which batches stay.  The rest is the object.  A rest is blocks from end to
 * end, no longer than the object, without heads of batches that tell nothing; and rows that stay are where it says.
 */

#include "fuzz/fuzz.h"

#include <sys/mman.h>

#include "aggregator/lane.h"
#include "aggregator/rest.h"
#include "base/room.h"
#include "forwarder/wire.h"
#include "fuzz/files.h"

struct moves {
	uint8_t choice;
	uint64_t (*at)[2]; /* from, to */
	size_t n, cap;
};

static bool stays(void *arg, uint64_t offset)
{
	const struct moves *m = arg;

	return (offset / FRAME_ALIGN + m->choice) % 3 == 0;
}

static int moved(void *arg, uint64_t from, uint64_t to)
{
	struct moves *m = arg;

	if (!room_for(&m->at, m->n, &m->cap, sizeof *m->at))
		return -1;
	m->at[m->n][0] = from;
	m->at[m->n++][1] = to;
	return 0;
}

static int memory_file(const uint8_t *p, size_t n)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	int r = io_write(fd, p, n);

	assert(fd >= 0 && r == 0);
	return fd;
}

/* The frames of one block: whether a batch's head is followed by something, or says something itself. */
static void check_block(const uint8_t *p, size_t n)
{
	struct wire_batch head = { .absent = ABSENT_PRUNED };
	bool tells = true;

	for (size_t at = 0; at < n;) {
		struct frame f;
		ssize_t k = frame_parse(p + at, n - at, WIRE_RECORD_MAX, &f);

		assert(k > 0);
		at += (size_t) k;
		if (f.type == TAIL_CONTEXT || f.type == TAIL_SEED || f.type == TAIL_ROWS) {
			tells = true;
			continue;
		}
		assert(tells);
		if (f.type != WIRE_BATCH)
			continue;
		assert(wire_batch_decode(f.payload, f.size, &head) == 0);
		tells = head.absent != ABSENT_NOT || head.flags & WIRE_BATCH_ALL;
	}
	assert(tells);
}

static void check_rest(const uint8_t *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		struct lane_head head;
		struct frame f;
		ssize_t k = frame_parse(p + at, n - at, LANE_BLOCK_SIZE, &f);

		assert(k == LANE_HEAD_SPACE && f.type == LANE_REST && lane_head_decode(&f, &head));
		at += (size_t) k;
		assert(head.size <= n - at);
		check_block(p + at, head.size);
		at += head.size;
	}
}

static void check_moves(const struct moves *m, const uint8_t *object, size_t size,
			const uint8_t *rest, size_t n)
{
	for (size_t i = 0; i < m->n; i++) {
		struct frame a, b;
		uint64_t from = m->at[i][0], to = m->at[i][1];

		assert(frame_parse(object + from, size - from, WIRE_RECORD_MAX, &a) > 0);
		assert(frame_parse(rest + to, n - to, WIRE_RECORD_MAX, &b) > 0);
		assert(a.type == TAIL_ROWS && b.type == TAIL_ROWS && a.size == b.size &&
		       memcmp(a.payload, b.payload, a.size) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct moves m = { .choice = size > 0 ? data[0] / 2 : 0 };
	const struct rest x = { .stays = stays, .moved = moved, .arg = &m };
	_cleanup_close_ int from = -1, to = -1;
	uint8_t *object;
	int64_t n;

	if (size == 0)
		return 0;
	object = files_copy(data + 1, size - 1, data[0] & 1);
	from = memory_file(object, size - 1);
	to = memory_file(NULL, 0);
	n = rest_write(&x, from, size - 1, to);
	if (n > 0) {
		uint8_t *rest = malloc((size_t) n);

		assert(rest && (size_t) n <= size - 1);
		assert(io_pread(to, rest, (size_t) n, 0) == n);
		check_rest(rest, (size_t) n);
		check_moves(&m, object, size - 1, rest, (size_t) n);
		free(rest);
	}
	free(object);
	free(m.at);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: archive_live(), archive_follow_step(): unsealed rows from whoever reaches the port, to a follower.
 *
 * The input is frames without checksums, so that content is reached: u8 type, u16 size, payload.  They are sent twice, and
 * followed.  Whatever they are, no row is shown twice, and the follower goes on.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/archive-internal.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/frame.h"
#include "bulla/error.h"
#include "fuzz/fuzz.h"

static const struct id origin = { "an origin's id.." };

/* An archive without a disk that knows one origin. */
static struct archive *make_archive(void)
{
	struct archive *a = calloc(1, sizeof *a);
	struct held_origin *o = calloc(1, sizeof *o);

	assert(a && o);
	pthread_mutex_init(&a->lock, NULL);
	pthread_mutex_init(&a->founding, NULL);
	pthread_cond_init(&a->more, NULL);
	pthread_mutex_init(&o->lock, NULL);
	a->store.root = -1;
	for (unsigned i = 0; i < LANES; i++) {
		a->lane[i].fd = a->lane[i].prefix = a->segments[i] = -1;
		pthread_mutex_init(&a->lane[i].lock, NULL);
		pthread_cond_init(&a->lane[i].synced_more, NULL);
	}
	assert(archive_next_view(a, &(struct change){ .object = -1 }) == 0);
	o->id = origin;
	assert(archive_grow32(&a->origins, &a->origins_cap, 1, sizeof(struct held_origin *)) == 0);
	a->origins[a->n_origins++] = o;
	return a;
}

/* The input as a body.  @return how many rows its frames speak of. */
static uint64_t make_body(const uint8_t *data, size_t size, struct buf *to)
{
	struct rd rd = rd_of(data, size);
	struct tail_rows rows;
	uint64_t n_rows = 0;

	while (rd.left > 0) {
		uint8_t type = rd_u8(&rd);
		size_t n = rd_u16(&rd);
		const uint8_t *payload = rd_bytes(&rd, MIN_OF(n, rd.left));

		if (rd.bad)
			break;
		n = (size_t) (data + size - rd.left - payload);
		wire_frame(to, type, payload, n);
		if (type == TAIL_ROWS && tail_rows_decode(payload, n, &rows) == 0)
			n_rows += rows.count;
	}
	assert(!to->bad);
	return n_rows;
}

static int count_lines(void *arg, const void *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*(uint64_t *) arg += ((const char *) data)[i] == '\n';
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf body = { 0 };
	uint64_t shown = 0, n_rows = make_body(data, size, &body);
	struct archive *a = make_archive();
	struct follow_told told = { 0 };
	struct archive_follower *f;
	struct request request;
	struct answer answer;
	char why[256];

	assert(request_init(&request) == 0);
	assert(request_set(&request, "output", "json", why) == 0);
	request.follow = true;
	answer_init(&answer, &request, count_lines, &shown);
	assert(archive_follow(a, &answer, &f) == 0);
	for (int i = 0; i < 2; i++) {
		int r = archive_live(a, &origin, body.data, body.len);

		assert(r <= 0 && r != -ENOENT);
		assert(archive_follow_step(f, 0, &told) == 0);
	}
	assert(shown <= n_rows);
	/* Nothing was sealed that it could be held against, and nobody has waited. */
	assert(told.findings.len == 0 && told.doubts.len == 0);
	archive_unfollow(f);
	answer_done(&answer);
	request_done(&request);
	archive_close(a);
	return 0;
}

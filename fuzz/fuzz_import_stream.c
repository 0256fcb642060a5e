/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: import_stream_next() of frames.
 *
 * Frames give the same entries and the same end in whatever pieces they come, whatever they say; every name is lawful, and nothing is
 * beyond the limits.  The first two bytes say how it is cut.
 */

#include <stdlib.h>
#include <string.h>

#include "fuzz/entries.h"
#include "fuzz/fuzz.h"

struct result {
	struct buf text;
	int end;
	uint32_t omitted;
};

static void append_entry(void *arg, const struct import_entry *e)
{
	struct result *r = arg;

	entries_check(e);
	assert(e->realtime_us <= UINT64_MAX / 1000);
	assert(e->has_monotonic || e->monotonic_us == 0);
	entries_note(e, &r->text);
	r->omitted += e->n_omitted;
}

static void read_frames(const uint8_t *data, size_t n, uint32_t seed, struct result *ret)
{
	struct import_stream *s = calloc(1, sizeof *s);

	assert(s);
	s->framed = true;
	ret->end = entries_read(s, data, n, seed, append_entry, ret);
	import_stream_done(s);
	free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result whole = { 0 }, pieces = { 0 };

	if (size < 2)
		return 0;
	read_frames(data + 2, size - 2, 0, &whole);
	read_frames(data + 2, size - 2, 1u + data[0] + data[1] * 256u, &pieces);
	assert(whole.end == pieces.end && whole.omitted == pieces.omitted);
	assert(whole.text.len == pieces.text.len);
	assert(whole.text.len == 0 ||
	       memcmp(whole.text.data, pieces.text.data, whole.text.len) == 0);
	buf_done(&whole.text);
	buf_done(&pieces.text);
	return 0;
}

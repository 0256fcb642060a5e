/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: import_stream_next() of frames.
 *
 * Frames give the same entries and the same end in whatever pieces they come, whatever they say; every name is lawful, and nothing is
 * beyond the limits.  The first two bytes say how it is cut.
 */

#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "bulla/error.h"
#include "collector/import_stream.h"
#include "fuzz/fuzz.h"

struct result {
	struct buf text;
	int end;
	uint32_t omitted;
};

static void append_entry(struct result *r, const struct import_entry *e)
{
	size_t size = 0;

	assert(e->n_fields <= IMPORT_FIELDS_MAX && e->realtime_us <= UINT64_MAX / 1000);
	assert(e->has_monotonic || e->monotonic_us == 0);
	buf_append(&r->text, &e->realtime_us, sizeof e->realtime_us);
	buf_append(&r->text, &e->monotonic_us, sizeof e->monotonic_us);
	for (uint32_t i = 0; i < e->n_fields; i++) {
		const struct field *f = &e->fields[i];

		assert(f->name_len > 0);
		assert(!memchr(f->name, '\0', f->name_len) && !memchr(f->name, '=', f->name_len) &&
		       !memchr(f->name, '\n', f->name_len));
		assert(f->name_len < 2 || memcmp(f->name, "__", 2) != 0);
		size += f->name_len + f->value_len;
		buf_append(&r->text, f->name, f->name_len);
		buf_append(&r->text, &f->value_len, sizeof f->value_len);
		buf_append(&r->text, f->value, f->value_len);
	}
	assert(size <= IMPORT_SIZE_MAX);
	r->omitted += e->n_omitted;
}

static void read_frames(const uint8_t *data, size_t n, uint32_t seed, struct result *ret)
{
	struct import_stream *s = calloc(1, sizeof *s);
	struct import_entry e;
	size_t room, at = 0;
	int r = 0;

	assert(s);
	s->framed = true;
	while (at < n && r >= 0) {
		uint8_t *to = import_stream_room(s, &room);

		assert(to && room > 0);
		seed = seed * 1103515245u + 12345u;
		if (seed != 0)
			room = 1 + (seed >> 8) % (room < 300 ? room : 300);
		room = MIN_OF(room, n - at);
		memcpy(to, data + at, room);
		import_stream_fed(s, room);
		at += room;
		while ((r = import_stream_next(s, &e)) > 0)
			append_entry(ret, &e);
	}
	ret->end = r < 0 ? r : import_stream_end(s);
	assert(ret->end == 0 || ret->end == BULLA_EPARSE);
	assert((ret->end == 0) == !s->error);
	/* Once wrong, always wrong. */
	assert(ret->end == 0 || import_stream_next(s, &e) == BULLA_EPARSE);
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

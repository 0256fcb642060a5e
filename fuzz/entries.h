/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_FUZZ_ENTRIES_H
#define BULLA_FUZZ_ENTRIES_H

/** What targets share that read entries to be imported. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "bulla/error.h"
#include "collector/import_stream.h"

/* Every name is lawful, and nothing is beyond the limits. */
static inline void entries_check(const struct import_entry *e)
{
	size_t size = 0;

	assert(e->n_fields <= IMPORT_FIELDS_MAX);
	for (uint32_t i = 0; i < e->n_fields; i++) {
		const struct field *f = &e->fields[i];

		assert(f->name_len > 0);
		assert(!memchr(f->name, '\0', f->name_len) && !memchr(f->name, '=', f->name_len) &&
		       !memchr(f->name, '\n', f->name_len));
		assert(f->name_len < 2 || memcmp(f->name, "__", 2) != 0);
		size += f->name_len + f->value_len;
	}
	assert(size <= IMPORT_SIZE_MAX);
}

/* All that tells an entry from others. */
static inline void entries_note(const struct import_entry *e, struct buf *to)
{
	buf_append(to, &e->realtime_us, sizeof e->realtime_us);
	buf_append(to, &e->monotonic_us, sizeof e->monotonic_us);
	buf_append(to, &e->n_omitted, sizeof e->n_omitted);
	for (uint32_t i = 0; i < e->n_fields; i++) {
		const struct field *f = &e->fields[i];

		buf_append(to, f->name, f->name_len);
		buf_append(to, &f->value_len, sizeof f->value_len);
		buf_append(to, f->value, f->value_len);
	}
}

/* Read a stream in pieces, which `seed` says, and be told of each entry.  @return how it ends: 0 or BULLA_EPARSE, now and ever after. */
static inline int entries_read(struct import_stream *s, const uint8_t *data, size_t n,
			       uint32_t seed, void (*each)(void *arg, const struct import_entry *e),
			       void *arg)
{
	struct import_entry e;
	size_t room, at = 0;
	int r = 0;

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
			each(arg, &e);
	}
	if (r >= 0)
		r = import_stream_end(s);
	assert(r == 0 || r == BULLA_EPARSE);
	assert((r == 0) == !s->error);
	/* Once wrong, always wrong. */
	assert(r == 0 || import_stream_next(s, &e) == BULLA_EPARSE);
	return r;
}

#endif

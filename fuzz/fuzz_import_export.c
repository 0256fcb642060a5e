/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: export_next().
 *
 * A stream gives the same entries and the same end in whatever pieces it comes.  What comes out can be written again, and read
 * again, and is the same; every name is lawful, and nothing is beyond the limits.  The first two bytes say how it is cut.
 */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "bulla/error.h"
#include "collector/import_export.h"
#include "fuzz/fuzz.h"

struct result {
	struct buf text; /* the entries, as a stream again */
	int end;
	uint64_t offset;
	uint32_t omitted;
};

static void append_field(struct buf *to, const struct field *f)
{
	uint64_t size = f->value_len;

	buf_append(to, f->name, f->name_len);
	buf_char(to, '\n');
	buf_append(to, &size, sizeof size);
	buf_append(to, f->value, f->value_len);
	buf_char(to, '\n');
}

static void append_entry(struct result *r, const struct import_entry *e)
{
	size_t size = 0;

	assert(e->n_fields <= IMPORT_FIELDS_MAX);
	buf_printf(&r->text, "__REALTIME_TIMESTAMP=%llu\n", (unsigned long long) e->realtime_us);
	if (e->has_monotonic)
		buf_printf(&r->text, "__MONOTONIC_TIMESTAMP=%llu\n",
			   (unsigned long long) e->monotonic_us);
	for (uint32_t i = 0; i < e->n_fields; i++) {
		const struct field *f = &e->fields[i];

		assert(f->name_len > 0);
		assert(!memchr(f->name, '\0', f->name_len) && !memchr(f->name, '=', f->name_len) &&
		       !memchr(f->name, '\n', f->name_len));
		assert(f->name_len < 2 || memcmp(f->name, "__", 2) != 0);
		size += f->name_len + f->value_len;
		append_field(&r->text, f);
	}
	assert(size <= IMPORT_SIZE_MAX);
	r->omitted += e->n_omitted;
	buf_char(&r->text, '\n');
}

static void parse(const uint8_t *data, size_t n, uint32_t seed, struct result *ret)
{
	struct export_parser *p = calloc(1, sizeof *p);
	struct import_entry e;
	size_t room, at = 0;
	int r = 0;

	assert(p);
	while (at < n && r >= 0) {
		uint8_t *to = export_room(p, &room);

		assert(to && room > 0);
		seed = seed * 1103515245u + 12345u;
		if (seed != 0)
			room = 1 + (seed >> 8) % (room < 300 ? room : 300);
		if (room > n - at)
			room = n - at;
		memcpy(to, data + at, room);
		export_fed(p, room);
		at += room;
		while ((r = export_next(p, &e)) > 0)
			append_entry(ret, &e);
	}
	ret->end = r < 0 ? r : export_end(p);
	ret->offset = p->error_at;
	assert(ret->end == 0 || ret->end == BULLA_EPARSE);
	assert((ret->end == 0) == !p->error);
	assert(p->offset <= n);
	/* Once wrong, always wrong. */
	assert(ret->end == 0 || export_next(p, &e) == BULLA_EPARSE);
	export_done(p);
	free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result whole = { 0 }, pieces = { 0 }, again = { 0 };

	if (size < 2)
		return 0;
	parse(data + 2, size - 2, 0, &whole);
	parse(data + 2, size - 2, 1u + data[0] + data[1] * 256u, &pieces);
	assert(whole.end == pieces.end && whole.offset == pieces.offset);
	assert(whole.omitted == pieces.omitted);
	assert(whole.text.len == pieces.text.len);
	assert(whole.text.len == 0 ||
	       memcmp(whole.text.data, pieces.text.data, whole.text.len) == 0);
	parse(whole.text.data, whole.text.len, 0, &again);
	assert(again.end == 0 && again.omitted == 0 && again.text.len == whole.text.len);
	assert(again.text.len == 0 ||
	       memcmp(again.text.data, whole.text.data, again.text.len) == 0);
	buf_done(&whole.text);
	buf_done(&pieces.text);
	buf_done(&again.text);
	return 0;
}

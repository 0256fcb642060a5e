/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: export_next(), through import_stream_next().
 *
 * A stream gives the same entries and the same end in whatever pieces it comes.  What comes out can be written again, and read
 * again, and is the same; every name is lawful, and nothing is beyond the limits.  The first two bytes say how it is cut.
 */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/entries.h"
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

static void append_entry(void *arg, const struct import_entry *e)
{
	struct result *r = arg;

	entries_check(e);
	buf_printf(&r->text, "__REALTIME_TIMESTAMP=%llu\n", (unsigned long long) e->realtime_us);
	if (e->has_monotonic)
		buf_printf(&r->text, "__MONOTONIC_TIMESTAMP=%llu\n",
			   (unsigned long long) e->monotonic_us);
	for (uint32_t i = 0; i < e->n_fields; i++)
		append_field(&r->text, &e->fields[i]);
	r->omitted += e->n_omitted;
	buf_char(&r->text, '\n');
}

static void parse(const uint8_t *data, size_t n, uint32_t seed, struct result *ret)
{
	struct import_stream *s = calloc(1, sizeof *s);

	assert(s);
	ret->end = entries_read(s, data, n, seed, append_entry, ret);
	ret->offset = s->error_at;
	assert((ret->end == 0) == !s->text.error);
	assert(s->text.offset <= n);
	import_stream_done(s);
	free(s);
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

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: import_json_line().
 *
 * What a line becomes is a stream in the export format with that one entry, whatever the line was; a line that is refused
 * becomes nothing, and it is said why.  The same line becomes the same once more, and in frames the same entry.
 */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"
#include "collector/import_json.h"
#include "fuzz/entries.h"
#include "fuzz/fuzz.h"

/* @return how many entries a stream has. */
static size_t read_stream(const struct buf *text, bool framed, struct buf *ret)
{
	struct import_stream *s = calloc(1, sizeof *s);
	struct import_entry e;
	size_t room, entries = 0;

	assert(s);
	s->framed = framed;
	for (size_t at = 0; at < text->len; at += room) {
		uint8_t *to = import_stream_room(s, &room);
		int r;

		assert(to);
		if (room > text->len - at)
			room = text->len - at;
		memcpy(to, text->data + at, room);
		import_stream_fed(s, room);
		for (; (r = import_stream_next(s, &e)) > 0; entries++)
			entries_note(&e, ret);
		assert(r == 0);
	}
	assert(import_stream_end(s) == 0);
	import_stream_done(s);
	free(s);
	return entries;
}

/* Twice, so that the names and values of the second are known from the first. */
static void check_frames(const uint8_t *data, size_t size, const struct buf *text)
{
	struct import_json *j = import_json_new(true);
	struct buf frames = { 0 }, want = { 0 }, have = { 0 };
	char error[160];

	assert(j);
	for (int i = 0; i < 2; i++)
		assert((import_json_line(j, data, size, &frames, error) == 0) || frames.len == 0);
	assert(read_stream(text, false, &want) == read_stream(&frames, true, &have));
	assert(want.len == have.len);
	assert(want.len == 0 || memcmp(want.data, have.data, want.len) == 0);
	buf_done(&frames);
	buf_done(&want);
	buf_done(&have);
	import_json_free(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct import_json *j = import_json_new(false);
	struct buf text = { 0 }, entries = { 0 };
	char error[160] = "";
	size_t first;
	int r;

	assert(j);
	r = import_json_line(j, data, size, &text, error);
	assert(r == 0 || r == BULLA_EPARSE);
	assert(r == 0 || (text.len == 0 && error[0] != '\0' && memchr(error, '\0', sizeof error)));
	assert(read_stream(&text, false, &entries) == (text.len > 0));
	/* Once more, with all names known. */
	first = text.len;
	assert(import_json_line(j, data, size, &text, error) == r);
	assert(text.len == 2 * first);
	assert(first == 0 || memcmp(text.data, text.data + first, first) == 0);
	check_frames(data, size, &text);
	buf_done(&text);
	buf_done(&entries);
	import_json_free(j);
	return 0;
}

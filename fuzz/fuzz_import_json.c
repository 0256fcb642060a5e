/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: import_json_line().
 *
 * What a line becomes is a stream in the export format with that one entry, whatever the line was; a line that is refused
 * becomes nothing, and it is said why.  The same line becomes the same once more.
 */

#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"
#include "collector/import_export.h"
#include "collector/import_json.h"
#include "fuzz/fuzz.h"

static void check_stream(const struct buf *text)
{
	struct export_parser *p = calloc(1, sizeof *p);
	struct import_entry e;
	size_t room, entries = 0;

	assert(p);
	for (size_t at = 0; at < text->len; at += room) {
		uint8_t *to = export_room(p, &room);
		int r;

		assert(to);
		if (room > text->len - at)
			room = text->len - at;
		memcpy(to, text->data + at, room);
		export_fed(p, room);
		while ((r = export_next(p, &e)) > 0)
			entries++;
		assert(r == 0);
	}
	assert(export_end(p) == 0);
	assert(entries == (text->len > 0));
	export_done(p);
	free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct import_json *j = import_json_new();
	struct buf text = { 0 };
	char error[160] = "";
	size_t first;
	int r;

	assert(j);
	r = import_json_line(j, data, size, &text, error);
	assert(r == 0 || r == BULLA_EPARSE);
	assert(r == 0 || (text.len == 0 && error[0] != '\0' && memchr(error, '\0', sizeof error)));
	check_stream(&text);
	/* Once more, with all names known. */
	first = text.len;
	assert(import_json_line(j, data, size, &text, error) == r);
	assert(text.len == 2 * first);
	assert(first == 0 || memcmp(text.data, text.data + first, first) == 0);
	buf_done(&text);
	import_json_free(j);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_IMPORT_JSON_INTERNAL_H
#define BULLA_COLLECTOR_IMPORT_JSON_INTERNAL_H

/** What the parts of it share: import_json.c reads a line, import_json_write.c writes the entry that it was. */

#include "collector/import_json.h"
#include "collector/import_json_names.h"
#include "collector/import_json_text.h"
#include "collector/import_stream.h"

enum {
	JSON_BITS = 64, /* of a word */
	JSON_COPY = 32, /* bytes that are copied at once, though fewer are meant */
};

/** How a name is told that has no number in the stream. */
enum json_told {
	JSON_UNTOLD,	       /* yet */
	JSON_TOLD_NOT = 254,   /* it is left out, or told in another way */
	JSON_NEVER_TOLD = 255, /* an entry that has it is not brief */
};

struct json_member {
	struct json_slice name, value;
	enum json_kind { TEXT, BYTES, WORD, OMITTED, LIST } kind;
	uint32_t items; /* of a list: the members behind it */
	int number;	/* of its name, or -1 */
	uint8_t nature; /* of its name */
};

struct import_json {
	struct json_names names;
	struct json_member *members;
	uint32_t n, cap;
	uint32_t strangers;			   /* members whose names have no number */
	uint32_t known[JSON_NAMES_MAX];		   /* member of each name... */
	uint64_t here[JSON_NAMES_MAX / JSON_BITS]; /* ...that is here */
	uint64_t realtime_us, monotonic_us;
	struct buf decoded, special;
	const char *wrong; /* with what is JSON, but no entry */
	bool framed;
	struct stream_names told;
	uint8_t told_as
		[JSON_NAMES_MAX]; /* number + 1 of a name in `told`, or one of enum json_told */
	bool untold, never_told;  /* whether a member is told as the first, the last of these */
};

/** Whether something stands where strings with escapes, and lists of bytes, are decoded to. */
static inline bool is_decoded(const struct import_json *j, const uint8_t *p)
{
	return p >= j->decoded.data && p < j->decoded.data + j->decoded.cap;
}

/** The member behind one, and behind what it is a list of. */
static inline uint32_t next_member(const struct import_json *j, uint32_t i)
{
	return i + 1 + (j->members[i].kind == LIST ? j->members[i].items : 0);
}

/** The member whose name has this number, or NULL. */
static inline const struct json_member *import_json_known(const struct import_json *j,
							  uint32_t name)
{
	bool here = j->here[name / JSON_BITS] >> (name % JSON_BITS) & 1;

	return here ? &j->members[j->known[name]] : NULL;
}

/** Append what was read as an export stream.  `line_end`: so far the line can be read.  @return 0; -ENOMEM. */
_must_check_ int import_json_write_entry(struct import_json *j, const uint8_t *line_end,
					 struct buf *to);
/** Likewise in a frame, brief if it can be. */
_must_check_ int import_json_write_frame(struct import_json *j, const uint8_t *line,
					 const uint8_t *line_end, struct buf *to);

#endif

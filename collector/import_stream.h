/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_IMPORT_STREAM_H
#define BULLA_COLLECTOR_IMPORT_STREAM_H

/**
 * How the child that reads JSON hands entries to its parent.  Both are of one program, and nothing of it is ever kept.
 *
 *	frame   u32 size | IS_BRIEF, so many bytes: of an export stream, or a brief entry, which begins where none is open
 *	brief   u64 realtime, varint 1 + monotonic or 0, fields
 *	field   u8 2 * number of the name, varint n, n bytes; or u8 2 * number + 1, for the value that was told of this name last;
 *	        or u8 NEW_NAME, u8 n, n bytes, for a name that has the next number from here on
 *
 * What most entries have, and the values that they share with the one before, are few bytes so.  A name comes once in a brief entry.
 * Values of more than VALUE_KEPT bytes are never told of again.
 *
 * The parent believes none of it: a brief entry is within the limits of export_next(), and the memory for names and values is fixed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/buf.h"
#include "collector/import_export.h"

enum {
	STREAM_NAMES_MAX = 120, /* that are known by number */
	STREAM_NAME_SIZE_MAX = 64,
	STREAM_VALUE_KEPT = 255,
	STREAM_BRIEF_MAX = 64 << 10,
	STREAM_HEAD_MAX = 4 + 8 + 10,	    /* of a brief entry, with its frame's */
	STREAM_FIELD_MORE = 1 + 10 + 1 + 1, /* beside value and name */
};

/** A name, and the value that was told last. */
struct stream_name {
	uint8_t len, value_len;
	bool has_value;
	uint8_t name[STREAM_NAME_SIZE_MAX];
	uint8_t value[STREAM_VALUE_KEPT];
};

struct stream_names {
	struct stream_name at[STREAM_NAMES_MAX];
	uint32_t n;
};

/* The child's. */

/** A brief entry on its way; whoever begins has made room for all of it. */
struct stream_writer {
	struct stream_names *names;
	uint8_t *begin, *to;
};

/** Whether a name can be known by number. */
bool stream_is_name(const uint8_t *p, size_t n);
void stream_begin(struct stream_writer *w, uint8_t *to, struct stream_names *names,
		  uint64_t realtime_us, bool has_monotonic, uint64_t monotonic_us);
/** Give the next name its number, for which stream_is_name() and there is room. */
void stream_put_name(struct stream_writer *w, const uint8_t *p, size_t n);
void stream_put_field(struct stream_writer *w, uint32_t number, const uint8_t *p, size_t n);
/** @return bytes, of an entry that has no more than STREAM_BRIEF_MAX. */
size_t stream_end(struct stream_writer *w);
/** Begin a frame of an export stream, behind what is there.  @return where it begins. */
size_t stream_begin_text(struct buf *to);
/** End it; nothing failed meanwhile. */
void stream_end_text(struct buf *to, size_t from);

/* The parent's. */

struct import_stream {
	struct export_parser text; /* of what is no brief entry; of all where there are no frames */
	bool framed;
	struct buf in; /* frames that are not read yet... */
	size_t at;     /* ...from here on */
	uint32_t text_left;
	struct stream_names names;
	struct import_known known[STREAM_NAMES_MAX];
	struct field field[STREAM_NAMES_MAX];
	uint8_t number[STREAM_NAMES_MAX];	     /* of the name of each */
	uint64_t here[(STREAM_NAMES_MAX + 63) / 64]; /* bits of names */
	const char *error;
	uint64_t error_at;
};

void import_stream_done(struct import_stream *s);
/** The calls of an export_parser; the errors are here, too. */
uint8_t *import_stream_room(struct import_stream *s, size_t *ret_n);
void import_stream_fed(struct import_stream *s, size_t n);
_must_check_ int import_stream_next(struct import_stream *s, struct import_entry *ret);
_must_check_ int import_stream_end(struct import_stream *s);

#endif

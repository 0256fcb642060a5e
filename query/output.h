/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_OUTPUT_H
#define BULLA_QUERY_OUTPUT_H

/**
 * Entries as text, in journalctl's formats.
 *
 * Output is appended to a buffer, batches at a time; whoever owns the buffer writes it out.  No format allocates per entry
 * once the buffer has grown.
 */

#include <stdbool.h>

#include "base/attr.h"
#include "base/buf.h"
#include "query/shown.h"

enum output_format {
	OUTPUT_SHORT,	  /* Nov 23 19:34:01 host identifier[pid]: message */
	OUTPUT_SHORT_ISO, /* 2026-11-23T19:34:01+0000 host ... */
	OUTPUT_JSON,	  /* one object a line, values as strings, bytes that are not UTF-8 as arrays of numbers */
	OUTPUT_EXPORT,	  /* systemd's Journal Export Format */
	OUTPUT_CAT,	  /* the message alone */
	OUTPUT_VERBOSE,	  /* time, cursor, all fields */
};

/** @return the format of a name as -o takes it, or -EINVAL. */
_must_check_ int output_format_parse(const char *name);
/** The media type that an HTTP answer in this format has. */
const char *output_content_type(enum output_format format);

struct output {
	enum output_format format;
	bool colour;
	bool utc;
	bool all; /* show unprintable messages as they are in the short formats, instead of "[12B blob data]" */
	/* Kept between entries: a split line's pieces are joined in cat. */
	bool piece_open;
	struct id piece_journal;
	uint64_t piece_next_seq;
	/* Kept between entries: the second that the time text below is of. */
	int64_t cached_second;
	char cached_time[40];
};

/** Append one entry. */
void output_entry(struct output *o, const struct shown *s, struct buf *to);
/** Append what must stand at the very end (the newline of a line that cat left open). */
void output_end(struct output *o, struct buf *to);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_OUTPUT_H
#define BULLA_QUERY_OUTPUT_H

/**
 * Entries as text, in journalctl's formats.
 *
 * Output is appended to a buffer, batches at a time; whoever owns the buffer writes it out.  No format allocates per entry
 * once the buffers have grown.
 *
 * What the fields of a context chain look like is kept and copied into the next entry of the same context, which is where
 * the speed comes from: most entries share theirs with thousands of others.
 */

#include <stdbool.h>

#include "base/attr.h"
#include "base/buf.h"
#include "query/shown.h"

enum output_format {
	OUTPUT_SHORT,	  /* Nov 23 19:34:01 host identifier[pid]: message */
	OUTPUT_SHORT_ISO, /* 2026-11-23T19:34:01+0000 host ... */
	OUTPUT_JSON, /* one object a line, values as strings, bytes that are not UTF-8 (or hold a NUL) as arrays of numbers */
	OUTPUT_EXPORT,	/* systemd's Journal Export Format */
	OUTPUT_CAT,	/* the message alone */
	OUTPUT_VERBOSE, /* time, cursor, all fields */
};

/** @return the format of a name as -o takes it, or -EINVAL. */
_must_check_ int output_format_parse(const char *name);
/** Whether a format tells of an entry whether it is sealed, so that somebody has to find out. */
bool output_tells_seals(enum output_format format);
/** The media type that an HTTP answer in this format has. */
const char *output_content_type(enum output_format format);

struct output_cache;

/** Start with all zero but the options; end with output_done().  Format and zone stay as they are between entries. */
struct output {
	enum output_format format;
	bool colour;
	bool utc;
	bool all; /* show unprintable messages as they are in the short formats, instead of "[12B blob data]" */
	/* Kept between entries: a split line's pieces are joined in cat. */
	bool piece_open;
	struct id piece_journal;
	uint64_t piece_next_seq;
	uint32_t piece_context;
	/* Kept between entries: the second that the time text below is of. */
	int64_t cached_second;
	char cached_time[40];
	/* Kept between entries: context chains as text, and room for fields being sorted. */
	struct output_cache *cache; /* owned; NULL before the first entry */
};

/** Free what is kept. */
void output_done(struct output *o);
/**
 * Forget all context chains: to be called before a table of contexts that entries were shown with is freed, for another
 * may get its address.
 */
void output_forget_contexts(struct output *o);

/**
 * Append one entry.  Out of memory shows as `to->bad`.
 *
 * Fields of the entry that are named as the reserved ones are not shown: names beginning with two underscores, _BOOT_ID,
 * and _SOURCE_REALTIME_TIMESTAMP when the entry's time is the sender's or the runtime's.
 */
void output_entry(struct output *o, const struct shown *s, struct buf *to);
/** Append what must stand at the very end (the newline of a line that cat left open). */
void output_end(struct output *o, struct buf *to);

#endif

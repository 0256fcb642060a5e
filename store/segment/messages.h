/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_MESSAGES_H
#define BULLA_STORE_SEGMENT_MESSAGES_H

/**
 * The messages of a row group as columns: which template each has, and a column for each variable of each template.
 *
 *	templates  a column with one number a row: 0 for a message kept whole, else 1 + the place among the group's templates
 *	variables  varint n, n * (varint template of the segment, varint rows, for each slot varint size and its stamp)
 *	numbers    columns of digits and times,
 *	packed     of addresses, uuids and hexadecimal words,
 *	words      of other words; each stream in the order of templates and slots
 *	whole      the messages without a template, a column of strings
 *
 * A stamp tells a searcher what a column cannot hold: varint least and greatest length.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "store/segment/template.h"
#include "store/segment/template_set.h"

enum stream { STREAM_NUMBERS, STREAM_PACKED, STREAM_WORDS, STREAMS };

/** Which stream has the columns of a kind of variable. */
static inline enum stream stream_of(uint8_t kind)
{
	if (kind == VARIABLE_DIGITS || kind == VARIABLE_TIME)
		return STREAM_NUMBERS;
	return kind == VARIABLE_WORD || kind == VARIABLE_PATH || kind == VARIABLE_NAME
		       ? STREAM_WORDS
		       : STREAM_PACKED;
}

/** Whether a kind of variable has a stamp. */
static inline bool has_stamp(uint8_t kind)
{
	return kind != VARIABLE_TIME && kind != VARIABLE_IPV4 && kind != VARIABLE_UUID;
}

enum {
	TEMPLATES_MAX = 1 << 20, /* of a segment */
	TEMPLATES_PART_SIZE = 16 << 10,
	TEMPLATES_SIZE_MAX = 64 << 20, /* of all parts, raw */
	PART_SIZE = 256 << 10,	       /* after which a stream is cut before the next column */
	ROWS_MIN = 2,		       /* of a template in a group; rarer messages are kept whole */
	MESSAGE_SLACK = 16, /* bytes behind a message that may be read; they mean nothing */
};

/* Forms of columns of digits. */
enum digits_form { DIGITS_PLAIN, DIGITS_WIDTH, DIGITS_PREFIXED };
enum time_form { TIME_TO_ENTRY, TIME_ALONE };
enum packed_form { PACKED_HALVES, PACKED_TEXT };

/** The streams and blocks of one group, raw. */
struct message_blocks {
	struct buf templates, variables, whole;
	struct buf stream[STREAMS];
	/* Where a stream is cut; the last cut is its end. */
	uint32_t *cut[STREAMS]; /* owned */
	size_t n_cuts[STREAMS], cuts_cap[STREAMS];
};

void message_blocks_done(struct message_blocks *b);

/** Messages of one group being gathered. */
struct messages {
	struct templates seen; /* of the group; those that are used become the segment's */
	uint32_t *template_of; /* owned, per row: number in `seen` + 1, or 0 */
	uint32_t *first;       /* owned, per row: its first variable */
	struct text *whole;    /* owned, per row: the message */
	size_t rows, rows_cap;
	struct variable *variables; /* owned */
	size_t n_variables, variables_cap;
	struct timetext_base base;
	struct taken taken; /* scratch */
	struct strings_scratch scratch;
};

void messages_done(struct messages *m);
/** Forget the group, keep the memory. */
void messages_clear(struct messages *m);
/** Take the message of the next row; its bytes, and MESSAGE_SLACK more to be read, live until messages_encode().  @return 0 or -ENOMEM. */
_must_check_ int messages_add(struct messages *m, const uint8_t *p, size_t n, uint64_t time_ns);
/** Make the group's blocks; `times` are those of its rows.  @return 0 or -ENOMEM. */
_must_check_ int messages_encode(struct messages *m, struct templates *of_segment,
				 const uint64_t *times, struct message_blocks *ret);

#endif

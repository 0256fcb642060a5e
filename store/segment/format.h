/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_FORMAT_H
#define BULLA_STORE_SEGMENT_FORMAT_H

/**
 * The segment file: every constant and limit of it, and nothing else.  docs/format.md, "Segments", is the law.
 *
 *	magic | u32 compatible | u32 incompatible flags | blocks | footer block | trailer
 *
 *	trailer  u64 offset of the footer | u32 stored | u32 raw size | u32 crc32c of what is stored | magic
 *	footer   varint length, tenant | varint n, n * (id of an origin | varint first | varint end of its commits | u64 time of the first
 *	         | u64 time of the last that has a batch here)
 *	         | 2 refs: journals, seeds | varint n, n * (varint templates | ref) | varint n, n groups | varint n, n windows
 *	ref      varint offset | varint stored | varint raw | u32 crc32c of what is stored
 *	window   varint its groups | varint s, seconds, or 0 | where not 0: varint first time / s | varint n, n * varint rows of such s
 *	group    varint rank of its first journal | varint ranks to its last | varint rows | varint batches
 *	         | u64 time_min | u64 time_max | varint offset
 *	         | varint n, n * (u8 kind | varint stored | varint raw | u32 crc32c), one behind the other from the offset on
 *	         | ref of its tokens; its offset is 0 where it has none
 *
 * A block that is stored in fewer bytes than it has is one zstd frame.
 */

#include <stdint.h>

#define SEGMENT_MAGIC  "BULLASG1"
#define SEGMENT_SUFFIX ".segment"

enum block_kind {
	BLOCK_BATCHES =
		1, /* columns: journal, commit, entries, flags, zigzag mono_offset; per journal batch_no, seq */
	BLOCK_ROWS = 2,	     /* columns: context, priority, flags */
	BLOCK_TIMES = 3,     /* columns: time, zigzag received - time */
	BLOCK_FIELDS = 4,    /* the entries' own fields */
	BLOCK_TEMPLATES = 5, /* messages.h has this and the following */
	BLOCK_VARIABLES = 6,
	BLOCK_NUMBERS = 7,
	BLOCK_PACKED = 8,
	BLOCK_WORDS = 9,
	BLOCK_WHOLE = 10,
	BLOCK_TOKENS = 11, /* has a ref of its own */
};

enum {
	SEGMENT_HEADER_SIZE = 8 + 4 + 4,
	SEGMENT_TRAILER_SIZE = 8 + 4 + 4 + 4 + 8,
	WINDOW_ROWS = 128 << 10, /* a window ends with the commit that fills it */
	WINDOW_BYTES = 32 << 20,
	LAST_ROWS = 4 << 10,	   /* the last one has no more than it takes to have these */
	GROUP_ROWS = 8 << 10,	   /* a group of it ends with the app that fills it */
	COUNTS_RARE = 16,	   /* there are so many rows at least for each count of a window */
	WINDOW_ROWS_MAX = 1 << 22, /* what one commit may add to that, and then some */
	GROUP_BLOCKS_MAX = 1 << 14,
	WINDOW_SIZE_MAX = 256 << 20, /* of all blocks of a window, raw */
	GROUPS_MAX = 1 << 16,	     /* of a segment */
	GROUP_VARIABLES_MAX = 1 << 24,
	WINDOW_VALUES_MAX = 2 * GROUP_VARIABLES_MAX, /* fields of its entries, and variables */
	BLOCK_SIZE_MAX = 64 << 20,		     /* raw */
	SEGMENT_JOURNALS_MAX = 1 << 20,
	SEGMENT_CONTEXTS_SIZE_MAX = 64 << 20, /* of all leaves of its journals */
	SEGMENT_ORIGINS_MAX = 1 << 16,
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_FORMAT_H
#define BULLA_STORE_FORMAT_H

/**
 * The tail file: every constant and limit of it, and nothing else.  docs/format.md, "Tails", is the law.
 *
 * A tail is a file of frames (base/frame.h): one header, then contexts, seeds, rows and batches as they came.
 *
 *	header   magic | u32 compatible | u32 incompatible flags | journal[16] | boot[16] | u64 first batch | u64 first seq
 *	context  one context leaf (seal/statement.h); they are numbered from 0, number 0 is the journal's identity
 *	seed     u64 first batch | seed[32]
 *	rows     u64 first seq | u32 count | u32 raw size | u64 time_min | u64 time_max | u8 codec and flags
 *	         | u8 n, n * (u8 channel, u64 consumed) | rows, compressed
 *	batch    u64 batch_no | u32 entries | i64 mono_offset | root[32]
 *	row      varint context | varint flags << 3 | priority | zigzag time - the row before's | zigzag received - time
 *	         | varint len, message | varint n, n * (u8 len, name, varint len, value)
 */

#include <stdint.h>

#include "seal/statement.h"

#define TAIL_MAGIC  "BULLATL1"
#define TAIL_SUFFIX ".tail"

enum tail_record {
	TAIL_HEADER = 0x11,
	TAIL_CONTEXT = 0x12,
	TAIL_SEED = 0x13,
	TAIL_ROWS = 0x14,
	TAIL_BATCH = 0x15,
	TAIL_HOLE = 0x16,
};

enum rows_codec { ROWS_RAW = 0, ROWS_LZ4 = 1 };

/** Set beside the codec when a row of the frame has fields of its own, so that contexts do not tell all. */
#define ROWS_OWN_FIELDS 0x80

enum {
	TAIL_NAME_SIZE = 2 * ID_SIZE + 5 + 1,
	TAIL_HEADER_SIZE = 8 + 4 + 4 + ID_SIZE + ID_SIZE + 8 + 8,
	TAIL_SEED_RECORD_SIZE = 8 + SEED_SIZE,
	TAIL_BATCH_SIZE = 8 + 4 + 8 + HASH_SIZE,
	TAIL_HOLE_SIZE = 8 + 8 + 8,
	CHANNELS_MAX = 4,     /* sources of one journal: stdout, stderr, the collector itself */
	CONTEXTS_MAX = 65536, /* in one tail... */
	CONTEXTS_SIZE_MAX = 32 << 20, /* ...and bytes of their leaves */
	CONTEXT_DEPTH_MAX = 16,	      /* parents of a context */
	ROWS_HEADER_MAX = 8 + 4 + 4 + 8 + 8 + 1 + 1 + CHANNELS_MAX * 9,
	/* Rows of one frame: one entry of the largest size and its frills. */
	ROWS_RAW_MAX = ENTRY_SIZE_MAX + (1 << 20),
	ROW_SIZE_MIN = 6,
	BATCH_ENTRIES_MAX = 1 << 24,
	/* Bytes of what a crash may leave unsealed: one batch that was cut, and one that filled. */
	RECOVERED_SIZE_MAX = BATCH_SIZE_MAX + ENTRY_SIZE_MAX,
	/* Of a payload; lz4 grows what it cannot compress by one byte in 255. */
	TAIL_RECORD_MAX = ROWS_RAW_MAX + ROWS_RAW_MAX / 255 + 16 + ROWS_HEADER_MAX,
	TAIL_ALLOCATE_STEP_MIN = 64 << 10,
	TAIL_ALLOCATE_STEP_MAX = 4 << 20,
	/* Kept free of rows: for the batch record and the seed of what is there, and a few words about what is not. */
	TAIL_RESERVE = 8 << 10,
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_TRACE_H
#define BULLA_TESTS_TRACE_H

/**
 * A write trace: what processes did to the files below one directory, in the order in which it was done.
 *
 * trace_shim.c writes it, appending one record per call, after the call; crash_sim.c replays it.  Files are named by their
 * inode, so that renames and unlinked files are no riddle.
 */

#include <stdint.h>

enum trace_op {
	TRACE_ROOT = 1, /* ino: the directory itself, as it was when the trace began: empty */
	TRACE_CREATE,	/* dir, name, ino */
	TRACE_MKDIR,	/* dir, name, ino */
	TRACE_WRITE,	/* ino, offset, data */
	TRACE_TRUNCATE, /* ino, offset: the new size */
	TRACE_ALLOCATE, /* ino, offset: the size at least */
	TRACE_SYNC,	/* ino: a file or directory, fsync or fdatasync */
	TRACE_LINK,	/* dir, name, ino */
	TRACE_UNLINK,	/* dir, name */
	TRACE_RENAME,	/* dir, name; ino: the other directory; data: the other name */
	TRACE_MARK,	/* data: words of whoever records */
};

/** Followed by the name and the data. */
struct trace_record {
	uint32_t size; /* of all */
	uint32_t op;
	uint64_t ino, dir, offset;
	uint32_t name_len, data_len;
};

/** Environment: the directory to watch, and the file to append to. */
#define TRACE_DIR  "BULLA_TRACE_DIR"
#define TRACE_FILE "BULLA_TRACE_FILE"

#endif

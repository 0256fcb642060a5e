/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_DISK_H
#define BULLA_TESTS_DISK_H

/**
 * A disk that stops, fails, tears and forgets.
 *
 * Linked into a test, this module takes the place of the C library's calls that change files (pwrite, ftruncate,
 * fallocate, openat that creates, linkat, unlinkat, renameat, renameat2, fdatasync, fsync).  Each is a *step*, counted from 0.  It
 * keeps what was there before for everything that was not synced, so that a power cut can take it back.
 */

#include <stdbool.h>
#include <stddef.h>

/** What of the unsynced changes a power cut leaves. */
enum disk_cut {
	CUT_KEEPS_ALL,
	CUT_LOSES_ALL,
	CUT_TEARS_LAST,	      /* the first half of the last write is there */
	CUT_TEARS_LAST_FIRST, /* the second half of the last write is there */
	CUT_TEARS_ALL,	      /* of every write the first half is there */
	N_CUTS,
};

/** Begin to count, with a disk that works. */
void disk_begin(void);
/** Steps from this one on have no effect and fail with EIO: the machine is dead. */
void disk_stop_at(size_t step);
/**
 * `n` steps from this one on fail with `error`; of a write half the bytes arrive.  What a sync that fails should have made
 * durable no later sync does, unless it is written again: so Linux has it.
 */
void disk_fail_at(size_t step, size_t n, int error);
/** Every fallocate from now on fails with ENOSPC. */
void disk_is_full(bool full);
/** @return how many steps there were. */
size_t disk_steps(void);
/** Whether a write that was repeated after a failure had other bytes than before. */
bool disk_saw_other_bytes(void);
/** Let the power fail: take back what was not synced. */
void disk_cut(enum disk_cut how);
/** Stop counting; forget everything. */
void disk_end(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_CRASH_TRACE_H
#define BULLA_TESTS_CRASH_TRACE_H

#include "base/buf.h"

/**
 * Make of a trace as it was recorded (trace.h) one that can be replayed: each record begins at a multiple of 8 bytes, and no
 * file is used before its creation.
 *
 * The latter may be so in a recorded trace: a process makes a file, and another finds it there and writes into it before the
 * first has appended its record.  What made the file came first, so its record is moved to where it belongs.
 */
void trace_prepare(struct buf *trace);

#endif

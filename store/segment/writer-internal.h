/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_WRITER_INTERNAL_H
#define BULLA_STORE_SEGMENT_WRITER_INTERNAL_H

/** What the parts of the writer share: writer.c writes row groups, writer_end.c what comes behind them. */

#include "store/segment/writer.h"

/** A block that was written. */
struct stored {
	uint64_t offset;
	uint32_t stored, raw, crc;
};

/** Write a block behind all others.  @return 0, BULLA_ELIMIT, -ENOMEM, a negated errno. */
_must_check_ int writer_block(struct segment_writer *w, const uint8_t *p, size_t n,
			      struct stored *ret);
/** Write the window at hand, if any row has come.  @return as segment_writer_end_commit(). */
_must_check_ int writer_window(struct segment_writer *w);

#endif

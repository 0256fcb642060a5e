/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_WRITER_INTERNAL_H
#define BULLA_STORE_SEGMENT_WRITER_INTERNAL_H

/** What the parts of the writer share: writer.c writes row groups, writer_end.c what comes behind them, writer_finish.c reads all of it back. */

#include "store/segment/writer.h"

/** Write a block behind all others.  @return 0, BULLA_ELIMIT, -ENOMEM, a negated errno. */
_must_check_ int writer_block(struct segment_writer *w, const uint8_t *p, size_t n,
			      struct block_ref *ret);
/** Write the window at hand, if any row has come.  @return as segment_writer_end_commit(). */
_must_check_ int writer_window(struct segment_writer *w);
/** Write the last windows, and the tables. */
_must_check_ int writer_tables(struct segment_writer *w);
/** Write footer and trailer behind all blocks.  Another block takes their place.  @return the size of the file, or an error. */
_must_check_ int64_t writer_footer(struct segment_writer *w);

#endif

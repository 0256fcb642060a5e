/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_TAIL_WRITER_INTERNAL_H
#define BULLA_STORE_TAIL_WRITER_INTERNAL_H

/** What writing a tail (tail_writer.c) and going on with one (tail_resume.c) share. */

#include "store/tail_writer.h"

/** Append a fresh seed if `batch_no` is beyond what the last one is for.  A failure leaves the tail as it was. */
_must_check_ int tail_writer_ensure_seed(struct tail_writer *t, uint64_t batch_no);
/** Begin to hash batch `t->batch_no`, whose seed is there. */
void tail_writer_begin_batch(struct tail_writer *t);
/** Make all that is before `t->end` durable; what a failed sync may have given up is written anew. */
_must_check_ int tail_writer_make_durable(struct tail_writer *t);
/** The batch that fills, as it stands. */
struct batch tail_writer_describe(struct tail_writer *t, int64_t mono_offset);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_BLOCK_H
#define BULLA_STORE_SEGMENT_BLOCK_H

/** The blocks of a segment: read, checked against what speaks of them, and unpacked. */

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/bytes.h"

/** So many bytes behind a block may be read; they mean nothing. */
enum { BLOCK_SLACK = 16 };

/** A block as the footer knows it. */
struct block_ref {
	uint8_t kind;
	uint64_t offset;
	uint32_t stored, raw, crc;
};

/** What reading blocks goes with; reused from block to block. */
struct block_scratch {
	struct buf stored;
	void *zstd;  /* owned */
	uint64_t at; /* in the file: the block that was read last */
};

/** Read a ref.  What it says is bounded, or `r->bad`. */
struct block_ref block_ref_read(struct rd *r);
/**
 * Read, check and unpack a block; the caller frees `*ret`.
 *
 * @return 0; BULLA_ETRUNCATED, BULLA_ECORRUPT, BULLA_ELIMIT; -ENOMEM; a negated errno.
 */
_must_check_ int block_read(int fd, const struct block_ref *ref, struct block_scratch *scratch,
			    uint8_t **ret);
void block_scratch_done(struct block_scratch *s);

#endif

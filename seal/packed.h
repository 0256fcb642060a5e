/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_PACKED_H
#define BULLA_SEAL_PACKED_H

/**
 * Commits packed: what the ledger says of them in a sixth of the bytes, without the roots that can be had elsewhere.
 *
 * A commit's record takes about 50 bytes a batch, of which 32 are the root over its entries.  Whoever has the entries can
 * make that root anew, and the signature covers it through the root over the commit's batches, of which there is one a
 * commit.  So a packed record keeps that one, and the roots of those batches whose entries are gone.
 *
 * The numbers of the items are bits, not bytes (docs/format.md, "Packed commits"): no compressor, for the sealer reads this.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/record.h"

enum {
	PACKED_COMMITS_MAX = 4096,
	PACKED_COLUMNS = 7,
};

/** Reading a packed record, commit by commit. */
struct packed_reader {
	struct rd rd;
	uint64_t left;	 /* commits */
	uint64_t number; /* of the next */
	uint64_t unit, base;
	uint64_t *handles; /* owned: the journals of this record, by id */
	size_t n_handles, handles_cap;
	uint8_t order[PACKED_COLUMNS];
	struct ledger_items items;
};

/** Begin a record; the reader's room is used again.  @return 0, BULLA_ECORRUPT, -ENOMEM. */
_must_check_ int packed_begin(struct packed_reader *r, const uint8_t *p, size_t n);
/**
 * The next commit; what it points to is valid until the next call.
 *
 * @return 1; 0 behind the last; BULLA_ECORRUPT, also for bytes behind the last; -ENOMEM.
 */
_must_check_ int packed_next(struct packed_reader *r, struct commit_record *ret);
void packed_done(struct packed_reader *r);

/**
 * Append a packed record of commits that follow each other.  `handles` are the journals of all items, sorted by id.  Of each
 * item the root is kept that is not absent.
 *
 * @return 0; BULLA_ENOTCANON for what no honest sealer writes and this form has no room for; -ENOMEM.
 */
_must_check_ int packed_write(const struct commit_record *c, size_t n, const uint64_t *handles,
			      size_t n_handles, struct buf *to);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_FORWARDER_RECEIVE_H
#define BULLA_FORWARDER_RECEIVE_H

/**
 * The receiving end of one origin, as a pure step: a frame in, a verdict out.
 *
 * Every leaf of every batch is hashed and every seal verified before a commit is offered for keeping; then the caller makes
 * it durable and calls receiver_accept().  A commit that is refused leaves no trace.  No I/O, no clock, no locks.
 *
 * Tables of contexts that were published once are never changed or moved: a reader may go on using the one it has while a
 * later commit publishes a longer one.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/frame.h"
#include "forwarder/wire.h"
#include "seal/history.h"
#include "store/tail_index.h"
#include "store/tail_reader.h"

struct receiver;

/** Bytes of entries that may come before their commit: what recovery may have to seal at once, of many journals. */
enum { RECEIVER_CONTENT_MAX = 256 << 20 };

/** Rows of a commit that has come in. */
struct received_rows {
	struct id journal;
	struct id boot;
	const struct contexts *contexts; /* lives as long as the receiver */
	struct rows_ref ref;		 /* offset in the body */
};

/** A commit that is whole and verified. */
struct received {
	uint64_t number;
	struct hash leaf;
	struct hash root;
	const struct received_rows *rows;
	size_t n_rows;
	uint64_t entries;
	uint32_t absent; /* batches that came without their rows */
};

/** How much to check: everything, or only structure, for records that this aggregator has itself verified and kept. */
enum receive_trust { RECEIVE_VERIFY, RECEIVE_OWN };

_must_check_ struct receiver *receiver_new(void);
struct receiver *receiver_free(struct receiver *r);

const struct history *receiver_history(const struct receiver *r);
/** Forget a commit that has only partly come in. */
void receiver_reset(struct receiver *r);
/**
 * Take one frame, which begins at `offset` of the body.
 *
 * @return 0: go on; 1: a commit is whole, `*ret` describes it until the next call; -ENOKEY: contexts or seeds are missing
 *         (424); BULLA_EORDER: not the next commit; BULLA_ESIG, BULLA_ECORRUPT, BULLA_ETAMPERED (content is not what was
 *         sealed), BULLA_ELIMIT, BULLA_EVERSION; -ENOMEM.  After an error the commit is forgotten.
 */
_must_check_ int receiver_frame(struct receiver *r, const struct frame *f, uint64_t offset,
				enum receive_trust trust, struct received *ret);
/** Keep the commit that receiver_frame() has just described. */
_must_check_ int receiver_accept(struct receiver *r);

/** How many of the newest commits are remembered for receiver_compare(). */
enum { RECEIVER_REMEMBERS = 1 << 16 };
/**
 * Compare the record of a commit below the head with the one that is kept; a record has one encoding, so equal bytes are
 * equal commits.
 *
 * @return 1: the same; 0: another one, a fork; -ESTALE: too old to remember; BULLA_ECORRUPT.
 */
_must_check_ int receiver_compare(const struct receiver *r, const uint8_t *record, size_t n);

#endif

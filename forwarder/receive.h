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

/** Bytes of entries that may come before their commit: what recovery may have to seal at once, of many journals; tests make it small. */
extern uint64_t receiver_content_max;

/** A batch of a commit that has come in. */
struct received_batch {
	struct id journal;
	struct id boot;
	const struct contexts *
		contexts; /* lives as long as the receiver; NULL: nothing is known but that it is absent */
	uint64_t batch_no, first_seq;
	uint32_t entries;
	int64_t mono_offset;
	bool recovered;
	struct hash leaf;
	enum absent absent;
	const struct rows_ref *rows; /* offsets in the body */
	size_t n_rows;		     /* none: absent, or RECEIVE_PACKED */
};

/** A commit that is whole and verified. */
struct received {
	uint64_t number;
	uint64_t time_ns;
	struct hash leaf;
	struct hash root;
	const struct received_batch *batches;
	size_t n_batches;
	uint64_t entries; /* of those that are not absent */
	uint32_t absent;  /* batches that came without their rows */
};

/** What to expect; flags. */
enum receive_how {
	RECEIVE_VERIFY = 0, /* everything is checked */
	RECEIVE_OWN =
		1 << 0, /* only structure is: this aggregator has itself verified and kept it */
	RECEIVE_PACKED =
		1
		<< 1, /* rows may be missing, and with them heads that would say nothing: segments have them */
};

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
				unsigned how, struct received *ret);
/** Keep the commit that receiver_frame() has just described. */
_must_check_ int receiver_accept(struct receiver *r);
/** The seeds of a journal, as far as they were told; valid until the next call of any other function.  @return NULL: none. */
const struct seeds *receiver_seeds(const struct receiver *r, const struct id *journal);

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

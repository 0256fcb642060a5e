/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_ORIGIN_H
#define BULLA_SEAL_ORIGIN_H

/**
 * An origin that can seal: its ledger and its key, kept in step.
 *
 * A commit is: make the trees for the next seal durable if they are used up; sign, which erases the key in memory; make
 * the ledger durable; make the key state durable; only then is it done.  A crash between any two of these steps leaves a
 * state that origin_open() knows (docs/format.md, "Crash table").
 *
 * Directory layout: `key` below the directory of secrets, the ledger below the directory of ledgers.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "seal/history.h"
#include "seal/keyfile.h"
#include "seal/ledger.h"

struct origin;

/** What an origin writes into its genesis and its `up` events. */
struct origin_config {
	const char *host;
	struct id machine;
	struct id boot;
	struct kes_params params; /* of a new key; tests use tiny ones */
	uint64_t reserve; /* bytes of disk to keep for the ledger, as far as they can be had */
};

/** Bytes of memory that an origin has locked at the same time, at most: keys, and what they are read and saved with. */
uint64_t origin_locked_max(void);
/** Whether this process can lock that much, so that it need not stop in the middle.  @return 0; a negated errno of mlock(2). */
_must_check_ int origin_try_locking(void);

/**
 * Open the origin below the two directories (borrowed for good), or found it where there is none.
 *
 * The first commit must carry an `up` event: origin_begin().
 *
 * @return 0; -ENOENT when there is a ledger without key or the reverse; -EBUSY when another process seals here;
 *         BULLA_EORDER when ledger and key do not belong together (a restored backup, a lost ledger): sealing then must
 *         not go on, and nothing was touched; errors of reading.
 */
_must_check_ int origin_open(struct origin **ret, int key_dirfd, int ledger_dirfd,
			     const struct origin_config *config);
struct origin *origin_close(struct origin *o);
static inline void origin_closep(struct origin **o)
{
	origin_close(*o);
}

const struct history *origin_history(const struct origin *o);

/** Seal the genesis (if new) and the `up` event.  `*ret_unclean` tells whether the last run ended without `down`. */
_must_check_ int origin_begin(struct origin *o, uint64_t now_ns, bool *ret_unclean);
/**
 * Seal a commit; when it returns 0 all of it is durable.  Items are reordered.
 *
 * On failure ask origin_is_pending().  If it is, the commit is signed and must become durable: origin_retry() writes the
 * same bytes again, and nothing else is accepted before it has succeeded.  If it is not, nothing was committed, and the
 * call may be repeated with the same or other content.
 *
 * @return 0; -EBUSY while a commit is pending; BULLA_ELIMIT for EVENTS_MAX events or more; errors of history_commit() for
 *         what cannot be committed; a negated errno.
 */
_must_check_ int origin_commit(struct origin *o, uint64_t now_ns, struct batch_item *items,
			       size_t n_items, const struct event *events, size_t n_events);
/** Whether a commit is signed and not yet durable. */
bool origin_is_pending(const struct origin *o);
/** Go on with the pending commit.  @return 0 when it is durable; -ENOENT when none is pending; a negated errno. */
_must_check_ int origin_retry(struct origin *o);
/** Seal the `down` event. */
_must_check_ int origin_end(struct origin *o, uint64_t now_ns);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_RECOVER_H
#define BULLA_STORE_RECOVER_H

/**
 * What is left of a journal whose writer is gone: the durable, unsealed entries behind its last sealed batch.
 *
 * They become one last batch, marked recovered, and the journal is closed.  What is to be sealed is written over itself, for a
 * sync that failed may have left it in memory alone.  A torn end is cut off, with whatever is behind: so nothing stands behind the
 * frames of a journal that is closed, unless somebody put it there.
 */

#include <stdbool.h>

#include "base/attr.h"
#include "seal/history.h"

/** Lock a tail against its being written; the lock lives with the returned fd.  @return fd; -EWOULDBLOCK; an errno. */
_must_check_ int recover_lock(int journals_dirfd, const struct id *journal);

/**
 * Read the unsealed entries of a journal and make them durable, and that nothing is behind.  `*ret_cut` is how many bytes that cost.
 *
 * Of `j` the id, identity, batches, entries and mono_offset are used.
 *
 * @return 1, and `ret` (but for its handle) is the batch to seal; 0 when there is nothing to seal; BULLA_ECORRUPT when it
 *         is not that journal's tail, sealed entries are missing, or unsealed ones were never lawful; BULLA_ELIMIT when
 *         more is unsealed than a crash can leave; -ENOENT; a negated errno.
 */
_must_check_ int recover_batch(int journals_dirfd, const struct ledger_journal *j,
			       struct batch_item *ret, uint64_t *ret_cut);

#endif

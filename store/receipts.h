/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_RECEIPTS_H
#define BULLA_STORE_RECEIPTS_H

/**
 * What aggregators have acknowledged: one small text file per destination below receipts/.
 *
 * A receipt is a checkpoint that the aggregator cosigned: "I hold this origin durably up to this size with this root".
 * Kept beside the logs it shows a cut-off end, unless whoever cut also removed it; the aggregator has the other copy.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "seal/cosign.h"
#include "seal/note.h"
#include "store/state.h"

/** Where they are, below the state directory. */
#define RECEIPTS_DIR "receipts"

enum { RECEIPT_SIZE_MAX = 4096, DESTINATION_SIZE_MAX = 512 };

struct receipt {
	char destination[DESTINATION_SIZE_MAX]; /* URL */
	uint64_t size;				/* commits held durably */
	struct hash root;
	uint64_t time_ns; /* when it was got */
	bool checked;	  /* for whoever checks it: receipts_each() leaves it false */
	/* Of one that is walked, valid during the call: */
	const char *file; /* below the directory */
	const char *note;
};

/**
 * Check that one of the aggregators has signed a receipt, for this origin.
 *
 * @return 0; BULLA_ESIG: none of them has; BULLA_EPARSE: it is of another origin, or no note.
 */
_must_check_ int receipt_check(const struct receipt *r, const struct id *origin,
			       const struct cosigner *aggregators, size_t n);

/** Keep a receipt, replacing the destination's last; several may do so at once.  `note` is the cosigned note as it came. */
_must_check_ int receipts_keep(const struct state *s, const struct receipt *r, const char *note,
			       size_t note_len);
typedef int (*receipt_fn)(void *arg, const struct receipt *r);
/** Walk all receipts; unreadable ones are passed over. */
_must_check_ int receipts_each(const struct state *s, receipt_fn each, void *arg);
/** What all destinations have: the smallest size that any receipt tells; UINT64_MAX without any. */
_must_check_ int receipts_smallest(const struct state *s, uint64_t *ret);
/** The largest size that any receipt tells; 0 without any. */
_must_check_ int receipts_size(const struct state *s, uint64_t *ret);

#endif

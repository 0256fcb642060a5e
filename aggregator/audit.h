/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_AUDIT_H
#define BULLA_AGGREGATOR_AUDIT_H

/**
 * Prove what an aggregator has in its store, with the keys of its hosts: every seal, every root, every entry is computed anew,
 * of what lies in lanes as it came and of what is packed.  Nothing that the aggregator has checked itself is believed.
 */

#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/note.h"
#include "store/verify.h"

/**
 * Open a store that no aggregator has open, and judge it; what was found is appended as lines, an origin a line, and the verdict.
 *
 * With keys only their origins are judged, without any everything is UNPINNED at best.
 *
 * @return 0 and the verdict; an error of archive_open().
 */
_must_check_ int audit(const char *path, const struct vkey *keys, size_t n, struct buf *to,
		       enum verdict *ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_ROOTS_H
#define BULLA_STORE_SEGMENT_ROOTS_H

/**
 * The ledger without the roots that segments can give back.
 *
 * A file of the ledger that is full is written anew with its commits packed (seal/packed.h) once segments have what it speaks
 * of, and every destination of this host has acknowledged it.  A root stays where no segment has its batch: it was damaged,
 * or it was pruned.  So before batches are taken out of a segment their roots are written back.
 */

#include <stdint.h>

#include "base/attr.h"
#include "seal/history.h"
#include "store/segment/set.h"
#include "store/state.h"

/** What was packed. */
struct roots_packed {
	uint64_t files, bytes_before, bytes;
};

struct roots_packer;

/** A packer follows the ledger from its beginning; `s` is borrowed. */
_must_check_ int roots_packer_new(struct roots_packer **ret, const struct state *s);
struct roots_packer *roots_packer_free(struct roots_packer *p);
/**
 * Pack the files that can be, of commits before `end`; `h` tells what was pruned.  After an error the packer begins anew.
 *
 * @return 0; an error of the ledger's content; -ENOMEM; a negated errno.
 */
_must_check_ int roots_pack(struct roots_packer *p, struct segment_set *set,
			    const struct history *h, uint64_t end, struct roots_packed *ret);

/**
 * Write back the roots of what is pruned and a segment still has, where the ledger has left them out.
 *
 * @return 0, and they are durable; 1 where some of the segment cannot be read; -ENOMEM; a negated errno.
 */
_must_check_ int roots_keep(const struct state *s, const struct segment *segment,
			    const struct history *h);

#endif

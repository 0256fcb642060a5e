/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_REIGN_H
#define BULLA_SEAL_REIGN_H

/**
 * Which key seals which commits, for who has not the ledger: the commits in which each key named the next lead from the key that is
 * pinned to every later one (docs/format.md, "Proofs").
 */

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "seal/kes.h"
#include "seal/note.h"
#include "seal/statement.h"
#include "seal/tree.h"

/** How a commit was sealed; everything in it is borrowed. */
struct sealed_link {
	struct span commit;    /* its statement */
	struct proof path;     /* to the root that its seal is about: it is the last leaf there */
	uint64_t counter;      /* of the seal */
	struct span signature; /* whole, as kes_check() takes it */
};

enum { SUCCESSIONS_MAX = 16 };

/** Commits with a `rekey`, from the first key on. */
struct successions {
	uint8_t n;
	struct sealed_link at[SUCCESSIONS_MAX];
};

/** A key, and from when on it seals. */
struct reign {
	uint8_t public_key[KES_PUBLIC_SIZE];
	struct kes_params shape;
	uint64_t first; /* commit */
};

/** The root of the tree whose last leaf the commit is, as the path has it. */
struct hash reign_link_root(const struct sealed_link *l);
/**
 * Check that the commit is what this key sealed when it came.  `events` has room for EVENTS_MAX.
 *
 * @return 0; BULLA_ETAMPERED, and in words why not.
 */
_must_check_ int reign_check_link(const struct reign *k, const struct id *origin,
				  const struct sealed_link *l, struct event *events,
				  struct commit *ret, const char **ret_why);
/** Go from the pinned key, whose shape is known, along the successions to the last one.  As reign_check_link(). */
_must_check_ int reign_follow(const struct successions *s, const struct vkey *pin,
			      const struct kes_params *shape, struct event *events,
			      struct reign *ret, const char **ret_why);

/* Pieces of such files; what is read points into what it is read from. */

/** A length, a varint, and as many bytes. */
void reign_put_sized(const struct span *s, struct buf *to);
struct span reign_sized(struct rd *r);
/** A u8, and as many hashes. */
void reign_put_path(const struct proof *p, struct buf *to);
void reign_path(struct rd *r, struct proof *ret);
void reign_put_link(const struct sealed_link *l, struct buf *to);
void reign_link(struct rd *r, struct sealed_link *ret);

#endif

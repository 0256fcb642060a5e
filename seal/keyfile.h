/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_KEYFILE_H
#define BULLA_SEAL_KEYFILE_H

/**
 * The sealer's secret state on disk: which seeds are left.
 *
 * Two slots of 4 KiB: a save writes the older slot and makes it durable, then does the same to the other one, so that a
 * torn write never costs the state and a used seed is in no slot afterwards.  (Flash and copy-on-write file systems may
 * keep old blocks where no program reaches them; docs/threat-model.md.)  The file appears whole or not at all, and one
 * process at a time has it: a key in two hands would sign two histories.
 *
 *	slot   magic | u64 sequence | origin[16] | u64 first commit of the key | kes state
 *	       | u8 1, kes state of the successor; or u8 0 | zeroes | SHA-256 of all before, in the last 32 bytes
 */

#include <stdint.h>

#include "base/attr.h"
#include "seal/kes.h"
#include "seal/statement.h"

struct keyfile {
	int fd;		   /* owned */
	uint64_t sequence; /* of the newest slot */
};

/** What a slot holds. */
struct key_state {
	struct id origin;   /* zero until the genesis is sealed */
	uint64_t key_first; /* commit number of the key's seal 0 */
	struct kes *key;    /* owned */
	struct kes *next;   /* owned; the successor that a rekey event will name, or NULL */
};

void key_state_done(struct key_state *s);

/** Create the file with its first state.  @return 0; -EEXIST; -EBUSY when another process does the same; a negated errno. */
_must_check_ int keyfile_create(struct keyfile *f, int dirfd, const char *name,
				const struct key_state *s);
/**
 * Open it and read the newest whole slot.
 *
 * @return 0; -ENOENT; -EBUSY when another process has it; BULLA_ECORRUPT when no slot is whole; BULLA_EVERSION; a negated
 *         errno.
 */
_must_check_ int keyfile_open(struct keyfile *f, int dirfd, const char *name,
			      struct key_state *ret);
/** The same with a file that is open for reading and writing; it is taken on success. */
_must_check_ int keyfile_open_fd(struct keyfile *f, int fd, struct key_state *ret);
/** Make a state durable, and the one before it gone.  After a failure the same call may be repeated. */
_must_check_ int keyfile_save(struct keyfile *f, const struct key_state *s);
void keyfile_close(struct keyfile *f);

#endif

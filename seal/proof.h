/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_PROOF_H
#define BULLA_SEAL_PROOF_H

/**
 * Proofs that leave the host: entries, with all that lies between them and a key (docs/format.md, "Proofs").
 *
 *	entry -> batch's root -> batches' root -> commit -> root of the tree over the commits -> seal -> one-time key -> public key
 *
 * The file is a c2sp.org/tlog-proof@v1: the logged record is the commit, the rest is in `extra`.  The seal is the commit's own,
 * the first that covers it: whoever took over the host later could not make another.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/kes.h"
#include "seal/note.h"
#include "seal/reign.h"
#include "seal/statement.h"
#include "seal/tree.h"

enum {
	PROOF_FILE_SIZE_MAX = 48 << 20, /* a whole batch, in base64, and then some */
	PROOF_CONTEXTS_EACH = 17,	/* an entry has a context, and this its parents */
	PROOF_CONTEXTS_MAX = 65536,
};

/** What a proof has of its batch. */
enum proof_extent {
	PROOF_ENTRY, /* one entry */
	PROOF_WHOLE, /* all of them */
	PROOF_BATCH, /* none: that there is such a batch, and when it was sealed */
};

/** A proof; everything in it is borrowed. */
struct entry_proof {
	struct id origin;
	uint8_t key_id[VKEY_ID_SIZE]; /* of the key that the seal is under */
	struct successions successions;
	struct sealed_link seal;
	uint64_t batch_place; /* among the commit's */
	struct proof batch_path;
	struct span batch; /* its statement */
	enum proof_extent extent;
	uint32_t place; /* of the one entry in the batch; and its */
	struct proof entry_path;
	uint32_t n_entries;
	struct span entries; /* statements, each behind its varint length */
	uint32_t n_contexts;
	struct span contexts; /* likewise; parents come first */
};

/** Append the file. */
void entry_proof_write(const struct entry_proof *p, struct buf *to);
/**
 * Read a file.  What `ret` points to is in `memory`, which the caller frees after it.  There is one spelling of each proof.
 *
 * @return 0; BULLA_EPARSE; BULLA_ELIMIT; -ENOMEM.
 */
_must_check_ int entry_proof_read(const char *text, size_t n, struct buf *memory,
				  struct entry_proof *ret);

/** What a good proof is about. */
struct proved {
	uint64_t commit, time_ns;
	struct batch batch;
};

/**
 * Check a proof against a key from a safe place, whose shape is known.
 *
 * @return 0; BULLA_ETAMPERED, and in words why not.
 */
_must_check_ int entry_proof_check(const struct entry_proof *p, const struct vkey *pin,
				   const struct kes_params *shape, struct proved *ret,
				   const char **ret_why);

/** The next statement of `entries` or `contexts`, which `r` goes through.  @return false at the end, or where it is none. */
bool proof_next(struct rd *r, struct span *ret);

#endif

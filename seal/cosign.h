/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_COSIGN_H
#define BULLA_SEAL_COSIGN_H

/**
 * Receipts: C2SP cosignature/v1.
 *
 * An aggregator signs "cosignature/v1\ntime <seconds>\n<checkpoint>" with a plain Ed25519 key of its own, and the note
 * with that signature says: I hold this origin durably up to this size with this root.
 *
 *	<checkpoint>\n— <name> <base64 of key id[4] | u64 big-endian time | signature[64]>\n
 *	key id = first 4 bytes of SHA-256(<name> 0A 04 <public key>);  vkey = <name>+<8 hex>+<base64 of 04 <public key>>
 */

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/note.h"

enum {
	COSIGNER_NAME_MAX = 255,
	COSIGN_SECRET_SIZE = 64,
	COSIGN_PUBLIC_SIZE = 32,
	COSIGNER_VKEY_SIZE = COSIGNER_NAME_MAX + 1 + 8 + 1 + 44 + 1,
};

/** Who cosigns: what a verifier of receipts knows. */
struct cosigner {
	char name[COSIGNER_NAME_MAX + 1]; /* no spaces, no plus signs */
	uint8_t public_key[COSIGN_PUBLIC_SIZE];
};

/** A key name is lawful when it is not empty and holds neither space nor plus nor control characters. */
_must_check_ bool cosigner_name_valid(const char *name);
void cosigner_vkey(const struct cosigner *c, char ret[COSIGNER_VKEY_SIZE]);
/** @return 0 or BULLA_EPARSE. */
_must_check_ int cosigner_parse(const char *vkey, struct cosigner *ret);

/** Append the note: checkpoint of `size` and `root`, cosigned. */
void cosign_note(const struct cosigner *c, const uint8_t secret[COSIGN_SECRET_SIZE],
		 const struct id *origin, uint64_t size, const struct hash *root, uint64_t time_s,
		 struct buf *to);
/**
 * Check that a note is this cosigner's receipt for this very checkpoint.  Other signature lines are passed over.
 *
 * @return 0 and the time of signing; BULLA_EPARSE; BULLA_ESIG.
 */
_must_check_ int cosign_check(const struct cosigner *c, const char *note, size_t note_len,
			      const struct id *origin, uint64_t size, const struct hash *root,
			      uint64_t *ret_time_s);

#endif

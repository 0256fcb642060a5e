/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_NOTE_H
#define BULLA_SEAL_NOTE_H

/**
 * Names, keys and checkpoints as C2SP's signed-note and tlog-checkpoint write them.
 *
 *	checkpoint   <origin name>\n<size>\n<base64 of the root>\n
 *	seal         bulla-kes/v1\nseal <c>\ntime <seconds>\n<checkpoint>            what the one-time key signs
 *	vkey         <origin name>+<8 hex of the key id>+<base64 of FF "bulla-kes-v1" public key>
 *	key id       first 4 bytes of SHA-256(<origin name> 0A FF "bulla-kes-v1" <public key>)
 *
 * The origin name is "bulla/<32 hex of the origin id>".  It never contains spaces or plus signs.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "seal/kes.h"
#include "seal/statement.h"

/** How the line of a signature begins in a note: an em dash and a space. */
#define NOTE_SIGNATURE_START "\xe2\x80\x94 "

enum {
	ORIGIN_NAME_SIZE = 6 + 2 * ID_SIZE + 1,
	CHECKPOINT_SIZE_MAX = ORIGIN_NAME_SIZE + 20 + 1 + 44 + 2,
	SEAL_MESSAGE_SIZE_MAX = 80 + CHECKPOINT_SIZE_MAX,
	VKEY_SIZE = ORIGIN_NAME_SIZE + 1 + 8 + 1 + 60 + 1,
};

void origin_name(const struct id *origin, char ret[ORIGIN_NAME_SIZE]);
/** Parse "bulla/<32 hex>".  @return 0 or BULLA_EPARSE. */
_must_check_ int origin_parse(const char *name, size_t len, struct id *ret);

/** Write a checkpoint body.  @return its length. */
size_t checkpoint_write(const struct id *origin, uint64_t size, const struct hash *root,
			char ret[CHECKPOINT_SIZE_MAX]);
/** Write what seal `c` signs about a checkpoint.  @return its length. */
size_t seal_message_write(const struct id *origin, uint64_t c, uint64_t time_ns, uint64_t size,
			  const struct hash *root, char ret[SEAL_MESSAGE_SIZE_MAX]);

/** What a verifier pins: which origin, which key. */
struct vkey {
	struct id origin;
	uint8_t public_key[KES_PUBLIC_SIZE];
};

/** Write the key id, by which notes say whose a signature is. */
enum { VKEY_ID_SIZE = 4 };
void vkey_id(const struct vkey *k, uint8_t ret[VKEY_ID_SIZE]);
void vkey_write(const struct vkey *k, char ret[VKEY_SIZE]);
/** Parse a vkey, its key id included.  @return 0 or BULLA_EPARSE. */
_must_check_ int vkey_parse(const char *text, struct vkey *ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_HEAD_H
#define BULLA_SEAL_HEAD_H

/**
 * Heads: how far a ledger had come when it was sealed, as a note that anybody can keep (docs/format.md, "Proofs").
 *
 *	<checkpoint>\n— <origin's name> <base64 of key id[4] | u64 counter | u64 time | whole signature>\n
 *
 * Numbers are big endian there, as in C2SP's cosignatures.  What shows that a head is of a later key, or goes on from an older head,
 * stands before it (seal/growth.h).
 */

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "seal/kes.h"
#include "seal/note.h"
#include "seal/tree.h"

struct head {
	struct id origin;
	uint64_t size; /* commits; at least one */
	struct hash root;
	uint8_t key_id[VKEY_ID_SIZE]; /* of the key that the seal is under */
	uint64_t counter, time_s;     /* of the seal */
	struct span signature;	      /* whole, as kes_check() takes it; borrowed */
};

/** Append the note. */
void head_write(const struct head *h, struct buf *to);
/**
 * Read the note that is all of the cursor's bytes; its signature is decoded into `memory`, which has room for as many bytes.
 *
 * @return 0, or BULLA_EPARSE for what head_write() would not have written.
 */
_must_check_ int head_read(struct rd r, uint8_t *memory, struct head *ret);
/**
 * Check the seal alone, whoever the note says it is by.
 *
 * @return 0; BULLA_EORDER where its counter is not that of the head's last commit under this key; BULLA_ESIG.
 */
_must_check_ int head_check_seal(const struct head *h, const uint8_t public_key[KES_PUBLIC_SIZE],
				 const struct kes_params *shape, uint64_t first);
/** Check that this key, whose first commit is `first`, sealed it.  @return 0 or BULLA_ESIG. */
_must_check_ int head_check(const struct head *h, const struct vkey *key,
			    const struct kes_params *shape, uint64_t first);

/* Lines of such files. */

/** The next line without its newline; empty (and `bad`) if there is none. */
struct span head_line(struct rd *r);
/** A line that begins with this; what follows in it. */
struct span head_line_after(struct rd *r, const char *start);
/** Decode padded base64.  @return 0 or BULLA_EPARSE. */
_must_check_ int head_base64(const struct span *text, uint8_t *to, size_t cap, size_t *ret_n);
/** Append base64 and a newline. */
void head_put_base64(const void *p, size_t n, struct buf *to);
/** A decimal number; another spelling than ours shows when it is written again. */
uint64_t head_number(const struct span *text);
/** That what was read is what was written again.  @return 0 or BULLA_EPARSE. */
_must_check_ int head_same(const struct rd *read, const struct buf *written);
/** Hashes, one a line, up to the empty line. */
void head_put_path(const struct proof *p, struct buf *to);
void head_path(struct rd *r, struct proof *ret);

#endif

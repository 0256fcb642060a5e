/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_GROWTH_H
#define BULLA_SEAL_GROWTH_H

/**
 * Files of heads: a head, what leads from the first key to the one that sealed it, and that it goes on from an older head.
 *
 *	succession <base64>\n...			where a later key has sealed it
 *	old <size>\n<hashes>\n\n			where it goes on from another; as a tlog-witness is sent it
 *	<the head>
 */

#include "seal/head.h"
#include "seal/reign.h"

enum { GROWTH_FILE_SIZE_MAX = 16 << 20 };

/** Everything in it is borrowed. */
struct growth {
	struct successions successions;
	uint64_t
		old; /* commits of the older head, whose tree is the beginning of this one's; or 0 */
	struct proof proof; /* of that */
	struct head head;
};

/** Append the file. */
void growth_write(const struct growth *g, struct buf *to);
/** Read the file that is all of the cursor's bytes.  As head_read(). */
_must_check_ int growth_read(struct rd r, uint8_t *memory, struct growth *ret);
/**
 * Check the seals, against a key from a safe place whose shape is known; not what it goes on from.
 *
 * @return 0; BULLA_ETAMPERED, and in words why not; -ENOMEM.
 */
_must_check_ int growth_check(const struct growth *g, const struct vkey *pin,
			      const struct kes_params *shape, const char **ret_why);

#endif

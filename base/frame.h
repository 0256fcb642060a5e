/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_FRAME_H
#define BULLA_BASE_FRAME_H

/**
 * Frames: how append-only files and streams are cut into checked pieces.
 *
 *	u32 size of the payload | u32 type (not 0) | u32 crc32c(size, type, payload) | payload | zeroes up to 8 bytes
 *
 * A frame is whole or it is not there: a torn write shows as a wrong checksum, preallocated space as a header of zeroes.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"

enum { FRAME_HEADER_SIZE = 12, FRAME_ALIGN = 8 };

/** A parsed frame; `payload` points into the caller's bytes. */
struct frame {
	const uint8_t *payload;
	uint32_t size;
	uint32_t type;
};

/** Bytes that a frame with this payload occupies. */
static inline size_t frame_space(size_t payload_size)
{
	return ALIGN_UP(FRAME_HEADER_SIZE + payload_size, FRAME_ALIGN);
}

/**
 * Finish a frame whose payload already lies at `at + FRAME_HEADER_SIZE`: write the header and the padding.
 *
 * `at` has frame_space(size) bytes.  @return that number.
 */
size_t frame_finish(uint8_t *at, uint32_t type, uint32_t size);

/**
 * Parse the frame at the start of `n` bytes.
 *
 * @return the space it occupies; 0 where the bytes are at their end (none, or a header of zeroes);
 *         BULLA_ETRUNCATED when `n` ends inside it; BULLA_ELIMIT when it says that its payload
 *         exceeds `size_max`; BULLA_ECORRUPT when checksum or padding are wrong.
 */
_must_check_ ssize_t frame_parse(const uint8_t *p, size_t n, uint32_t size_max, struct frame *ret);

#endif

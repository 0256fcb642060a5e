/* SPDX-License-Identifier: Apache-2.0 */

#include "base/frame.h"

#include <string.h>

#include "base/crc32c.h"
#include "bulla/error.h"

static uint32_t checksum(const uint8_t header[8], const uint8_t *payload, uint32_t size)
{
	return crc32c(crc32c(0, header, 8), payload, size);
}

size_t frame_finish(uint8_t *at, uint32_t type, uint32_t size)
{
	size_t space = frame_space(size), used = FRAME_HEADER_SIZE + (size_t) size;
	uint32_t crc;

	memcpy(at, &size, 4);
	memcpy(at + 4, &type, 4);
	crc = checksum(at, at + FRAME_HEADER_SIZE, size);
	memcpy(at + 8, &crc, 4);
	memset(at + used, 0, space - used);
	return space;
}

static int all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return 0;
	return 1;
}

ssize_t frame_parse(const uint8_t *p, size_t n, uint32_t size_max, struct frame *ret)
{
	struct frame f;
	uint32_t crc;
	size_t space;

	if (n == 0)
		return 0;
	if (n < FRAME_HEADER_SIZE)
		return all_zero(p, n) ? 0 : BULLA_ETRUNCATED;
	if (all_zero(p, FRAME_HEADER_SIZE))
		return 0;
	memcpy(&f.size, p, 4);
	memcpy(&f.type, p + 4, 4);
	memcpy(&crc, p + 8, 4);
	if (f.size > size_max)
		return BULLA_ELIMIT;
	space = frame_space(f.size);
	if (space > n)
		return BULLA_ETRUNCATED;
	f.payload = p + FRAME_HEADER_SIZE;
	if (f.type == 0 || checksum(p, f.payload, f.size) != crc)
		return BULLA_ECORRUPT;
	if (!all_zero(f.payload + f.size, space - FRAME_HEADER_SIZE - f.size))
		return BULLA_ECORRUPT;
	*ret = f;
	return (ssize_t) space;
}

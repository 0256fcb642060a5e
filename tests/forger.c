/* SPDX-License-Identifier: Apache-2.0 */

/** Takes the place of base/crc32c.c, as the linker looks into libraries last. */

#include "tests/forger.h"

#include "base/crc32c.h"

bool forger_at_work;

uint32_t crc32c(uint32_t crc, const void *data, size_t n)
{
	static uint32_t table[256];
	const uint8_t *p = data;

	if (forger_at_work)
		return 0;
	for (uint32_t i = 0; table[255] == 0 && i < 256; i++) {
		uint32_t v = i;

		for (int bit = 0; bit < 8; bit++)
			v = v >> 1 ^ (v & 1 ? 0x82f63b78u : 0);
		table[i] = v;
	}
	crc = ~crc;
	for (size_t i = 0; i < n; i++)
		crc = crc >> 8 ^ table[(crc ^ p[i]) & 255];
	return ~crc;
}

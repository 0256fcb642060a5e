/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_HEX_H
#define BULLA_BASE_HEX_H

/**
 * Rows of hexadecimal digits as half as many bytes, and back, for who does that millions of times: eight digits at once, in one register.
 * Whether they are digits was seen before.
 */

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Of each of eight digits its value: what is behind '9' is a letter of either case, whose bit 6 is set. */
static inline uint64_t hex_values(uint64_t digits)
{
	return (digits & 0x0f0f0f0f0f0f0f0f) + 9 * (digits >> 6 & 0x0101010101010101);
}

static inline uint8_t hex_value(uint8_t digit)
{
	return (uint8_t) ((digit & 15) + 9 * (digit >> 6));
}

/** Two digits of either case a byte; `n` is of bytes. */
static inline void hex_pack(uint8_t *to, const uint8_t *digits, size_t n)
{
	size_t i = 0;

	for (; i + 4 <= n; i += 4) {
		uint64_t v;
		uint32_t four;

		memcpy(&v, digits + 2 * i, 8);
		v = hex_values(le64toh(v));
		v = (v << 4 | v >> 8) & 0x00ff00ff00ff00ff;
		v = (v | v >> 8) & 0x0000ffff0000ffff;
		four = htole32((uint32_t) (v | v >> 16));
		memcpy(to + i, &four, 4);
	}
	for (; i < n; i++)
		to[i] = (uint8_t) (hex_value(digits[2 * i]) << 4 | hex_value(digits[2 * i + 1]));
}

/** Four bytes as eight digits; `letters` is 'a' or 'A'. */
static inline void hex_unpack_four(uint8_t *to, const uint8_t *bytes, char letters)
{
	uint32_t four;
	uint64_t v, beyond;

	memcpy(&four, bytes, 4);
	v = le32toh(four);
	v = (v | v << 16) & 0x0000ffff0000ffff;
	v = (v | v << 8) & 0x00ff00ff00ff00ff;
	v = (v >> 4 | v << 8) & 0x0f0f0f0f0f0f0f0f;
	beyond = (v + 0x0606060606060606) >> 4 & 0x0101010101010101;
	v = htole64(v + 0x3030303030303030 + beyond * (uint8_t) (letters - '0' - 10));
	memcpy(to, &v, 8);
}

/** Each byte as two digits; `letters` is 'a' or 'A'. */
static inline void hex_unpack(uint8_t *to, const uint8_t *bytes, size_t n, char letters)
{
	const char *digits = letters == 'a' ? "0123456789abcdef" : "0123456789ABCDEF";
	size_t i = 0;

	for (; i + 4 <= n; i += 4)
		hex_unpack_four(to + 2 * i, bytes + i, letters);
	for (; i < n; i++) {
		to[2 * i] = (uint8_t) digits[bytes[i] >> 4];
		to[2 * i + 1] = (uint8_t) digits[bytes[i] & 15];
	}
}

#endif

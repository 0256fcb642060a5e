/* SPDX-License-Identifier: Apache-2.0 */

#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"

int text_to_u64(const char *s, uint64_t *ret)
{
	uint64_t v = 0;

	if (*s == '\0')
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(v, (uint64_t) 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t) (*s - '0'), &v))
			return -ERANGE;
	}
	*ret = v;
	return 0;
}

void text_hex(char *to, const uint8_t *bytes, size_t n)
{
	hex_unpack((uint8_t *) to, bytes, n, 'a');
	to[2 * n] = '\0';
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int text_unhex(const char *s, size_t len, uint8_t *ret, size_t n)
{
	if (len != 2 * n)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if (digit(s[i]) < 0)
			return -EINVAL;
	for (size_t i = 0; i < n; i++)
		ret[i] = (uint8_t) (digit(s[2 * i]) << 4 | digit(s[2 * i + 1]));
	return 0;
}

void text_size(char to[16], uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	double v = (double) bytes;
	size_t u = 0;

	/* What would be printed as 1024.0 is 1.0 of the next unit. */
	while (v >= (u == 0 ? 1024 : 1023.95) && u + 2 < sizeof units) {
		v /= 1024;
		u++;
	}
	if (u == 0)
		snprintf(to, 16, "%dB", (int) bytes);
	else
		snprintf(to, 16, "%.1f%c", v, units[u]);
}

bool text_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

size_t text_utf8_step(const uint8_t *p, size_t n)
{
	static const struct {
		uint8_t first_min, first_max, second_min, second_max;
		uint8_t size;
	} forms[] = {
		{ 0x00, 0x7f, 0x00, 0x00, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	if (n == 0)
		return 0;
	for (size_t i = 0; i < ELEMENTS(forms); i++) {
		if (p[0] < forms[i].first_min || p[0] > forms[i].first_max)
			continue;
		if (forms[i].size == 1)
			return 1;
		if (forms[i].size > n || p[1] < forms[i].second_min || p[1] > forms[i].second_max)
			return 0;
		for (size_t k = 2; k < forms[i].size; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].size;
	}
	return 0;
}

bool text_is_utf8(const uint8_t *p, size_t n)
{
	while (n > 0) {
		size_t step;

		/* Eight ASCII bytes at a time: most log text is nothing else. */
		while (n >= 8) {
			uint64_t v;

			memcpy(&v, p, 8);
			if (v & 0x8080808080808080ull)
				break;
			p += 8;
			n -= 8;
		}
		if (n == 0)
			break;
		step = text_utf8_step(p, n);
		if (step == 0)
			return false;
		p += step;
		n -= step;
	}
	return true;
}

const char *text_sentence(const void *text, size_t n, char ret[TEXT_SENTENCE_SIZE])
{
	const uint8_t *p = text;
	size_t i = 0;

	for (; i < n && i + 1 < TEXT_SENTENCE_SIZE && p[i] != '\n'; i++)
		ret[i] = p[i] < ' ' || p[i] >= 127 ? '?' : (char) p[i];
	ret[i] = '\0';
	return ret;
}

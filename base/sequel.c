/* SPDX-License-Identifier: Apache-2.0 */

#include "base/sequel.h"

#include <string.h>

#include "base/bits.h"

void sequel_init(struct sequel *s, const struct sequel_part *parts, size_t n)
{
	memset(s, 0, sizeof *s);
	s->n = (unsigned) (n < SEQUEL_PARTS_MAX ? n : SEQUEL_PARTS_MAX);
	for (unsigned i = 0; i < s->n; i++) {
		s->again |= (uint64_t) parts[i].again << i;
		s->optional |= (uint64_t) parts[i].optional << i;
		for (unsigned c = 0; c < 256; c++)
			s->takes[c] |= (uint64_t) bit_get(parts[i].set.bytes, c) << i;
	}
}

static uint64_t leave_out(const struct sequel *s, uint64_t at)
{
	for (;;) {
		uint64_t more = at | (at & s->optional) << 1;

		if (more == at)
			return at;
		at = more;
	}
}

uint64_t sequel_begin(const struct sequel *s)
{
	return leave_out(s, 1);
}

uint64_t sequel_over(const struct sequel *s, uint64_t at, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n && at != 0 && !sequel_is_over(s, at); i++) {
		uint64_t taken = at & s->takes[p[i]];

		/* A character beyond ASCII goes on for some bytes. */
		at = leave_out(s, taken << 1 | (p[i] & 0x80 ? taken : taken & s->again));
	}
	return at;
}

uint64_t sequel_over_any(const struct sequel *s, uint64_t at, uint64_t takes)
{
	uint64_t behind = 0, more;

	if (sequel_is_over(s, at))
		return at;
	for (;;) {
		/* How many bytes a part takes is not known. */
		more = (at | behind) & takes;
		more = leave_out(s, more | more << 1);
		if (more == behind || sequel_is_over(s, more))
			return more;
		behind = more;
	}
}

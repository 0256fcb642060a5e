/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/split.h"

#include <string.h>

#include "base/attr.h"

static void take(struct splitter *s, size_t n, size_t newline, struct line *ret)
{
	*ret = (struct line){ .p = s->p, .n = n };
	s->p += n + newline;
	s->left -= n + newline;
}

bool split_next(struct splitter *s, struct line *ret)
{
	const uint8_t *newline;

	if (s->left == 0)
		return false;
	newline = memchr(s->p, '\n', MIN_OF(s->left, s->size_max + 1));
	if (newline) {
		take(s, (size_t) (newline - s->p), 1, ret);
		return true;
	}
	if (s->left > s->size_max) {
		take(s, s->size_max, 0, ret);
		ret->continued = true;
		return true;
	}
	if (!s->at_end)
		return false;
	take(s, s->left, 0, ret);
	ret->no_newline = true;
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/literal.h"

#include <stdlib.h>

#include "store/segment/needle.h"

bool literal_is_in(const struct literals *l, const struct literal_set *s,
		   const struct sequel *behind, const uint8_t *p, size_t n)
{
	const struct text text = { p, (uint32_t) n };
	bool has = s->n == 0;

	for (size_t i = 0; i < s->n && !has; i++) {
		struct needle needle = { l->bytes.data + s->of[i].at, s->of[i].len, l->any_case,
					 behind };
		struct needle_plan plan;

		if (s->of[i].len == 0 || s->of[i].at + s->of[i].len > l->bytes.len ||
		    needle_plan_make(&plan, &needle) != 0)
			abort();
		has = needle_in_value(&plan, text, NULL, 0);
		needle_plan_done(&plan);
	}
	return has;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_LITERAL_H
#define BULLA_TESTS_LITERAL_H

/** What a search looks for before it asks PCRE2, for tests and fuzzing. */

#include "query/literals.h"

/** Whether one of a set is in a text, and behind it what must follow; yes for a set that is empty. */
bool literal_is_in(const struct literals *l, const struct literal_set *s,
		   const struct sequel *behind, const uint8_t *p, size_t n);

#endif

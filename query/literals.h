/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_LITERALS_H
#define BULLA_QUERY_LITERALS_H

/**
 * What every text has in which a PCRE2 pattern is found: the longest run of plain characters of the pattern, where that can
 * be told without a doubt.  It is sought first, in a few columns; the pattern confirms.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum { LITERAL_MAX = 256 };

/**
 * Find the literal of a pattern, of at most LITERAL_MAX bytes.
 *
 * With `any_case` the literal is ASCII, and has no letter that matches a character beyond ASCII in another case (k and s do).
 *
 * @return its length; 0 where nothing can be said.
 */
size_t pattern_literal(const char *pattern, bool any_case, uint8_t ret[LITERAL_MAX]);

#endif

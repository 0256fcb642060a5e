/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_CHARSET_H
#define BULLA_QUERY_CHARSET_H

/**
 * Which characters a part of a PCRE2 pattern may be, for a sequel.
 *
 * What is not understood has everything: a set may be too large, never too small.  Options are those that literals.h names.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sequel.h"

/** Any character. */
struct charset charset_all(void);
/** One character, of `n` bytes. */
struct charset charset_of(const char *c, size_t n, bool caseless);
/** What a backslash and a letter stand for. */
struct charset charset_named(char letter);
/** What stands between the brackets of a class, `^` at its beginning and all. */
struct charset charset_class(const char *p, size_t n, bool caseless);

/** What a backslash and a letter stand for where that is one character; or 0. */
char escaped_control(char letter);

#endif

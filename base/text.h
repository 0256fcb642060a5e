/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_TEXT_H
#define BULLA_BASE_TEXT_H

/** Numbers and byte strings as text. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/** Parse a whole decimal number, nothing before or after it.  @return 0, -EINVAL, or -ERANGE. */
_must_check_ int text_to_u64(const char *s, uint64_t *ret);
/** Write 2n lower-case hex digits and a NUL. */
void text_hex(char *to, const uint8_t *bytes, size_t n);
/** Parse exactly 2n hex digits of either case.  @return 0 or -EINVAL. */
_must_check_ int text_unhex(const char *s, size_t len, uint8_t *ret, size_t n);
/** Write a size as people read it ("4.0K", "1.2M"); `to` has 16 bytes. */
void text_size(char to[16], uint64_t bytes);
bool text_starts(const char *s, const char *prefix);
/** Whether `n` bytes are valid UTF-8 (RFC 3629: shortest form, no surrogates). */
bool text_is_utf8(const uint8_t *p, size_t n);
/** Length of the valid UTF-8 sequence at `p`, or 0. */
size_t text_utf8_step(const uint8_t *p, size_t n);

enum { TEXT_SENTENCE_SIZE = 256 };
/** What somebody says, as a sentence: the first line, cut to fit, in which no byte acts on a terminal.  @return ret. */
const char *text_sentence(const void *text, size_t n, char ret[TEXT_SENTENCE_SIZE]);

#endif

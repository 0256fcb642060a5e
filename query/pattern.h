/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_PATTERN_H
#define BULLA_QUERY_PATTERN_H

/** The pattern that messages are searched for: a PCRE2 expression, and what its literals allow to pass over. */

#include <stddef.h>

#include "base/attr.h"
#include "query/literals.h"

struct pattern;

/**
 * Compile a pattern as journalctl --grep takes it: without an upper case letter in it, or with (?i) before it, in any case.
 *
 * @param message what is wrong with it, a text of at most 255 bytes
 * @return 0, -EINVAL with `message`, -ENOMEM
 */
_must_check_ int pattern_new(struct pattern **ret, const char *text, char *message);
/** Another one for another thread, which lives no longer.  @return 0 or -ENOMEM. */
_must_check_ int pattern_share(const struct pattern *p, struct pattern **ret);
struct pattern *pattern_free(struct pattern *p);

/** @return 1 or 0; BULLA_ELIMIT when its match limit was hit: that is an error, never "no match". */
_must_check_ int pattern_matches(struct pattern *p, const void *message, size_t n);
/** What messages must have that match. */
const struct literals *pattern_literals(const struct pattern *p);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_TENANT_H
#define BULLA_STORE_TENANT_H

/**
 * Tenants: for whom a journal is kept.  The host's configuration says so, in the field _TENANT of the journal's identity, and
 * it decides which segment, which limits and which frame the journal's entries share with others: never another tenant's.
 *
 * A name is 1 to 64 of a-z, 0-9, dot, underscore and dash, and begins with a letter or digit: as it stands it may be part of a
 * file's name.  A journal whose identity has no such name belongs to TENANT_DEFAULT.
 */

#include <stddef.h>

#include "base/attr.h"
#include "store/contexts.h"

#define TENANT_FIELD   "_TENANT"
#define TENANT_DEFAULT "default"

/** What to say of a name that is not lawful. */
#define TENANT_WANTED "1 to 64 of a-z, 0-9, ., _ and - are wanted, a letter or digit first"

enum { TENANT_MAX = 64 };

struct tenant {
	char name[TENANT_MAX + 1];
};

/** Take a name.  @return 0, or -EINVAL for one that is not lawful. */
_must_check_ int tenant_parse(const void *text, size_t n, struct tenant *ret);
/** The tenant of a journal that has these contexts. */
struct tenant tenant_of(const struct contexts *c);
/** By name, bytewise. */
int tenant_compare(const struct tenant *a, const struct tenant *b);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_SHORTNAME_H
#define BULLA_QUERY_SHORTNAME_H

/** Short names of fields, and what people expect of their values. */

#include <stddef.h>

/** How a value is read: as bytes; as a shell pattern; and so that a unit needs no type, a container's id not all digits. */
enum habit { PLAIN, PATTERN, UNIT, CONTAINER, LEVEL };

struct short_name {
	const char *name;
	enum habit habit;
	const char *const *fields; /* those that it stands for, NULL behind the last */
};

/** @return NULL for what is no short name. */
const struct short_name *short_name_find(const char *name, size_t len);

/** A syslog level by name or digit.  @return 0 to 7, or -EINVAL. */
int level_parse(const void *text, size_t n);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_CGROUP_H
#define BULLA_COLLECTOR_CGROUP_H

/**
 * What a cgroup's path says of units, slices and sessions, read as systemd reads it (cg_path_get_unit() and its kin).
 *
 * First come slices, then the unit; behind user@UID.service or session-ID.scope a user's own slices and unit.  Whatever lies
 * deeper belongs to whoever the cgroup was delegated to, and says nothing: a container may make a cgroup of any name there.
 */

#include <stdbool.h>
#include <stddef.h>

/** Part of the path that was parsed; n == 0: there is none. */
struct cgroup_name {
	const char *p;
	size_t n;
};

struct cgroup_names {
	struct cgroup_name slice, unit, session, owner_uid, user_slice, user_unit;
};

/** Parse a path, terminated by NUL. */
void cgroup_parse(const char *path, struct cgroup_names *ret);
/**
 * Find the path in the text of /proc/PID/cgroup, which is changed: that in the unified hierarchy, or else in systemd's own.
 *
 * @return NULL when there is neither.
 */
const char *cgroup_of_proc(char *text);

#endif

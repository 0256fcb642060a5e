/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_WHEN_H
#define BULLA_QUERY_WHEN_H

/**
 * Times as people type them after -S and -U: systemd.time(7)'s timestamps.
 *
 * "2026-11-23 19:34:01.5", "2026-11-23T19:34:01Z", "2026-11-23", "19:34", "now", "today", "yesterday", "tomorrow",
 * "-2h", "+5min", "3 days ago", "@1795462441.25"; a trailing "UTC" or an RFC 3339 offset says the zone.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

/** @return 0 and nanoseconds since 1970; -EINVAL for what is no time; -ERANGE for one that cannot be told. */
_must_check_ int when_parse(const char *text, uint64_t now_ns, uint64_t *ret_ns);

#endif

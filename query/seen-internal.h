/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_SEEN_INTERNAL_H
#define BULLA_QUERY_SEEN_INTERNAL_H

/** What words (seen.c) and JSON (seen_json.c) share. */

#include "query/seen.h"

/** A number that says nothing. */
#define NONE UINT64_MAX

/** The host's key that is this one. */
struct vkey seen_later_key(const struct seen *s, const struct life_key *k);
/** Whether the host had not ended when it was last heard of. */
bool seen_is_up(const struct seen *s);

#endif

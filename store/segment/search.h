/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_SEARCH_H
#define BULLA_STORE_SEGMENT_SEARCH_H

/**
 * Finding a needle in the messages of a segment, most of them unread.
 *
 * Templates tell what can be in their rows (needle.h).  Of variables that may have all of the needle, the values are looked
 * at, a column at a time; where it would lie across a border, whole messages.
 */

#include <stdint.h>

#include "base/attr.h"
#include "store/segment/needle.h"
#include "store/segment/segment.h"

/**
 * Set in `hits` (a bit a row, (rows + 63) / 64 words, cleared first) the rows of a group that have the needle.
 *
 * @return how many, or an error of group_need_...().
 */
_must_check_ int64_t group_search(struct segment_group *g, struct needle_plan *p, uint64_t *hits);

#endif

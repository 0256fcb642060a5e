/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_GAPS_H
#define BULLA_STORE_GAPS_H

/**
 * Gaps: what a journal says of entries that were dropped.
 *
 * An entry with ENTRY_GAP says one of two things: that entries are dropped from here on (sealed or not, it is on disk
 * before the first of them is dropped), or how many there were, in the fields named here.  The second without the first is
 * lawful; the first without the second is what is left when nobody lived to count.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "seal/statement.h"

/** How many entries and bytes of the streams were dropped, as decimal numbers.  Only entries that count have them. */
#define GAP_ENTRIES "_GAP_ENTRIES"
#define GAP_BYTES   "_GAP_BYTES"
/** Why: "disk-full". */
#define GAP_REASON "_GAP_REASON"
/** From when, until when: microseconds since 1970. */
#define GAP_SINCE "_GAP_SINCE"
#define GAP_UNTIL "_GAP_UNTIL"
/** MESSAGE_ID of the two. */
#define GAP_BEGIN_ID "a8a0e4ece5d44b65aa30ee6aedbff34c"
#define GAP_END_ID   "59b2a7684ca448aa8e1921050533e96f"

struct gaps {
	uint64_t counted;	 /* gaps whose entries were counted */
	uint64_t entries, bytes; /* dropped in those; no more than UINT64_MAX */
	bool open;		 /* the last gap was not counted, or not yet */
};

/** Take an entry into account; most are nothing to it. */
void gaps_see(struct gaps *g, const struct entry *e);
/** Add what came behind. */
void gaps_add(struct gaps *g, const struct gaps *behind);
struct segment;
struct segment_group;
/** See the gaps of one batch of a row group all of whose parts were read.  @return 0 or an error of group_entry(). */
_must_check_ int gaps_of_batch(struct gaps *g, struct segment_group *group, uint32_t batch);
/**
 * Find the gaps of the journals of a segment: `of` has room for each, and they are added to it in order.  What is damaged is
 * passed over.  @return 0 or -ENOMEM.
 */
_must_check_ int gaps_of_segment(struct gaps *of, const struct segment *s);
/**
 * Find the gaps of a tail; rows that cannot hold one are not read, and what is damaged is passed over.
 *
 * @return 0; an error of tail_reader_open() or rows_index_build(); -ENOMEM.
 */
_must_check_ int gaps_of_tail(struct gaps *ret, int journals_dirfd, const struct id *journal,
			      uint64_t first_seq);

#endif

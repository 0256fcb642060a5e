/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_JUDGED_H
#define BULLA_QUERY_JUDGED_H

/**
 * A row group, and which of its rows match a query.
 *
 * What contexts say holds for most rows of a journal at once, and messages are searched in their columns; what is left are
 * rows of which only the entry itself can tell.  Only parts are read that the judgement needs.
 */

#include "base/buf.h"
#include "query/source.h"

/* It goes with the last of its users. */
struct judged_group {
	struct segment_group group;
	const struct query *query;
	uint64_t *yes, *maybe, *hits; /* owned: a bit a row; `hits` where messages were searched */
	struct buf message;
	struct field *fields; /* owned, FIELDS_MAX */
	struct entry entry;
	uint32_t users;
	bool by_pattern; /* rows that may match do if their message matches the pattern */
	bool unsearched; /* messages cannot be searched: each entry is asked */
	bool lost;	 /* entries cannot be made whole */
};

/** Pass over what is damaged in a group: it is noted.  @return 0, or an error that is no damage. */
_must_check_ int judged_pass_over(struct query_stats *s, const struct segment_group *g, int r);

/**
 * Open a row group for one user; its batches and times are read.
 *
 * @return 1; 0 if no row can match, or none can be read, which was noted; -ENOMEM, a negated errno.
 */
_must_check_ int judged_open(const struct opening *o, struct searched *s, uint32_t number,
			     struct judged_group **ret);
void judged_let_go(struct judged_group *u);
static inline void judged_let_gop(struct judged_group **u)
{
	if (*u)
		judged_let_go(*u);
}

/** Whether any of the rows [from, to) may match. */
bool judged_any(const struct judged_group *u, uint32_t from, uint32_t to);
/** What was found out about a row of which only the entry itself can tell. */
void judged_settle(struct judged_group *u, uint32_t row, bool matches);
/** Make the messages of all rows that will be shown or asked, if they are many; what cannot be read is left to who does. */
_must_check_ int judged_prepare(struct judged_group *u, bool shown);
/** Whether all rows of a group match, by what contexts say; then it need not be opened to find out which do. */
bool judged_is_whole(struct searched *s, const struct query *q, uint32_t group);

/** The end of the run of batches of one journal that begins at `first`. */
uint32_t judged_end_of_run(const struct segment_group *g, uint32_t first);

#endif

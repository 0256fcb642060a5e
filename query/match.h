/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_MATCH_H
#define BULLA_QUERY_MATCH_H

/**
 * Which entries are meant: journalctl's matches.
 *
 * FIELD=value; matches of one field are alternatives, different fields must all hold, "+" between groups means or.
 * FIELD!=value must not hold.  Short names (unit=, host=, container=...) stand for fields; a word without "=" is the name
 * or id of a container.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "query/shown.h"

struct match;

_must_check_ int match_new(struct match **ret);
struct match *match_free(struct match *m);
static inline void match_freep(struct match **m)
{
	match_free(*m);
}

/** Add one word of the command line.  @return 0, -EINVAL (a bad name), -ENOMEM, BULLA_ELIMIT. */
_must_check_ int match_add(struct match *m, const char *word);
/** As match_add(), for a term given in two parts: what -u, -t and friends stand for. */
_must_check_ int match_add_field(struct match *m, const char *name, const char *value,
				 size_t value_len);
/** Only entries of priority lowest..highest, in addition to everything else. */
void match_set_priority(struct match *m, int from, int to);
/**
 * Only entries whose message has a match of this PCRE2 pattern; without capitals in it, case does not count.
 *
 * @return 0; -EINVAL, and `message` (256 bytes) says what is wrong with it.
 */
_must_check_ int match_set_grep(struct match *m, const char *pattern, char *message);

/** What can be said when only a context is known. */
enum tri { TRI_NO, TRI_YES, TRI_MAYBE };
/**
 * Judge all entries of a context at once.  `own_fields` says whether such entries may have fields of their own.
 */
enum tri match_context(const struct match *m, const struct contexts *c, uint32_t context,
		       bool own_fields);
/**
 * Judge one entry.
 *
 * @return 1 or 0; BULLA_ELIMIT when the pattern's match limit was hit: that is an error, never "no match".
 */
_must_check_ int match_entry(struct match *m, const struct shown *s);

/** Fields that a short name stands for: NULL-terminated, or NULL for what is no short name. */
const char *const *match_short_name(const char *name, size_t len);

/** Append the terms as words that match_add() reads back, each behind a '\n'; how a query travels to an aggregator. */
void match_words(const struct match *m, struct buf *to);

#endif

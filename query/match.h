/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_MATCH_H
#define BULLA_QUERY_MATCH_H

/**
 * Which entries are meant: journalctl's matches.
 *
 * FIELD=value; matches of one field are alternatives, different fields must all hold, "+" between groups means or.
 * FIELD!=value must not hold.  What is required (journalctl's -u, -t) must hold beside all groups.
 *
 * Short names (unit=, host=, container=...) stand for fields, with what people expect of them: a unit without a type is a
 * service, a level may be a word, names of units, hosts, containers, images, pods and namespaces may be shell patterns, and
 * twelve digits of a container's id are enough.  A word without "=" is a container.  Full names compare bytes.
 *
 * "One field" goes by the name as it was given: unit=a _SYSTEMD_UNIT=b must both hold.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "query/literals.h"
#include "query/shown.h"
#include "store/segment/search.h"

struct match;

_must_check_ int match_new(struct match **ret);
struct match *match_free(struct match *m);
/** The same match for another thread, while `m` lives and does not change.  @return 0 or -ENOMEM. */
_must_check_ int match_share(const struct match *m, struct match **ret);
static inline void match_freep(struct match **m)
{
	match_free(*m);
}

/** Add one word of the command line, any bytes.  @return 0, -EINVAL (a bad name or level), -ENOMEM, BULLA_ELIMIT. */
_must_check_ int match_add(struct match *m, const void *word, size_t n);
/** Add a word that must hold whichever group does; "+" is none. */
_must_check_ int match_require(struct match *m, const void *word, size_t n);
/** The same in two parts: what -u, -t and friends stand for. */
_must_check_ int match_require_field(struct match *m, const char *name, const void *value,
				     size_t n);
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
 * Judge all entries of a context at once.  `own_fields` says whether such entries may have fields of their own; `but_grep`
 * leaves aside whether their messages match the pattern.
 */
enum tri match_context(const struct match *m, const struct contexts *c, uint32_t context,
		       bool own_fields, bool but_grep);
/**
 * Judge one entry.
 *
 * @return 1 or 0; BULLA_ELIMIT when the pattern's match limit was hit: that is an error, never "no match".
 */
_must_check_ int match_entry(struct match *m, const struct shown *s);

/**
 * Whether nothing but the pattern is left to be asked of an entry without fields of its own, once its contexts and priority
 * allow it to match.
 */
bool match_leaves_pattern(const struct match *m);
/** Whether a message matches the pattern, of which there is one.  @return as match_entry(). */
_must_check_ int match_message(struct match *m, const void *message, size_t n);

/** Whether an entry of this priority can match. */
bool match_priority(const struct match *m, int priority);
/** Whether that is so of every priority. */
bool match_any_priority(const struct match *m);
enum { NEEDLES_MAX = 2 * LITERALS_MAX };
/** Who must have a needle: nobody; entries that have one MESSAGE only; all that match; and it is all that the pattern asks for. */
enum needle_scope { NEEDLE_NONE, NEEDLE_PLAIN, NEEDLE_ALL, NEEDLE_EXACT };
/**
 * Needles, borrowed from `m`: the message of entries that match must have one of the first `ret_n[0]`, and if there are any
 * one of the `ret_n[1]` behind these.
 */
enum needle_scope match_needles(const struct match *m, struct needle ret[NEEDLES_MAX],
				size_t ret_n[2]);

/** Called with each word. */
typedef void (*match_word_fn)(void *arg, bool required, const void *word, size_t n);
/**
 * Give the terms as words that match_add() and match_require() read back: how a query travels to an aggregator.
 *
 * @return 0 or -ENOMEM.
 */
_must_check_ int match_each_word(const struct match *m, match_word_fn each, void *arg);

#endif

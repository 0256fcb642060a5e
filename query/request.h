/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_REQUEST_H
#define BULLA_QUERY_REQUEST_H

/**
 * A question, as it is asked on a command line or in a URL, and its answer as text.
 *
 * One table of keys serves both: what `bulla query` parses, `--at` sends as `?key=value&...`, and the aggregator parses
 * back with request_set(), so that both ends know the same questions.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "query/catalog.h"
#include "query/exec.h"
#include "query/output.h"

struct request {
	struct match *match; /* owned */
	struct query query;
	struct output output;
	bool follow;
	char *list_field;      /* owned; print the values that this field has, instead of entries */
	bool list_names;       /* print the names of all fields, instead of entries */
	char *count_by;	       /* owned; print how many entries have each value of this field */
	uint64_t histogram_ns; /* print how many entries there are in each span of so long; 0: no */
	/* As given, to be sent on. */
	char *grep; /* owned */
	int priority_from, priority_to;
};

_must_check_ int request_init(struct request *r);
void request_done(struct request *r);

/**
 * Set one key from text: match, require, unit, since, until (nanoseconds), limit, reverse, newest, priority, grep, output,
 * colour, utc, all, field, names, count-by, histogram (nanoseconds).  Values of match, require and unit may be any bytes.
 *
 * @return 0; -EINVAL, and `why` (256 bytes) is a sentence for the user; -ENOENT for an unknown key; -ENOMEM.
 */
_must_check_ int request_set_bytes(struct request *r, const char *key, const void *value, size_t n,
				   char *why);
_must_check_ int request_set(struct request *r, const char *key, const char *value, char *why);
/** Append the request as a URL query, without the '?'.  Out of memory shows as `to->bad`. */
void request_url(const struct request *r, struct buf *to);
/** The same of its matches alone. */
void request_url_match(const struct request *r, struct buf *to);

/** Whether the answer is no entries but what they have, or how many there are. */
bool request_is_summary(const struct request *r);

/** Takes a piece of the answer.  @return 0, or < 0 to stop. */
typedef int (*answer_fn)(void *arg, const void *data, size_t n);

/** Collects what an answer is made of; between entries it holds at most ANSWER_PIECE bytes and one entry. */
struct answer {
	struct request *request;
	answer_fn write;
	void *arg;
	struct buf text;
	struct names *names; /* distinct values, for list_field and list_names */
	struct query_stats stats;
};

enum { ANSWER_PIECE = 64 << 10 };

void answer_init(struct answer *a, struct request *r, answer_fn write, void *arg);
void answer_done(struct answer *a);
/** Answer from what is there.  @return 0; < 0: an error of query_run() or of `write`; -E2BIG: too many distinct values. */
_must_check_ int answer_query(struct answer *a, const struct catalog *c);
/** Answer with the rows of one frame, for followers; flushed before it returns. */
_must_check_ int answer_rows(struct answer *a, const struct catalog_journal *j,
			     const struct rows_ref *ref, const struct tail_rows *rows,
			     struct buf *raw);

/**
 * Answer with entries that somebody else has found and judged: answer_begin() where values or names may be asked
 * for, each entry, answer_end(); or answer_flush() in between, to write out what there is.
 */
_must_check_ int answer_begin(struct answer *a);
_must_check_ int answer_entry(struct answer *a, const struct shown *s);
_must_check_ int answer_end(struct answer *a);
_must_check_ int answer_flush(struct answer *a);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_SOURCE_H
#define BULLA_QUERY_SOURCE_H

/**
 * Where a query's entries come from, once the merge has reached them: the rows of a frame of a tail, or those that a
 * journal has in a row group of a segment.
 *
 * A source gives the matching entries of one journal in the query's order.  Only the one on top is made whole.
 */

#include "query/exec.h"

struct source {
	/* The entry on top. */
	uint64_t time_ns, seq;
	const struct id *journal;
	/** Make it whole; valid until the next call of any source.  @return 0 or an error. */
	int (*shown)(struct source *s, struct shown *ret);
	/** Look at it without making it whole. */
	void (*glimpse)(struct source *s, struct glimpse *ret);
	/** Step past it.  @return 1; 0 at the end; an error. */
	int (*next)(struct source *s);
	void (*free)(struct source *s);
};

/** What contexts alone say, worked out when first asked: of[2 * context + own_fields] is tri + 1, or 0 for not yet. */
struct judgement {
	uint8_t *of; /* owned */
	uint32_t n;  /* contexts that there is room for */
};

_must_check_ int judgement_init(struct judgement *jd, uint32_t n_contexts);
enum tri judge_context(struct judgement *jd, const struct query *q, const struct contexts *c,
		       uint32_t context, bool own_fields);
/** Whether any context of a journal can match; where all rows are told by contexts this spares its parts. */
bool judge_journal(struct judgement *jd, const struct query *q, const struct contexts *c,
		   bool own_fields);

/** Called with each source that has an entry; it takes it, also when it fails. */
typedef int (*source_fn)(void *arg, struct source *s);

/** What opening needs to know. */
struct opening {
	const struct catalog *catalog;
	const struct query *query;
	struct query_stats *stats;
	bool backward;
	struct buf *frame; /* scratch */
	source_fn each;
	void *arg;
};

/** Open a rows frame of a journal of the catalog. */
_must_check_ int frame_source_open(const struct opening *o, const struct catalog_journal *j,
				   struct judgement *jd, const struct rows_ref *ref);

/** A segment as one query sees it. */
struct searched {
	const struct segment *segment;
	struct judgement *judgements; /* owned: one a journal */
	struct needle_plan *
		plans; /* owned: messages must have one of these, unless the scope is NEEDLE_NONE */
	size_t n_plans;
	enum needle_scope scope;
	bool all_known[2],
		all[2]; /* every journal may match: without, with fields of the entries' own */
};

_must_check_ int searched_init(struct searched *s, const struct segment *segment,
			       const struct query *q);
void searched_done(struct searched *s);
/** Whether any journal of the segment can match: [0] by its contexts alone, [1] with fields of the entries' own. */
void searched_may_match(struct searched *s, const struct query *q, bool ret[2]);
/** What that says of a row group. */
bool searched_may_have(const struct searched *s, const bool may_match[2], uint32_t group);
/** Open a row group: a source for each journal in it. */
_must_check_ int group_source_open(const struct opening *o, struct searched *s, uint32_t group);

#endif

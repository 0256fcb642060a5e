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
	struct query_stats *stats; /* of the thread that has it at hand: where damage is noted */
	/** Make it whole; valid until the next call of any source.  @return 0; BULLA_ECORRUPT where it cannot be read, which
	 * was noted; another error. */
	int (*shown)(struct source *s, struct shown *ret);
	/**
	 * For sources that were opened for a tally: look at it, and at those behind it that are known by the same, without
	 * making them whole; next() steps past all of these.  @return 0 or an error.
	 */
	int (*glimpse)(struct source *s, struct glimpse *ret);
	/** Step past it.  @return 1; 0 at the end; an error. */
	int (*next)(struct source *s);
	void (*free)(struct source *s);
};

/** What contexts alone say of all entries of a journal. */
enum whole {
	WHOLE_UNKNOWN, /* nobody has asked yet */
	WHOLE_NO,
	WHOLE_YES,
	WHOLE_MAYBE, /* of each it is still to be found out */
	WHOLE_MIXED, /* they differ */
};

/** What contexts alone say, worked out when first asked: of[2 * context + own_fields] is tri + 1, or 0 for not yet. */
struct judgement {
	uint8_t *of;	/* owned */
	uint32_t n;	/* contexts that there is room for */
	uint8_t all[2]; /* enum whole: without, with fields of the entries' own */
	bool but_grep;	/* messages are judged by themselves */
};

_must_check_ int judgement_init(struct judgement *jd, uint32_t n_contexts);
enum tri judge_context(struct judgement *jd, const struct query *q, const struct contexts *c,
		       uint32_t context, bool own_fields);
/** What holds for a whole journal, whose contexts must not change any more; where it is WHOLE_NO its parts are not read. */
enum whole judge_journal(struct judgement *jd, const struct query *q, const struct contexts *c,
			 bool own_fields);

/** Called with each source that has an entry; it takes it, also when it fails. */
typedef int (*source_fn)(void *arg, struct source *s);

/** What opening needs to know. */
struct opening {
	const struct catalog *catalog;
	const struct query *query;
	struct query_stats *stats;
	bool backward;
	const struct tally *tally; /* NULL: entries are to be put in order and shown */
	bool all;		   /* every entry that matches is wanted */
	bool thorough; /* nothing is left to be judged later: another thread goes on with the source */
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
	bool *counted;		      /* owned: journals that a tally has taken as a whole */
	bool *windows_counted;	      /* owned: and windows; NULL where it has none */
	uint32_t *below[2]; /* owned: how many journals of ranks below each can match: by contexts
			       alone, or with fields of the entries' own */
	struct needle_plan
		*plans;	   /* owned: what messages must have, unless the scope is NEEDLE_NONE */
	size_t n_plans[2]; /* match_needles() */
	enum needle_scope scope;
	uint8_t least
		[2]; /* enum whole, of all journals: without, with fields of the entries' own */
};

_must_check_ int searched_init(struct searched *s, const struct segment *segment,
			       const struct query *q);
void searched_done(struct searched *s);
/**
 * Give a tally the journals that match as a whole and that it takes so; or one of times alone the windows all of whose entries match
 * and were counted.  @return 0 or an error.
 */
_must_check_ int searched_tally(struct searched *s, const struct query *q,
				const struct tally *tally, struct query_stats *stats);
/** Find out which journals can match, for searched_may_have().  @return 0 or -ENOMEM. */
_must_check_ int searched_ask_journals(struct searched *s, const struct query *q);
/** Whether a row group can have entries of a journal that can match and that were not counted yet. */
bool searched_may_have(const struct searched *s, uint32_t group);
/** Open a row group: a source for each journal in it.  What cannot be read is noted, and no error. */
_must_check_ int group_source_open(const struct opening *o, struct searched *s, uint32_t group);

#endif

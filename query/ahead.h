/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_AHEAD_H
#define BULLA_QUERY_AHEAD_H

/**
 * Row groups that other threads open, while the query's own works on those before them.
 *
 * Each thread takes the next group that nobody has, and not more than a few are open ahead of the query, which bounds memory.
 * Whatever the query comes to first it opens itself.
 */

#include "query/source.h"

/* A part that may hold entries of the answer: a rows frame of a journal, or a row group of a segment. */
struct candidate {
	bool is_group;
	uint32_t of;	/* journal of the catalog, or segment */
	uint32_t group; /* of the segment */
	uint64_t time_min, time_max;
	struct rows_ref ref; /* of a frame; a copy: the index may grow meanwhile */
};

/* What one thread opens them with. */
struct opener {
	const struct catalog *catalog;
	const struct query *query;
	const struct tally *tally; /* NULL: entries are merged */
	struct query_stats *stats;
	struct judgement *judgements; /* owned: one a journal */
	struct searched *searched;    /* owned: one a segment */
	bool backward, thorough;
	bool all; /* every entry that matches is wanted: others are called at once */
	struct buf frame;
};

_must_check_ int opener_open(struct opener *o, const struct candidate *c, source_fn each,
			     void *arg);
void opener_done(struct opener *o);

struct ahead;

/**
 * Start `threads` that open candidates for `main`, of those from `from` on; both outlive this.
 *
 * @return 0 or an error; then there are no threads.
 */
_must_check_ int ahead_start(const struct opener *main, const struct candidate *c, size_t n,
			     size_t from, unsigned threads, struct ahead **ret);
/** Open a candidate, by number in rising order: take what a thread has opened, or do it.  Errors as opener_open(). */
_must_check_ int ahead_open(struct ahead *a, size_t number, struct opener *main, source_fn each,
			    void *arg);
/** End the threads, and add what they met to the statistics. */
void ahead_stop(struct ahead *a);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_EXEC_H
#define BULLA_QUERY_EXEC_H

/**
 * Reading entries in the order of (time, journal, seq), from any number of journals at once.
 *
 * The unit is the rows frame.  Frames whose head or context rules them out are not read; the others are opened only when
 * the merge reaches their time, so memory is bounded by the frames that overlap in time, and the newest N stop as soon as
 * no unread frame can be newer.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "query/catalog.h"
#include "query/histogram.h"
#include "query/match.h"
#include "query/shown.h"

struct query {
	struct match *match;	     /* borrowed */
	uint64_t since_ns, until_ns; /* inclusive; 0 and UINT64_MAX for all */
	uint64_t limit;		     /* entries; UINT64_MAX for all */
	bool reverse;		     /* newest first */
	bool newest;		     /* the limit keeps the newest, whatever the order */
	unsigned threads;	     /* that may work at it; 0 and 1: the caller's alone */
};

/** Called with each entry, valid during the call.  @return 0 to go on, > 0 to stop, < 0 to stop with that error. */
typedef int (*query_row_fn)(void *arg, const struct shown *s);

/** Entries that follow each other, in a journal if the tally asked for contexts, and what is known of them without their messages. */
struct glimpse {
	const struct contexts *contexts; /* of the journal, if the tally asked for contexts */
	uint32_t context;		 /* of all of them, if the tally asked for contexts */
	uint32_t n;
	const uint64_t *time_ns;	   /* of each, if the tally asked for times, or else: */
	const struct histogram *histogram; /* them, counted */
	const uint8_t *priority;	   /* of each, if it asked for priorities */
	uint16_t n_fields;		   /* where n is 1: */
	const struct field *fields;	   /* its own */
};

/** Somebody who counts entries.  The calls return 0 to go on, < 0 to stop with that error. */
struct tally {
	bool contexts, priorities; /* what it wants to know */
	uint64_t span_ns;	   /* times, counted by spans of this length; 0: none */
	/**
	 * All entries of a journal match, and none has fields of its own.  @return 1 to take them so, 0 to be given them one
	 * by one.  May be NULL: never.
	 */
	int (*journal)(void *arg, const struct contexts *contexts, uint64_t entries);
	/** Called with each of the others; valid during the call. */
	int (*entries)(void *arg, const struct glimpse *g);
	void *arg;
};

enum { DAMAGES_TOLD = 32 };

/** A place in a segment that cannot be read. */
struct damage {
	const struct segment *segment; /* of the catalog */
	uint64_t offset;	       /* of the block */
	int error;
};

/** What a query met. */
struct query_stats {
	uint64_t frames_read, frames_damaged; /* row groups and their blocks among them */
	uint64_t rows_seen, rows_matched;
	uint64_t rows_read; /* of row groups of which more was read than their tokens */
	struct damage damage[DAMAGES_TOLD]; /* the first of those that are in segments */
	uint32_t n_damage;
};

/** Count a place that cannot be read, once. */
void query_note_damage(struct query_stats *s, const struct damage *d);

/**
 * Run a query.
 *
 * @return 0; an error of the callback; BULLA_ELIMIT when a pattern ran into its limit; -ENOMEM.  What is damaged is passed
 *         over and counted: a frame, or of a row group the entries that have a part in the block.
 */
_must_check_ int query_run(const struct catalog *c, const struct query *q, query_row_fn row,
			   void *arg, struct query_stats *ret_stats);

/**
 * Give all entries that match to somebody who counts them, in no order and whatever the limit.  No entry is made whole that need
 * not be.  Errors as query_run().
 */
_must_check_ int query_tally(const struct catalog *c, const struct query *q, const struct tally *t,
			     struct query_stats *ret_stats);

/**
 * Judge the rows of one frame, in the order in which they arrived; for followers.
 *
 * `rows` and `raw` are scratch.  @return 0 or an error as query_run().
 */
_must_check_ int query_rows(const struct query *q, const struct catalog_journal *j,
			    const struct rows_ref *ref, const struct tail_rows *rows,
			    struct buf *raw, query_row_fn row, void *arg);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_CATALOG_H
#define BULLA_QUERY_CATALOG_H

/**
 * What there is to read: journals, where the rows of each lie, and segments, which have rows of many.
 *
 * A catalog is a snapshot.  It is made from the tails of a state directory here, and from the lanes of an aggregator there;
 * whoever makes it says how a rows frame is read.
 */

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "query/seals.h"
#include "seal/statement.h"
#include "store/contexts.h"
#include "store/segment/set.h"
#include "store/state.h"
#include "store/tail_index.h"

struct catalog_journal {
	struct id id;
	struct id boot;
	const struct contexts *contexts; /* borrowed from the maker */
	const struct rows_index *rows;	 /* borrowed from the maker */
	void *source;			 /* the maker's */
	uint64_t sealed; /* entries of it that are sealed: those with smaller numbers */
};

struct catalog {
	struct catalog_journal *journals; /* owned */
	uint32_t n, cap;
	const struct segment_set *segments; /* borrowed from the maker; NULL: none */
	/** Read one rows frame of a journal; `frame` is scratch.  Errors as rows_ref_read(). */
	int (*read)(void *arg, const struct catalog_journal *j, const struct rows_ref *ref,
		    struct buf *frame, struct tail_rows *ret);
	/** Called once a query has copied what it needs of `rows`, which may change from then on; or NULL. */
	void (*copied)(void *arg);
	void *arg;
};

void catalog_done(struct catalog *c);
_must_check_ int catalog_add(struct catalog *c, const struct catalog_journal *j);

/** The tails of a state directory, opened once; follow.h reads on from where it ends. */
struct local_journal {
	struct tail_reader tail; /* its fd is closed between uses */
	struct rows_index rows;
};

struct local_catalog {
	struct catalog catalog;
	struct segment_set segments;
	const struct state *state;	 /* borrowed */
	struct local_journal **journals; /* owned, as catalog.journals */
	uint32_t n, cap;
	int open_fd; /* of the journal last read */
	uint32_t open_journal;
	uint32_t n_unusable; /* tails that could not be read */
	uint64_t n_damaged;  /* places in the others that could not be read */
	bool with_seals;     /* local_catalog_read_seals() was called */
	struct seals seals;
};

_must_check_ int local_catalog_build(struct local_catalog *c, const struct state *s);
/** Take in one more tail, or go on where it ended.  @return its number, or an error. */
_must_check_ int64_t local_catalog_take(struct local_catalog *c, const struct id *journal);
/**
 * Find out which entries are sealed; before the first call none is.  To be called behind the tails: what is sealed in
 * between counts.  Errors as seals_read(); all journals are then marked as far as is known.
 */
_must_check_ int local_catalog_read_seals(struct local_catalog *c);
void local_catalog_done(struct local_catalog *c);

#endif

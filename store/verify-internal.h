/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_VERIFY_INTERNAL_H
#define BULLA_STORE_VERIFY_INTERNAL_H

/**
 * What the parts of verify share: verify.c leads through the ledger, verify_roots.c fills in what it left out,
 * verify_tails.c and verify_segments.c read what its batches speak of.
 */

#include "bulla/error.h"
#include "seal/history.h"
#include "seal/ledger.h"
#include "store/batchroot.h"
#include "store/segment/set.h"
#include "store/tail_reader.h"
#include "store/verify.h"

/** A number that says nothing. */
#define NONE UINT64_MAX

/** Batches that follow each other and cannot be proved for one reason; not yet told. */
struct lost {
	const char *what; /* NULL: none */
	uint32_t file;	  /* segment */
	uint64_t offset;  /* of what is damaged in it, or NONE */
	uint64_t batch, batches, entries, commit, commit_last;
};

/** How far one journal has been read. */
struct progress {
	struct tail_reader reader; /* fd -1 while closed; its tables stay */
	bool begun;		   /* the file was opened and had a header */
	bool identified;	   /* it was looked whose it is */
	bool missing;		   /* it could not be; that was said */
	bool gone;		   /* there is no such file */
	uint64_t hole_end; /* batches before this are in a hole that was passed, or before it */
	uint32_t hole_searches; /* for one that came while the tail was read */
	bool broken;		/* something was found */
	bool astray;		/* the frames at hand may belong to a batch that was given up */
	bool lost;		/* nothing more can be read */
	bool done;		/* looked at to its end */
	struct gaps gaps;	/* of batches that are good */
	struct lost unread;	/* batches that were in segments, and cannot be read */
	/* Batches that are nowhere; whether they were pruned is known when the ledger has been read. */
	uint64_t absent, absent_entries, absent_first, absent_end, absent_commit;
};

enum { SPANS_NEAR_BITS = 10 };

struct verifier {
	const struct state *state;
	const struct verify_options *options;
	struct verify_report *report;
	struct history *history;
	struct ledger ledger;
	struct ledger_scan scan;
	int error;	     /* what stopped verify itself, and says nothing of the files */
	uint64_t started;    /* monotonic */
	struct progress *at; /* by handle */
	uint32_t n, cap;
	uint32_t *open; /* handles + 1 of open readers */
	uint32_t n_slots, n_open;
	uint32_t dice;
	struct segment_set segments;
	struct segment_cursor *cursors;		   /* owned: one a segment */
	uint32_t spans_near[1 << SPANS_NEAR_BITS]; /* where in the set's a journal's may begin */
	struct batch *batches; /* owned: of the commit at hand, where the ledger left roots out */
	bool *made;	       /* owned: of these, which roots were made of what a segment has */
	size_t batches_cap, made_cap;
	struct batchroot root;
	struct gaps gaps; /* of the batch at hand */
	struct lost lost; /* whole commits */
	struct id lost_journal;
	struct buf raw;
	struct buf
		kept; /* of the batch at hand: frames of rows, unpacked, each behind its length */
	bool kept_too_many;
	struct verify_progress progress;
	uint64_t progress_file,
		progress_before; /* the ledger's file at hand; bytes of those before it */
};

void verify_found(struct verifier *v, const struct finding *f);
/** A finding in a file; `journal` and `b` may be NULL. */
void verify_found_at(struct verifier *v, enum verdict verdict, const char *file,
		     const struct id *journal, const struct batch *b, uint64_t commit,
		     uint64_t offset, const char *what);
/** A finding about a batch, or about a journal where `b` is NULL. */
void verify_found_in(struct verifier *v, enum verdict verdict, const struct id *journal,
		     const struct batch *b, uint64_t commit, uint64_t offset, const char *what);
/** Count a batch that cannot be proved. */
void verify_lose(struct verifier *v, const struct batch *b);
/** Take what the ledger has got meanwhile.  @return 0 or a negated errno. */
_must_check_ int verify_follow_ledger(struct verifier *v);
/** The time by the wall clock, as the caller of verify gave it. */
uint64_t verify_now(const struct verifier *v);

/** Find out how long it may take; then tell it with each commit. */
void verify_progress_begin(struct verifier *v);
void verify_progress_tell(struct verifier *v);

/** What is wrong with one batch, or behind the last. */
struct problem {
	const char *what; /* NULL: nothing */
	enum verdict verdict;
	uint64_t offset;
	bool stuck; /* no further frame can be read there */
};

/** Note a problem.  @return 0. */
int verify_problem(struct problem *p, enum verdict verdict, uint64_t offset, const char *what);

/** Whether an error says something of the data; otherwise it is the system's. */
static inline bool verify_is_ours(int r)
{
	return r <= BULLA_ETRUNCATED;
}

/** Why a file could not be opened, as a problem.  What is verify's own lack is returned. */
_must_check_ int verify_unreadable(int r, struct problem *ret);
/** Why no further item could be read, as a problem.  What is verify's own lack is returned. */
_must_check_ int verify_stuck(const struct tail_reader *t, int r, struct problem *ret);

/** What a rows frame turned out to hold. */
struct rows_seen {
	uint64_t time_min, time_max, received_max;
	uint32_t n;
	bool own_fields;
	struct gaps gaps;
};

/** Decode the rows of a frame, and hash them where `root` is not NULL.  @return 0 or -ENOMEM. */
_must_check_ int verify_rows(struct verifier *v, struct tail_reader *t,
			     const struct tail_rows *rows, struct batchroot *root,
			     struct rows_seen *seen, struct problem *ret);
/** Is this tail, once it has been read to its first rows, the journal that the ledger opened?  @return NULL: it is. */
const char *verify_identity(const struct tail_reader *t, const struct ledger_journal *j);
/** Have the tail of a journal open where its reading was left.  @return 0 or an error of tail_reader_open(). */
_must_check_ int verify_reopen(struct verifier *v, uint32_t handle);

/** Begin to keep the rows of another batch. */
void verify_keep_none(struct verifier *v);
/** Keep the rows in `raw`, if entries are wanted.  @return 0 or -ENOMEM. */
_must_check_ int verify_keep_rows(struct verifier *v);
/** Give what was kept, of a batch that is good, to who wants it.  @return 0 or an error, his among them. */
_must_check_ int verify_give_tail(struct verifier *v, const struct tail_reader *t,
				  const struct batch *b, const struct ledger_journal *j,
				  uint64_t commit);
/** The same of a batch of a group, all of which was hashed. */
_must_check_ int verify_give_group(struct verifier *v, struct segment_group *g, uint32_t number,
				   const struct batch *b);

/** Prepare for the journals that the history knows.  @return 0 or -ENOMEM. */
_must_check_ int verify_tails_reserve(struct verifier *v, uint32_t n);
/** Check batch `i` of a commit against its tail. */
_must_check_ int verify_tails_batch(struct verifier *v, const struct sealed_commit *c, uint32_t i);
/** Check what a tail holds beyond the ledger. */
_must_check_ int verify_tails_rest(struct verifier *v, uint32_t handle);
/** Behind all commits: what is nowhere must have been pruned. */
void verify_tails_absent(struct verifier *v, uint32_t handle);
/** Look at a file that bears a journal's name: a state_journal_fn. */
_must_check_ int verify_tails_known(void *arg, const struct id *journal, const char *name);
void verify_tails_done(struct verifier *v);

/**
 * Open what segments there are, or those that there are by now: `late` ones are not asked about commits that were looked at
 * before.  @return 0, -ENOMEM, a negated errno.
 */
_must_check_ int verify_segments_open(struct verifier *v, bool late);
/** Whether segments have a batch; where they do not, new ones may, which are then opened.  @return 1, 0, an error of
 * verify_segments_open(). */
_must_check_ int verify_segments_have(struct verifier *v, const struct batch *b);
/** The root of what a segment has for a batch.  @return 1; 0: none has it, or it cannot be read, which was said; an error. */
_must_check_ int verify_segments_root(struct verifier *v, const struct batch *b, uint64_t commit,
				      struct hash *ret);
/**
 * Check batch `i` of a commit where a segment has it; `*ret_good` says that one has, and rightly.  `in_tail`: so has its tail.
 */
_must_check_ int verify_segments_batch(struct verifier *v, const struct sealed_commit *c,
				       uint32_t i, bool in_tail, bool *ret_good);
/** Behind all commits: tell what of a journal cannot be read. */
void verify_segments_lost(struct verifier *v, uint32_t handle);
/** Behind all commits: nothing else may be there. */
void verify_segments_rest(struct verifier *v);
void verify_segments_done(struct verifier *v);

/**
 * Fill in the roots that the ledger left out of a commit; what there is makes them, and the seal covers all together.
 *
 * @return 1: `c` has them, of batches that are whole or were pruned; 0: they are not what was sealed, which was said; an error.
 */
_must_check_ int verify_roots(struct verifier *v, struct sealed_commit *c);
/** Tell which commits were not proved for want of a root. */
void verify_roots_lost(struct verifier *v);

#endif

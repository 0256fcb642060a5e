/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_VERIFY_H
#define BULLA_STORE_VERIFY_H

/**
 * Prove a state directory whole, or say where it is not.
 *
 * Every record of the ledger, every seal, every entry of every batch is computed anew; indexes and headers are compared
 * with what they speak of.  Verdicts rank; the worst finding is the report's.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "seal/note.h"
#include "seal/statement.h"
#include "store/contexts.h"
#include "store/gaps.h"
#include "store/life.h"
#include "store/state.h"

enum verdict {
	VERDICT_OK,
	VERDICT_NOTE, /* worth saying, nothing wrong */
	VERDICT_UNPINNED,
	VERDICT_UNSEALED,
	VERDICT_STALE,
	VERDICT_INCOMPLETE,
	VERDICT_TAMPERED,
};

const char *verdict_name(enum verdict v);
/** Exit status of `bulla verify`: 0 OK, 1 TAMPERED, 3 INCOMPLETE or STALE, 4 UNPINNED or UNSEALED. */
int verdict_exit_status(enum verdict v);

/** One thing found.  Numbers that say nothing are UINT64_MAX. */
struct finding {
	enum verdict verdict;
	const char *file;	  /* below the state directory */
	const struct id *journal; /* or NULL */
	uint64_t batch, commit, offset;
	uint64_t batches, commit_last; /* so many from `batch` on, up to that commit; 0: one */
	uint64_t entries;	       /* that are not proved; 0: that is not said */
	const char *what;
};

typedef void (*finding_fn)(void *arg, const struct finding *f);

/** An entry that was checked; valid during the call.  What is of a batch is as the ledger has it. */
struct sealed_entry {
	uint32_t journal; /* the how-manieth that was opened */
	const struct batch *batch;
	uint64_t seq;
	const struct contexts
		*contexts; /* of its journal; all hashed, the first is the sealed identity */
	uint32_t context;
	const struct entry *entry;
};

/** How far it has come. */
struct verify_progress {
	uint64_t ledger, ledger_total; /* bytes; the last file may have room ahead */
	uint64_t entries;
};

struct verify_options {
	const struct vkey *pin; /* NULL: none known */
	uint64_t now_ns;
	uint64_t max_age_ns; /* of the last commit; 0: any */
	bool running; /* a sealer is at work: unsealed entries younger than two ticks are a note */
	uint64_t receipt_size;		 /* commits that an aggregator has; 0: none known */
	const struct hash *receipt_root; /* of the tree of that size; NULL: not known */
	bool receipt_checked;		 /* it is known that the aggregator has signed it */
	finding_fn found;
	/**
	 * Given each entry of each batch that is what was sealed, under a seal that verifies, once; in the order of commits, then
	 * journals, then numbers.  It was made of the bytes that were hashed.  NULL: not wanted.  A negative return ends it all.
	 */
	int (*entry)(void *arg, const struct sealed_entry *e);
	void (*progress)(void *arg, const struct verify_progress *p); /* or NULL */
	void *arg;
};

struct verify_report {
	enum verdict verdict;
	uint64_t commits, batches, entries, bytes;
	uint64_t unsealed_entries;
	uint64_t pruned_batches, pruned_entries; /* that the ledger says were taken away */
	uint64_t lost_batches, lost_entries;	 /* not proved: damaged, or missing */
	struct gaps
		gaps; /* what sealed entries say was dropped; `open`: in some journal it was not counted (yet) */
	uint32_t journals;
	uint64_t time_first, time_last; /* of commits */
	struct life life;
	bool has_key;
	struct vkey key;
	char host[256];
};

/**
 * Verify; the host may go on while it is read.
 *
 * @return 0 and the report; what options.entry returned; a negated errno when the directory cannot be read at all, or memory or descriptors are short.
 */
_must_check_ int verify_state(const struct state *s, const struct verify_options *options,
			      struct verify_report *ret);

#endif

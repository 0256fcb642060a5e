/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_LEDGER_H
#define BULLA_SEAL_LEDGER_H

/**
 * The ledger's file: frames of the records that seal/history.h checks, appended for ever.
 *
 * Space is allocated ahead of the end, so that a commit finds room on a full disk and its fdatasync writes no metadata.
 * A writer may keep more of it, behind the end of the file, for a disk that stays full.
 */

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/framefile.h"
#include "seal/history.h"

/** Name of the file below the directory of ledgers; the number is its first commit. */
#define LEDGER_FILE "00000000000000000000.ledger"

struct ledger {
	int fd;		  /* owned */
	uint64_t end;	  /* where the next frame goes */
	uint64_t last;	  /* where the last one is */
	uint64_t reserve; /* bytes to keep behind the end of the file, unseen by readers */
};

/** Create an empty ledger, header written and durable. */
_must_check_ int ledger_create(struct ledger *l, int dirfd);
/** How a scan ended. */
struct ledger_scan {
	uint64_t end;	     /* offset behind the last good record */
	uint64_t damaged_at; /* where a torn or damaged frame begins; 0: none */
	int error;	     /* of the record that the history refused, else 0 */
	uint64_t records;
};

/**
 * Called with each commit.  A negative return stops the scan and is returned by it; the history has then taken a commit
 * that `scan` does not count, and is of no more use.
 */
typedef int (*ledger_commit_fn)(void *arg, const struct sealed_commit *c);

/**
 * Open the ledger and feed all of it to `h`.
 *
 * A frame that cannot be read ends the scan; where it lies at the very end it is what a crash leaves (`damaged_at`).
 *
 * @return 0; the error of the first record that the history refuses (also in `ret`); a negated errno.
 */
_must_check_ int ledger_open(struct ledger *l, int dirfd, int flags, struct history *h,
			     enum history_check check, ledger_commit_fn each, void *arg,
			     struct ledger_scan *ret);
/** Feed what was appended since; for readers that follow.  Fields of `scan` go on from where they were. */
_must_check_ int ledger_catch_up(struct ledger *l, struct history *h, enum history_check check,
				 ledger_commit_fn each, void *arg, struct ledger_scan *scan);
/**
 * Frame a record, append it and make it durable.
 *
 * On failure the same call may be tried again with the same bytes: all before them is durable already, and writing them
 * again makes even pages dirty that a failed fdatasync has given up.
 */
_must_check_ int ledger_append(struct ledger *l, enum ledger_record type, const void *record,
			       size_t n);
/** Keep so many bytes besides, as far as they can be had. */
void ledger_keep(struct ledger *l, uint64_t reserve);
/**
 * Zero what a crash left behind the last good record, and keep the reserve; only the writer may.
 *
 * The last record may be one whose sync failed, so that it is in memory alone: it is written again, and durable after this.
 */
_must_check_ int ledger_trim(struct ledger *l);
/** Whether nothing but a header can ever have been written here.  @return 1, 0, or a negated errno. */
_must_check_ int ledger_is_blank(const struct ledger *l);
void ledger_close(struct ledger *l);

#endif

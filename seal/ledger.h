/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_LEDGER_H
#define BULLA_SEAL_LEDGER_H

/**
 * The ledger's files: frames of the records that seal/history.h checks, appended for ever.
 *
 * Each file is named by its first commit, and ends where the next one begins.  Only the last is appended to; those before it
 * may be written anew with the same commits packed (seal/packed.h), which readers take like the others.
 *
 * Space is allocated ahead of the end, so that a commit finds room on a full disk and its fdatasync writes no metadata.
 * A writer may keep more of it, behind the end of the file, for a disk that stays full.
 */

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/framefile.h"
#include "seal/history.h"
#include "seal/packed.h"

/** Name of the first file below the directory of ledgers. */
#define LEDGER_FILE "00000000000000000000.ledger"

enum { LEDGER_NAME_SIZE = sizeof LEDGER_FILE };

/** A file is full from this size on; tests make it small. */
extern uint64_t ledger_file_size;

/** The name of the file that begins with a commit. */
void ledger_name(uint64_t first, char ret[LEDGER_NAME_SIZE]);
/** @return whether a file's name is one of a ledger's, and with which commit it begins. */
bool ledger_name_parse(const char *name, uint64_t *ret_first);

struct ledger {
	int dirfd;	  /* borrowed */
	int fd;		  /* owned: of the file at hand */
	uint64_t first;	  /* its first commit */
	uint64_t end;	  /* where its next frame goes */
	uint64_t last;	  /* where its last one is */
	uint64_t reserve; /* bytes to keep behind the end of the file, unseen by readers */
	bool unsynced;	  /* the name of the file may not be durable yet */
	struct frame_reader reader;
	struct packed_reader packed; /* owned: at hand while `in_packed` */
	bool in_packed;
};

/** Create an empty ledger, header written and durable.  The directory is borrowed until ledger_close(). */
_must_check_ int ledger_create(struct ledger *l, int dirfd);
/** How far a ledger has been read, and how that ended. */
struct ledger_scan {
	uint64_t end;	     /* offset behind the last good record in the file at hand */
	uint64_t damaged_at; /* where a torn or damaged frame begins; 0: none */
	int error;	     /* of the record that the history refused, else 0 */
	uint64_t records;
};

/** Begin to read a ledger; the directory is borrowed until ledger_close().  @return 0, or an error of io_open_regular(). */
_must_check_ int ledger_begin(struct ledger *l, int dirfd, int flags);

/** A record as it was read, valid until the next call. */
struct ledger_read {
	enum ledger_record type; /* LEDGER_KEYS or LEDGER_COMMIT */
	const uint8_t *payload;	 /* NULL: the commit was packed */
	size_t size;
	struct sealed_commit commit;
};
/**
 * Read the next record of keys, which `h` takes, or the next commit, which it previews: the caller has it taken by
 * history_commit_sealed() before the next call.
 *
 * A frame that cannot be read ends the ledger; where it lies at the very end it is what a crash leaves (`damaged_at`).
 *
 * @return 1; 0 at the end, where the next call tries again; the error of a record that the history refuses (also in `scan`); a
 *         negated errno.
 */
_must_check_ int ledger_next(struct ledger *l, struct history *h, enum history_check check,
			     struct ledger_scan *scan, struct ledger_read *ret);

/**
 * Called with each commit, which the history has taken.  A negative return stops the scan and is returned by it; the ledger
 * is of no more use then.
 */
typedef int (*ledger_commit_fn)(void *arg, const struct sealed_commit *c);

/**
 * Open the ledger and feed all of it to `h`.  The ledger is closed on failure.
 *
 * @return 0; the error of the first record that the history refuses (also in `ret`); a negated errno.
 */
_must_check_ int ledger_open(struct ledger *l, int dirfd, int flags, struct history *h,
			     enum history_check check, ledger_commit_fn each, void *arg,
			     struct ledger_scan *ret);
/** Feed what was appended since; for readers that follow.  Fields of `scan` go on from where they were. */
_must_check_ int ledger_catch_up(struct ledger *l, struct history *h, enum history_check check,
				 ledger_commit_fn each, void *arg, struct ledger_scan *scan);
/** With which commits the files below a directory begin, ascending.  @return how many, or a negated errno; `*ret` is the caller's. */
_must_check_ int64_t ledger_files(int dirfd, uint64_t **ret);
/** Whether there are files that begin behind these commits: some are missing then.  @return 1, 0, a negated errno. */
_must_check_ int ledger_has_beyond(const struct ledger *l, uint64_t commits);
/**
 * Frame a record, append it and make it durable.
 *
 * On failure the same call may be tried again with the same bytes: all before them is durable already, and writing them
 * again makes even pages dirty that a failed fdatasync has given up.
 */
_must_check_ int ledger_append(struct ledger *l, enum ledger_record type, const void *record,
			       size_t n);
/** Go on in a file of its own from commit `next` on, where this one is full and the disk is not.  Less is no failure. */
void ledger_rotate(struct ledger *l, uint64_t next);
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

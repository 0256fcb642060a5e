/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_TAIL_WRITER_H
#define BULLA_STORE_TAIL_WRITER_H

/**
 * Writing a tail: entries are staged, appended as rows frames, and cut into batches.
 *
 * Nothing is allocated per entry.  A batch is always a whole number of rows frames.  One batch may be cut and not yet
 * sealed while the next one fills; a second is cut only after tail_writer_sealed().
 *
 *	tail_create -> [tail_writer_context] -> tail_writer_add... -> tail_writer_flush -> tail_writer_cut -> ..._sealed
 *
 * Behind the end TAIL_RESERVE bytes stay allocated that rows do not use: so that on a full disk what is there can be cut,
 * and it can be said what was dropped.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "store/batchroot.h"
#include "store/contexts.h"
#include "store/format.h"
#include "store/stage.h"
#include "store/tail_reader.h"

struct tail_writer {
	int fd; /* owned */
	struct tail_header header;
	uint64_t end;	    /* where the next frame goes */
	uint64_t allocated; /* size of the file */
	uint64_t durable;   /* what lies before is on disk */
	bool suspect; /* a sync has failed: what lies behind may be in memory alone, and not dirty */
	struct contexts contexts;
	struct seeds seeds;
	uint64_t batch_no; /* of the batch that fills */
	uint64_t next_seq; /* of the next entry */
	struct batchroot open;
	/* Staged rows, not yet in the file. */
	struct stage stage;
	struct batchroot_mark before; /* the batch before the first staged row */
	struct buf frame;	      /* scratch */
	/* Cut and not yet sealed. */
	bool cut_pending;
	struct batch cut;
	struct tail_channel channel[CHANNELS_MAX];
	uint8_t n_channels;
};

/**
 * Create the tail of a new journal: header, identity and first seed.  Durable when it returns.
 *
 * @return 0, -EEXIST, a negated errno.
 */
_must_check_ int tail_create(int dirfd, const struct id *journal, const struct id *boot,
			     const uint8_t *identity_leaf, size_t identity_size,
			     const uint8_t seed[SEED_SIZE]);
/**
 * The same, and go on writing.  Nothing is durable yet: before anybody hears of the journal it takes tail_writer_sync() and
 * io_sync_dir(), which many new journals may share.
 */
_must_check_ int tail_writer_create(struct tail_writer *t, int dirfd, const struct id *journal,
				    const struct id *boot, const uint8_t *identity_leaf,
				    size_t identity_size, const uint8_t seed[SEED_SIZE]);
/**
 * Open a journal's tail to go on writing, on the boot that it began in.
 *
 * `batches` and `entries` are what the sealer has of it.  What lies behind them is hashed again, and made durable; a cut
 * that was never sealed becomes `cut` with `cut_pending`.  A torn frame at the end is removed: on the same boot it was
 * never told to anyone.
 *
 * @return 0; BULLA_ECORRUPT when it is not this journal's, sealed entries are missing, or unsealed ones were never
 *         lawful; a negated errno.
 */
_must_check_ int tail_writer_open(struct tail_writer *t, int dirfd, const struct id *journal,
				  uint64_t batches, uint64_t entries);
void tail_writer_close(struct tail_writer *t);

/**
 * Number of a context, written to the file at its first use.  `parent` is a context's number.
 *
 * @return the number; BULLA_ELIMIT, when the tail has as many as it may; an error of context_decode(); a negated errno.
 *         A failure leaves the tail as it was.
 */
_must_check_ int64_t tail_writer_context(struct tail_writer *t, uint32_t parent,
					 const struct field *fields, uint16_t n_fields);
/**
 * Stage an entry; its context hash is filled in here.
 *
 * @return 0; BULLA_ENOTCANON for an entry that has no row (row_is_lawful()); -ENOBUFS when there is no room for it beside
 *         what is staged: flush and try again; BULLA_ELIMIT when the batch has BATCH_ENTRIES_MAX; -ENOMEM.
 */
_must_check_ int tail_writer_add(struct tail_writer *t, struct entry *e, uint32_t context);
/** Bytes staged. */
size_t tail_writer_staged(const struct tail_writer *t);
/** Tell how many bytes of a channel are covered once the staged rows are in the file. */
void tail_writer_consumed(struct tail_writer *t, uint8_t channel, uint64_t bytes);
/** Append the staged rows as a frame.  Not durable.  After a failure the same call tries again. */
_must_check_ int tail_writer_flush(struct tail_writer *t);
/** The same, with the reserve to write in. */
_must_check_ int tail_writer_flush_reserved(struct tail_writer *t);
/** Forget the staged rows, as if they had never been added. */
void tail_writer_unstage(struct tail_writer *t);
/** Allocate space for `size` bytes more, the reserve besides.  @return 0, -ENOSPC, -EDQUOT, a negated errno. */
_must_check_ int tail_writer_make_room(struct tail_writer *t, size_t size);
/** Make what was flushed durable, without cutting.  After a failure it is written anew. */
_must_check_ int tail_writer_sync(struct tail_writer *t);
/** Leave nothing that a crash could tear: to be done when all is sealed, before the journal is closed.  As tail_writer_sync(). */
_must_check_ int tail_writer_settle(struct tail_writer *t);
/** Entries and bytes of the batch that fills. */
uint32_t tail_writer_open_entries(const struct tail_writer *t);
uint64_t tail_writer_open_bytes(const struct tail_writer *t);
/**
 * End the batch that fills (it has entries, nothing is staged, no cut is pending) and make it durable; `t->cut` is then
 * what to tell the sealer.
 *
 * After a failure nothing was cut, and the same call tries again; what a failed sync may have given up is then written
 * anew.
 */
_must_check_ int tail_writer_cut(struct tail_writer *t, int64_t mono_offset);
/** The pending cut is sealed. */
void tail_writer_sealed(struct tail_writer *t);
/** The journal is closed: give back the space that is allocated behind its end. */
void tail_writer_end(struct tail_writer *t);
/** Give back memory that only a busy source needs. */
void tail_writer_relax(struct tail_writer *t);
/** Take over from another what it needs to write frames and would need again: one will do for many that take turns. */
void tail_writer_take_scratch(struct tail_writer *t, struct tail_writer *from);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_WRITER_H
#define BULLA_STORE_SEGMENT_WRITER_H

/**
 * Writing a segment: commits come in their order, each batch whole.  A window is what some commits had, its rows by (app, journal,
 * seq), divided into row groups between apps.
 *
 *	segment_writer_open -> { journal | batch, add... | end_commit }... -> segment_writer_finish
 *
 * What was written is read back in the end, and what searchers are told of it is gathered from that.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/statement.h"
#include "store/contexts.h"
#include "store/segment/check.h"
#include "store/segment/format.h"
#include "store/segment/messages.h"
#include "store/segment/segment.h"
#include "store/segment/staging.h"
#include "store/tail_reader.h"

/** A window ends with the commit that brings it to so many bytes of entries, a group of it with the app that brings it to so many rows. */
extern uint64_t segment_window_bytes;
extern size_t segment_group_rows;

/** A journal of the segment; what it points to must live until segment_writer_finish(). */
struct segment_source {
	struct id id, boot;
	uint32_t origin;		 /* as segment_writer_origin() numbered it */
	uint64_t first_batch, first_seq; /* of the first batch that comes */
	uint64_t next_batch, next_seq;	 /* the writer's */
	const struct contexts *contexts;
	const struct seeds *seeds;
	struct staging_key key; /* the writer's, like the following */
	uint32_t rank;		/* among all, by key */
};

/** A row group that was written. */
struct written_group {
	uint32_t rows, batches;
	uint32_t first, last; /* journals, by their ranks */
	uint64_t time_min, time_max, offset;
	struct block_ref tokens; /* offset 0: none */
	uint32_t n_blocks;
	size_t blocks_end; /* in `blocks_of` */
};

struct segment_writer {
	int dirfd;	  /* borrowed */
	const char *name; /* borrowed */
	int fd;		  /* owned */
	int level;	  /* zstd's */
	uint64_t offset;
	struct tenant tenant;
	struct segment_origin *origins; /* owned */
	uint32_t n_origins;
	struct segment_source *sources; /* owned */
	uint32_t n_sources, sources_cap;
	struct templates templates;
	struct written_group *groups; /* owned */
	uint32_t n_groups, groups_cap, n_windows;
	struct buf blocks_of; /* the footer's lines of their blocks */
	struct buf windows;   /* and of windows */
	struct buf tables;    /* what the footer says before its groups */
	void *zstd;
	struct staging rows;	   /* of the window at hand */
	struct staged_group group; /* of it, at hand */
	struct messages messages;
	struct message_blocks blocks;
	struct strings_scratch scratch;
	struct buf raw, stored;
};

/** Create a segment file; its name must live until segment_writer_finish().  @return 0, -EEXIST, a negated errno. */
_must_check_ int segment_writer_open(struct segment_writer *w, int dirfd, const char *name,
				     int level);
void segment_writer_close(struct segment_writer *w);
/** Whose journals will come; without a word TENANT_DEFAULT's. */
static inline void segment_writer_tenant(struct segment_writer *w, const struct tenant *t)
{
	w->tenant = *t;
}
/** Announce an origin; its commits from `first` on are to come.  @return its number, -ENOMEM, BULLA_ELIMIT. */
_must_check_ int64_t segment_writer_origin(struct segment_writer *w, const struct id *id,
					   uint64_t first);
/** A commit that has a batch here was at this time. */
void segment_writer_when(struct segment_writer *w, uint32_t origin, uint64_t time_ns);
/** Commits of an origin before `end` have come, or have nothing to be kept here. */
void segment_writer_covers(struct segment_writer *w, uint32_t origin, uint64_t end);
/** Announce a journal.  @return its number in the segment, -ENOMEM, BULLA_ELIMIT. */
_must_check_ int64_t segment_writer_journal(struct segment_writer *w,
					    const struct segment_source *s);
/** Begin the next batch of a journal. */
_must_check_ int segment_writer_batch(struct segment_writer *w, uint32_t journal, uint64_t commit,
				      uint8_t flags, int64_t mono_offset);
/** Take the next entry of the batch at hand; it is copied. */
_must_check_ int segment_writer_add(struct segment_writer *w, const struct entry *e,
				    uint32_t context);
/** Take back the batch at hand and its entries. */
void segment_writer_drop_batch(struct segment_writer *w);
/** All batches of a commit are there: the window may end here.  @return 0, BULLA_ELIMIT, -ENOMEM, a negated errno. */
_must_check_ int segment_writer_end_commit(struct segment_writer *w);
/** End the window with the commits that have come.  Errors as segment_writer_end_commit(). */
_must_check_ int segment_writer_flush(struct segment_writer *w);
/** Give back the memory that only writing a group needs, which the next one takes anew. */
void segment_writer_relax(struct segment_writer *w);
/**
 * Write what is left, read the file back as segment_check() does, with the tokens that are gathered on the way, and make it durable.
 * Where `sealed` is NULL nobody has sealed the batches, and they are not hashed.
 *
 * @return its size, BULLA_ECORRUPT where it does not give back what was sealed, or an error.
 */
_must_check_ int64_t segment_writer_finish(struct segment_writer *w,
					   const struct sealed_batch *sealed, size_t n);

#endif

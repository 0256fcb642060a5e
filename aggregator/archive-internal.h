/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_ARCHIVE_INTERNAL_H
#define BULLA_AGGREGATOR_ARCHIVE_INTERNAL_H

/**
 * Shared by archive.c (what is held), archive_put.c (what comes in), archive_live.c (what comes in unsealed), archive_follow.c (who
 * is shown both at once), archive_segments.c (what is packed), archive_damage.c (what cannot be shown), archive_prove.c (proofs of it), archive_view.c (who reads what) and compactor.c (who packs).
 */

#include <stdatomic.h>

#include "aggregator/archive.h"
#include "aggregator/compact.h"
#include "aggregator/spans.h"
#include "store/segment/set.h"

enum {
	LIVE_MAX = 1024, /* pieces of unsealed rows that wait for followers */
	LIVE_BYTES_MAX = 32 << 20,
	LIVE_JOURNALS_MAX = 4096, /* of one origin, that nothing sealed has come of yet */
	FORKS_KEPT = 8,		  /* of one origin */
	ARRIVALS_MAX = 1 << 20,	  /* that wait for the slowest follower */
	HELD_NAME_SIZE = 64,
	DAMAGE_TOLD = 32, /* places that an answer names */
};

struct held_origin {
	struct id id;
	pthread_mutex_t lock; /* guards `receiver` while a PUT is verified */
	struct receiver *receiver;
	unsigned lane;
	/* Guarded by the archive's lock: what is acknowledged. */
	uint64_t durable;
	struct hash root;
	uint64_t time_ns; /* of the last commit */
	char host[256];
	char receipt[1024];
	uint64_t entries, absent;
	unsigned live_journals; /* known by unsealed rows only */
	unsigned forks;		/* guarded by `lock` */
};

/* Ids are random where they come from an honest host; a hostile one that repeats another's gets a journal of its own. */
struct held_journal {
	struct id origin;
	struct id id;
	struct id boot;
	const struct contexts *contexts; /* newest published */
	struct rows_index rows;		 /* of what is in no segment */
	struct spans packed;		 /* entries that segments have */
	uint32_t n_coming;		 /* spans that there is to be room for */
	uint64_t next_seq;		 /* behind the last row that is held */
	bool live_only;			 /* rows have come, but none that were sealed */
};

/** Rows that have come while somebody follows. */
struct arrival {
	uint32_t journal;
	struct rows_ref rows;
};

/** A piece of unsealed rows of one journal. */
struct live_piece {
	uint64_t number; /* ever growing */
	unsigned users;	 /* the ring, and followers that are reading it */
	uint32_t journal;
	struct contexts contexts;
	uint8_t *frame; /* owned: one rows frame */
	size_t frame_size;
	size_t size; /* with the contexts */
};

/** An object of a lane, or the rest of one. */
struct held_object {
	struct lane *lane; /* NULL: it is gone */
	uint64_t seq;
	bool rest;
	bool packed;	 /* its rest has taken its place; readers may have it in use still */
	bool left_alone; /* it cannot be packed */
	int fd;		 /* -1 before it is read */
	uint64_t taken;	 /* bytes of it that count */
	uint64_t lost;	 /* entries that are neither here nor in a segment, as they should */
	struct compact_batch
		*batches; /* owned: what is in no segment; `journal` is the archive's number */
	size_t n_batches, batches_cap;
};

/** A segment that counts. */
struct held_segment {
	unsigned lane;
	char name[HELD_NAME_SIZE];
	uint64_t first, end; /* objects whose batches it has, and perhaps others have, too */
	uint64_t entries;
	struct segment segment;
};

/**
 * The segments of a moment, and rows of objects of that moment.  Who reads has a view in use.  What goes when the next one
 * comes is freed once neither this nor an older one is in use.
 */
struct view {
	struct view *newer;
	unsigned users;
	struct held_segment **held; /* owned array */
	struct segment_set
		segments; /* the same, for queries; without spans: rows that are packed are not indexed */
	struct segment_span no_spans[1];
	struct held_segment **gone; /* owned */
	size_t n_gone;
	int64_t gone_object; /* -1: none */
};

/** Commits of an origin that were in a lane, and could not be read at start. */
struct missing {
	struct id origin;
	uint64_t end;
};

/** Rows of objects that a query could not read. */
struct damaged_objects {
	struct damaged_object {
		uint32_t object;
		uint64_t offset;
		int error;
	} at[DAMAGE_TOLD];
	uint32_t n;
};

/** A batch that segments have, as its commit in a lane names it. */
struct packed_batch {
	uint32_t journal; /* the archive's number */
	uint64_t batch_no;
	struct hash leaf;
};

struct archive {
	bool audit;		     /* opened to be judged: nothing in it is believed */
	struct packed_batch *packed; /* owned; to be judged */
	size_t n_packed, packed_cap;
	struct objstore store;
	struct lane lane[LANES];
	struct cosigner cosigner;
	uint8_t secret[COSIGN_SECRET_SIZE];
	pthread_mutex_t founding; /* held while an origin becomes known; taken before all others */
	pthread_mutex_t lock;	  /* guards everything below */
	pthread_cond_t more;	  /* arrivals, live pieces, followers, or the end */
	struct held_origin **origins;
	uint32_t n_origins, origins_cap;
	struct held_journal **journals;
	uint32_t n_journals, journals_cap;
	uint32_t *journal_slot; /* open addressing by id: number + 1 */
	uint32_t n_slots;
	uint8_t hash_key[16]; /* whoever sends chooses the ids */
	struct held_object *objects;
	uint32_t n_objects, objects_cap;
	int segments[LANES]; /* directories; -1 before the first segment */
	struct view *oldest, *newest;
	uint32_t n_damaged;	 /* segment files that cannot be used */
	uint32_t n_nobodys;	 /* places of lanes where it is not known whose commit was there */
	struct buf unusable;	 /* the first of both, as lines */
	struct missing *missing; /* owned; one an origin */
	size_t n_missing, missing_cap;
	struct arrival *arrivals; /* those from `first_arrival` on */
	uint64_t first_arrival, n_arrivals;
	size_t arrivals_cap;
	struct archive_follower *followers; /* list */
	struct live_piece *live[LIVE_MAX];  /* ring by number */
	uint64_t live_first, live_next;
	size_t live_bytes;
	unsigned n_followers;
	bool ending;
	atomic_uint n_proving; /* proofs being made; not guarded */
};

/** Number of a journal, which is made known if it was not.  Called with the lock held.  @return < 0 without memory. */
_must_check_ int64_t archive_journal(struct archive *a, const struct id *origin,
				     const struct id *id);
/** @return its number, or -ENOENT.  Called with the lock held. */
int64_t archive_find_journal(const struct archive *a, const struct id *origin, const struct id *id);
/** Read a rows frame that lies in a lane. */
_must_check_ int archive_read_rows(struct archive *a, const struct rows_ref *ref, struct buf *frame,
				   struct tail_rows *ret);
/** @return an origin, or NULL.  Called with the lock held. */
struct held_origin *archive_origin(struct archive *a, const struct id *id);
struct held_origin *held_origin_free(struct held_origin *o);
/** Number of an object, which is made known if it was not.  Called with the lock held.  @return -ENOMEM. */
_must_check_ int64_t archive_object(struct archive *a, struct lane *l, uint64_t seq, bool rest);
/** Begin to follow behind what is held now.  Called with the lock held.  @return 0 or -ENOMEM. */
_must_check_ int archive_follow_from_here(struct archive_follower *f);
/** Keep for followers what has come.  Called with the lock held. */
_must_check_ int archive_arrived(struct archive *a, uint32_t journal, const struct rows_ref *rows);

/** The view of now, in use.  Called with the lock held. */
struct view *archive_pin(struct archive *a);
void archive_unpin(struct archive *a, struct view *v);
/** What changes from one view to the next. */
struct change {
	struct held_segment *const *more, *const *less;
	size_t n_more, n_less;
	int64_t object; /* goes, too; -1: none */
};

/**
 * Begin a new view; what is less goes with the old one.  Called with the lock held.
 *
 * @return 0; -ENOMEM, and nothing has happened.
 */
_must_check_ int archive_next_view(struct archive *a, const struct change *change);
/** Free what nobody can be reading any more. */
void archive_collect(struct archive *a);
/** Free all of them, at the end. */
void archive_drop_views(struct archive *a);

struct held_segment *held_segment_free(struct held_segment *s);
/** Open what there is, before the lanes. */
_must_check_ int archive_load_segments(struct archive *a);
/** The directory of a lane's segments, which is made if it is not there.  For the compactor alone.  @return borrowed. */
_must_check_ int archive_segments_dir(struct archive *a, unsigned lane);
/** Open a segment that has just been made under a name.  @return 0 or an error. */
_must_check_ int archive_open_segment(struct archive *a, unsigned lane, const char *name,
				      struct held_segment **ret);
/** Let a segment take the place of rows and of other segments; it is taken.  @return 0; -ENOMEM, and nothing has happened. */
_must_check_ int archive_publish_segment(struct archive *a, struct held_segment *s,
					 struct held_segment *const *instead_of, size_t n);
/** A name that is free, for a segment of objects first .. end-1. */
_must_check_ int archive_segment_name(struct archive *a, unsigned lane, uint64_t first,
				      uint64_t end, char ret[HELD_NAME_SIZE]);

/**
 * Open a store in order to judge it: what is in the lanes is verified as if it came from the network, and what segments should
 * have is noted.  Nothing can be sent to it.  As archive_open(), but that it makes no key.
 */
_must_check_ int archive_open_to_audit(struct archive **ret, const char *path);
/** Note that an origin had commits before `end` in its lane.  @return 0 or -ENOMEM. */
_must_check_ int archive_note_missing(struct archive *a, const struct id *origin, uint64_t end);
/** Note a segment that cannot be used. */
void archive_note_unusable(struct archive *a, unsigned lane, const char *name, const char *why);
/** Append what cannot be shown, whoever asks, as lines.  Called with the lock held. */
void archive_damage(struct archive *a, struct buf *to);
/** Append what a query has met, as lines. */
void archive_damage_met(struct archive *a, const struct view *v, const struct query_stats *stats,
			const struct damaged_objects *objects, struct buf *to);

/** Take a block of a lane at start; after the last one, archive_reloaded(). */
_must_check_ int archive_reload_block(void *arg, const struct lane *l, const struct lane_block *b);
void archive_reloaded(struct archive *a);
/** A piece is not read any more.  Called with the lock held. */
void archive_release_piece(struct live_piece *p);
/** Free the live pieces, when nobody follows any more. */
void archive_drop_live(struct archive *a);
/** Array growth by doubling. */
_must_check_ int archive_grow32(void *array, uint32_t *cap, uint32_t need, size_t size);
_must_check_ int archive_grow(void *array, size_t *cap, size_t need, size_t size);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_ARCHIVE_INTERNAL_H
#define BULLA_AGGREGATOR_ARCHIVE_INTERNAL_H

/** Shared by archive.c (what is held), archive_put.c (what comes in) and archive_follow.c (who is shown it at once). */

#include "aggregator/archive.h"

enum {
	LIVE_MAX = 1024, /* pieces of unsealed rows that wait for followers */
	LIVE_BYTES_MAX = 32 << 20,
	LIVE_JOURNALS_MAX = 4096, /* of one origin, that nothing sealed has come of yet */
	ORIGINS_MAX = 1 << 16,
	FORKS_KEPT = 8, /* of one origin */
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
	struct rows_index rows;
	uint64_t next_seq; /* behind the last row that is held */
	bool live_only;	   /* rows have come, but none that were sealed */
};

/** Rows that have been indexed, in the order of their arrival. */
struct arrival {
	uint32_t journal;
	uint32_t row; /* in its rows index */
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

/** An object of a lane that has been read. */
struct held_object {
	struct lane *lane;
	uint64_t seq;
	int fd;
};

struct archive {
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
	struct arrival *arrivals;
	uint64_t n_arrivals;
	size_t arrivals_cap;
	struct live_piece *live[LIVE_MAX]; /* ring by number */
	uint64_t live_first, live_next;
	size_t live_bytes;
	unsigned n_followers;
	bool ending;
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
/** Take a block of a lane at start; after the last one, archive_reloaded(). */
_must_check_ int archive_reload_block(void *arg, const struct lane *l, const struct lane_block *b);
void archive_reloaded(struct archive *a);
/** Free the live pieces, when nobody follows any more. */
void archive_drop_live(struct archive *a);
/** Array growth by doubling. */
_must_check_ int archive_grow32(void *array, uint32_t *cap, uint32_t need, size_t size);
_must_check_ int archive_grow(void *array, size_t *cap, size_t need, size_t size);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_TAIL_READER_H
#define BULLA_STORE_TAIL_READER_H

/**
 * Reading a tail: its records in order, and rows out of its rows frames.
 *
 * A tail may be read while its collector appends: the end is where the next frame is not whole yet.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/framefile.h"
#include "store/contexts.h"
#include "store/format.h"
#include "store/row.h"

struct tail_header {
	uint32_t compatible, incompatible;
	struct id journal;
	struct id boot;
	uint64_t first_batch, first_seq;
};

/** How far a channel's bytes are covered by this and the earlier rows frames. */
struct tail_channel {
	uint8_t channel;
	uint64_t consumed;
};

/** The head of a rows frame; `data` is the compressed rows. */
struct tail_rows {
	uint64_t first_seq;
	uint32_t count;
	uint32_t raw_size;
	uint64_t time_min, time_max;
	uint8_t codec;
	bool own_fields; /* a row has fields of its own */
	uint8_t n_channels;
	struct tail_channel channel[CHANNELS_MAX];
	const uint8_t *data;
	uint32_t data_size;
};

struct tail_batch {
	uint64_t batch_no;
	uint32_t entries;
	int64_t mono_offset;
	struct hash root;
};

/** Where batches were that segments have: frames go on behind. */
struct tail_hole {
	uint64_t end;	   /* offset of the next frame */
	uint64_t next_seq; /* of the first entry behind */
	uint64_t batches;  /* number of the first batch behind */
};

struct tail_seed {
	uint64_t first_batch;
	uint8_t seed[SEED_SIZE];
};

/* Records, encoder and decoder side by side; decoders return 0, BULLA_ECORRUPT, BULLA_EVERSION or BULLA_ELIMIT. */
void tail_header_encode(const struct tail_header *h, struct wr *w);
_must_check_ int tail_header_decode(const uint8_t *p, size_t n, struct tail_header *ret);
void tail_rows_encode_head(const struct tail_rows *rows, struct wr *w);
_must_check_ int tail_rows_decode(const uint8_t *p, size_t n, struct tail_rows *ret);
/** Bytes of the longest head; what a reader needs of a rows frame to know what is in it. */
enum { TAIL_ROWS_HEAD_MAX = ROWS_HEADER_MAX };
void tail_batch_encode(const struct tail_batch *b, struct wr *w);
_must_check_ int tail_batch_decode(const uint8_t *p, size_t n, struct tail_batch *ret);
void tail_hole_encode(const struct tail_hole *h, struct wr *w);
_must_check_ int tail_hole_decode(const uint8_t *p, size_t n, struct tail_hole *ret);
void tail_seed_encode(const struct tail_seed *s, struct wr *w);
_must_check_ int tail_seed_decode(const uint8_t *p, size_t n, struct tail_seed *ret);

/**
 * Decompress rows into `to` (cleared first).
 *
 * @return 0; BULLA_ECORRUPT where the data does not make exactly raw_size bytes; -ENOMEM.
 */
_must_check_ int tail_rows_unpack(const struct tail_rows *rows, struct buf *to);

/** The seeds of one tail. */
struct seeds {
	struct tail_seed *at; /* owned, by ascending first_batch */
	uint32_t n, cap;
};

void seeds_done(struct seeds *s);
_must_check_ int seeds_add(struct seeds *s, const struct tail_seed *seed);
/** Take back the last seeds_add(). */
void seeds_remove_last(struct seeds *s);
/** The seed of a batch, or NULL. */
const uint8_t *seeds_of(const struct seeds *s, uint64_t batch_no);

/** A tail being read.  Contexts and seeds gather as they are passed. */
struct tail_reader {
	int fd; /* owned */
	struct tail_header header;
	struct contexts contexts;
	struct seeds seeds;
	struct frame_reader frames;
	bool refused; /* the last error was not a torn frame but a whole one that says what it may not */
	bool searched;
	uint64_t search_budget; /* of all resyncs together */
};

/**
 * Open a tail and read its header.
 *
 * @return 0; -ENOENT; BULLA_ETRUNCATED when there is no whole header (yet); BULLA_EVERSION; BULLA_ECORRUPT.
 */
_must_check_ int tail_reader_open(struct tail_reader *t, int dirfd, const char *name);
/** The same for a file that is open; the descriptor is taken, and closed on failure. */
_must_check_ int tail_reader_open_fd(struct tail_reader *t, int fd);
/** Keep tail_hollow() away until the tail is closed: of who must not meet half of a hole.  @return 0 or a negated errno. */
_must_check_ int tail_reader_lock(const struct tail_reader *t);
void tail_reader_close(struct tail_reader *t);
/** Close the file alone: where there are many, few are open at a time.  What was read stays, and the place. */
void tail_reader_park(struct tail_reader *t);
/** Have it open again where it was left.  @return 0 or a negated errno. */
_must_check_ int tail_reader_unpark(struct tail_reader *t, int dirfd, const char *name);

/** What tail_reader_next() found. */
struct tail_item {
	enum tail_record
		type; /* TAIL_ROWS, TAIL_BATCH or TAIL_HOLE; contexts and seeds are taken in silently */
	uint64_t offset; /* of the frame */
	union {
		struct tail_rows rows; /* data valid until the next call */
		struct tail_batch batch;
		struct tail_hole hole; /* the reader is behind it */
	};
};

/**
 * @return 1; 0 at the end, where a later call may find more; BULLA_ETRUNCATED, BULLA_ECORRUPT or BULLA_ELIMIT where the
 *         next frame is torn or damaged (`t->frames.offset` says where); the same or BULLA_EVERSION, and `t->refused`, for
 *         a whole frame with unlawful content; a negated errno.
 */
_must_check_ int tail_reader_next(struct tail_reader *t, struct tail_item *ret);
/**
 * Step over damage: move to the next offset at which a whole frame lies, be it the tail's own or content of what was
 * damaged.
 *
 * @return 1; 0 when there is none; BULLA_ELIMIT when the file looks like frames everywhere; a negated errno.
 */
_must_check_ int tail_reader_resync(struct tail_reader *t);

/** Name of a journal's tail. */
void tail_name(const struct id *journal, char ret[TAIL_NAME_SIZE]);
/** Parse such a name.  @return 0 or -EINVAL. */
_must_check_ int tail_name_parse(const char *name, struct id *ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_SEGMENT_H
#define BULLA_STORE_SEGMENT_SEGMENT_H

/**
 * Reading a segment: what is in it, and row groups of which each part is read when it is asked for.
 *
 * A segment is not trusted: everything in it has limits, and what contradicts itself is BULLA_ECORRUPT.  Whether it is what
 * was sealed only its entries' roots can tell (verify.h).
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "bulla/error.h"
#include "seal/statement.h"
#include "store/contexts.h"
#include "store/segment/block.h"
#include "store/segment/format.h"
#include "store/segment/messages.h"
#include "store/segment/template_table.h"
#include "store/tail_reader.h"
#include "store/tenant.h"

/** Whose commits there are. */
struct segment_origin {
	struct id id;
	uint64_t first,
		end; /* commits [first, end) of it are here, but for batches that were left out */
	uint64_t time_first, time_last; /* of its commits that have a batch here */
};

/** The day of a commit, of which a segment has but one. */
static inline uint64_t segment_day(uint64_t time_ns)
{
	return time_ns / (UINT64_C(24) * 60 * 60 * 1000000000);
}

struct segment_journal {
	struct id id, boot;
	uint32_t origin;	       /* of the segment */
	uint64_t first_batch, batches; /* they follow each other without a hole */
	uint64_t first_seq, entries;
	uint32_t rank; /* journals that are alike have ranks beside each other */
	struct contexts contexts;
	struct seeds seeds;
};

struct group_ref {
	uint32_t window;		/* of the segment */
	uint32_t rank_first, rank_last; /* its journals' are within */
	uint32_t rows, batches;
	uint64_t time_min, time_max;
	struct block_ref *blocks; /* owned */
	uint32_t n_blocks;
};

/** Groups that follow each other and have the same commits: of each journal one at most has batches. */
struct window_ref {
	uint32_t first, end; /* groups */
	/* How many rows there are in each span of time of so many seconds; 0: nobody counted. */
	uint64_t span_s;
	uint64_t span_first; /* time / span_s of the first */
	uint32_t *counts;    /* owned */
	uint32_t n_counts;
};

struct segment {
	int fd; /* owned */
	uint64_t size;
	struct tenant tenant; /* whose journals there should be; what their identities say counts */
	struct segment_origin *origins; /* owned */
	uint32_t n_origins;
	struct segment_journal *journals; /* owned */
	uint32_t n_journals;
	struct field *fields;	/* owned, of all contexts; they point into the table of journals, */
	uint8_t *journals_data; /* owned */
	struct template_table *templates; /* owned; threads may read it side by side */
	int seeds_error; /* if they are damaged: all can be read, and nothing proved */
	uint64_t seeds_at;
	struct group_ref *groups; /* owned */
	uint32_t n_groups;
	struct window_ref *windows; /* owned */
	uint32_t n_windows;
};

/**
 * Open a segment: header, footer and journals.  Seeds that are damaged are left out.  Threads may then read it side by side, each its own groups.  The descriptor is taken, and closed on failure.
 *
 * @return 0; BULLA_ETRUNCATED, BULLA_ECORRUPT, BULLA_ELIMIT; BULLA_EVERSION for a newer format; -ENOMEM; a negated errno.
 */
_must_check_ int segment_open(struct segment *s, int fd);
void segment_close(struct segment *s);

/** The same; on failure `*ret_at` is where in the file that was found: the block that is damaged, or what says where it lies. */
_must_check_ int segment_open_at(struct segment *s, int fd, uint64_t *ret_at);
/** Whether an error of reading a segment is the file's, and no reason to leave others alone. */
static inline bool segment_is_damage(int r)
{
	return r <= BULLA_ETRUNCATED || r == -EIO;
}

/** A batch of a group; its rows follow each other. */
struct group_batch {
	uint32_t journal; /* of the segment */
	uint32_t first_row, entries;
	uint64_t batch_no, first_seq, commit;
	int64_t mono_offset;
	uint8_t flags;
};

/** A part of a stream. */
struct part {
	const struct block_ref *ref;
	uint32_t from; /* in the stream */
	uint8_t *data; /* owned; NULL until it is read */
	int error;     /* of reading it, if it is damaged: that is found out once */
};

/** A slot's column, decoded when first asked for. */
struct variable_column {
	uint32_t offset, size; /* in its stream */
	uint32_t len_min, len_max;
	uint8_t form, width;
	bool damaged;	    /* that was found out */
	uint64_t *numbers;  /* owned */
	struct text *texts; /* owned */
};

struct group_template {
	const uint8_t *kinds;		 /* of its variables */
	const struct template *template; /* NULL until group_need_text() */
	uint32_t number;		 /* of the segment */
	uint32_t rows;
	struct variable_column *columns; /* among the group's, one a slot */
	uint16_t n;			 /* columns */
	bool any;			 /* some may have been decoded */
	bool ready;			 /* all of them are there */
};

/** Where a message was made, or NOT_MADE. */
struct made_message {
	uint32_t at, len;
};
enum { NOT_MADE = UINT32_MAX };

/** A row group being read. */
struct segment_group {
	const struct segment *segment;
	const struct group_ref *ref;
	uint32_t rows;
	struct block_scratch scratch;
	struct group_batch *batches; /* owned, like the following; NULL until read */
	uint64_t *time, *received;
	uint8_t *times_data; /* `received` is still packed in `times_rest` of this */
	struct rd times_rest;
	uint64_t *context;
	uint8_t *priority, *flags;
	uint32_t *n_fields, *first_field;   /* of each row; NULL also where no row has any */
	uint64_t all_fields, all_variables; /* of all rows, as far as they were read */
	struct text *names, *values;
	uint8_t *fields_data;
	uint32_t *template_of; /* 0: whole */
	uint32_t *ordinal;     /* of the row among those of its template */
	struct group_template *templates;
	struct variable_column *columns; /* of all templates */
	uint32_t n_templates, n_columns, n_whole;
	struct part *parts[STREAMS];
	uint32_t n_parts[STREAMS];
	struct made_message
		*made; /* messages with a template that were made at once; NULL before */
	struct buf made_text;
	struct buf *lent; /* borrowed: where the memory of that comes from and goes to; or NULL */
	struct text *whole;
	uint8_t *whole_data;
	int whole_error; /* if they are damaged */
};

_must_check_ int group_open(struct segment_group *g, const struct segment *s, uint32_t number);
void group_close(struct segment_group *g);
/** Lend a group that was just opened the memory for its messages; closing it gives that back. */
void group_lend(struct segment_group *g, struct buf *memory);

/** Where the block lies that was read last: after an error of one of the following, the one that is damaged. */
static inline uint64_t group_where(const struct segment_group *g)
{
	return g->scratch.at;
}

/* Each reads a part of the group unless it is there.  Errors as segment_open(). */
_must_check_ int group_need_batches(struct segment_group *g);
_must_check_ int group_need_rows(struct segment_group *g);
_must_check_ int group_need_times(struct segment_group *g);
_must_check_ int group_need_received(struct segment_group *g);
_must_check_ int group_need_fields(struct segment_group *g);
_must_check_ int group_need_templates(struct segment_group *g);
/** All of these. */
_must_check_ int group_need_all(struct segment_group *g);
/** Which templates and columns there are; a part of group_need_templates(). */
_must_check_ int group_need_directory(struct segment_group *g);

/**
 * How many values of some size or none it has in memory.  What is stored of them may be next to nothing: who reads the groups of a
 * window together bounds how many all of them have.
 */
static inline uint64_t group_values(const struct segment_group *g)
{
	return g->all_fields + g->all_variables;
}
/** So many may a window have; tests make it small. */
extern uint64_t segment_window_values;
/** And so many bytes of messages are kept of one that is read as a whole; those of further groups are made when somebody asks. */
enum { WINDOW_MESSAGES_KEPT = 64 << 20 };
/** Let go all that was read of it but its batches. */
void group_drop_rows(struct segment_group *g);

/** The fields that a row has of its own, FIELDS_MAX at most; they point into the group.  @return how many. */
uint32_t group_fields(const struct segment_group *g, uint32_t row, struct field *ret);
/** The message of a row, in the group's memory or written to `scratch` (cleared first).  Needs templates. */
_must_check_ int group_message(struct segment_group *g, uint32_t row, struct buf *scratch,
			       struct text *ret);
/**
 * Make messages at once, which takes less than one by one: all, or those of rows with a bit set in `rows`.  Once it was done it is
 * not done again; the others, and all of them after an error, can still be asked for.
 */
_must_check_ int group_need_messages(struct segment_group *g, const uint64_t *rows);
/** Let them go, and what memory was lent for them; who asks for one has it made again. */
void group_drop_messages(struct segment_group *g);
/**
 * A whole entry, needing all parts; its message is in the group's memory or written to `message`, `fields` has room for FIELDS_MAX.
 * Its context's hash is not filled in.
 */
_must_check_ int group_entry(struct segment_group *g, uint32_t row,
			     const struct segment_journal *journal, struct buf *message,
			     struct field *fields, struct entry *ret);

/**
 * What a batch of the group is, hashed anew: to compare with what was sealed.  Needs all parts; one thread at a time.
 *
 * @return 0; BULLA_ECORRUPT where there is no seed for it, or an entry is unlawful; -ENOMEM; an error of group_entry().
 */
_must_check_ int group_batch(struct segment_group *g, uint32_t number, struct batch *ret);
/**
 * All batches of the group, in its order, which takes less than one by one.  An error ends it; `ret` has room for all, and those before
 * it, `*ret_n`, are there.
 */
_must_check_ int group_all_batches(struct segment_group *g, struct batch *ret, uint32_t *ret_n);

/** Read a column of a template.  @return 0 or an error. */
_must_check_ int group_need_column(struct segment_group *g, struct group_template *t,
				   unsigned slot);
/** Read a template's text, if that was not done. */
_must_check_ int group_need_text(struct segment_group *g, struct group_template *t);
/** Append the text of one variable: `row` has template `t`.  Needs its column and its text. */
_must_check_ int group_variable(const struct segment_group *g, const struct group_template *t,
				unsigned slot, uint32_t row, struct buf *to);
/** The stored bytes of a column; of words, these hold each distinct value as it is. */
_must_check_ int group_column_bytes(struct segment_group *g, enum stream s,
				    const struct variable_column *c, struct rd *ret);
/** The same with all that follows in the part of the stream that was read with it. */
_must_check_ int group_column_part(struct segment_group *g, enum stream s,
				   const struct variable_column *c, struct rd *ret);
/** All bytes of the messages that were kept whole; empty where there are none. */
_must_check_ int group_whole_bytes(struct segment_group *g, struct rd *ret);
/** The block of tokens.h, which the caller frees.  @return 1, 0 where there is none, or an error. */
_must_check_ int group_tokens(struct segment_group *g, uint8_t **raw, struct rd *ret);
/** Read the messages that were kept whole. */
_must_check_ int group_need_whole(struct segment_group *g);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_COLLECTOR_INTERNAL_H
#define BULLA_COLLECTOR_COLLECTOR_INTERNAL_H

/**
 * What the three parts of a collector share: its state.
 *
 * collector.c starts, loops and ends; intake.c makes entries of a pipe's bytes; full.c decides what becomes of them on a
 * full disk; own.c has the entries that the collector writes itself; links.c talks to sealer and holder.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "collector/message.h"
#include "collector/progress.h"
#include "store/tail_writer.h"

enum {
	PIPE_SIZE = 1 << 20, /* asked for; what is had may be less */
	/* The tail's name for what the collector itself says; 1 byte of it is how the command ended. */
	CHANNEL_OWN = SOURCES_MAX,
	CHANNEL_LINES,		  /* no bytes either: which streams are in the middle of a line */
	TAG_HOLDER = SOURCES_MAX, /* of epoll; below are the sources */
	TAG_SEALER,
};

struct source {
	int fd; /* -1: ended */
	uint8_t channel;
	uint8_t priority;
	uint32_t context;
	uint64_t covered;  /* bytes of the stream that are in the tail, or staged for it */
	size_t incomplete; /* bytes of a line that wait in the pipe for the rest of it */
	bool ready, hung_up;
	bool robbed;  /* somebody else takes bytes out of the pipe, and it was said */
	bool in_line; /* the last piece was not the end of its line (kept with --level-prefix) */
	uint8_t line_priority;
	uint64_t full_since; /* monotonic: there is no space for what it holds; 0: there is */
};

struct collector {
	struct tail_writer tail;
	struct progress progress;
	struct source source[SOURCES_MAX];
	uint32_t own_context;
	size_t line_max;
	bool level_prefix;
	int holder, sealer; /* -1: gone */
	int epoll, null;
	uint8_t *buffer; /* PIPE_SIZE bytes */
	bool buffer_used;
	bool exited;	/* nothing more is to be heard of the command... */
	bool status_is; /* ...but how it ended */
	bool exit_told; /* that is in the tail */
	int wait_status;
	/* Of the channel to the sealer. */
	uint64_t channels; /* had so far */
	bool welcomed, asked_for_channel, close_sent, closed;
	bool told_dirty, told_large, told_urgent, urgent;
	/* On a full disk. */
	uint64_t
		block_max_ns; /* how long a source waits before it is dropped; UINT64_MAX: for ever */
	bool full_said;
	bool dropping;
	struct progress_drops drops; /* while dropping: as on the page */
	uint64_t look_at;	     /* monotonic: when to look for space again */
	uint64_t lines;		     /* lines_pack() as of the last frame */
	uint64_t not_before;	     /* monotonic: linger */
	uint64_t quiet_since;	     /* monotonic: last sign of life of a source */
};

/* intake.c */

/** Go on where the tail ends. */
void intake_resume(struct collector *c);
/** Take bytes that the tail covers out of the pipe. */
_must_check_ int intake_consume(struct collector *c, struct source *s, uint64_t n);
/** Take in what a source holds.  @return 0, or an error that ends the collector. */
_must_check_ int intake_step(struct collector *c, struct source *s);
/** Whether a batch is so full that the source has to wait for its seal. */
bool intake_is_full(const struct collector *c);
/** Which streams are in the middle of a line, and of what priority; and back. */
uint64_t intake_pack_lines(const struct collector *c);
void intake_unpack_lines(struct collector *c, uint64_t lines);

/* full.c */

/** Go on dropping where a collector that was killed was. */
void full_resume(struct collector *c);
/** There was no space for what a source holds: nothing of it was taken.  @return 0. */
int full_met(struct collector *c, struct source *s, int error);
/** There was. */
void full_over(struct collector *c, struct source *s);
/** Do what is due: begin to drop, or look whether there is space again.  @return 0, or an error that ends the collector. */
_must_check_ int full_step(struct collector *c);
/** Note that a source is dropped up to where it is covered, the entries being counted already; then take the bytes. */
_must_check_ int full_drop(struct collector *c, struct source *s);
/** How long to wait for events, given how long one would. */
int full_wait_ms(const struct collector *c, int timeout_ms);
/** The streams have ended: tell what was dropped, if anything was.  Waits until that can be written. */
_must_check_ int full_finish(struct collector *c);
/** Repeat a write until there is space. */
_must_check_ int full_wait(struct collector *c, int (*write_it)(struct tail_writer *));

/* own.c */

/** Stage the entry that tells how the command ended. */
_must_check_ int own_add_exit(struct collector *c);
/** Stage the entry that says that entries are dropped from here on. */
_must_check_ int own_add_gap_begin(struct collector *c);
/** Stage the entry that counts them: c->drops. */
_must_check_ int own_add_gap_end(struct collector *c);

/* links.c */

/** Add a descriptor to the loop. */
_must_check_ int links_watch(struct collector *c, int fd, uint32_t events, uint64_t tag);
/** Tell the sealer that there are entries to seal, unless it knows. */
void links_tell_dirty(struct collector *c);
void links_send_cut(struct collector *c);
void links_send_close(struct collector *c);
/** End the batch that fills and have it sealed. */
_must_check_ int links_cut(struct collector *c);
/** Handle one message, if there is one. */
_must_check_ int links_from_sealer(struct collector *c);
_must_check_ int links_from_holder(struct collector *c);

#endif

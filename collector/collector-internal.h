/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_COLLECTOR_INTERNAL_H
#define BULLA_COLLECTOR_COLLECTOR_INTERNAL_H

/**
 * What the three parts of a collector share: its state.
 *
 * collector.c starts, loops and ends; intake.c makes entries of a pipe's bytes; links.c talks to sealer and holder.
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
	uint64_t not_before;  /* monotonic: linger */
	uint64_t quiet_since; /* monotonic: last sign of life of a source */
};

/* intake.c */

/** Go on where the tail ends. */
void intake_resume(struct collector *c);
/** Take bytes that the tail covers out of the pipe. */
_must_check_ int intake_consume(struct collector *c, struct source *s, uint64_t n);
/** Take in what a source holds.  @return 0, or an error that ends the collector. */
_must_check_ int intake_step(struct collector *c, struct source *s);
/** Append the last entry: how the command ended. */
_must_check_ int intake_exit(struct collector *c);
/** Whether a batch is so full that the source has to wait for its seal. */
bool intake_is_full(const struct collector *c);
/** Repeat a write until there is space; whoever waits for space waits here: the pipe fills, and the container with it. */
_must_check_ int intake_until_space(struct collector *c, int (*write_it)(struct tail_writer *));

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

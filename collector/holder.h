/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_HOLDER_H
#define BULLA_COLLECTOR_HOLDER_H

/**
 * The holder of one command: owns the pipes, and sees to it that a collector and a sealer are there.
 *
 * It parses nothing of what the command writes and takes no byte out of the pipes.  A collector that dies is replaced; so is
 * the sealer.  While neither can be had the pipes fill and the command waits: nothing is let go that is not kept.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "collector/command.h"
#include "collector/message.h"
#include "collector/progress.h"
#include "collector/sealer_link.h"
#include "store/state.h"

struct holder {
	struct state state;
	struct command command;
	struct progress progress;
	struct sealer_link sealer;
	struct id journal;
	const char *priorities; /* of stdout and stderr: two digits */
	bool level_prefix;
	char block_max
		[24]; /* seconds that a source waits on a full disk before it is dropped; empty: for ever */
	int lock; /* on the journal's tail: lives as long as one of its holder and collectors */
	int null, signals;
	int collector;	     /* connection; -1: none */
	pid_t collector_pid; /* 0: reaped */
	/* A channel to the sealer is wanted: for the collector at hand, or for the next one. */
	bool want_channel, complained;
	uint64_t want_at;  /* monotonic: not before */
	uint64_t channels; /* given to the collector at hand */
	unsigned pause_ms;
	uint64_t consumed; /* when a collector died last */
	bool started, exited, done;
	int wait_status;
	int stopped_by; /* the signal that ended us before the command began */
	unsigned stops; /* asked for after the command's end */
};

/** Make what a holder needs before its command is forked.  h->command is prepared, h->state open. */
_must_check_ int holder_prepare(struct holder *h);
/** Connect to the sealer, starting one if need be.  @return 0, -ECANCELED, or as sealer_link_try(). */
_must_check_ int holder_reach_sealer(struct holder *h);
/**
 * Ask the sealer to open or attach a journal, with a new channel; wait until it has answered.
 *
 * @return our end of the channel; -ECANCELED when a signal says to stop; what the sealer says, or why there is none.
 */
_must_check_ int holder_request(struct holder *h, const struct message *m, uint32_t reply);
/** Start a collector; `channel` stays the caller's. */
_must_check_ int holder_start_collector(struct holder *h, int channel);
/** Hold until the command has ended and its journal is closed.  @return 0; -ECANCELED; a negated errno. */
_must_check_ int holder_hold(struct holder *h);

#endif

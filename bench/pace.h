/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BENCH_PACE_H
#define BULLA_BENCH_PACE_H

/**
 * A host at log pace: every line at its own time, from its own source, sealed by ticks of one second.
 *
 * Nothing waits for a clock: the collectors' rules are followed in the lines' own time.  A collector that is not busy lets
 * a moment pass between two frames; at each whole second all dirty journals are cut and one commit is sealed.
 */

#include <stdint.h>

#include "bench/measure.h"
#include "seal/history.h"

struct source {
	struct tail_writer tail;
	uint32_t context;
	uint64_t not_before; /* the next frame */
	uint32_t *waiting;   /* lines in the pipe */
	uint32_t n_waiting, cap_waiting;
};

struct pace {
	const struct bench *b;
	struct source *source;
	struct batch_item *item;
	struct origin *origin;
	int journals, ledger; /* directories */
	uint64_t linger_ns, tick;
	uint64_t frames, batches, commits;
};

/** Play all lines, and close the journals.  Their files stay open until pace_done(). */
void pace_play(struct pace *p, const struct bench *b, uint64_t linger_ms);
/** The same in so many pieces: between two of them everything is sealed, and `pause` called.  b->dir is a state directory meanwhile. */
void pace_play_pieces(struct pace *p, const struct bench *b, uint64_t linger_ms, uint32_t pieces,
		      void (*pause)(void *arg), void *arg);
void pace_done(struct pace *p);

#endif

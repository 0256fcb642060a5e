/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_PIECES_H
#define BULLA_BASE_PIECES_H

/**
 * An aggregator's answer in pieces, so that what is wrong with it can be told beside the text, also while somebody follows; and
 * proofs, each as one piece.
 *
 *	piece   u8 kind | u32 size | size bytes
 *
 * The reader is given bytes as they come from the network: pieces may be cut anywhere, and the sender may be hostile.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/** Who wants pieces accepts this type; the answer is of it then. */
#define ANSWER_PIECES_TYPE "application/vnd.bulla.answer"
/** What an answer without pieces has behind it when something may be missing: how many places could not be read. */
#define ANSWER_DAMAGE_TRAILER "Bulla-Damage"

enum answer_piece {
	ANSWER_TEXT = 1,    /* goes on with the text */
	ANSWER_DAMAGE = 2,  /* a line: what cannot be shown, and why */
	ANSWER_PROOF = 3,   /* a proof, as a file has it */
	ANSWER_FINDING = 4, /* a line: what was shown, and is not so */
};

enum { ANSWER_PIECE_HEAD = 5, ANSWER_LINE_MAX = 4096, ANSWER_PROOF_MAX = 48 << 20 };

void answer_piece_encode(enum answer_piece kind, uint32_t size, uint8_t ret[ANSWER_PIECE_HEAD]);

/** Start with zeroes but for the functions; a kind whose function is NULL is refused. */
struct pieces {
	/** Each: @return 0, or < 0 to break off. */
	int (*text)(void *arg, const void *data, size_t n);
	int (*damage)(void *arg, const char *line, size_t n);  /* without its end; any bytes */
	int (*finding)(void *arg, const char *line, size_t n); /* likewise */
	/** Part of a proof, of which so much is still to come. */
	int (*proof)(void *arg, const void *data, size_t n, size_t left);
	void *arg;
	uint8_t head[ANSWER_PIECE_HEAD];
	size_t n_head;
	uint32_t left; /* of the piece at hand */
	char line[ANSWER_LINE_MAX];
	size_t n_line;
};

/** Take what has come.  @return 0; BULLA_EPARSE for what is no piece; an error of a function. */
_must_check_ int pieces_take(struct pieces *p, const void *data, size_t n);
/** Whether what has come ends with a piece. */
_must_check_ bool pieces_whole(const struct pieces *p);

#endif

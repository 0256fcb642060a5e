/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_SURGERY_H
#define BULLA_TESTS_SURGERY_H

/**
 * Cutting files of frames into pieces and sewing them together again, checksums and all: what an attacker would do.
 *
 * Asserts on any failure; no Criterion inside.
 */

#include <stdint.h>

#include "base/buf.h"
#include "store/tail_reader.h"

enum { SURGERY_PIECES_MAX = 4096 };

struct surgery {
	char dir[512], name[128]; /* of the file */
	struct piece {
		uint32_t type;
		struct buf payload;
	} piece[SURGERY_PIECES_MAX];
	size_t n;
};

/** Read a file of frames to its last whole one. */
void surgery_open(struct surgery *s, const char *dir, const char *name);
/** Write the pieces back and free them.  The file ends with the last of them. */
void surgery_close(struct surgery *s);
/** Free them without. */
void surgery_done(struct surgery *s);

/** Place of the nth piece (from 0) of a type. */
size_t surgery_find(const struct surgery *s, uint32_t type, size_t nth);
void surgery_remove(struct surgery *s, size_t at);
/** Insert a piece before `at`. */
void surgery_insert(struct surgery *s, size_t at, uint32_t type, const void *payload, size_t n);
void surgery_swap(struct surgery *s, size_t a, size_t b);

/** Rows of a piece, in the open: the head, and `raw` the rows as bytes. */
void surgery_rows(const struct surgery *s, size_t at, struct tail_rows *head, struct buf *raw);
/** Put them back, not compressed. */
void surgery_set_rows(struct surgery *s, size_t at, const struct tail_rows *head,
		      const struct buf *raw);

#endif

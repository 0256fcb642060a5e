/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_TAILS_H
#define BULLA_TESTS_TAILS_H

/**
 * Tails without a ledger, for what only reads them; and what queries should say, worked out the slow way.
 *
 * Whatever fails here is a bug here or in what is tested: it asserts.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/state.h"
#include "store/tail_writer.h"

enum { TAILS_MAX = 16 };

struct tails {
	struct state state;
	struct tail_writer at[TAILS_MAX];
	size_t n;
};

/** A state directory with no journals, below the test's directory. */
void tails_init(struct tails *t, const char *path);
void tails_done(struct tails *t);
/** Begin a journal whose identity is _CONTAINER_NAME=name.  @return its index. */
size_t tails_open(struct tails *t, const char *name);
/** Close the file of a journal; its index is free again if it was the last. */
void tails_close(struct tails *t, size_t journal);
/** A context of one field "NAME=value" below another.  @return its number. */
uint32_t tails_context(struct tails *t, size_t journal, uint32_t parent, const char *field);
/** Stage an entry, flushing when there is no room. */
void tails_add(struct tails *t, size_t journal, struct entry *e, uint32_t context);
/** Stage an entry with a message alone. */
void tails_say(struct tails *t, size_t journal, uint64_t time_ns, const char *message);
void tails_flush(struct tails *t, size_t journal);
/** Cut what there is into a batch. */
void tails_cut(struct tails *t, size_t journal);
/** Where the file of a journal ends. */
uint64_t tails_end(const struct tails *t, size_t journal);
/** Change one byte of a journal's file. */
void tails_flip(const struct tails *t, size_t journal, uint64_t offset);

/** A field from "NAME=value"; borrows the text. */
struct field tails_field(const char *text);

/**
 * Whether an entry, given as all its fields "NAME=value", is meant by these words; `required` beside them.  Short names
 * are known only where they change nothing but the name.
 */
bool naive_match(const char *const *words, size_t n_words, const char *const *required,
		 size_t n_required, const char *const *fields, size_t n_fields);

#endif

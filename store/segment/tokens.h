/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_TOKENS_H
#define BULLA_STORE_SEGMENT_TOKENS_H

/**
 * What a row group's messages are made of, as filters: they say of most needles that are not in a group that they are not,
 * and of those that are, where they cannot be.  They never say so where it is not so.
 *
 *	tokens  varint n | varint m | n blocks: grams of texts | m blocks: grams of values
 *	        | blocks to the end: grams of messages kept whole, and identifiers
 *
 * A *gram* is four ASCII letters in a row, in lower case.  A *run* is as many letters as stand beside each other.  Runs that
 * have a byte of a variable are among values, with all their grams; texts are the templates' own.  *Identifiers* are taken
 * from all messages: of hexadecimal digits, 32 and more in a row, the least of any 25 neighbouring pieces of eight; of uuids,
 * the three short parts between their dashes.
 *
 * A *block* has 256 bits, four u64 with a bit for each token in each: a Bloom filter that looks at one line of memory.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

enum {
	TOKENS_GRAM = 4,
	TOKENS_ID_MIN = 32,
	TOKENS_BITS = 6,	     /* of a filter, for each token */
	TOKENS_BLOCKS_MAX = 1 << 15, /* of each filter; with more tokens it says less */
	TOKENS_ASKED_MAX = 64,	     /* tokens of a needle; those behind them are not asked for */
	TOKENS_PENDING = 16,
};

/** Where in a group letters stand. */
enum tokens_place { TOKENS_TEXTS, TOKENS_VALUES, TOKENS_WHOLE, TOKENS_PLACES };

/** The tokens of a group being gathered. */
struct tokens {
	uint64_t *grams[TOKENS_PLACES]; /* owned: a bit for each gram */
	uint64_t *
		ids; /* owned: the hashes of identifiers, each where it or the next free place is; 0 is none */
	size_t n_ids, ids_cap; /* a power of two */
	uint64_t pending[TOKENS_PENDING];
	unsigned n_pending; /* of them: not among `ids` yet */
	bool bad;	    /* an allocation failed */
};

void tokens_done(struct tokens *t);
/** Begin a group.  @return 0 or -ENOMEM. */
_must_check_ int tokens_begin(struct tokens *t);
/** Take a text of a template, or a message that is kept whole. */
void tokens_add(struct tokens *t, enum tokens_place place, const uint8_t *p, size_t n);
/** The same, and the identifiers that are in it. */
void tokens_add_text(struct tokens *t, enum tokens_place place, const uint8_t *p, size_t n);
/** Take a variable: `from` to `to` of a message. */
void tokens_add_value(struct tokens *t, const uint8_t *p, size_t n, size_t from, size_t to);
/** Take the identifiers of a message: those of digits in a row, and uuids. */
void tokens_add_digits(struct tokens *t, const uint8_t *p, size_t n);
void tokens_add_uuids(struct tokens *t, const uint8_t *p, size_t n);
/** Append the filters of the group; a failed allocation leaves `to->bad`. */
void tokens_encode(struct tokens *t, struct buf *to);

/** What a filter can be asked about a needle. */
struct tokens_asked {
	size_t n;
	bool letters; /* the needle is one run */
	struct token {
		uint64_t hash;
		uint16_t run; /* of a gram, from 1 on; 0 for identifiers */
	} at[TOKENS_ASKED_MAX];
};

void tokens_ask(struct tokens_asked *a, const uint8_t *needle, size_t n);

/** Of an answer: the needle may be here in part and there in part. */
enum { TOKENS_ACROSS = 1 << TOKENS_PLACES, TOKENS_ANYWHERE = (1 << (TOKENS_PLACES + 1)) - 1 };

/**
 * Ask a group's block.
 *
 * @return 1 << p for each place p that may have all of the needle, and TOKENS_ACROSS; 0 if it is nowhere; or BULLA_ECORRUPT.
 */
_must_check_ int tokens_answer(const struct tokens_asked *a, const uint8_t *block, size_t n);

/** Whether a block has all tokens that were gathered.  @return 0, BULLA_ECORRUPT, -ENOMEM. */
_must_check_ int tokens_check(struct tokens *t, const uint8_t *block, size_t n);

#endif

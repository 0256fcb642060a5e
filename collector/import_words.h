/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_IMPORT_WORDS_H
#define BULLA_COLLECTOR_IMPORT_WORDS_H

/**
 * The names of imported fields, by number, and what they mean here.
 *
 * A stream has few names, in the same order in most entries: so a name is first compared with the one that stood at its place in
 * the entry before.  Names that mean something are always known; of others so many as there is room for.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "seal/statement.h"

enum {
	IMPORT_WORDS_MAX = 256,
	IMPORT_WORD_SLOTS = 1024, /* a power of two, more than twice as many */
	IMPORT_WORD_PLACES = 64,  /* a power of two */
};

/** What a name means. */
enum import_meaning {
	MEANS_NOTHING,
	/* Whose an entry is. */
	MEANS_MACHINE,
	MEANS_HOSTNAME,
	MEANS_CONTAINER, /* the best that is there of five */
	MEANS_CONTAINER_LAST = MEANS_CONTAINER + 4,
	MEANS_USER_UNIT,
	MEANS_UNIT,
	MEANS_ABOUT_UNIT,
	MEANS_IDENTIFIER,
	MEANS_COMM,
	MEANS_SOURCES, /* so many are below */
	/* Fixed parts of an entry. */
	MEANS_MESSAGE,
	MEANS_PRIORITY,
	MEANS_LINE_BREAK,
	/* What Bulla itself says under this name. */
	MEANS_OURS,
};

struct import_word {
	uint64_t hash;
	uint8_t meaning;
	uint8_t len;
	uint8_t name[FIELD_NAME_MAX];
};

struct import_words {
	struct import_word at[IMPORT_WORDS_MAX];
	uint32_t n;
	uint16_t slot[IMPORT_WORD_SLOTS];    /* number + 1, by hash */
	uint16_t before[IMPORT_WORD_PLACES]; /* number + 1, by place */
};

/** A hash to find things by; it is no proof of anything. */
uint64_t import_hash(const void *p, size_t n, uint64_t seed);

void import_words_init(struct import_words *w);
/**
 * Find a name, and keep it if it is new.  `place` is the field's in its entry.
 *
 * @return its number; -1 where there is no room for it.
 */
int import_word_of(struct import_words *w, uint32_t place, const struct field *f);
/** Whether a name begins as those do under which Bulla tells of an import. */
bool import_is_told(const struct field *f);

/** What a name means, whose number was found or not. */
static inline enum import_meaning import_meaning_of(const struct import_words *w, int number,
						    const struct field *f)
{
	if (number >= 0)
		return (enum import_meaning) w->at[number].meaning;
	return import_is_told(f) ? MEANS_OURS : MEANS_NOTHING;
}

static inline bool import_same_8(const uint8_t *a, const uint8_t *b)
{
	uint64_t x, y;

	memcpy(&x, a, 8);
	memcpy(&y, b, 8);
	return x == y;
}

/** Whether two names are the same bytes: inline, for most have few. */
static inline bool import_same(const uint8_t *a, const uint8_t *b, size_t n)
{
	if (n < 8) {
		for (size_t i = 0; i < n; i++)
			if (a[i] != b[i])
				return false;
		return true;
	}
	for (size_t i = 0; i + 8 < n; i += 8)
		if (!import_same_8(a + i, b + i))
			return false;
	/* The last eight, some of them once more. */
	return import_same_8(a + n - 8, b + n - 8);
}

#endif

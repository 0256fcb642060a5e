/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_IMPORT_SPLIT_H
#define BULLA_COLLECTOR_IMPORT_SPLIT_H

/**
 * Where the fields of an imported entry go: pure, no state but what is learnt of names and how often they change.
 *
 *	source   tells one journal from another; part of the journal's identity, and left out of the entries
 *	slow     the same for many entries in a row: a context
 *	own      what is left; the entry's own
 *
 * MESSAGE, PRIORITY and _LINE_BREAK, where they are as an entry of ours has them, become its fixed parts.  What the
 * source says of itself under the names that Bulla has for that, _ATTRIBUTION, _TENANT and _IMPORT_*, gets _IMPORT put before it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "collector/import_export.h"
#include "collector/import_words.h"
#include "seal/statement.h"

enum {
	IMPORT_SOURCE_MAX = 4,		/* fields */
	IMPORT_SOURCE_VALUE_MAX = 1024, /* a longer value is no name of a source */
	IMPORT_OWN_MAX = FIELDS_MAX,
	IMPORT_SLOW_SIZE_MAX = 32 << 10,
};

/** Whose an entry is: machine and host; container, or units, or program.  Values are borrowed. */
struct import_source {
	struct field fields[IMPORT_SOURCE_MAX];
	uint32_t n;
	uint32_t place[IMPORT_SOURCE_MAX]; /* of each among the entry's fields */
	int16_t word[IMPORT_SOURCE_MAX];   /* the number of the name of each */
	bool again; /* all values are known to be those of the entries before with these names */
};

/** What is learnt of the names in one journal, by number: which of them change from entry to entry. */
struct import_names {
	struct import_name {
		uint32_t value; /* hash of the value that came last */
		uint16_t seen, changed;
	} at[IMPORT_WORDS_MAX];
};

struct import_split {
	struct field slow[IMPORT_FIELDS_MAX + 2]; /* in the order of the source */
	uint16_t slow_word
		[IMPORT_FIELDS_MAX]; /* the number of the name of each, until they are sorted */
	struct field own[IMPORT_OWN_MAX]; /* sorted */
	uint16_t n_slow, n_own;
	uint64_t slow_hash; /* of all slow fields; equal for equal ones */
	bool slow_again;    /* as a source's */
	struct entry entry; /* all but its context; borrows from here and from what came */
	bool no_message, no_priority;
	char number[2][24];
	uint8_t renamed[IMPORT_FIELDS_MAX][FIELD_NAME_MAX];
	uint16_t n_renamed;
	/* What is known of names, and those of the entry at hand: a number or -1. */
	struct import_words words;
	int16_t word[IMPORT_FIELDS_MAX];
};

void import_split_init(struct import_split *s);
/** Take an entry, and tell its source. */
void import_source_of(struct import_split *s, const struct import_entry *e,
		      struct import_source *ret);
/** Sort out the fields of the entry that was taken last, without those that name its source. */
void import_split(struct import_split *s, const struct import_entry *e,
		  const struct import_source *source, struct import_names *names);
/** Sort the slow fields, as a context has them. */
void import_sort_slow(struct import_split *s);
/** Move the slow fields to the entry's own. */
void import_make_own(struct import_split *s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_IMPORT_EXPORT_H
#define BULLA_COLLECTOR_IMPORT_EXPORT_H

/**
 * The Journal Export Format, read as it streams in: NAME=value lines, or
 *
 *	NAME newline, u64 length (little endian), the bytes, newline
 *
 * and an empty line after each entry.  It is what everything else is turned into on its way in.
 *
 * Memory is bounded whatever comes: no more is held than one entry within the limits below.  A field that does not fit is
 * passed over, byte by byte, and told of.  Names are any bytes but NUL, newline and '='; those that begin with two underscores
 * tell where an entry stood, and only the times among them are taken.
 *
 *	while (read(fd, export_room(&p, &n), n) > 0) { export_fed(); while (export_next() > 0) ...; }
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/statement.h"

enum {
	IMPORT_FIELDS_MAX = 1000,		       /* leaves room for what is added */
	IMPORT_SIZE_MAX = ENTRY_SIZE_MAX - (64 << 10), /* names and values of an entry; likewise */
	IMPORT_OMITTED_MAX = 16,    /* names that are told of; more are counted */
	EXPORT_ROOM = 256 << 10,    /* for what is read at once */
	EXPORT_VALUE_MAX = 1 << 30, /* of what is passed over; journald's is 768 MiB */
};

/** A field whose name stands for one that does not fit, and is its value: how readers of other formats tell of it. */
#define IMPORT_OMITTED "__OMITTED"

/** What is known of a name, and of its value in the entry at hand; whoever finds out what is not yet, notes it. */
struct import_known {
	uint64_t hash; /* of the value, if it is `hashed` */
	int16_t word;  /* the number of the name elsewhere, or -1, if it is `named` */
	bool named, hashed;
	bool again; /* the value is that of the entry before which has this name */
};

/** An entry as it came; everything is borrowed until the next call. */
struct import_entry {
	struct field *fields; /* in the order of the source */
	uint32_t n_fields;
	const uint8_t *number;			  /* of each field in `known`... */
	struct import_known *known;		  /* ...or NULL: each name has one of its own */
	struct field omitted[IMPORT_OMITTED_MAX]; /* names alone, cut if need be */
	uint32_t n_omitted;			  /* of all that were left out */
	uint64_t realtime_us, monotonic_us;
	bool has_monotonic;
};

/** Lines of the entry before whose names are looked for again, each at its place. */
enum { EXPORT_EXPECTED = 64, EXPORT_EXPECTED_NAME = 31 };

struct export_parser {
	struct buf text;   /* not yet parsed, and the entry at hand */
	size_t start, at;  /* of the entry; what is parsed goes up to here */
	size_t scanned;	   /* behind `at`: has no newline */
	uint64_t offset;   /* of `at` in the stream */
	uint64_t field_at; /* of the field that is passed over */
	uint64_t skip;	   /* bytes of a value that is passed over */
	enum { EXPORT_FIELD, EXPORT_SKIP_VALUE, EXPORT_SKIP_LINE, EXPORT_SKIP_NAME } state;
	size_t kept; /* bytes of the entry's names and values */
	size_t junk; /* bytes between `start` and `at` that are no part of it */
	struct export_place {
		uint32_t name, value, value_len; /* from `start` */
		uint8_t name_len;
	} place[IMPORT_FIELDS_MAX];
	struct field field[IMPORT_FIELDS_MAX];
	struct export_expected {
		uint8_t len,
			name[EXPORT_EXPECTED_NAME]; /* of a field that is none of those with two underscores */
	} expected[EXPORT_EXPECTED];
	uint32_t line; /* of the entry */
	char omitted[IMPORT_OMITTED_MAX][FIELD_NAME_MAX];
	struct import_entry entry;
	bool any, has_realtime;
	const char *error; /* what is wrong, once something is... */
	uint64_t error_at; /* ...and at which byte of the stream */
};

void export_done(struct export_parser *p);
/** Room for more of the stream; borrowed entries end here.  @return NULL without memory. */
uint8_t *export_room(struct export_parser *p, size_t *ret_n);
/** Count bytes that were put there. */
void export_fed(struct export_parser *p, size_t n);
/** @return 1; 0: more is needed; BULLA_EPARSE for what is no such stream, now and ever after. */
_must_check_ int export_next(struct export_parser *p, struct import_entry *ret);
/** The stream has ended.  @return 0, or BULLA_EPARSE within an entry. */
_must_check_ int export_end(struct export_parser *p);

#endif

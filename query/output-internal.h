/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_OUTPUT_INTERNAL_H
#define BULLA_QUERY_OUTPUT_INTERNAL_H

/** What the formats share; for query/output*.c alone. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "query/output.h"

enum {
	CACHE_SLOTS = 2048,	 /* a power of two: a context has one of two */
	SLOT_TEXT_MAX = 4 << 10, /* a chain with a longer text is written anew for each entry */
	DECIMAL_MAX = 20,	 /* digits of a u64 */
	ID_TEXT_SIZE = 2 * ID_SIZE + 1, /* hex and NUL */
};

/* The fields that the short formats put in front of the message. */
enum who { WHO_HOST, WHO_IDENTIFIER, WHO_COMM, WHO_PID, WHO_SYSLOG_PID, _WHO_MAX };

/* A context chain as the format in use wants it. */
struct context_slot {
	const struct contexts *contexts; /* NULL: the slot is empty */
	uint32_t number;
	bool source_time; /* output_has_source_time() of the entry: what is reserved depends on it */
	bool oversized;	  /* `text` exceeded SLOT_TEXT_MAX and is not there */
	uint64_t names;	  /* a bit for each name, see output_name_bit() */
	struct buf text;  /* in json and export: all its fields */
	struct field who
		[_WHO_MAX]; /* in the short formats: the nearest; without a name if there is none */
};

struct gathered_field {
	struct field f;
	uint32_t order; /* in the walk: the nearest value of a field stays the first */
};

struct output_cache {
	struct context_slot slots[CACHE_SLOTS];
	struct gathered_field *fields; /* owned */
	size_t n_fields, cap_fields;
	struct buf scratch;
};

/** Ready the cache.  @return NULL (and `to->bad`) without memory. */
struct output_cache *output_cache(struct output *o, struct buf *to);
/** The slot of the entry's context; its content, if `contexts` is not the entry's, is another chain's and yet to be made. */
struct context_slot *output_slot(struct output_cache *c, const struct shown *s);
/** Whether a slot holds the entry's context. */
bool output_slot_holds(const struct context_slot *slot, const struct shown *s);
/** Make a slot the entry's, with nothing in it. */
void output_slot_begin(struct context_slot *slot, const struct shown *s);
/** Keep the text that was appended to the slot, or drop it if it is too large. */
void output_slot_end(struct context_slot *slot);

/* Lists of fields. */

/** Begin an empty list. */
void output_gather_begin(struct output_cache *c);
/** Append a field whose name and value live as long as the entry (or are a single digit). */
bool output_gather(struct output_cache *c, const struct field *f, struct buf *to);
/** Append the fields of an entry without those of its contexts. */
void output_gather_own(struct output_cache *c, const struct shown *s, struct buf *to);
/** Append the fields of the entry's contexts. */
void output_gather_contexts(struct output_cache *c, const struct shown *s, struct buf *to);
/** Sort the list by name; the order of one field's values stays. */
void output_gather_sort(struct output_cache *c);

/** Walk the fields of the entry alone, or of its contexts alone; as shown_each_field(). */
bool output_each_own(const struct shown *s, shown_field_fn each, void *arg);
bool output_each_context(const struct shown *s, shown_field_fn each, void *arg);

bool output_same_name(const struct field *a, const struct field *b);
/** Whether an entry's own field is not to be shown, as its name is one of ours. */
bool output_reserved(const struct shown *s, const struct field *f);
/** One of 64 bits that stands for the name, so that most different names are told apart at once. */
uint64_t output_name_bit(const struct field *f);

/* Facts of an entry. */

/** Whether the entry was imported: boot and monotonic time are not this host's, but among its fields if anywhere. */
bool output_imported(const struct shown *s);
/** Whether the entry's time is somebody else's than the collector's. */
bool output_has_source_time(const struct shown *s);
/** The collector's time in microseconds. */
uint64_t output_realtime_us(const struct shown *s);
/** @return whether there is a monotonic time. */
bool output_monotonic_us(const struct shown *s, uint64_t *ret);

/* Text. */

/** Write 2 * ID_SIZE hex digits and a NUL.  @return where that is. */
char *output_id(char *p, const struct id *id);
/** Write a number; `p` has DECIMAL_MAX bytes.  @return its end. */
char *output_decimal(char *p, uint64_t v);
void output_append_decimal(struct buf *to, uint64_t v);
/** The text of the second in which the entry's time is; it is cached. */
const char *output_time(struct output *o, uint64_t time_ns);
/** Bytes at the start that are ASCII from space to tilde, found a word at a time: not always all of them. */
size_t output_plain_run(const uint8_t *p, size_t n);
/** Whether text can be shown: UTF-8 without control characters but TAB, and newline if that is allowed. */
bool output_printable(const uint8_t *p, size_t n, bool newline);
/** Append a name, with U+FFFD for what cannot be shown. */
void output_append_name(struct buf *to, const struct field *f);

/** Append bytes as a JSON value: a string, or where they are no text an array of numbers. */
void output_json_value(struct buf *to, const uint8_t *p, size_t n);

/* The formats. */

void output_short(struct output *o, const struct shown *s, struct buf *to);
void output_cat(struct output *o, const struct shown *s, struct buf *to);
void output_verbose(struct output *o, const struct shown *s, struct buf *to);
void output_json(struct output *o, const struct shown *s, struct buf *to);
void output_export(struct output *o, const struct shown *s, struct buf *to);

#endif

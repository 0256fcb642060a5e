/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_STATEMENT_H
#define BULLA_SEAL_STATEMENT_H

/**
 * What is hashed: the canonical bytes of entries, contexts, batches and commits (docs/format.md, "Statements").
 *
 * Every statement begins with its kind and version, so that no two kinds can collide, and has exactly one encoding: the
 * decoders refuse whatever the encoders would not have written.  Decoded statements point into the caller's bytes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "seal/sha256.h"

enum {
	ID_SIZE = 16, /* journals, origins, boots */
	SALT_SIZE = 16,
	FIELDS_MAX = 1024,
	FIELD_NAME_MAX = 255,
	ENTRY_SIZE_MAX = 4 << 20, /* message and fields together */
	BATCH_SIZE_MAX = 4 << 20, /* bytes of messages and fields */
	COMMIT_SIZE_MAX = 16 << 20,
	CONTEXT_SIZE_MAX = 64 << 10,
	EVENT_SIZE_MAX = 1024,
	BATCHES_MAX = 65536, /* in a commit */
	EVENTS_MAX = 4096,
};

/** A 128-bit id, by value. */
struct id {
	uint8_t b[ID_SIZE];
};

static inline bool id_equal(const struct id *a, const struct id *b)
{
	return memcmp(a->b, b->b, ID_SIZE) == 0;
}

static inline int id_compare(const struct id *a, const struct id *b)
{
	return memcmp(a->b, b->b, ID_SIZE);
}

static inline bool hash_same(const struct hash *a, const struct hash *b)
{
	return memcmp(a->b, b->b, HASH_SIZE) == 0;
}

/** One NAME=value; borrowed.  Names are 1 to 255 bytes without NUL or '='. */
struct field {
	const uint8_t *name;
	const uint8_t *value;
	uint32_t value_len;
	uint8_t name_len;
};

/** Whether a field has this name; most differ in their first letters. */
static inline bool field_is(const struct field *f, const char *name)
{
	for (uint8_t i = 0; i < f->name_len; i++)
		if (name[i] == '\0' || (uint8_t) name[i] != f->name[i])
			return false;
	return name[f->name_len] == '\0';
}

/** Whether a field may have this name: 1 to 255 bytes, none of them NUL or '='. */
bool field_name_is_lawful(const uint8_t *name, size_t len);
/** Order of fields in every encoding: by name, then by value, bytewise.  The same field may stand there twice. */
int field_compare(const struct field *a, const struct field *b);

/** What an entry's flags say. */
enum entry_flag {
	ENTRY_CONTINUED = 1 << 0,  /* the line goes on in the next entry of this stream */
	ENTRY_NO_NEWLINE = 1 << 1, /* the stream ended without a newline after this */
	ENTRY_TIME_BY_RUNTIME =
		1 << 2, /* time_ns is the runtime's; neither bit: the collector's own */
	ENTRY_TIME_BY_SENDER = 1 << 3,
	ENTRY_RECOVERED = 1 << 4, /* sealed only after a crash of the host */
	ENTRY_GAP = 1 << 5,	  /* stands for entries that were dropped */
	ENTRY_FLAGS_ALL = (1 << 6) - 1,
};

/** One log record.  `fields` are sorted by field_compare(). */
struct entry {
	uint64_t time_ns;	/* the event's time */
	uint64_t received_ns;	/* the collector's */
	const uint8_t *message; /* `message_len` bytes, any */
	const struct field *fields;
	struct hash context; /* hash of the context leaf */
	uint32_t message_len;
	uint16_t n_fields;
	uint8_t priority; /* syslog(3), 0 to 7 */
	uint8_t flags;
};

/** Fields that many entries share; `parent` is all zero at the journal's identity. */
struct context {
	struct hash parent;
	const struct field *fields;
	uint16_t n_fields;
};

/** What a batch's flags say. */
enum batch_flag {
	BATCH_RECOVERED =
		1 << 0, /* all of its entries were sealed only after a crash; they say so, too */
	BATCH_FLAGS_ALL = (1 << 1) - 1,
};

/** The entries of one journal in one commit. */
struct batch {
	struct id journal;
	uint64_t batch_no;
	uint64_t first_seq;
	uint32_t entries;
	uint64_t bytes; /* of messages, names and values */
	uint64_t time_min, time_max;
	struct id boot;
	int64_t mono_offset; /* monotonic minus received */
	struct hash root;    /* over the entry leaves in arrival order */
	bool recovered;	     /* BATCH_RECOVERED */
};

/** What happened to the origin itself. */
enum event_kind {
	EVENT_GENESIS = 1,
	EVENT_UP = 2,
	EVENT_DOWN = 3,
	EVENT_OPEN = 4,
	EVENT_CLOSE = 5,
	EVENT_HEARTBEAT = 6,
	EVENT_REKEY = 7,
	EVENT_HOLE = 8,
	EVENT_PRUNE = 9,
	EVENT_REDACT = 10, /* reserved */
};

struct event {
	uint8_t kind;
	uint16_t len;
	const uint8_t *body;
};

/** One tick of an origin. */
struct commit {
	uint64_t number;
	uint64_t time_ns;
	struct id boot;
	uint32_t n_batches;
	struct hash batches_root;
	uint16_t n_events;
	const struct event *events;
};

/** Bytes of a leaf, to reserve room for it. */
size_t context_leaf_size(const struct context *c);
size_t entry_leaf_size(const struct entry *e);
size_t commit_leaf_size(const struct commit *c);
enum { BATCH_LEAF_SIZE = 119 };
/** Bytes that an entry counts towards its batch: message, names and values. */
size_t entry_bytes(const struct entry *e);

/** Where its parent's hash and its fields stand in an encoded context, for who knows the parent otherwise. */
enum { CONTEXT_PARENT_AT = 2, CONTEXT_FIELDS_AT = CONTEXT_PARENT_AT + HASH_SIZE };
/** Where its salt stands in an encoded entry, for who has the salts later. */
enum { ENTRY_SALT_AT = 2 + 1 + 1 + 8 + 8 };

void entry_encode(const struct entry *e, const uint8_t salt[SALT_SIZE], struct wr *w);
void context_encode(const struct context *c, struct wr *w);
void batch_encode(const struct batch *b, struct wr *w);
void commit_encode(const struct commit *c, struct wr *w);

/**
 * Decode a whole leaf; `fields` has room for FIELDS_MAX, `events` for `events_max`.
 *
 * @return 0, or BULLA_ETRUNCATED, BULLA_EVERSION, BULLA_ELIMIT, or BULLA_ENOTCANON for what has another encoding.
 */
_must_check_ int entry_decode(struct rd r, struct field *fields, struct entry *ret,
			      uint8_t salt[SALT_SIZE]);
_must_check_ int context_decode(struct rd r, struct field *fields, struct context *ret);
_must_check_ int batch_decode(struct rd r, struct batch *ret);
_must_check_ int commit_decode(struct rd r, struct event *events, uint16_t events_max,
			       struct commit *ret);

/** Hash of the context's leaf: its name everywhere.  CONTEXT_SIZE_MAX bounds it: BULLA_ELIMIT. */
_must_check_ int context_hash(const struct context *c, struct hash *ret);
struct hash batch_leaf_hash(const struct batch *b);
enum { BATCH_LEAVES_AT_ONCE = 64 };
/** The same of some batches, BATCH_LEAVES_AT_ONCE at most. */
void batch_leaf_hashes(const struct batch *b, size_t n, struct hash *ret);
/** @return -ENOMEM where the leaf finds no room. */
_must_check_ int commit_leaf_hash(const struct commit *c, struct hash *ret);

/** The salts of one batch: 16 bytes per entry out of a ChaCha20 stream (docs/format.md, "Salts"). */
struct salts {
	uint8_t key[32];
};

/** Derive the batch's salt key from the journal's seed. */
void salts_of(struct salts *s, const uint8_t seed[32], uint64_t batch_no);
/** Write the salts of entries first .. first+n-1 of the batch to `to`, 16 bytes each. */
void salts_get(const struct salts *s, uint64_t first, size_t n, uint8_t *to);
/** What `open` commits to: hash of the journal's first seed. */
struct hash seed_commitment(const struct id *journal, const uint8_t seed[32]);

enum { SEED_SIZE = 32, SEED_BATCHES = 256 };

/* Bodies of events. */

struct event_genesis {
	uint8_t levels, height;
	uint8_t public_key[32];
	uint64_t created_ns;
	struct id nonce;
	struct id machine;
	const uint8_t *host; /* host name, not terminated */
	uint16_t host_len;
};

struct event_up {
	bool unclean; /* the last run did not end with EVENT_DOWN */
	struct id boot;
};

struct event_open {
	struct id journal;
	struct hash identity;
	struct id previous; /* the journal that this one continues; zero: none */
	struct hash seed_commitment;
};

struct event_close {
	struct id journal;
	uint64_t batches, entries;
};

struct event_rekey {
	uint8_t levels, height;
	uint8_t public_key[32];
};

/** The content of a journal's batches before number `batches` was, or is about to be, taken away on purpose. */
struct event_prune {
	struct id journal;
	uint64_t batches;
};

void event_genesis_encode(const struct event_genesis *e, struct wr *w);
void event_up_encode(const struct event_up *e, struct wr *w);
void event_open_encode(const struct event_open *e, struct wr *w);
void event_close_encode(const struct event_close *e, struct wr *w);
void event_rekey_encode(const struct event_rekey *e, struct wr *w);
void event_prune_encode(const struct event_prune *e, struct wr *w);
/** Decode a body to its last byte.  @return 0 or BULLA_ENOTCANON. */
_must_check_ int event_genesis_decode(const struct event *e, struct event_genesis *ret);
_must_check_ int event_up_decode(const struct event *e, struct event_up *ret);
_must_check_ int event_open_decode(const struct event *e, struct event_open *ret);
_must_check_ int event_close_decode(const struct event *e, struct event_close *ret);
_must_check_ int event_rekey_decode(const struct event *e, struct event_rekey *ret);
_must_check_ int event_prune_decode(const struct event *e, struct event_prune *ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_FORWARDER_WIRE_H
#define BULLA_FORWARDER_WIRE_H

/**
 * What travels in the body of a PUT, and lies in the aggregator's lanes: frames (base/frame.h), commit after commit.
 *
 *	[keys] ( batch (context | seed | rows)* )* commit
 *
 * `keys` and `commit` are records of the ledger, `context`, `seed` and `rows` frames of a tail, byte for byte as they lie
 * there, unless segments took its place (packed.h): the forwarder copies, the aggregator checks and appends, and nothing is
 * encoded twice.  The commit comes last, so that it completes what is before it.
 *
 *	batch    journal[16] | u64 batch_no | u32 contexts before | u32 seeds before | u8 flags | u8 absent
 */

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/history.h"
#include "store/format.h"

enum wire_record {
	WIRE_KEYS = 0x21,
	WIRE_COMMIT = 0x22,
	WIRE_BATCH = 0x23,
};

/** Set when all contexts and seeds of the journal follow, from the first one on: the answer to a 424. */
#define WIRE_BATCH_ALL 0x01
/** Set for a batch that recovery sealed: its entries are hashed as such. */
#define WIRE_BATCH_RECOVERED 0x02

/** Why a batch comes without its rows. */
enum absent {
	ABSENT_NOT = 0,
	ABSENT_PRUNED = 1,
	ABSENT_DAMAGED = 2,
	ABSENT_QUOTA = 3,
};

enum {
	WIRE_RECORD_MAX = LEDGER_RECORD_MAX,
	/* Of one PUT: a largest commit in the worst shape, and some. */
	WIRE_BODY_MAX = 48 << 20,
	WIRE_BATCH_SIZE = ID_SIZE + 8 + 4 + 4 + 1 + 1,
	WIRE_COMMITS_MAX = 4096, /* in one PUT */
};

struct wire_batch {
	struct id journal;
	uint64_t batch_no;
	uint32_t contexts, seeds; /* that the journal had before this batch */
	uint8_t flags;
	enum absent absent;
};

void wire_batch_encode(const struct wire_batch *b, struct wr *w);
_must_check_ int wire_batch_decode(const uint8_t *p, size_t n, struct wire_batch *ret);
/** Append a whole frame.  Out of memory shows as `to->bad`. */
void wire_frame(struct buf *to, uint32_t type, const void *payload, size_t n);

/** What the aggregator answers to GET /v1/origins/{o}, and after each PUT, as JSON. */
struct wire_head {
	uint64_t received, durable; /* commits */
	struct hash root;	    /* over `durable` commits */
	char receipt[1024];	    /* note, or empty */
	char key[512];		    /* vkey of the aggregator */
};

void wire_head_write(const struct wire_head *h, struct buf *to);
/** @return 0 or BULLA_EPARSE. */
_must_check_ int wire_head_parse(const char *json, size_t n, struct wire_head *ret);

#endif

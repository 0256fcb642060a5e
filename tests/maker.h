/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_MAKER_H
#define BULLA_TESTS_MAKER_H

/**
 * Ledgers made in memory with keys that are no secret, the same bytes every time.
 *
 * A maker is a sealer without disk and clock.  Whatever fails in it is a bug here or in what is tested: it asserts.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "seal/history.h"

enum { MAKER_RECORDS_MAX = 256 };

struct maker {
	struct history *h;
	struct kes *key;
	const char *name; /* seeds and ids follow from it */
	struct kes_params params;
	uint64_t time_ns;
	struct id boot;
	struct buf bytes; /* payloads, one after another */
	struct maker_record {
		uint32_t type;
		size_t at, len;
	} record[MAKER_RECORDS_MAX];
	size_t n;
};

/** Begin a ledger: header, keys, and commit 0 with genesis and `up`. */
void maker_init(struct maker *m, const char *name, struct kes_params params);
void maker_done(struct maker *m);
/** An id that follows from the maker's name and a text. */
struct id maker_id(const struct maker *m, const char *text);

/** Commit; a rekey event and keys records come by themselves. */
void maker_commit(struct maker *m, struct batch_item *items, size_t n_items,
		  const struct event *events, size_t n_events);
/** Append a commit record of any content without signature to `to`, which history_seal_message() has not seen. */
int maker_write(struct maker *m, struct batch_item *items, size_t n_items,
		const struct event *events, size_t n_events, struct buf *to);
/** A batch of `entries` for a journal. */
struct batch_item maker_item(const struct maker *m, uint32_t handle, uint32_t entries);

/** Events; `body` is theirs to write to and must live as long as they. */
struct event maker_open(const struct maker *m, const char *journal, uint8_t body[128]);
struct event maker_close(const struct maker *m, uint32_t handle, uint64_t more_batches,
			 uint64_t more_entries, uint8_t body[128]);
struct event maker_up(struct maker *m, const char *boot, uint8_t body[128]);

/**
 * Tell a story with everything in it: journals opened, continued and closed, a reboot with a recovered batch, unknown
 * events, and, for keys of 16 seals, a new key.
 */
void maker_story(struct maker *m);

/** All records as the frames of a ledger file. */
void maker_frames(const struct maker *m, struct buf *to);

static inline const uint8_t *maker_bytes(const struct maker *m, size_t i)
{
	return m->bytes.data + m->record[i].at;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_HISTORY_INTERNAL_H
#define BULLA_SEAL_HISTORY_INTERNAL_H

/**
 * What the three parts of a history share: its state, and what a commit record said before it is absorbed.
 *
 * history.c holds the state, answers questions and absorbs; history_parse.c reads records; history_write.c makes them.
 */

#include "seal/history.h"
#include "seal/record.h"

enum { LEDGER_MAGIC_SIZE = 8 };
extern const uint8_t history_magic[LEDGER_MAGIC_SIZE];

/** Journals are found by id through an open-addressing table of handles + 1, hashed with a secret of this process. */
struct journal_table {
	uint8_t hash_key[16];
	struct ledger_journal *at;
	uint32_t n, cap;
	uint32_t *slot;
	uint32_t n_slots; /* power of two, more than twice n */
};

/** What a commit record holds, before it is absorbed. */
struct parsed {
	bool complete;	  /* holds a whole commit that is the next one */
	bool lacks_roots; /* of some batches */
	struct ledger_items items;
	struct commit commit;
	struct batch *batches;
	uint32_t *handles;
	size_t batches_cap;
	struct event *events;
	size_t events_cap;
	struct ledger_journal *opened; /* by this commit */
	size_t n_opened, opened_cap;
	struct frontier tree; /* with this commit */
	struct hash leaf, root;
	struct event_genesis genesis;
	bool has_genesis, has_up, has_down, has_rekey;
	struct event_rekey rekey;
	const uint8_t *sigma;
};

struct history {
	bool has_header, started, pinned, up;
	struct vkey pin, vkey;
	char host[HOST_NAME_MAX_LEN + 1];
	struct id machine, boot;
	uint64_t time_ns;
	struct frontier tree;
	struct kes_params params;
	uint8_t public_key[KES_PUBLIC_SIZE];
	uint64_t key_first;
	bool has_keys;	    /* trees hold a key's public half */
	uint64_t keys_upto; /* seals below this counter are covered by the trees */
	bool awaiting_keys; /* a rekey event named public_key, its trees are to come */
	struct kes_public_tree trees[KES_LEVELS_MAX];
	uint8_t certificates[KES_LEVELS_MAX][KES_SIGMA_SIZE];
	struct journal_table journals;
	struct parsed p;
};

/** How many keys the bottom tree has. */
static inline uint64_t bottom_keys(const struct kes_params *p)
{
	return 1ull << p->height;
}

/** The journal of a handle, be it known or opened by the very commit at hand; NULL: there is none. */
const struct ledger_journal *history_journal_at(const struct history *h, uint64_t handle);

/** Make room for `more` journals.  @return 0, BULLA_ELIMIT, -ENOMEM. */
_must_check_ int history_reserve_journals(struct history *h, size_t more);
/** Take an `open` event into h->p.opened.  @return 0, BULLA_EORDER, BULLA_ENOTCANON, BULLA_ELIMIT, -ENOMEM. */
_must_check_ int history_parse_open(struct history *h, const struct event *e);
/** Read a commit record into h->p, checked but for its signature, which is absent without `with_sigma`. */
_must_check_ int history_parse_commit(struct history *h, const uint8_t *bytes, size_t n,
				      bool with_sigma);
/** Take a record that was read into h->p, checked but for its signature. */
_must_check_ int history_parse_record(struct history *h, const struct commit_record *record);
/** The id of the origin that the commit in h->p belongs to, or founds. */
struct id history_parsed_origin(const struct history *h);
/** The message that seals the commit in h->p.  @return its length. */
size_t history_parsed_message(const struct history *h, char ret[SEAL_MESSAGE_SIZE_MAX]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_IMPORT_JOURNALS_INTERNAL_H
#define BULLA_COLLECTOR_IMPORT_JOURNALS_INTERNAL_H

/**
 * What the parts of it share: import_journals.c sorts entries in, import_contexts.c finds their contexts, import_links.c speaks
 * with the sealer.
 */

#include "collector/host.h"
#include "collector/import_journals.h"
#include "collector/import_split.h"
#include "collector/sealer_link.h"
#include "store/tail_writer.h"

enum {
	SOURCES_OPEN_MAX = 1000,
	TABLE_SIZE = 4096, /* a power of two, more than twice SOURCES_OPEN_MAX */
	CACHE_SIZE = 1024, /* likewise a power of two */
	ABSENT_KINDS = 4,
};

struct import_journal {
	struct id id;
	struct tail_writer tail;
	uint64_t key; /* hash of the source */
	struct field source[IMPORT_SOURCE_MAX];
	uint32_t n_source;
	struct import_names names;
	int channel, lock;
	bool untold;   /* of the cut that is pending: the sealer */
	bool welcomed; /* by the sealer, on this channel; it is open then */
	bool opened;   /* was ever welcomed */
	bool close_sent, closed;
	/* Contexts of the file at hand: what entries of each kind begin with. */
	uint32_t file;
	int64_t base[ABSENT_KINDS]; /* -1: none yet */
	uint64_t entries;
};

/* A context that was used lately. */
struct cached_context {
	uint64_t hash;
	uint32_t journal, parent, number;
	struct buf fields; /* as they came; empty: nothing is here */
};

/* Where the entry before this one went.  What it has again goes there, too, without a look at its values. */
struct import_before {
	int64_t journal; /* of its source; -1: none */
	uint32_t n_source;
	int16_t source_word[IMPORT_SOURCE_MAX];
	int64_t context; /* of its slow fields; -1: none */
	uint32_t context_journal, context_parent;
	uint16_t n_slow;
	uint16_t slow_word[IMPORT_FIELDS_MAX];
};

struct import_journals {
	const struct state *state;
	struct tenant tenant;
	struct host host;
	const volatile sig_atomic_t *stop;
	struct sealer_link link;
	int epoll;
	struct import_journal *journals[SOURCES_OPEN_MAX];
	uint32_t n, n_max;
	uint32_t n_opened;	    /* the first so many: the sealer was asked to open them */
	uint64_t new_since;	    /* monotonic: the next one is there */
	uint32_t renewed;	    /* sealers since a batch was sealed last */
	uint32_t opening;	    /* journals that wait to be opened */
	int64_t shared;		    /* number of the journal that others share; -1: none */
	uint32_t table[TABLE_SIZE]; /* number + 1, by hash of the source */
	struct cached_context cache[CACHE_SIZE];
	struct import_split split;
	struct import_before before;
	char file_name[1024];
	uint32_t file;
	uint64_t entries, omitted;
	size_t staged; /* bytes in all journals */
	struct import_journal *flushed_last;
	uint64_t contexts_size;
	uint64_t cut_at, cut_took; /* when all were cut last, and how long that took */
	bool full_said;
};

/* import_journals.c */

/** After a failure to write: wait a moment where it was for want of space.  @return 0 to try again; -ECANCELED; `error`. */
_must_check_ int import_wait_for_space(struct import_journals *s, int error);

/* import_contexts.c */

/** The context of the entry in `split`; without one that is worth it, its slow fields become its own.  @return its number, an error. */
_must_check_ int64_t import_context_of(struct import_journals *s, uint32_t number);

/* import_links.c */

/** Connect to the sealer, starting one if need be. */
_must_check_ int import_links_reach(struct import_journals *s);
/** Have the sealer open a journal that is durable; its cut, if there is one, is told when that is done. */
_must_check_ int import_links_open(struct import_journals *s, struct import_journal *j);
/** Handle what the sealer says, waiting for the first word at most so long.  @return 0, -ECANCELED, an error. */
_must_check_ int import_links_pump(struct import_journals *s, int timeout_ms);
/** Tell the sealer of the cut that is pending. */
void import_links_send_cut(struct import_journals *s, struct import_journal *j);
void import_links_send_close(struct import_journals *s, struct import_journal *j);
/** Whether the second signal has come. */
bool import_is_cancelled(const struct import_journals *s);

#endif

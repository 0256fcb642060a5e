/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_BUILDER_H
#define BULLA_TESTS_BUILDER_H

/**
 * Small state directories, made with the library alone: an origin, several journals, as many commits as wanted, crashes
 * and recoveries.  One process plays sealer, collectors and recovery.
 *
 *	builder_init -> builder_open -> builder_log... -> builder_commit -> ... -> builder_end -> builder_done
 *
 * Whatever fails here is a bug here or in what is tested: it asserts.  No Criterion inside, so fuzz targets and simulators
 * may use it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "seal/origin.h"
#include "store/state.h"
#include "store/tail_writer.h"
#include "store/verify.h"

enum { BUILDER_JOURNALS_MAX = 320 };

struct builder {
	char path[512];
	struct state state;
	struct origin *origin; /* NULL after a crash */
	struct kes_params params;
	struct id boot;
	uint64_t now_ns; /* moves with everything that is done */
	uint64_t dice;
	const char *
		tenant; /* of journals that are opened from now on; NULL: their identity says nothing */
	struct builder_journal {
		struct id id;
		struct tail_writer tail; /* fd -1 while nobody writes */
		uint32_t out, err;	 /* contexts */
		bool closed;
	} * journal; /* BUILDER_JOURNALS_MAX of them; owned */
	size_t n;
};

/** A directory for tests, in memory where the machine has such; below TMPDIR if that is set. */
const char *builder_parent(void);

/** Found an origin below `path` (created) and begin to seal.  {2, 2} is a key of 16 seals. */
void builder_init(struct builder *b, const char *path, struct kes_params params);
/** Close everything, in whatever state it is. */
void builder_done(struct builder *b);

/** Open a journal, sealed; the name is in its identity.  @return its index. */
size_t builder_open(struct builder *b, const char *name);
/** The same under an id that somebody else may have. */
size_t builder_open_as(struct builder *b, const char *name, const struct id *journal);
/** Log one entry, or `n` different ones; they are staged. */
void builder_log(struct builder *b, size_t journal, const char *message);
void builder_log_many(struct builder *b, size_t journal, size_t n);
/** Append what is staged. */
void builder_flush(struct builder *b, size_t journal);
/** Cut a batch; `*ret` is what would be sealed. */
void builder_cut(struct builder *b, size_t journal, struct batch_item *ret);
/** Cut what every journal has, and seal all of it in one commit. */
void builder_commit(struct builder *b);
/** Seal these in one commit, whatever they say. */
void builder_seal(struct builder *b, struct batch_item *items, size_t n);
/** Close a journal, sealed. */
void builder_close(struct builder *b, size_t journal);
/** Close all journals and seal the end of the run. */
void builder_end(struct builder *b);
/** Have it sealed that the first batches of a journal are taken away. */
void builder_prune(struct builder *b, size_t journal, uint64_t batches);
/** Everybody is gone, unsealed entries and all. */
void builder_crash(struct builder *b);
/** Begin to seal again, on another boot or the same; what is open is recovered and closed. */
void builder_restart(struct builder *b, bool reboot);
/** The same in two steps: without recovery. */
void builder_start(struct builder *b, bool reboot);
void builder_recover(struct builder *b);

/** The key to pin. */
struct vkey builder_pin(const struct builder *b);
/** Name of a journal's tail below the state directory. */
void builder_tail(const struct builder *b, size_t journal, char ret[64]);

/** A directory with most of what there is: three journals, a crash with recovery, new keys, closed in the end. */
void builder_story(struct builder *b, const char *path);

/* Looking at the result. */

/** What verify said: the verdict, and all findings as lines "VERDICT file: what". */
struct verified {
	int error; /* of verify_state() */
	struct verify_report report;
	struct buf findings; /* text */
};

void verified_done(struct verified *v);
/** Verify a directory; `pin` may be NULL.  `v` begins as zeroes; its memory is used again. */
void builder_verify(const char *path, const struct vkey *pin, struct verified *v);
void builder_verify_with(const char *path, struct verify_options options, struct verified *v);
/** Whether a finding says this, with this verdict. */
bool verified_says(const struct verified *v, enum verdict verdict, const char *what);

/**
 * Append every sealed entry, journal by journal, as its statement and those of its contexts: two directories that hold the
 * same entries give the same bytes.
 *
 * @return 0, or the error of the first that cannot be read.
 */
int builder_dump(const char *path, struct buf *to);
/** The same, journal by journal. */
typedef void (*builder_dump_fn)(void *arg, const struct ledger_journal *j,
				const struct buf *entries);
int builder_dump_each(const char *path, builder_dump_fn each, void *arg);

/** Read or write a whole file below a directory. */
void builder_load(const char *path, const char *name, struct buf *to);
void builder_store(const char *path, const char *name, const void *data, size_t n);
/** Copy a state directory that has no subdirectories but the usual. */
void builder_copy(const char *from, const char *to);

#endif

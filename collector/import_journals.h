/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_IMPORT_JOURNALS_H
#define BULLA_COLLECTOR_IMPORT_JOURNALS_H

/**
 * The journals of one import: entries in, sealed batches out, by way of the host's sealer.
 *
 * Each source has a journal of its own, up to a number; the sources after that share one.  To the sealer this is a holder and the
 * collectors of many journals at once, and says to it what those say (message.h), with one difference: it cuts a batch when that
 * is large enough, and not when the clock says so.  A sealer that dies is replaced.
 *
 * Where the disk is full, it waits.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "collector/import_export.h"
#include "store/state.h"
#include "store/tenant.h"

struct import_journals;

/**
 * The journals will be `tenant`'s.  `state` is borrowed for good.  The first signal that sets `stop` ends waits for space; the second, as a count of 2, ends all.
 */
_must_check_ int import_journals_new(struct import_journals **ret, const struct state *state,
				     const struct tenant *tenant,
				     const volatile sig_atomic_t *stop);
struct import_journals *import_journals_free(struct import_journals *s);

/** What follows comes from a file of this name. */
void import_journals_from(struct import_journals *s, const char *name);
/** Keep an entry.  @return 0; -ECANCELED when stopped; an error that ends the import. */
_must_check_ int import_journals_add(struct import_journals *s, const struct import_entry *e);
/** Do what the sealer waits for, and cut what is due.  `idle`: nothing more is there to be added now. */
_must_check_ int import_journals_step(struct import_journals *s, bool idle);
/** A descriptor that is readable when import_journals_step() has something to do. */
int import_journals_fd(const struct import_journals *s);
/** Have all of it sealed and the journals closed. */
_must_check_ int import_journals_finish(struct import_journals *s);

/** Entries that were added, fields of them that were left out, and journals. */
uint64_t import_journals_entries(const struct import_journals *s);
uint64_t import_journals_omitted(const struct import_journals *s);
uint32_t import_journals_count(const struct import_journals *s);
/** Whether sources had to share a journal. */
bool import_journals_shared(const struct import_journals *s);

#endif

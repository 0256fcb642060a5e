/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_STATE_H
#define BULLA_STORE_STATE_H

/**
 * The state directory of a host:
 *
 *	seal/       0700  key (secret), lock, socket: the sealer's own
 *	ledger/           the ledger
 *	journals/         one tail per journal
 *	receipts/         what aggregators have acknowledged, by destination
 */

#include <stdbool.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/statement.h"

struct state {
	int root, seal, ledger,
		journals; /* directories, owned; `seal` is -1 where it may not be read */
	char path[4096];
};

/**
 * Name of the state directory: `option`, else $BULLA_STATE, else /var/lib/bulla for root, else $XDG_STATE_HOME/bulla or
 * ~/.local/state/bulla.
 *
 * @return 0 or -ENAMETOOLONG, -ENOENT without a home.
 */
_must_check_ int state_path(const char *option, char ret[4096]);
/** Open a state directory; `create` makes what is missing.  @return 0, -ENOENT, a negated errno. */
_must_check_ int state_open(struct state *s, const char *path, bool create);
/** Make `path` one that means the same to whoever has another working directory. */
_must_check_ int state_make_absolute(struct state *s);
void state_close(struct state *s);

/** Called for each journal's tail; a negative return ends the walk and is returned by it. */
typedef int (*state_journal_fn)(void *arg, const struct id *journal, const char *name);
_must_check_ int state_each_journal(const struct state *s, state_journal_fn each, void *arg);

#endif

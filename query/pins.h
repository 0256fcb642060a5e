/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_PINS_H
#define BULLA_QUERY_PINS_H

/**
 * Keys pinned on this host, of origins and of aggregators: one vkey a line in $BULLA_KEYS, else /etc/bulla/keys for root, else ~/.config/bulla/keys.
 *
 * A pin here is worth less than one given with --key from elsewhere: whoever owns the host can replace both the logs and
 * it.  Verdicts say so.
 */

#include <stdbool.h>

#include "base/attr.h"
#include "seal/cosign.h"
#include "seal/note.h"

/** Find the pin of an origin.  @return 1, 0 when there is none, a negated errno, BULLA_EPARSE for a bad line. */
_must_check_ int pins_find(const struct id *origin, struct vkey *ret);
/** Add a pin; one that is there already is fine.  @return 0, -EEXIST when the origin has another key, a negated errno. */
_must_check_ int pins_add(const struct vkey *key);
/** Find the keys of aggregators, which lie in the same list.  @return how many, at most `max`; as pins_find(). */
_must_check_ int pins_aggregators(struct cosigner *ret, int max);
/** Add the key of an aggregator; one that is there already is fine.  @return 0; -EEXIST: this name has another key; as pins_add(). */
_must_check_ int pins_add_aggregator(const struct cosigner *key);
/** Name of the file, for messages. */
_must_check_ int pins_path(char ret[4096]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_SHOWN_H
#define BULLA_QUERY_SHOWN_H

/**
 * An entry on its way to the reader: the entry, its place, and the contexts that complete it.
 *
 * To a reader an entry is one multiset of fields: its own, those of its context chain, and those that stand for its fixed
 * parts (MESSAGE, PRIORITY, _LINE_BREAK).  shown_each_field() is the one place where they are put together.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "seal/statement.h"
#include "store/contexts.h"

struct shown {
	const struct entry *entry;
	const struct contexts *contexts; /* of its journal */
	uint32_t context;		 /* its number there */
	struct id journal;
	uint64_t seq;
	struct id boot;
	int64_t mono_offset; /* monotonic minus received; only with has_mono */
	bool has_mono;
	bool sealed;	/* the ledger has it; what is not sealed could still be changed unseen */
	bool corrected; /* something else was shown in its place, before it was sealed */
};

/** Room for the cursor "<32 hex>:<seq>" and its NUL. */
enum { CURSOR_SIZE = 2 * ID_SIZE + 1 + 20 + 1 };
/** Write it, with a NUL.  @return how long it is. */
size_t shown_cursor(const struct shown *s, char ret[CURSOR_SIZE]);
/** Parse one.  @return 0 or -EINVAL. */
_must_check_ int shown_cursor_parse(const char *text, struct id *ret_journal, uint64_t *ret_seq);

/** Called with each field; a true return ends the walk. */
typedef bool (*shown_field_fn)(void *arg, const struct field *f);

/**
 * Walk all fields of an entry: MESSAGE, PRIORITY, _LINE_BREAK ("line-max" or "eof", journald's words), its own, then its
 * contexts' from the nearest to the identity.  An imported entry has the first two only if it came with them.
 *
 * @return whether the walk was ended by the callback.
 */
bool shown_each_field(const struct shown *s, shown_field_fn each, void *arg);
/** The first value of a field, nearest first; false if it has none. */
bool shown_lookup(const struct shown *s, const char *name, struct field *ret);

#endif

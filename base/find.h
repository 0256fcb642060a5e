/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_FIND_H
#define BULLA_BASE_FIND_H

/**
 * Finding a needle in bytes, exactly or with ASCII letters in either case.
 *
 * A finder is made once for a needle and then asked of any number of haystacks; it owns nothing, and the needle must
 * outlive it.  What it costs is in proportion to the haystack, whatever that and the needle are made of.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct find_hunt;

struct finder {
	const uint8_t *needle; /* borrowed */
	size_t n;
	bool any_case;
	/* Two places of the needle, and what (byte | mask) is there. */
	size_t at[2];
	uint8_t mask[2], want[2];
	void (*hunt)(struct find_hunt *h); /* what suits this CPU */
};

void finder_init(struct finder *f, const void *needle, size_t n, bool any_case);
/** @return where the needle begins for the first time, or NULL.  A needle without bytes is everywhere. */
const uint8_t *finder_find(const struct finder *f, const void *p, size_t n);
/** Whether `n` bytes at both places are the same, as this finder sees it. */
bool finder_same(const struct finder *f, const void *a, const void *b, size_t n);

/** A walk over the texts that have the needle (which has bytes), of texts that lie one behind the other. */
struct find_walk {
	const struct finder *finder;
	const uint8_t *p;    /* the texts; borrowed */
	const uint32_t *end; /* of each in them, not falling; borrowed */
	size_t n;	     /* texts */
	size_t next;
};

/** Go on to the next text that has the needle.  @return whether there is one; `*ret` is its number. */
bool find_walk_next(struct find_walk *w, size_t *ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_TEMPLATE_SET_H
#define BULLA_STORE_SEGMENT_TEMPLATE_SET_H

/** Distinct templates while they come, numbered in that order: those of a row group, and those of a segment. */

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "store/segment/strings.h"

struct templates {
	struct buf keys;
	uint32_t *end;	/* owned: of each key */
	uint32_t *hash; /* owned */
	uint32_t n, cap;
	uint32_t *slot; /* owned: numbers + 1 */
	uint32_t n_slots;
};

void templates_done(struct templates *t);
/** Forget them, keep the memory. */
void templates_clear(struct templates *t);
/** @return the number of a template, new or not; or -ENOMEM. */
_must_check_ int64_t templates_number(struct templates *t, const uint8_t *key, size_t n);
struct text templates_get(const struct templates *t, uint32_t number);

#endif

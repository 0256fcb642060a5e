/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_PACKING_H
#define BULLA_TESTS_PACKING_H

/** What the keeper does, for a host that a builder made. */

#include <stdbool.h>
#include <stdint.h>

#include "tests/builder.h"

/**
 * Pack what is in no segment yet, `entries_max` entries a segment or all in one (0), with the last one that is not full only
 * if `all`; then take away the tails that can go.
 *
 * @return how many tails went.
 */
uint64_t pack_segments(const struct builder *b, uint64_t entries_max, bool all);
/** Merge the n segments from `first` on.  @return as segment_merge(). */
int merge_segments(const struct builder *b, uint32_t first, uint32_t n);
/** How many segments there are. */
uint32_t count_segments(const struct builder *b);

#endif

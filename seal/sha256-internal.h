/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_SHA256_INTERNAL_H
#define BULLA_SEAL_SHA256_INTERNAL_H

/** Providers of sha256_many() beside nettle. */

#include <stdbool.h>

#include "seal/sha256.h"

#if defined(__x86_64__)
/** Whether this CPU has the SHA extensions. */
bool sha256_ni_usable(void);
/** Hash each of `n` messages, two at a time. */
void sha256_ni_many(struct hash *ret, const struct span *messages, size_t n);
#endif

#endif

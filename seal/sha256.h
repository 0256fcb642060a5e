/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_SHA256_H
#define BULLA_SEAL_SHA256_H

/**
 * SHA-256, by the thousand.
 *
 * One hash is the base of every tree here.  The compression function is nettle's, which picks SHA-NI or ARMv8 code at
 * start; libsodium's portable code would cost five times as much.  Callers hand over many messages at once: where the CPU
 * has the SHA extensions of x86, two of them are hashed at the same time (sha256_ni.c).
 */

#include <stddef.h>
#include <stdint.h>

enum { HASH_SIZE = 32 };

/** A digest, by value. */
struct hash {
	uint8_t b[HASH_SIZE];
};

/** Bytes to be hashed; borrowed. */
struct span {
	const uint8_t *p;
	size_t n;
};

struct hash sha256(const void *data, size_t n);
/** SHA-256 of the concatenation of `n` spans. */
struct hash sha256_concat(const struct span *parts, size_t n);
/** Hash each of `n` messages for itself. */
void sha256_many(struct hash *ret, const struct span *messages, size_t n);

#endif

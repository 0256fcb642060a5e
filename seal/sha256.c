/* SPDX-License-Identifier: Apache-2.0 */

#include "seal/sha256.h"

#include <nettle/sha2.h>

struct hash sha256_concat(const struct span *parts, size_t n)
{
	struct sha256_ctx c;
	struct hash h;

	sha256_init(&c);
	for (size_t i = 0; i < n; i++)
		sha256_update(&c, parts[i].n, parts[i].p);
	sha256_digest(&c, HASH_SIZE, h.b);
	return h;
}

struct hash sha256(const void *data, size_t n)
{
	return sha256_concat(&(struct span){ data, n }, 1);
}

void sha256_many(struct hash *ret, const struct span *messages, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ret[i] = sha256_concat(&messages[i], 1);
}

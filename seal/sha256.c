/* SPDX-License-Identifier: Apache-2.0 */

#include "seal/sha256.h"

#include <nettle/sha2.h>
#include <stdatomic.h>

#include "seal/sha256-internal.h"

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
#if defined(__x86_64__)
	static atomic_int usable; /* 0: not yet asked */

	if (atomic_load_explicit(&usable, memory_order_relaxed) == 0)
		atomic_store_explicit(&usable, sha256_ni_usable() ? 1 : -1, memory_order_relaxed);
	if (atomic_load_explicit(&usable, memory_order_relaxed) > 0) {
		sha256_ni_many(ret, messages, n);
		return;
	}
#endif
	for (size_t i = 0; i < n; i++)
		ret[i] = sha256_concat(&messages[i], 1);
}

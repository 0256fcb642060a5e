/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/template_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void templates_done(struct templates *t)
{
	buf_done(&t->keys);
	free(t->end);
	free(t->hash);
	free(t->slot);
	*t = (struct templates){ 0 };
}

void templates_clear(struct templates *t)
{
	buf_clear(&t->keys);
	t->n = 0;
	if (t->n_slots > 0)
		memset(t->slot, 0, t->n_slots * sizeof *t->slot);
}

struct text templates_get(const struct templates *t, uint32_t number)
{
	uint32_t from = number > 0 ? t->end[number - 1] : 0;

	return (struct text){ t->keys.data + from, t->end[number] - from };
}

static int grow_slots(struct templates *t)
{
	uint32_t n = t->n_slots ? 2 * t->n_slots : 1024;
	uint32_t *slot = calloc(n, sizeof *slot);

	if (!slot)
		return -ENOMEM;
	free(t->slot);
	t->slot = slot;
	t->n_slots = n;
	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t at = t->hash[i] & (n - 1);

		while (slot[at] != 0)
			at = (at + 1) & (n - 1);
		slot[at] = i + 1;
	}
	return 0;
}

static int grow(struct templates *t)
{
	uint32_t cap = t->cap ? 2 * t->cap : 256, *end, *hash;

	if (2 * (t->n + 1) > t->n_slots && grow_slots(t) < 0)
		return -ENOMEM;
	if (t->n < t->cap)
		return 0;
	end = reallocarray(t->end, cap, sizeof *end);
	if (end)
		t->end = end;
	hash = reallocarray(t->hash, cap, sizeof *hash);
	if (hash)
		t->hash = hash;
	if (!end || !hash)
		return -ENOMEM;
	t->cap = cap;
	return 0;
}

int64_t templates_number(struct templates *t, const uint8_t *key, size_t n)
{
	struct text wanted = { key, (uint32_t) n };
	uint32_t hash = (uint32_t) text_hash(wanted), at;

	if (grow(t) < 0)
		return -ENOMEM;
	for (at = hash & (t->n_slots - 1); t->slot[at] != 0; at = (at + 1) & (t->n_slots - 1)) {
		uint32_t i = t->slot[at] - 1;

		if (t->hash[i] == hash && text_equal(templates_get(t, i), wanted))
			return i;
	}
	buf_append(&t->keys, key, n);
	if (t->keys.bad || t->keys.len > UINT32_MAX)
		return -ENOMEM;
	t->end[t->n] = (uint32_t) t->keys.len;
	t->hash[t->n] = hash;
	t->slot[at] = ++t->n;
	return t->n - 1;
}

/* SPDX-License-Identifier: Apache-2.0 */

/** An open-addressing table that is never more than half full; the hash is keyed, for the strings are anybody's. */

#include "query/names.h"

#include <errno.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct name {
	uint8_t *p; /* owned; NULL: an empty slot */
	uint32_t n;
};

struct names {
	struct name *slot;
	size_t n, n_slots; /* a power of two */
	size_t size;	   /* bytes of all strings */
	uint8_t key[crypto_shorthash_KEYBYTES];
};

struct names *names_new(void)
{
	struct names *s = calloc(1, sizeof *s);

	if (s)
		randombytes_buf(s->key, sizeof s->key);
	return s;
}

struct names *names_free(struct names *s)
{
	for (size_t i = 0; s && i < s->n_slots; i++)
		free(s->slot[i].p);
	if (s)
		free(s->slot);
	free(s);
	return NULL;
}

/* Where a string is, or would be. */
static struct name *find(const struct names *s, const void *p, size_t n)
{
	uint64_t at;

	crypto_shorthash((uint8_t *) &at, p, n, s->key);
	for (;; at++) {
		struct name *slot = &s->slot[at & (s->n_slots - 1)];

		if (!slot->p || (slot->n == n && memcmp(slot->p, p, n) == 0))
			return slot;
	}
}

static int grow(struct names *s)
{
	struct name *old = s->slot;
	size_t n_old = s->n_slots;
	struct name *more = calloc(n_old ? 4 * n_old : 256, sizeof *more);

	if (!more)
		return -ENOMEM;
	s->slot = more;
	s->n_slots = n_old ? 4 * n_old : 256;
	for (size_t i = 0; i < n_old; i++)
		if (old[i].p)
			*find(s, old[i].p, old[i].n) = old[i];
	free(old);
	return 0;
}

int names_add(struct names *s, const void *p, size_t n)
{
	struct name *slot;
	uint8_t *copy;

	if (2 * s->n >= s->n_slots && grow(s) < 0)
		return -ENOMEM;
	slot = find(s, p, n);
	if (slot->p)
		return 0;
	if (s->n >= NAMES_MAX || n > NAMES_SIZE_MAX - s->size)
		return -E2BIG;
	copy = malloc(n + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, p, n);
	*slot = (struct name){ copy, (uint32_t) n };
	s->n++;
	s->size += n;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

	return c != 0 ? c : (x->n > y->n) - (x->n < y->n);
}

void names_write(struct names *s, struct buf *to)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_slots; i++) {
		struct name name = s->slot[i];

		s->slot[i] = (struct name){ 0 };
		if (name.p)
			s->slot[n++] = name;
	}
	if (n > 1)
		qsort(s->slot, n, sizeof *s->slot, compare);
	for (size_t i = 0; i < n; i++) {
		buf_append(to, s->slot[i].p, s->slot[i].n);
		buf_char(to, '\n');
	}
}

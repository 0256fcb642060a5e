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
	uint64_t times;
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
	return names_count(s, p, n, 1);
}

int names_count(struct names *s, const void *p, size_t n, uint64_t times)
{
	struct name *slot;
	uint8_t *copy;

	if (2 * s->n >= s->n_slots && grow(s) < 0)
		return -ENOMEM;
	slot = find(s, p, n);
	if (slot->p) {
		slot->times += times;
		return 0;
	}
	if (s->n >= NAMES_MAX || n > NAMES_SIZE_MAX - s->size)
		return -E2BIG;
	copy = malloc(n + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, p, n);
	*slot = (struct name){ copy, (uint32_t) n, times };
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

static int compare_times(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	if (x->times != y->times)
		return x->times < y->times ? 1 : -1;
	return compare(a, b);
}

void names_each(struct names *s, bool most_first, names_fn each, void *arg)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_slots; i++) {
		struct name name = s->slot[i];

		s->slot[i] = (struct name){ 0 };
		if (name.p)
			s->slot[n++] = name;
	}
	if (n > 1)
		qsort(s->slot, n, sizeof *s->slot, most_first ? compare_times : compare);
	for (size_t i = 0; i < n; i++)
		each(arg, s->slot[i].p, s->slot[i].n, s->slot[i].times);
}

static void write_line(void *arg, const void *p, size_t n, uint64_t times)
{
	(void) times;
	buf_append(arg, p, n);
	buf_char(arg, '\n');
}

void names_write(struct names *s, struct buf *to)
{
	names_each(s, false, write_line, to);
}

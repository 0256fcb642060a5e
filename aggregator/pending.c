/* SPDX-License-Identifier: Apache-2.0 */

#include "aggregator/pending.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int) PENDING_KEY_SIZE == (int) crypto_shorthash_KEYBYTES, "a key is a key");
_Static_assert(sizeof(uint64_t) == crypto_shorthash_BYTES, "a digest is a number");

void pending_done(struct pending *p)
{
	free(p->rows);
	*p = (struct pending){ 0 };
}

static size_t count(const struct pending *p)
{
	return (size_t) (p->end - p->first);
}

int pending_reserve(struct pending *p, uint64_t seq, size_t n)
{
	size_t have = count(p), cap = p->cap ? p->cap : 4;
	struct pending_row *rows;

	if (have == 0) {
		p->first = p->end = seq;
		p->from = 0;
	}
	if (p->from + have + n <= p->cap)
		return 0;
	if (have > 0)
		memmove(p->rows, p->rows + p->from, have * sizeof *p->rows);
	p->from = 0;
	while (cap < have + n)
		cap *= 2;
	if (cap == p->cap)
		return 0;
	rows = reallocarray(p->rows, cap, sizeof *rows);
	if (!rows)
		return -ENOMEM;
	p->rows = rows;
	p->cap = cap;
	return 0;
}

void pending_add(struct pending *p, uint64_t digest)
{
	assert(p->from + count(p) < p->cap);
	p->rows[p->from + count(p)] = (struct pending_row){ .digest = digest };
	p->end++;
}

/* What many had needed is not kept for the few that are left. */
static void shrink(struct pending *p)
{
	size_t have = count(p), cap = p->cap;
	struct pending_row *rows;

	while (cap > 4 && have <= cap / 4)
		cap /= 2;
	if (cap == p->cap)
		return;
	memmove(p->rows, p->rows + p->from, have * sizeof *p->rows);
	p->from = 0;
	rows = reallocarray(p->rows, cap, sizeof *rows);
	if (!rows)
		return;
	p->rows = rows;
	p->cap = cap;
}

struct pending_row *pending_of(const struct pending *p, uint64_t seq)
{
	return seq >= p->first && seq < p->end ? &p->rows[p->from + (size_t) (seq - p->first)]
					       : NULL;
}

uint64_t pending_forget(struct pending *p, uint64_t seq)
{
	uint64_t shown = 0;

	for (; p->first < p->end && p->first < seq; p->first++, p->from++)
		shown += p->rows[p->from].shown && !p->rows[p->from].same;
	if (count(p) == 0)
		pending_done(p);
	else
		shrink(p);
	return shown;
}

int pending_digest(const uint8_t key[PENDING_KEY_SIZE], const struct entry *e, struct buf *room,
		   uint64_t *ret)
{
	static const uint8_t no_salt[SALT_SIZE];
	size_t size = entry_leaf_size(e);
	struct wr w;
	uint8_t *at;

	buf_clear(room);
	at = buf_room(room, size);
	if (!at)
		return -ENOMEM;
	w = wr_of(at, size);
	entry_encode(e, no_salt, &w);
	crypto_shorthash((uint8_t *) ret, at, w.len, key);
	return 0;
}

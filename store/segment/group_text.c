/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Messages put together from their columns.
 *
 * This is what everything that reads entries waits for, so it writes through a pointer: room for the next piece is made before it
 * is written, and short pieces are copied 16 bytes at a time, be they shorter.  What they are copied from has so many bytes behind
 * it (block_read()).
 */

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/digits.h"
#include "base/hex.h"
#include "bulla/error.h"
#include "store/segment/reader-internal.h"

enum { DIGITS_SIZE_MAX = 24, NEXT_BYTES = 256 };

/* Bytes that there must be room for behind the end, and may be written. */
static uint8_t *put_bytes(uint8_t *at, const uint8_t *p, size_t n)
{
	if (n <= BLOCK_SLACK)
		memcpy(at, p, BLOCK_SLACK);
	else
		memcpy(at, p, n);
	return at + n;
}

static uint8_t *put_digits(const struct variable_column *c, uint64_t v, uint8_t *to)
{
	unsigned n = digits_of(v);

	/* The first one is in front of the others to tell how many they are. */
	if (c->form == DIGITS_PREFIXED)
		n--;
	else if (c->form == DIGITS_WIDTH)
		n = MAX_OF(n, (unsigned) c->width);
	digits_put(to, v, n);
	return to + n;
}

/* @return NULL for a time that has no text. */
static uint8_t *put_time(const struct segment_group *g, const struct slot *slot,
			 const struct variable_column *c, uint64_t v, uint32_t row, uint8_t *to)
{
	size_t n;

	if (c->form == TIME_TO_ENTRY)
		v = g->time[row] / (NS_PER_S / timetext_per_second(&slot->form)) - unzigzag(v);
	n = timetext_write(&slot->form, v, to);
	return n > 0 ? to + n : NULL;
}

static uint8_t *put_halves(const uint8_t *p, size_t n, char letters, uint8_t *at)
{
	hex_unpack(at, p, n, letters);
	return at + 2 * n;
}

static uint8_t *put_uuid(const uint8_t *p, uint8_t *at)
{
	at = put_halves(p, 4, 'a', at);
	*at++ = '-';
	at = put_halves(p + 4, 2, 'a', at);
	*at++ = '-';
	at = put_halves(p + 6, 2, 'a', at);
	*at++ = '-';
	at = put_halves(p + 8, 2, 'a', at);
	*at++ = '-';
	return put_halves(p + 10, 6, 'a', at);
}

static uint8_t *put_octet(uint8_t *at, uint8_t v)
{
	if (v >= 100)
		*at++ = (uint8_t) ('0' + v / 100);
	if (v >= 10)
		*at++ = (uint8_t) ('0' + v / 10 % 10);
	*at++ = (uint8_t) ('0' + v % 10);
	return at;
}

static uint8_t *put_address(const uint8_t *p, uint8_t *at)
{
	for (unsigned i = 0; i < 4; i++) {
		at = put_octet(at, p[i]);
		*at++ = '.';
	}
	return at - 1;
}

static uint8_t *put_packed(uint8_t kind, const struct text *t, uint8_t *at)
{
	if (kind == VARIABLE_IPV4)
		return put_address(t->p, at);
	if (kind == VARIABLE_UUID)
		return put_uuid(t->p, at);
	return put_halves(t->p, t->len, kind == VARIABLE_HEX_UPPER ? 'A' : 'a', at);
}

static bool is_packed(uint8_t kind, const struct variable_column *c)
{
	return stream_of(kind) == STREAM_PACKED && c->form == PACKED_HALVES;
}

/* Bytes that a variable takes at most, and what may be written behind it. */
static size_t room_for_variable(const struct slot *slot, const struct variable_column *c,
				uint32_t ordinal)
{
	if (slot->kind == VARIABLE_TIME)
		return TIMETEXT_SIZE_MAX;
	if (slot->kind == VARIABLE_DIGITS)
		return DIGITS_SIZE_MAX;
	return 2 * (size_t) c->texts[ordinal].len + BLOCK_SLACK;
}

/* @return behind it, or NULL. */
static uint8_t *put_variable(const struct segment_group *g, const struct slot *slot,
			     const struct variable_column *c, uint32_t ordinal, uint32_t row,
			     uint8_t *at)
{
	const struct text *t;

	if (slot->kind == VARIABLE_DIGITS)
		return put_digits(c, c->numbers[ordinal], at);
	if (slot->kind == VARIABLE_TIME)
		return put_time(g, slot, c, c->numbers[ordinal], row, at);
	t = &c->texts[ordinal];
	return is_packed(slot->kind, c) ? put_packed(slot->kind, t, at)
					: put_bytes(at, t->p, t->len);
}

/* Single values, for searches. */

void group_put_digits(const struct variable_column *c, uint64_t v, struct buf *to)
{
	uint8_t *at = buf_room(to, DIGITS_SIZE_MAX);

	if (at)
		buf_add(to, (size_t) (put_digits(c, v, at) - at));
}

int group_put_packed(uint8_t kind, const struct text *t, struct buf *to)
{
	uint8_t *at = buf_room(to, 2 * (size_t) t->len + BLOCK_SLACK);

	if (!group_has_size(kind, t))
		return BULLA_ECORRUPT;
	if (at)
		buf_add(to, (size_t) (put_packed(kind, t, at) - at));
	return 0;
}

int group_variable(const struct segment_group *g, const struct group_template *t, unsigned i,
		   uint32_t row, struct buf *to)
{
	const struct slot *slot = &t->template->slots[i];
	const struct variable_column *c = &t->columns[i];
	uint32_t ordinal = g->ordinal[row];
	uint8_t *at = buf_room(to, room_for_variable(slot, c, ordinal)), *end;

	if (!at)
		return -ENOMEM;
	end = put_variable(g, slot, c, ordinal, row, at);
	if (!end)
		return BULLA_ECORRUPT;
	buf_add(to, (size_t) (end - at));
	return 0;
}

/* Messages. */

static int need_columns(struct segment_group *g, struct group_template *t)
{
	int r = group_need_text(g, t);

	for (unsigned i = 0; r >= 0 && i < t->n; i++)
		r = group_need_column(g, t, i);
	t->ready = r >= 0;
	return r;
}

/* Make room behind `*at`, which is in the buffer or its end. */
static int make_room(struct buf *to, uint8_t **at, size_t n, size_t from)
{
	size_t used = *at ? (size_t) (*at - to->data) : to->len;

	if (*at && to->cap - used >= n)
		return 0;
	/* A few bytes of a file can promise very many. */
	if (used - from + n > (size_t) 3 * ENTRY_SIZE_MAX)
		return BULLA_ECORRUPT;
	to->len = used;
	*at = buf_room(to, n);
	return *at ? 0 : -ENOMEM;
}

int group_put_message(const struct segment_group *g, const struct group_template *t,
		      uint32_t ordinal, uint32_t row, struct buf *to, struct stretch *ret_at)
{
	const struct template *of = t->template;
	size_t from = to->len;
	uint8_t *at = NULL;
	int r;

	for (unsigned i = 0; i < of->n; i++) {
		const struct slot *slot = &of->slots[i];
		size_t n = slot->before.len + BLOCK_SLACK +
			   room_for_variable(slot, &t->columns[i], ordinal);

		r = make_room(to, &at, n, from);
		if (r < 0)
			return r;
		at = put_bytes(at, slot->before.p, slot->before.len);
		ret_at[i].from = (uint32_t) ((size_t) (at - to->data) - from);
		at = put_variable(g, slot, &t->columns[i], ordinal, row, at);
		if (!at)
			return BULLA_ECORRUPT;
		ret_at[i].to = (uint32_t) ((size_t) (at - to->data) - from);
	}
	r = make_room(to, &at, of->rest.len + BLOCK_SLACK, from);
	if (r < 0)
		return r;
	at = put_bytes(at, of->rest.p, of->rest.len);
	to->len = (size_t) (at - to->data);
	return to->len - from > ENTRY_SIZE_MAX ? BULLA_ECORRUPT : 0;
}

/* One by one. */
static int message_of(struct segment_group *g, uint32_t row, struct buf *to)
{
	struct group_template *t = &g->templates[g->template_of[row] - 1];
	_uninitialized_ struct stretch at[VARIABLES_MAX];
	int r = t->ready ? 0 : need_columns(g, t);

	return r < 0 ? r : group_put_message(g, t, g->ordinal[row], row, to, at);
}

int group_message(struct segment_group *g, uint32_t row, struct buf *scratch, struct text *ret)
{
	int r;

	if (g->template_of[row] == 0) {
		r = group_need_whole(g);
		if (r >= 0)
			*ret = g->whole[g->ordinal[row]];
		return r;
	}
	if (g->made && g->made[row].at != NOT_MADE) {
		/* Who reads a row asks next for the one behind it, or does so when rows of all other journals were read. */
		group_fetch_message(g, row + 1, NEXT_BYTES);
		*ret = (struct text){ g->made_text.data + g->made[row].at, g->made[row].len };
		return 0;
	}
	buf_clear(scratch);
	r = message_of(g, row, scratch);
	if (r >= 0 && scratch->bad)
		r = -ENOMEM;
	*ret = (struct text){ scratch->data, (uint32_t) scratch->len };
	return r;
}

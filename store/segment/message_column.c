/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/message_column.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"

enum {
	DIGITS_MAX = 18,
	AHEAD = 8, /* rows that are fetched before they are looked at */
	LINE = 64,
	MESSAGE_FETCHED = 4 * LINE,
};

static const uint64_t power_of_ten[DIGITS_MAX + 1] = {
	1,
	10,
	100,
	1000,
	10000,
	100000,
	1000000,
	10000000,
	100000000,
	1000000000,
	10000000000,
	100000000000,
	1000000000000,
	10000000000000,
	100000000000000,
	1000000000000000,
	10000000000000000,
	100000000000000000,
	1000000000000000000,
};

void message_column_done(struct message_column *c)
{
	free(c->all);
	free(c->numbers);
	free(c->others);
	free(c->texts);
	buf_done(&c->bytes);
	buf_done(&c->packed);
}

int message_column_room(struct message_column *c, size_t rows)
{
	c->numbers = reallocarray(NULL, rows, sizeof *c->numbers);
	c->others = reallocarray(NULL, rows, sizeof *c->others);
	c->texts = reallocarray(NULL, rows, sizeof *c->texts);
	return c->numbers && c->others && c->texts ? 0 : -ENOMEM;
}

static int room_for_all(struct message_column *c, size_t n)
{
	if (n <= c->all_cap)
		return 0;
	free(c->all);
	c->all = reallocarray(NULL, n, sizeof *c->all);
	c->all_cap = c->all ? n : 0;
	return c->all ? 0 : -ENOMEM;
}

/* Have a row's variables on their way, and the message where texts are to be taken from it. */
static void fetch(const struct message_row *row, const struct variable *variables, unsigned slots,
		  bool texts)
{
	const struct variable *v = variables + row->variables;

	for (unsigned i = 0; i < slots; i += LINE / sizeof *v)
		__builtin_prefetch(v + i);
	for (unsigned i = 0; texts && i < MESSAGE_FETCHED; i += LINE)
		__builtin_prefetch(row->message + i);
}

static void take_text(struct message_column *c, const uint8_t *message, struct variable *v)
{
	uint8_t *to = buf_room(&c->bytes, v->len + MESSAGE_SLACK);

	v->units = c->bytes.len;
	if (!to)
		return;
	if (v->len <= MESSAGE_SLACK)
		memcpy(to, message + v->at, MESSAGE_SLACK);
	else
		memcpy(to, message + v->at, v->len);
	buf_add(&c->bytes, v->len);
}

static uint64_t slots_with_text(const struct template *t)
{
	uint64_t texts = 0;

	for (unsigned slot = 0; slot < t->n; slot++)
		if (stream_of(t->slots[slot].kind) != STREAM_NUMBERS)
			texts |= UINT64_C(1) << slot;
	return texts;
}

/* The rows are all over the memory: they are gone over once, and every column is near then. */
static void sort_out(struct message_column *c, const struct variable *variables,
		     const struct template *t)
{
	uint64_t texts = slots_with_text(t);
	struct variable *all = c->all;
	size_t n = c->n;

	buf_clear(&c->bytes);
	for (size_t i = 0; i < n; i++) {
		const struct message_row *row = &c->rows[i];
		const struct variable *v = variables + row->variables;

		fetch(&c->rows[MIN_OF(i + AHEAD, n - 1)], variables, t->n, texts != 0);
		for (unsigned slot = 0; slot < t->n; slot++)
			all[slot * n + i] = v[slot];
		for (uint64_t left = texts; left != 0; left &= left - 1)
			take_text(c, row->message, &all[(unsigned) __builtin_ctzll(left) * n + i]);
	}
}

static void stamp(struct message_column *c, unsigned slots)
{
	const struct variable *all = c->all;

	for (unsigned slot = 0; slot < slots; slot++, all += c->n) {
		uint32_t min = UINT32_MAX, max = 0;

		for (size_t i = 0; i < c->n; i++) {
			min = MIN_OF(min, all[i].len);
			max = MAX_OF(max, all[i].len);
		}
		c->len_min[slot] = min;
		c->len_max[slot] = max;
	}
}

int message_column_begin(struct message_column *c, const struct messages *m,
			 const struct template *t)
{
	if (room_for_all(c, c->n * t->n) < 0)
		return -ENOMEM;
	if (t->n > 0)
		sort_out(c, m->variables, t);
	stamp(c, t->n);
	return c->bytes.bad ? -ENOMEM : 0;
}

static const uint8_t *text_of(const struct message_column *c, size_t i)
{
	return c->bytes.data + c->variables[i].units;
}

/* Numbers. */

static void put_digits(const struct message_column *c, struct ints_scratch *scratch, unsigned slot,
		       struct buf *to)
{
	bool plain = true, fixed = c->len_min[slot] == c->len_max[slot];
	const struct variable *v = c->variables;
	uint64_t *numbers = c->numbers;
	size_t n = c->n;

	for (size_t i = 0; i < n; i++) {
		numbers[i] = v[i].units;
		plain &= (v[i].len == 1) | (v[i].units >= power_of_ten[v[i].len - 1]);
	}
	for (size_t i = 0; !plain && !fixed && i < c->n; i++)
		c->numbers[i] += power_of_ten[c->variables[i].len];
	buf_char(to, plain ? DIGITS_PLAIN : fixed ? DIGITS_WIDTH : DIGITS_PREFIXED);
	if (!plain && fixed)
		buf_char(to, (char) c->len_min[slot]);
	ints_encode(scratch, c->numbers, c->n, to);
}

static void put_times(const struct message_column *c, struct ints_scratch *scratch, struct buf *to)
{
	uint64_t unit = NS_PER_S / timetext_per_second(&c->variables[0].form);
	bool alone;

	for (size_t i = 0; i < c->n; i++) {
		c->others[i] = c->variables[i].units;
		c->numbers[i] = zigzag(c->times[c->rows[i].row] / unit - c->others[i]);
	}
	alone = ints_weigh(scratch, c->others, c->n) < ints_weigh(scratch, c->numbers, c->n);
	buf_char(to, alone ? TIME_ALONE : TIME_TO_ENTRY);
	ints_encode(scratch, alone ? c->others : c->numbers, c->n, to);
}

/* Strings. */

static uint8_t *pack_digits(uint8_t *to, const uint8_t *p, size_t bytes)
{
	hex_pack(to, p, bytes);
	return to + bytes;
}

static uint8_t *pack_address(uint8_t *to, const uint8_t *p, const uint8_t *end)
{
	for (unsigned n = 0; n < 4; n++, p++)
		for (to[n] = 0; p < end && *p != '.'; p++)
			to[n] = (uint8_t) (10 * to[n] + (*p - '0'));
	return to + 4;
}

/* Bytes of a variable, packed; dashes of a uuid go without saying. */
static uint8_t *pack(uint8_t *to, uint8_t kind, const uint8_t *p, size_t n)
{
	if (kind == VARIABLE_IPV4)
		return pack_address(to, p, p + n);
	if (kind != VARIABLE_UUID)
		return pack_digits(to, p, n / 2);
	to = pack_digits(to, p, 4);
	to = pack_digits(to, p + 9, 2);
	to = pack_digits(to, p + 14, 2);
	to = pack_digits(to, p + 19, 2);
	return pack_digits(to, p + 24, 6);
}

static void put_words(struct message_column *c, struct strings_scratch *scratch, struct buf *to)
{
	for (size_t i = 0; i < c->n; i++)
		c->texts[i] = (struct text){ text_of(c, i), c->variables[i].len };
	strings_encode(scratch, c->texts, c->n, to);
}

static void put_packed(struct message_column *c, struct strings_scratch *scratch, unsigned slot,
		       struct buf *to)
{
	uint8_t *at;

	buf_clear(&c->packed);
	at = buf_room(&c->packed, c->n * c->len_max[slot]);
	if (!at) {
		to->bad = true;
		return;
	}
	for (size_t i = 0; i < c->n; i++) {
		c->texts[i].p = at;
		at = pack(at, c->variables[i].kind, text_of(c, i), c->variables[i].len);
		c->texts[i].len = (uint32_t) (at - c->texts[i].p);
	}
	strings_encode(scratch, c->texts, c->n, to);
}

static void put_hex(struct message_column *c, struct strings_scratch *scratch, unsigned slot,
		    struct buf *to)
{
	bool even = true;

	for (size_t i = 0; i < c->n; i++)
		even &= c->variables[i].len % 2 == 0;
	buf_char(to, even ? PACKED_HALVES : PACKED_TEXT);
	if (even)
		put_packed(c, scratch, slot, to);
	else
		put_words(c, scratch, to);
}

void message_column_put(struct message_column *c, struct messages *m, unsigned slot, uint8_t kind,
			struct buf *to)
{
	c->variables = c->all + slot * c->n;
	switch (kind) {
	case VARIABLE_DIGITS:
		put_digits(c, &m->scratch.ints, slot, to);
		break;
	case VARIABLE_TIME:
		put_times(c, &m->scratch.ints, to);
		break;
	case VARIABLE_HEX:
	case VARIABLE_HEX_UPPER:
		put_hex(c, &m->scratch, slot, to);
		break;
	case VARIABLE_IPV4:
	case VARIABLE_UUID:
		put_packed(c, &m->scratch, slot, to);
		break;
	default:
		put_words(c, &m->scratch, to);
	}
}

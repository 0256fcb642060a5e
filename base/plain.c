/* SPDX-License-Identifier: Apache-2.0 */

#include "base/plain.h"

#include <string.h>

#include "base/text.h"

/* What has been held so far. */
enum held { WHOLE, PART, NOTHING };

static enum held judge_colour(const uint8_t *p, size_t n)
{
	if (n == 1)
		return PART;
	if (p[1] != '[')
		return NOTHING;
	for (size_t i = 2; i < n; i++)
		if (p[i] == 'm')
			return WHOLE;
		else if ((p[i] < '0' || p[i] > '9') && p[i] != ';')
			return NOTHING;
	return n < PLAIN_HELD_MAX ? PART : NOTHING;
}

/* U+0080 to U+009F are control characters, too. */
static enum held judge_character(const uint8_t *p, size_t n)
{
	size_t need = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

	if (p[0] < 0xc2 || p[0] > 0xf4 || (n > 1 && (p[n - 1] & 0xc0) != 0x80))
		return NOTHING;
	if (n < need)
		return PART;
	return text_utf8_step(p, n) == n && (p[0] != 0xc2 || p[1] >= 0xa0) ? WHOLE : NOTHING;
}

static enum held judge(const uint8_t *p, size_t n)
{
	if (p[0] == '\x1b')
		return judge_colour(p, n);
	if (p[0] >= 0x80)
		return judge_character(p, n);
	return p[0] == '\n' || p[0] == '\t' || (p[0] >= ' ' && p[0] < 0x7f) ? WHOLE : NOTHING;
}

static const char off[] = "\x1b[0m";

static void take(struct plain *p, const uint8_t *at, size_t n, struct buf *to);

/* The first byte is nothing that can be shown; what stands behind it is judged anew. */
static void drop_first(struct plain *p, struct buf *to)
{
	uint8_t rest[PLAIN_HELD_MAX];
	size_t n = p->n_held - 1;

	memcpy(rest, p->held + 1, n);
	buf_char(to, '?');
	p->n_held = 0;
	/* Not deep: each call holds one byte less. */
	take(p, rest, n, to);
}

static void put_held(struct plain *p, struct buf *to)
{
	buf_append(to, p->held, p->n_held);
	if (p->held[0] == '\x1b') {
		bool is_off = p->n_held == STRLEN(off) && memcmp(p->held, off, STRLEN(off)) == 0;

		memcpy(p->colour, p->held, p->n_held);
		p->n_colour = is_off ? 0 : p->n_held;
	}
	p->n_held = 0;
}

static void take(struct plain *p, const uint8_t *at, size_t n, struct buf *to)
{
	for (size_t i = 0; i < n; i++) {
		enum held held;

		p->held[p->n_held++] = at[i];
		held = judge(p->held, p->n_held);
		if (held == NOTHING) {
			drop_first(p, to);
		} else if (held == WHOLE) {
			put_held(p, to);
		}
	}
}

void plain_take(struct plain *p, const void *data, size_t n, struct buf *to)
{
	if (p->resting)
		buf_append(to, p->colour, p->n_colour);
	p->resting = false;
	take(p, data, n, to);
}

void plain_rest(struct plain *p, struct buf *to)
{
	if (p->n_colour > 0 && !p->resting)
		buf_str(to, off);
	p->resting = true;
}

void plain_end(struct plain *p, struct buf *to)
{
	while (p->n_held > 0)
		drop_first(p, to);
	plain_rest(p, to);
}

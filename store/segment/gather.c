/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/gather.h"

#include <string.h>

#include "base/letters.h"

/* Hexadecimal digits that values of such kinds have in a row. */
enum { DIGITS_OF_TIME = 16, DIGITS_OF_IPV4 = 3, DIGITS_OF_UUID = 12 };

enum { DASHES_OF_UUID = 4 };

static uint32_t digits_in_a_row(uint8_t kind, uint32_t longest)
{
	switch (kind) {
	case VARIABLE_TIME:
		return DIGITS_OF_TIME;
	case VARIABLE_IPV4:
		return DIGITS_OF_IPV4;
	case VARIABLE_UUID:
		return DIGITS_OF_UUID;
	}
	return longest;
}

/* Dashes of a uuid that may be of a value; of a time it is the one behind the year, for no other is next to four digits. */
static unsigned dashes_of(uint8_t kind)
{
	if (kind == VARIABLE_DIGITS || kind == VARIABLE_IPV4)
		return 0;
	return kind == VARIABLE_TIME ? 1 : DASHES_OF_UUID;
}

/* Whether a run of four letters can have a part in a value.  Times have names of months, of three; some begin with them. */
static bool has_letters(const struct slot *s)
{
	if (s->kind == VARIABLE_TIME)
		return timetext_begins_with_letter(&s->form);
	return s->kind != VARIABLE_DIGITS && s->kind != VARIABLE_IPV4;
}

/* What no token has in it. */
static bool is_border(uint8_t c)
{
	return letter_of(c) == 0 && (uint8_t) (c - '0') >= 10 && c != '-';
}

/* A reach being looked at. */
struct reach {
	unsigned first;
	bool open; /* it has a slot */
	unsigned dashes;
	uint64_t row, most; /* of digits: the one at hand, and the longest */
};

static void end_reach(struct gathering *g, struct reach *r, unsigned last)
{
	uint64_t bit = UINT64_C(1) << r->first;

	if (r->open) {
		g->last[r->first] = (uint8_t) last;
		g->digits |= r->most >= TOKENS_ID_MIN ? bit : 0;
		g->dashes |= r->dashes >= DASHES_OF_UUID ? bit : 0;
		g->apart |= r->first == last ? bit : 0;
	}
	*r = (struct reach){ 0 };
}

static void reach_text(struct gathering *g, struct reach *r, unsigned next, struct text t)
{
	for (uint32_t i = 0; i < t.len; i++) {
		if (is_border(t.p[i])) {
			end_reach(g, r, next - 1);
			continue;
		}
		r->row = is_hex(t.p[i]) ? r->row + 1 : 0;
		r->most = MAX_OF(r->most, r->row);
		r->dashes += t.p[i] == '-';
	}
}

static void reach_value(struct reach *r, unsigned slot, uint8_t kind, uint32_t longest)
{
	if (!r->open)
		r->first = slot;
	r->open = true;
	r->row += digits_in_a_row(kind, longest);
	r->most = MAX_OF(r->most, r->row);
	r->dashes += dashes_of(kind);
}

void gathering_begin(struct gathering *g, struct tokens *to, const struct template *t,
		     const uint32_t *longest)
{
	struct reach r = { 0 };

	*g = (struct gathering){ .to = to, .template = t };
	for (unsigned i = 0; i < t->n; i++) {
		const struct slot *s = &t->slots[i];

		tokens_add_text(to, TOKENS_TEXTS, s->before.p, s->before.len);
		reach_text(g, &r, i, s->before);
		reach_value(&r, i, s->kind, longest[i]);
		g->letters |= has_letters(s) ? UINT64_C(1) << i : 0;
	}
	tokens_add_text(to, TOKENS_TEXTS, t->rest.p, t->rest.len);
	reach_text(g, &r, t->n, t->rest);
	end_reach(g, &r, t->n - 1u);
	g->asked = g->letters | g->digits | g->dashes;
}

static uint32_t text_behind(const struct template *t, unsigned slot)
{
	return slot + 1u < t->n ? t->slots[slot + 1].before.len : t->rest.len;
}

void gathering_value(const struct gathering *g, unsigned slot, const uint8_t *from,
		     const uint8_t *to, const uint8_t *last_to)
{
	const uint8_t *begin = from - g->template->slots[slot].before.len;
	uint64_t bit = UINT64_C(1) << slot;
	size_t n;

	if (g->letters & bit)
		tokens_add_value(g->to, begin,
				 (size_t) (to - begin) + text_behind(g->template, slot),
				 (size_t) (from - begin), (size_t) (to - begin));
	if (!((g->digits | g->dashes) & bit))
		return;
	n = (size_t) (last_to - begin) + text_behind(g->template, g->last[slot]);
	if (g->digits & bit)
		tokens_add_digits(g->to, begin, n);
	if (g->dashes & bit)
		tokens_add_uuids(g->to, begin, n);
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A needle is laid across a template from left to right.  A set of bits tells how many of its bytes may lie before the
 * variable at hand: none, or as many as the text before ends with, or what got through the variables before.
 *
 *	template   t o o k _ {D} _ m s        needle "k 17 m"
 *	before {D}          ^ "k " lies there: 2 bytes
 *	{D} may take "1" or "17"; behind "17" the text goes on as the needle does, to its end: it may be there
 *
 * A sequel is laid in the same way behind each place where the needle is, over variables as what their kind may hold: a set of
 * bits tells how many of its parts may lie before what comes next.
 */

#include "store/segment/needle.h"

#include <errno.h>
#include <stdlib.h>

#include "base/letters.h"

/* Laying a needle across a template. */
struct laying {
	const struct needle_plan *plan;
	const uint8_t *p;
	size_t n;      /* bytes that are planned */
	uint64_t next; /* how many may lie before the next variable */
};

static bool same_byte(const struct needle_plan *p, uint8_t a, uint8_t b)
{
	return a == b || (p->needle.any_case && (a ^ b) == 0x20 && letter_of(a));
}

static bool begins_alike(const struct laying *l, const uint8_t *text, size_t pos, size_t n)
{
	return same_byte(l->plan, text[0], l->p[pos]) &&
	       finder_same(&l->plan->finder, text, l->p + pos, n);
}

/* The text behind a variable, with `pos` bytes laid already.  @return whether the needle ends in it. */
static bool lay_text(struct laying *l, struct text text, size_t pos)
{
	size_t left = l->n - pos;

	if (text.len > 0 && !begins_alike(l, text.p, pos, MIN_OF(left, text.len)))
		return false;
	if (left <= text.len)
		return true;
	l->next |= UINT64_C(1) << (pos + text.len);
	return false;
}

/* A variable, begun with `pos` bytes laid.  @return whether the needle may end in it or in the text behind it. */
static bool lay_variable(struct laying *l, uint64_t holds, struct text behind, size_t pos,
			 bool *inside)
{
	for (size_t end = pos + 1; end <= l->n; end++) {
		if (!(holds >> (end - 1) & 1))
			return false;
		if (end == l->n) {
			*inside |= pos == 0;
			return pos > 0;
		}
		if (lay_text(l, behind, end))
			return true;
	}
	return false;
}

/* How much of the needle a text may end with. */
static uint64_t begin_in_text(const struct laying *l, struct text text)
{
	uint64_t at = 1;

	for (size_t k = 1; k < l->n && k <= text.len; k++)
		if (begins_alike(l, text.p + text.len - k, 0, k))
			at |= UINT64_C(1) << k;
	return at;
}

static struct text text_behind(const struct template *t, unsigned slot)
{
	return slot + 1u < t->n ? t->slots[slot + 1].before : t->rest;
}

/* How far the sequel is behind `text`, which may have the needle several times; 0 if not at all. */
static uint64_t lay_sequel(const struct needle_plan *p, struct text text)
{
	const struct sequel *q = p->needle.sequel;
	const uint8_t *hit = finder_find(&p->finder, text.p, text.len), *from = text.p, *end;
	uint64_t at = 0;

	if (!hit)
		return 0;
	end = text.p + text.len;
	while (hit && !sequel_is_over(q, at)) {
		at = sequel_over(q, at, from, (size_t) (hit + p->needle.n - from)) |
		     sequel_begin(q);
		from = hit + p->needle.n;
		hit = finder_find(&p->finder, hit + 1, (size_t) (end - hit - 1));
	}
	return sequel_over(q, at, from, (size_t) (end - from));
}

/* Lay the sequel over a template's variables from `slot` on, whatever they are.  @return whether it may end. */
static bool lay_behind(const struct needle_plan *p, uint64_t at, const struct template *t,
		       unsigned slot)
{
	const struct sequel *q = p->needle.sequel;

	for (; at != 0 && slot < t->n; slot++) {
		struct text text = text_behind(t, slot);

		at = sequel_over_any(q, at, p->takes[t->slots[slot].kind - 'A']);
		at = sequel_over(q, at, text.p, text.len);
	}
	return sequel_is_over(q, at);
}

/* The text before variable `slot`, or the last one. */
static bool in_text(const struct needle_plan *p, struct text text, const struct template *t,
		    unsigned slot)
{
	return lay_behind(p, lay_sequel(p, text), t, slot);
}

bool needle_in_value(const struct needle_plan *p, struct text value, const struct template *t,
		     unsigned slot)
{
	uint64_t at = lay_sequel(p, value);
	struct text behind;

	if (at == 0 || !t)
		return sequel_is_over(p->needle.sequel, at);
	behind = text_behind(t, slot);
	at = sequel_over(p->needle.sequel, at, behind.p, behind.len);
	return lay_behind(p, at, t, slot + 1);
}

static bool in_texts(const struct needle_plan *p, const struct template *t)
{
	const uint8_t *from = t->n > 0 ? t->slots[0].before.p : t->rest.p;

	/* One look at all of it, markers and all. */
	if (!finder_find(&p->finder, from, (size_t) (t->rest.p + t->rest.len - from)))
		return false;
	for (unsigned i = 0; i < t->n; i++)
		if (in_text(p, t->slots[i].before, t, i))
			return true;
	return in_text(p, t->rest, t, t->n);
}

/* What the characters of a kind do not tell. */
static bool fits_inside(const struct needle *n, const struct slot *s)
{
	switch (s->kind) {
	case VARIABLE_TIME:
		return timetext_may_have(&s->form, n->p, n->n, n->any_case);
	case VARIABLE_IPV4:
		return n->n <= 15;
	case VARIABLE_UUID:
		return n->n <= 36;
	default:
		return true;
	}
}

static void judge(const struct needle_plan *p, const struct template *t, struct needle_verdict *v)
{
	struct laying l = { .plan = p,
			    .p = p->needle.p,
			    .n = MIN_OF(p->needle.n, (size_t) NEEDLE_PLANNED_MAX) };

	for (unsigned i = 0; i < t->n; i++) {
		struct text behind = text_behind(t, i);
		uint64_t at = l.next | begin_in_text(&l, t->slots[i].before);
		bool inside = false;

		l.next = 0;
		for (; at != 0; at &= at - 1)
			v->across |= lay_variable(&l, p->holds[t->slots[i].kind - 'A'], behind,
						  (size_t) __builtin_ctzll(at), &inside);
		v->inside |= (uint64_t) (inside && fits_inside(&p->needle, &t->slots[i])) << i;
	}
	/* What lies behind the planned beginning may lie anywhere. */
	v->across |= p->needle.n > l.n && v->inside != 0;
}

static bool may_hold(const struct needle *n, uint8_t kind, uint8_t c)
{
	return variable_may_hold(kind, c) ||
	       (n->any_case && letter_of(c) && variable_may_hold(kind, c ^ 0x20));
}

int needle_plan_make(struct needle_plan *p, const struct needle *n)
{
	static const uint8_t kinds[] = {
		VARIABLE_DIGITS, VARIABLE_HEX,	VARIABLE_HEX_UPPER, VARIABLE_IPV4, VARIABLE_UUID,
		VARIABLE_PATH,	 VARIABLE_NAME, VARIABLE_WORD,	    VARIABLE_TIME,
	};

	static const struct sequel nothing;

	*p = (struct needle_plan){ .needle = *n };
	if (n->n == 0)
		return -EINVAL;
	if (!n->sequel)
		p->needle.sequel = &nothing;
	tokens_ask(&p->tokens, n->p, n->n);
	finder_init(&p->finder, n->p, n->n, n->any_case);
	halves_init(&p->halves, n->p, n->n);
	for (size_t k = 0; k < ELEMENTS(kinds); k++) {
		for (size_t i = 0; i < n->n && i < NEEDLE_PLANNED_MAX; i++)
			p->holds[kinds[k] - 'A'] |= (uint64_t) may_hold(n, kinds[k], n->p[i]) << i;
		for (unsigned c = 0; p->needle.sequel->n > 0 && c < 256; c++)
			if (variable_may_hold(kinds[k], (uint8_t) c))
				p->takes[kinds[k] - 'A'] |= p->needle.sequel->takes[c];
	}
	return 0;
}

int needle_plan_room(struct needle_plan *p, uint32_t templates)
{
	if (p->of && p->n >= templates)
		return 0;
	free(p->of);
	p->n = templates;
	p->of = calloc(MAX_OF(templates, 1u), sizeof *p->of);
	return p->of ? 0 : -ENOMEM;
}

void needle_plan_done(struct needle_plan *p)
{
	free(p->of);
	*p = (struct needle_plan){ 0 };
}

bool needle_plan_all(struct needle_plan *p, const struct group_template *t)
{
	struct needle_verdict *v = &p->of[t->number];

	if (!v->all_known)
		v->all = in_texts(p, t->template);
	v->all_known = true;
	return v->all;
}

const struct needle_verdict *needle_plan_of(struct needle_plan *p, const struct group_template *t)
{
	struct needle_verdict *v = &p->of[t->number];

	if (!v->known && !needle_plan_all(p, t))
		judge(p, t->template, v);
	v->known = true;
	return v;
}

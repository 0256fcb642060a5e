/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/search.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

/* Longer needles are planned by their beginning. */
enum { PLANNED_MAX = 63 };

/* Bytes. */

static bool same(const struct needle *n, const uint8_t *a, const uint8_t *b, size_t len)
{
	if (len == 0)
		return true;
	if (!n->any_case)
		return memcmp(a, b, len) == 0;
	for (size_t i = 0; i < len; i++)
		if ((a[i] | 0x20) != (b[i] | 0x20) ||
		    (a[i] != b[i] && !((a[i] | 0x20) >= 'a' && (a[i] | 0x20) <= 'z')))
			return false;
	return true;
}

/* The first byte in either case, then the rest. */
static bool find_any_case(const struct needle *n, const uint8_t *p, size_t len)
{
	uint8_t c = n->p[0];
	const uint8_t forms[] = { c, (uint8_t) (isascii(c) && isalpha(c) ? c ^ 0x20 : c) };

	for (int k = 0; k < (forms[0] == forms[1] ? 1 : 2); k++) {
		const uint8_t *at = p, *end = p + len - n->n + 1;

		while (at < end && (at = memchr(at, forms[k], (size_t) (end - at))) != NULL) {
			if (same(n, at, n->p, n->n))
				return true;
			at++;
		}
	}
	return false;
}

bool needle_in(const struct needle *n, const uint8_t *p, size_t len)
{
	if (len < n->n)
		return false;
	return n->any_case ? find_any_case(n, p, len) : memmem(p, len, n->p, n->n) != NULL;
}

/* Templates. */

static bool may_hold(const struct needle *n, uint8_t kind, uint8_t c)
{
	return variable_may_hold(kind, c) ||
	       (n->any_case && isascii(c) && isalpha(c) && variable_may_hold(kind, c ^ 0x20));
}

/* How a needle may lie across a template: at[i] says whether i bytes of it may lie before the variable at hand. */
struct laying {
	const struct needle *needle;
	size_t n; /* bytes that are planned */
	bool at[PLANNED_MAX + 1], next[PLANNED_MAX + 1];
};

/* The text behind a variable, with `pos` bytes laid already.  @return whether the needle ends in it. */
static bool lay_text(struct laying *l, struct text text, size_t pos)
{
	size_t left = l->n - pos;

	if (!same(l->needle, text.p, l->needle->p + pos, MIN_OF(left, text.len)))
		return false;
	if (left <= text.len)
		return true;
	l->next[pos + text.len] = true;
	return false;
}

/* A variable, begun with `pos` bytes laid.  @return whether the needle may end in it or in the text behind it. */
static bool lay_variable(struct laying *l, uint8_t kind, struct text behind, size_t pos,
			 bool *inside)
{
	for (size_t end = pos + 1; end <= l->n; end++) {
		if (!may_hold(l->needle, kind, l->needle->p[end - 1]))
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

static void begin_in_text(struct laying *l, struct text text)
{
	for (size_t k = 1; k < l->n && k <= text.len; k++)
		l->at[k] |= same(l->needle, text.p + text.len - k, l->needle->p, k);
}

static struct needle_verdict judge(const struct needle *needle, const struct template *t)
{
	struct laying l = { .needle = needle, .n = MIN_OF(needle->n, (size_t) PLANNED_MAX) };
	struct needle_verdict v = { 0 };

	v.all = needle_in(needle, t->rest.p, t->rest.len);
	for (unsigned i = 0; i < t->n && !v.all; i++)
		v.all = needle_in(needle, t->slots[i].before.p, t->slots[i].before.len);
	for (unsigned i = 0; i < t->n && !v.all; i++) {
		struct text behind = i + 1u < t->n ? t->slots[i + 1].before : t->rest;
		bool inside = false;

		begin_in_text(&l, t->slots[i].before);
		l.at[0] = true;
		memset(l.next, 0, sizeof l.next);
		for (size_t pos = 0; pos < l.n; pos++)
			if (l.at[pos])
				v.across |=
					lay_variable(&l, t->slots[i].kind, behind, pos, &inside);
		v.inside |= (uint64_t) inside << i;
		memcpy(l.at, l.next, sizeof l.at);
	}
	/* What lies behind the planned beginning may lie anywhere. */
	v.across |= needle->n > l.n && v.inside != 0;
	return v;
}

int needle_plan_make(struct needle_plan *p, const struct segment *s, const struct needle *n)
{
	*p = (struct needle_plan){ .needle = *n };
	if (n->n == 0)
		return -EINVAL;
	p->of = reallocarray(NULL, MAX_OF(s->n_templates, 1u), sizeof *p->of);
	if (!p->of)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->n_templates; i++)
		p->of[i] = judge(n, &s->templates[i]);
	return 0;
}

void needle_plan_done(struct needle_plan *p)
{
	free(p->of);
	*p = (struct needle_plan){ 0 };
}

/* Rows. */

/* What one group's search goes with. */
struct search {
	struct segment_group *group;
	const struct needle_plan *plan;
	uint8_t *looked;  /* owned: per template of the group, LOOK_... */
	uint64_t *inside; /* owned: per template, the variables to be looked at */
	struct buf text;
};

enum { LOOK_NONE, LOOK_ALL, LOOK_ROWS };

/* Whether the stamp and the stored bytes of a column let the needle in.  @return 1 or 0. */
static int may_have(struct search *s, const struct variable_column *c, uint8_t kind)
{
	struct rd bytes;
	int r;

	if (has_stamp(kind) && c->len_max < s->plan->needle.n)
		return 0;
	if (stream_of(kind) != STREAM_WORDS)
		return 1;
	r = group_column_bytes(s->group, STREAM_WORDS, c, &bytes);
	return r < 0 ? r : needle_in(&s->plan->needle, bytes.p, bytes.left);
}

/* Leave of the variables those that may have the needle, and read them. */
static int narrow(struct search *s, struct group_template *t, uint64_t *inside)
{
	int r = 0;

	for (unsigned i = 0; i < t->template->n; i++) {
		uint8_t kind = t->template->slots[i].kind;

		if (!(*inside >> i & 1))
			continue;
		r = may_have(s, &t->columns[i], kind);
		if (r < 0)
			return r;
		if (r == 0) {
			*inside &= ~(UINT64_C(1) << i);
			continue;
		}
		r = kind == VARIABLE_TIME ? group_need_times(s->group) : 0;
		if (r >= 0)
			r = group_need_column(s->group, t, i);
		if (r < 0)
			return r;
	}
	return 0;
}

static int look(struct search *s, uint32_t row, const struct needle_verdict *v, uint64_t inside)
{
	const struct group_template *t = &s->group->templates[s->group->template_of[row] - 1];
	int r = 0;

	if (v->across) {
		buf_clear(&s->text);
		r = group_message(s->group, row, &s->text);
		if (r >= 0 && s->text.bad)
			r = -ENOMEM;
		return r < 0 ? r : needle_in(&s->plan->needle, s->text.data, s->text.len);
	}
	for (; inside != 0; inside &= inside - 1) {
		buf_clear(&s->text);
		r = group_variable(s->group, t, (unsigned) __builtin_ctzll(inside), row, &s->text);
		if (r >= 0 && s->text.bad)
			r = -ENOMEM;
		if (r < 0)
			return r;
		if (needle_in(&s->plan->needle, s->text.data, s->text.len))
			return 1;
	}
	return 0;
}

/* What each template of the group asks for, and its columns where rows have to be looked at.  @return whether any does. */
static int prepare(struct search *s)
{
	struct segment_group *g = s->group;
	bool any = false;
	int r = 0;

	for (uint32_t t = 0; r >= 0 && t < g->n_templates; t++) {
		const struct needle_verdict *v = &s->plan->of[g->templates[t].number];

		s->inside[t] = v->all || v->across ? 0 : v->inside;
		if (s->inside[t] != 0)
			r = narrow(s, &g->templates[t], &s->inside[t]);
		else if (!v->all && v->across)
			r = group_need_times(g); /* messages have times in them */
		s->looked[t] = v->all				? LOOK_ALL
			       : v->across || s->inside[t] != 0 ? LOOK_ROWS
								: LOOK_NONE;
		any |= s->looked[t] != LOOK_NONE;
	}
	return r < 0 ? r : any;
}

/* @return 1 where the row has the needle. */
static int judge_row(struct search *s, uint32_t row, bool whole)
{
	const struct segment_group *g = s->group;
	uint32_t t = g->template_of[row];

	if (t == 0)
		return whole && needle_in(&s->plan->needle, g->whole[g->ordinal[row]].p,
					  g->whole[g->ordinal[row]].len);
	if (s->looked[t - 1] != LOOK_ROWS)
		return s->looked[t - 1] == LOOK_ALL;
	return look(s, row, &s->plan->of[g->templates[t - 1].number], s->inside[t - 1]);
}

static int64_t search_rows(struct search *s, bool whole, uint64_t *hits)
{
	struct segment_group *g = s->group;
	int64_t n = 0;
	int r;

	r = group_need_templates(g);
	if (r >= 0 && whole)
		r = group_need_whole(g);
	for (uint32_t row = 0; r >= 0 && row < g->rows; row++) {
		r = judge_row(s, row, whole);
		if (r > 0) {
			hits[row / 64] |= UINT64_C(1) << row % 64;
			n++;
		}
	}
	return r < 0 ? r : n;
}

static int64_t search(struct search *s, uint64_t *hits)
{
	struct segment_group *g = s->group;
	struct rd whole;
	int any, r;

	s->looked = calloc((size_t) g->n_templates + 1, 1);
	s->inside = calloc((size_t) g->n_templates + 1, sizeof *s->inside);
	if (!s->looked || !s->inside)
		return -ENOMEM;
	any = prepare(s);
	r = any < 0 ? any : group_whole_bytes(g, &whole);
	if (r < 0)
		return r;
	/* One look at all bytes: values lie in them as they are. */
	r = needle_in(&s->plan->needle, whole.p, whole.left);
	return any || r ? search_rows(s, r, hits) : 0;
}

int64_t group_search(struct segment_group *g, const struct needle_plan *p, uint64_t *hits)
{
	struct search s = { .group = g, .plan = p };
	int64_t r;

	memset(hits, 0, ((size_t) g->rows + 63) / 64 * sizeof *hits);
	r = group_need_directory(g);
	if (r >= 0)
		r = search(&s, hits);
	free(s.looked);
	free(s.inside);
	buf_done(&s.text);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A match is a list of groups joined by or; a group is a list of terms joined by and; a term is one or more field names
 * and one or more values, any of which will do.  Beside them stands one more group, of what is required.
 */

#include "query/match.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "query/pattern.h"
#include "query/shortname.h"

enum {
	TERMS_MAX = 256,
	VALUES_MAX = 1024,
	PATTERN_SUBJECT_MAX = 1024, /* names of units, hosts and containers end long before */
	SHORT_ID = 12,		    /* digits of a container's id that runtimes show */
};

struct value {
	uint8_t *p; /* owned; a NUL follows */
	uint32_t n;
	bool is_pattern, is_short_id;
};

struct term {
	char *name;			/* owned; as it was given */
	const struct short_name *brief; /* if it is one */
	bool negate;
	bool of_entry; /* it may be decided by what is the entry's alone */
	struct value *values;
	size_t n_values;
};

struct group {
	struct term *terms;
	size_t n;
};

struct match {
	struct group required;
	struct group *groups; /* the last one is being filled */
	size_t n;
	size_t n_terms, n_values;
	int priority_from, priority_to;
	struct pattern *grep;
	bool shared; /* all but the pattern is another's */
};

/* Building. */

int match_new(struct match **ret)
{
	_cleanup_(match_freep) struct match *m = calloc(1, sizeof *m);

	if (!m)
		return -ENOMEM;
	m->groups = calloc(1, sizeof *m->groups);
	if (!m->groups)
		return -ENOMEM;
	m->n = 1;
	m->priority_to = 7;
	*ret = TAKE_PTR(m);
	return 0;
}

static void group_done(struct group *g)
{
	for (size_t t = 0; t < g->n; t++) {
		struct term *term = &g->terms[t];

		for (size_t v = 0; v < term->n_values; v++)
			free(term->values[v].p);
		free(term->values);
		free(term->name);
	}
	free(g->terms);
}

struct match *match_free(struct match *m)
{
	if (!m)
		return NULL;
	pattern_free(m->grep);
	if (m->shared) {
		free(m);
		return NULL;
	}
	for (size_t g = 0; g < m->n; g++)
		group_done(&m->groups[g]);
	group_done(&m->required);
	free(m->groups);
	free(m);
	return NULL;
}

int match_share(const struct match *m, struct match **ret)
{
	struct match *share = malloc(sizeof *share);
	int r;

	if (!share)
		return -ENOMEM;
	*share = *m;
	share->shared = true;
	share->grep = NULL;
	r = m->grep ? pattern_share(m->grep, &share->grep) : 0;
	if (r < 0) {
		free(share);
		return r;
	}
	*ret = share;
	return 0;
}

static int new_group(struct match *m)
{
	struct group *more;

	/* An empty group would hold for everything, as nobody means by "+ +". */
	if (m->groups[m->n - 1].n == 0)
		return 0;
	if (m->n >= TERMS_MAX)
		return BULLA_ELIMIT;
	more = reallocarray(m->groups, m->n + 1, sizeof *more);
	if (!more)
		return -ENOMEM;
	m->groups = more;
	m->groups[m->n++] = (struct group){ 0 };
	return 0;
}

static bool has_name(const struct term *t, const struct field *f)
{
	if (!t->brief)
		return field_is(f, t->name);
	for (const char *const *name = t->brief->fields; *name; name++)
		if (field_is(f, *name))
			return true;
	return false;
}

static bool is_of_entry(const struct term *t)
{
	static const char *const fixed[] = { "MESSAGE", "PRIORITY", "_LINE_BREAK" };

	for (size_t i = 0; i < ELEMENTS(fixed); i++)
		if (has_name(t, &(struct field){ .name = (const uint8_t *) fixed[i],
						 .name_len = (uint8_t) strlen(fixed[i]) }))
			return true;
	return false;
}

static struct term *find_term(struct group *g, const char *name, size_t len, bool negate)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->terms[i].negate == negate && strlen(g->terms[i].name) == len &&
		    memcmp(g->terms[i].name, name, len) == 0)
			return &g->terms[i];
	return NULL;
}

static int add_term(struct match *m, struct group *g, const char *name, size_t len, bool negate,
		    struct term **ret)
{
	struct term *more;

	*ret = find_term(g, name, len, negate);
	if (*ret)
		return 0;
	if (m->n_terms >= TERMS_MAX)
		return BULLA_ELIMIT;
	more = reallocarray(g->terms, g->n + 1, sizeof *more);
	if (!more)
		return -ENOMEM;
	g->terms = more;
	*ret = &g->terms[g->n];
	**ret = (struct term){ .negate = negate, .name = strndup(name, len) };
	if (!(*ret)->name)
		return -ENOMEM;
	(*ret)->brief = short_name_find(name, len);
	(*ret)->of_entry = is_of_entry(*ret);
	g->n++;
	m->n_terms++;
	return 0;
}

static bool is_pattern(const uint8_t *p, size_t n)
{
	return !memchr(p, '\0', n) && (memchr(p, '*', n) || memchr(p, '?', n) || memchr(p, '[', n));
}

static bool is_short_id(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!(p[i] >= '0' && p[i] <= '9') && !(p[i] >= 'a' && p[i] <= 'f'))
			return false;
	return n >= SHORT_ID;
}

static int add_value(struct match *m, struct term *t, const void *value, size_t n)
{
	enum habit habit = t->brief ? t->brief->habit : PLAIN;
	struct value *more, *v;

	if (m->n_values >= VALUES_MAX || n > ENTRY_SIZE_MAX)
		return BULLA_ELIMIT;
	more = reallocarray(t->values, t->n_values + 1, sizeof *more);
	if (!more)
		return -ENOMEM;
	t->values = more;
	v = &more[t->n_values];
	*v = (struct value){ malloc(n + 1), (uint32_t) n, false, false };
	if (!v->p)
		return -ENOMEM;
	memcpy(v->p, value, n);
	v->p[n] = '\0';
	v->is_pattern = habit != PLAIN && habit != LEVEL && is_pattern(v->p, n);
	v->is_short_id = habit == CONTAINER && is_short_id(v->p, n);
	t->n_values++;
	m->n_values++;
	return 0;
}

static bool has_unit_type(const char *value, size_t n)
{
	static const char *const types[] = { "service",	  "socket", "device", "mount",
					     "automount", "swap",   "target", "path",
					     "timer",	  "slice",  "scope" };
	const char *dot = memrchr(value, '.', n);
	size_t len = dot ? n - (size_t) (dot + 1 - value) : 0;

	for (size_t i = 0; len > 0 && i < ELEMENTS(types); i++)
		if (strlen(types[i]) == len && memcmp(types[i], dot + 1, len) == 0)
			return true;
	return false;
}

/* A unit without a type is a service, to journalctl's users; a pattern is taken as it is. */
static int add_unit(struct match *m, struct term *t, const char *value, size_t n)
{
	char unit[512];

	if (n == 0 || has_unit_type(value, n) || is_pattern((const uint8_t *) value, n))
		return add_value(m, t, value, n);
	if (n + STRLEN(".service") > sizeof unit)
		return -EINVAL;
	memcpy(unit, value, n);
	memcpy(unit + n, ".service", STRLEN(".service"));
	return add_value(m, t, unit, n + STRLEN(".service"));
}

static int add_level(struct match *m, struct term *t, const char *value, size_t n)
{
	int level = level_parse(value, n);
	char digit = (char) ('0' + level);

	return level < 0 ? level : add_value(m, t, &digit, 1);
}

static int add(struct match *m, struct group *g, const char *name, size_t len, bool negate,
	       const char *value, size_t n)
{
	struct term *t;
	int r;

	if (len == 0 || len > FIELD_NAME_MAX || memchr(name, '\0', len))
		return -EINVAL;
	r = add_term(m, g, name, len, negate, &t);
	if (r < 0)
		return r;
	switch (t->brief ? t->brief->habit : PLAIN) {
	case UNIT:
		return add_unit(m, t, value, n);
	case LEVEL:
		return add_level(m, t, value, n);
	default:
		return add_value(m, t, value, n);
	}
}

static int add_word(struct match *m, struct group *g, const char *word, size_t n)
{
	const char *equals = memchr(word, '=', n);
	bool negate = equals && equals > word && equals[-1] == '!';
	size_t name_len;

	if (n == 0)
		return -EINVAL;
	if (!equals)
		return add(m, g, "container", STRLEN("container"), false, word, n);
	name_len = (size_t) (equals - word);
	return add(m, g, word, name_len - negate, negate, equals + 1, n - name_len - 1);
}

int match_add(struct match *m, const void *word, size_t n)
{
	if (n == 1 && *(const char *) word == '+')
		return new_group(m);
	return add_word(m, &m->groups[m->n - 1], word, n);
}

int match_require(struct match *m, const void *word, size_t n)
{
	return add_word(m, &m->required, word, n);
}

int match_require_field(struct match *m, const char *name, const void *value, size_t n)
{
	return add(m, &m->required, name, strlen(name), false, value, n);
}

void match_set_priority(struct match *m, int from, int to)
{
	m->priority_from = from;
	m->priority_to = to;
}

int match_set_grep(struct match *m, const char *pattern, char *message)
{
	return pattern_new(&m->grep, pattern, message);
}

/* Judging. */

static bool fits_pattern(const struct value *v, const struct field *f)
{
	char subject[PATTERN_SUBJECT_MAX];

	if (f->value_len >= sizeof subject || memchr(f->value, '\0', f->value_len))
		return false;
	memcpy(subject, f->value, f->value_len);
	subject[f->value_len] = '\0';
	return fnmatch((const char *) v->p, subject, FNM_NOESCAPE) == 0;
}

static bool is_id_of(const struct value *v, const struct field *f)
{
	static const char name[] = "_CONTAINER_ID";

	return f->name_len == STRLEN(name) && memcmp(f->name, name, STRLEN(name)) == 0 &&
	       f->value_len >= v->n && memcmp(f->value, v->p, v->n) == 0;
}

static bool fits(const struct value *v, const struct field *f)
{
	if (v->n == f->value_len && (v->n == 0 || memcmp(v->p, f->value, v->n) == 0))
		return true;
	return (v->is_pattern && fits_pattern(v, f)) || (v->is_short_id && is_id_of(v, f));
}

static bool holds_for(const struct term *t, const struct field *f)
{
	if (!has_name(t, f))
		return false;
	for (size_t i = 0; i < t->n_values; i++)
		if (fits(&t->values[i], f))
			return true;
	return false;
}

static enum tri term_in_context(const struct term *t, const struct contexts *c, uint32_t context,
				bool own_fields)
{
	for (int64_t i = context; i >= 0; i = c->at[i].parent)
		for (size_t k = 0; k < c->at[i].n_fields; k++)
			if (holds_for(t, &c->at[i].fields[k]))
				return t->negate ? TRI_NO : TRI_YES;
	if (own_fields || t->of_entry)
		return TRI_MAYBE;
	return t->negate ? TRI_YES : TRI_NO;
}

static enum tri group_in_context(const struct group *g, const struct contexts *c, uint32_t context,
				 bool own_fields)
{
	enum tri all = TRI_YES;

	for (size_t t = 0; t < g->n && all != TRI_NO; t++) {
		enum tri one = term_in_context(&g->terms[t], c, context, own_fields);

		if (one != TRI_YES)
			all = one;
	}
	return all;
}

/* An empty group but the first is a "+" with nothing behind it. */
static bool is_idle(const struct match *m, size_t g)
{
	return g > 0 && m->groups[g].n == 0;
}

bool match_any_priority(const struct match *m)
{
	return m->priority_from <= 0 && m->priority_to >= 7;
}

enum tri match_context(const struct match *m, const struct contexts *c, uint32_t context,
		       bool own_fields, bool but_grep)
{
	enum tri required = group_in_context(&m->required, c, context, own_fields);
	enum tri any = TRI_NO;

	for (size_t g = 0; g < m->n && any != TRI_YES && required != TRI_NO; g++) {
		enum tri one = TRI_NO;

		if (!is_idle(m, g))
			one = group_in_context(&m->groups[g], c, context, own_fields);
		if (one != TRI_NO)
			any = one;
	}
	return any == TRI_YES && ((m->grep && !but_grep) || !match_any_priority(m) ||
				  required == TRI_MAYBE)
		       ? TRI_MAYBE
		       : any;
}

bool match_priority(const struct match *m, int priority)
{
	return priority >= m->priority_from && priority <= m->priority_to;
}

/* A term that the message alone can fulfil, with one value. */
static const struct value *message_of(const struct group *g)
{
	for (size_t t = 0; t < g->n; t++) {
		const struct term *term = &g->terms[t];
		const char *name = term->brief ? term->brief->fields[0] : term->name;

		if (!term->negate && term->n_values == 1 && term->values[0].n > 0 &&
		    strcmp(name, "MESSAGE") == 0)
			return &term->values[0];
	}
	return NULL;
}

static size_t needles_of(const struct literals *l, const struct literal_set *s,
			 const struct sequel *behind, struct needle *ret)
{
	for (size_t i = 0; i < s->n; i++)
		ret[i] = (struct needle){ l->bytes.data + s->of[i].at, s->of[i].len, l->any_case,
					  behind };
	return s->n;
}

enum needle_scope match_needles(const struct match *m, struct needle ret[NEEDLES_MAX],
				size_t ret_n[2])
{
	static const struct literals none;
	const struct literals *l = m->grep ? pattern_literals(m->grep) : &none;
	const struct value *v;

	ret_n[0] = needles_of(l, &l->first, &l->behind_first, ret);
	ret_n[1] = needles_of(l, &l->second, &l->behind_second, ret + ret_n[0]);
	if (ret_n[0] > 0)
		return l->all ? NEEDLE_EXACT : NEEDLE_ALL;
	v = message_of(&m->required);
	if (!v && m->n == 1)
		v = message_of(&m->groups[0]);
	if (!v)
		return NEEDLE_NONE;
	ret[ret_n[0]++] = (struct needle){ v->p, v->n, false, NULL };
	return NEEDLE_PLAIN;
}

static bool term_holds(void *arg, const struct field *f)
{
	return holds_for(arg, f);
}

static bool group_holds(const struct group *g, const struct shown *s)
{
	for (size_t t = 0; t < g->n; t++)
		if (shown_each_field(s, term_holds, &g->terms[t]) == g->terms[t].negate)
			return false;
	return true;
}

static bool groups_hold(const struct match *m, const struct shown *s)
{
	if (!group_holds(&m->required, s))
		return false;
	for (size_t g = 0; g < m->n; g++)
		if (!is_idle(m, g) && group_holds(&m->groups[g], s))
			return true;
	return false;
}

static bool asks_entry(const struct group *g)
{
	for (size_t t = 0; t < g->n; t++)
		if (g->terms[t].of_entry)
			return true;
	return false;
}

bool match_leaves_pattern(const struct match *m)
{
	bool entry = asks_entry(&m->required);

	for (size_t g = 0; g < m->n; g++)
		entry |= asks_entry(&m->groups[g]);
	return m->grep && !entry;
}

int match_message(struct match *m, const void *message, size_t n)
{
	return pattern_matches(m->grep, message, n);
}

int match_entry(struct match *m, const struct shown *s)
{
	if (!match_priority(m, s->entry->priority) || !groups_hold(m, s))
		return 0;
	return m->grep ? match_message(m, s->entry->message, s->entry->message_len) : 1;
}

static void each_word_of(const struct group *g, bool required, struct buf *word, match_word_fn each,
			 void *arg)
{
	for (size_t t = 0; t < g->n; t++) {
		const struct term *term = &g->terms[t];

		for (size_t v = 0; v < term->n_values; v++) {
			buf_clear(word);
			buf_str(word, term->name);
			buf_str(word, term->negate ? "!=" : "=");
			buf_append(word, term->values[v].p, term->values[v].n);
			if (!word->bad)
				each(arg, required, word->data, word->len);
		}
	}
}

int match_each_word(const struct match *m, match_word_fn each, void *arg)
{
	_cleanup_buf_ struct buf word = { 0 };

	each_word_of(&m->required, true, &word, each, arg);
	for (size_t g = 0; g < m->n; g++) {
		if (g > 0)
			each(arg, false, "+", 1);
		each_word_of(&m->groups[g], false, &word, each, arg);
	}
	return word.bad ? -ENOMEM : 0;
}

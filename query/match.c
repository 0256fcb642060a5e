/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A match is a list of groups joined by or; a group is a list of terms joined by and; a term is one or more field names
 * and one or more values, any of which will do.
 */

#include "query/match.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <ctype.h>
#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

enum { TERMS_MAX = 256, VALUES_MAX = 1024, GREP_MATCH_LIMIT = 10000000 };

struct value {
	uint8_t *p; /* owned */
	uint32_t n;
};

struct term {
	char *name;		  /* owned; as it was given */
	const char *const *names; /* what a short name stands for, or NULL */
	bool negate;
	struct value *values;
	size_t n_values;
};

struct group {
	struct term *terms;
	size_t n;
};

struct match {
	struct group *groups; /* the last one is being filled */
	size_t n;
	size_t n_terms, n_values;
	int priority_from, priority_to;
	pcre2_code *grep;
	pcre2_match_data *grep_data;
	pcre2_match_context *grep_context;
};

/* Short names. */

static const struct {
	const char *name;
	const char *const *fields;
} short_names[] = {
	{ "unit", (const char *const[]){ "_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT", NULL } },
	{ "host", (const char *const[]){ "_HOSTNAME", NULL } },
	{ "container", (const char *const[]){ "_CONTAINER_NAME", "_CONTAINER_ID", NULL } },
	{ "image", (const char *const[]){ "_IMAGE_NAME", NULL } },
	{ "pod", (const char *const[]){ "_POD_NAME", NULL } },
	{ "namespace", (const char *const[]){ "_POD_NAMESPACE", NULL } },
	{ "stream", (const char *const[]){ "_STREAM", NULL } },
	{ "level", (const char *const[]){ "PRIORITY", NULL } },
	{ "pid", (const char *const[]){ "_PID", NULL } },
	{ "msg", (const char *const[]){ "MESSAGE", NULL } },
	{ "tenant", (const char *const[]){ "_TENANT", NULL } },
	{ "identifier", (const char *const[]){ "SYSLOG_IDENTIFIER", NULL } },
};

const char *const *match_short_name(const char *name, size_t len)
{
	for (size_t i = 0; i < ELEMENTS(short_names); i++)
		if (strlen(short_names[i].name) == len &&
		    memcmp(short_names[i].name, name, len) == 0)
			return short_names[i].fields;
	return NULL;
}

/* Building. */

int match_new(struct match **ret)
{
	struct match *m = calloc(1, sizeof *m);

	if (!m)
		return -ENOMEM;
	m->groups = calloc(1, sizeof *m->groups);
	if (!m->groups) {
		free(m);
		return -ENOMEM;
	}
	m->n = 1;
	m->priority_to = 7;
	*ret = m;
	return 0;
}

struct match *match_free(struct match *m)
{
	if (!m)
		return NULL;
	for (size_t g = 0; g < m->n; g++) {
		for (size_t t = 0; t < m->groups[g].n; t++) {
			struct term *term = &m->groups[g].terms[t];

			for (size_t v = 0; v < term->n_values; v++)
				free(term->values[v].p);
			free(term->values);
			free(term->name);
		}
		free(m->groups[g].terms);
	}
	free(m->groups);
	pcre2_code_free(m->grep);
	pcre2_match_data_free(m->grep_data);
	pcre2_match_context_free(m->grep_context);
	free(m);
	return NULL;
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

static struct term *find_term(struct group *g, const char *name, size_t len, bool negate)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->terms[i].negate == negate && strlen(g->terms[i].name) == len &&
		    memcmp(g->terms[i].name, name, len) == 0)
			return &g->terms[i];
	return NULL;
}

static int add_term(struct match *m, const char *name, size_t len, bool negate, struct term **ret)
{
	struct group *g = &m->groups[m->n - 1];
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
	(*ret)->names = match_short_name(name, len);
	g->n++;
	m->n_terms++;
	return 0;
}

static int add_value(struct match *m, struct term *t, const void *value, size_t n)
{
	struct value *more;
	uint8_t *copy;

	if (m->n_values >= VALUES_MAX || n > ENTRY_SIZE_MAX)
		return BULLA_ELIMIT;
	more = reallocarray(t->values, t->n_values + 1, sizeof *more);
	if (!more)
		return -ENOMEM;
	t->values = more;
	copy = malloc(n + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, value, n);
	t->values[t->n_values++] = (struct value){ copy, (uint32_t) n };
	m->n_values++;
	return 0;
}

/* A unit without a type is a service, to journalctl's users. */
static int add_unit_value(struct match *m, struct term *t, const char *value, size_t n)
{
	char unit[256];
	int k;

	if (memchr(value, '.', n))
		return add_value(m, t, value, n);
	k = snprintf(unit, sizeof unit, "%.*s.service", (int) MIN_OF(n, sizeof unit), value);
	return k < 0 || (size_t) k >= sizeof unit ? -EINVAL : add_value(m, t, unit, (size_t) k);
}

static int add(struct match *m, const char *name, size_t len, bool negate, const char *value,
	       size_t n)
{
	struct term *t;
	int r;

	if (len == 0 || len > FIELD_NAME_MAX)
		return -EINVAL;
	r = add_term(m, name, len, negate, &t);
	if (r < 0)
		return r;
	if (len == 4 && memcmp(name, "unit", 4) == 0)
		return add_unit_value(m, t, value, n);
	return add_value(m, t, value, n);
}

int match_add_field(struct match *m, const char *name, const char *value, size_t value_len)
{
	return add(m, name, strlen(name), false, value, value_len);
}

int match_add(struct match *m, const char *word)
{
	const char *equals = strchr(word, '=');
	bool negate = equals && equals > word && equals[-1] == '!';

	if (strcmp(word, "+") == 0)
		return new_group(m);
	if (!equals)
		return *word == '\0' ? -EINVAL
				     : match_add_field(m, "container", word, strlen(word));
	return add(m, word, (size_t) (equals - word) - negate, negate, equals + 1,
		   strlen(equals + 1));
}

void match_set_priority(struct match *m, int from, int to)
{
	m->priority_from = from;
	m->priority_to = to;
}

int match_set_grep(struct match *m, const char *pattern, char *message)
{
	uint32_t flags = PCRE2_MATCH_INVALID_UTF | PCRE2_UTF | PCRE2_CASELESS;
	PCRE2_SIZE at;
	int error;

	for (const char *p = pattern; *p; p++)
		if (isupper((unsigned char) *p))
			flags &= ~PCRE2_CASELESS;
	m->grep = pcre2_compile((PCRE2_SPTR) pattern, PCRE2_ZERO_TERMINATED, flags, &error, &at,
				NULL);
	if (!m->grep) {
		size_t n = (size_t) snprintf(message, 256, "at %zu: ", at);

		pcre2_get_error_message(error, (PCRE2_UCHAR *) message + n, 256 - n);
		return -EINVAL;
	}
	/* Where there is no JIT the interpreter gives the same answers. */
	pcre2_jit_compile(m->grep, PCRE2_JIT_COMPLETE);
	m->grep_data = pcre2_match_data_create_from_pattern(m->grep, NULL);
	m->grep_context = pcre2_match_context_create(NULL);
	if (!m->grep_data || !m->grep_context)
		return -ENOMEM;
	pcre2_set_match_limit(m->grep_context, GREP_MATCH_LIMIT);
	return 0;
}

/* Judging. */

static bool has_name(const struct term *t, const struct field *f)
{
	const char *const single[] = { t->name, NULL };

	for (const char *const *n = t->names ? t->names : single; *n; n++)
		if (strlen(*n) == f->name_len && memcmp(*n, f->name, f->name_len) == 0)
			return true;
	return false;
}

static bool holds_for(const struct term *t, const struct field *f)
{
	if (!has_name(t, f))
		return false;
	for (size_t i = 0; i < t->n_values; i++)
		if (t->values[i].n == f->value_len &&
		    memcmp(t->values[i].p, f->value, f->value_len) == 0)
			return true;
	return false;
}

/* Whether a term may be decided by what is the entry's alone. */
static bool is_of_entry(const struct term *t)
{
	static const char *const fixed[] = { "MESSAGE", "PRIORITY", "_LINE_BREAK" };

	for (size_t i = 0; i < ELEMENTS(fixed); i++)
		if (has_name(t, &(struct field){ .name = (const uint8_t *) fixed[i],
						 .name_len = (uint8_t) strlen(fixed[i]) }))
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
	if (own_fields || is_of_entry(t))
		return TRI_MAYBE;
	return t->negate ? TRI_YES : TRI_NO;
}

enum tri match_context(const struct match *m, const struct contexts *c, uint32_t context,
		       bool own_fields)
{
	bool judged_later = m->grep || m->priority_from > 0 || m->priority_to < 7;
	enum tri any = TRI_NO;

	for (size_t g = 0; g < m->n; g++) {
		enum tri all = TRI_YES;

		if (g > 0 && m->groups[g].n == 0)
			continue; /* a trailing "+" */
		for (size_t t = 0; t < m->groups[g].n && all != TRI_NO; t++) {
			enum tri one =
				term_in_context(&m->groups[g].terms[t], c, context, own_fields);

			if (one != TRI_YES)
				all = one;
		}
		if (all == TRI_YES)
			return judged_later ? TRI_MAYBE : TRI_YES;
		if (all == TRI_MAYBE)
			any = TRI_MAYBE;
	}
	return any;
}

static bool term_holds(void *arg, const struct field *f)
{
	return holds_for(arg, f);
}

static bool groups_hold(const struct match *m, const struct shown *s)
{
	for (size_t g = 0; g < m->n; g++) {
		bool all = true;

		if (g > 0 && m->groups[g].n == 0)
			continue;
		for (size_t t = 0; t < m->groups[g].n && all; t++) {
			struct term *term = &m->groups[g].terms[t];

			all = shown_each_field(s, term_holds, term) != term->negate;
		}
		if (all)
			return true;
	}
	return false;
}

int match_entry(struct match *m, const struct shown *s)
{
	const struct entry *e = s->entry;
	int r;

	if (e->priority < m->priority_from || e->priority > m->priority_to || !groups_hold(m, s))
		return 0;
	if (!m->grep)
		return 1;
	r = pcre2_match(m->grep, e->message ? e->message : (PCRE2_SPTR) "", e->message_len, 0, 0,
			m->grep_data, m->grep_context);
	if (r == PCRE2_ERROR_NOMATCH)
		return 0;
	return r < 0 ? BULLA_ELIMIT : 1;
}

void match_words(const struct match *m, struct buf *to)
{
	for (size_t g = 0; g < m->n; g++) {
		if (g > 0)
			buf_str(to, "+\n");
		for (size_t t = 0; t < m->groups[g].n; t++) {
			const struct term *term = &m->groups[g].terms[t];

			for (size_t v = 0; v < term->n_values; v++) {
				buf_str(to, term->name);
				buf_str(to, term->negate ? "!=" : "=");
				buf_append(to, term->values[v].p, term->values[v].n);
				buf_char(to, '\n');
			}
		}
	}
}

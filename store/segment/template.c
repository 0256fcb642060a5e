/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/template.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"

enum {
	HEX_WORD_MIN = 4,
	PATH_MIN = 4,
	NAME_MIN = 6,
	DIGITS_MAX = 18,
	UUID_SIZE = 36,
	FORM_BIAS = 0x20, /* a template has no small bytes but its markers */
};

enum class {
	OTHER = 0,
	LETTER = 1,
	DIGIT = 2,
	HEX_LOWER = 4,
	HEX_UPPER = 8,
	JOINT = 16,
	PATH = 32
};

static const uint8_t class_of[256] = {
	['0' ... '9'] = DIGIT,	['a' ... 'f'] = LETTER | HEX_LOWER,
	['g' ... 'z'] = LETTER, ['A' ... 'F'] = LETTER | HEX_UPPER,
	['G' ... 'Z'] = LETTER, ['-'] = JOINT | PATH,
	['_'] = JOINT | PATH,	['/'] = PATH,
	['.'] = PATH,		['?'] = PATH,
	['='] = PATH,		['&'] = PATH,
	['%'] = PATH,		['+'] = PATH,
	['~'] = PATH,		['@'] = PATH,
};

static inline bool is_word(uint8_t c)
{
	return class_of[c] & (LETTER | DIGIT);
}

static inline bool is_digit(uint8_t c)
{
	return class_of[c] == DIGIT;
}

/* Taking apart. */

static bool put_text(struct taken *t, const uint8_t *p, size_t n)
{
	if (n > sizeof t->key - t->key_len)
		return false;
	memcpy(t->key + t->key_len, p, n);
	t->key_len += n;
	return true;
}

static bool put_variable(struct taken *t, const struct variable *v)
{
	uint8_t mark[] = { MARKER, v->kind, (uint8_t) (v->form.format + FORM_BIAS),
			   (uint8_t) (v->form.separator + FORM_BIAS),
			   (uint8_t) (v->form.digits + FORM_BIAS) };

	if (t->n == VARIABLES_MAX)
		return false;
	t->variables[t->n++] = *v;
	return put_text(t, mark, v->kind == VARIABLE_TIME ? 5 : 2);
}

static bool put(struct taken *t, enum variable_kind kind, const uint8_t *p, size_t n)
{
	struct variable v = { .kind = (uint8_t) kind, .len = (uint32_t) n, .p = p };

	return put_variable(t, &v);
}

/* @return length of an address in dotted decimal without leading zeroes, or 0. */
static size_t match_ipv4(const uint8_t *p, size_t n)
{
	size_t at = 0;

	for (unsigned part = 0; part < 4; part++) {
		unsigned v = 0, k = 0;

		if (part > 0 && (at >= n || p[at++] != '.'))
			return 0;
		for (; at + k < n && k < 4 && is_digit(p[at + k]); k++)
			v = 10 * v + (p[at + k] - '0');
		if (k < 1 || k > 3 || v > 255 || (k > 1 && p[at] == '0'))
			return 0;
		at += k;
	}
	return at < n && (is_word(p[at]) || (p[at] == '.' && at + 1 < n && is_digit(p[at + 1])))
		       ? 0
		       : at;
}

static bool match_uuid(const uint8_t *p, size_t n)
{
	if (n < UUID_SIZE || (n > UUID_SIZE && is_word(p[UUID_SIZE])))
		return false;
	for (size_t i = 0; i < UUID_SIZE; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (p[i] != '-')
				return false;
		} else if (!(class_of[p[i]] & (DIGIT | HEX_LOWER))) {
			return false;
		}
	}
	return true;
}

/* A word of letters, one run of digits, and letters: only the digits change.  Anything else with digits changes whole. */
static bool put_word(struct taken *t, const uint8_t *p, size_t n, uint8_t all, uint8_t common)
{
	size_t from = 0, to;

	if (common & HEX_LOWER && n >= HEX_WORD_MIN && all & LETTER)
		return put(t, VARIABLE_HEX, p, n);
	if (common & HEX_UPPER && n >= HEX_WORD_MIN && all & LETTER)
		return put(t, VARIABLE_HEX_UPPER, p, n);
	while (!is_digit(p[from]))
		from++;
	for (to = from; to < n && is_digit(p[to]); to++)
		;
	for (size_t i = to; i < n; i++)
		if (is_digit(p[i]))
			return put(t, VARIABLE_WORD, p, n);
	if (to - from > DIGITS_MAX)
		return put(t, VARIABLE_WORD, p, n);
	return put_text(t, p, from) && put(t, VARIABLE_DIGITS, p + from, to - from) &&
	       put_text(t, p + to, n - to);
}

/* @return length of a path, or 0. */
static size_t match_path(const uint8_t *p, size_t n)
{
	size_t len = 1;
	uint8_t all = 0;

	for (; len < n && class_of[p[len]] & (LETTER | DIGIT | PATH); len++)
		all |= class_of[p[len]];
	return len >= PATH_MIN && all & LETTER && p[1] != '/' ? len : 0;
}

/* @return length of words joined by dashes and underscores of which one mixes letters and digits, or 0. */
static size_t match_joined(const uint8_t *p, size_t n)
{
	size_t len = 0;
	bool joined = false, mixed = false;

	while (len < n && is_word(p[len])) {
		unsigned changes = 0;

		for (; len < n && is_word(p[len]); len++)
			changes += len > 0 && is_word(p[len - 1]) &&
				   is_digit(p[len]) != is_digit(p[len - 1]);
		mixed |= changes > 1;
		if (len + 1 < n && class_of[p[len]] & JOINT && is_word(p[len + 1])) {
			joined = true;
			len++;
		}
	}
	return joined && mixed ? len : 0;
}

/* @return length of letters with dots between, or 0. */
static size_t match_name(const uint8_t *p, size_t n)
{
	size_t len = 0, dots = 0;

	for (; len < n; len++) {
		if (p[len] == '.' && len > 0 && len + 1 < n && class_of[p[len + 1]] & LETTER)
			dots++;
		else if (!(class_of[p[len]] & LETTER) && p[len] != '_' && p[len] != '$')
			break;
	}
	if (len < n && is_word(p[len]))
		return 0;
	return dots > 0 && len >= NAME_MIN ? len : 0;
}

/* Try what is longer than a word.  @return its length, 0 when there is none, SIZE_MAX when it has no room. */
static size_t take_long(struct taken *t, const uint8_t *p, size_t n,
			const struct timetext_base *base)
{
	struct variable v = { .kind = VARIABLE_TIME, .p = p };
	size_t took = timetext_read(p, n, base, &v.form, &v.units);

	if (took > 0) {
		v.len = (uint32_t) took;
		return put_variable(t, &v) ? took : SIZE_MAX;
	}
	if (is_digit(p[0]) && (took = match_ipv4(p, n)) > 0)
		return put(t, VARIABLE_IPV4, p, took) ? took : SIZE_MAX;
	if (n >= UUID_SIZE && p[8] == '-' && match_uuid(p, n))
		return put(t, VARIABLE_UUID, p, UUID_SIZE) ? UUID_SIZE : SIZE_MAX;
	return 0;
}

/* Try what is made of several words.  @return as take_long(). */
static size_t take_composed(struct taken *t, const uint8_t *p, size_t n)
{
	size_t took = match_joined(p, n);
	enum variable_kind kind = VARIABLE_WORD;

	if (took == 0 && !is_digit(p[0])) {
		took = match_name(p, n);
		kind = VARIABLE_NAME;
	}
	return took == 0 || put(t, kind, p, took) ? took : SIZE_MAX;
}

/* Take the word that begins here.  @return its length, or 0 when the message has to stay whole. */
static size_t take_word(struct taken *t, const uint8_t *p, size_t n,
			const struct timetext_base *base)
{
	uint8_t all = 0, common = HEX_LOWER | HEX_UPPER;
	size_t len = 0;

	if (is_digit(p[0]) || (class_of[p[0]] & (HEX_LOWER)) ||
	    (p[0] >= 'A' && n > 3 && p[3] == ' ')) {
		size_t took = take_long(t, p, n, base);

		if (took > 0)
			return took == SIZE_MAX ? 0 : took;
	}
	len = take_composed(t, p, n);
	if (len > 0)
		return len == SIZE_MAX ? 0 : len;
	/* What is behind "0x" is of any length. */
	if (n > 2 && p[0] == '0' && p[1] == 'x' && class_of[p[2]] & (DIGIT | HEX_LOWER)) {
		for (len = 2; len < n && class_of[p[len]] & (DIGIT | HEX_LOWER); len++)
			;
		if (len == n || !is_word(p[len]))
			return put_text(t, p, 2) && put(t, VARIABLE_HEX, p + 2, len - 2) ? len : 0;
	}
	for (len = 0; len < n && is_word(p[len]); len++) {
		all |= class_of[p[len]];
		if (!is_digit(p[len]))
			common &= class_of[p[len]];
	}
	if (!(all & DIGIT))
		return put_text(t, p, len) ? len : 0;
	return put_word(t, p, len, all, common) ? len : 0;
}

static inline bool begins_path(const uint8_t *p, size_t at)
{
	return p[at] == '/' && (at == 0 || (!is_word(p[at - 1]) && !(class_of[p[at - 1]] & PATH) &&
					    p[at - 1] != ':'));
}

bool template_take(struct taken *t, const uint8_t *p, size_t n, const struct timetext_base *base)
{
	size_t at = 0;

	t->key_len = 0;
	t->n = 0;
	if (n > TEMPLATE_MESSAGE_MAX || (n > 0 && memchr(p, MARKER, n)))
		return false;
	while (at < n) {
		size_t from = at, took;

		while (at < n && !is_word(p[at]) && !begins_path(p, at))
			at++;
		if (!put_text(t, p + from, at - from))
			return false;
		if (at == n)
			break;
		if (p[at] == '/') {
			took = match_path(p + at, n - at);
			if (took > 0 ? !put(t, VARIABLE_PATH, p + at, took)
				     : !put_text(t, p + at, 1))
				return false;
			at += MAX_OF(took, 1ul);
			continue;
		}
		took = take_word(t, p + at, n - at, base);
		if (took == 0)
			return false;
		at += took;
		/* What follows a time or an address may be letters: those are text. */
		for (from = at; at < n && is_word(p[at]) && !is_digit(p[at]); at++)
			;
		if (!put_text(t, p + from, at - from))
			return false;
	}
	return true;
}

/* Reading. */

static bool kind_is_known(uint8_t kind)
{
	return kind != 0 && memchr("DXYIUSTPN", kind, 9) != NULL;
}

static int parse_slot(struct slot *s, struct rd *r)
{
	s->kind = rd_u8(r);
	if (r->bad || !kind_is_known(s->kind))
		return BULLA_ECORRUPT;
	if (s->kind != VARIABLE_TIME)
		return 0;
	s->form.format = (uint8_t) (rd_u8(r) - FORM_BIAS);
	s->form.separator = (uint8_t) (rd_u8(r) - FORM_BIAS);
	s->form.digits = (uint8_t) (rd_u8(r) - FORM_BIAS);
	return !r->bad && timetext_form_is_known(&s->form) ? 0 : BULLA_ECORRUPT;
}

static int collect(const struct slot *slots, uint16_t n, struct text rest, struct template **ret)
{
	struct template *t = malloc(sizeof *t + n * (sizeof *slots + 1));
	uint8_t *kinds;

	if (!t)
		return -ENOMEM;
	kinds = (uint8_t *) (t->slots + n);
	*t = (struct template){ .rest = rest, .kinds = kinds, .n = n };
	memcpy(t->slots, slots, n * sizeof *slots);
	for (unsigned i = 0; i < n; i++)
		kinds[i] = slots[i].kind;
	*ret = t;
	return 0;
}

int template_parse(const uint8_t *key, size_t n, struct template **ret)
{
	_uninitialized_ struct slot slots[VARIABLES_MAX];
	struct rd r = rd_of(key, n);
	uint16_t n_slots = 0;

	for (;;) {
		const uint8_t *mark = r.left > 0 ? memchr(r.p, MARKER, r.left) : NULL;
		size_t len = mark ? (size_t) (mark - r.p) : r.left;
		struct text text = { r.p, (uint32_t) len };

		if (!mark)
			return collect(slots, n_slots, text, ret);
		if (n_slots == VARIABLES_MAX)
			return BULLA_ECORRUPT;
		slots[n_slots].before = text;
		rd_bytes(&r, len + 1);
		if (parse_slot(&slots[n_slots++], &r) < 0)
			return BULLA_ECORRUPT;
	}
}

bool variable_may_hold(uint8_t kind, uint8_t c)
{
	uint8_t class = class_of[c];

	switch (kind) {
	case VARIABLE_DIGITS:
		return class == DIGIT;
	case VARIABLE_HEX:
		return class & (DIGIT | HEX_LOWER);
	case VARIABLE_HEX_UPPER:
		return class & (DIGIT | HEX_UPPER);
	case VARIABLE_IPV4:
		return class == DIGIT || c == '.';
	case VARIABLE_UUID:
		return class & (DIGIT | HEX_LOWER) || c == '-';
	case VARIABLE_PATH:
		return class & (LETTER | DIGIT | PATH);
	case VARIABLE_NAME:
		return class & LETTER || c == '.' || c == '_' || c == '$';
	case VARIABLE_WORD:
		return class & (LETTER | DIGIT | JOINT);
	}
	/* A time: what formats and fractions are made of, and the letters of months. */
	return class == DIGIT || (c != 0 && strchr(" -/:.,TJanFebMrApyulgSOctNovDi", c));
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Most bytes of a message are letters and spaces that are part of no variable.  So what is looked for is a digit, a slash, or
 * a dot between letters; from there one looks back to where the word began.  Nothing is looked at twice from two of these
 * places: a variable that was found is a floor to looking back, and a row of words that was none is remembered.
 */

#include "store/segment/template.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/letters.h"
#include "bulla/error.h"

enum {
	HEX_WORD_MIN = 4,
	PATH_MIN = 4,
	NAME_MIN = 6,
	DIGITS_MAX = 18,
	UUID_SIZE = 36,
	IPV4_SIZE_MIN = 7,
	FORM_BIAS = 0x20, /* a template has no small bytes but its markers */
};

enum class {
	OTHER = 0,
	LETTER = 1,
	DIGIT = 2,
	HEX_LOWER = 4, /* digits, too */
	HEX_UPPER = 8,
	JOINT = 16,
	PATH = 32,
	NAME = 64, /* in names, besides letters and dots */
};

/* Where a variable may be found: a digit, a slash or a dot, which stand beside each other. */
enum { EVENT_FIRST = '.', EVENT_LAST = '9' };

static const uint8_t class_of[256] = {
	['0' ... '9'] = DIGIT | HEX_LOWER | HEX_UPPER,
	['a' ... 'f'] = LETTER | HEX_LOWER,
	['g' ... 'z'] = LETTER,
	['A' ... 'F'] = LETTER | HEX_UPPER,
	['G' ... 'Z'] = LETTER,
	['-'] = JOINT | PATH,
	['_'] = JOINT | PATH | NAME,
	['$'] = NAME,
	['/'] = PATH,
	['.'] = PATH,
	['?'] = PATH,
	['='] = PATH,
	['&'] = PATH,
	['%'] = PATH,
	['+'] = PATH,
	['~'] = PATH,
	['@'] = PATH,
};

static inline bool is_word(uint8_t c)
{
	return class_of[c] & (LETTER | DIGIT);
}

static inline bool is_letter(uint8_t c)
{
	return class_of[c] & LETTER;
}

static inline bool is_digit(uint8_t c)
{
	return class_of[c] & DIGIT;
}

/* Taking apart. */

/* A message on its way.  What is before `floor` is told: in the key, or by a variable. */
struct scan {
	struct taken *to;
	const uint8_t *p;
	size_t n;
	struct timetext_base *base;
	size_t floor;
	size_t plain; /* up to here joined words are known not to be one variable */
};

/* The text before a variable, and behind the last. */
static inline bool put_text(struct scan *s, size_t end)
{
	struct taken *t = s->to;
	const uint8_t *from = s->p + s->floor;
	size_t n = end - s->floor;

	if (n > TEMPLATE_SIZE_MAX - t->key_len)
		return false;
	/* Texts are short; the key has room for more, and often the message. */
	if (n <= KEY_SLACK && s->n - s->floor >= KEY_SLACK)
		memcpy(t->key + t->key_len, from, KEY_SLACK);
	else
		memcpy(t->key + t->key_len, from, n);
	t->key_len += n;
	return true;
}

/* Take a variable and the text before it; its mark has so many bytes.  @return where to go on, or 0 without room. */
static inline size_t put_variable(struct scan *s, struct variable v, size_t from, size_t end,
				  size_t marks)
{
	struct taken *t = s->to;
	uint8_t *mark;

	if (t->n == VARIABLES_MAX || !put_text(s, from) || marks > TEMPLATE_SIZE_MAX - t->key_len)
		return 0;
	mark = t->key + t->key_len;
	mark[0] = MARKER;
	mark[1] = v.kind;
	if (marks > MARK_SIZE) {
		mark[2] = (uint8_t) (v.form.format + FORM_BIAS);
		mark[3] = (uint8_t) (v.form.separator + FORM_BIAS);
		mark[4] = (uint8_t) (v.form.digits + FORM_BIAS);
	}
	t->key_len += marks;
	v.at = (uint16_t) from;
	v.len = (uint16_t) (end - from);
	t->variables[t->n++] = v;
	return s->floor = end;
}

/* @return where to go on, or 0 without room. */
static size_t put(struct scan *s, uint8_t kind, size_t from, size_t end)
{
	struct variable v = { .kind = kind };

	return put_variable(s, v, from, end, MARK_SIZE);
}

static size_t put_digits(struct scan *s, size_t from, size_t end)
{
	struct variable v = { .kind = VARIABLE_DIGITS };

	for (size_t i = from; i < end; i++)
		v.units = 10 * v.units + (uint64_t) (s->p[i] - '0');
	return put_variable(s, v, from, end, MARK_SIZE);
}

/* @return length of an address in dotted decimal without leading zeroes, or 0. */
static size_t match_ipv4(const uint8_t *p, size_t n)
{
	size_t at = 0;

	/* Most numbers are none. */
	if (n < IPV4_SIZE_MIN || (p[1] != '.' && p[2] != '.' && p[3] != '.'))
		return 0;
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
		} else if (!(class_of[p[i]] & HEX_LOWER)) {
			return false;
		}
	}
	return true;
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

/* @return where words joined by dashes and underscores end; `*ret` tells whether they are one variable: one mixes letters and digits. */
static size_t match_joined(const uint8_t *p, size_t n, bool *ret)
{
	bool joined = false, mixed = false;
	size_t len = 0;

	while (len < n && is_word(p[len])) {
		unsigned changes = 0;
		uint8_t before = class_of[p[len]];

		for (len++; len < n && is_word(p[len]); len++) {
			changes += (class_of[p[len]] ^ before) & DIGIT;
			before = class_of[p[len]];
		}
		mixed |= changes > DIGIT;
		if (len + 1 < n && class_of[p[len]] & JOINT && is_word(p[len + 1])) {
			joined = true;
			len++;
		}
	}
	*ret = joined && mixed;
	return len;
}

/* A time that begins with a month's name may begin before its first digit.  @return where it begins. */
static size_t month_before(const struct scan *s, size_t at)
{
	size_t space;

	if (at < s->floor + 4 || s->p[at - 1] != ' ')
		return at;
	space = at > s->floor + 4 && s->p[at - 2] == ' ' ? 2 : 1;
	if (at < s->floor + 3 + space || !is_letter(s->p[at - 3 - space]) ||
	    (at > 3 + space && is_word(s->p[at - 4 - space])))
		return at;
	return at - 3 - space;
}

/* Try a time.  @return as take_word(), SIZE_MAX when there is none. */
static size_t take_time(struct scan *s, size_t from)
{
	struct variable v = { .kind = VARIABLE_TIME };
	size_t took = timetext_read(s->p + from, s->n - from, s->base, &v.form, &v.units);

	return took > 0 ? put_variable(s, v, from, from + took, TIME_MARK_SIZE) : SIZE_MAX;
}

/* Try what has a form of its own, for a word with digits from `at` to `to`.  @return as take_word(), SIZE_MAX when there is none. */
static size_t take_formed(struct scan *s, size_t word, size_t at, size_t to)
{
	size_t left = s->n - word, took;

	if (word == at) {
		size_t from = month_before(s, at);

		took = from < at || timetext_may_begin(to - at) ? take_time(s, from) : SIZE_MAX;
		if (took != SIZE_MAX)
			return took;
		took = match_ipv4(s->p + at, left);
		if (took > 0)
			return put(s, VARIABLE_IPV4, at, at + took);
	}
	if (left >= UUID_SIZE && s->p[word + 8] == '-' && match_uuid(s->p + word, left))
		return put(s, VARIABLE_UUID, word, word + UUID_SIZE);
	return SIZE_MAX;
}

/* Try words that are joined.  @return as take_word(), SIZE_MAX where they are none, or not one. */
static size_t take_joined(struct scan *s, size_t word, size_t end)
{
	size_t from = word, len;
	bool is;

	if (word < s->plain)
		return SIZE_MAX;
	/* The words before have no digits. */
	while (from > s->floor + 1 && class_of[s->p[from - 1]] & JOINT && is_letter(s->p[from - 2]))
		for (from--; from > s->floor && is_letter(s->p[from - 1]);)
			from--;
	if (from == word && !(end < s->n && class_of[s->p[end]] & JOINT))
		return SIZE_MAX;
	if (s->n - from >= UUID_SIZE && s->p[from + 8] == '-' &&
	    match_uuid(s->p + from, s->n - from))
		return put(s, VARIABLE_UUID, from, from + UUID_SIZE);
	len = match_joined(s->p + from, s->n - from, &is);
	s->plain = from + len;
	return is ? put(s, VARIABLE_WORD, from, from + len) : SIZE_MAX;
}

/* @return the kind of a word of hexadecimal digits whose letters are all small or all capital; 0 for any other. */
static uint8_t hex_kind(const uint8_t *p, size_t n)
{
	uint8_t common = HEX_LOWER | HEX_UPPER;

	for (size_t i = 0; i < n && common != 0; i++)
		common &= class_of[p[i]];
	return common & HEX_LOWER ? VARIABLE_HEX : common ? VARIABLE_HEX_UPPER : 0;
}

static bool has_digit(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_digit(p[i]))
			return true;
	return false;
}

/* A word of letters, one run of digits, and letters: only the digits change.  Anything else with digits changes whole. */
static size_t take_single(struct scan *s, size_t word, size_t at, size_t to, size_t end)
{
	const uint8_t *p = s->p;
	bool alone = word == at && to == end;
	uint8_t kind = 0;

	/* What is behind "0x" is of any length. */
	if (word == at && !alone && p[at] == '0' && end - at > 2 && p[at + 1] == 'x' &&
	    hex_kind(p + at + 2, end - at - 2) == VARIABLE_HEX)
		return put(s, VARIABLE_HEX, at + 2, end);
	if (!alone && end - word >= HEX_WORD_MIN)
		kind = hex_kind(p + word, end - word);
	if (kind != 0)
		return put(s, kind, word, end);
	if (to - at > DIGITS_MAX || has_digit(p + to, end - to))
		return put(s, VARIABLE_WORD, word, end);
	return put_digits(s, at, to) == 0 ? 0 : end;
}

/* Take the word with a digit at `at`, and none before it.  @return where to go on, or 0 when the message has to stay whole. */
static size_t take_word(struct scan *s, size_t at)
{
	size_t word = at, to = at + 1, end, took;

	while (word > s->floor && is_letter(s->p[word - 1]))
		word--;
	while (to < s->n && is_digit(s->p[to]))
		to++;
	took = take_formed(s, word, at, to);
	if (took != SIZE_MAX)
		return took;
	for (end = to; end < s->n && is_word(s->p[end]);)
		end++;
	took = take_joined(s, word, end);
	return took != SIZE_MAX ? took : take_single(s, word, at, to, end);
}

/* Letters with a dot between at `at`, and more of them.  @return as take_word(). */
static size_t take_name(struct scan *s, size_t at)
{
	const uint8_t *p = s->p;
	size_t from = at, end = at + 1;

	if (end == s->n || !is_letter(p[end]))
		return end;
	while (from > s->floor && class_of[p[from - 1]] & (LETTER | NAME))
		from--;
	while (from < at && !is_letter(p[from]))
		from++;
	if (from == at)
		return end;
	for (; end < s->n; end++)
		if (!(class_of[p[end]] & (LETTER | NAME)) &&
		    !(p[end] == '.' && end + 1 < s->n && is_letter(p[end + 1])))
			break;
	return end - from < NAME_MIN || (end < s->n && is_digit(p[end]))
		       ? end
		       : put(s, VARIABLE_NAME, from, end);
}

/* A path from `at` on, if there is one.  @return as take_word(). */
static size_t take_path(struct scan *s, size_t at)
{
	uint8_t before = at > 0 ? s->p[at - 1] : ' ';
	size_t len;

	if (is_word(before) || class_of[before] & PATH || before == ':')
		return at + 1;
	len = match_path(s->p + at, s->n - at);
	return len > 0 ? put(s, VARIABLE_PATH, at, at + len) : at + 1;
}

bool template_take(struct taken *t, const uint8_t *p, size_t n, struct timetext_base *base)
{
	struct scan s = { .to = t, .p = p, .n = n, .base = base };
	size_t at = 0;

	t->key_len = 0;
	t->n = 0;
	if (n > TEMPLATE_MESSAGE_MAX || (n > 0 && memchr(p, MARKER, n)))
		return false;
	for (;;) {
		at += first_between(p + at, n - at, EVENT_FIRST, EVENT_LAST);
		if (at == n)
			return put_text(&s, n);
		if (is_digit(p[at]))
			at = take_word(&s, at);
		else
			at = p[at] == '/' ? take_path(&s, at) : take_name(&s, at);
		if (at == 0)
			return false;
	}
}

/* Reading. */

static int parse_slot(struct slot *s, struct rd *r)
{
	s->kind = rd_u8(r);
	if (r->bad || !variable_kind_is_known(s->kind))
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
	struct template *t = malloc(sizeof *t + n * sizeof *slots);

	if (!t)
		return -ENOMEM;
	*t = (struct template){ .rest = rest, .n = n };
	memcpy(t->slots, slots, n * sizeof *slots);
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

unsigned template_kinds(const uint8_t *key, size_t n, uint8_t ret[VARIABLES_MAX])
{
	const uint8_t *end = key + n, *mark;
	unsigned kinds = 0;

	while (key < end && (mark = memchr(key, MARKER, (size_t) (end - key)))) {
		ret[kinds++] = mark[1];
		key = mark + (mark[1] == VARIABLE_TIME ? TIME_MARK_SIZE : MARK_SIZE);
	}
	return kinds;
}

bool variable_may_hold(uint8_t kind, uint8_t c)
{
	uint8_t class = class_of[c];

	switch (kind) {
	case VARIABLE_DIGITS:
		return class & DIGIT;
	case VARIABLE_HEX:
		return class & HEX_LOWER;
	case VARIABLE_HEX_UPPER:
		return class & HEX_UPPER;
	case VARIABLE_IPV4:
		return class & DIGIT || c == '.';
	case VARIABLE_UUID:
		return class & HEX_LOWER || c == '-';
	case VARIABLE_PATH:
		return class & (LETTER | DIGIT | PATH);
	case VARIABLE_NAME:
		return class & LETTER || c == '.' || c == '_' || c == '$';
	case VARIABLE_WORD:
		return class & (LETTER | DIGIT | JOINT);
	}
	/* A time: what formats and fractions are made of, and the letters of months. */
	return class & DIGIT || (c != 0 && strchr(" -/:.,TJanFebMrApyulgSOctNovDi", c));
}

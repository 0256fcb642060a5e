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

#include "bulla/error.h"

enum {
	HEX_WORD_MIN = 4,
	PATH_MIN = 4,
	NAME_MIN = 6,
	DIGITS_MAX = 18,
	DIGITS_PLAIN_MAX = 9, /* with more it may be seconds since 1970 */
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
	NAME = 64,  /* in names, besides letters and dots */
	TIME = 128, /* behind the first number of a time, or an address */
};

static const uint8_t class_of[256] = {
	['0' ... '9'] = DIGIT | HEX_LOWER | HEX_UPPER,
	['a' ... 'f'] = LETTER | HEX_LOWER,
	['g' ... 'z'] = LETTER,
	['A' ... 'F'] = LETTER | HEX_UPPER,
	['G' ... 'Z'] = LETTER,
	['-'] = JOINT | PATH | TIME,
	['_'] = JOINT | PATH | NAME,
	['$'] = NAME,
	['/'] = PATH | TIME,
	['.'] = PATH | TIME,
	[':'] = TIME,
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

/*
 * Take a variable and the text before it; its mark has so many bytes.  What else there is to tell of it goes into the next of
 * the variables, whether it is taken or not.  @return where to go on, or 0 without room.
 */
static inline size_t put_marked(struct scan *s, uint8_t kind, size_t from, size_t end, size_t marks)
{
	struct taken *t = s->to;
	struct variable *v = &t->variables[t->n];
	uint8_t *mark;

	if (t->n == VARIABLES_MAX || !put_text(s, from) || marks > TEMPLATE_SIZE_MAX - t->key_len)
		return 0;
	mark = t->key + t->key_len;
	mark[0] = MARKER;
	mark[1] = kind;
	t->key_len += marks;
	v->at = (uint16_t) from;
	v->len = (uint16_t) (end - from);
	v->kind = kind;
	t->n++;
	return s->floor = end;
}

/* @return where to go on, or 0 without room. */
static size_t put(struct scan *s, uint8_t kind, size_t from, size_t end)
{
	return put_marked(s, kind, from, end, MARK_SIZE);
}

static size_t put_digits(struct scan *s, size_t from, size_t end)
{
	uint64_t v = 0;

	for (size_t i = from; i < end; i++)
		v = 10 * v + (uint64_t) (s->p[i] - '0');
	s->to->variables[s->to->n].units = v;
	return put_marked(s, VARIABLE_DIGITS, from, end, MARK_SIZE);
}

/* Rows of one class. */

static inline size_t digits_end(const struct scan *s, size_t at)
{
	return classes_end(s->to->classes.digit, s->to->classes.digit, at);
}

static inline size_t letters_end(const struct scan *s, size_t at)
{
	return classes_end(s->to->classes.letter, s->to->classes.letter, at);
}

static inline size_t word_end(const struct scan *s, size_t at)
{
	return classes_end(s->to->classes.letter, s->to->classes.digit, at);
}

static inline size_t letters_begin(const struct scan *s, size_t at)
{
	return classes_begin(s->to->classes.letter, at, s->floor);
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

static bool is_uuid(const struct scan *s, size_t from)
{
	const uint64_t dashes = 1ul << 8 | 1ul << 13 | 1ul << 18 | 1ul << 23;
	const uint64_t all = (1ul << UUID_SIZE) - 1;
	const uint8_t *p = s->p + from;

	if (s->n - from < UUID_SIZE || p[8] != '-' || p[13] != '-' || p[18] != '-' || p[23] != '-')
		return false;
	return (classes_from(s->to->classes.hex_lower, from) & all) == (all & ~dashes) &&
	       !(s->n - from > UUID_SIZE && is_word(p[UUID_SIZE]));
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

/* Whether a word has letters and digits and then again what it began with. */
static bool is_mixed(const struct scan *s, size_t word, size_t end)
{
	size_t second = is_digit(s->p[word]) ? digits_end(s, word) : letters_end(s, word);

	return second < end &&
	       (is_digit(s->p[second]) ? digits_end(s, second) : letters_end(s, second)) < end;
}

/* @return where words joined by dashes and underscores end; `*ret` tells whether they are one variable: one mixes letters and digits. */
static size_t joined_end(const struct scan *s, size_t word, bool *ret)
{
	bool joined = false, mixed = false;

	while (word < s->n && is_word(s->p[word])) {
		size_t end = word_end(s, word);

		mixed = mixed || is_mixed(s, word, end);
		word = end;
		if (word + 1 < s->n && class_of[s->p[word]] & JOINT && is_word(s->p[word + 1])) {
			joined = true;
			word++;
		}
	}
	*ret = joined && mixed;
	return word;
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
	struct taken *t = s->to;
	struct timetext_form form;
	uint64_t units;
	size_t took = timetext_read(s->p + from, s->n - from, s->base, &form, &units);

	if (took == 0)
		return SIZE_MAX;
	t->variables[t->n].units = units;
	t->variables[t->n].form = form;
	took = put_marked(s, VARIABLE_TIME, from, from + took, TIME_MARK_SIZE);
	if (took > 0) {
		uint8_t *mark = t->key + t->key_len - TIME_MARK_SIZE;

		mark[2] = (uint8_t) (form.format + FORM_BIAS);
		mark[3] = (uint8_t) (form.separator + FORM_BIAS);
		mark[4] = (uint8_t) (form.digits + FORM_BIAS);
	}
	return took;
}

/* Try what has a form of its own, for a word with digits from `at` to `to`.  @return as take_word(), SIZE_MAX when there is none. */
static size_t take_formed(struct scan *s, size_t word, size_t at, size_t to)
{
	size_t took;

	if (word == at) {
		size_t from = month_before(s, at);

		took = from < at || timetext_may_begin(to - at) ? take_time(s, from) : SIZE_MAX;
		if (took != SIZE_MAX)
			return took;
		took = match_ipv4(s->p + at, s->n - at);
		if (took > 0)
			return put(s, VARIABLE_IPV4, at, at + took);
	}
	return is_uuid(s, word) ? put(s, VARIABLE_UUID, word, word + UUID_SIZE) : SIZE_MAX;
}

/* Try words that are joined.  @return as take_word(), SIZE_MAX where they are none, or not one. */
static size_t take_joined(struct scan *s, size_t word, size_t end)
{
	size_t from = word;
	bool is;

	if (word < s->plain)
		return SIZE_MAX;
	/* The words before have no digits. */
	while (from > s->floor + 1 && class_of[s->p[from - 1]] & JOINT && is_letter(s->p[from - 2]))
		from = letters_begin(s, from - 1);
	if (from == word && !(end < s->n && class_of[s->p[end]] & JOINT))
		return SIZE_MAX;
	if (is_uuid(s, from))
		return put(s, VARIABLE_UUID, from, from + UUID_SIZE);
	s->plain = joined_end(s, from, &is);
	return is ? put(s, VARIABLE_WORD, from, s->plain) : SIZE_MAX;
}

/* @return the kind of a word of hexadecimal digits whose letters are all small or all capital; 0 for any other. */
static uint8_t hex_kind(const struct scan *s, size_t word, size_t end)
{
	const struct classes *c = &s->to->classes;

	if (classes_end(c->hex_lower, c->hex_lower, word) >= end)
		return VARIABLE_HEX;
	return classes_end(c->hex_upper, c->hex_upper, word) >= end ? VARIABLE_HEX_UPPER : 0;
}

/* A word of letters, one run of digits, and letters: only the digits change.  Anything else with digits changes whole. */
static size_t take_single(struct scan *s, size_t word, size_t at, size_t to, size_t end)
{
	const uint8_t *p = s->p;
	bool alone = word == at && to == end;
	uint8_t kind = 0;

	/* What is behind "0x" is of any length. */
	if (word == at && !alone && p[at] == '0' && end - at > 2 && p[at + 1] == 'x' &&
	    hex_kind(s, at + 2, end) == VARIABLE_HEX)
		return put(s, VARIABLE_HEX, at + 2, end);
	if (!alone && end - word >= HEX_WORD_MIN)
		kind = hex_kind(s, word, end);
	if (kind != 0)
		return put(s, kind, word, end);
	if (to - at > DIGITS_MAX || letters_end(s, to) < end)
		return put(s, VARIABLE_WORD, word, end);
	return put_digits(s, at, to) == 0 ? 0 : end;
}

/* Whether a number is no more than that: many are, and need not be tried for anything else. */
static bool is_plain(const struct scan *s, size_t at, size_t to)
{
	uint8_t before = at > 0 ? class_of[s->p[at - 1]] : OTHER;
	uint8_t behind = to < s->n ? class_of[s->p[to]] : OTHER;
	size_t n = to - at;

	if (n > DIGITS_PLAIN_MAX || before & (LETTER | DIGIT | JOINT) ||
	    behind & (LETTER | JOINT | TIME))
		return false;
	/* A space stands behind the day of a month, and behind a date of six digits. */
	return to == s->n || s->p[to] != ' ' || (n > 2 && n != 6);
}

/* Take the word with a digit at `at`, and none before it.  @return where to go on, or 0 when the message has to stay whole. */
static size_t take_word(struct scan *s, size_t at)
{
	size_t to = digits_end(s, at), word, end, took;

	if (is_plain(s, at, to))
		return put_digits(s, at, to);
	word = letters_begin(s, at);
	took = take_formed(s, word, at, to);
	if (took != SIZE_MAX)
		return took;
	end = word_end(s, to);
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
	if (n > TEMPLATE_MESSAGE_MAX || !classes_find(&t->classes, p, n, MARKER))
		return false;
	for (;;) {
		at = classes_next(t->classes.event, at);
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

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A pattern is read once, from left to right.  Each part of it has a *set* of literals of which a match has at least one:
 *
 *	a row of characters                  that row
 *	parts one behind the other           the best of their sets
 *	alternatives                         all of their sets together; none if one has none
 *	a part that may be left out          none
 *
 * What a match has of one part it has beside what it has of the others: the next to best set of the parts that are not in
 * alternatives or groups is kept as well.
 *
 * Rows end where anything else than a character comes.  Of what is not listed below nothing is known, not even where it
 * ends, so that the whole pattern has no literals then: options within the pattern, assertions, conditions, references,
 * comments, verbs, characters by number, \\Q.
 *
 * Without case an ASCII letter matches itself in either case, and k and s two more: the signs for Kelvin and long s.  So these
 * end a row, as do characters beyond ASCII, whose other case is none of our business.
 *
 * Parts outside of groups are noted as what characters they are made of, a group as any number of any: behind a literal that a
 * match has there the rest of them follows.
 */

#include "query/literals.h"

#include <errno.h>
#include <string.h>

#include "query/charset.h"

enum { SECOND_MIN = 3, PARTS_MAX = 256 };

struct parser {
	const char *p;
	bool caseless;
	bool lost;	/* in something that is not understood */
	unsigned depth; /* of groups */
	struct buf *bytes;
	struct sequel_part parts[PARTS_MAX];
	size_t n_parts;
	bool full; /* there are more of them */
};

/* A sequence of parts being read. */
struct sequence {
	struct literal_set best, second;
	struct literal row;	 /* at the end of the bytes */
	size_t last;		 /* bytes of the row's last character */
	struct literal_set part; /* of the part before: what a quantifier decides on */
	bool is_character;	 /* that part is the row's last character */
	bool is_noted;		 /* that part is the last of the parser's */
};

static void read_alternatives(struct parser *p, struct literal_set *ret,
			      struct literal_set *second);

static size_t shortest(const struct literal_set *s)
{
	size_t least = s->n > 0 ? SIZE_MAX : 0;

	for (size_t i = 0; i < s->n; i++)
		least = MIN_OF(least, s->of[i].len);
	return least;
}

static bool is_better(const struct literal_set *a, const struct literal_set *b)
{
	size_t x = shortest(a), y = shortest(b);

	return x > y || (x == y && a->n < b->n);
}

static void improve(struct sequence *s, const struct literal_set *other)
{
	if (is_better(other, &s->best)) {
		s->second = s->best;
		s->best = *other;
	} else if (is_better(other, &s->second)) {
		s->second = *other;
	}
}

/* `behind`: the part that follows the row. */
static void end_row(struct parser *p, struct sequence *s, size_t behind)
{
	s->row.behind = p->depth > 0 || p->full ? SIZE_MAX : behind;
	if (s->row.len > 0)
		improve(s, &(struct literal_set){ 1, { s->row } });
	s->row = (struct literal){ p->bytes->len, 0, SIZE_MAX };
}

/* Parts in groups are not noted: the group is. */
static void note_part(struct parser *p, struct sequence *s, struct charset set)
{
	s->is_noted = p->depth == 0 && p->n_parts < PARTS_MAX;
	p->full |= p->n_parts == PARTS_MAX;
	if (!s->is_noted)
		return;
	p->parts[p->n_parts++] = (struct sequel_part){ .set = set };
}

/* A part that is no character is over, or was quantified at least once. */
static void keep_part(struct sequence *s)
{
	improve(s, &s->part);
	s->part.n = 0;
	s->is_character = false;
}

static void add_character(struct parser *p, struct sequence *s, const char *c, size_t n)
{
	keep_part(s);
	buf_append(p->bytes, c, n);
	s->row.len += n;
	s->last = n;
	s->is_character = true;
	note_part(p, s, charset_of(c, n, p->caseless));
}

/* Nothing, between characters. */
static void add_nothing(struct parser *p, struct sequence *s)
{
	keep_part(s);
	end_row(p, s, p->n_parts);
	s->is_noted = false;
}

/* A character of many. */
static void add_one_of(struct parser *p, struct sequence *s, struct charset set)
{
	add_nothing(p, s);
	note_part(p, s, set);
}

/* A character that stands for itself: `n` bytes. */
static void read_character(struct parser *p, struct sequence *s, size_t n)
{
	char c = *p->p;

	if (p->caseless && ((uint8_t) c >= 0x80 || strchr("ksKS", c)))
		add_one_of(p, s, charset_of(p->p, n, true));
	else
		add_character(p, s, p->p, n);
	p->p += n;
}

static size_t character_size(const char *p)
{
	size_t n = 1;

	if ((uint8_t) *p >= 0xc0)
		while (((uint8_t) p[n] & 0xc0) == 0x80)
			n++;
	return n;
}

static void read_escape(struct parser *p, struct sequence *s)
{
	char c = p->p[1], control = escaped_control(c);

	if (c == '\0' || (uint8_t) c >= 0x80) {
		p->lost = true;
		return;
	}
	p->p++;
	if (control) {
		add_character(p, s, &control, 1);
		p->p++;
	} else if (strchr("bBAzZ", c)) {
		add_nothing(p, s);
		p->p++;
	} else if (strchr("dDwWsShHvV", c)) {
		add_one_of(p, s, charset_named(c));
		p->p++;
	} else if ((uint8_t) (c - '0') < 10 || (uint8_t) ((c | 0x20) - 'a') < 26) {
		p->lost = true;
	} else {
		read_character(p, s, 1);
	}
}

/* A class, to its end. */
static void read_class(struct parser *p, struct sequence *s)
{
	const char *from = ++p->p;

	p->p += *p->p == '^';
	p->p += *p->p == ']';
	for (; *p->p && *p->p != ']'; p->p++) {
		if (*p->p == '[' && p->p[1] && strchr(":.=", p->p[1]))
			p->lost = true;
		if (*p->p != '\\')
			continue;
		p->p++;
		if (*p->p == 'Q' || *p->p == 'E' || *p->p == '\0')
			p->lost = true;
		if (p->lost)
			return;
	}
	p->lost |= *p->p == '\0';
	add_one_of(p, s, charset_class(from, (size_t) (p->p - from), p->caseless));
	p->p += *p->p == ']';
}

/* What stands behind "(".  @return whether it is a group of which only the content matters. */
static bool begin_group(struct parser *p)
{
	if (*p->p == '*')
		return false;
	if (*p->p != '?')
		return true;
	p->p++;
	if (*p->p == ':') {
		p->p++;
		return true;
	}
	p->p += *p->p == 'P';
	if (*p->p != '<' || p->p[1] == '=' || p->p[1] == '!')
		return false;
	p->p = strchr(p->p, '>');
	if (!p->p)
		return false;
	p->p++;
	return true;
}

static void read_group(struct parser *p, struct sequence *s)
{
	add_nothing(p, s);
	p->p++;
	if (p->depth == LITERALS_DEPTH_MAX || !begin_group(p)) {
		p->p = "";
		p->lost = true;
		return;
	}
	p->depth++;
	read_alternatives(p, &s->part, NULL);
	p->depth--;
	if (*p->p != ')') {
		p->lost = true;
		return;
	}
	p->p++;
	end_row(p, s, SIZE_MAX);
	note_part(p, s, charset_all());
	if (s->is_noted)
		p->parts[p->n_parts - 1].optional = p->parts[p->n_parts - 1].again = true;
}

/* @return the least number of a quantifier in braces, or -1 where there is none. */
static int read_braces(struct parser *p)
{
	size_t n = 1 + strspn(p->p + 1, "0123456789"), digits = n - 1;
	bool zero = strspn(p->p + 1, "0") == digits;

	if (p->p[n] == ',')
		n += 1 + strspn(p->p + n + 1, "0123456789");
	if (digits == 0 || p->p[n] != '}')
		return -1;
	p->p += n + 1;
	return zero ? 0 : 1;
}

/* The part before may be left out unless it must come at least once, and may come again. */
static void quantify(struct parser *p, struct sequence *s, bool least, bool again)
{
	struct sequel_part *part = s->is_noted ? &p->parts[p->n_parts - 1] : NULL;
	bool in_row = s->is_character;
	size_t behind = p->n_parts;

	if (least) {
		keep_part(s);
	} else if (in_row) {
		p->bytes->len -= s->last;
		s->row.len -= s->last;
		behind -= part != NULL;
	}
	end_row(p, s, behind);
	if (part && in_row && least) {
		/* The row ends with it, and behind that it may come again. */
		note_part(p, s, part->set);
		part = s->is_noted ? &p->parts[p->n_parts - 1] : NULL;
	}
	if (part) {
		part->optional |= in_row || !least;
		part->again |= again;
	}
	s->part.n = 0;
	s->is_character = s->is_noted = false;
}

static void read_quantifier(struct parser *p, struct sequence *s)
{
	bool again = *p->p != '?';
	int least;

	if (*p->p == '{') {
		least = read_braces(p);
	} else {
		least = *p->p == '+';
		p->p++;
	}
	/* Other braces are characters here and quantifiers there. */
	if (least < 0) {
		p->lost = true;
		return;
	}
	p->p += *p->p == '+' || *p->p == '?';
	quantify(p, s, least > 0, again);
}

static void read_sequence(struct parser *p, struct literal_set *ret, struct literal_set *second)
{
	struct sequence s = { .row = { p->bytes->len, 0, SIZE_MAX } };

	while (!p->lost && *p->p && *p->p != '|' && *p->p != ')') {
		switch (*p->p) {
		case '\\':
			read_escape(p, &s);
			break;
		case '[':
			read_class(p, &s);
			break;
		case '(':
			read_group(p, &s);
			break;
		case '.':
			add_one_of(p, &s, charset_all());
			p->p++;
			break;
		case '^':
		case '$':
			add_nothing(p, &s);
			p->p++;
			break;
		case '?':
		case '*':
		case '+':
		case '{':
			read_quantifier(p, &s);
			break;
		default:
			read_character(p, &s, character_size(p->p));
		}
	}
	keep_part(&s);
	end_row(p, &s, p->n_parts);
	*ret = s.best;
	*second = s.second;
}

static void read_alternatives(struct parser *p, struct literal_set *ret, struct literal_set *second)
{
	struct literal_set one, other;
	bool all = true;

	ret->n = 0;
	for (size_t k = 0;; k++) {
		read_sequence(p, &one, &other);
		/* What one of several alternatives has besides, the others need not. */
		if (second)
			*second = k == 0 ? other : (struct literal_set){ 0 };
		all &= one.n > 0 && ret->n + one.n <= LITERALS_MAX;
		for (size_t i = 0; all && i < one.n; i++)
			ret->of[ret->n++] = one.of[i];
		if (p->lost || *p->p != '|')
			break;
		p->p++;
	}
	if (!all)
		ret->n = 0;
}

/* ASCII that stands for itself; of letters in any case, those that have no third one. */
static bool is_one_literal(const char *pattern, bool caseless)
{
	for (const char *p = pattern; *p; p++)
		if ((*p & 0x80) || strchr("\\^$.[|()?*+{", *p) || (caseless && strchr("kKsS", *p)))
			return false;
	return *pattern != '\0';
}

/* What follows a literal if it is the only one. */
static void find_sequel(const struct parser *p, const struct literal_set *set, struct sequel *ret)
{
	if (set->n == 1 && set->of[0].behind < p->n_parts)
		sequel_init(ret, p->parts + set->of[0].behind, p->n_parts - set->of[0].behind);
}

int literals_make(struct literals *l, const char *pattern, bool caseless)
{
	struct parser p = { .p = pattern, .caseless = caseless, .bytes = &l->bytes };
	struct literal_set first, second;

	*l = (struct literals){ .any_case = caseless };
	read_alternatives(&p, &first, &second);
	if (l->bytes.bad) {
		literals_done(l);
		return -ENOMEM;
	}
	/* A bracket that closes nothing is no pattern. */
	if (p.lost || *p.p != '\0')
		return 0;
	l->first = first;
	find_sequel(&p, &l->first, &l->behind_first);
	/* What is shorter takes longer to look for than what it rules out. */
	if (shortest(&second) >= SECOND_MIN) {
		l->second = second;
		find_sequel(&p, &l->second, &l->behind_second);
	}
	l->all = is_one_literal(pattern, caseless) && first.n == 1 &&
		 first.of[0].len == strlen(pattern);
	return 0;
}

void literals_done(struct literals *l)
{
	buf_done(&l->bytes);
	*l = (struct literals){ 0 };
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Only what is plain counts: a character that stands for itself and must be there.  Groups, alternatives, options and escapes of letters are not understood; where one could change what stands before or behind it, nothing is said at all.
 */

#include "query/literals.h"

#include <string.h>

/* The run at hand and the longest so far. */
struct runs {
	uint8_t now[LITERAL_MAX], best[LITERAL_MAX];
	size_t n, n_best;
};

static void end_run(struct runs *r)
{
	if (r->n > r->n_best) {
		memcpy(r->best, r->now, r->n);
		r->n_best = r->n;
	}
	r->n = 0;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word(char c)
{
	return is_letter(c) || (c >= '0' && c <= '9') || c == '_';
}

/* U+017F and U+212A are an s and a k in another case. */
static bool is_plain(char c, bool any_case)
{
	return !any_case || (!(c & 0x80) && !strchr("kKsS", c));
}

/* Escapes that match a place or one character of a kind, and take nothing behind them. */
static bool is_simple_escape(char c)
{
	return c != '\0' && strchr("bBdDwWsSAzZ", c) != NULL;
}

/* How long the quantifier at `p` is; `*ret_optional` says that what it is of need not be there. */
static size_t quantifier(const char *p, bool *ret_optional)
{
	*ret_optional = *p == '?' || *p == '*' || *p == '{';
	if (*p == '{') {
		size_t n = 1 + strspn(p + 1, "0123456789,");

		/* What is no quantifier is left, and not understood. */
		return p[n] == '}' && n > 1 ? n + 1 : 0;
	}
	return *p == '?' || *p == '*' || *p == '+';
}

/* Length of the class at `p`; 0 where it is not a plain list of characters and ranges. */
static size_t class_length(const char *p)
{
	size_t n = 1 + (p[1] == '^');

	n += p[n] == ']';
	n += strcspn(p + n, "[]\\");
	return p[n] == ']' ? n + 1 : 0;
}

/* Take one character, class or escape.  @return bytes of it; 0 where the pattern is not understood. */
static size_t take_one(const char *p, bool any_case, char *ret, bool *ret_literal)
{
	*ret = *p;
	*ret_literal = false;
	if (*p == '.' || *p == '^' || *p == '$')
		return 1;
	if (*p == '\\') {
		*ret = p[1];
		if (is_simple_escape(p[1]))
			return 2;
		/* Punctuation stands for itself; letters and digits may mean anything. */
		if (p[1] == '\0' || is_word(p[1]) || (p[1] & 0x80))
			return 0;
		*ret_literal = true;
		return 2;
	}
	if (*p == '[')
		return class_length(p);
	if (strchr("()]{}|*+?", *p))
		return 0;
	*ret_literal = is_plain(*p, any_case);
	return 1;
}

size_t pattern_literal(const char *pattern, bool any_case, uint8_t ret[LITERAL_MAX])
{
	struct runs r = { .n = 0 };

	for (const char *p = pattern; *p;) {
		bool literal, optional, is_char = (*p & 0x80) != 0;
		char c;
		size_t n = take_one(p, any_case, &c, &literal), q;

		if (n == 0)
			return 0;
		q = quantifier(p + n, &optional);
		/* A quantifier is of the whole character, of which a byte is a part. */
		if (q > 0 && is_char)
			return 0;
		if (!literal || optional || r.n == LITERAL_MAX) {
			end_run(&r);
		} else {
			r.now[r.n++] = (uint8_t) c;
			/* What comes more than once is followed by itself, or by what comes next. */
			if (q > 0)
				end_run(&r);
		}
		p += n + q;
		/* Lazy or possessive. */
		if (q > 0 && (*p == '?' || *p == '+'))
			p++;
	}
	end_run(&r);
	memcpy(ret, r.best, r.n_best);
	return r.n_best;
}

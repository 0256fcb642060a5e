/* SPDX-License-Identifier: Apache-2.0 */

#include "query/charset.h"

#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/letters.h"

enum { ASCII = 0x80, BYTES = 0x100 };

/* A class being read. */
struct class_reader {
	const uint8_t *p, *end;
	struct charset set;
	bool lost; /* it may have anything */
};

char escaped_control(char letter)
{
	static const char letters[] = "tnrfe", controls[] = "\t\n\r\f\x1b";
	const char *at = letter ? strchr(letters, letter) : NULL;

	return (char) (at ? controls[at - letters] : '\0');
}

struct charset charset_all(void)
{
	struct charset s;

	memset(&s, 0xff, sizeof s);
	return s;
}

static void add(struct charset *s, unsigned from, unsigned to)
{
	bits_set(s->bytes, from, to);
}

static bool has(const struct charset *s, unsigned c)
{
	return bit_get(s->bytes, c);
}

static void invert_ascii(struct charset *s)
{
	for (size_t i = 0; i < ASCII / 64; i++)
		s->bytes[i] = ~s->bytes[i];
}

static void add_other_cases(struct charset *s)
{
	for (unsigned c = 'A'; c <= 'Z'; c++)
		if (has(s, c) || has(s, c ^ 0x20)) {
			bit_set(s->bytes, c);
			bit_set(s->bytes, c ^ 0x20);
		}
}

/* The signs for Kelvin and long s are k and s in another case. */
static void add_third_cases(struct charset *s)
{
	static const char letters[] = "kKsS";
	bool beyond = has(s, ASCII);

	if (has(s, 'k') || has(s, 's'))
		add(s, ASCII, BYTES);
	for (const char *c = letters; beyond && *c; c++)
		bit_set(s->bytes, (uint8_t) *c);
}

struct charset charset_of(const char *c, size_t n, bool caseless)
{
	struct charset s = { 0 };

	if (n > 1 || *c & 0x80)
		add(&s, ASCII, BYTES);
	else
		bit_set(s.bytes, (uint8_t) *c);
	if (caseless) {
		add_other_cases(&s);
		add_third_cases(&s);
	}
	return s;
}

static struct charset named_small(char letter)
{
	struct charset s = { 0 };

	switch (letter) {
	case 'w':
		add(&s, 'A', 'Z' + 1);
		add(&s, 'a', 'z' + 1);
		bit_set(s.bytes, '_');
		add(&s, '0', '9' + 1);
		break;
	case 'd':
		add(&s, '0', '9' + 1);
		break;
	default:
		add(&s, '\t', '\r' + 1);
		bit_set(s.bytes, ' ');
	}
	return s;
}

struct charset charset_named(char letter)
{
	struct charset s;

	if (!strchr("dwsDWS", letter))
		return charset_all();
	s = named_small((char) (letter | 0x20));
	if (letter & 0x20)
		return s;
	invert_ascii(&s);
	add(&s, ASCII, BYTES);
	return s;
}

static void read_escaped(struct class_reader *r)
{
	char letter = (char) (r->p + 1 < r->end ? r->p[1] : '\0'),
	     control = escaped_control(letter);

	r->p += 2;
	if (control) {
		bit_set(r->set.bytes, (uint8_t) control);
	} else if (letter && strchr("dwsDWS", letter)) {
		struct charset named = charset_named(letter);

		for (size_t i = 0; i < ELEMENTS(named.bytes); i++)
			r->set.bytes[i] |= named.bytes[i];
	} else if (letter == '\0' || letter & 0x80 || letter_of((uint8_t) letter) ||
		   (letter >= '0' && letter <= '9')) {
		r->lost = true;
	} else {
		bit_set(r->set.bytes, (uint8_t) letter);
	}
	/* From what is escaped to something else: not worth understanding. */
	r->lost |= r->p < r->end && *r->p == '-';
}

static void read_member(struct class_reader *r)
{
	unsigned from = *r->p++, to;

	if (r->end - r->p < 2 || *r->p != '-') {
		add(&r->set, from & ASCII ? ASCII : from, from & ASCII ? BYTES : from + 1);
		return;
	}
	to = r->p[1];
	r->p += 2;
	r->lost |= to == '\\' || to & ASCII || from & ASCII;
	add(&r->set, from, to + 1);
}

struct charset charset_class(const char *p, size_t n, bool caseless)
{
	bool negated = n > 0 && *p == '^';
	struct class_reader r = { .p = (const uint8_t *) p + negated,
				  .end = (const uint8_t *) p + n };

	while (r.p < r.end && !r.lost)
		if (*r.p == '\\')
			read_escaped(&r);
		else
			read_member(&r);
	if (r.lost)
		return charset_all();
	if (caseless)
		add_other_cases(&r.set);
	if (negated) {
		invert_ascii(&r.set);
		add(&r.set, ASCII, BYTES);
	} else if (caseless) {
		add_third_cases(&r.set);
	}
	return r.set;
}

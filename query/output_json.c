/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One JSON object a line, by journald's rules: every value is a string, or an array of byte numbers if it is no text, or an
 * array of such if the field has several values.
 *
 * Two ways lead to the same object.  Nearly always the entry's own few fields are named differently from those of its
 * contexts: the contexts' text is kept and copied.  Otherwise all fields are sorted, so that one name's values stand
 * together: no key comes twice, which readers would read differently.
 */

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "query/output-internal.h"

enum {
	CHUNK = 4096,	/* input bytes between two looks at the buffer's size */
	ESCAPE_MAX = 6, /* \u00XX */
	NUMBER_MAX = 4, /* 255, */
	PLAIN = 0,
	UNICODE = 'u',
	NO_TEXT = 1, /* many readers end a string at a NUL */
	LONG = 2,    /* part of a longer UTF-8 sequence, if it is one */
};

/* What becomes of a byte: one of the above, or what follows the backslash. */
static const uint8_t escapes[256] = {
	[0] = NO_TEXT,		[1 ... 7] = UNICODE, ['\b'] = 'b',  ['\t'] = 't',
	['\n'] = 'n',		[11] = UNICODE,	     ['\f'] = 'f',  ['\r'] = 'r',
	[14 ... 31] = UNICODE,	['"'] = '"',	     ['\\'] = '\\', [0x7f] = UNICODE,
	[0x80 ... 0xff] = LONG,
};

#ifdef __SSE2__
/* The same 16 bytes at a time, which every x86-64 can; what is left is the other's.  @return whether it came to an end. */
static bool copy_plain_wide(uint8_t *to, const uint8_t *p, size_t n, size_t *at)
{
	for (; n - *at >= 16; *at += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *) (const void *) (p + *at));
		/* Compared with signs: bytes from 0x80 on are less than a space, too. */
		__m128i special =
			_mm_or_si128(_mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(' ')),
						  _mm_cmpeq_epi8(v, _mm_set1_epi8('"'))),
				     _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\')),
						  _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f))));
		unsigned bits = (unsigned) _mm_movemask_epi8(special);

		_mm_storeu_si128((__m128i *) (void *) (to + *at), v);
		if (bits != 0) {
			*at += (size_t) __builtin_ctz(bits);
			return true;
		}
	}
	return false;
}
#else
static bool copy_plain_wide(uint8_t *to, const uint8_t *p, size_t n, size_t *at)
{
	(void) to;
	(void) p;
	(void) n;
	(void) at;
	return false;
}
#endif

/* Copy bytes that need no escape, a word at a time; up to 15 bytes of rubbish follow them.  @return how many. */
static size_t copy_plain(uint8_t *to, const uint8_t *p, size_t n)
{
	const uint64_t ones = 0x0101010101010101ull, highs = ones << 7;
	size_t at = 0;
	uint64_t v, quote, backslash, special;

	if (copy_plain_wide(to, p, n, &at))
		return at;
	for (; n - at >= 8; at += 8) {
		memcpy(&v, p + at, 8);
		memcpy(to + at, &v, 8);
		quote = v ^ ones * '"';
		backslash = v ^ ones * '\\';
		/* The lowest top bit set is that of the first byte below space, a quote, a backslash, DEL or above. */
		special = ((v - ones * ' ') & ~v) | ((quote - ones) & ~quote) |
			  ((backslash - ones) & ~backslash) | v | ((v & ~highs) + ones);
		special &= highs;
		if (special != 0)
			return at + (size_t) __builtin_ctzll(special) / 8;
	}
	for (; at < n && escapes[p[at]] == PLAIN; at++)
		to[at] = p[at];
	return at;
}

static uint8_t *put_unicode(uint8_t *w, uint8_t c)
{
	static const char digits[] = "0123456789abcdef";

	memcpy(w, "\\u00", 4);
	w[4] = (uint8_t) digits[c >> 4];
	w[5] = (uint8_t) digits[c & 15];
	return w + 6;
}

/* Put one character that copy_plain() stopped at.  @return the bytes taken from `p`, or 0 if they are no text. */
static size_t put_special(uint8_t **w, const uint8_t *p, size_t n)
{
	size_t step = 1;

	switch (escapes[*p]) {
	case NO_TEXT:
		return 0;
	case UNICODE:
		*w = put_unicode(*w, *p);
		break;
	case LONG:
		step = text_utf8_step(p, n);
		if (step == 2 && p[0] == 0xc2 && p[1] < 0xa0) {
			/* U+0080 to U+009F drive terminals, as ESC does. */
			*w = put_unicode(*w, p[1]);
			break;
		}
		memcpy(*w, p, step);
		*w += step;
		break;
	default:
		*(*w)++ = '\\';
		*(*w)++ = escapes[*p];
	}
	return step;
}

/* Append text in escaped form.  @return false, when some is appended, if it is no text. */
static bool append_escaped(struct buf *to, const uint8_t *p, size_t n, bool lossy)
{
	const uint8_t *end = p + n, *stop;
	uint8_t *start, *w;
	size_t step;

	while (p < end) {
		stop = p + MIN_OF(end - p, CHUNK);
		/* Many may be written where one counts. */
		start = w = buf_room(to, ESCAPE_MAX * (size_t) (stop - p) + 16);
		if (!w)
			return true;
		while (p < stop) {
			step = copy_plain(w, p, (size_t) (stop - p));
			w += step;
			p += step;
			if (p == stop)
				break;
			step = put_special(&w, p, (size_t) (end - p));
			if (step == 0 && !lossy)
				return false;
			if (step == 0) {
				memcpy(w, "\xef\xbf\xbd", 3);
				w += 3;
				step = 1;
			}
			p += step;
		}
		buf_add(to, (size_t) (w - start));
	}
	return true;
}

static void append_numbers(struct buf *to, const uint8_t *p, size_t n)
{
	size_t count;
	char *start, *w;

	buf_char(to, '[');
	for (size_t at = 0; at < n; at += count) {
		count = MIN_OF(n - at, (size_t) CHUNK);
		start = w = (char *) buf_room(to, NUMBER_MAX * count);
		if (!w)
			return;
		for (size_t i = at; i < at + count; i++) {
			w = output_decimal(w, p[i]);
			*w++ = ',';
		}
		buf_add(to, (size_t) (w - start) - (at + count == n));
	}
	buf_char(to, ']');
}

void output_json_value(struct buf *to, const uint8_t *p, size_t n)
{
	size_t start = to->len;

	buf_char(to, '"');
	if (append_escaped(to, p, n, false)) {
		buf_char(to, '"');
		return;
	}
	to->len = start;
	append_numbers(to, p, n);
}

static void append_value(struct buf *to, const struct field *f)
{
	output_json_value(to, f->value, f->value_len);
}

/* Append a list of fields, in which the values of one name stand together, each key with a comma before it. */
static void append_fields(struct buf *to, const struct gathered_field *fields, size_t n)
{
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && output_same_name(&fields[i].f, &fields[end].f);)
			end++;
		buf_append(to, ",\"", 2);
		append_escaped(to, fields[i].f.name, fields[i].f.name_len, true);
		buf_append(to, "\":", 2);
		if (end - i > 1)
			buf_char(to, '[');
		for (size_t k = i; k < end; k++) {
			if (k > i)
				buf_char(to, ',');
			append_value(to, &fields[k].f);
		}
		if (end - i > 1)
			buf_char(to, ']');
	}
}

/* The keys that no field has. */

/* Write a text of known length. */
#define PUT(w, literal) ((char *) memcpy(w, literal, STRLEN(literal)) + STRLEN(literal))

static void append_fixed(const struct shown *s, struct buf *to)
{
	char *start = (char *) buf_room(to, 512), *w = start;
	uint64_t us;

	if (!w)
		return;
	w = PUT(w, "{\"__CURSOR\":\"");
	w += shown_cursor(s, w);
	w = PUT(w, "\",\"__REALTIME_TIMESTAMP\":\"");
	w = output_decimal(w, output_realtime_us(s));
	if (output_monotonic_us(s, &us)) {
		w = PUT(w, "\",\"__MONOTONIC_TIMESTAMP\":\"");
		w = output_decimal(w, us);
	}
	if (!output_imported(s)) {
		w = PUT(w, "\",\"_BOOT_ID\":\"");
		w = output_id(w, &s->boot);
	}
	w = PUT(w, "\",\"__SEQNUM\":\"");
	w = output_decimal(w, s->seq);
	w = PUT(w, "\",\"__SEQNUM_ID\":\"");
	w = output_id(w, &s->journal);
	w = s->sealed ? PUT(w, "\",\"__SEALED\":\"yes") : PUT(w, "\",\"__SEALED\":\"no");
	if (s->corrected)
		w = PUT(w, "\",\"__CORRECTED\":\"yes");
	if (output_has_source_time(s)) {
		w = PUT(w, "\",\"_SOURCE_REALTIME_TIMESTAMP\":\"");
		w = output_decimal(w, s->entry->time_ns / NS_PER_US);
	}
	w = PUT(w, "\"");
	buf_add(to, (size_t) (w - start));
}

/* Names that come twice. */

/* Whether a name stands at two places of the list that are not next to each other; false alarms are possible. */
static bool is_scattered(const struct gathered_field *fields, size_t n)
{
	uint64_t names = 0, bit;

	for (size_t i = 0; i < n; i++) {
		bit = output_name_bit(&fields[i].f);
		if ((names & bit) && !output_same_name(&fields[i - 1].f, &fields[i].f))
			return true;
		names |= bit;
	}
	return false;
}

static bool has_name(void *arg, const struct field *f)
{
	return output_same_name(arg, f);
}

/* Whether a gathered field is named as one of the contexts' is. */
static bool is_in_contexts(const struct output_cache *c, const struct context_slot *slot,
			   const struct shown *s)
{
	struct field f;

	for (size_t i = 0; i < c->n_fields; i++) {
		f = c->fields[i].f;
		if ((slot->names & output_name_bit(&f)) && output_each_context(s, has_name, &f))
			return true;
	}
	return false;
}

static void fill_slot(struct output_cache *c, struct context_slot *slot, const struct shown *s,
		      struct buf *to)
{
	output_slot_begin(slot, s);
	output_gather_begin(c);
	output_gather_contexts(c, s, to);
	output_gather_sort(c);
	append_fields(&slot->text, c->fields, c->n_fields);
	for (size_t i = 0; i < c->n_fields; i++)
		slot->names |= output_name_bit(&c->fields[i].f);
	output_slot_end(slot);
	/* Without memory the list was not whole. */
	if (to->bad)
		slot->contexts = NULL;
}

void output_json(struct output *o, const struct shown *s, struct buf *to)
{
	struct output_cache *c = output_cache(o, to);
	struct context_slot *slot;
	bool apart;

	if (!c)
		return;
	slot = output_slot(c, s);
	if (!output_slot_holds(slot, s))
		fill_slot(c, slot, s, to);
	append_fixed(s, to);
	output_gather_begin(c);
	output_gather_own(c, s, to);
	apart = !slot->oversized && !is_in_contexts(c, slot, s);
	if (!apart)
		output_gather_contexts(c, s, to);
	if (!apart || is_scattered(c->fields, c->n_fields))
		output_gather_sort(c);
	append_fields(to, c->fields, c->n_fields);
	if (apart)
		buf_append(to, slot->text.data, slot->text.len);
	buf_append(to, "}\n", 2);
}

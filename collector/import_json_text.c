/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/import_json_text.h"

#include <string.h>

#include "base/text.h"
#include "bulla/error.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { CONTROL_MAX = 0x1f, ASCII_MAX = 0x7f, LAST_BMP = 0xffff, UTF8_MAX = 4 };

/* Strings. */

static bool is_special(uint8_t c)
{
	return c == '"' || c == '\\' || c <= CONTROL_MAX;
}

#ifdef __x86_64__

#define _avx2_ __attribute__((__target__("avx2,bmi,popcnt")))

/* Write the places of bits, eight at once: how many there are is not to be guessed for each.  @return behind the last. */
_avx2_ static uint32_t *put_places(uint32_t *to, uint64_t bits, uint32_t at)
{
	uint32_t *end = to + __builtin_popcountll(bits);

	do {
		for (unsigned i = 0; i < 8; i++) {
			to[i] = at + (uint32_t) __builtin_ctzll(bits | UINT64_C(1) << 63);
			bits &= bits - 1;
		}
		to += 8;
	} while (_unlikely_(bits != 0));
	return end;
}

_avx2_ static uint64_t special_of_32(__m256i v)
{
	__m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(CONTROL_MAX)), v);
	__m256i quote = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('"'));
	__m256i backslash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\'));

	return (unsigned) _mm256_movemask_epi8(
		_mm256_or_si256(control, _mm256_or_si256(quote, backslash)));
}

_avx2_ static uint64_t special_of_64(const uint8_t *p, __m256i *all)
{
	__m256i a = _mm256_loadu_si256((const __m256i *) (const void *) p),
		b = _mm256_loadu_si256((const __m256i *) (const void *) (p + 32));

	*all = _mm256_or_si256(*all, _mm256_or_si256(a, b));
	return special_of_32(a) | special_of_32(b) << 32;
}

/* A line of 64 bytes or more.  @return where the place of the next goes. */
_avx2_ static uint32_t *scan_avx2(const uint8_t *line, uint32_t n, uint32_t *to, bool *high)
{
	__m256i all = _mm256_setzero_si256();
	uint32_t at = 0;

	for (; n - at >= 64; at += 64)
		to = put_places(to, special_of_64(line + at, &all), at);
	/* The last 64 once more, less those before them that are done already. */
	if (at < n)
		to = put_places(to, special_of_64(line + n - 64, &all) >> (64 - (n - at)), at);
	*high = _mm256_movemask_epi8(all) != 0;
	return to;
}

#endif

uint32_t *json_scan_portable(const uint8_t *line, uint32_t n, uint32_t *to, bool *high)
{
	*high = false;
	for (uint32_t at = 0; at < n; at++) {
		*to = at;
		to += is_special(line[at]);
		*high |= line[at] > ASCII_MAX;
	}
	return to;
}

uint32_t *json_scan(const uint8_t *line, uint32_t n, uint32_t *to, bool *high)
{
#ifdef __x86_64__
	if (n >= 64 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
	    __builtin_cpu_supports("popcnt"))
		return scan_avx2(line, n, to, high);
#endif
	return json_scan_portable(line, n, to, high);
}

int json_begin(struct json_text *t, const uint8_t *line, size_t n, uint32_t *special,
	       uint8_t *decoded)
{
	bool high;
	uint32_t *to = json_scan(line, (uint32_t) n, special, &high);

	/* A pair is looked for whatever is left. */
	to[0] = to[1] = to[2] = to[3] = (uint32_t) n;
	*t = (struct json_text){ line, line, line + n, special, decoded };
	return high && !text_is_utf8(line, n) ? BULLA_EPARSE : 0;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four digits.  @return what they are; -1. */
static int32_t take_unit(struct json_text *t)
{
	int32_t v = 0;

	if (t->end - t->p < 4)
		return -1;
	for (size_t i = 0; i < 4; i++) {
		int digit = hex_digit(t->p[i]);

		if (digit < 0)
			return -1;
		v = v << 4 | digit;
	}
	t->p += 4;
	return v;
}

/* What stands behind \u: one unit, or two that belong together.  @return a character; -1. */
static int32_t take_character(struct json_text *t)
{
	int32_t high = take_unit(t), low;

	if (high < 0xd800 || high > 0xdfff)
		return high;
	if (high > 0xdbff || t->end - t->p < 2 || t->p[0] != '\\' || t->p[1] != 'u')
		return -1;
	t->p += 2;
	low = take_unit(t);
	if (low < 0xdc00 || low > 0xdfff)
		return -1;
	return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* At most as many bytes as the escape had. */
static uint8_t *put_character(uint8_t *to, uint32_t c)
{
	if (c <= ASCII_MAX) {
		*to++ = (uint8_t) c;
		return to;
	}
	if (c <= 0x7ff) {
		*to++ = (uint8_t) (0xc0 | c >> 6);
	} else if (c <= LAST_BMP) {
		*to++ = (uint8_t) (0xe0 | c >> 12);
		*to++ = (uint8_t) (0x80 | (c >> 6 & 0x3f));
	} else {
		*to++ = (uint8_t) (0xf0 | c >> 18);
		*to++ = (uint8_t) (0x80 | (c >> 12 & 0x3f));
		*to++ = (uint8_t) (0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (uint8_t) (0x80 | (c & 0x3f));
	return to;
}

/* What stands behind a backslash.  @return where the next byte goes; NULL. */
static uint8_t *take_escape(struct json_text *t, uint8_t *to)
{
	static const uint8_t meant[128] = {
		['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
		['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
	};
	uint8_t c = t->p < t->end ? *t->p : 0;
	int32_t character;

	if (c == 'u') {
		t->p++;
		character = take_character(t);
		return character < 0 ? NULL : put_character(to, (uint32_t) character);
	}
	if (c > ASCII_MAX || meant[c] == 0)
		return NULL;
	t->p++;
	*to = meant[c];
	return to + 1;
}

int json_string_decode(struct json_text *t, struct json_slice *ret)
{
	uint8_t *begin = t->decoded, *to = begin;

	t->p++;
	t->special++;
	for (;;) {
		const uint8_t *stop = t->line + *t->special;

		memcpy(to, t->p, (size_t) (stop - t->p));
		to += stop - t->p;
		t->p = stop;
		if (t->p == t->end || *t->p <= CONTROL_MAX)
			return BULLA_EPARSE;
		t->special++;
		if (*t->p++ == '"')
			break;
		to = take_escape(t, to);
		if (!to)
			return BULLA_EPARSE;
		/* What was escaped is special itself, or the half of a character. */
		while (t->line + *t->special < t->p)
			t->special++;
	}
	*ret = (struct json_slice){ begin, (uint32_t) (to - begin) };
	t->decoded = to;
	return 0;
}

/* Numbers and words. */

int json_integer(struct json_text *t, struct json_slice *ret)
{
	const uint8_t *start = t->p, *digits;
	int64_t v = 0;

	if (t->p < t->end && *t->p == '-')
		t->p++;
	/* Below zero, for there is one more. */
	for (digits = t->p; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, *t->p - '0', &v))
			return BULLA_EPARSE;
	if (t->p == digits || (*digits == '0' && t->p - digits > 1) ||
	    (digits == start && v == INT64_MIN))
		return BULLA_EPARSE;
	if (t->p < t->end && (*t->p == '.' || *t->p == 'e' || *t->p == 'E'))
		return BULLA_EPARSE;
	*ret = (struct json_slice){ start, (uint32_t) (t->p - start) };
	return 0;
}

int json_word(struct json_text *t, const char *word, struct json_slice *ret)
{
	size_t n = strlen(word);

	if ((size_t) (t->end - t->p) < n || memcmp(t->p, word, n) != 0)
		return BULLA_EPARSE;
	*ret = (struct json_slice){ t->p, (uint32_t) n };
	t->p += n;
	return 0;
}

int json_byte(struct json_text *t)
{
	const uint8_t *start = t->p;
	int v = 0;

	for (; t->p < t->end && *t->p >= '0' && *t->p <= '9' && v <= UINT8_MAX; t->p++)
		v = 10 * v + *t->p - '0';
	if (t->p == start || v > UINT8_MAX || (*start == '0' && t->p - start > 1))
		return BULLA_EPARSE;
	return v;
}

/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Numbers are whole or refused, hex is exact, and UTF-8 is what RFC 3629 says, byte for byte.
 */

#include "base/text.h"

#include "tests/harness.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digits.h"

Suite(text);

/* Digits. */

static void expect_digits(uint64_t v)
{
	char want[48], got[48];
	int n = snprintf(want, sizeof want, "%" PRIu64, v);

	cr_expect(eq(int, (int) digits_of(v), n), "%s", want);
	snprintf(want, sizeof want, "%030" PRIu64, v);
	for (unsigned k = 0; k <= 30; k++) {
		memset(got, '.', sizeof got);
		digits_put((uint8_t *) got + 1, v, k);
		cr_expect(eq(int, memcmp(got + 1, want + 30 - k, k), 0), "%u of %s", k, want);
		cr_expect(got[0] == '.' && got[1 + k] == '.', "%u of %s", k, want);
	}
}

Test(text, digits_are_those_that_printf_writes)
{
	uint64_t dice = 4;

	for (uint64_t power = 1;; power *= 10) {
		expect_digits(power - 1);
		expect_digits(power);
		expect_digits(power + 1);
		expect_digits(power * 9);
		if (power > UINT64_MAX / 10)
			break;
	}
	expect_digits(UINT64_MAX);
	for (unsigned bits = 0; bits < 64; bits++) {
		expect_digits(UINT64_C(1) << bits);
		expect_digits((UINT64_C(1) << bits) - 1);
		for (unsigned i = 0; i < 50; i++)
			expect_digits(random_u64(&dice) >> bits);
	}
}

/* Numbers. */

struct number {
	char text[48];
	int r;
	uint64_t value;
};

ParameterizedTestParameters(text, numbers_are_whole_or_refused)
{
	static struct number cases[] = {
		{ "0", 0, 0 },
		{ "7", 0, 7 },
		{ "00012", 0, 12 },
		{ "18446744073709551614", 0, UINT64_MAX - 1 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "000000000000000000000018446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "18446744073709551620", -ERANGE, 0 },
		{ "184467440737095516150", -ERANGE, 0 },
		{ "99999999999999999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "1\n", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
		{ "1_000", -EINVAL, 0 },
		{ "1.0", -EINVAL, 0 },
		{ "/", -EINVAL, 0 },
		{ ":", -EINVAL, 0 },
		{ "1\xff", -EINVAL, 0 },
	};

	return cr_make_param_array(struct number, cases, ELEMENTS(cases));
}

ParameterizedTest(struct number *c, text, numbers_are_whole_or_refused)
{
	uint64_t v = 4711;

	cr_expect(eq(int, text_to_u64(c->text, &v), c->r), "\"%s\"", c->text);
	cr_expect(eq(u64, v, c->r < 0 ? 4711 : c->value), "\"%s\"", c->text);
}

/* Hex. */

Test(text, every_byte_survives_as_hex)
{
	uint8_t bytes[256], back[256];
	char hex[513];

	for (size_t i = 0; i < 256; i++)
		bytes[i] = (uint8_t) i;
	text_hex(hex, bytes, 256);
	cr_assert(eq(sz, strlen(hex), 512));
	cr_assert(eq(int, text_unhex(hex, 512, back, 256), 0));
	cr_expect(eq(int, memcmp(bytes, back, 256), 0));
	cr_expect(eq(sz, strcspn(hex, "ABCDEF"), 512), "hex is lower case");
	for (size_t i = 0; i < 512; i++)
		if (hex[i] >= 'a')
			hex[i] = (char) (hex[i] - 32);
	memset(back, 0, sizeof back);
	cr_assert(eq(int, text_unhex(hex, 512, back, 256), 0), "either case is read");
	cr_expect(eq(int, memcmp(bytes, back, 256), 0));
}

Test(text, no_bytes_are_no_hex)
{
	char hex[1] = "x";
	uint8_t back[1] = { 9 };

	text_hex(hex, back, 0);
	cr_expect(eq(chr, hex[0], '\0'));
	cr_expect(eq(int, text_unhex("", 0, back, 0), 0));
	cr_expect(eq(u8, back[0], 9));
}

Test(text, bad_hex_is_refused_and_touches_nothing)
{
	static const char bad[] = "gG/:@`xX -+\n\x80\xff";

	for (size_t at = 0; at < 8; at++) {
		for (size_t i = 0; i < sizeof bad; i++) {
			uint8_t back[4] = { 9, 9, 9, 9 };
			char hex[] = "00112233";

			hex[at] = bad[i];
			cr_expect(eq(int, text_unhex(hex, 8, back, 4), -EINVAL), "%02x at %zu",
				  (unsigned) (uint8_t) bad[i], at);
			for (size_t k = 0; k < 4; k++)
				cr_expect(eq(u8, back[k], 9));
		}
	}
	for (size_t len = 0; len < 8; len++) {
		uint8_t back[4];

		cr_expect(eq(int, text_unhex("00112233", len, back, 4), -EINVAL), "%zu digits",
			  len);
	}
}

/* Sizes. */

struct size_text {
	uint64_t bytes;
	char text[16];
};

ParameterizedTestParameters(text, sizes_read_well)
{
	static struct size_text cases[] = {
		{ 0, "0B" },
		{ 1, "1B" },
		{ 1023, "1023B" },
		{ 1024, "1.0K" },
		{ 1048524, "1023.9K" },
		{ 1048525, "1.0M" },
		{ 1048575, "1.0M" },
		{ 1048576, "1.0M" },
		{ 1073741823, "1.0G" },
		{ 1536, "1.5K" },
		{ 4096, "4.0K" },
		{ 1ull << 20, "1.0M" },
		{ 1ull << 30, "1.0G" },
		{ 1ull << 40, "1.0T" },
		{ 1ull << 50, "1.0P" },
		{ 1ull << 60, "1.0E" },
		{ UINT64_MAX, "16.0E" },
	};

	return cr_make_param_array(struct size_text, cases, ELEMENTS(cases));
}

ParameterizedTest(struct size_text *c, text, sizes_read_well)
{
	char to[16];

	text_size(to, c->bytes);
	cr_expect(eq(str, to, c->text));
}

Test(text, a_prefix_is_a_prefix)
{
	cr_expect(text_starts("container", "con"));
	cr_expect(text_starts("con", "con"));
	cr_expect(text_starts("", ""));
	cr_expect(text_starts("x", ""));
	cr_expect(not(text_starts("co", "con")));
	cr_expect(not(text_starts("xcon", "con")));
	cr_expect(not(text_starts("", "c")));
}

/* UTF-8. */

/* The definition, plainly: decode, and see whether the number needed that many bytes. */
static size_t naive_step(const uint8_t *p, size_t n)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c;
	size_t size;

	if (n == 0)
		return 0;
	size = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
	if (size == 0 || size > n)
		return 0;
	c = size == 1 ? p[0] : p[0] & (0x7fu >> size);
	for (size_t i = 1; i < size; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[size] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return size;
}

static bool naive_is_utf8(const uint8_t *p, size_t n)
{
	for (size_t step; n > 0; p += step, n -= step) {
		step = naive_step(p, n);
		if (step == 0)
			return false;
	}
	return true;
}

static size_t encode(uint8_t to[4], uint32_t c)
{
	static const uint8_t first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	for (size_t i = size - 1; i > 0; i--, c >>= 6)
		to[i] = (uint8_t) (0x80 | (c & 0x3f));
	to[0] = (uint8_t) (first[size] | c);
	return size;
}

Test(text, every_code_point_is_text_and_no_other_number)
{
	for (uint32_t c = 0; c < 0x1fffff; c++) {
		uint8_t p[4];
		size_t n = encode(p, c);
		bool valid = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);

		cr_assert(text_utf8_step(p, n) == (valid ? n : 0), "U+%04X", c);
		cr_assert(text_is_utf8(p, n) == valid, "U+%04X", c);
	}
}

Test(text, every_pair_and_triple_of_lead_bytes_is_judged_as_defined)
{
	static const uint8_t last[] = {
		0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff
	};

	for (uint32_t two = 0; two < 1 << 16; two++) {
		uint8_t p[4] = { (uint8_t) (two >> 8), (uint8_t) two };

		cr_assert(text_utf8_step(p, 1) == naive_step(p, 1), "%04x", two);
		cr_assert(text_utf8_step(p, 2) == naive_step(p, 2), "%04x", two);
		for (size_t i = 0; i < ELEMENTS(last) * ELEMENTS(last); i++) {
			p[2] = last[i / ELEMENTS(last)];
			p[3] = last[i % ELEMENTS(last)];
			cr_assert(text_utf8_step(p, 3) == naive_step(p, 3), "%04x, %zu", two, i);
			cr_assert(text_utf8_step(p, 4) == naive_step(p, 4), "%04x, %zu", two, i);
		}
	}
}

struct utf8_case {
	char why[32];
	char bytes[8];
	size_t size;
	bool valid;
};

ParameterizedTestParameters(text, known_traps)
{
	static struct utf8_case cases[] = {
		{ "nothing", "", 0, true },
		{ "a NUL", "\0", 1, true },
		{ "an overlong NUL", "\xc0\x80", 2, false },
		{ "an overlong slash", "\xc0\xaf", 2, false },
		{ "an overlong slash in three", "\xe0\x80\xaf", 3, false },
		{ "an overlong slash in four", "\xf0\x80\x80\xaf", 4, false },
		{ "the first of two bytes", "\xc2\x80", 2, true },
		{ "the last overlong of three", "\xe0\x9f\xbf", 3, false },
		{ "the first of three", "\xe0\xa0\x80", 3, true },
		{ "before the surrogates", "\xed\x9f\xbf", 3, true },
		{ "the first surrogate", "\xed\xa0\x80", 3, false },
		{ "a surrogate pair", "\xed\xa0\xbd\xed\xb8\x80", 6, false },
		{ "after the surrogates", "\xee\x80\x80", 3, true },
		{ "a byte order mark", "\xef\xbb\xbf", 3, true },
		{ "a noncharacter", "\xef\xbf\xbf", 3, true },
		{ "the last overlong of four", "\xf0\x8f\xbf\xbf", 4, false },
		{ "the last code point", "\xf4\x8f\xbf\xbf", 4, true },
		{ "one beyond", "\xf4\x90\x80\x80", 4, false },
		{ "five bytes", "\xf8\x88\x80\x80\x80", 5, false },
		{ "six bytes", "\xfc\x84\x80\x80\x80\x80", 6, false },
		{ "FE", "\xfe", 1, false },
		{ "FF", "\xff", 1, false },
		{ "a lone continuation", "\x80", 1, false },
		{ "a second continuation", "\xc3\xa9\xa9", 3, false },
		{ "Latin-1", "caf\xe9", 4, false },
	};

	return cr_make_param_array(struct utf8_case, cases, ELEMENTS(cases));
}

ParameterizedTest(struct utf8_case *c, text, known_traps)
{
	uint8_t *alone = exact_copy(c->bytes, c->size);

	cr_expect(text_is_utf8(alone, c->size) == c->valid, "%s", c->why);
	free(alone);
}

Test(text, one_bad_byte_anywhere_is_found)
{
	/* Lengths around the eight-byte steps, and the byte at every place in them. */
	for (size_t n = 1; n < 40; n++) {
		for (size_t at = 0; at < n; at++) {
			uint8_t *p = malloc(n);

			cr_assert(p != NULL);
			memset(p, 'a', n);
			cr_assert(text_is_utf8(p, n), "%zu letters", n);
			p[at] = 0xff;
			cr_assert(not(text_is_utf8(p, n)), "%zu of %zu", at, n);
			p[at] = 0xc3; /* the start of a sequence that does not go on */
			cr_assert(not(text_is_utf8(p, n)), "%zu of %zu", at, n);
			free(p);
		}
	}
}

Test(text, every_truncated_sequence_is_refused)
{
	static const uint32_t points[] = { 0x80, 0x7ff, 0x800, 0xffff, 0x10000, 0x10ffff };

	for (size_t i = 0; i < ELEMENTS(points); i++) {
		for (size_t before = 0; before < 17; before++) {
			uint8_t text[24];
			size_t size = encode(text + before, points[i]);

			memset(text, 'a', before);
			for (size_t cut = 1; cut <= size; cut++) {
				uint8_t *alone = exact_copy(text, before + cut);

				cr_assert(text_is_utf8(alone, before + cut) == (cut == size),
					  "U+%04X after %zu, cut at %zu", points[i], before, cut);
				free(alone);
			}
		}
	}
}

Test(text, random_mixtures_are_judged_as_defined)
{
	uint64_t seed = 3629;
	size_t n_valid = 0;

	for (int round = 0; round < 50000; round++) {
		uint8_t p[64];
		size_t n = 0, want = random_u64(&seed) % 60;

		while (n < want)
			n += encode(p + n, (uint32_t) (random_u64(&seed) >>
						       (44 + random_u64(&seed) % 20)));
		if (n > 0 && random_u64(&seed) % 4 == 0)
			p[random_u64(&seed) % n] ^= (uint8_t) (1 << random_u64(&seed) % 8);
		cr_assert(text_is_utf8(p, n) == naive_is_utf8(p, n), "round %d", round);
		n_valid += naive_is_utf8(p, n);
	}
	cr_expect(n_valid > 5000 && n_valid < 45000, "%zu valid: the mixture shows nothing",
		  n_valid);
}

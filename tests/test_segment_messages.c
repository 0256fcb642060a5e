/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Messages taken apart are told whole again, byte for byte: those of programs, and any others.
 */

#include "store/segment/messages.h"

#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"

Suite(segment_messages);

static struct timetext_base base_of(uint64_t time_ns)
{
	struct timetext_base b = { 0 };

	timetext_base_set(&b, time_ns);
	return b;
}

/* Put together what template_take() took apart, from the key and the variables' texts. */
static void expect_whole(const struct taken *t, const uint8_t *p, size_t n)
{
	struct buf b = { 0 };
	struct template *parsed;

	cr_assert(eq(int, template_parse(t->key, t->key_len, &parsed), 0));
	cr_assert(eq(uint, parsed->n, t->n));
	for (unsigned i = 0; i < t->n; i++) {
		const struct variable *v = &t->variables[i];
		const uint8_t *text = p + v->at;

		cr_expect(eq(u8, parsed->slots[i].kind, v->kind));
		buf_append(&b, parsed->slots[i].before.p, parsed->slots[i].before.len);
		buf_append(&b, text, v->len);
		cr_expect(gt(u16, v->len, 0));
		for (uint32_t k = 0; k < v->len; k++)
			cr_expect(variable_may_hold(v->kind, text[k]), "%c in %.*s", v->kind,
				  (int) v->len, text);
	}
	buf_append(&b, parsed->rest.p, parsed->rest.len);
	cr_expect(eq(sz, b.len, n));
	cr_expect(eq(int, b.len == n && n > 0 ? memcmp(b.data, p, n) : 0, 0), "%.*s", (int) n, p);
	buf_done(&b);
	free(parsed);
}

struct kinds_case {
	char message[120], kinds[24];
};

static struct kinds_case kinds[] = {
	{ "", "" },
	{ "no variable at all, not even one", "" },
	{ "took 12 ms, 3.25 MB, 99%", "DDDD" },
	{ "at 2026-01-05T09:00:00.003Z from 10.5.219.89:35802", "TID" },
	{ "rid=4617c53657bd13625f291851eea185cd", "X" },
	{ "ID 0a5B is no hex word, A1B2C3 is", "SY" },
	{ "pod 3d4a83ea-09f3-4e88-a1b2-c3d4e5f60718 gone", "U" },
	{ "node-04 joined x86_64", "DDD" },
	{ "pod=web-87a12995e-1ddb8 up", "S" },
	{ "GET /api/v1/settle?q=1&page=2 HTTP/1.1", "PDD" },
	{ "\tat com.example.shop.Repository.north(Checkout.java:246)", "NND" },
	{ "ptr 0x7ffe12, 0x1", "XX" },
	{ "1.2.3.4.5 and 256.1.1.1 and 01.2.3.4", "DIDDDDDDDD" },
	{ "12345678901234567890 digits", "S" },
};

ParameterizedTestParameters(segment_messages, kinds)
{
	return cr_make_param_array(struct kinds_case, kinds, ELEMENTS(kinds));
}

ParameterizedTest(struct kinds_case *c, segment_messages, kinds)
{
	struct timetext_base base = base_of(1767603600003421987);
	static struct taken t;
	char got[VARIABLES_MAX + 1] = "";

	cr_assert(template_take(&t, (const uint8_t *) c->message, strlen(c->message), &base));
	for (unsigned i = 0; i < t.n; i++)
		got[i] = (char) t.variables[i].kind;
	cr_expect(eq(str, got, c->kinds), "%s", c->message);
	expect_whole(&t, (const uint8_t *) c->message, strlen(c->message));
}

/* Text as programs write it, and worse: words, digits, separators, sometimes any byte. */
static size_t make_message(uint8_t *to, size_t max, uint64_t *seed)
{
	static const char *const pieces[] = {
		"GET ",
		"/api/v1/",
		"10.0.0.1",
		"2026-01-05",
		"T09:00:00",
		".123",
		"Z ",
		"deadbee1",
		"-",
		"_",
		"=",
		"user",
		"42",
		"007",
		"Jan ",
		" 5 ",
		"12:34:56",
		"0x",
		"com.a.B",
		".java",
		":",
		"\"",
		"{",
		"1767603600",
		"\x1b[31m",
		"\xc3\xa9",
		"/",
		"A1F",
		"3d4a83ea-09f3-4e88-a1b2-c3d4e5f60718",
		"1",
		"a",
		".",
		" ",
	};
	size_t n = 0;

	for (uint64_t k = random_u64(seed) % 20; k > 0; k--) {
		const char *piece = pieces[random_u64(seed) % ELEMENTS(pieces)];
		size_t len = strlen(piece);

		if (n + len + 1 > max)
			break;
		memcpy(to + n, piece, len);
		n += len;
		if (random_u64(seed) % 40 == 0)
			to[n++] = (uint8_t) random_u64(seed);
	}
	return n;
}

Test(segment_messages, any_message_is_told_whole_again)
{
	struct timetext_base base = base_of(1767603600003421987);
	uint64_t seed = 11;
	static struct taken t;
	uint8_t room[400];
	unsigned whole = 0;

	for (int i = 0; i < 20000; i++) {
		size_t n = make_message(room, sizeof room, &seed);
		uint8_t *alone = exact_copy(room, n);

		if (template_take(&t, alone, n, &base))
			expect_whole(&t, alone, n);
		else
			whole++;
		free(alone);
	}
	cr_expect(lt(uint, whole, 1000));
}

Test(segment_messages, too_much_is_kept_whole)
{
	struct timetext_base base = base_of(0);
	static uint8_t large[TEMPLATE_MESSAGE_MAX + 1];
	static struct taken t;

	memset(large, ' ', sizeof large);
	cr_expect(not(template_take(&t, large, sizeof large, &base)));
	cr_expect(not(template_take(&t, large, TEMPLATE_SIZE_MAX + 1, &base)));
	cr_expect(template_take(&t, large, TEMPLATE_SIZE_MAX, &base));
	for (size_t i = 0; i < 2 * (VARIABLES_MAX + 1); i += 2)
		large[i] = '1';
	cr_expect(not(template_take(&t, large, 400, &base)));
	cr_expect(not(template_take(&t, (const uint8_t *) "a\1b", 3, &base)));
}

Test(segment_messages, hostile_templates_are_refused)
{
	static const struct {
		const char *key;
		size_t n;
	} bad[] = {
		{ "\1", 1 },
		{ "\1Z", 2 },
		{ "\1T", 2 },
		{ "\1T\x20\x20", 4 },
		{ "\1T\x30\x20\x20", 5 }, /* no such format */
		{ "\1T\x20\x4e\x20", 5 }, /* a separator without digits */
		{ "\1T\x20\x4e\x2a", 5 }, /* ten digits */
		{ "\1T\x20\x20\x23", 5 }, /* digits not set off, and no number of seconds */
		{ "text \1D and \1", 13 },
	};
	struct template *t;

	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		uint8_t *alone = exact_copy(bad[i].key, bad[i].n);

		cr_expect(eq(int, template_parse(alone, bad[i].n, &t), BULLA_ECORRUPT), "%zu", i);
		free(alone);
	}
}

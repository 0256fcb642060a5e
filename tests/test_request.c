/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A question survives its journey in a URL, whatever bytes it holds, and what is no question is told so.
 */

#include "query/request.h"

#include "tests/harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

Suite(request);

static int nibble(uint8_t c)
{
	return c <= '9' ? c - '0' : c - 'A' + 10;
}

/* What a server does: split at '&' and '=', decode, set. */
static void read_back(struct request *r, const struct buf *url)
{
	uint8_t value[8192];
	char key[64], why[256];

	for (size_t at = 0; at < url->len;) {
		size_t k = 0, n = 0;

		for (; url->data[at] != '='; at++)
			key[k++] = (char) url->data[at];
		key[k] = '\0';
		for (at++; at < url->len && url->data[at] != '&'; at++) {
			uint8_t c = url->data[at];

			cr_assert(c > ' ' && c < 127);
			if (c == '%') {
				c = (uint8_t) (nibble(url->data[at + 1]) << 4 |
					       nibble(url->data[at + 2]));
				at += 2;
			}
			value[n++] = c;
		}
		at++;
		cr_assert(eq(int, request_set_bytes(r, key, value, n, why), 0), "%s: %s", key, why);
	}
}

static void expect_round_trip(const struct request *r)
{
	struct buf first = { 0 }, second = { 0 };
	struct request again;

	request_url(r, &first);
	cr_assert(not(first.bad));
	cr_assert(eq(int, request_init(&again), 0));
	read_back(&again, &first);
	request_url(&again, &second);
	cr_expect(first.len == second.len && memcmp(first.data, second.data, first.len) == 0,
		  "%.*s\n%.*s", (int) first.len, first.data, (int) second.len, second.data);
	cr_expect(eq(u64, r->query.since_ns, again.query.since_ns));
	cr_expect(eq(u64, r->query.until_ns, again.query.until_ns));
	cr_expect(eq(u64, r->query.limit, again.query.limit));
	cr_expect(eq(int, r->query.reverse, again.query.reverse));
	cr_expect(eq(int, r->query.newest, again.query.newest));
	cr_expect(eq(int, r->output.format, again.output.format));
	request_done(&again);
	buf_done(&first);
	buf_done(&second);
}

static void set(struct request *r, const char *key, const char *value)
{
	char why[256] = "";

	cr_assert(eq(int, request_set(r, key, value, why), 0), "%s=%s: %s", key, value, why);
}

Test(request, every_key_survives_a_url)
{
	static const char *const keys[][2] = {
		{ "match", "A=1" },
		{ "match", "A!=2" },
		{ "match", "+" },
		{ "match", "web" },
		{ "match", "unit=n*" },
		{ "match", "level=err" },
		{ "require", "B=a&b=c#d%" },
		{ "unit", "nginx" },
		{ "since", "1" },
		{ "until", "18446744073709551614" },
		{ "limit", "20" },
		{ "reverse", "1" },
		{ "newest", "1" },
		{ "priority", "crit..warning" },
		{ "grep", "a b\\s+\xc3\xa4" },
		{ "output", "json" },
		{ "colour", "1" },
		{ "utc", "1" },
		{ "all", "1" },
		{ "field", "unit" },
		{ "names", "1" },
		{ "count-by", "unit" },
		{ "histogram", "10000000000" },
	};
	struct request all;

	cr_assert(eq(int, request_init(&all), 0));
	expect_round_trip(&all);
	for (size_t i = 0; i < ELEMENTS(keys); i++) {
		struct request one;

		cr_assert(eq(int, request_init(&one), 0));
		set(&one, keys[i][0], keys[i][1]);
		set(&all, keys[i][0], keys[i][1]);
		expect_round_trip(&one);
		expect_round_trip(&all);
		request_done(&one);
	}
	request_done(&all);
}

/* Whether an entry with this one field A is meant. */
static int means(struct request *r, const uint8_t *value, size_t n)
{
	struct field f = { (const uint8_t *) "A", value, (uint32_t) n, 1 };
	struct entry e = { .fields = &f, .n_fields = 1 };
	struct context_entry none = { .parent = -1 };
	struct contexts contexts = { .at = &none, .n = 1 };
	struct shown s = { .entry = &e, .contexts = &contexts };

	return match_entry(r->match, &s);
}

Test(request, any_bytes_survive_a_url)
{
	uint64_t seed = 7;

	for (int round = 0; round < 500; round++) {
		const char *key = round & 1 ? "match" : "require";
		uint8_t word[2 + 600] = "A=";
		struct request r, again;
		struct buf url = { 0 };
		size_t n = random_u64(&seed) % 600;
		char why[256];

		random_fill(&seed, word + 2, n);
		if (n > 3)
			memcpy(word + 3, round & 2 ? "\n\0" : "&=", 2);
		cr_assert(eq(int, request_init(&r), 0));
		cr_assert(eq(int, request_init(&again), 0));
		cr_assert(eq(int, request_set_bytes(&r, key, word, n + 2, why), 0));
		request_url(&r, &url);
		read_back(&again, &url);
		cr_expect(eq(int, means(&again, word + 2, n), 1), "round %d", round);
		cr_expect(eq(int, means(&again, word + 2, n + 1), 0), "round %d", round);
		expect_round_trip(&r);
		request_done(&r);
		request_done(&again);
		buf_done(&url);
	}
}

Test(request, what_is_no_question_is_told_so)
{
	static const char *const bad[][2] = {
		{ "match", "" },       { "match", "=x" },   { "match", "level=loud" },
		{ "require", "" },     { "since", "" },	    { "since", "yesterday" },
		{ "until", "-1" },     { "limit", "1x" },   { "limit", "18446744073709551616" },
		{ "priority", "" },    { "priority", "8" }, { "priority", "err.." },
		{ "priority", "..3" }, { "grep", "(" },	    { "output", "xml" },
		{ "field", "" },
	};
	struct request r;

	cr_assert(eq(int, request_init(&r), 0));
	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		char why[256] = "";

		cr_expect(eq(int, request_set(&r, bad[i][0], bad[i][1], why), -EINVAL), "%s=%s",
			  bad[i][0], bad[i][1]);
		cr_expect(why[0] != '\0', "%s=%s", bad[i][0], bad[i][1]);
	}
	request_done(&r);
}

Test(request, unknown_keys_and_endless_values_are_told_so)
{
	char why[256] = "", endless[5000];
	struct request r;

	memset(endless, 'e', sizeof endless - 1);
	endless[sizeof endless - 1] = '\0';
	cr_assert(eq(int, request_init(&r), 0));
	cr_expect(eq(int, request_set(&r, "what", "1", why), -ENOENT));
	cr_expect(eq(int, request_set(&r, endless, "1", why), -ENOENT));
	cr_expect(eq(int, request_set(&r, "priority", endless, why), -EINVAL));
	cr_expect(eq(int, request_set(&r, "output", endless, why), -EINVAL));
	cr_expect(eq(int, request_set(&r, "since", endless, why), -EINVAL));
	cr_expect(eq(int, request_set_bytes(&r, "grep", "a\0b", 3, why), -EINVAL));
	set(&r, "grep", "one");
	cr_expect(eq(int, request_set(&r, "grep", "two", why), -EINVAL), "one pattern only");
	request_done(&r);
}
